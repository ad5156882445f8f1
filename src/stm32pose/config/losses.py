"""Which losses there are, which output each goes with, and what arguments they take: one table for all who ask.

The formulas are in stm32pose.losses; docs/losses.md says when to use which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stm32pose.errors import did_you_mean

AUTO = "auto"
ALIASES = {"mae": "l1"}
"""Other names in use -> ours."""


@dataclass(frozen=True)
class Argument:
    """What an argument of a loss may be.

    Attributes:
        default: its value where it is left out; None: derived, see docs/losses.md.
        least: a number below is refused; with `above`, this number too.
        above: `least` itself is refused.
        whole: only whole numbers.
        names: the words it may be, instead of a number.
    """

    default: float | str | None
    least: float = 0.0
    above: bool = False
    whole: bool = False
    names: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """In words, for messages."""
        if self.names:
            return " or ".join(self.names)
        return f"a {'whole ' if self.whole else ''}number {'above' if self.above else '>='} {self.least:g}"

    def accepts(self, value: Any) -> bool:
        """Whether `value` is one of these."""
        if self.names:
            return value in self.names
        if isinstance(value, bool) or not isinstance(value, int | float) or not value < float("inf"):
            return False
        return (value > self.least if self.above else value >= self.least) and not (self.whole and value % 1)


_SCORE = {"score": Argument(1.0)}

LOSSES: dict[str, dict[str, Argument]] = {
    "mse": {},
    "ohkm": {"topk": Argument(None, least=1, whole=True), "whole": Argument(0.0)},
    "cross_entropy": {},
    "kl": {},
    "l1": _SCORE,
    "smooth_l1": {"beta": Argument(1.0, above=True), **_SCORE},
    "wing": {"omega": Argument(10.0, above=True), "epsilon": Argument(2.0, above=True), **_SCORE},
    "rle": {"distribution": Argument("laplace", names=("laplace", "gaussian")), "residual": Argument(1.0)},
    "movenet": {name: Argument(1.0) for name in ("centre", "heatmaps", "regression", "offsets")},
}
"""Name -> its arguments."""
# On keypoints a squared error has a score beside it too, on maps there is none.
_ON_KEYPOINTS = {"mse": _SCORE}

OUTPUTS: dict[str, tuple[str, ...]] = {
    "sigmoid heat maps": ("mse", "ohkm", "cross_entropy", "kl"),
    "softmax heat maps": ("cross_entropy", "kl", "mse", "ohkm"),
    "heat maps of logits": ("cross_entropy", "kl"),
    "SimCC": ("kl", "cross_entropy"),
    "keypoints": ("rle", "l1", "smooth_l1", "wing", "mse"),
    "MoveNet's four maps": ("movenet",),
}
"""Kind of output -> the losses that go with it, that of `auto` first."""

_HEATMAPS = {"sigmoid": "sigmoid heat maps", "softmax": "softmax heat maps", "empty": "heat maps of logits"}
_KINDS = {"simcc": "SimCC", "keypoints": "keypoints", "movenet": "MoveNet's four maps"}
MODEL_TYPES = {"heatmaps_spe": "heatmaps", "simcc_spe": "simcc", "spe": "keypoints", "movenet_spe": "movenet"}
"""Type of a trainable model -> kind of its codec."""


def output_of(kind: str, activation: str = "sigmoid") -> str | None:
    """The key of OUTPUTS for a codec's kind (`describe()["kind"]`) and activation; None: nothing that can be learnt."""
    return _HEATMAPS.get(activation) if kind == "heatmaps" else _KINDS.get(kind)


def loss_problem(name: str, output: str | None = None) -> str | None:
    """What is wrong with the name of a loss: unknown, or not for `output` (a key of OUTPUTS; None: not looked at)."""
    known = (AUTO, *LOSSES, *ALIASES)
    if name not in known:
        return f"got {name!r}; allowed: {', '.join(known)}{did_you_mean(name, known)}"
    if output is not None and name != AUTO and ALIASES.get(name, name) not in OUTPUTS[output]:
        return (
            f"got {name!r}, which does not go with {output}; allowed with them: {', '.join((AUTO, *OUTPUTS[output]))}"
        )
    return None


def argument_problem(name: str, given: Mapping[str, Any], output: str | None = None) -> tuple[str, str] | None:
    """(argument, what is wrong with it) of the first argument that `name`, a known loss, does not take; None: none."""
    allowed = arguments_of(name, output)
    for argument, value in given.items():
        if argument not in allowed:
            takes = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
            return argument, f"unknown argument of {name}; {takes}{did_you_mean(argument, allowed)}"
        if not allowed[argument].accepts(value):
            return argument, f"got {value!r}; allowed: {allowed[argument].allowed}"
    return None


def arguments_of(name: str, output: str | None = None) -> dict[str, Argument]:
    """The arguments of a loss on `output`; where that is not known, those of any."""
    name = ALIASES.get(name, name)
    if name == AUTO:
        return arguments_of(OUTPUTS[output][0], output) if output else {}
    extra = _ON_KEYPOINTS.get(name, {}) if output in (None, "keypoints") else {}
    return {**LOSSES[name], **extra}

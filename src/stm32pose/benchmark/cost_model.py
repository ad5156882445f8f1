"""The fitted constants: cycles or microseconds a unit of work, and how wrong they were on published rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from stm32pose.errors import UserError

FILE = Path(__file__).with_name("cost_model.yaml")
"""Written by benchmarks/fit_cost_model.py from published rows; not by hand."""


@dataclass(frozen=True)
class Fit:
    """A sum of features times weights.

    Attributes:
        unit: what the sum is: cycles, microseconds or bytes.
        weights: feature -> cost of one unit of it, never negative.
        rows: published rows it was fitted on; `architectures`: how many kinds of networks those are.
        mean_error: mean |predicted / published - 1| with the row's whole architecture left out of the fit.
        error: 90th percentile of the same.
        boards: boards the rows were measured on.
        source: where the rows come from.
    """

    unit: Literal["cycles", "microseconds", "bytes"]
    weights: Mapping[str, float]
    rows: int
    architectures: int
    mean_error: float
    error: float
    boards: tuple[str, ...]
    source: str

    def apply(self, sums: Mapping[str, float]) -> float:
        """The sum, in `unit`."""
        return sum(weight * sums[name] for name, weight in self.weights.items())


def latency_fit(family: str) -> Fit:
    """The latency fit of a family that a board names. UserError: there is no such family."""
    families = _read()["latency"]
    if family not in families:
        raise UserError(f"board: latency '{family}' is no family of the cost model; known: {', '.join(families)}")
    return _fit(families[family])


def memory_fit(name: Literal["code_flash", "runtime_ram"]) -> Fit:
    """The fit of what ST's runtime library itself takes: flash of its code, RAM of its state."""
    return _fit(_read()["memory"][name])


def _fit(entry: Mapping[str, Any]) -> Fit:
    return Fit(
        unit=entry["unit"],
        weights={name: float(value) for name, value in entry["weights"].items()},
        rows=int(entry["rows"]),
        architectures=int(entry["architectures"]),
        mean_error=float(entry["mean_error"]),
        error=float(entry["error"]),
        boards=tuple(entry["boards"]),
        source=str(entry["source"]),
    )


@cache
def _read() -> dict[str, Any]:
    import yaml

    return yaml.safe_load(FILE.read_text(encoding="utf-8"))

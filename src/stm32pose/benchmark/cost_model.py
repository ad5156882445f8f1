"""The fitted constants: cycles, microseconds or instructions a unit of work, and how wrong they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from stm32pose.errors import UserError

FILE = Path(__file__).with_name("cost_model.yaml")
"""Of accelerators, Linux boards and ST's runtime: written by benchmarks/fit_cost_model.py; not by hand."""
CORES = Path(__file__).with_name("core_model.yaml")
"""Of Cortex-M cores, from emulated runs: written by benchmarks/calibrate_latency.py; not by hand."""


@dataclass(frozen=True)
class Fit:
    """A sum of features times weights.

    Attributes:
        unit: what the sum is.
        weights: feature -> cost of one unit of it, never negative.
        rows: published rows (or emulated layers) it was fitted on; `architectures`: how many kinds of networks.
        mean_error: mean |predicted / published - 1| with the row's whole architecture left out of the fit.
        error: 90th percentile of the same; `worst_error` the largest.
        choice_error: as `error`, the choice of what is weighed made without the architecture, too; None: not tried.
        board_error: as `error`, of rows of a board that had no part in the fit; None where all are of one board.
        range_error: half-width of the range that a latency is shown as; None: as a figure with its error.
        boards: board -> its number of rows.
        source: where the rows come from.
    """

    unit: Literal["cycles", "microseconds", "bytes", "instructions"]
    weights: Mapping[str, float]
    rows: int
    architectures: int
    mean_error: float
    error: float
    worst_error: float
    choice_error: float | None = None
    board_error: float | None = None
    range_error: float | None = None
    boards: Mapping[str, int] = field(default_factory=dict)
    source: str = ""

    def apply(self, sums: Mapping[str, float]) -> float:
        """The sum, in `unit`."""
        return sum(weight * sums[name] for name, weight in self.weights.items())

    def expected_on(self, board: str) -> float:
        """The relative error to expect on a board, `range_error` where there is one; where none of the rows are of the
        board it may be larger."""
        if self.range_error is not None:
            return self.range_error
        expected = max(self.error, self.choice_error or 0.0)
        return expected if board in self.boards else max(expected, self.board_error or 0.0)


@dataclass(frozen=True)
class CoreFits:
    """Of a Cortex-M core.

    Attributes:
        instructions: of the generated C, from the sums of `benchmark.work`.
        cycles: from counted instructions, fitted on published rows.
        predicted: how wrong latencies from the graph were, by both; its weights are not used.
    """

    instructions: Fit
    cycles: Fit
    predicted: Fit


def has_core_fits(family: str) -> bool:
    """Whether a family is a Cortex-M core whose instructions can be counted."""
    return family in _read(CORES)


def core_fits(family: str) -> CoreFits:
    """The fits of a Cortex-M core. KeyError: there are none."""
    entry = _read(CORES)[family]
    return CoreFits(_fit(entry["instructions"]), _fit(entry["cycles"]), _fit(entry["predicted"]))


def latency_families() -> list[str]:
    """What a board's `latency` may be."""
    return [*_read(CORES), *_read(FILE)["latency"]]


def latency_fit(family: str) -> Fit:
    """The latency fit of a family other than a Cortex-M core. UserError: there is no such family."""
    families = _read(FILE)["latency"]
    if family not in families:
        known = ", ".join(latency_families())
        raise UserError(f"board: latency '{family}' is no family of the cost model; known: {known}")
    return _fit(families[family])


def memory_fit(name: Literal["code_flash", "runtime_ram"]) -> Fit:
    """The fit of what ST's runtime library itself takes: flash of its code, RAM of its state."""
    return _fit(_read(FILE)["memory"][name])


def st_activations_ratio(family: Literal["cortex-m", "neural-art-n6"]) -> tuple[float, float]:
    """Smallest and largest RAM of ST's activations over those of a plan without overlap, on published rows."""
    ratio = _read(FILE)["memory"]["st_activations"][family]
    return float(ratio["low"]), float(ratio["high"])


def _fit(entry: Mapping[str, Any]) -> Fit:
    return Fit(
        unit=entry["unit"],
        weights={name: float(value) for name, value in entry["weights"].items()},
        rows=int(entry["rows"]),
        architectures=int(entry["architectures"]),
        mean_error=float(entry["mean_error"]),
        error=float(entry["error"]),
        worst_error=float(entry["worst_error"]),
        choice_error=entry.get("choice_error"),
        board_error=entry.get("board_error"),
        range_error=entry.get("range_error"),
        boards={name: int(rows) for name, rows in entry["boards"].items()},
        source=str(entry["source"]),
    )


@cache
def _read(path: Path) -> dict[str, Any]:
    import yaml

    return yaml.safe_load(path.read_text(encoding="utf-8"))

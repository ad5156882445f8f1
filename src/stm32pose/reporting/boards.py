"""Which boards can run a model, and at what rate: the rows of one table, for the terminal and the report.

Rows are `asdict` of `benchmark.estimate.Estimate`, or what an older run's results.json holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stm32pose.reporting.units import milliseconds, used

Row = Mapping[str, Any]
COLUMNS = ("board", "runs it", "an image", "images a second", "RAM", "flash", "rows")
LEGEND = (
    "± and ranges: 9 of 10 published rows of networks that had no part in the fit were within it. rows: those of the "
    "board itself of all that the time is computed from; *: needs memory beside the chip, which is slower than that"
)


def by_rate(rows: Sequence[Row], *, asked: int = 1) -> list[Row]:
    """The first `asked` rows as they are, which are of the board that was asked for; then those that run the model, the
    fastest first, those without a known time after them, and those that cannot run it last, the least short first.
    """

    def key(row: Row) -> tuple:
        if not row["fits"]:
            return (True, False, -min(row["ram_margin"], row["flash_margin"]), row["board"])
        return (False, row["latency_ms"] is None, row["latency_ms"] or 0.0, row["board"])

    return [*rows[:asked], *sorted(rows[asked:], key=key)]


def latency(row: Row) -> str:
    """`94.0 ms ± 9 %`; a range such as `14..22 ms` where the figure is rough; `-` where it is not known."""
    if row["latency_ms"] is None:
        return "-"
    if row.get("latency_spread"):
        return f"{_ends(row['latency_ms'], row['latency_error'])} ms"
    return milliseconds(row["latency_ms"], row.get("latency_error"))


def rate(row: Row) -> str:
    """Images a second, for a figure or a range; `-` where the time is not known."""
    if not row["latency_ms"]:
        return "-"
    if row.get("latency_spread"):
        return _ends(1000 / row["latency_ms"], row["latency_error"])
    return _short(1000 / row["latency_ms"])


def ram(row: Row) -> str:
    """RAM needed of what there is, with a star where memory beside the chip is."""
    return used(row["total_ram_bytes"], row.get("ram_available_bytes")) + _star(row, "ram")


def flash(row: Row) -> str:
    """Flash needed of what there is, with a star where memory beside the chip is."""
    return used(row["total_flash_bytes"], row.get("flash_available_bytes")) + _star(row, "flash")


def verdict(row: Row) -> str:
    """`yes`, `no: RAM`, `no: RAM and flash`."""
    if row["fits"]:
        return "yes"
    short = [name for name in ("ram", "flash") if row[f"{name}_margin"] < 0]
    return f"no: {' and '.join({'ram': 'RAM'}.get(name, name) for name in short)}"


def cells(row: Row) -> tuple[str, ...]:
    """A row of `COLUMNS`."""
    return (row["board"], verdict(row), latency(row), rate(row), ram(row), flash(row), calibrated(row))


def calibrated(row: Row) -> str:
    """How well the time is known: `15 of 17` published rows are of this board."""
    return "-" if row["latency_ms"] is None else f"{row.get('latency_own_rows', 0)} of {row.get('latency_rows', 0)}"


def _star(row: Row, memory: str) -> str:
    # A processor under Linux has no other memory.
    return " *" if row.get(f"external_{memory}") and "Cortex-A" not in row.get("core", "") else ""


def _ends(value: float, error: float) -> str:
    return f"{_short(value / (1 + error))}..{_short(value * (1 + error))}"


def _short(value: float) -> str:
    """Two digits, or all before the point."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2g}"

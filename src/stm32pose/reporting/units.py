"""Figures as people read them; `-` for what is not known."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB


def percent(value: float | None) -> str:
    """A share as `94.1 %`."""
    return "-" if value is None else f"{100 * value:.1f} %"


def kib(value: float | None) -> str:
    """Bytes as `1,234 KiB`."""
    return "-" if value is None else f"{value / KIB:,.0f} KiB"


def used(needed: float, available: float | None) -> str:
    """Bytes needed of those there are, `588 of 992 KiB`; in MiB where there are many."""
    if not available:
        return kib(needed)
    if available >= 4 * MIB:
        if needed < MIB:
            return f"{needed / KIB:,.0f} KiB of {available / MIB:,.0f} MiB"
        return f"{needed / MIB:,.1f} of {available / MIB:,.0f} MiB"
    return f"{needed / KIB:,.0f} of {available / KIB:,.0f} KiB"


def milliseconds(value: float | None, error: float | None = None) -> str:
    """`94.0 ms ± 9 %`."""
    if value is None:
        return "-"
    figure = f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"
    return f"{figure} ± {100 * error:.0f} %" if error else figure

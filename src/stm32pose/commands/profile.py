"""`stm32pose profile`: what a model file costs on a board."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from stm32pose.commands.tables import show_table
from stm32pose.reporting.console import say

if TYPE_CHECKING:
    from stm32pose.benchmark.estimate import Estimate

KIB = 1024


def profile(model: Path, boards: Sequence[str] | None, *, as_json: bool = False) -> int:
    """Estimate `model` on `boards`, or on every board; returns 0 whatever the verdict."""
    from stm32pose.benchmark.estimate import estimate
    from stm32pose.benchmark.graph import read_graph
    from stm32pose.boards.board import board_names, load_board

    chosen = [load_board(name) for name in (boards or board_names())]
    graph = read_graph(model)
    found = [estimate(graph, board) for board in chosen]
    if as_json:
        sys.stdout.write(json.dumps([asdict(item) for item in found], indent=1) + "\n")
        return 0
    first = found[0]
    say(
        f"{model}: {first.macs / 1e6:,.1f} M MACs, activations {first.activations_bytes / KIB:,.1f} KiB, "
        f"weights {first.weights_bytes / KIB:,.1f} KiB"
    )
    numbers = ("RAM KiB", "flash KiB", "ms")
    rows = [_row(item) for item in found]
    show_table(("board", *numbers, "verdict", "leave the accelerator"), rows, right=numbers, title="estimated")
    if len(found) == 1:
        for line in (*first.limits, *([first.note] if first.note else [])):
            say(line)
    return 0


def _row(item: Estimate) -> tuple[object, ...]:
    if item.fits:
        beside = [name for name, used in (("RAM", item.external_ram), ("flash", item.external_flash)) if used]
        margin = f"fits, {min(item.ram_margin, item.flash_margin):.0%} free"
        verdict = margin + (f" (external {' and '.join(beside)})" if beside else "")
    else:
        verdict = "does not fit"
    spread = f" +-{item.latency_error:.0%}" if item.latency_error is not None else ""
    return (
        item.board,
        f"{item.total_ram_bytes / KIB:,.0f}",
        f"{item.total_flash_bytes / KIB:,.0f}",
        "" if item.latency_ms is None else f"{item.latency_ms:,.1f}{spread}",
        verdict,
        ", ".join(item.off_accelerator),
    )

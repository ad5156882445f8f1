"""`stm32pose boards` and `stm32pose skeletons`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stm32pose.commands.tables import show_table
from stm32pose.errors import ConfigError
from stm32pose.reporting.console import say

if TYPE_CHECKING:
    from stm32pose.boards.board import Board


def show_boards() -> int:
    """A table of all boards."""
    from stm32pose.boards.board import board_names, load_board

    rows = []
    for board in map(load_board, board_names()):
        rows.append(
            (
                board.name,
                board.core,
                f"{board.mhz:g}",
                _with_external(board.internal_ram_kib, board.external_ram_kib),
                _with_external(board.internal_flash_kib, board.external_flash_kib),
                board.accelerator.name if board.accelerator else "",
                _calibrated(board),
            )
        )
    numbers = ("MHz", "RAM KiB", "flash KiB")
    show_table(("board", "core", *numbers, "accelerator", "latency"), rows, right=numbers)
    say("RAM and flash: inside the chip + beside it; latency: how far off to expect it, and how many of the published")
    say("rows behind it are of this very board. `stm32pose boards NAME` says more; your own board: docs/boards.md")
    return 0


def show_board(name: str) -> int:
    """One board with its memories."""
    from stm32pose.boards.board import load_board

    board = load_board(name)
    say(f"{board.name}: {board.device}, {board.core} at {board.mhz:g} MHz ({board.kind.upper()})")
    pools = [
        (pool.name, kind, f"{pool.kib:,.0f}", "beside the chip" if pool.external else "in the chip", _use(kind, pool))
        for kind, memories in (("RAM", board.ram), ("flash", board.flash))
        for pool in memories
    ]
    show_table(("memory", "kind", "KiB", "where", "for"), pools, right=("KiB",))
    if board.accelerator:
        operators = ", ".join(board.accelerator.operators) or "not known"
        say(f"accelerator: {board.accelerator.name} ({board.accelerator.precision}); operators: {operators}")
    for line in _known(board):
        say(line)
    if board.note:
        say(board.note)
    say(f"source: {board.source}")
    return 0


def show_skeletons() -> int:
    """A table of the shipped skeletons."""
    from stm32pose.skeletons.skeleton import load_skeleton, skeleton_names

    rows = [
        (
            skeleton.name,
            skeleton.category,
            skeleton.count,
            len(skeleton.edges),
            len(skeleton.pairs),
            "published" if skeleton.sigmas_published else "default: OKS is relative",
        )
        for skeleton in map(load_skeleton, skeleton_names())
    ]
    numbers = ("keypoints", "edges", "left/right pairs")
    show_table(("skeleton", "of a", *numbers, "sigmas"), rows, right=numbers)
    say("`stm32pose skeletons NAME` lists the keypoints; your own skeleton: docs/skeletons.md")
    return 0


def show_skeleton(name: str) -> int:
    """One skeleton with its keypoints."""
    from stm32pose.skeletons.skeleton import load_skeleton

    skeleton = load_skeleton(name)
    partner = {first: second for pair in skeleton.pairs for first, second in (pair, pair[::-1])}
    rows = [
        (
            index,
            keypoint,
            f"{skeleton.sigmas[index]:.4f}",
            skeleton.keypoints[partner[index]] if index in partner else "",
            ", ".join(skeleton.keypoints[end] for end in _neighbours(index, skeleton.edges)),
        )
        for index, keypoint in enumerate(skeleton.keypoints)
    ]
    say(f"{skeleton.name}: {skeleton.count} keypoints of a {skeleton.category}")
    show_table(("", "keypoint", "sigma", "mirrored to", "joined to"), rows, right=("", "sigma"))
    say(f"sigmas: {skeleton.sigmas_source}")
    return 0


def estimate_sigmas(name: str | None, files: Sequence[Path]) -> int:
    """Sigmas from repeated annotations, as lines for a skeleton's YAML."""
    from stm32pose.skeletons.sigmas import estimate, report
    from stm32pose.skeletons.skeleton import load_skeleton

    if name is None:
        raise ConfigError("which skeleton? stm32pose skeletons NAME --estimate-sigmas A.json B.json ...")
    skeleton = load_skeleton(name)
    sys.stdout.write(report(estimate(files, skeleton), skeleton, len(files)))
    return 0


def _calibrated(board: Board) -> str:
    """What is known of a board's latency: `± 19 %, 15 of 17 rows`."""
    from stm32pose.benchmark.latency import calibration

    if (fit := calibration(board)) is None:
        return "no rows"
    return f"± {100 * fit.expected_on(board.name):.0f} %, {fit.boards.get(board.name, 0)} of {fit.rows} rows"


def _known(board: Board) -> list[str]:
    """Lines on what a latency of a board is computed from, and how wrong that was."""
    from stm32pose.benchmark.latency import calibration

    lines = []
    for what, counted, per_tensor in (
        ("from counted instructions (benchmarking.backend: emulate)", True, False),
        ("from the graph", False, False),
        ("from the graph, weights with one scale a tensor", False, True),
    ):
        fit = calibration(board, counted=counted, per_tensor=per_tensor)
        if (
            fit is None
            or (counted and "instructions" not in fit.weights)
            or (per_tensor and not board.latency_per_tensor)
        ):
            continue
        rows = ", ".join(f"{number} of {name}" for name, number in fit.boards.items())
        lines.append(
            f"latency {what}: ± {100 * fit.expected_on(board.name):.0f} %; {fit.rows} published rows of "
            f"{fit.architectures} networks ({rows}), mean error {100 * fit.mean_error:.1f} %, worst "
            f"{100 * fit.worst_error:.1f} %, each with its kind of network left out"
        )
    return lines or ["latency is not estimated: no published rows"]


def _with_external(internal: float, external: float) -> str:
    return f"{internal:,.0f}" + (f" + {external:,.0f}" if external else "")


def _use(kind: str, pool) -> str:
    return "" if kind == "flash" else "activations" if pool.activations else "application"


def _neighbours(index: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    return [end if start == index else start for start, end in edges if index in (start, end)]

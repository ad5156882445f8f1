"""Which route tells what a network costs: ST's cloud, ST's program here, an emulated processor, or our estimate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stm32pose.benchmark.estimate import Estimate
from stm32pose.benchmark.figures import Figures, Route
from stm32pose.boards.board import Board
from stm32pose.config.target_sections import Benchmarking, Tool
from stm32pose.programs import is_placeholder


@dataclass(frozen=True)
class Choice:
    """A route to take and the reason, for people."""

    route: Route
    why: str


def choose(
    section: Benchmarking, tool: Tool, board: Board, find: Callable[[], tuple[object | None, list[str]]]
) -> list[Choice]:
    """The routes of a benchmark, the one whose figures count first; the estimate is always among them.

    `auto` never uploads a model that nobody asked to upload: the cloud is taken with `tools.stedgeai.on_cloud` alone.

    Args:
        section: `benchmarking`, with the routes asked for.
        tool: `tools.stedgeai`.
        board: where the network is to run.
        find: looks for ST's program: (its path or None, where it was looked for). Called for `auto` alone.
    """
    chosen: list[Choice] = []
    for backend in section.backends:
        if backend == "auto":
            chosen.append(_auto(tool, board, find))
        else:
            chosen.append(Choice(backend, f"asked for by benchmarking.backend: {backend}"))
    chosen.append(Choice("estimate", "always given beside the others: it needs neither account nor board"))
    seen: dict[Route, Choice] = {}
    for choice in chosen:
        seen.setdefault(choice.route, choice)
    return list(seen.values())


def _auto(tool: Tool, board: Board, find: Callable[[], tuple[object | None, list[str]]]) -> Choice:
    if tool.on_cloud:
        return Choice("cloud", "auto: tools.stedgeai.on_cloud is True")
    if board.kind == "mpu":
        return Choice(
            "estimate", "auto: tools.stedgeai.on_cloud is False and ST's program tells nothing of Linux boards"
        )
    if tool.path_to_stedgeai and not is_placeholder(Path(tool.path_to_stedgeai)):
        return Choice("stedgeai", f"auto: tools.stedgeai.path_to_stedgeai names {tool.path_to_stedgeai}")
    found, tried = find()
    if found is not None:
        return Choice("stedgeai", f"auto: {found} is on this machine, and tools.stedgeai.on_cloud is False")
    return Choice(
        "estimate",
        f"auto: tools.stedgeai.on_cloud is False and stedgeai was not found (looked at {', '.join(tried)})",
    )


def estimate_figures(estimate: Estimate) -> Figures:
    """An estimate in the form of the other routes."""
    error = f", latency within {100 * estimate.latency_error:.0f} %" if estimate.latency_error else ""
    error = ", latency a rough range: ask ST's tool" if estimate.latency_spread else error
    return Figures(
        route="estimate",
        how=f"estimated here, without a board{error}",
        board=estimate.board,
        tool="stm32pose",
        activations_bytes=estimate.activations_bytes,
        weights_bytes=estimate.weights_bytes,
        runtime_ram_bytes=estimate.runtime_ram_bytes,
        code_bytes=estimate.code_bytes,
        total_ram_bytes=estimate.total_ram_bytes,
        total_flash_bytes=estimate.total_flash_bytes,
        macs=estimate.macs,
        latency_ms=estimate.latency_ms,
        latency_error=estimate.latency_error,
        latency_spread=estimate.latency_spread,
        note=estimate.note,
    )


def fits(figures: Figures, board: Board) -> bool | None:
    """Whether RAM and flash of the board, outside memory included, hold the network; None where a size is unknown.

    A network whose time was measured on the board did fit.
    """
    if figures.route == "cloud" and figures.latency_ms is not None:
        return True
    ram, flash = figures.total_ram_bytes, figures.total_flash_bytes
    if ram is None or flash is None:
        return None
    has_ram = 1024 * (board.internal_ram_kib + board.external_ram_kib)
    has_flash = 1024 * (board.internal_flash_kib + board.external_flash_kib)
    return ram <= has_ram and flash <= has_flash

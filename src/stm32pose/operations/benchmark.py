"""The step `benchmark`: what the model costs on a board, by every route that was asked for, and whether it fits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from stm32pose.benchmark.figures import Figures, Route
from stm32pose.boards.board import Board
from stm32pose.config.schema import Config
from stm32pose.errors import UserError
from stm32pose.operations.artifacts import Artifacts, needed
from stm32pose.reporting.boards import latency
from stm32pose.reporting.run import Run

log = logging.getLogger(__name__)


def run_step(config: Config, run: Run, artifacts: Artifacts) -> Artifacts:
    """Estimate the newest model on every board, and ask ST's tools about `benchmarking.board` where that is wanted.

    Raises:
        UserError: a route that was asked for failed; no other route takes its place.
    """
    from stm32pose.benchmark.estimate import estimate
    from stm32pose.benchmark.graph import read_graph
    from stm32pose.benchmark.memory import plan_memory
    from stm32pose.benchmark.routes import choose, estimate_figures, fits
    from stm32pose.benchmark.stedgeai import find_stedgeai
    from stm32pose.boards.board import board_names, load_board
    from stm32pose.reporting.figures import board_chart, memory_chart

    section = needed(config.benchmarking, "benchmarking")
    path = artifacts.latest
    graph = read_graph(path)
    board = load_board(section.board)
    boards = [board, *(other for other in map(load_board, section.boards or board_names()) if other.name != board.name)]
    estimates = [estimate(graph, other) for other in boards]
    choices = choose(section, config.tools.stedgeai, board, lambda: find_stedgeai(None))
    told: dict[Route, Figures] = {"estimate": estimate_figures(estimates[0])}
    entry = {
        "label": "int8" if graph.quantized else "float",
        "file": run.relative(path),
        "board": board.name,
        "route": choices[0].route,
        "why": choices[0].why,
        "routes": [{**asdict(told["estimate"]), "fits": estimates[0].fits}],
        "boards": [asdict(row) for row in estimates],
    }
    # The estimate stands in the results even where a route fails.
    run.add("benchmark", entry, append=True)
    board_chart(entry["boards"], run.figures / "boards.png")
    memory_chart(plan_memory(graph), run.figures / "memory.png")
    for choice in choices:
        log.info("benchmark by %s: %s", choice.route, choice.why)
        if choice.route not in told:
            told[choice.route] = ROUTES[choice.route](config, run, artifacts, path, board)
        entry["routes"] = [
            {**asdict(told[taken.route]), "fits": fits(told[taken.route], board)}
            for taken in choices
            if taken.route in told
        ]
        run.save()
    log_figures(told[choices[0].route])
    return artifacts


def by_cloud(config: Config, run: Run, artifacts: Artifacts, path: Path, board: Board) -> Figures:
    """Measured on one of ST's boards."""
    if artifacts.cloud is None:
        raise UserError("benchmarking.backend: cloud, but nobody is logged in; `stm32pose login` does it once")
    tool = config.tools.stedgeai
    return artifacts.cloud.benchmark(
        path,
        board,
        optimization=tool.optimization,
        version=tool.version,
        timeout_s=tool.timeout_s,
        tag=config.general.project_name,
        hsp=tool.hsp,
        neural_art=tool.neural_art,
    )


def by_stedgeai(config: Config, run: Run, artifacts: Artifacts, path: Path, board: Board) -> Figures:
    """Analyzed by ST's program on this machine: sizes and MACs, no time. With `benchmarking.validate_code` its own
    comparison of C code and model too."""
    from stm32pose.benchmark.stedgeai import analyze, open_stedgeai, validate

    tool = config.tools.stedgeai
    cli = open_stedgeai(tool.path_to_stedgeai, wanted_version=tool.version)
    folder = run.path("stm32ai_files", f"{path.stem}{path.suffix.replace('.', '_')}", "x").parent
    figures = analyze(
        cli,
        path,
        board,
        folder=folder,
        optimization=tool.optimization,
        neural_art=tool.neural_art,
        hsp=tool.hsp,
        timeout_s=tool.timeout_s,
    )
    if config.benchmarking is None or not config.benchmarking.validate_code:
        return figures
    metrics = validate(cli, path, folder=folder / "validate", mode="host", timeout_s=tool.timeout_s)
    return replace(figures, validation=metrics)


def by_emulation(config: Config, run: Run, artifacts: Artifacts, path: Path, board: Board) -> Figures:
    """Our generated C, run on an emulated processor like the board's: exactness, instructions, sizes."""
    from stm32pose.benchmark.emulate.route import emulated_figures
    from stm32pose.benchmark.graph import read_graph

    folder = run.path("emulated", f"{path.stem}{path.suffix.replace('.', '_')}", "x").parent
    figures = emulated_figures(path, board, folder, graph=read_graph(path))
    if not figures.exact:
        log.warning("The emulated run is not exact: %s", figures.how)
    return figures


ROUTES: dict[Route, Callable[[Config, Run, Artifacts, Path, Board], Figures]] = {
    "cloud": by_cloud,
    "stedgeai": by_stedgeai,
    "emulate": by_emulation,
}


def log_figures(figures: Figures) -> None:
    """ST's lines, each with how its figure was obtained."""
    if figures.tool and figures.route in ("cloud", "stedgeai"):
        log.info("stedgeai core version : %s", figures.tool)
    log.info("Benchmarking board : %s (%s)", figures.board, figures.how)
    for name, value in (
        ("RAM Activations", figures.activations_bytes),
        ("RAM Runtime", figures.runtime_ram_bytes),
        ("Total RAM", figures.total_ram_bytes),
        ("Flash weights", figures.weights_bytes),
        ("Estimated Flash Code", figures.code_bytes),
        ("Total Flash", figures.total_flash_bytes),
        ("Internal Flash usage", figures.internal_flash_bytes if figures.external_flash_bytes else None),
        ("External Flash usage", figures.external_flash_bytes or None),
        ("Internal RAM usage", figures.internal_ram_bytes if figures.external_ram_bytes else None),
        ("External RAM usage", figures.external_ram_bytes or None),
        ("Model Size", figures.model_bytes),
        ("Peak Ram", figures.peak_ram_bytes),
    ):
        if value is not None:
            log.info("%s : %.2f KiB (%s)", name, value / 1024, figures.route)
    if figures.macs is not None:
        log.info("MACCs : %.3f M (%s)", figures.macs / 1e6, figures.route)
    if figures.instructions is not None:
        log.info("Number of instructions : %.3f M (%s)", figures.instructions / 1e6, figures.route)
    if figures.cycles is not None:
        log.info("Number of cycles : %.3f M (%s)", figures.cycles / 1e6, figures.route)
    if figures.latency_ms is not None:
        time = latency(asdict(figures)) if figures.latency_error else f"{figures.latency_ms:.2f} ms"
        log.info("Inference time : %s (%s)", time, figures.route)

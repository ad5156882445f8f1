"""The step `benchmark`: what the model costs on a board, and whether it fits."""

from __future__ import annotations

import logging
from dataclasses import asdict

from stm32pose.config.schema import Config
from stm32pose.operations.artifacts import Artifacts, needed
from stm32pose.reporting.run import Run

log = logging.getLogger(__name__)


def run_step(config: Config, run: Run, artifacts: Artifacts) -> Artifacts:
    """Estimate the newest model on `benchmarking.board` and, for the table, on the other boards."""
    from stm32pose.benchmark.estimate import estimate
    from stm32pose.benchmark.graph import read_graph
    from stm32pose.benchmark.memory import plan_memory
    from stm32pose.boards.board import board_names, load_board
    from stm32pose.reporting.figures import board_chart, memory_chart

    section = needed(config.benchmarking, "benchmarking")
    path = artifacts.latest
    graph = read_graph(path)
    chosen = load_board(section.board)
    others = section.boards or board_names()
    boards = [chosen, *(board for board in map(load_board, others) if board.name != chosen.name)]
    rows = [asdict(estimate(graph, board)) for board in boards]
    run.add(
        "benchmark",
        {
            "label": "int8" if graph.quantized else "float, priced as int8",
            "file": run.relative(path),
            "board": chosen.name,
            "boards": rows,
        },
        append=True,
    )
    board_chart(rows, run.figures / "boards.png")
    memory_chart(plan_memory(graph), run.figures / "memory.png")
    row = rows[0]
    log.info("Benchmarking board : %s (%s)", row["board"], row["how"])
    log.info("RAM Activations : %.2f KiB (%s)", row["activations_bytes"] / 1024, row["how"])
    log.info("Total Flash : %.2f KiB (%s)", row["total_flash_bytes"] / 1024, row["how"])
    if row["latency_ms"] is not None:
        log.info("Inference time : %.2f ms (%s)", row["latency_ms"], row["how"])
    return artifacts

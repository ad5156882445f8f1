"""How far the estimates are from ST's published figures: RAM, flash and latency, row by row.

    python benchmarks/estimate_accuracy.py [--shared ../shared] [--all]

Weights are computed, not fitted. Activation RAM is this project's own plan: ST's tools plan otherwise, so the ratio
tells how far apart two planners are, not an error of arithmetic. Latencies printed here are of the fit that saw the
rows; what an unseen architecture may expect is the `left out` error of benchmarks/fit_cost_model.py, which is what
every estimate carries.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import defaultdict
from pathlib import Path

import numpy as np

from stm32pose.benchmark.estimate import estimate
from stm32pose.benchmark.graph import Graph, read_graph
from stm32pose.boards.board import Board, load_board
from stm32pose.errors import ConfigError

THIRD_PARTY = ("Plumerai", "Bosch", "Skymizer", "cTuning", "TFLM", "MICROTVM", "microtvm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parent.parent
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("STM32POSE_SHARED", here.parent / "shared")))
    parser.add_argument("--all", action="store_true", help="every row, not only the summary")
    arguments = parser.parse_args()
    graphs: dict[str, Graph] = {}
    ratios: dict[tuple[str, str], list[float]] = defaultdict(list)
    with (arguments.shared / "facts/st_benchmarks.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            board = board_of(row)
            if board is None or not row["model_file"].endswith(".tflite"):
                continue
            file = row["model_file"]
            if file not in graphs:
                graphs[file] = read_graph(arguments.shared / file)
            found = estimate(graphs[file], board)
            line = []
            for name, got, key in (
                ("activations", found.activations_bytes / 1024, "activation_ram_kib"),
                ("weights", found.weights_bytes / 1024, "weights_flash_kib"),
                ("runtime RAM", found.runtime_ram_bytes / 1024, "runtime_ram_kib"),
                ("code", found.code_bytes / 1024, "code_flash_kib"),
                ("latency", found.latency_ms, "inference_ms"),
            ):
                published = float(row[key]) if row[key] else 0.0
                if not published or got is None:
                    continue
                ratios[(board.series, name)].append(got / published)
                line.append(f"{name} {got:.1f}/{published:.1f} ({got / published - 1:+.0%})")
            if arguments.all:
                print(f"{board.name:20} {Path(file).stem[-44:]:46} {row['cubeai_version'][:22]:24} {', '.join(line)}")
    print("ratio estimated / published, all tool versions")
    print(f"{'series':10} {'figure':12} {'rows':>5} {'median':>7} {'min':>6} {'max':>6} {'mean |error|':>13}")
    for (series, name), values in sorted(ratios.items()):
        array = np.array(values)
        print(
            f"{series:10} {name:12} {len(array):5} {np.median(array):7.2f} {array.min():6.2f} {array.max():6.2f} "
            f"{np.abs(array - 1).mean():12.1%}"
        )


def board_of(row: dict[str, str]) -> Board | None:
    """The board of a row measured with ST's own tools on an int8 network; None for the others."""
    if not row["format"].lower().startswith("int8") or any(name in row["cubeai_version"] for name in THIRD_PARTY):
        return None
    try:
        return load_board(row["board"]) if row["board"] else None
    except ConfigError:
        return None


if __name__ == "__main__":
    main()

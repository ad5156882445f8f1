"""From instructions counted on emulated processors to milliseconds on boards; writes benchmark/core_model.yaml.

    python benchmarks/calibrate_latency.py [--shared ../shared] [--run] [--check]

Two fits for each Cortex-M core, both by non-negative least squares on relative errors:

- cycles: latencies that ST published (benchmarks/published.py) from the instructions of our C for the same file. One
  number a core, cycles an instruction, and where it pays a second for the weights that are read from flash.
- instructions: of each layer from its shapes (stm32pose.benchmark.work), for estimates without a compiler.

Errors are those of rows whose whole architecture had no part in the fit; `board_error` those of rows whose board had
none; `predicted` those of latencies from the graph alone, the architecture left out of both fits. `--run` counts again
what changed (benchmarks/emulated_runs.py), without it the counts of emulated_runs.json are used. `--check` only prints.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from fitting import errors_of, left_out, non_negative, solve
from published import SOURCE, Row, architecture, read_rows

from stm32pose.benchmark.cost_model import CORES
from stm32pose.benchmark.graph import Graph, read_graph
from stm32pose.benchmark.latency import counted_sums
from stm32pose.benchmark.work import WORK, layers

COUNTS = Path(__file__).with_name("emulated_runs.json")
CYCLES = {"cortex-m7": ("instructions",), "cortex-m33": ("instructions",), "cortex-m4": ("instructions",)}
"""Core -> what its cycles are a sum of; see the printed table of alternatives."""
ALTERNATIVES = (("instructions",), ("instructions", "weight_bytes"))


@dataclass(frozen=True)
class Counted:
    """A network's layers on one core: the sums of work of each, and the instructions counted."""

    model: str
    architecture: str
    work: np.ndarray
    instructions: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parent.parent
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("STM32POSE_SHARED", here.parent / "shared")))
    parser.add_argument("--run", action="store_true", help="count instructions first")
    parser.add_argument("--check", action="store_true", help="print, write nothing")
    arguments = parser.parse_args()
    if arguments.run:
        import emulated_runs

        emulated_runs.count(arguments.shared, tuple(CYCLES))
    counts = json.loads(COUNTS.read_text(encoding="utf-8"))
    rows = read_rows(arguments.shared / "facts/st_benchmarks.csv")
    graphs = read_graphs(arguments.shared, counts)
    result = {}
    for core, terms in CYCLES.items():
        known = [counted(name, graph, counts[name][core]) for name, graph in graphs.items() if ran(counts[name], core)]
        chosen = [row for row in rows if row.family == core and ran(counts.get(Path(row.model_file).name, {}), core)]
        missing = [row.model for row in rows if row.family == core and row not in chosen]
        print(
            f"\n== {core}: {len(known)} networks counted, {len(chosen)} published rows",
            *(f"\n  no run: {m}" for m in missing),
        )
        result[core] = {
            "cycles": fit_cycles(chosen, counts, graphs, terms),
            "instructions": fit_instructions(known),
            "predicted": predict(chosen, known, counts, graphs, terms),
        }
    if not arguments.check:
        header = "# Written by benchmarks/calibrate_latency.py; do not edit.\n"
        CORES.write_text(header + yaml.safe_dump(result, sort_keys=False, width=120), encoding="utf-8")
        print(f"written: {CORES}")


def ran(targets: dict, core: str) -> bool:
    """Whether a model ran on a core, and bit for bit."""
    return core in targets and bool(targets[core].get("exact"))


def read_graphs(shared: Path, counts: dict) -> dict[str, Graph]:
    """The graphs of the models that were counted, by file name."""
    paths = {path.name: path for folder in ("pose", "calibration") for path in (shared / "models" / folder).glob("*")}
    return {name: read_graph(paths[name]) for name in sorted(counts) if name in paths}


def counted(name: str, graph: Graph, run: dict) -> Counted:
    """The layers of a run beside those of its graph; those of a kind are matched in their order where there are as
    many, else added up."""
    work: dict[str, list[np.ndarray]] = defaultdict(list)
    for op, sums in layers(graph):
        work[op.kind].append(np.array([sums[term] for term in WORK], float))
    instructions: dict[str, list[int]] = defaultdict(list)
    for kind, number in run["layers"]:
        instructions[kind].append(number)
    rows, numbers = [], []
    for kind, found in instructions.items():
        if len(found) == len(work[kind]):
            rows += work[kind]
            numbers += found
        elif work[kind]:
            rows.append(np.sum(work[kind], axis=0))
            numbers.append(sum(found))
    return Counted(name, architecture(name), np.array(rows), np.array(numbers, float))


def fit_cycles(rows: Sequence[Row], counts: dict, graphs: dict[str, Graph], terms: Sequence[str]) -> dict:
    """Cycles from counted instructions, with every alternative's errors printed."""
    sums = [
        counted_sums(counts[name][row.family]["instructions"], graphs[name].weights_bytes)
        for row in rows
        for name in [Path(row.model_file).name]
    ]
    published = np.array([row.milliseconds * row.mhz * 1e3 for row in rows])
    groups, boards = [row.architecture for row in rows], [row.board for row in rows]
    for tried in ALTERNATIVES:
        matrix = np.array([[each[name] for name in tried] for each in sums])
        found, weights = errors_of(left_out(matrix, published, groups)), solve(matrix, published)
        shown = ", ".join(f"{name} {weight:.4g}" for name, weight in zip(tried, weights, strict=True))
        print("  {}: mean {mean_error:.1%}, 90 % {error:.1%}, worst {worst_error:.1%}".format(shown, **found))
    matrix = np.array([[each[name] for name in terms] for each in sums])
    weights, errors = solve(matrix, published), left_out(matrix, published, groups)
    by_board = left_out(matrix, published, boards)
    for row, each, error, other in sorted(zip(rows, sums, errors, by_board, strict=True), key=lambda it: it[0].model):
        print(
            f"  {row.board:18} {row.model[-44:]:44} {row.tool:20} {row.milliseconds:8.2f} ms, "
            f"{row.milliseconds * row.mhz * 1e3 / each['instructions']:.3f} cycles an instruction, "
            f"left out {error:+6.1%}, its board left out {other:+6.1%}"
        )
    return entry("cycles", terms, weights, rows, errors, by_board)


def entry(
    unit: str,
    terms: Sequence[str],
    weights: Sequence[float] | np.ndarray,
    rows: Sequence[Row],
    errors: np.ndarray,
    by_board: np.ndarray,
) -> dict:
    """A fit as core_model.yaml keeps it."""
    board_error = errors_of(by_board)["error"]
    return {
        "unit": unit,
        "weights": {name: float(f"{value:.6g}") for name, value in zip(terms, weights, strict=True)},
        "rows": len(rows),
        "architectures": len({row.architecture for row in rows}),
        **errors_of(errors),
        "board_error": board_error if np.isfinite(by_board).any() else None,
        "boards": dict(sorted(Counter(row.board for row in rows).items())),
        "source": SOURCE,
    }


def fit_layers(networks: Sequence[Counted]) -> np.ndarray:
    """Instructions a unit of each sum of `WORK`. A layer counts by its share of its network."""
    matrix = np.concatenate([network.work for network in networks])
    wanted = np.concatenate([network.instructions for network in networks])
    totals = np.concatenate([np.full(len(each.instructions), each.instructions.sum()) for each in networks])
    size = np.sqrt(np.maximum(wanted, 1) * totals)
    return non_negative(matrix / size[:, None], wanted / size)


def fit_instructions(networks: Sequence[Counted]) -> dict:
    """Instructions from the graph, and how wrong the sums of whole networks were, their architecture left out."""
    weights = fit_layers(networks)
    errors = np.array(
        [
            each.work.sum(0)
            @ fit_layers([other for other in networks if other.architecture != each.architecture])
            / each.instructions.sum()
            - 1
            for each in networks
        ]
    )
    found = errors_of(errors)
    print(
        "  instructions from the graph: mean {mean_error:.1%}, 90 % {error:.1%}, worst {worst_error:.1%}".format(
            **found
        )
    )
    for each, error in zip(networks, errors, strict=True):
        print(f"    {each.model[-60:]:60} {each.instructions.sum() / 1e6:9.2f} M, left out {error:+6.1%}")
    print("  " + ", ".join(f"{name} {weight:.3g}" for name, weight in zip(WORK, weights, strict=True)))
    return {
        "unit": "instructions",
        "weights": {name: float(f"{value:.6g}") for name, value in zip(WORK, weights, strict=True)},
        "rows": len(networks),
        "architectures": len({each.architecture for each in networks}),
        **found,
        "boards": {},
        "source": "emulated runs, benchmarks/emulated_runs.json",
    }


def predict(
    rows: Sequence[Row], networks: Sequence[Counted], counts: dict, graphs: dict[str, Graph], terms: Sequence[str]
) -> dict:
    """How wrong latencies from the graph alone were, the row's architecture (or its board) left out of both fits."""
    work = {each.model: each.work.sum(0) for each in networks}
    names = [Path(row.model_file).name for row in rows]
    published = np.array([row.milliseconds * row.mhz * 1e3 for row in rows])
    matrix = np.array(
        [
            [counted_sums(counts[name][row.family]["instructions"], graphs[name].weights_bytes)[term] for term in terms]
            for row, name in zip(rows, names, strict=True)
        ]
    )

    def error(index: int, without: Sequence[bool], weights: np.ndarray) -> float:
        inside = ~np.array(without)
        if not inside.any():
            return float("nan")
        cycles = solve(matrix[inside], published[inside])
        instructions = float(work[names[index]] @ weights)
        sums = counted_sums(instructions, graphs[names[index]].weights_bytes)
        return float(sum(sums[term] * cost for term, cost in zip(terms, cycles, strict=True)) / published[index] - 1)

    fitted = {
        name: fit_layers([each for each in networks if each.architecture != name])
        for name in {row.architecture for row in rows}
    }
    errors, by_board = [], []
    for index, row in enumerate(rows):
        weights = fitted[row.architecture]
        errors.append(error(index, [other.architecture == row.architecture for other in rows], weights))
        by_board.append(error(index, [other.board == row.board for other in rows], weights))
        print(f"    {row.board:18} {row.model[-44:]:44} from the graph {errors[-1]:+6.1%}")
    found = entry("cycles", (), (), rows, np.array(errors), np.array(by_board))
    print("  latency from the graph: mean {mean_error:.1%}, 90 % {error:.1%}, worst {worst_error:.1%}".format(**found))
    return found


if __name__ == "__main__":
    main()

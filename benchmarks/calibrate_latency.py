"""From instructions counted on emulated processors to milliseconds on boards; writes benchmark/core_model.yaml.

    python benchmarks/calibrate_latency.py [--shared ../shared] [--run] [--check]

Two fits for each Cortex-M core, both by non-negative least squares on relative errors:

- cycles: latencies that ST published (benchmarks/published.py) from the instructions of our C for the same file, and
  what it reads from far memory (stm32pose.benchmark.latency.CYCLE_TERMS). M33 and M4 have too few rows for weights of
  their own: those of the M7 times one factor.
- instructions: of each layer from its shapes (stm32pose.benchmark.work), for estimates without a compiler.

Errors are those of rows whose whole architecture had no part in any fit. What is far (NEAR_BYTES) was chosen with all
rows in sight, which flatters them: `choice_error` is of rows whose architecture had no part in that choice either, and
is what users are shown. `board_error`: of rows whose board had no part. `predicted`: of latencies from the graph alone.
`--run` counts again what changed (benchmarks/emulated_runs.py); without it emulated_runs.json is taken as it is.
`--check` only prints.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations, product
from pathlib import Path

import numpy as np
import yaml
from fitting import errors_of, non_negative
from published import SOURCE, Row, architecture, read_rows

from stm32pose.benchmark.cost_model import CORES
from stm32pose.benchmark.graph import Graph, read_graph
from stm32pose.benchmark.latency import CYCLE_TERMS, NEAR_BYTES, cycle_sums
from stm32pose.benchmark.work import WORK, layers

COUNTS = Path(__file__).with_name("emulated_runs.json")
BASE = "cortex-m7"
SCALED = ("cortex-m33", "cortex-m4")
TERMS = tuple(CYCLE_TERMS)
UNSEEN = {"upsample_macs": 8.0}
"""Instructions a unit of what no network of shared/models has: measured on single layers, 5.9 to 9.2."""
NEAR_TRIED = tuple(1024 * size for size in (0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32))
"""What may count as near, for activations and for weights."""
Near = tuple[int, int]
CHOSEN: Near = (NEAR_BYTES, NEAR_BYTES)


@dataclass(frozen=True, eq=False)
class Counted:
    """A network's layers on one core: the sums of work of each, and the instructions counted."""

    model: str
    architecture: str
    work: np.ndarray
    instructions: np.ndarray


@dataclass(frozen=True, eq=False)
class Core:
    """A core's published rows beside the counts of their models, and all models that were counted.

    `cycles` are published, [rows]; `sums` [rows, TERMS] of counted instructions.
    """

    name: str
    rows: list[Row]
    graphs: list[Graph]
    counts: list[float]
    networks: list[Counted]
    cycles: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cycles", np.array([row.milliseconds * row.mhz * 1e3 for row in self.rows]))

    def relative(self, near: Near = CHOSEN, counts: Sequence[float] | None = None) -> np.ndarray:
        """[rows, TERMS], the sums over the published cycles; of other instructions than those counted, where given."""
        counts = self.counts if counts is None else counts
        sums = [cycle_sums(count, graph, *near) for count, graph in zip(counts, self.graphs, strict=True)]
        return np.array([[each[name] for name in TERMS] for each in sums]) / self.cycles[:, None]

    def without(self, group: str, of: Callable[[Row], str]) -> np.ndarray:
        return np.array([of(row) != group for row in self.rows], bool)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parent.parent
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("STM32POSE_SHARED", here.parent / "shared")))
    parser.add_argument("--run", action="store_true", help="count instructions first")
    parser.add_argument("--check", action="store_true", help="print, write nothing")
    arguments = parser.parse_args()
    if arguments.run:
        import emulated_runs

        emulated_runs.count(arguments.shared, (BASE, *SCALED))
    counts = json.loads(COUNTS.read_text(encoding="utf-8"))
    rows = read_rows(arguments.shared / "facts/st_benchmarks.csv")
    graphs = read_graphs(arguments.shared, counts)
    base = core_of(BASE, rows, graphs, counts)
    choices = choose_near(base)
    result = {
        core.name: calibrate(core, base, choices)
        for core in (base, *(core_of(name, rows, graphs, counts) for name in SCALED))
    }
    for name in SCALED:  # boards other than the only one with rows: as wrong as on the base
        for kind in ("cycles", "predicted"):
            if result[name][kind]["board_error"] is None:
                result[name][kind]["board_error"] = result[BASE][kind]["board_error"]
    for fits in result.values():  # what leaves the count to a model is not to be trusted more than the count itself
        for error in ("error", "choice_error", "board_error"):
            fits["predicted"][error] = max(fits["predicted"][error], fits["cycles"][error])
    if not arguments.check:
        header = "# Written by benchmarks/calibrate_latency.py; do not edit.\n"
        CORES.write_text(header + yaml.safe_dump(result, sort_keys=False, width=120), encoding="utf-8")
        print(f"written: {CORES}")


def read_graphs(shared: Path, counts: dict) -> dict[str, Graph]:
    """The graphs of the models that were counted, by file name."""
    paths = {path.name: path for folder in ("pose", "calibration") for path in (shared / "models" / folder).glob("*")}
    return {name: read_graph(paths[name]) for name in sorted(counts) if name in paths}


def core_of(name: str, rows: Sequence[Row], graphs: dict[str, Graph], counts: dict) -> Core:
    """What is known of a core; rows whose model did not run are named."""
    ran = {
        model: runs[name]
        for model, runs in counts.items()
        if model in graphs and "instructions" in runs.get(name, {}) and runs[name]["exact"] is not False
    }
    chosen = []
    for row in rows:
        if row.family == name and Path(row.model_file).name in ran:
            chosen.append(row)
        elif row.family == name:
            print(f"{name}: no run of {row.model}")
    names = [Path(row.model_file).name for row in chosen]
    return Core(
        name,
        chosen,
        [graphs[model] for model in names],
        [ran[model]["instructions"] for model in names],
        [counted(model, graphs[model], run) for model, run in ran.items()],
    )


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


def weights_of(core: Core, base: Core, keep: np.ndarray, keep_base: np.ndarray, near: Near = CHOSEN) -> np.ndarray:
    """Cycles a unit of each term, from the rows to keep; those of the base times one factor, where it is another."""
    own = non_negative(base.relative(near)[keep_base])
    if core is base:
        return own
    guess = core.relative(near)[keep] @ own
    return own * float(guess.sum() / (guess @ guess))


def calibrate(core: Core, base: Core, choices: dict[str, Near]) -> dict:
    """All fits of a core, with their errors; `choices`: architecture -> what would be near without its rows."""
    boards, architectures = {row.board for row in core.rows}, {row.architecture for row in core.rows}
    print(f"\n== {core.name}: {len(core.networks)} networks counted, {len(core.rows)} published rows")
    fitted = {name: fit_layers([n for n in core.networks if n.architecture != name]) for name in architectures}
    from_graph = [
        float(work_of(core, row) @ fitted[row.architecture]) for row in core.rows
    ]  # instructions, without the row's own architecture
    counted_errors, graph_errors, choice, graph_choice, of_board, graph_of_board = np.full((6, len(core.rows)), np.nan)
    everything = np.ones(len(base.rows), bool)
    for name in architectures:
        keep, keep_base = (each.without(name, lambda row: row.architecture) for each in (core, base))
        for near, by_count, by_graph in (
            (CHOSEN, counted_errors, graph_errors),
            (choices.get(name, CHOSEN), choice, graph_choice),
        ):
            weights = weights_of(core, base, keep, keep_base, near)
            by_count[~keep] = core.relative(near)[~keep] @ weights - 1
            by_graph[~keep] = core.relative(near, from_graph)[~keep] @ weights - 1
    for name in boards if len(boards) > 1 else ():
        keep = core.without(name, lambda row: row.board)
        weights = weights_of(core, base, keep, keep if core is base else everything)
        of_board[~keep] = core.relative()[~keep] @ weights - 1
        graph_of_board[~keep] = core.relative(CHOSEN, from_graph)[~keep] @ weights - 1
    weights = weights_of(core, base, np.ones(len(core.rows), bool), everything)
    print("  cycles: " + ", ".join(f"{value:.4g} {name}" for name, value in zip(TERMS, weights, strict=True)))
    for index in sorted(range(len(core.rows)), key=lambda index: core.rows[index].model_file):
        row = core.rows[index]
        print(
            f"  {row.board:17} {row.model[-40:]:40} {row.tool:20} {row.milliseconds:8.2f} ms "
            f"{core.cycles[index] / core.counts[index]:6.3f} cycles an instruction; "
            f"left out {counted_errors[index]:+6.1%}, of the choice too {choice[index]:+6.1%}, "
            f"its board left out {of_board[index]:+6.1%}, from the graph {graph_errors[index]:+6.1%}"
        )
    cycles = entry(core, weights, counted_errors, choice, of_board)
    predicted = entry(core, weights, graph_errors, graph_choice, graph_of_board)
    for name in sorted(boards):
        own = errors_of(counted_errors[~core.without(name, lambda row: row.board)])
        print("  {} alone: mean {mean_error:.1%}, worst {worst_error:.1%}".format(name, **own))
    for name, found in (("counted", cycles), ("from the graph", predicted)):
        print(
            "  {}: mean {mean_error:.1%}, 90 % {error:.1%}, worst {worst_error:.1%}; of the choice too 90 % "
            "{choice_error:.1%}".format(name, **found)
        )
    return {"cycles": cycles, "instructions": fit_instructions(core.networks), "predicted": predicted}


def work_of(core: Core, row: Row) -> np.ndarray:
    """Sums of `WORK` of a row's network."""
    return next(each.work.sum(0) for each in core.networks if each.model == Path(row.model_file).name)


def entry(core: Core, weights: np.ndarray, errors: np.ndarray, choice: np.ndarray, of_board: np.ndarray) -> dict:
    """A fit as core_model.yaml keeps it."""
    return {
        "unit": "cycles",
        "weights": {name: float(f"{value:.6g}") for name, value in zip(TERMS, weights, strict=True)},
        "rows": len(core.rows),
        "architectures": len({row.architecture for row in core.rows}),
        **errors_of(errors),
        "choice_error": errors_of(choice)["error"],
        "board_error": errors_of(of_board)["error"] if np.isfinite(of_board).any() else None,  # None: one board alone
        "boards": dict(sorted(Counter(row.board for row in core.rows).items())),
        "source": SOURCE,
    }


def fit_layers(networks: Sequence[Counted]) -> np.ndarray:
    """Instructions a unit of each sum of `WORK`. A layer counts by its share of its network."""
    matrix = np.concatenate([network.work for network in networks])
    wanted = np.concatenate([network.instructions for network in networks])
    totals = np.concatenate([np.full(len(each.instructions), each.instructions.sum()) for each in networks])
    size = np.sqrt(np.maximum(wanted, 1) * totals)
    weights = non_negative(matrix / size[:, None], wanted / size)
    for index, name in enumerate(WORK):
        if name in UNSEEN and not matrix[:, index].any():
            weights[index] = UNSEEN[name]
    return weights


def fit_instructions(networks: Sequence[Counted]) -> dict:
    """Instructions from the graph, and how wrong the sums of whole networks were, their architecture left out."""
    weights = fit_layers(networks)
    without = {
        name: fit_layers([each for each in networks if each.architecture != name])
        for name in {each.architecture for each in networks}
    }
    errors = np.array(
        [each.work.sum(0) @ without[each.architecture] / each.instructions.sum() - 1 for each in networks]
    )
    found = errors_of(errors)
    print(
        "  instructions from the graph: mean {mean_error:.1%}, 90 % {error:.1%}, worst {worst_error:.1%}".format(
            **found
        )
    )
    print("    " + ", ".join(f"{each.model[:34]} {error:+.1%}" for each, error in zip(networks, errors, strict=True)))
    print("    " + ", ".join(f"{value:.3g} {name}" for name, value in zip(WORK, weights, strict=True)))
    return {
        "unit": "instructions",
        "weights": {name: float(f"{value:.6g}") for name, value in zip(WORK, weights, strict=True)},
        "rows": len(networks),
        "architectures": len(without),
        **found,
        "boards": {},
        "source": "emulated runs, benchmarks/emulated_runs.json",
    }


def choose_near(base: Core) -> dict[str, Near]:
    """What would count as near had the rows of an architecture not been there, by the errors of the others.

    Also prints the errors of other choices and of fewer terms, with all rows in sight.
    """
    keeps = {name: base.without(name, lambda row: row.architecture) for name in {row.architecture for row in base.rows}}
    everything = np.ones(len(base.rows), bool)
    matrices = {near: base.relative(near) for near in product(NEAR_TRIED, NEAR_TRIED)}

    def errors(matrix: np.ndarray, inside: np.ndarray) -> np.ndarray:
        found = np.full(len(base.rows), np.nan)
        for keep in keeps.values():
            if (test := inside & ~keep).any():
                found[test] = matrix[test] @ non_negative(matrix[inside & keep]) - 1
        return found

    print(f"{BASE}, what cycles could be a sum of, all rows in sight:")
    for terms in chain.from_iterable(combinations(range(len(TERMS)), size) for size in (1, 2, 3)):
        found = errors_of(errors(matrices[CHOSEN][:, list(terms)], everything))
        names = " + ".join(TERMS[index] for index in terms)
        print("  {}: mean {mean_error:.1%}, worst {worst_error:.1%}".format(names, **found))
    for size in NEAR_TRIED:
        found = [
            errors_of(errors(matrices[near], everything))["mean_error"]
            for near in ((size, NEAR_BYTES), (NEAR_BYTES, size))
        ]
        print(f"  near activations {size}: mean {found[0]:.1%}; near weights {size}: mean {found[1]:.1%}")
    return {
        name: min(matrices, key=lambda near: float(np.nanmean(np.abs(errors(matrices[near], keep)))))
        for name, keep in sorted(keeps.items())
    }


if __name__ == "__main__":
    main()

"""Fit the cost models of accelerators, Linux boards and ST's runtime; writes benchmark/cost_model.yaml.

    python benchmarks/fit_cost_model.py [--shared ../shared] [--check]

Takes the published rows of benchmarks/published.py, and those of ST's MoveNet heat maps at 224 and 256, whose graph is
that of the file at 192 with larger maps. Weights are found by non-negative least squares on relative errors; each
error is that of a row whose whole architecture (MobileNetV1, MobileNetV2, MoveNet, ...) was left out of the fit.
`--check` only prints. Cortex-M cores: benchmarks/calibrate_latency.py.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import yaml
from fitting import errors_of, left_out, non_negative, solve
from published import SOURCE, Row, read_rows

from stm32pose.benchmark.cost_model import FILE
from stm32pose.benchmark.features import features
from stm32pose.benchmark.graph import read_graph
from stm32pose.benchmark.memory import plan_memory
from stm32pose.boards.board import load_board

FAMILIES = {
    "neural-art-n6": ("microseconds", ["weight_bytes", "traffic_bytes", "software_bytes", "resize_bytes"]),
    "stm32mp2-gpu": ("microseconds", ["macs", "inference"]),
    "stm32mp2-npu": ("microseconds", ["macs"]),
    "cortex-a7-2-cores": ("cycles", ["conv_macs", "matrix_macs", "depthwise_macs"]),
    "cortex-a7-1-core": ("cycles", "cortex-a7-2-cores"),
}
RANGES = ("neural-art-n6",)
"""Families that are shown as a range: what an accelerator's compiler does is not modelled."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parent.parent
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("STM32POSE_SHARED", here.parent / "shared")))
    parser.add_argument("--check", action="store_true", help="print, write nothing")
    arguments = parser.parse_args()
    shared = arguments.shared
    rows = read_rows(shared / "facts/st_benchmarks.csv")
    accelerator = load_board("STM32N6570-DK").accelerator
    accelerated = accelerator.operators if accelerator else ()
    sums = {row: scaled_features(shared / row.model_file, row.scale, accelerated) for row in rows}
    latency: dict[str, dict] = {}
    for family, (unit, terms) in FAMILIES.items():
        chosen = [row for row in rows if row.family == family]
        latency[family] = fit_family(chosen, [sums[row] for row in chosen], unit, terms, latency)
    # The runtime of STEdgeAI Core 3 is smaller, but only three rows show it: the one before it is the safe side.
    older = read_rows(shared / "facts/st_benchmarks.csv", ("9.0.0", "9.1.0", "10.0.0", "10.2.0"))
    memory = {
        name: fit_memory(
            [row for row in older if row.family.startswith("cortex-m") and getattr(row, field)], field, shared
        )
        for name, field in (("code_flash", "code_kib"), ("runtime_ram", "runtime_kib"))
    }
    memory["st_activations"] = {
        name: activations_ratio([row for row in rows if row.family.startswith(name)], shared)
        for name in ("cortex-m", "neural-art-n6")
    }
    if not arguments.check:
        header = "# Written by benchmarks/fit_cost_model.py; do not edit.\n"
        text = yaml.safe_dump({"latency": latency, "memory": memory}, sort_keys=False, width=120)
        FILE.write_text(header + text, encoding="utf-8")
        print(f"written: {FILE}")


def scaled_features(path: Path, scale: float, accelerated: Sequence[str]) -> dict[str, float]:
    """Features of the file's network with an input `scale` times as wide and high (fully convolutional networks)."""
    fixed = ("weight_bytes", "inference")
    sums = features(read_graph(path), accelerated)
    return {name: value if name in fixed else value * scale * scale for name, value in sums.items()}


def fit_family(
    rows: list[Row], sums: list[dict[str, float]], unit: str, terms: list[str] | str, fitted: dict[str, dict]
) -> dict:
    """Weights and honest errors of one family; `terms` may name a fitted family that one factor turns into this one."""
    published = np.array([row.milliseconds * 1e3 * (row.mhz if unit == "cycles" else 1) for row in rows])
    if isinstance(terms, str):
        base = fitted[terms]["weights"]
        matrix = np.array([[sum(base[name] * sum_[name] for name in base)] for sum_ in sums])
    else:
        matrix = np.array([[sum_[name] for name in terms] for sum_ in sums])
    groups = [row.architecture for row in rows]
    weights, errors = solve(matrix, published), left_out(matrix, published, groups)
    if isinstance(terms, str):
        named = {name: float(weight * weights[0]) for name, weight in fitted[terms]["weights"].items()}
    else:
        named = {name: float(weight) for name, weight in zip(terms, weights, strict=True)}
    entry = summary(unit, named, rows, errors)
    if isinstance(terms, str) and not np.isfinite(errors).any():
        # One architecture alone: no row can be left out, so the family it is scaled from lends its error.
        entry |= {name: fitted[terms][name] for name in ("mean_error", "error", "worst_error")}
    if rows[0].family in RANGES:
        entry["range_error"] = range_error(matrix, published, groups)
    report(rows, matrix @ weights / published - 1, errors, entry)
    return entry


def range_error(matrix: np.ndarray, published: np.ndarray, groups: Sequence[str]) -> float:
    """The largest error of any row when its architecture and any second one had no part in the fit.

    Which sums are weighed was chosen with all rows in sight, so leaving out one architecture flatters the fit.
    """
    relative, worst = matrix / published[:, None], 0.0
    for pair in combinations(sorted(set(groups)), 2):
        inside = np.array([name in pair for name in groups])
        errors = relative[inside] @ non_negative(relative[~inside]) - 1
        worst = max(worst, float(np.abs(errors).max()))
    return round(worst, 3)


def fit_memory(rows: list[Row], field: str, shared: Path) -> dict:
    """Bytes of the runtime's code or state: so much, and so much an operator."""
    counts = [len(read_graph(shared / row.model_file).ops) for row in rows]
    matrix = np.array([[1.0, count] for count in counts])
    published = np.array([getattr(row, field) * 1024 for row in rows])
    weights, errors = solve(matrix, published), left_out(matrix, published, [row.architecture for row in rows])
    entry = summary("bytes", {"inference": float(weights[0]), "operators": float(weights[1])}, rows, errors)
    report(rows, matrix @ weights / published - 1, errors, entry, field)
    return entry


def activations_ratio(rows: list[Row], shared: Path) -> dict:
    """How ST's activation RAM compares with a plan without overlap: its planner overlaps, but adds buffers."""
    ratios = [
        row.activations_kib * 1024 / (plan_memory(read_graph(shared / row.model_file)).peak_bytes * row.scale**2)
        for row in rows
        # MLPerf's rows tell the size of a buffer in the project, not what the network needs of it.
        if row.activations_kib and row.architecture not in ("kws", "ad01")
    ]
    print(f"\nST's activations over ours without overlap: {min(ratios):.2f}..{max(ratios):.2f} on {len(ratios)} rows")
    return {"low": round(min(ratios), 2), "high": round(max(ratios), 2), "rows": len(ratios)}


def summary(unit: str, weights: dict[str, float], rows: list[Row], errors: np.ndarray) -> dict:
    return {
        "unit": unit,
        "weights": {name: float(f"{value:.6g}") for name, value in weights.items()},
        "rows": len(rows),
        "architectures": len({row.architecture for row in rows}),
        **errors_of(errors),
        "boards": dict(sorted(Counter(row.board for row in rows).items())),
        "source": SOURCE,
    }


def report(rows: list[Row], fitted: np.ndarray, errors: np.ndarray, entry: dict, what: str = "") -> None:
    """Every row with its error inside the fit and left out of it."""
    print(f"\n{what or rows[0].family}: {entry['rows']} rows of {entry['architectures']} architectures")
    print(f"  {entry['weights']}")
    for row, error, honest in sorted(zip(rows, fitted, errors, strict=True), key=lambda item: item[0].architecture):
        name = f"{row.architecture} {row.model[-34:]}"
        print(f"  {row.board:18} {name:48} {row.tool:24} {row.milliseconds:9.2f} ms  {error:+7.1%} {honest:+7.1%}")
    print("  left out: mean {mean_error:.1%}, 90th percentile {error:.1%}, worst {worst_error:.1%}".format(**entry))
    if "range_error" in entry:
        print(f"  two architectures left out: worst {entry['range_error']:.1%}")


if __name__ == "__main__":
    main()

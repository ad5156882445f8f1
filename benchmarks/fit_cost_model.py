"""Fit the cost model on published rows and write src/stm32pose/benchmark/cost_model.yaml.

    python benchmarks/fit_cost_model.py [--shared ../shared] [--check]

Takes the int8 rows of shared/facts/st_benchmarks.csv whose model file is at hand, and those of ST's MoveNet heat maps
at 224 and 256, whose graph is that of the file at 192 with larger maps. Of several versions of ST's tools the newest
row of a model and board counts. Weights are found by non-negative least squares on relative errors; each error is that
of a row whose whole architecture (MobileNetV1, MobileNetV2, MoveNet, ...) was left out of the fit. `--check` only
prints.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from stm32pose.benchmark.cost_model import FILE
from stm32pose.benchmark.features import features
from stm32pose.benchmark.graph import read_graph
from stm32pose.boards.board import load_board

POSE = "models/calibration/STMicroelectronics__st_movenet_lightning_heatmaps_192_int8_pc.tflite"
SOURCE = "ST's model zoo and MLPerf Tiny, shared/facts/st_benchmarks.csv"
MCU_TOOLS = ["8.1.0", "9.0.0", "9.1.0", "10.0.0", "10.2.0", "STEdgeAI Core 3.0.0", "STEdgeAI Core 4.0.0"]
NPU_TOOLS = ["10.0.0 (STEdgeAI 2.0.0)", "STEdgeAI Core 3.0.0", "STEdgeAI Core 4.0.0"]
LINUX_TOOLS = ["", "X-LINUX-AI v5.0.0", "X-LINUX-AI v5.1.0", "X-LINUX-AI v6.1.0"]
CORE = ["conv_macs", "matrix_macs", "weighted_outputs", "other_bytes"]
FAMILIES = {
    "neural-art-n6": ("microseconds", ["weight_bytes", "traffic_bytes", "software_bytes", "resize_bytes"]),
    "stm32mp2-gpu": ("microseconds", ["macs", "inference"]),
    "stm32mp2-npu": ("microseconds", ["macs"]),
    "cortex-m7": ("cycles", CORE),
    "cortex-m4": ("cycles", "cortex-m7"),
    "cortex-m33": ("cycles", "cortex-m7"),
    "cortex-a7-2-cores": ("cycles", ["conv_macs", "matrix_macs", "depthwise_macs"]),
    "cortex-a7-1-core": ("cycles", "cortex-a7-2-cores"),
}


@dataclass(frozen=True)
class Row:
    """A published row: `scale` is the side of its input over that of the file's."""

    family: str
    architecture: str
    board: str
    model_file: str
    scale: float
    tool: str
    mhz: float
    milliseconds: float
    runtime_kib: float | None
    code_kib: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parent.parent
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("STM32POSE_SHARED", here.parent / "shared")))
    parser.add_argument("--check", action="store_true", help="print, write nothing")
    arguments = parser.parse_args()
    rows = read_rows(arguments.shared / "facts/st_benchmarks.csv")
    accelerator = load_board("STM32N6570-DK").accelerator
    accelerated = accelerator.operators if accelerator else ()
    sums = [scaled_features(arguments.shared / row.model_file, row.scale, accelerated) for row in rows]
    result: dict[str, dict] = {"latency": {}, "memory": {}}
    for family, (unit, terms) in FAMILIES.items():
        chosen = [index for index, row in enumerate(rows) if row.family == family]
        result["latency"][family] = fit_family(
            [rows[index] for index in chosen], [sums[index] for index in chosen], unit, terms, result["latency"]
        )
    # The runtime of STEdgeAI Core 3 is smaller, but only three rows show it: the one before it is the safe side.
    older = read_rows(arguments.shared / "facts/st_benchmarks.csv", [tool for tool in MCU_TOOLS if "Core" not in tool])
    for name, field in (("code_flash", "code_kib"), ("runtime_ram", "runtime_kib")):
        chosen = [row for row in older if row.family.startswith("cortex-m") and getattr(row, field)]
        result["memory"][name] = fit_memory(chosen, field, arguments.shared)
    if not arguments.check:
        header = "# Written by benchmarks/fit_cost_model.py; do not edit.\n"
        FILE.write_text(header + yaml.safe_dump(result, sort_keys=False, width=120), encoding="utf-8")
        print(f"written: {FILE}")


def read_rows(path: Path, mcu_tools: Sequence[str] = MCU_TOOLS) -> list[Row]:
    """The rows to fit on: int8, latency published, model file at hand, ST's own runtime; newest tool of each."""
    newest: dict[tuple, tuple[int, Row]] = {}
    with path.open(newline="", encoding="utf-8") as stream:
        for entry in csv.DictReader(stream):
            if not entry["format"].lower().startswith("int8") or not entry["inference_ms"]:
                continue
            tool, series = entry["cubeai_version"], entry["series"]
            tools = {"STM32N6": NPU_TOOLS, "STM32MP1": LINUX_TOOLS, "STM32MP2": LINUX_TOOLS}.get(series, mcu_tools)
            family = family_of(entry)
            if tool not in tools or family is None:
                continue
            file, scale = entry["model_file"], 1.0
            if "heatmaps" in entry["model"]:
                file, scale = POSE, int(entry["input"].split("x")[0]) / 192
            if not file.endswith(".tflite"):
                continue
            row = Row(
                *(family, architecture(file), entry["board"], file, scale, tool),
                mhz=float(entry["freq_mhz"] or 0),
                milliseconds=float(entry["inference_ms"]),
                runtime_kib=float(entry["runtime_ram_kib"]) if entry["runtime_ram_kib"] else None,
                code_kib=float(entry["code_flash_kib"]) if entry["code_flash_kib"] else None,
            )
            key = (family, entry["board"].upper().replace("_", "-"), file, scale, "tensor" in entry["format"])
            rank = tools.index(tool)
            if key not in newest or rank >= newest[key][0]:
                newest[key] = (rank, row)
    return [row for _, row in newest.values()]


def family_of(entry: dict[str, str]) -> str | None:
    """The family of the cost model that a row belongs to; None for cores without one."""
    core, series = entry["core"], entry["series"]
    if series == "STM32MP2":
        return "stm32mp2-npu" if "tensor" in entry["format"] else "stm32mp2-gpu"
    if series == "STM32MP1":
        if "tensor" in entry["format"]:  # slower there, and every other row is per channel
            return None
        return "cortex-a7-1-core" if "1 CPU" in core else "cortex-a7-2-cores"
    if series == "STM32N6":
        return "neural-art-n6"
    if not entry["freq_mhz"]:
        return None
    for family, name in (("cortex-m7", "M7"), ("cortex-m4", "M4"), ("cortex-m33", "M33")):
        if re.search(rf"Cortex-{name}\b", core):
            return family
    return None


def architecture(file: str) -> str:
    """mobilenet_v2, st_yolo_lc_v1, ...: what the rows of a network at several sizes share."""
    stem = Path(file).stem
    names = (
        "mobilenet_v1",
        "mobilenet_v2",
        "resnet",
        "st_yolo_lc",
        "yolov8n",
        "movenet",
        "mnist",
        "kws",
        "ad01",
        "gmp",
    )
    for name in ("ssd", *names, "ign"):
        if name in stem:
            return name
    return stem


def scaled_features(path: Path, scale: float, accelerated: Sequence[str]) -> dict[str, float]:
    """Features of the file's network with an input `scale` times as wide and high (fully convolutional networks)."""
    fixed = ("weight_bytes", "inference")
    sums = features(read_graph(path), accelerated)
    return {name: value if name in fixed else value * scale * scale for name, value in sums.items()}


def fit_family(
    rows: list[Row], sums: list[dict[str, float]], unit: str, terms: list[str] | str, fitted: dict[str, dict]
) -> dict:
    """Weights and honest errors of one family; `terms` may name a fitted family that one factor turns into this one."""
    factor = 1e6 if unit == "cycles" else 1e3
    published = np.array([row.milliseconds * (row.mhz * 1e6 / 1e3 if unit == "cycles" else factor) for row in rows])
    if isinstance(terms, str):
        base = fitted[terms]["weights"]
        matrix = np.array([[sum(base[name] * sum_[name] for name in base)] for sum_ in sums])
    else:
        matrix = np.array([[sum_[name] for name in terms] for sum_ in sums])
    groups = [row.architecture for row in rows]
    weights, errors = solve_and_test(matrix, published, groups)
    if isinstance(terms, str):
        named = {name: float(weight * weights[0]) for name, weight in fitted[terms]["weights"].items()}
    else:
        named = {name: float(weight) for name, weight in zip(terms, weights, strict=True)}
    entry = summary(unit, named, rows, errors)
    if isinstance(terms, str) and not np.isfinite(errors).any():
        # One architecture alone: no row can be left out, so the family it is scaled from lends its error.
        entry |= {name: fitted[terms][name] for name in ("mean_error", "error")}
    report(rows, matrix @ weights / published - 1, errors, entry)
    return entry


def fit_memory(rows: list[Row], field: str, shared: Path) -> dict:
    """Bytes of the runtime's code or state: so much, and so much an operator."""
    counts = [len(read_graph(shared / row.model_file).ops) for row in rows]
    matrix = np.array([[1.0, count] for count in counts])
    published = np.array([getattr(row, field) * 1024 for row in rows])
    weights, errors = solve_and_test(matrix, published, [row.architecture for row in rows])
    entry = summary("bytes", {"inference": float(weights[0]), "operators": float(weights[1])}, rows, errors)
    report(rows, matrix @ weights / published - 1, errors, entry, field)
    return entry


def solve_and_test(matrix: np.ndarray, published: np.ndarray, groups: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Weights over all rows, and every row's relative error when its group had no part in the fit."""
    relative = matrix / published[:, None]
    errors = np.full(len(published), np.nan)
    for group in sorted(set(groups)):
        inside = np.array([name == group for name in groups])
        if inside.all():
            continue
        errors[inside] = relative[inside] @ non_negative(relative[~inside]) - 1
    return non_negative(relative), errors


def non_negative(matrix: np.ndarray, rounds: int = 20_000) -> np.ndarray:
    """argmin |matrix w - 1| with w >= 0, by cyclic coordinate descent (convex, so it ends at the minimum)."""
    size = np.linalg.norm(matrix, axis=0)
    scaled = matrix / np.where(size > 0, size, 1)
    gram, right = scaled.T @ scaled, scaled.T @ np.ones(len(matrix))
    weights = np.zeros(matrix.shape[1])
    for _ in range(rounds):
        before = weights.copy()
        for column in np.flatnonzero(size):
            weights[column] = max(0.0, weights[column] + right[column] - gram[column] @ weights)
        if np.abs(weights - before).max() < 1e-12:
            break
    return weights / np.where(size > 0, size, 1)


def summary(unit: str, weights: dict[str, float], rows: list[Row], errors: np.ndarray) -> dict:
    known = np.abs(errors[np.isfinite(errors)])
    return {
        "unit": unit,
        "weights": {name: float(f"{value:.6g}") for name, value in weights.items()},
        "rows": len(rows),
        "architectures": len({row.architecture for row in rows}),
        "mean_error": round(float(known.mean()), 3) if len(known) else 0.0,
        "error": round(float(np.quantile(known, 0.9)), 3) if len(known) else 0.0,
        "boards": sorted({load_board(row.board).name for row in rows}),
        "source": SOURCE,
    }


def report(rows: list[Row], fitted: np.ndarray, left_out: np.ndarray, entry: dict, what: str = "") -> None:
    print(f"\n{what or rows[0].family}: {entry['rows']} rows of {entry['architectures']} architectures")
    print(f"  {entry['weights']}")
    for row, error, honest in sorted(zip(rows, fitted, left_out, strict=True), key=lambda item: item[0].architecture):
        name = f"{row.architecture} x{row.scale:.2f} {Path(row.model_file).stem[-30:]}"
        print(f"  {row.board:22} {name:50} {row.tool:24} {row.milliseconds:9.2f} ms  {error:+7.1%} {honest:+7.1%}")
    print(f"  left out: mean {entry['mean_error']:.1%}, 90th percentile {entry['error']:.1%}")


if __name__ == "__main__":
    main()

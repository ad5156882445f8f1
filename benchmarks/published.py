"""ST's published rows whose model file is at hand: what the cost models are fitted on.

Of shared/facts/st_benchmarks.csv those int8 rows that ST's own runtime was measured on. Of a model on a board only the
newest tool counts; several measurements with it are averaged. Rows of Cortex-M cores measured before STM32Cube.AI 9
are left out where no newer one exists, too: its kernels made the same files 8 to 35 % faster.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stm32pose.boards.board import load_board

POSE = "models/calibration/STMicroelectronics__st_movenet_lightning_heatmaps_192_int8_pc.tflite"
SOURCE = "ST's model zoo and MLPerf Tiny, shared/facts/st_benchmarks.csv"
MCU_TOOLS = ("9.0.0", "9.1.0", "10.0.0", "10.2.0", "STEdgeAI Core 3.0.0", "STEdgeAI Core 4.0.0")
TOOLS = {
    "STM32N6": ("10.0.0 (STEdgeAI 2.0.0)", "STEdgeAI Core 3.0.0", "STEdgeAI Core 4.0.0"),
    "STM32MP1": ("", "X-LINUX-AI v5.0.0", "X-LINUX-AI v5.1.0", "X-LINUX-AI v6.1.0"),
    "STM32MP2": ("", "X-LINUX-AI v5.0.0", "X-LINUX-AI v5.1.0", "X-LINUX-AI v6.1.0"),
}
ARCHITECTURES = (
    *("ssd", "mobilenet_v1", "mobilenet_v2", "resnet", "st_yolo_lc", "yolov8n"),
    *("movenet", "mnist", "kws", "ad01", "gmp", "ign"),
)


@dataclass(frozen=True)
class Row:
    """A published row: `scale` is the side of its input over that of the file's. Sizes in KiB."""

    family: str
    architecture: str
    board: str
    model_file: str
    scale: float
    tool: str
    mhz: float
    milliseconds: float
    activations_kib: float | None
    runtime_kib: float | None
    code_kib: float | None

    @property
    def model(self) -> str:
        """The file's name, and how its input was scaled."""
        return Path(self.model_file).stem + (f" x{self.scale:.2f}" if self.scale != 1 else "")


def read_rows(path: Path, mcu_tools: Sequence[str] = MCU_TOOLS) -> list[Row]:
    """The rows to fit on, from ST's CSV; the newest of `mcu_tools` for each model on a board."""
    newest: dict[tuple, tuple[int, list[Row]]] = defaultdict(lambda: (-1, []))
    with path.open(newline="", encoding="utf-8") as stream:
        for entry in csv.DictReader(stream):
            tools = TOOLS.get(entry["series"], mcu_tools)
            row = row_of(entry)
            if row is None or row.tool not in tools:
                continue
            key = (row.family, row.board, row.model_file, row.scale)
            rank, rows = newest[key]
            if (this := tools.index(row.tool)) > rank:
                newest[key] = (this, [row])
            elif this == rank:
                rows.append(row)
    return [
        replace(rows[-1], milliseconds=sum(row.milliseconds for row in rows) / len(rows)) for _, rows in newest.values()
    ]


def row_of(entry: Mapping[str, str]) -> Row | None:
    """A line of the CSV; None for one without a latency, an int8 file at hand, or a family."""
    family = family_of(entry)
    if family is None or not entry["format"].lower().startswith("int8") or not entry["inference_ms"]:
        return None
    file, scale = entry["model_file"], 1.0
    if "heatmaps" in entry["model"]:
        file, scale = POSE, int(entry["input"].split("x")[0]) / 192
    if not file.endswith(".tflite"):
        return None
    activations, runtime, code = (
        float(entry[name]) if entry[name] else None
        for name in ("activation_ram_kib", "runtime_ram_kib", "code_flash_kib")
    )
    return Row(
        family=family,
        architecture=architecture(file),
        board=load_board(entry["board"]).name,
        model_file=file,
        scale=scale,
        tool=entry["cubeai_version"],
        mhz=float(entry["freq_mhz"] or 0),
        milliseconds=float(entry["inference_ms"]),
        activations_kib=activations,
        runtime_kib=runtime,
        code_kib=code,
    )


def family_of(entry: Mapping[str, str]) -> str | None:
    """The family of the cost model that a row belongs to; None for rows of no board, of other runtimes' names of
    boards, and for cores without a family."""
    core, series = entry["core"], entry["series"]
    if not entry["board"] or entry["board"] in ("STM32L4", "STM32U5"):
        return None
    if series == "STM32MP2":
        return "stm32mp2-npu" if "tensor" in entry["format"] else "stm32mp2-gpu"
    if series == "STM32MP1":
        if "tensor" in entry["format"]:  # slower there, and every other row is per channel
            return None
        return "cortex-a7-1-core" if "1 CPU" in core else "cortex-a7-2-cores"
    if series == "STM32N6":
        return "neural-art-n6"
    if not entry["freq_mhz"] or entry["cubeai_version"] not in MCU_TOOLS:
        return None
    for family, name in (("cortex-m7", "M7"), ("cortex-m4", "M4"), ("cortex-m33", "M33")):
        if re.search(rf"Cortex-{name}\b", core):
            return family
    return None


def architecture(file: str) -> str:
    """mobilenet_v2, st_yolo_lc, ...: what the rows of a network at several sizes share."""
    stem = Path(file).stem
    return next((name for name in ARCHITECTURES if name in stem), stem)

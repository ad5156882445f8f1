"""What every network costs: the tables of docs/models.md, estimated without a board and without training.

    python benchmarks/model_table.py [--write] [--only mobilenet]

Every row is a `model` section, built with random weights and read as the int8 file that quantization would make of it
(`stm32pose profile` does the same for one configuration). Ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stm32pose.benchmark.estimate import Estimate, estimate
from stm32pose.boards.board import Board, load_board
from stm32pose.files import write_whole

PAGE = Path(__file__).resolve().parent.parent / "docs/models.md"
BOARDS = ("NUCLEO-H743ZI2", "STM32H747I-DISCO", "STM32F746G-DISCO", "B-U585I-IOT02A", "STM32N6570-DK")
INPUT = (192, 192, 3)
KEYPOINTS = 17
KIB = 1024
# The width of the rows that compare necks and heads.
BODY = {"backbone": "mobilenet_v2", "alpha": 0.35}


@dataclass(frozen=True)
class Row:
    """One network: how the table calls it, and the `model` section that builds it."""

    label: str
    section: dict[str, Any] = field(hash=False)


def family(backbone: str, *alphas: float) -> list[Row]:
    """A row a width, with the neck and head that a backbone gets by default."""
    return [Row(f"`{backbone}` {alpha:g}", {"backbone": backbone, "alpha": alpha}) for alpha in alphas]


def part(label: str, **keys: Any) -> Row:
    """A row of BODY with other parts."""
    return Row(label, BODY | keys)


BACKBONE_ROWS = [
    *family("mobilenet_v1", 0.25, 0.5),
    *family("mobilenet_v2", 0.35, 1.0),
    *family("mobilenet_v3_small", 0.5, 1.0),
    *family("efficientnet_lite", 0.35, 1.0),
    *family("fdmobilenet", 0.25, 1.0),
    *family("resnet18", 0.25, 1.0),
    *family("resnet50", 0.25, 1.0),
    *family("vgg_tiny", 0.25, 1.0),
    *family("vgg16", 0.25, 1.0),
    *family("vgg19", 0.25, 1.0),
    *family("lm_single_pose", 0.5, 1.0),
]
NAMED_ROWS = [
    Row("`st_movenet_lightning_heatmaps` 0.35", {"model_name": "st_movenet_lightning_heatmaps", "alpha": 0.35}),
    Row("`st_movenet_lightning_heatmaps` 1", {"model_name": "st_movenet_lightning_heatmaps"}),
    *[
        Row(f"`lm_single_pose_v1`, stride {stride}", {"model_name": "lm_single_pose_v1", "output_stride": stride})
        for stride in (2, 8)
    ],
    Row("`custom`", {"model_name": "custom"}),
]
PART_ROWS = [
    part("heat maps, pyramid, bilinear"),
    part("heat maps, pyramid, nearest", upsampling="nearest"),
    part("heat maps, pyramid, transposed", upsampling="transposed"),
    part("heat maps, pyramid, nearest, stride 8", upsampling="nearest", output_stride=8),
    part("heat maps, deconv", neck="deconv"),
    part("heat maps, none, stride 8", neck="none", output_stride=8),
    part("SimCC, none", model_type="simcc_spe"),
    part("regression (`spe`), none", model_type="spe"),
    part("MoveNet's four heads, pyramid, nearest", model_type="movenet_spe", upsampling="nearest"),
]
TABLES = {
    "backbones": ("backbone, alpha", BACKBONE_ROWS),
    "named": ("`model_name`", NAMED_ROWS),
    "parts": ("head, neck", PART_ROWS),
}


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write them into {PAGE.name}")
    parser.add_argument("--only", default="", help="the rows whose label holds this text; others stay as they are")
    given = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    boards = [load_board(name) for name in BOARDS]
    page = PAGE.read_text(encoding="utf-8")
    for name, (heading, rows) in TABLES.items():
        chosen = [row for row in rows if given.only in row.label]
        lines = table(heading, chosen, boards)
        print("\n".join(lines), flush=True)
        if given.write:
            page = with_table(page, name, lines, [row.label for row in rows])
    if given.write:
        write_whole(PAGE, page.encode())


def table(heading: str, rows: Iterable[Row], boards: Sequence[Board]) -> list[str]:
    """Lines of one table: heading, rule, a line a network, and how far off the latencies may be."""
    names = [heading, "parameters", "M MACs", "RAM KiB", "flash KiB", *(f"{board.name} ms" for board in boards)]
    lines = ["| " + " | ".join(names) + " |", "|---|" + "---:|" * (len(names) - 1)]
    return lines + [line(row, boards) for row in rows]


def line(row: Row, boards: Sequence[Board]) -> str:
    """One network: parameters, work, memory, and milliseconds on every board."""
    import keras

    from stm32pose.benchmark.graph_keras import graph_of_model
    from stm32pose.config.model_sections import Model
    from stm32pose.models.build import build_model

    keras.backend.clear_session()
    network = build_model(Model.model_validate({"input_shape": INPUT} | row.section), keypoints=KEYPOINTS)
    graph = graph_of_model(network)
    found = [estimate(graph, board) for board in boards]
    first = found[0]
    figures = (
        f"{network.count_params():,}",
        f"{first.macs / 1e6:,.1f}",
        f"{first.activations_bytes / KIB:,.0f}",
        f"{first.weights_bytes / KIB:,.0f}",
    )
    return "| " + " | ".join((row.label, *figures, *map(cell, found))) + " |"


def cell(item: Estimate) -> str:
    """Milliseconds, marked where memory outside the chip is needed, or which memory is too small."""
    if not item.fits:
        return "no: " + ", ".join(limit.split(":")[0] for limit in item.limits)
    outside = [name for name, used in (("R", item.external_ram), ("F", item.external_flash)) if used]
    time = (
        ""
        if item.latency_ms is None
        else f"{item.latency_ms:,.0f}"
        if item.latency_ms >= 10
        else f"{item.latency_ms:.1f}"
    )
    return f"{time} {''.join(outside)}".strip()


def with_table(page: str, name: str, lines: Sequence[str], labels: Sequence[str]) -> str:
    """`page` with `lines` between the markers of table `name`; rows of `labels` that are not among them stay."""
    begin, end = markers(name)
    pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    match = pattern.search(page)
    if not match:
        raise SystemExit(f"{PAGE}: the markers {begin} and {end} are missing")
    known = {label_of(text): text for text in (*match[0].splitlines()[3:-1], *lines[2:])}
    lines = [*lines[:2], *(known[label] for label in labels if label in known)]
    return pattern.sub(lambda _: "\n".join((begin, *lines, end)), page)


def label_of(text: str) -> str:
    """The first cell of a line."""
    return text.split(" | ")[0].removeprefix("| ")


def markers(name: str) -> tuple[str, str]:
    """What stands before and behind table `name` in the page."""
    return f"<!-- table {name}: written by benchmarks/model_table.py -->", f"<!-- end of table {name} -->"


if __name__ == "__main__":
    main()

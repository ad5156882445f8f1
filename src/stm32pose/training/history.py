"""The figures of every epoch as tables on disk."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stm32pose.files import replacing

COLUMNS = (
    "epoch",
    "loss",
    "oks",
    "val_loss",
    "val_oks",
    "val_pck",
    "val_epe",
    "learning_rate",
    "seconds",
    "images_per_second",
)


def make_row(epoch: int, logs: dict[str, float], seconds: float, images_per_second: float) -> dict[str, float]:
    """One epoch: number from 1, its figures, seconds with validation, training images a second."""
    known = {"epoch": epoch, **logs, "seconds": round(seconds, 3), "images_per_second": round(images_per_second, 1)}
    row = {name: known.pop(name) for name in COLUMNS if name in known}
    return {name: value if name == "epoch" else float(value) for name, value in (row | known).items()}


def write_history(path: Path, history: Sequence[dict[str, float]]) -> None:
    """All epochs as CSV, atomically; empty fields where a figure is missing. UserError: it cannot be written."""
    _write(path, list(dict.fromkeys(name for row in history for name in row)), history)


def write_joints(path: Path, names: Sequence[str], joints: Sequence[Mapping[str, Any]]) -> None:
    """OKS of each joint, a row an epoch, as CSV, atomically; empty where a joint is labelled nowhere.

    Args:
        path: of the file.
        names: of the K joints.
        joints: one an epoch: {"epoch": from 1, "oks": K values in 0..1, None where there is none}.

    Raises:
        UserError: it cannot be written.
    """
    rows = [{"epoch": row["epoch"], **dict(zip(names, row["oks"], strict=True))} for row in joints]
    _write(path, ["epoch", *names], rows)


def write_health(path: Path, epochs: Sequence[Mapping[str, Any]]) -> None:
    """Health of each layer, a row a layer and epoch, as CSV, atomically. UserError: it cannot be written.

    Args:
        path: of the file.
        epochs: {"epoch": from 1, "layers": rows of `LayerHealth.row`}.
    """
    rows = [{"epoch": one["epoch"], **layer} for one in epochs for layer in one["layers"]]
    _write(path, list(rows[0]) if rows else ["epoch"], rows)


def _write(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)

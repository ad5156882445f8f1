"""The figures of every epoch as a table on disk."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

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
    columns = list(dict.fromkeys(name for row in history for name in row))
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(history)

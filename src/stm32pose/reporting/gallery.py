"""gallery.html: the images of a prediction in one self-contained file, those the network is least sure of first."""

from __future__ import annotations

import base64
import heapq
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stm32pose.files import write_whole
from stm32pose.reporting.predictions import timing_rows

TEMPLATE = "gallery.html"
FILE = "gallery.html"
SIDE = 480
"""Longest side of a shown image in pixels."""
QUALITY = 85


class Gallery:
    """The images with the lowest scores, no more than `limit`, whatever number is offered.

    The score of an image is its best pose's; an image without any pose comes before all others.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._kept: list[tuple[float, int, dict[str, Any]]] = []  # a heap, the highest score first to go
        self._offered = 0

    def offer(self, draw: Callable[[], np.ndarray], *, title: str, scores: np.ndarray, file: str) -> None:
        """Keep an image if it is among the lowest so far.

        Args:
            draw: gives the drawn image, uint8 [H, W, 3] RGB; called only where the image is kept.
            title: shown below it.
            scores: [M], of its poses, 0..1.
            file: its drawing, relative to the page: where a click leads.
        """
        score = float(scores.max()) if len(scores) else -1.0
        self._offered += 1
        if self._limit == 0 or (len(self._kept) == self._limit and -score <= self._kept[0][0]):
            return
        entry = {"title": title, "file": file, "poses": len(scores), "score": max(score, 0.0), "image": _data(draw())}
        push = heapq.heappush if len(self._kept) < self._limit else heapq.heapreplace
        push(self._kept, (-score, -self._offered, entry))

    def write(self, path: Path, entry: dict[str, Any]) -> Path:
        """Write the page; `entry` is results.json's `prediction`. UserError: the disk refuses."""
        from jinja2 import Environment, FileSystemLoader

        engine = Environment(
            loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        shown = [item for _, _, item in sorted(self._kept, key=lambda kept: (-kept[0], -kept[1]))]
        rows = timing_rows(entry["timing"])
        page = engine.get_template(TEMPLATE).render(entry=entry, shown=shown, rows=rows)
        return write_whole(path, page, sync=False)


def _data(image: np.ndarray) -> str:
    """A data address of the image as JPEG, its longest side at most `SIDE`."""
    factor = SIDE / max(image.shape[:2])
    if factor < 1:
        size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise OSError("cannot encode an image of the gallery")
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"

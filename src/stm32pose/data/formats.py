"""`Format`: what the program knows of one label format; and a look into a file that does not read the whole of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stm32pose.data.problems import Problem
from stm32pose.data.sample import Sample

Part = Literal["train", "val", "test"]
"""One of the sets that a single place may hold: a download with its `annotations`, a data.yaml."""

Reader = Callable[..., tuple[list[Sample], list[Problem]]]

PEEKED = 64 * 1024
"""Bytes of a file that are enough to tell what it is."""


@dataclass(frozen=True)
class Format:
    """One label format.

    Attributes:
        name: what `dataset.format` calls it.
        reader: `reader(place, skeleton, *, annotations, where) -> (samples, problems)`; where `parts` is given also
            `part=`. `place` is what `dataset.training_path` names. It raises UserError where there is no such place;
            what is faulty inside is a `Problem`.
        place: what `dataset.training_path` means, for the user.
        annotations: what `dataset.training_annotations` means, for the user.
        detect: `detect(place, annotations) -> bool`: is it certainly this format? Quick, opens no large file whole and
            never raises. None: `auto` never takes it.
        parts: `parts(place) -> the sets that the place holds`, () where it is one set; None: it always is one.
        skeleton: the shipped skeleton whose joints these labels are always of; None: they may be of any.
        images: `images(place, part, where=) -> paths` of the images, labels unread, for calibration; None: those
            directly in the folder.
    """

    name: str
    reader: Reader
    place: str
    annotations: str
    detect: Callable[[Path, Path | None], bool] | None = None
    parts: Callable[[Path], tuple[Part, ...]] | None = None
    images: Callable[..., list[Path]] | None = None
    skeleton: str | None = None


def peek(path: Path | None, *, size: int = PEEKED) -> str:
    """The first `size` bytes of a file as text, undecodable ones replaced; empty where there is no such file."""
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            return file.read(size).decode("utf-8-sig", errors="replace")
    except OSError:
        return ""

"""Decoded images kept small: each is read once, reduced by area averaging, and served as uint8 from then on.

The pixels are the same whatever the mode, in the first epoch and in later ones, and with the cache off.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stm32pose.data.cache_file import CacheFile
from stm32pose.data.images import image_upright, read_image
from stm32pose.data.sample import Sample
from stm32pose.errors import ConfigError, UserError
from stm32pose.transforms.geometry import warp

FOLDER = ".stm32pose_cache"
VERSION = 1
"""Counts changes of how pixels are made, so that files of an older way are not taken for this one's."""
OVERSAMPLING = 1.5
"""Side of a cached image over that of the network's input: zooming in and turning stay sharp, the warp stays cheap."""

_MARGIN = 0.25  # of a region's size, kept at each side of it, so that turning and shifting find image there
_NEAR_ENOUGH = 0.9  # an image this close to the wanted side is left as it is
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Plan:
    """How one image is read: decoded at 1/reduce, cut (left, top, right, bottom), resized to (H, W)."""

    reduce: int
    cut: tuple[int, int, int, int]
    size: tuple[int, int]
    matrix: np.ndarray

    @property
    def bytes(self) -> int:
        return 3 * self.size[0] * self.size[1]


class ImageCache:
    """Reduced images of a list of samples. Thread-safe; `close` (or the end of the process) frees what it holds.

    A sample that comes several times in the list is kept once.

    Attributes:
        kind: `memory`, `disk` or `none`.
        matrices: float64 [n, 3, 3], original image to cached image, in continuous pixels.
        bytes: what all cached images take.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        plans: Sequence[Plan],
        kind: str,
        file: CacheFile | None = None,
        rows: Sequence[int] | None = None,
    ):
        """`rows`: for each index the place of its sample in `samples` and `plans`; None: in order, each once."""
        self._rows = range(len(plans)) if rows is None else rows
        self.kind = kind
        self.matrices = np.stack([plans[row].matrix for row in self._rows]) if plans else np.zeros((0, 3, 3))
        self.bytes = sum(plan.bytes for plan in plans)
        self._samples, self._plans, self._file = samples, plans, file
        self._images: list[np.ndarray | None] = [None] * len(plans) if kind == "memory" else []
        self._finalizer = weakref.finalize(self, file.close) if file else None

    def __len__(self) -> int:
        return len(self._rows)

    def __enter__(self) -> ImageCache:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def get(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(image, matrix): uint8 [h, w, 3] RGB, not to be written to, and float64 [3, 3] original to cached image.

        Raises:
            UserError: the file cannot be read, or is not of the size that its sample says.
        """
        index = self._rows[index]
        plan = self._plans[index]
        image = None
        if self._images:
            image = self._images[index]
        elif self._file:
            stored = self._file.read(index)
            image = None if stored is None else stored.reshape(*plan.size, 3)
        if image is None:
            image = load_reduced(self._samples[index], plan)
            image.flags.writeable = False
            if self._images:
                self._images[index] = image
            elif self._file:
                self._file.write(index, image)
        return image, plan.matrix

    def close(self) -> None:
        """Give back memory and files; a file that is complete stays for the next run, another is removed."""
        self._images = [None] * len(self._images)
        if self._finalizer:
            self._finalizer()
            self._file = None


def open_cache(
    samples: Sequence[Sample],
    *,
    side: int,
    mode: str = "auto",
    memory_gb: float = 2.0,
    path: Path | None = None,
) -> ImageCache:
    """A cache of `samples`, filled as images are asked for.

    Args:
        samples: their order gives the indices; one that comes several times is kept once.
        side: images are reduced until their area (their region's, where they have one) is about side x side pixels;
            they are never enlarged. See `cache_side`.
        mode: `auto` is memory within `memory_gb`, else disk; `memory`; `disk`; `none` decodes each time.
        memory_gb: most memory for this cache, in 10^9 bytes.
        path: folder of the file; absent: `.stm32pose_cache` beside the folder of the images.

    Raises:
        ConfigError: mode `memory` and the images do not fit.
        UserError: an image is missing, or `path` cannot be written.
    """
    places: dict[int, int] = {}
    rows = [places.setdefault(id(sample), len(places)) for sample in samples]
    samples = list({id(sample): sample for sample in samples}.values())
    plans = [plan_image(sample, side) for sample in samples]
    size = sum(plan.bytes for plan in plans) / 1e9
    if mode == "memory" and size > memory_gb:
        raise ConfigError(
            f"dataset.cache: got memory, but the images take {size:.2f} GB; allowed {memory_gb:g} "
            "(dataset.cache_memory_gb); or use auto or disk"
        )
    if mode in ("auto", "memory") and size <= memory_gb:
        return ImageCache(samples, plans, "memory", rows=rows)
    if mode == "none" or not samples:
        return ImageCache(samples, plans, "none", rows=rows)
    if mode not in ("auto", "disk"):
        raise ConfigError(f"dataset.cache: got {mode!r}; allowed auto, memory, disk, none")
    base = _base(samples)
    file = CacheFile.open(
        path or base.parent / FOLDER, _key(samples, base, side), [plan.bytes for plan in plans], chosen=path is not None
    )
    return ImageCache(samples, plans, "disk" if file else "none", file, rows)


def cache_side(size: tuple[int, int]) -> int:
    """The `side` that suits a network input of (H, W): 1.5 times the side of a square of the same area."""
    return round(OVERSAMPLING * math.sqrt(size[0] * size[1]))


def plan_image(sample: Sample, side: int) -> Plan:
    """How to read a sample's image for a cache of that side, from its size and region alone."""
    height, width = sample.size
    left, top, region_width, region_height = sample.region or (0.0, 0.0, width, height)
    factor = side / math.sqrt(max(1.0, region_width * region_height))
    reduce = 1
    if sample.image.suffix.lower() in (".jpg", ".jpeg"):
        reduce = next((r for r in (8, 4, 2) if 1 / r >= _NEAR_ENOUGH * factor), 1)
    decoded_width, decoded_height = -(-width // reduce), -(-height // reduce)
    cut = (0, 0, decoded_width, decoded_height)
    if sample.region is not None:
        # At least the square around the region: a letterbox shows what lies beside it.
        square = max(region_width, region_height) / 2
        x0, x1 = _span(left, region_width, square, reduce, decoded_width)
        y0, y1 = _span(top, region_height, square, reduce, decoded_height)
        cut = (x0, y0, x1, y1)
    cut_width, cut_height = cut[2] - cut[0], cut[3] - cut[1]
    size, rest = (cut_height, cut_width), factor * reduce
    if rest < _NEAR_ENOUGH:
        size = max(1, round(cut_height * rest)), max(1, round(cut_width * rest))
    # A JPEG decoded at 1/r shows exactly r pixels in one; its last column may reach past the image's edge.
    scale_x, scale_y = size[1] / cut_width, size[0] / cut_height
    matrix = np.array(
        [[scale_x / reduce, 0, -scale_x * cut[0]], [0, scale_y / reduce, -scale_y * cut[1]], [0, 0, 1]],
        dtype=np.float64,
    )
    return Plan(reduce, cut, size, matrix)


def load_reduced(sample: Sample, plan: Plan) -> np.ndarray:
    """Decode one image as planned: uint8 [h, w, 3] RGB.

    Raises:
        UserError: the file cannot be read, or is not of the size that its sample says.
    """
    expected = tuple(-(-side // plan.reduce) for side in sample.size)
    uneven = any(side % plan.reduce for side in sample.size)
    if plan.reduce == 1 or not uneven or image_upright(sample.image):
        image = read_image(sample.image, reduce=plan.reduce)
        if image.shape[:2] == expected:
            left, top, right, bottom = plan.cut
            image = image[top:bottom, left:right]
            if image.shape[:2] == plan.size:
                return np.ascontiguousarray(image)
            return cv2.resize(image, plan.size[::-1], interpolation=cv2.INTER_AREA)
    # Turned by its EXIF flag with the uneven edge in front, or no JPEG in spite of its name.
    image = read_image(sample.image)
    if image.shape[:2] != sample.size:
        raise UserError(
            f"{sample.image}: image of {image.shape[1]} x {image.shape[0]} pixels, its labels were read for "
            f"{sample.size[1]} x {sample.size[0]}; has it been replaced?"
        )
    return warp(image, plan.matrix, plan.size, "area", fill_mode="nearest")


def _span(start: float, length: float, least: float, reduce: int, end: int) -> tuple[int, int]:
    """The whole decoded pixels kept along one axis of a region, `least` on both sides of its centre; at least one."""
    centre, reach = start + length / 2, max(least, (0.5 + _MARGIN) * length)
    low = min(max(math.floor((centre - reach) / reduce), 0), end - 1)
    high = min(max(math.ceil((centre + reach) / reduce), low + 1), end)
    return low, high


def _base(samples: Sequence[Sample]) -> Path:
    """The folder that holds all images."""
    return Path(os.path.commonpath([sample.image.resolve().parent for sample in samples]))


def _key(samples: Sequence[Sample], base: Path, side: int) -> str:
    """Digest of everything the pixels depend on: the files, how they are reduced, and the version of both."""
    digest = hashlib.sha256(f"{VERSION} {cv2.__version__} {side} {_MARGIN} {_NEAR_ENOUGH}".encode())
    for sample in samples:
        try:
            status = sample.image.stat()
        except OSError as error:
            raise UserError(f"{sample.image}: image cannot be read: {error.strerror or error}") from error
        name = os.path.relpath(sample.image.resolve(), base)
        entry = (name, status.st_size, status.st_mtime_ns, tuple(sample.size), sample.region)
        digest.update(repr(entry).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]

"""`MovenetCodec`: MoveNet's four maps of one centred person, and back."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from stm32pose.codecs.heatmap import HeatmapCodec
from stm32pose.codecs.poses import Poses, one_person

ROLES = ("centre", "heatmaps", "regression", "offsets")
"""The outputs, in the order of a network made here."""
_WORDS = {
    "centre": ("centre", "center"),
    "heatmaps": ("heatmap",),
    "regression": ("regress",),
    "offsets": ("offset",),
}
_NUMBERED = re.compile(r"(?:identity|output|(?:stateful)?partitionedcall(?:_\d+)?)(?:[_:](?P<number>\d+))?(?::0)?")
NEAR = 1.8
"""Cells added to a distance before a weight is one over it: the constant inside Google's file."""


class MovenetCodec:
    """Keypoints <-> a heat map of the person's centre, one a keypoint, a regression field and a field of offsets.

    The maps are [h, w] over an input of [H, W]; cell (row i, column j) has its centre at ((j + 0.5) W / w,
    (i + 0.5) H / h) input pixels. Positions are never rounded in `encode`: what a cell loses the offset keeps, so
    `decode` gives them back to the precision of float32. Source: Google's MoveNet (Next-Generation Pose Detection with
    MoveNet and TensorFlow.js, 2021, and the graph inside its published files).

    Attributes:
        input_shape: (H, W) of the network's input in pixels.
        map_shape: (h, w) of the maps in cells.
        keypoints: K.
        several: False: one pose an image.
        target, sigma: of both heat maps, as `HeatmapCodec` has them.
        order: for each of `ROLES` the index of the output that is it.
        activation: "sigmoid", of both heat maps; the fields are not bounded.
    """

    several = False
    activation = "sigmoid"

    def __init__(
        self,
        input_shape: tuple[int, int],
        map_shape: tuple[int, int],
        keypoints: int,
        *,
        target: str = "gaussian",
        sigma: float = 1.5,
        order: Sequence[int] = (0, 1, 2, 3),
    ):
        blobs = {"target": target, "sigma": sigma, "activation": self.activation}
        self._heatmaps = HeatmapCodec(input_shape, map_shape, keypoints, **blobs)
        self._centre = HeatmapCodec(input_shape, map_shape, 1, **blobs)
        if sorted(order) != list(range(len(ROLES))):
            raise ValueError(f"impossible codec: order {list(order)} of {len(ROLES)} outputs")
        self.input_shape = self._heatmaps.input_shape
        self.map_shape = self._heatmaps.map_shape
        self.keypoints = int(keypoints)
        self.target = target
        self.sigma = float(sigma)
        self.order = tuple(int(index) for index in order)

    @property
    def cell(self) -> np.ndarray:
        """float64 [2]: (width, height) of a cell in input pixels."""
        return self._heatmaps.cell

    def encode(self, keypoints_input: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """What the four outputs are compared with, for the first person of every image.

        The person's centre is the mean of the keypoints that are labelled and inside the input.

        Args:
            keypoints_input: [B, N, K, 3], (x, y, visibility), continuous input pixels.

        Returns:
            targets: (centre, heatmaps, cells, values), float32.
                centre [B, h, w, 1] and heatmaps [B, h, w, K]: blobs of height 1; zeros where nothing is labelled.
                cells [B, K + 1, 2]: (row, column) of the cell that each keypoint lies in, whole numbers; the last row
                is the centre's.
                values [B, K, 4]: (dy, dx) in cells from the centre of the centre's cell to the keypoint, what the
                regression field should hold there; (dy, dx) in cells from the centre of the keypoint's cell to the
                keypoint, within 0.5, what the offsets should hold there. Zeros where not labelled.
            weights: float32 [B, K]: 1 where the keypoint is labelled (visibility 1 or 2) and inside the input, borders
                included; else 0.
        """
        person = np.asarray(keypoints_input, np.float32)[:, :1]
        heatmaps, weights = self._heatmaps.encode(person)
        labelled = np.asarray(weights > 0)[..., None]
        points = np.where(labelled, person[:, 0, :, :2], 0)
        count = weights.sum(axis=1)
        middle = points.sum(axis=1) / np.maximum(count, 1)[:, None]
        centre, _ = self._centre.encode(np.concatenate([middle, count[:, None]], axis=-1)[:, None, None])
        # float64: the subtractions below are then exact to the last place of float32
        places = np.concatenate([points, middle[:, None]], axis=1).astype(np.float64) / self.cell
        places = places[..., ::-1]  # (row, column)
        cells = np.minimum(np.floor(places), np.array(self.map_shape) - 1)
        regression = places[:, :-1] - (cells[:, -1:] + 0.5)
        offsets = (places - (cells + 0.5))[:, :-1]
        values = np.where(labelled, np.concatenate([regression, offsets], axis=-1), 0)
        return (centre, heatmaps, cells.astype(np.float32), values.astype(np.float32)), weights

    def decode(self, outputs: list[np.ndarray]) -> np.ndarray:
        """The person nearest to the middle of the image.

        As Google's files do: of the centre's heat map the peak that is high and near the middle of the image; the
        regression field there gives a first place for every keypoint; of each keypoint's heat map the peak that is high
        and near that place; the offsets there give the rest. A peak counts its height over its distance in cells plus
        1.8, the constant in Google's graph. Unlike there, only cells that none of their eight neighbours exceeds are
        peaks: weights choose among peaks and cannot move one to a neighbour whose offset was never learnt.

        Args:
            outputs: the four arrays [B, h, w, channels], as the network gave them (dequantized).

        Returns:
            float32 [B, 1, K, 3], (x, y, score), continuous input pixels inside the input. The score is 0..1: the value
            of the keypoint's heat map in the chosen cell. Where that is 0 the regressed place stands. What is not
            finite scores 0 and lies at the centre of the input.
        """
        centre, heatmaps, regression, offsets = self.arranged(outputs)
        batch, (rows, columns) = len(centre), self.map_shape
        grid = np.stack(np.meshgrid(np.arange(rows) + 0.5, np.arange(columns) + 0.5, indexing="ij"), axis=-1)
        grid = grid.astype(np.float32)  # [h, w, 2], (row, column)
        middle = np.linalg.norm(grid - np.array([rows / 2, columns / 2], np.float32), axis=-1)
        images = np.arange(batch)
        row, column = _best(centre, middle[None, ..., None] + NEAR)
        there = regression[images, row[:, 0], column[:, 0]].reshape(batch, self.keypoints, 2)
        regressed = there + grid[row[:, 0], column[:, 0]][:, None]  # [B, K, 2]
        away = grid[None, :, :, None] - np.nan_to_num(regressed, nan=0.0, posinf=0.0, neginf=0.0)[:, None, None]
        row, column = _best(heatmaps, np.sqrt(np.einsum("bhwkc,bhwkc->bhwk", away, away)) + NEAR)
        joint = np.arange(self.keypoints)
        images = images[:, None]
        scores = heatmaps[images, row, column, joint]
        offset = offsets.reshape(batch, rows, columns, self.keypoints, 2)[images, row, column, joint]
        places = np.where(np.asarray(scores > 0)[..., None], grid[row, column].astype(np.float64) + offset, regressed)
        usable = np.asarray(np.isfinite(places).all(axis=-1) & np.isfinite(regressed).all(axis=-1))
        usable &= np.isfinite(heatmaps).all(axis=(1, 2)) & np.isfinite(centre).all(axis=(1, 2))
        height, width = self.input_shape
        size = np.array([width, height], np.float64)
        positions = np.clip(np.where(usable[..., None], places, 0)[..., ::-1] * self.cell, 0, size)
        positions = np.where(usable[..., None], positions, size / 2)
        scores = np.where(usable, np.clip(scores, 0, 1), 0)
        return np.concatenate([positions, scores[..., None]], axis=-1).astype(np.float32)[:, None]

    def decode_poses(self, outputs: list[np.ndarray]) -> list[Poses]:
        """One `Poses` an image, of one pose each, as `decode`; a pose scores the mean of its keypoints."""
        return one_person(self.decode(outputs))

    def describe(self) -> dict:
        """How to decode, for programs without this one: JSON-able, written beside exported models."""
        return {
            "kind": "movenet",
            "model_type": "movenet_spe",
            "output": "four maps [1, rows, columns, channels]: 1, keypoints, 2 keypoints and 2 keypoints channels",
            "outputs": [ROLES[self.order.index(index)] for index in range(len(ROLES))],
            "activation": self.activation,
            "input_shape": list(self.input_shape),
            "map_shape": list(self.map_shape),
            "stride": [float(stride) for stride in self.cell[::-1]],
            "keypoints": self.keypoints,
            "target": self.target,
            "sigma_cells": self.sigma,
            "near_cells": NEAR,
            "position": "x = (column + 0.5 + dx) * stride[1], y = (row + 0.5 + dy) * stride[0], input pixels; fields "
            "hold (dy, dx) a keypoint, in cells",
        }

    def arranged(self, outputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """float32 outputs in the order of `ROLES`. ValueError: others than these maps."""
        arrays = [np.asarray(output, np.float32) for output in outputs]
        shapes = [array.shape[1:] for array in arrays]
        told = self.describe()["outputs"]
        order = output_order(shapes, self.keypoints, told=told) if all(array.ndim == 4 for array in arrays) else None
        if order is None or shapes[0][:2] != self.map_shape:
            wanted = ", ".join(f"(B, {self.map_shape}, {count})" for count in channels(self.keypoints).values())
            raise ValueError(f"decode got {[array.shape for array in arrays]}, the codec wants {wanted}")
        return [arrays[index] for index in order]


def channels(keypoints: int) -> dict[str, int]:
    """Channels of each output."""
    return {"centre": 1, "heatmaps": keypoints, "regression": 2 * keypoints, "offsets": 2 * keypoints}


def output_order(
    shapes: Sequence[tuple[int, ...]],
    keypoints: int,
    names: Sequence[str] = (),
    *,
    told: Sequence[str] | None = None,
) -> tuple[int, ...] | None:
    """Which output is which of `ROLES`; None where the shapes are not those of the four maps.

    Channels tell where they differ. Regression and offsets have as many as each other (and so have centre and heat map
    of a single keypoint); there, in this order: words in the files' names; what a sidecar told; the numbers that
    converters write into names (`Identity_2` was the third output whatever its place now); the order of the file.

    Args:
        shapes: (h, w, channels) of the outputs.
        keypoints: K.
        names: of the outputs, where the file has names.
        told: the roles in the order of the outputs, as a sidecar says; None where there is none.
    """
    shapes = [tuple(shape) for shape in shapes]
    if len(shapes) != len(ROLES) or any(len(shape) != 3 for shape in shapes) or len({s[:2] for s in shapes}) != 1:
        return None
    if told is not None and sorted(told) != sorted(ROLES):
        return None
    found: dict[str, int] = {}
    wanted = channels(keypoints)
    for count in set(wanted.values()):
        roles = sorted((role for role in ROLES if wanted[role] == count), key=list(told or ROLES).index)
        places = [index for index, shape in enumerate(shapes) if shape[2] == count]
        if len(places) != len(roles):
            return None
        called = [names[place] for place in places] if len(names) == len(shapes) else []
        if len(roles) == 2 and called and _is_swapped(called, roles, told):
            places.reverse()
        found |= dict(zip(roles, places, strict=True))
    return tuple(found[role] for role in ROLES)


def keypoints_of(shapes: Sequence[tuple[int, ...]]) -> int:
    """K of four outputs that could be these maps; 0 where they cannot."""
    counts = sorted(shape[-1] for shape in shapes if len(shape) == 3)
    if len(shapes) != len(ROLES) or len(counts) != len(ROLES):
        return 0
    return counts[1] if output_order(shapes, counts[1]) else 0


def _is_swapped(names: Sequence[str], roles: Sequence[str], told: Sequence[str] | None) -> bool:
    """Whether of two outputs, by their `names`, the first is the second of `roles`."""
    (first, second), (role, other) = names, roles
    straight = _is_called(first, role) or _is_called(second, other)
    crossed = _is_called(first, other) or _is_called(second, role)
    if straight != crossed:
        return crossed
    numbers = [_NUMBERED.fullmatch(name.lower()) for name in names]
    if told is not None or not all(numbers):
        return False
    before, after = (int(number["number"] or 0) for number in numbers if number)
    return before > after


def _is_called(name: str, role: str) -> bool:
    """`offsets`, `model/offsets/BiasAdd;...` and Google's `kpt_offset_0` are the offsets."""
    return any(word in name.lower() for word in _WORDS[role])


def _best(maps: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) int64 [B, C]: of each of `maps` [B, h, w, C] the peak highest in proportion to `distances`."""
    batch, height, width, count = maps.shape
    maps = np.where(np.isfinite(maps), maps, 0)
    highest = maps
    for axis in (1, 2):
        padded = np.pad(highest, [(1, 1) if index == axis else (0, 0) for index in range(4)], mode="edge")
        pieces = [np.take(padded, np.arange(maps.shape[axis]) + shift, axis=axis) for shift in range(3)]
        highest = np.maximum(np.maximum(pieces[0], pieces[1]), pieces[2])
    weighed = np.where(maps >= highest, maps / distances, -np.inf).reshape(batch, height * width, count)
    index = weighed.argmax(axis=1)
    return index // width, index % width

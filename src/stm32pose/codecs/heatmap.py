"""`HeatmapCodec`: keypoints of one person to heat maps and back."""

from __future__ import annotations

import math

import numpy as np

from stm32pose.codecs import peaks
from stm32pose.codecs.poses import Poses, one_person


class HeatmapCodec:
    """Keypoints <-> heat maps, one map a keypoint.

    Cell (column i, row j) of an [h, w] map covers W/w x H/h input pixels and its centre lies at
    ((i + 0.5) * W / w, (j + 0.5) * H / h) continuous input pixels. Positions are never rounded in `encode`, and
    `decode` (DARK) returns to within 0.1 input pixel of them on noiseless maps.

    Attributes:
        input_shape: (H, W) of the network's input in pixels.
        map_shape: (h, w) of the heat maps in cells.
        keypoints: K.
        several: False: one pose an image.
        target: "gaussian" or "one_pixel" (what ST's services train on).
        sigma: standard deviation of the blob in cells.
        activation: "sigmoid" (values 0..1), "softmax" (a map sums to 1) or "empty" (logits of such a softmax).
        decoding: "argmax", "quarter" or "dark".
    """

    several = False

    def __init__(
        self,
        input_shape: tuple[int, int],
        map_shape: tuple[int, int],
        keypoints: int,
        *,
        target: str = "gaussian",
        sigma: float = 1.5,
        activation: str = "sigmoid",
        decode: str = "dark",
    ):
        _require("target", target, ("gaussian", "one_pixel"))
        _require("activation", activation, ("sigmoid", "softmax", "empty"))
        _require("decode", decode, ("argmax", "quarter", "dark"))
        if sigma <= 0 or keypoints < 1 or min(*input_shape, *map_shape) < 1:
            raise ValueError(f"impossible codec: sigma {sigma}, {keypoints} keypoints, {input_shape} -> {map_shape}")
        self.input_shape = (int(input_shape[0]), int(input_shape[1]))
        self.map_shape = (int(map_shape[0]), int(map_shape[1]))
        self.keypoints = int(keypoints)
        self.target = target
        self.sigma = float(sigma)
        self.activation = activation
        self.decoding = decode

    @property
    def cell(self) -> np.ndarray:
        """float64 [2]: (width, height) of a cell in input pixels."""
        (height, width), (rows, columns) = self.input_shape, self.map_shape
        return np.array([width / columns, height / rows])

    def resized(self, input_shape: tuple[int, int]) -> HeatmapCodec:
        """The codec of the same network at another input size (H, W): the maps grow with the input."""
        rows, columns = (
            max(1, round(new * cells / old))
            for new, cells, old in zip(input_shape, self.map_shape, self.input_shape, strict=True)
        )
        return HeatmapCodec(
            input_shape,
            (rows, columns),
            self.keypoints,
            target=self.target,
            sigma=self.sigma,
            activation=self.activation,
            decode=self.decoding,
        )

    def encode(self, keypoints_input: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The maps a perfect network would give.

        Args:
            keypoints_input: [B, N, K, 3], (x, y, visibility), continuous input pixels.

        Returns:
            targets: float32 [B, h, w, K]. Several people share a map, the brighter wins. For sigmoid a blob is 1 at
                its centre; for softmax and logits every map sums to 1. An unlabelled keypoint has a map of zeros.
            weights: float32 [B, K]: 1 where somebody's keypoint is labelled (visibility 1 or 2) and inside the input,
                borders included; else 0.
        """
        keypoints_input = np.asarray(keypoints_input, np.float32)
        batch, people, count, _ = keypoints_input.shape
        if count != self.keypoints:
            raise ValueError(f"encode got {count} keypoints, the codec has {self.keypoints}")
        points, labelled = keypoints_input[..., :2], keypoints_input[..., 2] > 0
        height, width = self.input_shape
        labelled = labelled & ((points >= 0) & (points <= np.array([width, height], np.float32))).all(axis=-1)
        cells = np.where(labelled[..., None], points / self.cell.astype(np.float32), 0.0)
        rows, columns = self.map_shape
        targets = np.zeros((batch, rows, columns, count), np.float32)
        for person in range(people):
            if not labelled[:, person].any():
                continue
            across = self._profile(cells[:, person, :, 0], columns)
            down = self._profile(cells[:, person, :, 1], rows) * labelled[:, person, None, :]
            if person == 0:
                np.multiply(down[:, :, None], across[:, None], out=targets)
            else:
                np.maximum(targets, down[:, :, None] * across[:, None], out=targets)
        if self.activation != "sigmoid":
            total = targets.sum(axis=(1, 2), keepdims=True)
            targets /= np.where(total > 0, total, 1.0)
        return targets, np.any(labelled, axis=1).astype(np.float32)

    def decode(self, outputs: list[np.ndarray]) -> np.ndarray:
        """Positions and scores of the peaks.

        Args:
            outputs: one array [B, h, w, K], as the network gave it (dequantized).

        Returns:
            float32 [B, 1, K, 3], (x, y, score), continuous input pixels inside the input. The score is 0..1: the value
            of the brightest cell (sigmoid), or the mass around the peak as a share of an ideal blob's (softmax,
            logits). A map with a NaN or without a positive value scores 0; its position is the centre of the input.
        """
        maps = np.ascontiguousarray(outputs[0], np.float32)
        if maps.ndim != 4 or maps.shape[1:] != (*self.map_shape, self.keypoints):
            raise ValueError(f"decode got {maps.shape}, the codec wants (B, {self.map_shape}, {self.keypoints})")
        cells, values = peaks.find_peaks(maps)
        scores = self._scores(maps, cells, values)
        positions = (self._refine(maps, cells, values) + 0.5) * self.cell
        height, width = self.input_shape
        size = np.array([width, height], np.float64)
        positions = np.where((scores > 0)[..., None], np.clip(positions, 0, size), size / 2)
        return np.concatenate([positions, scores[..., None]], axis=-1).astype(np.float32)[:, None]

    def decode_poses(self, outputs: list[np.ndarray]) -> list[Poses]:
        """One `Poses` an image, of one pose each, as `decode`; a pose scores the mean of its keypoints."""
        return one_person(self.decode(outputs))

    def describe(self) -> dict:
        """How to decode, for programs without this one: JSON-able, written beside exported models."""
        blur, radius = peaks.dark_blur(self.sigma)
        return {
            "kind": "heatmaps",
            "model_type": "heatmaps_spe",
            "output": "[1, rows, columns, keypoints]",
            "activation": self.activation,
            "decode": self.decoding,
            "input_shape": list(self.input_shape),
            "map_shape": list(self.map_shape),
            "stride": [float(stride) for stride in self.cell[::-1]],
            "keypoints": self.keypoints,
            "target": self.target,
            "sigma_cells": self.sigma,
            "dark": {"blur_sigma": blur, "blur_radius": radius},
            "position": "x = (column + 0.5) * stride[1], y = (row + 0.5) * stride[0], input pixels",
        }

    def _profile(self, cells: np.ndarray, count: int) -> np.ndarray:
        """float32 [B, count, K]: the blob along one axis; `cells` [B, K] in cells, the map spans 0..count."""
        index = np.arange(count, dtype=np.float32)[None, :, None]
        if self.target == "one_pixel":
            # A point on the far border belongs to the last cell; ST's services lose it.
            return (index == np.minimum(np.floor(cells), count - 1)[:, None]).astype(np.float32)
        blob = np.exp((index + 0.5 - cells[:, None]) ** 2 * np.float32(-0.5 / self.sigma**2))
        blob[blob < 1e-10] = 0.0  # products of smaller values are denormal, and three times as slow
        return blob

    def _refine(self, maps: np.ndarray, cells: np.ndarray, values: np.ndarray) -> np.ndarray:
        """float64 [B, K, 2]: (column, row) of the peaks in cells, the first cell's centre at 0."""
        if self.decoding == "argmax":
            return cells.astype(np.float64)
        centres, tied = peaks.centre_on_plateau(maps, cells, values)
        nearest = np.rint(centres).astype(np.int64)
        fallback = np.where(tied[..., None], centres, cells + peaks.quarter_offsets(maps, cells))
        if self.decoding == "quarter":
            return fallback
        offsets, found = peaks.dark_offsets(maps, nearest, sigma=self.sigma, logits=self.activation == "empty")
        return np.where(found[..., None], nearest + offsets, fallback)

    def _scores(self, maps: np.ndarray, cells: np.ndarray, values: np.ndarray) -> np.ndarray:
        """float64 [B, K] in 0..1, 0 where a map is not usable."""
        if self.activation == "sigmoid":
            scores = values.astype(np.float64)
        else:
            radius = math.ceil(2 * self.sigma)
            patches, inside = peaks.gather_patches(maps, cells, radius)
            inside = inside[:, :, 1, :, None] & inside[:, :, 0, None, :]
            if self.activation == "empty":
                with np.errstate(invalid="ignore"):
                    total = np.exp(maps - values[:, None, None]).sum(axis=(1, 2), dtype=np.float64)
                    near = np.exp(patches - values[..., None, None], dtype=np.float64)
                scores = (near * inside).sum(axis=(2, 3)) / np.maximum(total, 1.0)
            else:
                scores = np.where(inside, patches, 0).sum(axis=(2, 3), dtype=np.float64)
            scores /= self._ideal_mass(radius)
        return np.clip(np.where(np.isfinite(scores), scores, 0.0), 0.0, 1.0)

    def _ideal_mass(self, radius: int) -> float:
        """Share of an ideal blob inside the window that the score looks at."""
        return math.erf((radius + 0.5) / (self.sigma * math.sqrt(2))) ** 2 if self.target == "gaussian" else 1.0


def _require(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}: got {value!r}, allowed {', '.join(allowed)}")

"""`SimccCodec`: keypoints of one person as two classifications, of the column and of the row, and back."""

from __future__ import annotations

import math

import numpy as np

from stm32pose.codecs.poses import Poses, one_person

SPLIT = 2
"""Bins an input pixel where nothing else is asked for."""
_REACH = 3.0  # sigmas on either side of the peak that the fit looks at
_FLOOR = 1e-5  # of the peak's probability; below it a bin says nothing about the peak's place


class SimccCodec:
    """Keypoints <-> logits of bins, (W + H) * split a keypoint: first those across, then those down.

    Bin i across covers x in [i / split, (i + 1) / split) continuous input pixels and its centre lies at
    (i + 0.5) / split; likewise down. Positions are never rounded in `encode`, and `decode` returns to within a
    hundredth of a bin of them on noiseless logits, borders included. Source: Li et al., SimCC: a Simple Coordinate
    Classification Perspective for Human Pose Estimation, ECCV 2022.

    Attributes:
        input_shape: (H, W) of the network's input in pixels.
        keypoints: K.
        several: False: one pose an image.
        split: bins an input pixel.
        sigma: standard deviation of a target in bins.
        activation: "empty": outputs are logits, which keep their precision in int8.
    """

    several = False
    activation = "empty"

    def __init__(self, input_shape: tuple[int, int], keypoints: int, *, split: int = SPLIT, sigma: float | None = None):
        self.input_shape = (int(input_shape[0]), int(input_shape[1]))
        self.keypoints = int(keypoints)
        self.split = int(split)
        if min(self.input_shape) < 1 or self.keypoints < 1 or self.split < 1:
            raise ValueError(f"impossible codec: {keypoints} keypoints, {input_shape}, {split} bins a pixel")
        self.sigma = default_sigma(self.input_shape, self.split) if sigma is None else float(sigma)
        if not self.sigma > 0:
            raise ValueError(f"impossible codec: sigma {sigma}")

    @property
    def bins(self) -> tuple[int, int]:
        """(across, down): W * split and H * split."""
        height, width = self.input_shape
        return width * self.split, height * self.split

    def encode(self, keypoints_input: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The distributions that a perfect network would give, of the first person of every image.

        Args:
            keypoints_input: [B, N, K, 3], (x, y, visibility), continuous input pixels.

        Returns:
            targets: float32 [B, K, (W + H) * split]: a Gaussian across and one down, each sums to 1 over its bins;
                zeros where not labelled.
            weights: float32 [B, K]: 1 where the keypoint is labelled (visibility 1 or 2) and inside the input, borders
                included; else 0.
        """
        keypoints_input = np.asarray(keypoints_input, np.float32)
        if keypoints_input.shape[2] != self.keypoints:
            raise ValueError(f"encode got {keypoints_input.shape[2]} keypoints, the codec has {self.keypoints}")
        person = keypoints_input[:, 0]
        height, width = self.input_shape
        points = person[..., :2]
        inside = ((points >= 0) & (points <= np.array([width, height], np.float32))).all(axis=-1)
        labelled = np.asarray((person[..., 2] > 0) & inside)
        points = np.where(labelled[..., None], points, 0) * np.float32(self.split)
        rows = [self._row(points[..., axis], count) for axis, count in enumerate(self.bins)]
        targets = np.concatenate(rows, axis=-1) * labelled[..., None]
        return targets.astype(np.float32), labelled.astype(np.float32)

    def decode(self, outputs: list[np.ndarray]) -> np.ndarray:
        """Positions and scores.

        Args:
            outputs: one array [B, K, (W + H) * split] of logits, as the network gave it (dequantized).

        Returns:
            float32 [B, 1, K, 3], (x, y, score), continuous input pixels inside the input. The score is 0..1: the
            probability, after a softmax over each row of bins, that the keypoint lies within two sigmas of the most
            likely bin, across times down, as a share of an ideal Gaussian's. A row with a NaN scores 0 and its keypoint
            lies at the centre of the input.
        """
        logits = np.asarray(outputs[0], np.float32)
        across, down = self.bins
        if logits.ndim != 3 or logits.shape[1:] != (self.keypoints, across + down):
            raise ValueError(f"decode got {logits.shape}, the codec wants (B, {self.keypoints}, {across + down})")
        usable = np.asarray(np.isfinite(logits).all(axis=-1))
        logits = np.where(usable[..., None], logits, 0)
        places, masses = zip(*(self._peak(row) for row in np.split(logits, [across], axis=-1)), strict=True)
        height, width = self.input_shape
        size = np.array([width, height], np.float64)
        positions = np.clip(np.stack(places, axis=-1) / self.split, 0, size)
        positions = np.where(usable[..., None], positions, size / 2)
        scores = np.where(usable, masses[0] * masses[1], 0)
        return np.concatenate([positions, scores[..., None]], axis=-1).astype(np.float32)[:, None]

    def decode_poses(self, outputs: list[np.ndarray]) -> list[Poses]:
        """One `Poses` an image, of one pose each, as `decode`; a pose scores the mean of its keypoints."""
        return one_person(self.decode(outputs))

    def describe(self) -> dict:
        """How to decode, for programs without this one: JSON-able, written beside exported models."""
        across, down = self.bins
        return {
            "kind": "simcc",
            "model_type": "simcc_spe",
            "output": f"[1, keypoints, {across} + {down}] logits: bins across, then bins down",
            "activation": self.activation,
            "input_shape": list(self.input_shape),
            "keypoints": self.keypoints,
            "split": self.split,
            "sigma_bins": self.sigma,
            "position": "x = (bin across + 0.5) / split, y = (bin down + 0.5) / split, input pixels",
        }

    def _row(self, places: np.ndarray, count: int) -> np.ndarray:
        """float32 [B, K, count]: Gaussians around `places` [B, K] in bins, the row spans 0..count; each sums to 1."""
        index = np.arange(count, dtype=np.float32)
        blob = np.exp((index + 0.5 - places[..., None]) ** 2 * np.float32(-0.5 / self.sigma**2))
        blob[blob < 1e-10] = 0.0
        total = blob.sum(axis=-1, keepdims=True)  # 0 for a Gaussian far narrower than a bin that falls between two
        nearest = index == np.minimum(np.floor(places), count - 1)[..., None]
        return np.where(total > 0, blob / np.where(total > 0, total, 1), nearest)

    def _peak(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of rows of bins [B, K, n]: places float64 [B, K], in bins, the row spans 0..n; and masses [B, K] in 0..1."""
        peak = logits.argmax(axis=-1)
        powers = np.exp((logits - logits.max(axis=-1, keepdims=True)).astype(np.float64))
        powers /= powers.sum(axis=-1, keepdims=True)
        window, inside = _windows(powers, peak, max(2, math.ceil(_REACH * self.sigma)))
        offset = _fitted_tops(window * inside)
        # A top outside the window's core is a tail or a second peak; the middle of the equal highest bins stays then.
        equal = (window == window.max(axis=-1, keepdims=True)) & inside
        reach = np.arange(window.shape[-1]) - window.shape[-1] // 2
        middle = (equal * reach).sum(axis=-1) / np.maximum(equal.sum(axis=-1), 1)
        offset = np.where(np.abs(offset - middle) <= max(1.0, self.sigma), offset, middle)
        near = math.ceil(2 * self.sigma)
        window, inside = _windows(powers, peak, near)
        mass = (window * inside).sum(axis=-1) / math.erf((near + 0.5) / (self.sigma * math.sqrt(2)))
        return peak + 0.5 + offset, np.clip(mass, 0, 1)


def default_sigma(input_shape: tuple[int, int], split: int) -> float:
    """Standard deviation in bins: 4.9 for 192x192 and 5.7 for 256x256 at two bins a pixel, as RTMPose has it.

    It grows with the root of the side: sqrt(side / 8) bins at two bins a pixel, the side being that of a square of the
    input's area. Source: Jiang et al., RTMPose, 2023, whose configurations give these figures.
    """
    height, width = input_shape
    return split / 2 * math.sqrt(math.sqrt(height * width) / 8)


def _windows(rows: np.ndarray, peak: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """[B, K, n] around `peak` [B, K]: values and whether they lie inside the row, [B, K, 2 * radius + 1] each."""
    index = peak[..., None] + np.arange(-radius, radius + 1)
    inside = (index >= 0) & (index < rows.shape[-1])
    return np.take_along_axis(rows, np.clip(index, 0, rows.shape[-1] - 1), axis=-1), inside


def _fitted_tops(values: np.ndarray) -> np.ndarray:
    """[..., P] of probabilities -> [...]: from the middle bin to the top of the Gaussian nearest to them; NaN for none.

    Least squares for log v = a + b t + c t^2, weighted with v^2, the variance of a logarithm (Guo, A simple algorithm
    for fitting a Gaussian function, IEEE Signal Processing Magazine 28(5), 2011). A row cut by the border is fitted to
    the bins that exist, and steps of int8 average out over the width of the peak.
    """
    reach = (np.arange(values.shape[-1]) - values.shape[-1] // 2).astype(np.float64)
    scale = max(1.0, reach[-1])  # keeps the normal equations well conditioned
    basis = np.stack([np.ones_like(reach), reach / scale, (reach / scale) ** 2], axis=-1)
    top = values.max(axis=-1, keepdims=True)
    values = values / np.where(top > 0, top, 1)
    weights = np.where(values > _FLOOR, values * values, 0.0)
    logs = np.log(np.maximum(values, _FLOOR))
    normal = np.einsum("...p,pi,pj->...ij", weights, basis, basis, optimize=True) + 1e-12 * np.eye(3)
    fit = np.linalg.solve(normal, ((weights * logs) @ basis)[..., None])[..., 0]
    bend = np.where(fit[..., 2] < -1e-6, fit[..., 2], np.nan)
    return -fit[..., 1] / (2 * bend) * scale

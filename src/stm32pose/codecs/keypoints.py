"""`KeypointsCodec`: networks that give the keypoints of one person directly."""

from __future__ import annotations

import numpy as np

from stm32pose.codecs.poses import Poses, one_person


class KeypointsCodec:
    """Outputs (y, x, score), y and x as shares of the input's height and width: Google's MoveNet layout.

    Attributes:
        input_shape: (H, W) of the network's input in pixels.
        keypoints: K.
        several: False: one pose an image.
    """

    several = False

    def __init__(self, input_shape: tuple[int, int], keypoints: int):
        self.input_shape = (int(input_shape[0]), int(input_shape[1]))
        self.keypoints = int(keypoints)

    def encode(self, keypoints_input: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The output a perfect network would give for the first person of every image.

        Args:
            keypoints_input: [B, N, K, 3], (x, y, visibility), continuous input pixels.

        Returns:
            targets: float32 [B, 1, 1, K, 3], (y, x, score); score 1 where labelled; zeros elsewhere.
            weights: float32 [B, K]: 1 where the keypoint is labelled and inside the input, else 0.
        """
        keypoints_input = np.asarray(keypoints_input, np.float32)
        if keypoints_input.shape[2] != self.keypoints:
            raise ValueError(f"encode got {keypoints_input.shape[2]} keypoints, the codec has {self.keypoints}")
        height, width = self.input_shape
        points = keypoints_input[:, 0, :, :2] / np.array([width, height], np.float32)
        weights = (keypoints_input[:, 0, :, 2] > 0) & ((points >= 0) & (points <= 1)).all(axis=-1)
        targets = np.concatenate([points[..., ::-1], np.ones_like(points[..., :1])], axis=-1)
        targets = np.where(weights[..., None], targets, 0).astype(np.float32)
        return targets[:, None, None], weights.astype(np.float32)

    def decode(self, outputs: list[np.ndarray]) -> np.ndarray:
        """Poses in input pixels.

        Args:
            outputs: one array [B, 1, 1, K, 3] or [B, 1, K, 3], (y, x, score) normalised.

        Returns:
            float32 [B, 1, K, 3], (x, y, score), continuous input pixels; the score is clipped to 0..1. A keypoint with
            a value that is not finite scores 0 and lies at the centre of the input.
        """
        output = np.asarray(outputs[0], np.float32)
        if output.size != len(output) * self.keypoints * 3 or output.shape[-1] != 3:
            raise ValueError(f"decode got {output.shape}, the codec wants (B, 1, 1, {self.keypoints}, 3)")
        rows = output.reshape(len(output), 1, self.keypoints, 3)
        finite = np.isfinite(rows).all(axis=-1, keepdims=True)
        height, width = self.input_shape
        scale = np.array([width, height, 1], np.float32)
        poses = np.where(finite, rows[..., [1, 0, 2]] * scale, scale * np.array([0.5, 0.5, 0], np.float32))
        poses[..., 2] = np.clip(poses[..., 2], 0, 1)
        return poses

    def decode_poses(self, outputs: list[np.ndarray]) -> list[Poses]:
        """One `Poses` an image, of one pose each, as `decode`; a pose scores the mean of its keypoints."""
        return one_person(self.decode(outputs))

    def describe(self) -> dict:
        """How to decode, for programs without this one: JSON-able, written beside exported models."""
        return {
            "kind": "keypoints",
            "model_type": "spe",
            "output": "[1, 1, 1, keypoints, 3], (y, x, score)",
            "input_shape": list(self.input_shape),
            "keypoints": self.keypoints,
            "position": "x = output x * width, y = output y * height, input pixels, centre of the first at 0.5",
        }

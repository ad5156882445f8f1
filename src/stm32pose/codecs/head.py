"""`HeadCodec`: MediaPipe's face landmarks, one face in a crop."""

from __future__ import annotations

import numpy as np

from stm32pose.codecs.face_mesh import MESH_SIZES, mesh_points
from stm32pose.codecs.poses import Poses, extents


class HeadCodec:
    """One long output of landmarks in input pixels, (x, y) or (x, y, z) each, and perhaps one of the face's presence.

    Attributes:
        input_shape: (H, W) of the network's input in pixels.
        keypoints: K of the skeleton.
        landmarks: L of the network; K of them are used (`face_mesh.mesh_points`).
        values: numbers a landmark: 2 or 3.
        several: False: one pose an image.
    """

    several = False

    def __init__(self, input_shape: tuple[int, int], keypoints: int, *, landmarks: int, values: int = 2):
        points = mesh_points(int(landmarks), int(keypoints))
        if points is None or values not in (2, 3):
            raise ValueError(f"impossible codec: {landmarks} landmarks of {values} values for {keypoints} keypoints")
        self.input_shape = (int(input_shape[0]), int(input_shape[1]))
        self.keypoints = int(keypoints)
        self.landmarks = int(landmarks)
        self.values = int(values)
        self._points = np.array(points, np.int64)

    def encode(self, keypoints_input: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The landmarks that a perfect network would give for the first face of every image.

        Args:
            keypoints_input: [B, N, K, 3], (x, y, visibility), continuous input pixels.

        Returns:
            targets: float32 [B, 1, 1, L * values] in input pixels; zeros for z, for what is not labelled and for
                landmarks that are no keypoint of the skeleton.
            weights: float32 [B, K]: 1 where the keypoint is labelled, else 0.
        """
        keypoints_input = np.asarray(keypoints_input, np.float32)
        if keypoints_input.shape[2] != self.keypoints:
            raise ValueError(f"encode got {keypoints_input.shape[2]} keypoints, the codec has {self.keypoints}")
        face = keypoints_input[:, 0]
        weights = face[..., 2] > 0
        targets = np.zeros((len(face), self.landmarks, self.values), np.float32)
        targets[:, self._points, :2] = face[..., :2] * weights[..., None]
        return targets.reshape(len(face), 1, 1, -1), weights.astype(np.float32)

    def decode(self, outputs: list[np.ndarray]) -> np.ndarray:
        """float32 [B, 1, K, 3], (x, y, presence), continuous input pixels; as `decode_poses`."""
        batch = len(outputs[0])
        flat = [np.asarray(output, np.float32).reshape(batch, -1) for output in outputs]
        long = [output for output in flat if output.shape[1] == self.landmarks * self.values]
        single = [output for output in flat if output.shape[1] == 1]
        if len(long) != 1 or len(single) > 1:
            wanted = self.landmarks * self.values
            raise ValueError(f"decode got {[output.shape for output in flat]}, the codec wants (B, {wanted})")
        points = long[0].reshape(batch, self.landmarks, self.values)[:, self._points, :2]
        presence = np.clip(np.nan_to_num(single[0], nan=0.0), 0, 1) if single else np.ones((batch, 1), np.float32)
        finite = np.isfinite(points).all(axis=-1, keepdims=True)
        height, width = self.input_shape
        points = np.where(finite, points, np.array([width / 2, height / 2], np.float32))
        return np.concatenate([points, np.where(finite, presence[:, None], 0)], axis=-1).astype(np.float32)[:, None]

    def decode_poses(self, outputs: list[np.ndarray]) -> list[Poses]:
        """One face an image.

        Args:
            outputs: the landmarks, and where the file has one the presence (a probability), in any order.

        Returns:
            One `Poses` an image, in input pixels: score and keypoint scores are the presence, 1 where the network does
            not tell; the box is the extent of the keypoints. A landmark that is not finite scores 0 and lies at the
            centre of the input.
        """
        return [Poses(pose, pose[..., 2].max(axis=-1), extents(pose)) for pose in self.decode(outputs)]

    def describe(self) -> dict:
        """How to decode, for programs without this one: JSON-able, written beside exported models."""
        return {
            "kind": "head",
            "model_type": "head_spe",
            "output": f"[1, 1, 1, {self.landmarks * self.values}]: {self.values} values a landmark, (x, y) first",
            "input_shape": list(self.input_shape),
            "keypoints": self.keypoints,
            "landmarks": self.landmarks,
            "values": self.values,
            "position": "input pixels",
        }


def landmark_layout(values: int) -> tuple[int, int] | None:
    """(landmarks, values a landmark) of an output of so many numbers; None for a number that is no such output.

    936 is a mesh of 468 pairs and 1404 one of 468 triples; other even numbers are taken for pairs.
    """
    for size in MESH_SIZES:
        if values in (2 * size, 3 * size):
            return size, values // size
    return (values // 2, 2) if values > 3 and values % 2 == 0 else None

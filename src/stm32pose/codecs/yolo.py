"""`YoloCodec`: YOLO pose networks (v8, 11, 26), which find several people at once."""

from __future__ import annotations

import numpy as np

from stm32pose.codecs.boxes import suppress
from stm32pose.codecs.poses import Poses, no_poses
from stm32pose.errors import ConfigError

CONFIDENCE = 0.25
"""Score from which a pose is shown and counted as found, where the configuration gives none."""
NMS = 0.7
MAX_DETECTIONS = 20
SHARES = 2.0
"""Coordinates of a batch that stay below this are shares of the input; pixels go further."""


class YoloCodec:
    """Boxes with scores and keypoints, suppressed here (YOLOv8, YOLO11) or in the network ("end to end", YOLO26).

    A row of the output is one candidate: (x centre, y centre, width, height, score) and K times (x, y, score), or
    (left, top, right, bottom, score, class) and the same in an end-to-end network. Rows lie along the last axis
    ([5 + 3K, boxes], as exported by default) or along the first. All scores are probabilities. Coordinates are shares
    of the input (TFLite exports) or input pixels (ONNX exports).

    Attributes:
        input_shape: (H, W) of the network's input in pixels.
        keypoints: K.
        confidence: candidates with a lower score are dropped.
        nms: overlap (intersection over union) above which the weaker of two is dropped.
        max_detections: most poses an image.
        normalised: whether coordinates are shares; None: each batch shows it, since boxes in pixels go beyond 2.
        several: True: an image has any number of poses.
    """

    several = True

    def __init__(
        self,
        input_shape: tuple[int, int],
        keypoints: int,
        *,
        confidence: float = CONFIDENCE,
        nms: float = NMS,
        max_detections: int = MAX_DETECTIONS,
        normalised: bool | None = None,
    ):
        if not (0 <= confidence <= 1 and 0 < nms <= 1) or max_detections < 1 or keypoints < 1:
            raise ValueError(
                f"impossible codec: confidence {confidence}, nms {nms}, {max_detections} boxes, {keypoints} keypoints"
            )
        self.input_shape = (int(input_shape[0]), int(input_shape[1]))
        self.keypoints = int(keypoints)
        self.confidence = float(confidence)
        self.nms = float(nms)
        self.max_detections = int(max_detections)
        self.normalised = normalised

    def encode(self, keypoints_input: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """There is no single right output: which of a person's many candidates answers is up to the network.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "model.model_type: yolo_mpe files are evaluated, not trained; available for training: heatmaps_spe, "
            "simcc_spe, movenet_spe, spe"
        )

    def decode(self, outputs: list[np.ndarray]) -> np.ndarray:
        """The best pose of each image: float32 [B, 1, K, 3], as `decode_poses`; scores 0 at the centre for none."""
        height, width = self.input_shape
        poses = np.tile(np.array([width / 2, height / 2, 0], np.float32), (len(outputs[0]), 1, self.keypoints, 1))
        for index, found in enumerate(self.decode_poses(outputs)):
            if len(found):
                poses[index, 0] = found.keypoints[0]
        return poses

    def decode_poses(self, outputs: list[np.ndarray]) -> list[Poses]:
        """Everybody in every image.

        Args:
            outputs: one array [B, 5 + 3K, boxes] or [B, boxes, 5 + 3K] (6 + 3K end to end), as the network gave it.

        Returns:
            One `Poses` an image, in input pixels. Boxes are cut at the input's edge, keypoints may lie outside. A
            candidate with a value that is not finite is dropped.
        """
        rows, ends = self._rows(np.asarray(outputs[0], np.float32))
        height, width = self.input_shape
        scale = np.array([width, height], np.float32) if self._is_normalised(rows) else np.ones(2, np.float32)
        return [self._decode_image(candidates, scale, ends) for candidates in rows]

    def describe(self) -> dict:
        """How to decode, for programs without this one: JSON-able, written beside exported models."""
        return {
            "kind": "yolo",
            "model_type": "yolo_mpe",
            "output": "[1, 5 + 3 keypoints, boxes]: x centre, y centre, width, height, score, keypoints (x, y, score)",
            "input_shape": list(self.input_shape),
            "keypoints": self.keypoints,
            "confidence": self.confidence,
            "nms": self.nms,
            "max_detections": self.max_detections,
            "normalised": self.normalised,
            "position": "shares of the input's width and height, or input pixels where values go beyond 2",
        }

    def _rows(self, output: np.ndarray) -> tuple[np.ndarray, bool]:
        """([B, boxes, values] with the values of a candidate last, whether suppression happened in the network)."""
        for extra in (5, 6):
            wanted = extra + 3 * self.keypoints
            for axis in (1, 2):
                if output.ndim == 3 and output.shape[axis] == wanted:
                    return (output.swapaxes(1, 2) if axis == 1 else output), extra == 6
        raise ValueError(f"decode got {output.shape}, the codec wants (B, {5 + 3 * self.keypoints}, boxes)")

    def _is_normalised(self, rows: np.ndarray) -> bool:
        if self.normalised is not None:
            return self.normalised
        boxes = rows[..., :4]
        return not (boxes[np.isfinite(boxes)] > SHARES).any()

    def _decode_image(self, candidates: np.ndarray, scale: np.ndarray, ends: bool) -> Poses:
        """One image: [boxes, values] -> `Poses`."""
        scores = candidates[:, 4]
        sure = np.flatnonzero((scores >= self.confidence) & (scores > 0))
        candidates = candidates[sure]
        candidates = candidates[np.isfinite(candidates).all(axis=1)]
        if not len(candidates):
            return no_poses(self.keypoints, boxes=True)
        boxes = candidates[:, :4] * np.tile(scale, 2)
        if not ends:
            centre, half = boxes[:, :2], np.abs(boxes[:, 2:]) / 2
            boxes = np.concatenate([centre - half, centre + half], axis=1)
            kept = suppress(boxes, candidates[:, 4], threshold=self.nms, limit=self.max_detections)
        else:
            kept = np.argsort(-candidates[:, 4], kind="stable")[: self.max_detections]
        candidates, boxes = candidates[kept], boxes[kept]
        keypoints = candidates[:, 6 if ends else 5 :].reshape(len(kept), self.keypoints, 3).copy()
        keypoints[..., :2] *= scale
        keypoints[..., 2] = np.clip(keypoints[..., 2], 0, 1)
        height, width = self.input_shape
        boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
        boxes[:, 2:] -= boxes[:, :2]
        return Poses(keypoints, np.clip(candidates[:, 4], 0, 1), boxes)

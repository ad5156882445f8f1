"""`Deployable`: all that the code on a board has to know of a model file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stm32pose.config.data_sections import Preprocessing
from stm32pose.config.model_sections import Postprocessing
from stm32pose.inference.runner import Layout
from stm32pose.inference.tensors import TensorInfo
from stm32pose.skeletons.skeleton import Skeleton

Kind = Literal["heatmaps", "keypoints", "simcc", "movenet", "yolo", "hand", "head"]

CONFIDENCE = 0.25
NMS = 0.7
MOST = 20
"""Thresholds of several people where neither the configuration nor the codec gives them."""


@dataclass(frozen=True, eq=False)
class Deployable:
    """A model file and how its numbers are to be read.

    Attributes:
        path: the .tflite or .onnx file.
        quantized: whether it computes in integers.
        input: its input as the file has it.
        layout: NHWC or NCHW, of the file's input.
        input_shape: (H, W, C).
        outputs: its outputs, heat maps channels last, in the file's order.
        codec: what `Codec.describe` says: `kind`, and what belongs to it.
        skeleton: names and edges of the keypoints.
        preprocessing: rescaling, resizing, colour.
        postprocessing: thresholds.
    """

    path: Path
    quantized: bool
    input: TensorInfo
    layout: Layout
    input_shape: tuple[int, int, int]
    outputs: tuple[TensorInfo, ...]
    codec: dict[str, Any]
    skeleton: Skeleton
    preprocessing: Preprocessing
    postprocessing: Postprocessing

    @property
    def kind(self) -> str:
        """heatmaps, keypoints, simcc, movenet, yolo, hand or head: which decoder the board needs."""
        return str(self.codec["kind"])

    @property
    def rescaling(self) -> tuple[float, float]:
        """(scale, offset): network input = scale * pixel + offset."""
        return self.preprocessing.rescaling.scale, self.preprocessing.rescaling.offset

    @property
    def map_shape(self) -> tuple[int, int]:
        """(rows, columns) of the heat maps, from the output itself."""
        rows, columns = self.outputs[0].shape[:2]
        return int(rows), int(columns)

    @property
    def confidence(self) -> float:
        """Score below which a detection is dropped."""
        given = self.postprocessing.confidence_thresh
        return float(self.codec.get("confidence", CONFIDENCE) if given is None else given)

    @property
    def nms(self) -> float:
        """Overlap above which the weaker of two detections is dropped."""
        given = self.postprocessing.NMS_thresh
        return float(self.codec.get("nms", NMS) if given is None else given)

    @property
    def most_poses(self) -> int:
        """Most poses an image."""
        if self.kind != "yolo":
            return 1
        return int(self.postprocessing.max_detection_boxes or self.codec.get("max_detections") or MOST)

    def boxes(self) -> tuple[int, bool, bool]:
        """Of a YOLO output: (candidates, candidates along the first axis, overlaps suppressed in the network)."""
        shape = self.outputs[0].shape
        for values in (5 + 3 * self.skeleton.count, 6 + 3 * self.skeleton.count):
            for axis in (0, 1):
                if len(shape) == 2 and shape[axis] == values:
                    return int(shape[1 - axis]), axis == 1, values == 6 + 3 * self.skeleton.count
        raise ValueError(f"{list(shape)} is no output of YOLO with {self.skeleton.count} keypoints")

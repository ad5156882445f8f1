"""`HandCodec`: MediaPipe's hand landmarks, one hand in a crop, told left from right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stm32pose.codecs.poses import Poses, extents

# How MediaPipe's own files call their outputs, once in the converter's numbering and once in words.
_NAMES = {"presence": ("identity_1", "presence", "handflag", "hand_flag"), "handedness": ("identity_2", "handedness")}


class HandCodec:
    """Four outputs: handedness [1], presence [1], landmarks in input pixels [3K] and landmarks in metres [3K].

    Which is which does not hang on the order alone. Of the two long ones, pixels are the larger numbers. Of the two
    single ones, names tell where the file has MediaPipe's; else the order does: handedness comes first, as in ST's
    files. Both are probabilities.

    Attributes:
        input_shape: (H, W) of the network's input in pixels.
        keypoints: K.
        presence_index, handedness_index: which outputs these are.
        several: False: one pose an image.
    """

    several = False

    def __init__(
        self, input_shape: tuple[int, int], keypoints: int, *, presence_index: int = 2, handedness_index: int = 0
    ):
        if presence_index == handedness_index:
            raise ValueError(f"impossible codec: output {presence_index} is both presence and handedness")
        self.input_shape = (int(input_shape[0]), int(input_shape[1]))
        self.keypoints = int(keypoints)
        self.presence_index = int(presence_index)
        self.handedness_index = int(handedness_index)

    def encode(self, keypoints_input: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The landmarks that a perfect network would give for the first hand of every image.

        Args:
            keypoints_input: [B, N, K, 3], (x, y, visibility), continuous input pixels.

        Returns:
            targets: float32 [B, 3K], (x, y, 0) in input pixels, zeros where not labelled: the output of pixels. The
                other three are not in such labels.
            weights: float32 [B, K]: 1 where the keypoint is labelled, else 0.
        """
        keypoints_input = np.asarray(keypoints_input, np.float32)
        if keypoints_input.shape[2] != self.keypoints:
            raise ValueError(f"encode got {keypoints_input.shape[2]} keypoints, the codec has {self.keypoints}")
        hand = keypoints_input[:, 0]
        weights = hand[..., 2] > 0
        targets = np.concatenate([hand[..., :2], np.zeros_like(hand[..., :1])], axis=-1) * weights[..., None]
        return targets.reshape(len(hand), -1).astype(np.float32), weights.astype(np.float32)

    def decode(self, outputs: list[np.ndarray]) -> np.ndarray:
        """float32 [B, 1, K, 3], (x, y, presence), continuous input pixels; as `decode_poses`."""
        landmarks, presence, _ = self._sorted(outputs)
        points = landmarks.reshape(len(landmarks), 1, self.keypoints, 3)[..., :2]
        finite = np.isfinite(points).all(axis=-1, keepdims=True)
        scores = np.broadcast_to(presence[:, None, None, None], finite.shape)
        height, width = self.input_shape
        centre = np.array([width / 2, height / 2], np.float32)
        return np.concatenate([np.where(finite, points, centre), np.where(finite, scores, 0)], axis=-1)

    def decode_poses(self, outputs: list[np.ndarray]) -> list[Poses]:
        """One hand an image.

        Args:
            outputs: the four arrays, in the file's order.

        Returns:
            One `Poses` an image, in input pixels: score and keypoint scores are the presence, the box is the extent of
            the landmarks, the name is "right" above a handedness of 0.5, else "left". A landmark that is not finite
            scores 0 and lies at the centre of the input.
        """
        poses = self.decode(outputs)
        _, presence, handedness = self._sorted(outputs)
        return [
            Poses(keypoints, presence[[row]], extents(keypoints), ("right" if handedness[row] > 0.5 else "left",))
            for row, keypoints in enumerate(poses)
        ]

    def describe(self) -> dict:
        """How to decode, for programs without this one: JSON-able, written beside exported models."""
        return {
            "kind": "hand",
            "model_type": "hand_spe",
            "output": "landmarks [1, 3 keypoints]: (x, y, z) in input pixels, the larger of the two long outputs",
            "input_shape": list(self.input_shape),
            "keypoints": self.keypoints,
            "presence_index": self.presence_index,
            "handedness_index": self.handedness_index,
            "position": "input pixels; a right hand where handedness is above 0.5",
        }

    def _sorted(self, outputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Landmarks in pixels float32 [B, 3K], presence [B] and handedness [B], both within 0..1."""
        batch = len(outputs[0])
        flat = [np.asarray(output, np.float32).reshape(batch, -1) for output in outputs]
        long = [output for output in flat if output.shape[1] == 3 * self.keypoints]
        if len(flat) != 4 or len(long) != 2:
            raise ValueError(f"decode got {[o.shape for o in flat]}, the codec wants two of (B, {3 * self.keypoints})")
        landmarks = max(
            long, key=lambda values: np.abs(values, where=np.isfinite(values), out=np.zeros_like(values)).max()
        )
        single = [
            np.clip(np.nan_to_num(flat[index][:, 0], nan=0.0), 0, 1)
            for index in (self.presence_index, self.handedness_index)
        ]
        return landmarks, single[0], single[1]


def single_outputs(sizes: Sequence[int], names: Sequence[str] = ()) -> tuple[int, int]:
    """Which outputs are (presence, handedness): by name where a name tells, else handedness first, as ST has it.

    Args:
        sizes: values of each output; two of them are 1.
        names: of the outputs, where the file has names.
    """
    first, second = (index for index, size in enumerate(sizes) if size == 1)
    if names and (_is_called(names[first], "presence") or _is_called(names[second], "handedness")):
        return first, second
    return second, first


def _is_called(name: str, what: str) -> bool:
    """`Identity_1:0`, `StatefulPartitionedCall/Identity_1` and `model/conv_handflag/Sigmoid` are the presence."""
    plain = name.lower().split(":")[0]
    return any(plain.split("/")[-1] == known or (not known[-1].isdigit() and known in plain) for known in _NAMES[what])

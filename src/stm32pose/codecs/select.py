"""The right codec for a model, and one clear line when the model is of another kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stm32pose.codecs import face_mesh, hand, head, movenet
from stm32pose.codecs.hand import HandCodec
from stm32pose.codecs.head import HeadCodec
from stm32pose.codecs.heatmap import HeatmapCodec
from stm32pose.codecs.keypoints import KeypointsCodec
from stm32pose.codecs.movenet import MovenetCodec
from stm32pose.codecs.poses import Poses
from stm32pose.codecs.simcc import SimccCodec
from stm32pose.codecs.yolo import YoloCodec
from stm32pose.errors import ConfigError, did_you_mean, first_line

if TYPE_CHECKING:
    from stm32pose.config.model_sections import Heatmap

_WANTED = {
    "heatmaps_spe": "one output [h, w, {count}] of heat maps",
    "spe": "one output [1, 1, {count}, 3] of keypoints",
    "simcc_spe": "one output [{count}, (width + height) x split] of bins",
    "movenet_spe": "four outputs [h, w, channels] of 1, {count}, 2 x {count} and 2 x {count} channels",
    "hand_spe": "four outputs: two of 3 x {count} values and two of one",
    "head_spe": "an output of 2 or 3 values for each landmark of a face",
    "yolo_mpe": "one output [5 + 3 x {count}, boxes]",
}
_KINDS = ("heatmaps", "keypoints", "simcc", "movenet", "hand", "head", "yolo")


class Codec(Protocol):
    """What every codec can do; see `HeatmapCodec` for shapes."""

    keypoints: int
    input_shape: tuple[int, int]
    several: bool
    """Whether an image has any number of poses."""

    def encode(self, keypoints_input: np.ndarray) -> tuple[Any, np.ndarray]:
        """What the loss compares the outputs with, an array [B, ...] or a tuple of them, and weights [B, K]."""
        ...

    def decode(self, outputs: list[np.ndarray]) -> np.ndarray: ...

    def decode_poses(self, outputs: list[np.ndarray]) -> list[Poses]: ...

    def describe(self) -> dict[str, Any]: ...


def make_codec(
    model_type: str,
    *,
    input_shape: tuple[int, int, int],
    output_shapes: Sequence[tuple[int, ...]],
    keypoints: int,
    output_names: Sequence[str] = (),
    heatmap: Heatmap | None = None,
    activation: str = "sigmoid",
    decode: str = "dark",
    confidence: float | None = None,
    nms: float | None = None,
    max_detections: int | None = None,
    where: str = "model",
) -> Codec:
    """The codec of a model.

    Args:
        model_type: `model.model_type` of the configuration.
        input_shape: (H, W, channels) of the network's input.
        output_shapes: of its outputs, channels last, without the batch axis.
        keypoints: K of the skeleton.
        output_names: of its outputs, where the file has names; they tell outputs of one shape apart.
        heatmap: target and sigma of what is learnt; None: the defaults.
        activation: of the heat maps: "sigmoid", "softmax" or "empty".
        decode: of the heat maps: "argmax", "quarter" or "dark".
        confidence, nms, max_detections: of several people: `YoloCodec`; None: its defaults, which are for display.
        where: key or file named in messages.

    Raises:
        ConfigError: the model is of another kind, or has another number of keypoints.
    """
    if model_type not in _WANTED:
        allowed = f"allowed: {', '.join(_WANTED)}{did_you_mean(model_type, _WANTED)}"
        raise ConfigError(f"{where}: model_type {model_type!r} is unknown; {allowed}")
    kind, count = recognise(output_shapes, keypoints, input_shape=input_shape, model_type=model_type)
    if kind != model_type:
        wanted = _WANTED[model_type].format(count=keypoints)
        hint = f"; set model_type: {kind}" if kind else ""
        raise ConfigError(f"{where}: gives {_text(output_shapes)}{hint}; {model_type} needs {wanted}")
    size = (int(input_shape[0]), int(input_shape[1]))
    if kind == "head_spe":
        return _head(size, output_shapes, count, keypoints, where)
    if count != keypoints:
        what = "heat maps of " if kind == "heatmaps_spe" else ""
        raise ConfigError(
            f"{where}: gives {what}{count} keypoints, the skeleton has {keypoints}; set dataset.keypoints: {count}, or "
            f"dataset.skeleton to one that has {count} (`stm32pose skeletons`)"
        )
    if kind == "spe":
        return KeypointsCodec(size, keypoints)
    sigma: dict[str, Any] = {"sigma": heatmap.sigma} if heatmap and heatmap.sigma else {}
    if kind == "simcc_spe":
        return SimccCodec(size, keypoints, split=output_shapes[0][1] // sum(size), **sigma)
    if kind == "hand_spe":
        presence, handedness = hand.single_outputs(_sizes(output_shapes), output_names)
        return HandCodec(size, keypoints, presence_index=presence, handedness_index=handedness)
    if kind == "yolo_mpe":
        return YoloCodec(size, keypoints, **_detection(confidence, nms, max_detections))
    target: dict[str, Any] = {"target": heatmap.target} if heatmap else {}
    map_shape = (int(output_shapes[0][0]), int(output_shapes[0][1]))
    if kind == "movenet_spe":
        order = movenet.output_order(output_shapes, keypoints, output_names) or ()
        return MovenetCodec(size, map_shape, keypoints, order=order, **target, **sigma)
    return HeatmapCodec(size, map_shape, keypoints, activation=activation, decode=decode, **target, **sigma)


def codec_from_description(
    described: dict[str, Any],
    *,
    decode: str | None = None,
    confidence: float | None = None,
    nms: float | None = None,
    max_detections: int | None = None,
    output_shapes: Sequence[tuple[int, ...]] = (),
    output_names: Sequence[str] = (),
) -> Codec:
    """The codec that `describe` told of, as it was: with its target, sigma and activation.

    Args:
        described: what a codec's `describe` gave, from a file perhaps.
        decode: another way to decode heat maps than the one described.
        confidence, nms, max_detections: of several people, other ones than described.
        output_shapes, output_names: of the file's outputs, where it is at hand: MoveNet's outputs may lie in another
            order there than described, and their names tell.

    Raises:
        ConfigError: a description of another kind, or one that lacks something or is impossible.
    """
    kind = described.get("kind")
    if kind not in _KINDS:
        raise ConfigError(f"codec: a description of kind {kind!r}; allowed: {', '.join(_KINDS)}")
    try:
        input_shape, keypoints = _pair(described["input_shape"]), int(described["keypoints"])
        if kind == "keypoints":
            return KeypointsCodec(input_shape, keypoints)
        if kind == "simcc":
            split, sigma = described["split"], float(described["sigma_bins"])
            return SimccCodec(input_shape, keypoints, split=split, sigma=sigma)
        if kind == "movenet":
            told = described["outputs"]
            order = movenet.output_order(output_shapes, keypoints, output_names, told=told) or [
                told.index(role) for role in movenet.ROLES
            ]
            return MovenetCodec(
                input_shape,
                _pair(described["map_shape"]),
                keypoints,
                target=described["target"],
                sigma=float(described["sigma_cells"]),
                order=order,
            )
        if kind == "hand":
            names = ("presence_index", "handedness_index")
            return HandCodec(input_shape, keypoints, **{name: int(described[name]) for name in names})
        if kind == "head":
            names = ("landmarks", "values")
            return HeadCodec(input_shape, keypoints, **{name: int(described[name]) for name in names})
        if kind == "yolo":
            known = _detection(described["confidence"], described["nms"], described["max_detections"])
            known |= _detection(confidence, nms, max_detections)
            return YoloCodec(input_shape, keypoints, normalised=described["normalised"], **known)
        return HeatmapCodec(
            input_shape,
            _pair(described["map_shape"]),
            keypoints,
            target=described["target"],
            sigma=float(described["sigma_cells"]),
            activation=described["activation"],
            decode=decode or described["decode"],
        )
    except KeyError as error:
        raise ConfigError(f"codec: its description lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"codec: its description cannot be: {first_line(error)}") from error


def recognise(
    output_shapes: Sequence[tuple[int, ...]],
    keypoints: int | None = None,
    *,
    input_shape: Sequence[int] | None = None,
    model_type: str = "",
) -> tuple[str, int]:
    """(model_type, K) that outputs of these shapes look like; ("", 0) for none that is known.

    Rows of bins, [K, (W + H) x split], and candidates of several people, [5 + 3K, boxes], are both tables. The sides of
    the input tell: the number of YOLO's boxes is no multiple of their sum for any square input below 2048 pixels.

    Args:
        output_shapes: without batch.
        keypoints: the K to prefer where a shape could be of several.
        input_shape: (H, W, ...) of the network; None: a table is taken for candidates, unless `model_type` tells.
        model_type: the one to prefer where a shape could be of several.
    """
    shapes = [tuple(shape) for shape in output_shapes]
    if any(size is None for shape in shapes for size in shape):
        return "", 0
    if count := movenet.keypoints_of(shapes):
        return "movenet_spe", count
    if len(shapes) == 1 and _is_simcc(shapes[0], keypoints, input_shape, model_type):
        return "simcc_spe", shapes[0][0]
    sizes = sorted(_sizes(shapes))
    if len(shapes) == 4 and sizes[:2] == [1, 1] and sizes[2] == sizes[3] and sizes[2] % 3 == 0:
        return "hand_spe", sizes[2] // 3
    if len(shapes) == 1:
        kind, count = _recognise_one(shapes[0], keypoints)
        if kind:
            return kind, count
    row = next((shape for shape in shapes if max(shape, default=0) == sizes[-1]), None)  # all values on one axis
    layout = head.landmark_layout(sizes[-1]) if row else None
    if layout and sizes[:-1] in ([], [1]):
        return "head_spe", layout[0]
    return "", 0


def _recognise_one(shape: tuple[int, ...], keypoints: int | None) -> tuple[str, int]:
    """A single output that is no long row of landmarks."""
    if len(shape) in (3, 4) and shape[-1] == 3 and set(shape[:-2]) == {1}:
        return "spe", shape[-2]
    if len(shape) == 3 and min(shape[:2]) >= 3:
        return "heatmaps_spe", shape[2]
    if len(shape) == 2:
        # A candidate has 5 + 3K values, after the network's own suppression 6 + 3K (YOLO26), and most often there are
        # more candidates than values.
        counts = [(size - extra) // 3 for size in sorted(shape) for extra in (5, 6) if (size - extra) % 3 == 0]
        counts = [count for count in counts if count > 0 and min(shape) > 3]
        if counts:
            return "yolo_mpe", keypoints if keypoints in counts else counts[0]
    return "", 0


def _is_simcc(
    shape: tuple[int, ...], keypoints: int | None, input_shape: Sequence[int] | None, model_type: str
) -> bool:
    """Whether a single output is [K, (W + H) x split]."""
    if len(shape) != 2:
        return False
    if input_shape is None:
        return model_type == "simcc_spe"
    if shape[1] % (input_shape[0] + input_shape[1]):
        return False
    return model_type != "yolo_mpe" or _recognise_one(shape, keypoints) != ("yolo_mpe", keypoints)


def _head(
    size: tuple[int, int], shapes: Sequence[tuple[int, ...]], landmarks: int, keypoints: int, where: str
) -> HeadCodec:
    if face_mesh.mesh_points(landmarks, keypoints) is None:
        usable = f"{landmarks}, or 68 (face68)" if landmarks in face_mesh.MESH_SIZES else f"{landmarks}"
        raise ConfigError(
            f"{where}: gives {landmarks} landmarks of a face, the skeleton has {keypoints}; usable with {usable}"
        )
    return HeadCodec(size, keypoints, landmarks=landmarks, values=max(_sizes(shapes)) // landmarks)


def _detection(confidence: float | None, nms: float | None, max_detections: int | None) -> dict[str, Any]:
    """The arguments of `YoloCodec` that are given."""
    given = {"confidence": confidence, "nms": nms, "max_detections": max_detections}
    return {name: value for name, value in given.items() if value is not None}


def _sizes(shapes: Sequence[tuple[int, ...]]) -> list[int]:
    return [int(np.prod(shape)) for shape in shapes]


def _pair(values: Any) -> tuple[int, int]:
    first, second = values
    return int(first), int(second)


def _text(shapes: Sequence[tuple[int, ...]]) -> str:
    listed = ", ".join(str(list(shape)).replace("None", "?") for shape in shapes)
    return f"{'an output' if len(shapes) == 1 else f'{len(shapes)} outputs'} {listed}"

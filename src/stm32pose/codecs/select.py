"""The right codec for a model, and one clear line when the model is of another kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stm32pose.codecs.heatmap import HeatmapCodec
from stm32pose.codecs.keypoints import KeypointsCodec
from stm32pose.errors import ConfigError, did_you_mean, first_line

if TYPE_CHECKING:
    from stm32pose.config.model_sections import Heatmap

LATER = {
    "hand_spe": "hand landmarks",
    "head_spe": "face landmarks",
    "yolo_mpe": "YOLO poses of several people",
}
_WANTED = {
    "heatmaps_spe": "one output [h, w, {count}] of heat maps",
    "spe": "one output [1, 1, {count}, 3] of keypoints",
}


class Codec(Protocol):
    """What every codec can do; see `HeatmapCodec` for shapes."""

    keypoints: int
    input_shape: tuple[int, int]

    def encode(self, keypoints_input: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...

    def decode(self, outputs: list[np.ndarray]) -> np.ndarray: ...

    def describe(self) -> dict[str, Any]: ...


def make_codec(
    model_type: str,
    *,
    input_shape: tuple[int, int, int],
    output_shapes: list[tuple[int, ...]],
    keypoints: int,
    heatmap: Heatmap | None = None,
    activation: str = "sigmoid",
    decode: str = "dark",
    where: str = "model",
) -> Codec:
    """The codec of a model.

    Args:
        model_type: `model.model_type` of the configuration.
        input_shape: (H, W, channels) of the network's input.
        output_shapes: of its outputs, channels last, without the batch axis.
        keypoints: K of the skeleton.
        heatmap: target and sigma; None: the defaults.
        activation: of the heat maps: "sigmoid", "softmax" or "empty".
        decode: of the heat maps: "argmax", "quarter" or "dark".
        where: key or file named in messages.

    Raises:
        ConfigError: the model is of another kind, has another number of keypoints, or its kind is not built yet.
    """
    if model_type in LATER:
        raise ConfigError(f"{where}: model_type {model_type} ({LATER[model_type]}) is not built yet; {_allowed()}")
    if model_type not in _WANTED:
        raise ConfigError(
            f"{where}: model_type {model_type!r} is unknown; {_allowed()}{did_you_mean(model_type, _WANTED)}"
        )
    kind, count = recognise(output_shapes)
    if kind != model_type:
        wanted = _WANTED[model_type].format(count=keypoints)
        hint = f"; set model_type: {kind}" if kind in _WANTED else f", as {kind} models do" if kind else ""
        raise ConfigError(f"{where}: gives {_text(output_shapes)}{hint}; {model_type} needs {wanted}")
    if count != keypoints:
        what = "heat maps of " if kind == "heatmaps_spe" else ""
        raise ConfigError(f"{where}: gives {what}{count} keypoints, the skeleton has {keypoints}")
    size = (int(input_shape[0]), int(input_shape[1]))
    if kind == "spe":
        return KeypointsCodec(size, keypoints)
    target = {"target": heatmap.target, "sigma": heatmap.sigma} if heatmap else {}
    map_shape = (int(output_shapes[0][0]), int(output_shapes[0][1]))
    return HeatmapCodec(size, map_shape, keypoints, activation=activation, decode=decode, **target)


def codec_from_description(described: dict[str, Any], *, decode: str | None = None) -> Codec:
    """The codec that `describe` told of, as it was: with its target, sigma and activation.

    Args:
        described: what `HeatmapCodec.describe` or `KeypointsCodec.describe` gave, from a file perhaps.
        decode: another way to decode heat maps than the one described.

    Raises:
        ConfigError: a description of another kind, or one that lacks something or is impossible.
    """
    kind = described.get("kind")
    if kind not in ("heatmaps", "keypoints"):
        raise ConfigError(f"codec: a description of kind {kind!r}; allowed: heatmaps, keypoints")
    try:
        input_shape, keypoints = _pair(described["input_shape"]), int(described["keypoints"])
        if kind == "keypoints":
            return KeypointsCodec(input_shape, keypoints)
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


def _pair(values: Any) -> tuple[int, int]:
    first, second = values
    return int(first), int(second)


def recognise(output_shapes: list[tuple[int, ...]]) -> tuple[str, int]:
    """(model_type, K) that outputs of these shapes (without batch) look like; ("", 0) for none that is known."""
    shapes = [tuple(shape) for shape in output_shapes]
    if any(size is None for shape in shapes for size in shape):
        return "", 0
    sizes = sorted(int(np.prod(shape)) for shape in shapes)
    if len(shapes) == 4 and sizes[:2] == [1, 1] and sizes[2] == sizes[3] and sizes[2] % 3 == 0:
        return "hand_spe", sizes[2] // 3
    if len(shapes) != 1:
        return "", 0
    shape = shapes[0]
    if len(shape) in (3, 4) and shape[-1] == 3 and set(shape[:-2]) == {1}:
        return "spe", shape[-2]
    if len(shape) == 3 and min(shape[:2]) >= 3:
        return "heatmaps_spe", shape[2]
    if len(shape) == 2 and min(shape) > 5 and (min(shape) - 5) % 3 == 0:
        return "yolo_mpe", (min(shape) - 5) // 3
    if max(shape, default=0) == sizes[0] and sizes[0] > 3 and sizes[0] % 2 == 0:
        return "head_spe", sizes[0] // 2
    return "", 0


def _text(shapes: list[tuple[int, ...]]) -> str:
    listed = ", ".join(str(list(shape)).replace("None", "?") for shape in shapes)
    return f"{'an output' if len(shapes) == 1 else f'{len(shapes)} outputs'} {listed}"


def _allowed() -> str:
    return f"allowed: {', '.join(_WANTED)}"

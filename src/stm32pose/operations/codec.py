"""The codec of a model.

A file made here says beside it how it was trained, and that is believed; of another file the last layer tells the
activation where it can, and the configuration the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stm32pose.codecs.yolo import CONFIDENCE
from stm32pose.config.model_sections import Heatmap
from stm32pose.config.schema import Config
from stm32pose.errors import ConfigError

if TYPE_CHECKING:
    import keras

    from stm32pose.codecs.select import Codec
    from stm32pose.inference.runner import Runner
    from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)


def codec_of(
    config: Config,
    runner: Runner,
    skeleton: Skeleton,
    *,
    confidence: float = CONFIDENCE,
    where: str = "model.model_path",
) -> Codec:
    """The codec of a loaded file.

    Args:
        config: `model.model_type`, and `postprocessing` for how to decode.
        runner: the file.
        skeleton: of the labels.
        confidence: score from which one of several people counts, where `postprocessing.confidence_thresh` is absent:
            0.25 to show them, far less to measure AP.
        where: the key that names the file, for messages.

    Raises:
        ConfigError: the outputs are of another kind, or of another number of keypoints.
    """
    _warn_of_rescaling(config, runner.path)
    shapes = [tuple(output.shape) for output in runner.outputs]
    names = [output.name for output in runner.outputs]
    return _codec(
        config,
        runner.path,
        runner.activation,
        runner.input_shape,
        shapes,
        skeleton.count,
        names,
        confidence=confidence,
        where=f"{where}: {runner.path}",
    )


def codec_of_model(
    config: Config, model: keras.Model, keypoints: int, shape: tuple[int, int, int], path: Path | None = None
) -> Codec:
    """The codec of a Keras model, loaded from `path` or just built.

    Raises:
        ConfigError: as `codec_of`.
    """
    from stm32pose.models.load import final_activation

    shapes = [tuple(output.shape[1:]) for output in model.outputs]
    where = f"model.model_path: {path}" if path else "model"
    if path:
        _warn_of_rescaling(config, path)
    return _codec(config, path, final_activation(model), shape, shapes, keypoints, where=where)


def _warn_of_rescaling(config: Config, path: Path) -> None:
    """Log where the configuration's rescaling is not that of the file, as far as the file or its sidecar tells.

    Nothing else would: a network takes any numbers, and its poses are then merely bad. A quantized file that was
    calibrated on images without black or white has an input range of its own; that is no other rescaling.
    """
    from stm32pose.inference.input_range import USUAL, own_rescaling, rescaling_text, same_rescaling
    from stm32pose.inference.sidecar import sidecar_path, told_rescaling

    configured = (config.preprocessing.rescaling.scale, config.preprocessing.rescaling.offset)
    told, why = told_rescaling(path), f"{sidecar_path(path).name} beside {path.name} says"
    if told is None:
        told, why = own_rescaling(path), f"the input of {path.name} was quantized for"
        alike = told is None or (told not in USUAL and 0.6 < abs(configured[0] / told[0]) < 1 / 0.6)
    else:
        alike = False
    if told is None or alike or same_rescaling(told, configured):
        return
    log.warning(
        "preprocessing.rescaling: %s, but %s %s; with another rescaling than in training poses are wrong",
        *(rescaling_text(configured), why, rescaling_text(told)),
    )


def _codec(
    config: Config,
    path: Path | None,
    found: str | None,
    shape: tuple[int, int, int],
    shapes: list[tuple[int, ...]],
    keypoints: int,
    names: Sequence[str] = (),
    *,
    confidence: float = CONFIDENCE,
    where: str,
) -> Codec:
    from stm32pose.codecs.select import codec_from_description, make_codec
    from stm32pose.inference.sidecar import read_sidecar, sidecar_path

    configured, section = config.model.final_activation, config.postprocessing
    detection: dict[str, Any] = {
        "confidence": confidence if section.confidence_thresh is None else section.confidence_thresh,
        "nms": section.NMS_thresh,
        "max_detections": section.max_detection_boxes,
    }
    described = (read_sidecar(path) or {}).get("codec") if path else None
    told = described.get("model_type") if isinstance(described, dict) else None
    if told and told != config.model.model_type:
        raise ConfigError(
            f"{where}: was made as {told}, as {sidecar_path(Path(path or '')).name} beside it says, the configuration "
            f"says {config.model.model_type}; set model_type: {told}"
        )
    if found and found != configured and not described:
        log.info("model.final_activation: the network ends in %s, not in %s: %s it is", found, configured, found)
    codec = make_codec(
        config.model.model_type,
        input_shape=shape,
        output_shapes=shapes,
        keypoints=keypoints,
        heatmap=config.training.heatmap if config.training else Heatmap(),
        activation=found or configured,
        decode=section.decode,
        output_names=names,
        where=where,
        **detection,
    )
    if not described:
        return codec
    return codec_from_description(
        described, decode=section.decode, output_shapes=shapes, output_names=names, **detection
    )

"""The codec of a model.

A file made here says beside it how it was trained, and that is believed; of another file the last layer tells the
activation where it can, and the configuration the rest.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from stm32pose.config.model_sections import Heatmap
from stm32pose.config.schema import Config

if TYPE_CHECKING:
    import keras

    from stm32pose.codecs.select import Codec
    from stm32pose.inference.runner import Runner
    from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)


def codec_of(config: Config, runner: Runner, skeleton: Skeleton) -> Codec:
    """The codec of a loaded file.

    Raises:
        ConfigError: the outputs are of another kind, or of another number of keypoints.
    """
    shapes = [tuple(output.shape) for output in runner.outputs]
    return _codec(config, runner.path, runner.activation, runner.input_shape, shapes, skeleton.count)


def codec_of_model(
    config: Config, model: keras.Model, keypoints: int, shape: tuple[int, int, int], path: Path | None = None
) -> Codec:
    """The codec of a Keras model, loaded from `path` or just built.

    Raises:
        ConfigError: as `codec_of`.
    """
    from stm32pose.models.load import final_activation

    shapes = [tuple(output.shape[1:]) for output in model.outputs]
    return _codec(config, path, final_activation(model), shape, shapes, keypoints)


def _codec(
    config: Config,
    path: Path | None,
    found: str | None,
    shape: tuple[int, int, int],
    shapes: list[tuple[int, ...]],
    keypoints: int,
) -> Codec:
    from stm32pose.codecs.select import codec_from_description, make_codec
    from stm32pose.inference.sidecar import read_sidecar

    configured = config.model.final_activation
    described = (read_sidecar(path) or {}).get("codec") if path else None
    if found and found != configured and not described:
        log.info("model.final_activation: the network ends in %s, not in %s: %s it is", found, configured, found)
    codec = make_codec(
        config.model.model_type,
        input_shape=shape,
        output_shapes=shapes,
        keypoints=keypoints,
        heatmap=config.training.heatmap if config.training else Heatmap(),
        activation=found or configured,
        decode=config.postprocessing.decode,
        where=f"model.model_path: {path}" if path else "model",
    )
    return codec_from_description(described, decode=config.postprocessing.decode) if described else codec

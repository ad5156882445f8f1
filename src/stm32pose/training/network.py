"""The network made ready to learn: what is frozen, how fast its statistics follow, which sizes it takes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from stm32pose.codecs.heatmap import HeatmapCodec
from stm32pose.errors import ConfigError

if TYPE_CHECKING:
    import keras

    from stm32pose.codecs.select import Codec
    from stm32pose.config.model_sections import Training
    from stm32pose.training.distillation import Teacher
    from stm32pose.training.trainer import Trainer
    from stm32pose.transforms.chain import Chain

log = logging.getLogger(__name__)

Size = tuple[int, int]
FASTEST_MOMENTUM = 0.9
EPOCHS_TO_FOLLOW = 0.25


def prepare_network(
    model: keras.Model, training: Training, steps: int, loss: keras.Loss, teacher: Teacher | None = None
) -> Trainer:
    """Freeze layers, set dropout and the pace of batch normalisation; returns the network that `fit` trains.

    That one shares the layers of `model`, which itself stays uncompiled and is what gets saved.

    Args:
        model: the network, changed in place.
        training: the section of the configuration.
        steps: batches an epoch.
        loss: see `Trainer.joint_loss`.
        teacher: see `Trainer.teacher`.

    Raises:
        ConfigError: see `freeze` and `dropout`; or the network is not a graph of layers.
    """
    from stm32pose.models.frozen import dropout, freeze
    from stm32pose.training.trainer import Trainer

    freeze(model, training.frozen_layers)
    dropout(model, training.dropout)
    quicken_statistics(model, steps)
    if len(model.inputs or ()) != 1 or not model.outputs:
        raise ConfigError("model: only a network of one input can be trained, a functional or sequential model")
    return Trainer(model, loss, teacher)


def quicken_statistics(model: keras.Model, steps: int) -> int:
    """Let the moving statistics of batch normalisation follow within a quarter of an epoch; returns how many changed.

    MobileNetV2 comes with a momentum of 0.999, so its statistics need thousands of steps; on a small data set every
    validation before that sees a network that was never there. The momentum becomes 1 - 4/steps, at least 0.9, and is
    never raised.
    """
    from stm32pose.models.fused_batch_norm import batch_norms

    momentum = max(FASTEST_MOMENTUM, 1 - 1 / max(1.0, EPOCHS_TO_FOLLOW * steps))
    slow = [layer for layer in batch_norms(model) if layer.momentum > momentum]
    for layer in slow:
        layer.momentum = momentum
    if slow:
        log.info("batch normalisation: momentum %.4g in %d layers, for %d steps an epoch", momentum, len(slow), steps)
    return len(slow)


def accept_sizes(trainer: keras.Model, codec: Codec, chain: Chain | None) -> dict[Size, Codec]:
    """Let `trainer` take every input size of `random_periodic_resizing`; returns a codec for each size (H, W).

    Raises:
        ConfigError: the network does not take one of the sizes.
    """
    import keras

    codecs: dict[Size, Codec] = {codec.input_shape: codec}
    others = [size for size in (chain.sizes if chain else ()) if size != codec.input_shape]
    if not others:
        return codecs
    if not isinstance(codec, HeatmapCodec):
        raise ConfigError(
            "data_augmentation.random_periodic_resizing: outputs of fixed length, as those of this model.model_type, "
            "come of one input size only; it goes with heatmaps_spe"
        )
    # The graph itself does not depend on the size; only Keras's check of the input does.
    trainer.input_spec = [keras.InputSpec(shape=(None, None, None, trainer.input_shape[-1]))]
    for size in others:
        codecs[size] = codec.resized(size)
        _check_size(trainer, size, codecs[size])
    return codecs


def _check_size(trainer: keras.Model, size: Size, codec: Codec) -> None:
    where = "data_augmentation.random_periodic_resizing.image_sizes"
    hint = "take multiples of 32; a network with fixed shapes inside takes its own size only"
    try:
        maps = trainer.compute_output_shape((None, *size, trainer.input_shape[-1]))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: the network does not take {size[1]}x{size[0]}; {hint}") from error
    if tuple(maps[1:3]) != getattr(codec, "map_shape", None):
        raise ConfigError(f"{where}: {size[1]}x{size[0]} gives maps of {maps[2]}x{maps[1]}, not in proportion; {hint}")

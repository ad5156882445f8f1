"""The family of networks: backbone x width x neck x head, every combination that makes sense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stm32pose.errors import ConfigError, did_you_mean
from stm32pose.models.backbones import features

if TYPE_CHECKING:
    import keras

AUTO_NECKS = {"heatmaps_spe": "pyramid", "movenet_spe": "pyramid", "simcc_spe": "none", "spe": "none"}
"""Neck by model type: maps want a fine one, SimCC and direct regression read a deep one."""
LEARNED = "transposed"


def pose_network(
    input_shape: Sequence[int],
    keypoints: int,
    *,
    backbone: str,
    model_type: str = "heatmaps_spe",
    neck: str = "auto",
    alpha: float = 1.0,
    upsampling: str = "bilinear",
    output_stride: int | None = None,
    final_activation: str = "sigmoid",
    where: str = "model",
) -> keras.Model:
    """A network of the family with random weights, uncompiled.

    Layers of the backbone that the head does not read are left out: without a neck, an `output_stride` of 8 ends the
    backbone there.

    Args:
        input_shape: (H, W, channels); H and W multiples of 32, channels 1 or 3.
        keypoints: K.
        backbone: a key of BACKBONES.
        model_type: a key of HEADS; it chooses the head.
        neck: a key of NECKS, or "auto": AUTO_NECKS.
        alpha: width of the backbone, above 0.
        upsampling: of the pyramid: bilinear, nearest or transposed. Without a neck there is none.
        output_stride: input pixels a cell of what the head reads; None: the neck's own choice.
        final_activation: of the head, where that takes one.
        where: section of the configuration, for messages.

    Returns:
        A model from [B, H, W, channels] to the head's outputs, named backbone_neck_head.

    Raises:
        ConfigError: an unknown name, or parts that do not go together.
    """
    import keras

    from stm32pose.models.heads import HEADS
    from stm32pose.models.necks import NECKS

    if model_type not in HEADS:
        raise ConfigError(
            f"{where}.model_type: got '{model_type}', a backbone can be given a head for {', '.join(HEADS)}"
            f"{did_you_mean(model_type, HEADS)}"
        )
    chosen = AUTO_NECKS[model_type] if neck == "auto" else neck
    if chosen not in NECKS:
        raise ConfigError(
            f"{where}.neck: got '{neck}', allowed are auto, {', '.join(NECKS)}{did_you_mean(neck, NECKS)}"
        )
    check_upsampling_is_used(chosen, upsampling, where)
    image, found = features(backbone, input_shape, alpha, where=where)
    x = NECKS[chosen](found, stride=output_stride, upsampling=upsampling)
    shape = tuple(image.shape[1:])
    outputs = HEADS[model_type](x, input_shape=shape, keypoints=keypoints, final_activation=final_activation)
    name = "_".join((backbone, chosen, model_type.removesuffix("_spe"))).replace("_none", "")
    return keras.Model(image, outputs[0] if len(outputs) == 1 else outputs, name=name)


def check_upsampling_is_used(neck: str, upsampling: str, where: str = "model") -> None:
    """ConfigError for an upsampling that `neck` does not have; bilinear, the default of the key, always passes."""
    if upsampling == "bilinear" or neck == "pyramid" or (neck == "deconv" and upsampling == LEARNED):
        return
    has = "always learns its upsampling" if neck == "deconv" else "has no upsampling"
    raise ConfigError(f"{where}.upsampling: got {upsampling}, but neck {neck} {has}; leave this key out")

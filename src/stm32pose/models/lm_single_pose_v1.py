"""`lm_single_pose_v1`: Blueoil's LmSinglePoseV1 in full precision (hyperpose_blueoil_poseig.md B.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stm32pose.errors import ConfigError
from stm32pose.models.backbones import features
from stm32pose.models.backbones.blocks import conv
from stm32pose.models.layers import activate, quiet_start

if TYPE_CHECKING:
    import keras
    from keras import KerasTensor

STRIDES = (2, 4, 8, 16)
STRIDE = 8
WIDTH = 32
"""Channels of every lateral and merged map."""


def lm_single_pose_v1(
    input_shape: tuple[int, int, int],
    keypoints: int,
    *,
    output_stride: int | None = None,
    final_activation: str = "sigmoid",
) -> keras.Model:
    """Heat maps [B, H/s, W/s, keypoints] from images [B, H, W, 1 or 3]; H and W multiples of 32.

    `output_stride` s is 2, 4, 8 or 16; None means 8. Blueoil's own head ends without activation: `empty`. Laterals of
    strides finer than the output, which Blueoil's graph holds without using them, are left out. Raises ConfigError.
    """
    import keras

    stride = STRIDE if output_stride is None else output_stride
    if stride not in STRIDES:
        raise ConfigError(f"model.output_stride: got {stride}, allowed are {', '.join(map(str, STRIDES))}")
    image, found = features("lm_single_pose", input_shape)
    x = concat_pyramid(found, stride)
    x = keras.layers.Conv2D(keypoints, 3, padding="same", use_bias=False, name="conv_final")(x)
    x = keras.layers.BatchNormalization(
        beta_initializer=quiet_start(final_activation),  # pyright: ignore[reportArgumentType]
        name="conv_final_bn",
    )(x)
    return keras.Model(image, activate(x, final_activation), name="lm_single_pose_v1")


def concat_pyramid(found: Mapping[int, KerasTensor], stride: int) -> KerasTensor:
    """From stride 32 down to `stride`: nearest x2, beside the lateral map of that stride, a 3x3 convolution over both.

    [B, H/stride, W/stride, 32].
    """
    from keras import layers

    x = lateral(found[32], 32)
    step = 32
    while step > stride:
        step //= 2
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"stride_{step}_up")(x)
        x = layers.Concatenate(name=f"stride_{step}_concat")([x, lateral(found[step], step)])
        x = conv(x, WIDTH, 3, f"stride_{step}_fuse", norm=f"stride_{step}_fuse_bn")
    return x


def lateral(x: KerasTensor, stride: int) -> KerasTensor:
    """1x1 convolution to 32 channels, batch normalisation, ReLU."""
    return conv(x, WIDTH, 1, f"stride_{stride}_lateral", norm=f"stride_{stride}_lateral_bn")

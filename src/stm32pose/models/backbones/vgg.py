"""VGG-16 and VGG-19 (Simonyan and Zisserman 2014), and HyperPose's tiny VGG (hyperpose_blueoil_poseig.md A.9).

HyperPose's bodies end at stride 8 (`neck: none`, `output_stride: 8`), its tails at stride 32; here both are one network
with features at every stride. VGG-16 and VGG-19 are Keras Applications' by name, order and weights. The colour means
that HyperPose subtracts inside VGG-19 belong to `preprocessing.rescaling` here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stm32pose.models.backbones.blocks import conv, image_input, width

if TYPE_CHECKING:
    from keras import KerasTensor

WIDTHS = (64, 128, 256, 512, 512)
# Channels of the convolutions up to each pooling.
TINY = ((32, 64), (128, 128), (200, 200, 200), (384, 384))
TINY_TAIL = ((384, 2), (384, 1), (384, 2))
"""(channels, stride) of the way from stride 8 to stride 32."""


def vgg16(input_shape: tuple[int, int, int], alpha: float) -> tuple[KerasTensor, dict[int, KerasTensor]]:
    """Features of strides 2 to 32; the last is pooled, the others are the last convolution of their resolution."""
    return plain(input_shape, alpha, (2, 2, 3, 3, 3))


def vgg19(input_shape: tuple[int, int, int], alpha: float) -> tuple[KerasTensor, dict[int, KerasTensor]]:
    """Features of strides 2 to 32; the last is pooled, the others are the last convolution of their resolution."""
    return plain(input_shape, alpha, (2, 2, 4, 4, 4))


def plain(
    input_shape: tuple[int, int, int], alpha: float, blocks: Sequence[int]
) -> tuple[KerasTensor, dict[int, KerasTensor]]:
    """Five blocks of so many 3x3 convolutions with ReLU, a pooling behind each; no batch normalisation.

    Without normalisation the scale of the first outputs is that of the start: He's, made for ReLU.
    """
    from keras import layers

    image = image_input(input_shape)
    x, features = image, {}
    for number, (convolutions, channels) in enumerate(zip(blocks, WIDTHS, strict=True), 1):
        for index in range(1, convolutions + 1):
            x = layers.Conv2D(
                width(channels, alpha),
                3,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
                name=f"block{number}_conv{index}",
            )(x)
        features[1 << (number - 1)] = x
        x = layers.MaxPooling2D(2, name=f"block{number}_pool")(x)
    features[32] = x
    del features[1]  # as large as the image: no head of a microcontroller works there
    return image, features


def vgg_tiny(input_shape: tuple[int, int, int], alpha: float) -> tuple[KerasTensor, dict[int, KerasTensor]]:
    """Features of strides 2 to 32, each the last of its resolution; 3x3 convolutions with batch normalisation."""
    from keras import layers

    image = image_input(input_shape)
    x, features, stride = image, {}, 1
    for number, channels in enumerate(TINY, 1):
        for index, filters in enumerate(channels, 1):
            name = f"block{number}_conv{index}"
            x = conv(x, width(filters, alpha), 3, name, norm=f"{name}_bn")
        features[stride] = x
        if number < len(TINY):
            x = layers.MaxPooling2D(2, name=f"block{number}_pool")(x)
            stride *= 2
    for index, (filters, step) in enumerate(TINY_TAIL, 1):
        name = f"tail_conv{index}"
        x = conv(x, width(filters, alpha), 3, name, norm=f"{name}_bn", strides=step)
        stride *= step
        features[stride] = x
    del features[1]
    return image, features

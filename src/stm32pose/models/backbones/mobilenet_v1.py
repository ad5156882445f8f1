"""MobileNet (Howard et al. 2017) and FD-MobileNet (Qin et al. 2018): a convolution, then depthwise-separable blocks.

Layers of `mobilenet_v1` are named as Keras Applications names them, so that its files fit by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stm32pose.models.backbones.blocks import conv, depthwise, image_input, width

if TYPE_CHECKING:
    from keras import KerasTensor

# (channels, stride) of the blocks behind the first convolution, 32 channels and stride 2.
V1_BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)
FD_BLOCKS = ((64, 2), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 4, (1024, 1))


def mobilenet_v1(input_shape: tuple[int, int, int], alpha: float) -> tuple[KerasTensor, dict[int, KerasTensor]]:
    """Features of strides 2 to 32, each the last of its resolution."""
    return separable_stack(input_shape, alpha, V1_BLOCKS)


def fdmobilenet(input_shape: tuple[int, int, int], alpha: float) -> tuple[KerasTensor, dict[int, KerasTensor]]:
    """Features of strides 2 to 32: fast downsampling, the last six of eleven blocks work at stride 32.

    Source: Qin, Zhang, Chen, Liu, FD-MobileNet, ICIP 2018, table 2.
    """
    return separable_stack(input_shape, alpha, FD_BLOCKS)


def separable_stack(
    input_shape: tuple[int, int, int], alpha: float, blocks: Sequence[tuple[int, int]]
) -> tuple[KerasTensor, dict[int, KerasTensor]]:
    """A 3x3 convolution of stride 2 and the `blocks` (channels, stride)."""
    image = image_input(input_shape)
    x = conv(image, width(32, alpha), 3, "conv1", norm="conv1_bn", strides=2, activation="relu6")
    stride = 2
    features = {stride: x}
    for number, (channels, step) in enumerate(blocks, 1):
        depth, point = f"conv_dw_{number}", f"conv_pw_{number}"
        x = depthwise(x, 3, depth, norm=f"{depth}_bn", strides=step)
        x = conv(x, width(channels, alpha), 1, point, norm=f"{point}_bn", activation="relu6")
        stride *= step
        features[stride] = x
    return image, features

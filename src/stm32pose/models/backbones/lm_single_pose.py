"""The body of Blueoil's LmSinglePoseV1 (hyperpose_blueoil_poseig.md B.2), in full precision.

There a space-to-depth of 2 stands before every 3x3 convolution that opens a stride. Both together are one 6x6
convolution of stride 2 over the map before: the same sums of the same products with as many weights. That is what is
built: one operator that every int8 runtime and accelerator has, and no rearranged copy of the map in RAM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stm32pose.models.backbones.blocks import conv, image_input, width

if TYPE_CHECKING:
    from keras import KerasTensor

STEM = 32
# Channels and number of 3x3 convolutions at strides 2, 4, 8, 16, 32; the first of each is the 6x6 one.
STAGES = ((32, 2), (32, 3), (64, 3), (128, 3), (256, 5))


def lm_single_pose(input_shape: tuple[int, int, int], alpha: float) -> tuple[KerasTensor, dict[int, KerasTensor]]:
    """Features of strides 2 to 32, each the last of its resolution.

    The stem is a 1x1 convolution at full resolution, 32 channels of H x W: the largest map of the network.
    """
    image = image_input(input_shape)
    x = named_conv(image, width(STEM, alpha), 1, 1)
    number, features = 1, {}
    for stage, (channels, convolutions) in enumerate(STAGES, 1):
        for index in range(convolutions):
            number += 1
            x = named_conv(x, width(channels, alpha), 3 if index else 6, number, strides=1 if index else 2)
        features[1 << stage] = x
    return image, features


def named_conv(x: KerasTensor, filters: int, kernel: int, number: int, *, strides: int = 1) -> KerasTensor:
    """`conv{number}`, batch normalisation, ReLU."""
    name = f"conv{number}"
    return conv(x, filters, kernel, name, norm=f"{name}_bn", strides=strides)

"""ResNet-18 and ResNet-50 (He et al. 2015).

ResNet-50 is Keras Applications' (stride in the first convolution of a bottleneck, its padding, its names) without the
biases before batch normalisations, which change nothing but the moving means; models/pretrained.py moves them there.
ResNet-18, which Keras Applications does not have, uses the same names, and `same` padding: a map that is padded before
its pooling is twice in RAM, which at ResNet-18's size would be the peak.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stm32pose.models.backbones.blocks import conv, image_input, width

if TYPE_CHECKING:
    from keras import KerasTensor

EPSILON = 1.001e-5
WIDTHS = (64, 128, 256, 512)
BOTTLENECK = 4
"""Channels at the end of a bottleneck, in multiples of those inside."""


def resnet18(input_shape: tuple[int, int, int], alpha: float) -> tuple[KerasTensor, dict[int, KerasTensor]]:
    """Features of strides 2 (behind the first convolution) to 32, each the last of its resolution."""
    return stack(input_shape, alpha, basic, (2, 2, 2, 2), padded=False)


def resnet50(input_shape: tuple[int, int, int], alpha: float) -> tuple[KerasTensor, dict[int, KerasTensor]]:
    """Features of strides 2 (behind the first convolution) to 32, each the last of its resolution."""
    return stack(input_shape, alpha, bottleneck, (3, 4, 6, 3), padded=True)


def stack(
    input_shape: tuple[int, int, int],
    alpha: float,
    block: Callable[[KerasTensor, int, int, bool, str], KerasTensor],
    stages: Sequence[int],
    *,
    padded: bool,
) -> tuple[KerasTensor, dict[int, KerasTensor]]:
    """A 7x7 convolution, max pooling, and four stages of so many blocks; `padded` by layers of their own, or `same`."""
    from keras import layers

    image = image_input(input_shape)
    padding = "valid" if padded else "same"
    x = layers.ZeroPadding2D(3, name="conv1_pad")(image) if padded else image
    x = named_conv(x, width(64, alpha), 7, "conv1", strides=2, padding=padding)
    features = {2: x}
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x) if padded else x
    x = layers.MaxPooling2D(3, strides=2, padding=padding, name="pool1_pool")(x)
    for stage, (blocks, channels) in enumerate(zip(stages, WIDTHS, strict=True)):
        for number in range(blocks):
            strides = 2 if stage and not number else 1
            x = block(x, width(channels, alpha), strides, not number, f"conv{stage + 2}_block{number + 1}")
        features[4 << stage] = x
    return image, features


def bottleneck(x: KerasTensor, filters: int, strides: int, first: bool, name: str) -> KerasTensor:
    """1x1, 3x3 and 1x1 convolutions, added to the input; the first of a stage projects its input."""
    wide = BOTTLENECK * filters
    shortcut = named_conv(x, wide, 1, f"{name}_0", strides=strides, activation=None) if first else x
    x = named_conv(x, filters, 1, f"{name}_1", strides=strides)
    x = named_conv(x, filters, 3, f"{name}_2")
    return joined(shortcut, named_conv(x, wide, 1, f"{name}_3", activation=None), name)


def basic(x: KerasTensor, filters: int, strides: int, first: bool, name: str) -> KerasTensor:
    """Two 3x3 convolutions, added to the input, which is projected where its shape differs."""
    projects = first and (strides > 1 or x.shape[-1] != filters)
    shortcut = named_conv(x, filters, 1, f"{name}_0", strides=strides, activation=None) if projects else x
    x = named_conv(x, filters, 3, f"{name}_1", strides=strides)
    return joined(shortcut, named_conv(x, filters, 3, f"{name}_2", activation=None), name)


def joined(shortcut: KerasTensor, x: KerasTensor, name: str) -> KerasTensor:
    """ReLU of the sum."""
    from keras import layers

    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([shortcut, x]))


def named_conv(
    x: KerasTensor,
    filters: int,
    kernel: int,
    name: str,
    *,
    strides: int = 1,
    activation: str | None = "relu",
    padding: str = "same",
) -> KerasTensor:
    """`{name}_conv`, `{name}_bn`, `{name}_relu`."""
    return conv(
        x,
        filters,
        kernel,
        f"{name}_conv",
        norm=f"{name}_bn",
        strides=strides,
        activation=activation,
        active=f"{name}_relu",
        epsilon=EPSILON,
        padding=padding,
    )

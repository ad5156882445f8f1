"""MobileNetV3-Small (Howard et al. 2019) as it is published: hard-swish, squeeze-and-excite and 5x5 kernels.

TFLite has HARD_SWISH as one int8 operator, which the NPU of the STM32N6 runs as well; the hard sigmoid of
squeeze-and-excite works on one value a channel. Nothing had to be left out for int8, so this is not the "minimalistic"
variant. Layers with weights are named as Keras Applications names them, so that its files fit by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stm32pose.models.backbones.blocks import activated, conv, depthwise, image_input, width

if TYPE_CHECKING:
    from keras import KerasTensor

# Expansion, channels, kernel, stride, squeeze-and-excite, activation (table 2 of the paper, widths as Keras has them).
BLOCKS = (
    (1, 16, 3, 2, True, "relu"),
    (72 / 16, 24, 3, 2, False, "relu"),
    (88 / 24, 24, 3, 1, False, "relu"),
    (4, 40, 5, 2, True, "hard_swish"),
    (6, 40, 5, 1, True, "hard_swish"),
    (6, 40, 5, 1, True, "hard_swish"),
    (3, 48, 5, 1, True, "hard_swish"),
    (3, 48, 5, 1, True, "hard_swish"),
    (6, 96, 5, 2, True, "hard_swish"),
    (6, 96, 5, 1, True, "hard_swish"),
    (6, 96, 5, 1, True, "hard_swish"),
)
STEM = 16
SQUEEZE = 0.25


def mobilenet_v3_small(input_shape: tuple[int, int, int], alpha: float) -> tuple[KerasTensor, dict[int, KerasTensor]]:
    """Features of strides 2 to 32; `alpha` scales the blocks, the stem keeps its 16 channels as in Keras."""
    image = image_input(input_shape)
    x = conv(image, STEM, 3, "conv", norm="conv_bn", strides=2, activation="hard_swish", active="conv_swish")
    stride = 2
    features = {stride: x}
    for number, (expansion, channels, kernel, step, squeeze, activation) in enumerate(BLOCKS):
        x = block(x, number, expansion, width(channels, alpha), kernel, step, squeeze, activation)
        stride *= step
        features[stride] = x
    last = width(x.shape[-1] * 6)
    x = conv(x, last, 1, "conv_1", norm="conv_1_bn", activation="hard_swish", active="conv_1_swish")
    return image, features | {stride: x}


def block(
    x: KerasTensor,
    number: int,
    expansion: float,
    filters: int,
    kernel: int,
    strides: int,
    squeeze: bool,
    activation: str,
) -> KerasTensor:
    """An inverted residual: widen, depthwise, squeeze-and-excite, narrow; added to its input where shapes agree."""
    from keras import layers

    name = f"expanded_conv_{number}" if number else "expanded_conv"
    shortcut, channels = x, x.shape[-1]
    wide = width(channels * expansion)
    if number:
        x = conv(
            x,
            wide,
            1,
            f"{name}_expand",
            norm=f"{name}_expand_bn",
            activation=activation,
            active=f"{name}_expand_act",
        )
    x = depthwise(
        x,
        kernel,
        f"{name}_depthwise",
        norm=f"{name}_depthwise_bn",
        strides=strides,
        activation=activation,
        active=f"{name}_depthwise_act",
    )
    if squeeze:
        x = excite(x, width(wide * SQUEEZE), f"{name}_squeeze_excite")
    x = conv(x, filters, 1, f"{name}_project", norm=f"{name}_project_bn", activation=None)
    return layers.Add(name=f"{name}_add")([shortcut, x]) if strides == 1 and channels == filters else x


def excite(x: KerasTensor, squeezed: int, name: str) -> KerasTensor:
    """`x` times a gate a channel, made of the channels' means."""
    from keras import layers

    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_avg_pool")(x)
    gate = activated(layers.Conv2D(squeezed, 1, name=f"{name}_conv")(gate), "relu", f"{name}_relu")
    gate = layers.Conv2D(x.shape[-1], 1, name=f"{name}_conv_1")(gate)
    return layers.Multiply(name=f"{name}_mul")([x, activated(gate, "hard_sigmoid", f"{name}_gate")])

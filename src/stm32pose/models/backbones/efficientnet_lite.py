"""EfficientNet-Lite0 (Google 2020): EfficientNet-B0 with ReLU6 in place of swish and without squeeze-and-excite.

Source: Tan and Le, EfficientNet, ICML 2019, table 1, and the note on Lite in the TPU repository. At alpha 1.0 it is
Lite0; other widths scale every layer, stem and last convolution included, which Google's larger Lites do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stm32pose.models.backbones.blocks import conv, depthwise, image_input, width

if TYPE_CHECKING:
    from keras import KerasTensor

# Expansion, channels, number of blocks, kernel, stride of the first.
STAGES = (
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)


def efficientnet_lite(input_shape: tuple[int, int, int], alpha: float) -> tuple[KerasTensor, dict[int, KerasTensor]]:
    """Features of strides 2 to 32, each the last of its resolution; that of 32 behind the last 1x1 convolution."""
    image = image_input(input_shape)
    x = conv(image, width(32, alpha), 3, "stem_conv", norm="stem_bn", strides=2, activation="relu6", active="stem_relu")
    stride = 2
    features = {stride: x}
    for stage, (expansion, channels, blocks, kernel, strides) in enumerate(STAGES, 1):
        for number in range(blocks):
            step = strides if number == 0 else 1
            x = block(x, f"block{stage}{chr(ord('a') + number)}", expansion, width(channels, alpha), kernel, step)
            stride *= step
        features[stride] = x
    x = conv(x, width(1280, alpha), 1, "top_conv", norm="top_bn", activation="relu6", active="top_relu")
    return image, features | {stride: x}


def block(x: KerasTensor, name: str, expansion: int, filters: int, kernel: int, strides: int) -> KerasTensor:
    """An inverted residual: widen, depthwise, narrow; added to its input where the shapes agree."""
    from keras import layers

    shortcut, channels = x, x.shape[-1]
    if expansion > 1:
        x = conv(x, channels * expansion, 1, f"{name}_expand", norm=f"{name}_expand_bn", activation="relu6")
    x = depthwise(x, kernel, f"{name}_depthwise", norm=f"{name}_depthwise_bn", strides=strides)
    x = conv(x, filters, 1, f"{name}_project", norm=f"{name}_project_bn", activation=None)
    return layers.Add(name=f"{name}_add")([shortcut, x]) if strides == 1 and channels == filters else x

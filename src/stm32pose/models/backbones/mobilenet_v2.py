"""MobileNetV2: Keras Applications' own, so that its weights, widths and layer indices are the published ones."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, cast

from stm32pose.errors import ConfigError
from stm32pose.models.layers import check_input_shape

if TYPE_CHECKING:
    import keras
    from keras import KerasTensor

STRIDE = 32
TAPS = ("block_2_add", "block_5_add", "block_9_add", "out_relu")
LAST_LAYER = TAPS[-1]
FIRST_BLOCK = "expanded_conv_project_BN"


def mobilenet_v2(input_shape: tuple[int, int, int], alpha: float = 1.0) -> keras.Model:
    """MobileNetV2 without its classifier, with random weights; input [B, H, W, 1 or 3], H and W multiples of 32.

    `alpha` scales the widths (rounded to multiples of 8 by Keras Applications' rule). Raises ConfigError.
    """
    from keras import applications

    shape = check_input_shape(input_shape, STRIDE)
    if not alpha > 0:
        raise ConfigError(f"model.alpha: got {alpha}, allowed is a number above 0, such as 0.35 or 1.0")
    with warnings.catch_warnings():
        # Keras Applications warns about one channel when it might want ImageNet weights; none are asked for here.
        warnings.simplefilter("ignore", UserWarning)
        return applications.MobileNetV2(input_shape=shape, alpha=alpha, include_top=False, weights=None)  # pyright: ignore[reportArgumentType]


def taps(backbone: keras.Model) -> list[KerasTensor]:
    """Features of strides 4, 8, 16 and 32, in that order."""
    return [backbone.get_layer(name).output for name in TAPS]


def mobilenet_v2_features(
    input_shape: tuple[int, int, int], alpha: float
) -> tuple[KerasTensor, dict[int, KerasTensor]]:
    """Features of strides 2 to 32: the block outputs that MoveNet takes, and the first block's."""
    backbone = mobilenet_v2(input_shape, alpha)
    found = [backbone.get_layer(FIRST_BLOCK).output, *taps(backbone)]
    return cast("KerasTensor", backbone.input), dict(zip((2, 4, 8, 16, 32), found, strict=True))

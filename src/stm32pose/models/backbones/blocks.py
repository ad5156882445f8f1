"""Pieces that the backbones share: widths, and convolution, normalisation and activation in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from keras import KerasTensor

DIVISOR = 8


def image_input(input_shape: tuple[int, int, int]) -> KerasTensor:
    """The image [B, H, W, channels], named so in every network."""
    import keras

    return cast("KerasTensor", keras.Input(input_shape, name="image"))


def width(channels: float, alpha: float = 1.0) -> int:
    """`channels * alpha` as a multiple of 8, at least 8, and never more than 10 % below: MobileNet's own rule."""
    wanted = channels * alpha
    rounded = max(DIVISOR, int(wanted + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded + DIVISOR if rounded < 0.9 * wanted else rounded


def activated(x: KerasTensor, activation: str | None, name: str) -> KerasTensor:
    """`x` behind "relu", "relu6" or a name of Keras ("hard_swish"); `x` itself for None."""
    from keras import layers

    if activation is None:
        return x
    if activation in ("relu", "relu6"):
        return layers.ReLU(6.0 if activation == "relu6" else None, name=name)(x)
    return layers.Activation(activation, name=name)(x)


def conv(
    x: KerasTensor,
    filters: int,
    kernel: int,
    name: str,
    *,
    norm: str,
    strides: int = 1,
    activation: str | None = "relu",
    active: str = "",
    epsilon: float = 1e-3,
    padding: str = "same",
) -> KerasTensor:
    """Convolution without bias named `name`, batch normalisation named `norm`, the activation named `active`."""
    from keras import layers

    x = layers.Conv2D(filters, kernel, strides=strides, padding=padding, use_bias=False, name=name)(x)
    x = layers.BatchNormalization(epsilon=epsilon, name=norm)(x)
    return activated(x, activation, active or f"{name}_relu")


def depthwise(
    x: KerasTensor,
    kernel: int,
    name: str,
    *,
    norm: str,
    strides: int = 1,
    activation: str | None = "relu6",
    active: str = "",
) -> KerasTensor:
    """Depthwise convolution without bias, batch normalisation, the activation. Even sizes pad as Keras Applications."""
    from keras import layers

    x = layers.DepthwiseConv2D(kernel, strides=strides, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(name=norm)(x)
    return activated(x, activation, active or f"{name}_relu")

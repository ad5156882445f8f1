"""Checks and small pieces that the networks share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stm32pose.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import keras
    from keras import KerasTensor

ACTIVATIONS = ("sigmoid", "softmax", "empty")
QUIET_LOGIT = -4.0


def check_input_shape(
    input_shape: Sequence[int], multiple: int, where: str = "model.input_shape"
) -> tuple[int, int, int]:
    """`input_shape` as (H, W, channels), H and W multiples of `multiple`, 1 or 3 channels.

    Raises ConfigError otherwise.
    """
    shape = tuple(input_shape)
    if len(shape) != 3 or any(not isinstance(side, int) or side < 1 for side in shape):
        raise ConfigError(f"{where}: got {shape}, allowed is (H, W, channels) in whole numbers, such as (192, 192, 3)")
    height, width, channels = shape
    if height % multiple or width % multiple:
        nearest = tuple(max(multiple, round(side / multiple) * multiple) for side in (height, width))
        raise ConfigError(
            f"{where}: got {shape}, height and width must be multiples of {multiple}; nearest ({nearest[0]}, "
            f"{nearest[1]}, {channels})"
        )
    if channels not in (1, 3):
        raise ConfigError(f"{where}: got {channels} channels, allowed are 1 (grayscale) and 3 (colour)")
    return height, width, channels


def activate(maps: KerasTensor, activation: str, where: str = "model.final_activation") -> KerasTensor:
    """The last activation over `maps` [B, h, w, K]: `sigmoid` a cell, `softmax` over the cells of a map, `empty` none.

    Raises ConfigError for another name.
    """
    from keras import layers

    if activation == "empty":
        return maps
    if activation == "sigmoid":
        return layers.Activation("sigmoid", name="heatmaps")(maps)
    if activation == "softmax":
        return layers.Softmax(axis=(1, 2), name="heatmaps")(maps)  # pyright: ignore[reportArgumentType]
    raise ConfigError(
        f"{where}: got '{activation}', allowed are {', '.join(ACTIVATIONS)}{did_you_mean(activation, ACTIVATIONS)}"
    )


def without_softmax(model: keras.Model) -> keras.Model:
    """`model` up to the logits before its final softmax over cells, weights shared; `model` itself where it has none.

    The form to quantize: on a device the softmax is a dozen ops, which leave the accelerator, and it changes neither
    the place of the highest cell nor differences of logarithms, all that decoding needs. A softmax over the cells in
    float makes probabilities of a file's logits again.
    """
    import keras

    last = model.outputs[0]._keras_history.operation
    over_cells = isinstance(last, keras.layers.Softmax) and tuple(np.atleast_1d(last.axis)) == (1, 2)
    return keras.Model(model.input, last.input, name=f"{model.name}_logits") if over_cells else model


def quiet_start(activation: str) -> str | object:
    """Initial beta of the last batch normalisation.

    Almost all cells of a heat map are near zero. A sigmoid that starts at 0.5 must first travel to about -4, and Adam
    moves a beta by about its learning rate a step; it starts there instead. Normalised logits of a sharp peak stand
    ten deviations out, so they still reach 1 from there. On 320 synthetic poses, 6 epochs of Adam 1e-3, PCK@0.1 of the
    height is 0.09 from beta 0, 0.19 from -2, 0.26 from -4, 0.25 from -6. Softmax and raw maps keep zero.
    """
    from keras import initializers

    return initializers.Constant(QUIET_LOGIT) if activation == "sigmoid" else "zeros"

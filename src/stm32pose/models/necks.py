"""Necks: from a backbone's features at several strides to the one map that a head reads.

All of them are made of convolutions, resizing and sums that int8 kernels and the N6's compiler have. Names and widths
of the pyramid are those of `st_movenet_lightning_heatmaps`, so that a trained file of one fits the other by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from stm32pose.errors import ConfigError, did_you_mean
from stm32pose.models.movenet_heatmaps import conv, fuse

if TYPE_CHECKING:
    from keras import KerasTensor

UPSAMPLING = ("bilinear", "nearest", "transposed")
STRIDE = 4
"""Of the map that a neck ends at where none is asked for."""
WIDTHS = {2: 24, 4: 24, 8: 32}
"""Channels of MoveNet's pyramid at a stride, where the map from below and the backbone's meet."""
DEEP_WIDTH = 64
"""Channels at deeper strides."""
OUTPUT_WIDTH = 96
"""Channels that the pyramid ends with."""
DECONV_WIDTH = 256
"""Channels of SimpleBaseline's transposed convolutions."""


def pyramid(
    features: Mapping[int, KerasTensor], *, stride: int | None = None, upsampling: str = "bilinear"
) -> KerasTensor:
    """MoveNet's feature pyramid, from the deepest feature down to `stride`.

    At every step the map is doubled, the backbone's feature of that stride is added through a 1x1 convolution, and a
    depthwise-separable 3x3 convolution fuses both. A stride that the backbone does not give is only doubled and fused.

    Args:
        features: stride -> [B, H/stride, W/stride, C].
        stride: of the result, 2 or more; None: 4, or the deepest there is where that is finer.
        upsampling: "bilinear", "nearest" or "transposed" (a 2x2 convolution, learned).

    Returns:
        [B, H/stride, W/stride, 96].

    Raises:
        ConfigError: another upsampling, or a stride that cannot be reached.
    """
    check_upsampling(upsampling)
    deepest, last = ends(features, stride)
    x = conv(features[deepest], width_at(max(last, deepest // 2)), f"stride_{deepest}")
    for step in strides_between(deepest, last):
        x = double(x, upsampling, f"stride_{step}")
        if step in features:
            x = add(x, conv(features[step], width_at(step), f"stride_{step}"), f"stride_{step}")
        x = fuse(x, width_at(max(last, step // 2)), f"stride_{step}_fuse")
    return fuse(x, OUTPUT_WIDTH, "head")


def deconv(
    features: Mapping[int, KerasTensor],
    *,
    stride: int | None = None,
    upsampling: str = "transposed",
    channels: int = DECONV_WIDTH,
) -> KerasTensor:
    """SimpleBaseline's neck: 4x4 transposed convolutions of stride 2 over the deepest feature, no lateral ones.

    Three of them lead from stride 32 to 4. Each has batch normalisation and ReLU. Source: Xiao et al., Simple Baselines
    for Human Pose Estimation and Tracking, ECCV 2018.

    Args:
        features: stride -> [B, H/stride, W/stride, C]; the deepest is used.
        stride: of the result; None: 4, or the deepest there is where that is finer.
        upsampling: taken so that all necks are called alike; this one only has learned upsampling.
        channels: of every transposed convolution.

    Returns:
        [B, H/stride, W/stride, channels]; the deepest feature itself where it has that stride.

    Raises:
        ConfigError: a stride that cannot be reached.
    """
    from keras import layers

    check_upsampling(upsampling)
    deepest, last = ends(features, stride)
    x = features[deepest]
    for step in strides_between(deepest, last):
        name = f"deconv_{step}"
        x = layers.Conv2DTranspose(channels, 4, strides=2, padding="same", use_bias=False, name=name)(x)
        x = layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(x))
    return x


def no_neck(
    features: Mapping[int, KerasTensor], *, stride: int | None = None, upsampling: str = "bilinear"
) -> KerasTensor:
    """The feature of `stride` as the backbone gives it, the deepest one for None.

    Raises:
        ConfigError: the backbone has none of that stride.
    """
    check_upsampling(upsampling)
    wanted = max(features) if stride is None else stride
    if wanted not in features:
        raise ConfigError(
            f"model.output_stride: got {wanted}, without a neck the strides of this backbone are "
            f"{', '.join(map(str, sorted(features)))}; or set model.neck: pyramid"
        )
    return features[wanted]


NECKS: dict[str, Callable[..., KerasTensor]] = {"pyramid": pyramid, "deconv": deconv, "none": no_neck}


def ends(features: Mapping[int, KerasTensor], stride: int | None) -> tuple[int, int]:
    """(deepest stride there is, stride to end at); ConfigError where that cannot be reached by doubling."""
    deepest = max(features)
    last = min(STRIDE, deepest) if stride is None else stride
    reachable = [deepest >> shift for shift in range(deepest.bit_length()) if deepest >> shift >= 2]
    if last not in reachable:
        raise ConfigError(
            f"model.output_stride: got {last}, allowed with this backbone are {', '.join(map(str, reachable[::-1]))}"
        )
    return deepest, last


def strides_between(deepest: int, last: int) -> list[int]:
    """Strides after each doubling: (32, 4) gives 16, 8, 4."""
    return [deepest >> shift for shift in range(1, deepest.bit_length()) if deepest >> shift >= last]


def width_at(stride: int) -> int:
    """Channels of the pyramid at `stride`."""
    return WIDTHS.get(stride, DEEP_WIDTH)


def double(x: KerasTensor, upsampling: str, name: str) -> KerasTensor:
    """`x` [B, h, w, C] at [B, 2h, 2w, C]."""
    from keras import layers

    if upsampling != "transposed":
        return layers.UpSampling2D(2, interpolation=upsampling, name=f"{name}_up")(x)
    # As wide as its stride: every cell becomes four of its own, so that there is no checkerboard of overlaps.
    x = layers.Conv2DTranspose(x.shape[-1], 2, strides=2, padding="same", use_bias=False, name=f"{name}_up")(x)
    return layers.BatchNormalization(name=f"{name}_up_bn")(x)


def add(x: KerasTensor, lateral: KerasTensor, name: str) -> KerasTensor:
    """The sum of two maps of one shape; ConfigError where the input's sides make their sizes differ."""
    from keras import layers

    if x.shape[1:] != lateral.shape[1:]:
        raise ConfigError(
            f"model.input_shape: maps of {tuple(x.shape[1:3])} and {tuple(lateral.shape[1:3])} cells meet in the "
            "pyramid; height and width must be multiples of the backbone's deepest stride"
        )
    return layers.Add(name=f"{name}_add")([x, lateral])


def check_upsampling(upsampling: str) -> None:
    """ConfigError for a name that is not in UPSAMPLING."""
    if upsampling not in UPSAMPLING:
        raise ConfigError(
            f"model.upsampling: got '{upsampling}', allowed are {', '.join(UPSAMPLING)}"
            f"{did_you_mean(upsampling, UPSAMPLING)}"
        )

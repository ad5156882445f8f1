"""`st_movenet_lightning_heatmaps`: MobileNetV2, a feature pyramid down to stride 4, one heat map a keypoint.

The graph of ST's model zoo services (st_services.md 6.1), so that parameter counts, layer indices and published figures
compare. Layers 0 to 153 are the backbone at every alpha; the head follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stm32pose.errors import ConfigError, did_you_mean
from stm32pose.models.backbones.mobilenet_v2 import mobilenet_v2, taps
from stm32pose.models.layers import activate, quiet_start

if TYPE_CHECKING:
    import keras
    from keras import KerasTensor

UPSAMPLING = ("bilinear", "nearest")


def st_movenet_lightning_heatmaps(
    input_shape: tuple[int, int, int],
    keypoints: int,
    *,
    alpha: float = 1.0,
    upsampling: str = "bilinear",
    final_activation: str = "sigmoid",
) -> keras.Model:
    """Heat maps [B, H/4, W/4, keypoints] from images [B, H, W, 1 or 3] (float32, scaled by the preprocessing).

    H and W are multiples of 32; `alpha` any width above 0; `upsampling` bilinear or nearest; `final_activation`
    sigmoid, softmax (over the cells of a map) or empty (logits). Raises ConfigError.
    """
    import keras

    if upsampling not in UPSAMPLING:
        raise ConfigError(
            f"model.upsampling: got '{upsampling}', allowed are {', '.join(UPSAMPLING)}"
            f"{did_you_mean(upsampling, UPSAMPLING)}"
        )
    backbone = mobilenet_v2(input_shape, alpha)
    stride_4, stride_8, stride_16, stride_32 = taps(backbone)
    x = conv(stride_32, 64, "stride_32")
    x = merge(x, conv(stride_16, 64, "stride_16"), upsampling, "stride_16")
    x = fuse(x, 32, "stride_16_fuse")
    x = merge(x, conv(stride_8, 32, "stride_8"), upsampling, "stride_8")
    x = fuse(x, 24, "stride_8_fuse")
    x = merge(x, conv(stride_4, 24, "stride_4"), upsampling, "stride_4")
    x = fuse(x, 24, "stride_4_fuse")
    x = fuse(x, 96, "head")
    x = conv(x, keypoints, "keypoints", beta=quiet_start(final_activation))
    return keras.Model(backbone.input, activate(x, final_activation), name="st_movenet_lightning_heatmaps")


def conv(x: KerasTensor, filters: int, name: str, beta: object = "zeros") -> KerasTensor:
    """1x1 convolution without bias, batch normalisation, no activation."""
    from keras import layers

    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return layers.BatchNormalization(beta_initializer=beta, name=f"{name}_bn")(x)  # pyright: ignore[reportArgumentType]


def merge(x: KerasTensor, lateral: KerasTensor, upsampling: str, name: str) -> KerasTensor:
    """`x` at twice its size, plus `lateral`."""
    from keras import layers

    x = layers.UpSampling2D(2, interpolation=upsampling, name=f"{name}_up")(x)
    return layers.Add(name=f"{name}_add")([x, lateral])


def fuse(x: KerasTensor, filters: int, name: str) -> KerasTensor:
    """Depthwise 3x3 and pointwise convolution, each with batch normalisation; ReLU after the second only."""
    from keras import layers

    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = layers.BatchNormalization(name=f"{name}_depthwise_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(conv(x, filters, name))

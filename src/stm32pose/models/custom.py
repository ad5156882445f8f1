"""`custom`: a small plain network without pretrained weights, a place to start one's own (st_services.md 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stm32pose.models.layers import activate, check_input_shape, quiet_start

if TYPE_CHECKING:
    import keras


def custom(input_shape: tuple[int, int, int], keypoints: int, *, final_activation: str = "sigmoid") -> keras.Model:
    """Heat maps [B, H/4, W/4, keypoints] from images [B, H, W, 1 or 3]; H and W multiples of 4. Raises ConfigError."""
    import keras
    from keras import layers

    image = keras.Input(check_input_shape(input_shape, 4), name="image")
    x = image
    for filters in (64, 128, 256):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv_{filters}")(x)
        x = layers.BatchNormalization(name=f"bn_{filters}")(x)
        x = layers.ReLU(name=f"relu_{filters}")(x)
        if filters < 256:
            x = layers.MaxPooling2D(2, name=f"pool_{filters}")(x)
    x = layers.Conv2D(keypoints, 1, padding="same", use_bias=False, name="keypoints_conv")(x)
    x = layers.BatchNormalization(beta_initializer=quiet_start(final_activation), name="keypoints_bn")(x)  # pyright: ignore[reportArgumentType]
    return keras.Model(image, activate(x, final_activation), name="custom")

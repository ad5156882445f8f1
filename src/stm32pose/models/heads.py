"""Heads: from a neck's map to what a codec decodes, one a model type.

Every head ends in ops that int8 kernels have. Layers that give an output carry the output's name (`centre`,
`heatmaps`, `regression`, `offsets`), which files made of the network keep where their format has names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from stm32pose.errors import ConfigError
from stm32pose.models.layers import activate, quiet_start
from stm32pose.models.movenet_heatmaps import conv, fuse

if TYPE_CHECKING:
    from keras import KerasTensor

SPLIT = 2
"""Bins an input pixel of the SimCC head."""
SIMCC_MAPS = 4
"""Small maps a keypoint that its bins are computed from. With one, as in the paper, few int8 numbers carry the place:
triangles of dots at 96x64, 24 epochs, 1.4 pixels of error in float and 2.1 in int8; with four 0.5 and 0.6."""
REGRESSION_STRIDE = 16
"""Direct regression looks at a map of this stride or a deeper one; a finer one is averaged to it."""
REGRESSION_WIDTH = 64
"""Channels of that map."""
REGRESSION_SCALE = 0.1
"""Of that map at the start. A thousand inputs and more meet in each sigmoid, so that one step of Adam would carry it to
its end, where it stays: with 1, RLE and a learning rate of 0.01 never left a corner, and smaller rates gave twice the
error (triangles of dots, 24 epochs: 4.1 pixels against 1.8)."""
BRANCH_WIDTH = 32
"""Channels inside each of MoveNet's four branches."""


def heatmaps(
    x: KerasTensor, *, input_shape: tuple[int, int, int], keypoints: int, final_activation: str = "sigmoid"
) -> list[KerasTensor]:
    """One heat map a keypoint: 1x1 convolution, batch normalisation, the activation.

    Args:
        x: [B, h, w, C].
        input_shape: (H, W, channels) of the network's input; not needed here, all heads are called alike.
        keypoints: K.
        final_activation: "sigmoid", "softmax" (over the cells of a map) or "empty" (logits).

    Returns:
        One output [B, h, w, K], for `HeatmapCodec`.
    """
    return [activate(conv(x, keypoints, "keypoints", beta=quiet_start(final_activation)), final_activation)]


def simcc(
    x: KerasTensor, *, input_shape: tuple[int, int, int], keypoints: int, final_activation: str = "sigmoid"
) -> list[KerasTensor]:
    """Two rows of bins a keypoint, across and down: a 1x1 convolution to four small maps, flattened, then dense.

    The dense layer is shared by all keypoints and written as a 1x1 convolution over [K, 1, 4hw]: int8 weights then have
    a scale for every bin, and accelerators know the op. Both rows come out of one layer, so nothing is concatenated.
    Source: Li et al., SimCC, ECCV 2022.

    Args:
        x: [B, h, w, C]; the layer has 4 * h * w * (W + H) * 2 weights, so a deep feature without a neck keeps it small.
        input_shape: (H, W, channels) of the network's input.
        keypoints: K.
        final_activation: "sigmoid" (the default of all networks) or "empty": logits come out, which keep their
            precision in int8; the codec has the softmax.

    Returns:
        One output [B, K, (W + H) * 2] of logits, for `SimccCodec`.

    Raises:
        ConfigError: softmax.
    """
    from keras import layers

    check_no_softmax(final_activation, "simcc_spe")
    rows, columns = x.shape[1:3]
    bins = (input_shape[0] + input_shape[1]) * SPLIT
    x = conv(x, keypoints * SIMCC_MAPS, "keypoints")
    x = layers.Permute((3, 1, 2), name="keypoints_first")(x)
    x = layers.Reshape((keypoints, 1, SIMCC_MAPS * rows * columns), name="keypoints_flat")(x)
    x = layers.Conv2D(bins, 1, name="bins")(x)
    return [layers.Reshape((keypoints, bins), name="simcc")(x)]


def regression(
    x: KerasTensor, *, input_shape: tuple[int, int, int], keypoints: int, final_activation: str = "sigmoid"
) -> list[KerasTensor]:
    """The keypoints themselves, (y, x, score) as Google's MoveNet gives them, each behind a sigmoid.

    The map is narrowed to 64 channels, then one convolution as large as the map sees all of it: a flattened dense layer
    in words that accelerators know, which learns places in half the epochs that a global average takes. The sigmoid of
    y and x keeps positions inside the image and gives int8 a fixed step of 1/256 of the side, whatever the network was
    calibrated on; it learns faster than a linear output. The score is a sigmoid as well; of a network trained with RLE
    it is 1 - sigma, sigma in shares of the input.

    Args:
        x: [B, h, w, C]; finer than stride 16 it is averaged to that.
        input_shape: (H, W, channels) of the network's input.
        keypoints: K.
        final_activation: "sigmoid"; the outputs need it.

    Returns:
        One output [B, 1, 1, K, 3], for `KeypointsCodec`.

    Raises:
        ConfigError: another activation.
    """
    from keras import initializers, layers

    if final_activation != "sigmoid":
        raise ConfigError(f"model.final_activation: got '{final_activation}', spe gives sigmoids; leave this key out")
    factors = [
        max(1, REGRESSION_STRIDE * cells // side) for side, cells in zip(input_shape[:2], x.shape[1:3], strict=True)
    ]
    if max(factors) > 1:
        x = layers.AveragePooling2D(tuple(factors), padding="same", name="regression_pool")(x)
    x = layers.Conv2D(REGRESSION_WIDTH, 1, padding="same", use_bias=False, name="regression_conv")(x)
    quiet = initializers.Constant(REGRESSION_SCALE)
    x = layers.BatchNormalization(gamma_initializer=quiet, name="regression_bn")(x)  # pyright: ignore[reportArgumentType]
    x = layers.ReLU(name="regression_relu")(x)
    x = layers.Conv2D(3 * keypoints, tuple(x.shape[1:3]), name="keypoints_conv")(x)
    x = layers.Activation("sigmoid", name="keypoints_sigmoid")(x)
    return [layers.Reshape((1, 1, keypoints, 3), name="keypoints")(x)]


def movenet(
    x: KerasTensor, *, input_shape: tuple[int, int, int], keypoints: int, final_activation: str = "sigmoid"
) -> list[KerasTensor]:
    """MoveNet's four branches for one centred person, each a depthwise-separable 3x3 and a 1x1 convolution.

    Source: MoveNet's model card and blog post (Google, 2021): person centre, keypoint regression, keypoint heat maps
    and offsets.

    Args:
        x: [B, h, w, C].
        input_shape: (H, W, channels) of the network's input; not needed here, all heads are called alike.
        keypoints: K.
        final_activation: "sigmoid"; the two heat maps need it.

    Returns:
        centre [B, h, w, 1] and heatmaps [B, h, w, K] (both 0..1), regression and offsets [B, h, w, 2K] (cells, not
        bounded), for `MovenetCodec`.

    Raises:
        ConfigError: another activation.
    """
    from keras import layers

    if final_activation != "sigmoid":
        raise ConfigError(
            f"model.final_activation: got '{final_activation}', movenet_spe gives sigmoids; leave this key out"
        )
    outputs = []
    for name, filters in (("centre", 1), ("heatmaps", keypoints)):
        branch = conv(fuse(x, BRANCH_WIDTH, f"{name}_fuse"), filters, name, beta=quiet_start("sigmoid"))
        outputs.append(layers.Activation("sigmoid", name=name)(branch))
    for name in ("regression", "offsets"):
        branch = fuse(x, BRANCH_WIDTH, f"{name}_fuse")
        outputs.append(layers.Conv2D(2 * keypoints, 1, padding="same", name=name)(branch))
    return outputs


HEADS: dict[str, Callable[..., list[KerasTensor]]] = {
    "heatmaps_spe": heatmaps,
    "simcc_spe": simcc,
    "spe": regression,
    "movenet_spe": movenet,
}


def check_no_softmax(final_activation: str, model_type: str) -> None:
    """ConfigError for an activation that logits cannot have."""
    if final_activation not in ("sigmoid", "empty"):
        raise ConfigError(
            f"model.final_activation: got '{final_activation}', {model_type} gives logits; leave this key out"
        )

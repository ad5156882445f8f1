"""Where the ImageNet weights of Keras Applications are: one row a backbone that they fit."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from stm32pose.errors import ConfigError, UserError
from stm32pose.models.load import fetch

ADDRESS = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True)
class Weights:
    """Files without classifier.

    Attributes:
        file: folder and name under ADDRESS; `{alpha}` and `{side}` are filled in.
        alphas: width -> its spelling in the name.
        sides: of the images that the files were learnt on; empty where there is one file.
        pixels: what the network was shown, for `preprocessing`.
    """

    file: str
    alphas: dict[float, str]
    sides: tuple[int, ...] = ()
    pixels: str = "pixel / 127.5 - 1"


BGR = "BGR (color_mode: bgr), pixel minus a mean of 104 to 124 (rescaling: scale 1, offset -114)"
IMAGENET: dict[str, Weights] = {
    "mobilenet_v1": Weights(
        "mobilenet/mobilenet_{alpha}_{side}_tf_no_top.h5",
        {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"},
        (128, 160, 192, 224),
    ),
    "mobilenet_v2": Weights(
        "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{side}_no_top.h5",
        {alpha: str(alpha) for alpha in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)},
        (96, 128, 160, 192, 224),
    ),
    "mobilenet_v3_small": Weights(
        "mobilenet_v3/weights_mobilenet_v3_small_224_{alpha}_float_no_top_v2.h5", {0.75: "0.75", 1.0: "1.0"}
    ),
    "resnet50": Weights("resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", {1.0: ""}, pixels=BGR),
    "vgg16": Weights("vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", {1.0: ""}, pixels=BGR),
    "vgg19": Weights("vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5", {1.0: ""}, pixels=BGR),
}


def imagenet_weights(backbone: str | None, alpha: float, sides: tuple[int, ...], where: str) -> Path:
    """The file of ImageNet weights for a backbone and width, the image side nearest to the longer of `sides`.

    Kept where Keras keeps it (KERAS_HOME or ~/.keras), so that a file already there needs no network. Raises
    ConfigError where Keras Applications has none, UserError where it cannot be had.
    """
    if backbone not in IMAGENET:
        raise ConfigError(
            f"{where}: got 'imagenet', there are weights for {', '.join(IMAGENET)}, not for "
            f"{backbone or 'this network'}; leave this key out"
        )
    row = IMAGENET[backbone]
    if alpha not in row.alphas:
        raise ConfigError(
            f"{where}: got 'imagenet' with alpha {alpha}, there are weights for {', '.join(map(str, row.alphas))}"
        )
    side = min(row.sides, key=lambda known: (abs(known - max(sides)), -known), default=0)
    address = f"{ADDRESS}/{row.file.format(alpha=row.alphas[alpha], side=side)}"
    folder, name = keras_home() / "models", address.rpartition("/")[2]
    if (folder / name).is_file():
        return folder / name
    try:
        return fetch(address, folder, where=where)
    except UserError as error:
        raise UserError(
            f"{error}; without a network put that file into {folder}, or set {where} to a local .h5 or .keras file "
            f"with the same backbone, {backbone}"
        ) from error


def keras_home() -> Path:
    """Keras' own folder: $KERAS_HOME or ~/.keras."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()

"""The backbones: from an image to features at several strides, one builder a family, in one dict of names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stm32pose.errors import ConfigError, did_you_mean
from stm32pose.models.backbones.efficientnet_lite import efficientnet_lite
from stm32pose.models.backbones.lm_single_pose import lm_single_pose
from stm32pose.models.backbones.mobilenet_v1 import fdmobilenet, mobilenet_v1
from stm32pose.models.backbones.mobilenet_v2 import mobilenet_v2_features
from stm32pose.models.backbones.mobilenet_v3 import mobilenet_v3_small
from stm32pose.models.backbones.resnet import resnet18, resnet50
from stm32pose.models.backbones.vgg import vgg16, vgg19, vgg_tiny
from stm32pose.models.layers import check_input_shape

if TYPE_CHECKING:
    from keras import KerasTensor

MULTIPLE = 32
"""Height and width of the input are multiples of it: every backbone goes down to stride 32."""
Features = dict[int, "KerasTensor"]
"""Stride -> feature [B, H/stride, W/stride, C]."""


@dataclass(frozen=True)
class Backbone:
    """A row of the table.

    Attributes:
        build: (input_shape, alpha) -> (image, features); the shape is checked already.
        about: what it is, for the documentation.
        published: its layers have the names and weights that Keras Applications' network of that name has at the same
            width, so that ImageNet weights fit.
    """

    build: Callable[[tuple[int, int, int], float], tuple[KerasTensor, Features]]
    about: str
    published: bool = False


BACKBONES: dict[str, Backbone] = {
    "mobilenet_v1": Backbone(mobilenet_v1, "MobileNet: depthwise-separable convolutions, ReLU6", True),
    "mobilenet_v2": Backbone(mobilenet_v2_features, "MobileNetV2: inverted residuals, ReLU6", True),
    "mobilenet_v3_small": Backbone(
        mobilenet_v3_small, "MobileNetV3-Small: hard-swish, squeeze-and-excite, 5x5 kernels", True
    ),
    "efficientnet_lite": Backbone(efficientnet_lite, "EfficientNet-Lite0: ReLU6, no squeeze-and-excite"),
    "fdmobilenet": Backbone(fdmobilenet, "FD-MobileNet: MobileNet that is at stride 32 after six of its eleven blocks"),
    "resnet18": Backbone(resnet18, "ResNet-18: basic blocks"),
    "resnet50": Backbone(resnet50, "ResNet-50: bottlenecks", True),
    "vgg_tiny": Backbone(vgg_tiny, "HyperPose's tiny VGG: eleven convolutions with batch normalisation"),
    "vgg16": Backbone(vgg16, "VGG-16: plain convolutions, no batch normalisation", True),
    "vgg19": Backbone(vgg19, "VGG-19: as VGG-16, three convolutions more", True),
    "lm_single_pose": Backbone(lm_single_pose, "Blueoil's LmSinglePoseV1 without its pyramid: space-to-depth, 3x3"),
}


def features(
    name: str, input_shape: Sequence[int], alpha: float = 1.0, *, where: str = "model"
) -> tuple[KerasTensor, Features]:
    """Backbone `name` with random weights: its image [B, H, W, 1 or 3] and its features by stride.

    Args:
        name: a key of BACKBONES.
        input_shape: (H, W, channels); H and W multiples of 32, channels 1 or 3.
        alpha: width, above 0; channels are rounded to multiples of 8.
        where: section of the configuration, for messages.

    Returns:
        (image, {2, 4, 8, 16, 32: feature [B, H/stride, W/stride, C]}); ResNet's first feature is of stride 2 too.

    Raises:
        ConfigError: another name, shape or width.
    """
    if name not in BACKBONES:
        raise ConfigError(
            f"{where}.backbone: got '{name}', allowed are {', '.join(BACKBONES)}{did_you_mean(name, BACKBONES)}"
        )
    if not alpha > 0:
        raise ConfigError(f"{where}.alpha: got {alpha}, allowed is a number above 0, such as 0.35 or 1.0")
    return BACKBONES[name].build(check_input_shape(input_shape, MULTIPLE, f"{where}.input_shape"), alpha)

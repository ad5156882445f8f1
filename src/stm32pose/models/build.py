"""From the configuration's `model` section to a network with random or pretrained weights."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from stm32pose.config.model_sections import Model
from stm32pose.errors import ConfigError, did_you_mean
from stm32pose.models.custom import custom
from stm32pose.models.family import pose_network
from stm32pose.models.lm_single_pose_v1 import lm_single_pose_v1
from stm32pose.models.movenet_heatmaps import st_movenet_lightning_heatmaps
from stm32pose.own_code import is_own_function

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

MODELS: dict[str, Callable[..., keras.Model]] = {
    "st_movenet_lightning_heatmaps": st_movenet_lightning_heatmaps,
    "lm_single_pose_v1": lm_single_pose_v1,
    "custom": custom,
}
OPTIONS = ("alpha", "neck", "upsampling", "output_stride", "final_activation")


def build_model(model: Model, *, keypoints: int, where: str = "model") -> keras.Model:
    """The network that section `model` names, for `keypoints` keypoints, uncompiled.

    One of `model_name`, a key of MODELS or `FILE.py:FUNCTION`, and `backbone`, for a network of the family whose head
    follows from `model_type`. Pretrained weights are loaded when `pretrained` says so.
    Raises ConfigError naming the key under `where`, or UserError for weights that do not load.
    """
    from stm32pose.models.own_builder import load_builder, run_builder
    from stm32pose.models.pretrained import load_pretrained

    name = model.model_name or model.backbone
    if not name:
        raise ConfigError(f"{where}.model_name: missing, allowed are {allowed_names()}; or {where}.backbone")
    if model.model_name and model.backbone:
        raise ConfigError(
            f"{where}.backbone: got {model.backbone} beside model_name {model.model_name}: keep one of them"
        )
    if model.input_shape is None:
        raise ConfigError(
            f"{where}.input_shape: missing, a network to build needs (H, W, channels), such as (192, 192, 3)"
        )
    if model.backbone:
        network = pose_network(
            model.input_shape,
            keypoints,
            backbone=model.backbone,
            model_type=model.model_type,
            where=where,
            **{option: getattr(model, option) for option in OPTIONS},
        )
    elif is_own_function(name):
        builder = load_builder(name, where=f"{where}.model_name")
        options = chosen_options(model, builder, name, where)
        network = run_builder(
            builder, name, model.input_shape, keypoints, options, model.model_type, where=f"{where}.model_name"
        )
    elif name in MODELS:
        if model.model_type != "heatmaps_spe":
            raise ConfigError(
                f"{where}.model_type: got {model.model_type}, but {name} gives heat maps; write heatmaps_spe, or "
                f"{where}.backbone in place of model_name"
            )
        options = chosen_options(model, MODELS[name], name, where)
        network = MODELS[name](model.input_shape, keypoints, **options)
    else:
        raise ConfigError(
            f"{where}.model_name: got '{name}', allowed are {allowed_names()}{did_you_mean(name, MODELS)}"
        )
    log.info("%s: %s parameters, input %s, output %s", network.name, f"{network.count_params():,}", *shapes(network))
    if model.pretrained:
        load_pretrained(
            network, model.pretrained, alpha=model.alpha, backbone=model.backbone, where=f"{where}.pretrained"
        )
    return network


def chosen_options(model: Model, builder: Callable[..., keras.Model], name: str, where: str) -> dict[str, object]:
    """The options of section `model` that `builder` takes; ConfigError for one that was changed but is not taken."""
    parameters = inspect.signature(builder).parameters
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    options = {}
    for option in OPTIONS:
        value = getattr(model, option)
        if takes_all or option in parameters:
            options[option] = value
        elif value != Model.model_fields[option].default:
            taken = " and ".join(known for known in OPTIONS if known in parameters)
            raise ConfigError(
                f"{where}.{option}: got {value}, but {name} takes {f'only {taken}' if taken else 'no option'}; "
                "leave this key out"
            )
    return options


def allowed_names() -> str:
    """Names for an error message."""
    return f"{', '.join(MODELS)}, or FILE.py:FUNCTION with your own builder"


def shapes(network: keras.Model) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Input and output shapes without the batch axis."""
    return tuple(network.input_shape[1:]), [tuple(output.shape[1:]) for output in network.outputs]

"""Which options go with which network, of those that are built to be trained: one table for all who ask.

`stm32pose.models` builds by the same rules (tests/config/test_config_network.py holds both against each other).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stm32pose.config.losses import MODEL_TYPES
from stm32pose.config.model_sections import Model
from stm32pose.config.schema import Config
from stm32pose.errors import did_you_mean

Problem = tuple[tuple[Any, ...], str]

TRAINED = tuple(MODEL_TYPES)
"""Model types with a loss; files of the others are evaluated, predicted, quantized and deployed only."""
INSTEAD = {
    "hand_spe": "; train hands as one of these with dataset.skeleton: hand21",
    "head_spe": "; train faces as one of these with dataset.skeleton: face68",
    "yolo_mpe": "; train one person an image as one of these",
}
"""What to train in place of a model type whose files are evaluated only."""

OPTIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "st_movenet_lightning_heatmaps": {"alpha": (), "upsampling": ("bilinear", "nearest"), "final_activation": ()},
    "lm_single_pose_v1": {"output_stride": (), "final_activation": ()},
    "custom": {"final_activation": ()},
}
"""Architecture -> the options it takes, each with its values; () stands for all that the key has."""
ALL_OPTIONS = ("alpha", "neck", "upsampling", "output_stride", "final_activation")

ACTIVATIONS = {
    "heatmaps_spe": ("sigmoid", "softmax", "empty"),
    "simcc_spe": ("sigmoid", "empty"),
    "spe": ("sigmoid",),
    "movenet_spe": ("sigmoid",),
}
"""Model type -> values of final_activation; of SimCC both give logits."""
AUTO_NECKS = {"heatmaps_spe": "pyramid", "movenet_spe": "pyramid", "simcc_spe": "none", "spe": "none"}
UPSAMPLING = {
    "pyramid": ("bilinear", "nearest", "transposed"),
    "deconv": ("bilinear", "transposed"),
    "none": ("bilinear",),
}
"""Neck -> values of upsampling; bilinear, the default of the key, is also that of a neck without any."""

MULTIPLES = {"custom": 4}
"""Architecture -> what height and width are multiples of; all others: MULTIPLE."""
MULTIPLE = 32
CHANNELS = {"grayscale": 1}
"""Colour mode -> channels of the input; all others: 3."""


def network_problems(config: Config) -> Iterator[Problem]:
    """(place in Config, message) of what a network that is trained cannot have."""
    if "train" not in config.steps:
        return
    model = config.model
    if model.model_type not in TRAINED:
        allowed = ", ".join(TRAINED)
        instead = INSTEAD.get(model.model_type, "")
        yield (
            ("model", "model_type"),
            f"got {model.model_type!r}, whose files are evaluated, not trained; expected {allowed}{instead}",
        )
        return
    yield from _resizing(config)
    resumed = config.training is not None and config.training.resume_training_from
    if resumed or model.model_path or bool(model.model_name) == bool(model.backbone):
        return
    yield from _input(config)
    if model.backbone:
        yield from _family(model)
    elif model.model_name in OPTIONS:
        yield from _architecture(model, model.model_name)


def _input(config: Config) -> Iterator[Problem]:
    model, mode = config.model, config.preprocessing.color_mode
    if model.input_shape is None:
        return
    height, width, channels = model.input_shape
    own = ".py" in (model.model_name or "")
    multiple = 1 if own else MULTIPLES.get(model.model_name or "", MULTIPLE)
    if height % multiple or width % multiple:
        near = [max(multiple, round(side / multiple) * multiple) for side in (height, width)]
        yield (
            ("model", "input_shape"),
            f"got ({height}, {width}, {channels}); height and width must be multiples of {multiple}; "
            f"nearest ({near[0]}, {near[1]}, {channels})",
        )
    wanted = CHANNELS.get(mode, 3)
    if channels not in (1, 3) and not own:
        yield ("model", "input_shape"), f"got {channels} channels; allowed are 1 (grayscale) and 3 (colour)"
    elif channels != wanted:
        yield (
            ("preprocessing", "color_mode"),
            f"got {mode}, which gives {wanted} channel{'s' * (wanted > 1)}, but model.input_shape has {channels}; "
            f"allowed {'grayscale' if channels == 1 else 'rgb, bgr'}",
        )


def _family(model: Model) -> Iterator[Problem]:
    yield from _activation(model)
    neck = AUTO_NECKS[model.model_type] if model.neck == "auto" else model.neck
    allowed = UPSAMPLING[neck]
    if model.upsampling not in allowed:
        has = "always learns its upsampling" if neck == "deconv" else "has no upsampling"
        yield (
            ("model", "upsampling"),
            f"got {model.upsampling}, but neck {neck} {has}; leave this key out, or set model.neck: pyramid",
        )


def _architecture(model: Model, name: str) -> Iterator[Problem]:
    if model.model_type != "heatmaps_spe":
        yield (
            ("model", "model_type"),
            f"got {model.model_type}, but {name} gives heat maps; write heatmaps_spe, or model.backbone in place of "
            "model_name",
        )
        return
    taken = OPTIONS[name]
    for option in ALL_OPTIONS:
        value = getattr(model, option)
        if option in taken:
            if taken[option] and value not in taken[option]:
                near = did_you_mean(value, taken[option])
                yield ("model", option), f"got {value!r}; {name} takes {' or '.join(taken[option])}{near}"
        elif value != Model.model_fields[option].default:
            yield ("model", option), f"got {value}, but {name} takes only {' and '.join(taken)}; leave this key out"


def _activation(model: Model) -> Iterator[Problem]:
    allowed = ACTIVATIONS[model.model_type]
    if model.final_activation not in allowed:
        gives = "logits" if "empty" in allowed else "sigmoids"
        yield (
            ("model", "final_activation"),
            f"got {model.final_activation}, but {model.model_type} gives {gives}; leave this key out",
        )


def _resizing(config: Config) -> Iterator[Problem]:
    name = "random_periodic_resizing"
    if name in (config.data_augmentation or {}) and config.model.model_type != "heatmaps_spe":
        yield (
            ("data_augmentation", name),
            f"outputs of model_type {config.model.model_type} are made for one input size; it goes with heatmaps_spe",
        )

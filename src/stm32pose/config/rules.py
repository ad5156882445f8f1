"""What the steps of a mode need, beyond the type of each key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import PureWindowsPath
from typing import Any

from stm32pose.config.losses import MODEL_TYPES, argument_problem, loss_problem, output_of
from stm32pose.config.network import network_problems
from stm32pose.config.schema import Config
from stm32pose.config.suffixes import KERAS, MODEL_FILES, suffix_of
from stm32pose.errors import did_you_mean

Problem = tuple[tuple[Any, ...], str]

MODEL_NAMES = ("st_movenet_lightning_heatmaps", "lm_single_pose_v1", "custom")
BACKBONES = (
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_lite",
    "fdmobilenet",
    "resnet18",
    "resnet50",
    "vgg_tiny",
    "vgg16",
    "vgg19",
    "lm_single_pose",
)
SECTION_OF_STEP = {"train": "training", "quantize": "quantization", "benchmark": "benchmarking", "deploy": "deployment"}

# Names of what a run writes: inside its folder, so that nobody's file writes elsewhere.
INSIDE = (
    ("general", "logs_dir"),
    ("general", "saved_models_dir"),
    ("quantization", "export_dir"),
    ("export", "folder"),
    ("evaluation", "npy_in_name"),
    ("evaluation", "npy_out_name"),
)

_FROZEN_ITEM = r"-?\d+|(-?\d+)?\s*:\s*(-?\d+)?(\s*:\s*(-?\d+)?)?"
_FROZEN = re.compile(rf"\(?\s*(?:{_FROZEN_ITEM})(?:\s*,\s*(?:{_FROZEN_ITEM}))*\s*,?\s*\)?")


def problems(config: Config) -> list[Problem]:
    """(place in Config, message) of everything that the steps to run lack or cannot take."""
    # A chain in an impossible order has no needs to speak of.
    return list(_order(config)) or [problem for rule in RULES for problem in rule(config)]


def calibrates_on_random_images(config: Config) -> bool:
    """Whether the quantizer gets random images: on request, or because no images are named at all."""
    if "quantize" not in config.steps or config.quantization is None:
        return False
    return config.quantization.fake or not (config.dataset.quantization_path or config.dataset.training_path)


def _order(config: Config) -> Iterator[Problem]:
    for step in ("train", "quantize"):
        if config.steps.count(step) > 1:
            yield ("operation_mode",), f"got {config.operation_mode!r}; a chain can {step} once"
    if "train" in config.steps[1:]:
        yield ("operation_mode",), f"got {config.operation_mode!r}; training comes first in a chain"


def _model_source(config: Config) -> Iterator[Problem]:
    model = config.model
    if config.steps[0] != "train":
        if model.model_path is None:
            yield ("model", "model_path"), f"missing; {config.operation_mode} needs a model file ({_list(MODEL_FILES)})"
        return
    resumed = config.training.resume_training_from if config.training else None
    if resumed:
        return
    given = [f"model.{key}" for key in ("model_name", "backbone", "model_path") if getattr(model, key)]
    if len(given) > 1:
        yield (
            ("model", given[-1].removeprefix("model.")),
            f"training starts from one model; got {' and '.join(given)}: keep one of them",
        )
    elif not given:
        yield (
            ("model", "model_name"),
            f"missing; training needs model.model_name ({_list(MODEL_NAMES)}), model.backbone "
            f"({_list(BACKBONES)}), model.model_path (.keras or .h5) or training.resume_training_from",
        )
    if (model.model_name or model.backbone) and model.input_shape is None:
        yield ("model", "input_shape"), "missing; a model that is built needs (height, width, channels)"


def _model_name(config: Config) -> Iterator[Problem]:
    name, backbone = config.model.model_name, config.model.backbone
    if "train" not in config.steps:
        return
    if name and ".py" not in name and name not in MODEL_NAMES:
        # Whoever has read of the family may well try its names here.
        near = f"; write model.backbone: {name}" if name in BACKBONES else did_you_mean(name, MODEL_NAMES)
        yield (
            ("model", "model_name"),
            f"got {name!r}; expected {_list(MODEL_NAMES)} or FILE.py:FUNCTION{near}",
        )
    if backbone and backbone not in BACKBONES:
        yield (
            ("model", "backbone"),
            f"got {backbone!r}; expected {_list(BACKBONES)}{did_you_mean(backbone, BACKBONES)}",
        )


def _model_suffix(config: Config) -> Iterator[Problem]:
    path = config.model.model_path
    if path is None:
        return
    allowed, why = MODEL_FILES, config.operation_mode
    if "train" in config.steps:
        allowed, why = KERAS, "training"
    elif "quantize" in config.steps:
        allowed, why = (*KERAS, ".onnx"), "quantization"
    if suffix_of(path) not in allowed:
        yield ("model", "model_path"), f"got {path!r}; {why} takes {_list(allowed)} files"


def _images(config: Config) -> Iterator[Problem]:
    data, steps = config.dataset, config.steps
    trains = "train" in steps
    if trains and not data.training_path:
        yield ("dataset", "training_path"), "missing; training needs a folder of labelled images"
    if not trains and "evaluate" in steps and not (data.test_path or data.validation_path or data.training_path):
        yield (
            ("dataset", "test_path"),
            "missing; evaluation needs labelled images: dataset.test_path, validation_path or training_path",
        )
    fake = config.quantization is not None and config.quantization.fake
    if not trains and "quantize" in steps and not (data.quantization_path or data.training_path or fake):
        after = steps[steps.index("quantize") :]
        if {"evaluate", "predict"} & set(after):
            # Without them random images do, for size and speed; accuracy of such a file would mislead.
            yield (
                ("dataset", "quantization_path"),
                "missing; a quantized model that is evaluated needs images to calibrate on: "
                "dataset.quantization_path or training_path (or quantization.fake: True, for size and speed alone)",
            )
    if "predict" in steps and not data.prediction_path:
        yield (
            ("dataset", "prediction_path"),
            "missing; prediction needs an image, a folder, a pattern, a video file or camera:0",
        )
    if {"train", "evaluate"} & set(steps) and not (data.keypoints or data.skeleton):
        yield (
            ("dataset", "keypoints"),
            "missing; labels need the number of keypoints, or dataset.skeleton (see `stm32pose skeletons`)",
        )


def _shares(config: Config) -> Iterator[Problem]:
    data = config.dataset
    held = {
        f"{name}_split": getattr(data, f"{name}_split")
        for name in ("validation", "test")
        if not getattr(data, f"{name}_path")
    }
    if "train" in config.steps and sum(held.values()) >= 1:
        written = " and ".join(f"{key} {share:g}" for key, share in held.items() if share)
        yield ("dataset", list(held)[-1]), f"{written} of the training images are held out: none is left to train on"


def _sections(config: Config) -> Iterator[Problem]:
    if "benchmark" in config.steps and config.benchmarking is None:
        yield ("benchmarking", "board"), "missing; a benchmark needs a board (see `stm32pose boards`)"
    if "deploy" in config.steps and config.deployment is None:
        yield ("deployment",), "missing; deployment needs hardware_setup, and c_project_path for most boards"


def _targets(config: Config) -> Iterator[Problem]:
    """A board runs quantized files; of a chain that makes one, the float model is evaluated on the host."""
    path = "the model that is trained" if "train" in config.steps else config.model.model_path
    if "quantize" in config.steps or path is None or ("train" not in config.steps and suffix_of(path) not in KERAS):
        return
    for step, name in (("evaluate", "evaluation"), ("predict", "prediction")):
        target = getattr(config, name).target
        if step in config.steps and target != "host":
            yield (name, "target"), f"got {target}, which runs .tflite and .onnx files; {path} runs on the host alone"


def _arrays(config: Config) -> Iterator[Problem]:
    section = config.evaluation
    both = section.gen_npy_input and section.gen_npy_output
    if "evaluate" in config.steps and both and section.npy_in_name == section.npy_out_name:
        yield ("evaluation", "npy_out_name"), f"got {section.npy_out_name!r}, as npy_in_name; they are two files"


def _deployment(config: Config) -> Iterator[Problem]:
    section = config.deployment
    if section is None or "deploy" not in config.steps:
        return
    setup = section.hardware_setup
    serie = setup.serie.upper()
    linux = serie.startswith("STM32MP")
    if section.c_project_path is None and not section.dry_run and (linux or serie == "STM32N6"):
        yield ("deployment", "c_project_path"), f"missing; {setup.serie} needs ST's application sources"
    if section.network == "c" and (linux or serie == "STM32N6"):
        yield ("deployment", "network"), f"got 'c'; the application for {setup.serie} takes ST's code: write stedgeai"
    if linux:
        for key, value in (
            ("hardware_setup.ip_address", setup.ip_address),
            ("board_deploy_path", section.board_deploy_path),
        ):
            if not value:
                yield ("deployment", *key.split(".")), f"missing; {setup.serie} is reached over the network"
    if setup.board.upper() == "NUCLEO-N657X0-Q" and setup.output is None:
        yield ("deployment", "hardware_setup", "output"), "missing; this board shows its picture by UVCL or SPI"


def _training(config: Config) -> Iterator[Problem]:
    training = config.training
    if training is None or "train" not in config.steps:
        return
    if len(training.optimizer) != 1:
        names = ", ".join(training.optimizer) or "none"
        yield ("training", "optimizer"), f"got {names}; expected one optimizer, such as Adam: {{learning_rate: 1.0e-3}}"
    if training.frozen_layers is not None and not _FROZEN.fullmatch(training.frozen_layers.strip()):
        yield (
            ("training", "frozen_layers"),
            f"got {training.frozen_layers!r}; expected indices and slices of model.layers, such as (0:154) or "
            "(7:13, 16, -1)",
        )
    saved = training.trained_model_path
    # Keras writes lower-case names only.
    if saved is not None and not saved.endswith(KERAS):
        yield ("training", "trained_model_path"), f"got {saved!r}; the name of a model file ends in {_list(KERAS)}"
    yield from _loss(config, training.loss)
    for section in ("optimizer", "callbacks"):
        for name, arguments in getattr(training, section).items():
            for key, value in arguments.items():
                if isinstance(value, str) and re.match(r"\s*lambda\b", value):
                    yield (
                        ("training", section, name, key),
                        "a Python lambda is code, and code of a configuration is not run; use ReduceLROnPlateau or "
                        "a schedule: training.optimizer.Adam.learning_rate: {CosineDecay: {}}",
                    )


def _loss(config: Config, section: dict[str, dict[str, Any]]) -> Iterator[Problem]:
    """A file brings its own activation, so its maps are looked at when it is loaded."""
    if len(section) != 1:
        names = ", ".join(section) or "none"
        yield ("training", "loss"), f"got {names}; expected one loss, such as mse or wing: {{omega: 10}}"
        return
    name, arguments = next(iter(section.items()))
    kind = MODEL_TYPES.get(config.model.model_type, "")
    output = output_of(kind, config.model.final_activation)
    if kind == "heatmaps" and (config.model.model_path or (config.training and config.training.resume_training_from)):
        output = None
    problem = loss_problem(name, output)
    if problem:
        yield ("training", "loss"), problem
        return
    wrong = argument_problem(name, arguments, output)
    if wrong:
        yield ("training", "loss", name, wrong[0]), wrong[1]


def _weights(config: Config) -> Iterator[Problem]:
    training = config.training
    if training is None or "train" not in config.steps:
        return
    factors = training.visibility_weights
    if not factors.occluded and not factors.visible:
        yield ("training", "visibility_weights"), "got 0 for both; no joint would be learnt"
    given, count = training.joint_weights, config.dataset.keypoints
    if isinstance(given, list):
        if count is not None and len(given) != count:
            yield ("training", "joint_weights"), f"got {len(given)} numbers; expected {count}, one a keypoint"
        elif not any(given):
            yield ("training", "joint_weights"), "got 0 for every joint; none would be learnt"
    most = next(iter(training.loss.values()), {}).get("topk") if "ohkm" in training.loss else None
    if count is not None and isinstance(most, int | float) and most > count:
        yield ("training", "loss", "ohkm", "topk"), f"got {most}; expected {count} at most, the number of keypoints"
    teacher = training.distillation.teacher if training.distillation else None
    if teacher is not None and suffix_of(teacher) not in KERAS:
        yield ("training", "distillation", "teacher"), f"got {teacher!r}; a teacher is a {_list(KERAS)} file"


def _inside(config: Config) -> Iterator[Problem]:
    for section, key in INSIDE:
        name = getattr(getattr(config, section), key, None)
        # A path of Windows has all that one of POSIX has: `/` and `\\` part it, a drive or a root makes it absolute.
        path = PureWindowsPath(name or "")
        if path.drive or path.root or ".." in path.parts:
            yield (section, key), f"got {name!r}; expected a name inside the run folder, without a leading / and .."


RULES: tuple[Callable[[Config], Iterator[Problem]], ...] = (
    _model_source,
    _model_name,
    _model_suffix,
    _images,
    _shares,
    network_problems,
    _sections,
    _targets,
    _arrays,
    _deployment,
    _training,
    _weights,
    _inside,
)


def _list(items: tuple[str, ...]) -> str:
    return ", ".join(items[:-1]) + " or " + items[-1]

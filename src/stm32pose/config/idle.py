"""Keys that are right, that somebody changed, and that this run does not read: said in one note, not an error.

One table; a row goes when a step reads its keys. What would change a result is refused in built.py instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stm32pose.config.base import Section
from stm32pose.config.schema import Config


@dataclass(frozen=True)
class Idle:
    """Keys without an effect.

    Attributes:
        keys: their places in Config; that of a section stands for all its keys.
        steps: the steps that would read them; without one of these the section is not this run's.
        why: `have no effect ...`.
        when: the condition.
    """

    keys: tuple[str, ...]
    steps: tuple[str, ...]
    why: str
    when: Callable[[Config], bool]


def _on_host(config: Config) -> bool:
    return config.evaluation.target == "host"


def _predicts_on_host(config: Config) -> bool:
    return config.prediction.target == "host"


def _tflite(config: Config) -> bool:
    return config.quantization is not None and config.quantization.quantizer == "TFlite_converter"


def _plain_onnx(config: Config) -> bool:
    section = config.quantization
    return section is not None and section.quantizer == "onnx_quantizer" and section.operating_mode == "default"


def _estimated(config: Config) -> bool:
    return config.benchmarking is not None and config.benchmarking.backends == ("estimate",)


def _one_person(config: Config) -> bool:
    return config.model.model_type != "yolo_mpe"


def _no_training(config: Config) -> bool:
    return "train" not in config.steps


def _keypoints_themselves(config: Config) -> bool:
    return config.model.model_type == "spe"


def _bins(config: Config) -> bool:
    return config.model.model_type == "simcc_spe"


def _no_heat_maps(config: Config) -> bool:
    return config.model.model_type != "heatmaps_spe"


IDLE: tuple[Idle, ...] = (
    Idle(
        ("training.heatmap.target", "training.heatmap.sigma"),
        ("train",),
        "no effect with model_type: spe, which has no heat maps",
        _keypoints_themselves,
    ),
    Idle(
        ("training.heatmap.target",),
        ("train",),
        "no effect with model_type: simcc_spe, whose targets are Gaussians",
        _bins,
    ),
    Idle(
        ("postprocessing.decode",),
        ("train", "evaluate", "predict"),
        "no effect but with model_type: heatmaps_spe",
        _no_heat_maps,
    ),
    Idle(("dataset.mix",), ("evaluate", "quantize"), "no effect without training", _no_training),
    Idle(
        tuple(f"evaluation.{key}" for key in ("profile", "input_type", "output_type", "input_chpos", "output_chpos")),
        ("evaluate",),
        "no effect on the host",
        _on_host,
    ),
    Idle(
        tuple(f"prediction.{key}" for key in ("profile", "input_type", "output_type", "input_chpos", "output_chpos")),
        ("predict",),
        "no effect on the host",
        _predicts_on_host,
    ),
    Idle(
        (
            "quantization.extra_options",
            "quantization.target_opset",
            "quantization.onnx_extra_options",
            "quantization.op_types_to_quantize",
            "quantization.onnx_quant_parameters",
            "quantization.iterative_quant_parameters",
            "quantization.onnx_layout",
        ),
        ("quantize",),
        "no effect with TFlite_converter",
        _tflite,
    ),
    Idle(
        ("quantization.iterative_quant_parameters",),
        ("quantize",),
        "no effect with operating_mode: default",
        _plain_onnx,
    ),
    Idle(
        ("postprocessing.confidence_thresh", "postprocessing.NMS_thresh", "postprocessing.max_detection_boxes"),
        ("evaluate", "predict"),
        "no effect with one person an image",
        _one_person,
    ),
    Idle(
        tuple(f"tools.stedgeai.{key}" for key in ("version", "optimization", "path_to_loader", "hsp")),
        ("benchmark",),
        "no effect on an estimate",
        _estimated,
    ),
)


def idle_notes(config: Config) -> list[str]:
    """`evaluation.profile, evaluation.input_type: no effect on the host`, a line for each reason."""
    notes = []
    for row in IDLE:
        if set(row.steps) & set(config.steps) and row.when(config):
            changed = [name for key in row.keys for name in _changed(config, key)]
            if changed:
                notes.append(f"{', '.join(changed)}: {row.why}")
    return notes


def _changed(config: Config, key: str) -> list[str]:
    """The keys at or below `key` whose value is not the default."""
    *parents, last = key.split(".")
    section: Any = config
    for part in parents:
        section = getattr(section, part)
    value, field = getattr(section, last), type(section).model_fields[last]
    if isinstance(value, Section):
        return [name for inner in type(value).model_fields for name in _changed(config, f"{key}.{inner}")]
    return [] if value == field.get_default(call_default_factory=True, validated_data={}) else [key]

"""What is not built yet is said plainly, and only where a step would use it."""

from __future__ import annotations

import pytest

from stm32pose.config.built import check_built, not_built
from stm32pose.config.idle import idle_notes
from stm32pose.config.load import load_config
from stm32pose.errors import ConfigError

TRAIN = {
    "operation_mode": "chain_tqeb",
    "model": {"model_name": "custom", "input_shape": [64, 64, 3]},
    "dataset": {"training_path": "x", "keypoints": 17},
    "benchmarking": {"board": "STM32N6570-DK"},
}
FILE = {
    "operation_mode": "chain_eqe",
    "model": {"model_path": "m.keras"},
    "dataset": {"training_path": "x", "keypoints": 17, "prediction_path": "y"},
    "benchmarking": {"board": "STM32N6570-DK"},
    "deployment": {"c_project_path": "z", "hardware_setup": {"serie": "STM32N6", "board": "STM32N6570-DK"}},
}


PREDICTS = {
    "operation_mode": "prediction",
    "dataset": {"prediction_path": "images"},
    "postprocessing": {"decode": "argmax"},
}


def lines_of(base: dict, **sections) -> list[str]:
    mapping = {**base}
    for name, value in sections.items():
        mapping[name] = {**base.get(name, {}), **value} if isinstance(value, dict) else value
    return not_built(load_config(mapping, check_paths=False))


@pytest.mark.parametrize("base", [TRAIN, FILE])
def test_what_is_built(base):
    config = load_config(base, check_paths=False)
    assert not_built(config) == []
    check_built(config)


@pytest.mark.parametrize(
    ("base", "sections", "line"),
    [
        (FILE, {"quantization": {"quantization_type": "QAT"}}, "quantization.quantization_type: QAT is not built yet"),
        (FILE, {"quantization": {"granularity": "per_tensor", "optimize": True}}, "quantization.optimize: True is not"),
    ],
)
def test_what_is_not_built(base, sections, line):
    (found,) = lines_of(base, **sections)
    assert line in found


@pytest.mark.parametrize(
    ("base", "sections"),
    [
        (FILE, {"tools": {"stedgeai": {"on_cloud": True, "path_to_stedgeai": "p"}}}),
        (TRAIN, {"tools": {"stedgeai": {"on_cloud": True}}, "benchmarking": {"backend": "estimate"}}),
        (TRAIN, {"evaluation": {"target": "host"}, "prediction": {"target": "stedgeai_n6"}}),
        (FILE, {"data_augmentation": {"random_hue": {}}}),
        (FILE, {"quantization": {"optimize": True}}),
        (FILE, {"operation_mode": "evaluation", "quantization": {"quantizer": "onnx_quantizer"}}),
        (FILE, {"operation_mode": "benchmarking", "model": {"model_type": "yolo_mpe"}}),
    ],
)
def test_what_no_step_uses_is_left_alone(base, sections):
    assert lines_of(base, **sections) == []


def test_the_error_has_a_line_for_each():
    mapping = {
        **FILE,
        "operation_mode": "chain_qb",
        "quantization": {"quantization_type": "QAT", "granularity": "per_tensor", "optimize": True},
        "benchmarking": {"board": "STM32N6570-DK"},
    }
    with pytest.raises(ConfigError) as caught:
        check_built(load_config(mapping, check_paths=False))
    assert len(str(caught.value).splitlines()) == 2
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("sections", "note"),
    [
        ({}, None),
        (
            {"evaluation": {"profile": "profile_O1", "output_chpos": "chfirst"}},
            "evaluation.profile, evaluation.output_chpos: no effect on the host",
        ),
        (
            {"quantization": {"extra_options": "calib_moving_average", "target_opset": 21}},
            "quantization.extra_options, quantization.target_opset: no effect with TFlite_converter",
        ),
        (
            {"quantization": {"onnx_quant_parameters": {"weightType": "Int4"}}},
            "quantization.onnx_quant_parameters.weightType: no effect with TFlite_converter",
        ),
        ({"quantization": {"op_types_to_quantize": None, "target_opset": 17}}, None),
        (
            {
                "operation_mode": "benchmarking",
                "benchmarking": {"board": "STM32N6570-DK", "backend": "estimate"},
                "tools": {"stedgeai": {"optimization": "time"}},
            },
            "tools.stedgeai.optimization: no effect on an estimate",
        ),
        ({"operation_mode": "quantization", "evaluation": {"profile": "profile_O1"}}, None),
        (
            {**PREDICTS, "model": {"model_path": "m.tflite", "model_type": "simcc_spe"}},
            "postprocessing.decode: no effect but with model_type: heatmaps_spe",
        ),
        ({**PREDICTS, "model": {"model_path": "m.tflite"}}, None),
    ],
)
def test_what_has_no_effect_is_noted(sections, note):
    config = load_config({**FILE, **sections}, check_paths=False)
    assert idle_notes(config) == ([note] if note else [])
    assert not_built(config) == []


def test_keys_of_the_notes_exist():
    from stm32pose.config.describe import field_at
    from stm32pose.config.idle import IDLE
    from stm32pose.config.schema import Config

    for row in IDLE:
        for key in row.keys:
            assert field_at(Config, tuple(key.split("."))) is not None, key


def test_names_agree_with_the_rooms_that_own_them():
    from stm32pose.config.rules import MODEL_NAMES
    from stm32pose.models.build import MODELS

    assert set(MODEL_NAMES) == set(MODELS)

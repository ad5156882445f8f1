"""What a network that is trained cannot have is said by the configuration, as the builder would say it."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from stm32pose.config import network
from stm32pose.config.load import load_config
from stm32pose.config.model_sections import Model
from stm32pose.errors import ConfigError

FAMILY = {"backbone": "mobilenet_v2", "alpha": 0.35, "input_shape": [64, 64, 3]}


def lines_of(model: dict[str, Any], mode: str = "training", **sections: Any) -> list[str]:
    mapping = {
        "operation_mode": mode,
        "model": model,
        **sections,
        "dataset": {"training_path": "x", "keypoints": 14} | sections.get("dataset", {}),
    }
    try:
        load_config(mapping, check_paths=False)
    except ConfigError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize(
    ("model", "sections", "line"),
    [
        (
            {"input_shape": [100, 100, 3]},
            {},
            "model.input_shape: got (100, 100, 3); height and width must be multiples",
        ),
        ({"input_shape": [64, 64, 2]}, {}, "model.input_shape: got 2 channels; allowed are 1 (grayscale) and 3"),
        ({"neck": "none", "upsampling": "nearest"}, {}, "model.upsampling: got nearest, but neck none has no"),
        ({"neck": "deconv", "upsampling": "nearest"}, {}, "but neck deconv always learns its upsampling"),
        ({"model_type": "simcc_spe", "upsampling": "nearest"}, {}, "but neck none has no upsampling"),
        ({"model_type": "simcc_spe", "final_activation": "softmax"}, {}, "but simcc_spe gives logits"),
        ({"model_type": "spe", "final_activation": "softmax"}, {}, "but spe gives sigmoids"),
        ({"model_type": "movenet_spe", "final_activation": "empty"}, {}, "but movenet_spe gives sigmoids"),
        ({}, {"preprocessing": {"color_mode": "grayscale"}}, "which gives 1 channel, but model.input_shape has 3"),
        ({"input_shape": [64, 64, 1]}, {}, "preprocessing.color_mode: got rgb, which gives 3 channels, but"),
        ({}, {"dataset": {"validation_split": 0.9, "test_split": 0.3}}, "validation_split 0.9 and test_split 0.3 of"),
        ({}, {"training": {"joint_weights": [1, 2, 3]}}, "training.joint_weights: got 3 numbers; expected 14"),
        ({}, {"training": {"loss": {"ohkm": {"topk": 99}}}}, "training.loss.ohkm.topk: got 99; expected 14 at most"),
        (
            {"model_type": "spe"},
            {"data_augmentation": {"random_periodic_resizing": {}}},
            "outputs of model_type spe are made for one input size",
        ),
        ({"model_type": "hand_spe"}, {}, "expected heatmaps_spe, simcc_spe, spe, movenet_spe; train hands as one of"),
        ({"model_type": "head_spe"}, {}, "with dataset.skeleton: face68"),
        ({"model_type": "yolo_mpe"}, {}, "got 'yolo_mpe', whose files are evaluated, not trained; expected heatmaps_"),
    ],
)
def test_what_is_refused(model: dict[str, Any], sections: dict[str, Any], line: str) -> None:
    (found,) = lines_of({**FAMILY, **model}, **sections)
    assert line in found


@pytest.mark.parametrize(
    ("model", "sections"),
    [
        ({}, {}),
        ({"neck": "pyramid", "upsampling": "transposed"}, {}),
        ({"model_type": "simcc_spe", "final_activation": "empty"}, {}),
        ({"input_shape": [64, 96, 1]}, {"preprocessing": {"color_mode": "grayscale"}}),
        ({}, {"dataset": {"validation_split": 0.9, "test_split": 0.3, "validation_path": "y"}}),
        ({}, {"training": {"loss": {"ohkm": {"topk": 14}}, "joint_weights": [1] * 14}}),
        ({"backbone": None, "model_name": "custom", "alpha": 1.0, "input_shape": [100, 100, 3]}, {}),
        # A builder of one's own, and files, are asked when they are loaded.
        ({"backbone": None, "model_name": "my.py:build", "input_shape": [100, 100, 5]}, {"preprocessing": {}}),
        ({"backbone": None, "model_path": "m.keras", "final_activation": "softmax", "model_type": "spe"}, {}),
    ],
)
def test_what_is_right(model: dict[str, Any], sections: dict[str, Any]) -> None:
    found = lines_of({**FAMILY, **model}, **sections)
    assert [line for line in found if "color_mode" not in line] == []


def test_files_that_are_not_trained_have_any_type() -> None:
    assert (
        lines_of({"model_type": "yolo_mpe", "model_path": "m.tflite"}, "benchmarking", benchmarking={"board": "x"})
        == []
    )


def test_the_tables_are_those_of_the_builder() -> None:
    from stm32pose.models.backbones import MULTIPLE
    from stm32pose.models.build import MODELS
    from stm32pose.models.build import OPTIONS as BUILT
    from stm32pose.models.family import AUTO_NECKS
    from stm32pose.models.heads import HEADS
    from stm32pose.models.necks import NECKS

    assert network.AUTO_NECKS == AUTO_NECKS
    assert set(network.UPSAMPLING) == set(NECKS)
    assert set(network.ACTIVATIONS) == set(HEADS) == set(network.TRAINED)
    assert set(network.OPTIONS) == set(MODELS)
    assert set(network.ALL_OPTIONS) == set(BUILT)
    assert network.MULTIPLE == MULTIPLE


CHANGES = (
    *[{"backbone": "fdmobilenet", "model_type": kind} for kind in network.TRAINED],
    *[{"model_name": name} for name in network.OPTIONS],
    {"model_name": "custom", "model_type": "spe"},
)
OPTIONS = (
    *({"final_activation": "softmax"}, {"final_activation": "empty"}, {"upsampling": "nearest"}),
    *({"upsampling": "transposed"}, {"output_stride": 8}, {"alpha": 0.35}, {"neck": "none"}),
    *({"input_shape": (72, 72, 3)}, {"input_shape": (66, 66, 3)}),
)


@pytest.mark.parametrize(("network_", "option"), list(product(CHANGES, OPTIONS)))
def test_the_builder_agrees(network_: dict[str, Any], option: dict[str, Any]) -> None:
    """Each refuses what the other refuses."""
    from stm32pose.models.build import build_model

    given = {"input_shape": (32, 32, 3), "alpha": 1.0 if "model_name" in network_ else 0.1, **network_, **option}
    said = lines_of({**given, "input_shape": list(given["input_shape"])})
    try:
        build_model(Model(**given), keypoints=14)
        refused = False
    except ConfigError:
        refused = True
    assert bool(said) == refused, said

"""Files of 3.x and 4.x load unchanged and mean the same."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from stm32pose.config.layouts import normalise
from stm32pose.config.load import load_config, load_file
from stm32pose.errors import ConfigError

LAYOUTS = Path(__file__).parent.parent / "data" / "layouts"
FILES = sorted(LAYOUTS.glob("*.yaml"))
BOTH = sorted(file.stem.removeprefix("3x_") for file in LAYOUTS.glob("3x_*.yaml"))
ST_MODES = {
    "training evaluation quantization benchmarking prediction deployment chain_tqe chain_tqeb chain_eqe chain_eqeb"
    " chain_qb chain_qd"
}


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch):
    # The on-target file names the file that it leans on from here.
    monkeypatch.chdir(LAYOUTS.parent.parent.parent)


def load(name: str):
    return load_file(LAYOUTS / f"{name}.yaml", check_paths=False)


def test_every_mode_of_st_is_there():
    assert set(" ".join(ST_MODES).split()) <= set(BOTH)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_loads(file):
    assert load_file(file, check_paths=False).steps


@pytest.mark.parametrize("mode", BOTH)
def test_both_layouts_mean_the_same(mode):
    older, newer = load(f"3x_{mode}"), load(f"4x_{mode}")
    assert older.model_dump() == newer.model_dump()
    assert older == newer


def test_values_of_a_3x_training():
    config = load("3x_chain_tqeb")
    assert config.steps == ("train", "quantize", "evaluate", "benchmark")
    assert (config.model.model_name, config.model.alpha, config.model.pretrained) == (
        "st_movenet_lightning_heatmaps",
        1.0,
        "imagenet",
    )
    assert config.model.input_shape == (192, 192, 3)
    assert config.model.model_path is None
    assert config.dataset.dataset_name == "my_poses"
    assert config.general.global_seed == 0
    assert config.training is not None
    assert config.training.frozen_layers == "(0:154)"
    assert config.training.optimizer == {"Adam": {"learning_rate": 0.01}}
    assert config.training.callbacks["EarlyStopping"]["min_delta"] == 1e-4
    assert config.preprocessing.rescaling.scale == 1 / 127.5
    assert config.data_augmentation["random_rotation"]["factor"] == [-0.1, 0.1] or config.data_augmentation[
        "random_rotation"
    ]["factor"] == (-0.1, 0.1)
    assert config.quantization is not None
    assert config.quantization.quantizer == "TFlite_converter"
    assert config.tools.stedgeai.on_cloud
    assert config.tools.stedgeai.version == "10.0.0"
    assert config.mlflow is not None


def test_values_of_a_4x_file():
    config = load("4x_softmax")
    assert config.general.project_name == "10/2"
    assert config.general.logs_dir == "logs"
    assert config.model.model_name == "custom"
    assert config.model.pretrained is None
    assert config.model.final_activation == "softmax"
    assert config.model.input_shape == (256, 192, 3)
    assert config.dataset.test_path is None
    assert config.dataset.seed is None
    assert config.dataset.quantization_split == 1.0
    assert config.training is not None
    assert config.training.optimizer == {"SGD": {}}
    assert config.training.callbacks == {"TerminateOnNaN": {}, "EarlyStopping": {"monitor": "val_oks"}}
    assert config.data_augmentation["random_rotation"]["fill_value"] == -1.0
    assert config.quantization is not None
    assert config.quantization.onnx_extra_options == {"WeightSymmetric": True, "SmoothQuantAlpha": 0.5}


def test_the_on_target_file_takes_the_rest_from_the_file_it_names():
    config = load("3x_on_target")
    assert config.operation_mode == "evaluation"
    assert config.model.model_path == "../zoo/another_int8.tflite"
    assert config.dataset.test_path == "../datasets/board_test"
    assert config.dataset.quantization_path is None
    assert config.dataset.keypoints == 17
    assert config.evaluation.target == "stedgeai_n6"
    assert config.evaluation.output_chpos == "chfirst"
    assert config.preprocessing.resizing.interpolation == "nearest"


def test_an_on_target_file_whose_other_file_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = LAYOUTS / "3x_on_target.yaml"
    assert load_file(file, check_paths=False).evaluation.target == "stedgeai_n6"
    with pytest.raises(ConfigError, match=r"general.config_path: does not exist"):
        load_file(file)


def test_incomplete_sections_that_nobody_reads_are_left_alone():
    config = load("card_yolo")
    assert config.benchmarking is None
    assert config.deployment is None
    assert config.postprocessing.max_detection_boxes == 100


BASE = {
    "operation_mode": "training",
    "model": {"model_name": "custom", "input_shape": "(64, 64, 3)"},
    "dataset": {"training_path": "x", "keypoints": 17},
}


def changed(**sections):
    mapping = copy.deepcopy(BASE)
    for name, values in sections.items():
        mapping[name] = {**mapping.get(name, {}), **values} if isinstance(values, dict) else values
    return mapping


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("benchmark", "benchmarking"),
        ("Benchmarking", "benchmarking"),
        (" chain_TQE ", "chain_tqe"),
    ],
)
def test_mode_names(mode, expected):
    assert normalise({"operation_mode": mode}).mapping["operation_mode"] == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (True, "imagenet"),
        ("True", "imagenet"),
        (False, None),
        ("None", None),
        ("imagenet", "imagenet"),
        ("w.h5", "w.h5"),
    ],
)
def test_pretrained(written, expected):
    assert load_config(changed(model={"pretrained": written}), check_paths=False).model.pretrained == expected


def test_linear_is_no_activation():
    assert (
        load_config(changed(model={"final_activation": "linear"}), check_paths=False).model.final_activation == "empty"
    )


def test_a100_with_another_width():
    mapping = changed(model={"model_name": "st_movenet_lightning_a100_heatmaps", "alpha": 10})
    with pytest.raises(ConfigError, match=r"model.alpha: got 10; st_movenet_lightning_a100_heatmaps has alpha 1.0"):
        load_config(mapping, check_paths=False)


def test_the_same_thing_said_twice_and_differently():
    mapping = changed(dataset={"name": "a", "dataset_name": "b"})
    with pytest.raises(ConfigError, match=r"^dataset.name: got 'a', but dataset.dataset_name says 'b'"):
        load_config(mapping, check_paths=False)
    assert (
        load_config(changed(dataset={"name": "a", "dataset_name": "a"}), check_paths=False).dataset.dataset_name == "a"
    )


def test_both_tool_sections():
    mapping = changed(tools={"stm32ai": {"version": "9.1.0", "on_cloud": False}, "stedgeai": {"version": "9.1.0"}})
    assert load_config(mapping, check_paths=False).tools.stedgeai.version == "9.1.0"


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"training": {"model": {"nme": "custom"}}}, "training.model.nme: unknown key; known here: name"),
        ({"tools": {"stm32ai": {"vresion": "1"}}}, "tools.stm32ai.vresion: unknown key.*did you mean 'version'"),
        ({"training": {"model": "custom"}}, "training.model: got 'custom'; a section with the keys name"),
        ({"custom_data_augmentation": {"a": {}}}, "custom_data_augmentation.a: unknown key; known here: function_name"),
        ({"custom_data_augmentation": {"function_name": "f"}}, "the file is missing: write FILE.py:f"),
        (
            {"custom_data_augmentation": {"function_name": "a.py:f", "config": 3}},
            "augmentation.config: got 3; expected",
        ),
        (
            {"custom_data_augmentation": {"function_name": "a.py:f"}, "data_augmentation": {"random_invert": {}}},
            "custom_data_augmentation: beside data_augmentation; keep one of them",
        ),
    ],
)
def test_what_is_wrong_in_an_older_place_is_named_there(sections, line):
    with pytest.raises(ConfigError, match=line):
        load_config(changed(**sections), check_paths=False)


@pytest.mark.parametrize(
    "section", [{"function_name": "own.py:fog"}, {"function_name": "fog", "file": "own.py"}], ids=["name", "file"]
)
def test_a_custom_augmentation_becomes_an_entry_of_the_list(section):
    mapping = changed(custom_data_augmentation={**section, "config": {"kind": "colour", "depth": 3}})
    mapping.pop("data_augmentation", None)
    config = load_config(mapping, check_paths=False)
    assert config.data_augmentation == {"own.py:fog": {"kind": "colour", "depth": 3}}


def test_the_given_mapping_is_not_changed():
    mapping = changed(general={"model_type": "heatmaps_spe"}, training={"model": {"alpha": "2/2"}})
    before = copy.deepcopy(mapping)
    load_config(mapping, check_paths=False)
    assert mapping == before


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parent.parent / "data" / "layouts").glob("*.yaml")), ids=lambda f: f.stem
)
def test_the_steps_refuse_no_layout(file, monkeypatch):
    """What the steps check of the form alone must let every old file through."""
    from stm32pose.commands.check import check_one

    monkeypatch.chdir(Path(__file__).parents[2])
    assert ": ok (" in check_one(file, check_paths=False)[0]

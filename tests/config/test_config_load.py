"""Messages: where, what was got, what is allowed, the nearest spelling; all of them at once."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest

from stm32pose.config.load import load_config, load_file
from stm32pose.config.suffixes import model_kind
from stm32pose.errors import ConfigError

BASE = {
    "operation_mode": "chain_tqeb",
    "model": {"model_name": "custom", "input_shape": [64, 64, 3]},
    "dataset": {"training_path": "x", "keypoints": 17},
    "training": {"batch_size": 8},
    "benchmarking": {"board": "STM32N6570-DK"},
}


def lines_of(changes: dict, mapping: dict | None = None, **options) -> list[str]:
    mapping = copy.deepcopy(mapping or BASE)
    for dotted, value in changes.items():
        *sections, key = dotted.split(".")
        node = mapping
        for section in sections:
            node = node.setdefault(section, {})
        if value is ...:
            del node[key]
        else:
            node[key] = value
    with pytest.raises(ConfigError) as caught:
        load_config(mapping, check_paths=False, **options)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def test_the_base_is_right():
    assert load_config(BASE, check_paths=False).steps == ("train", "quantize", "evaluate", "benchmark")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training.batch_size", "many", "got 'many'; expected a whole number >= 1"),
        ("training.batch_size", 0, "got 0; expected a whole number >= 1"),
        ("training.batch_size", 2.5, "got 2.5; expected a whole number >= 1"),
        ("training.batch_size", True, "got 'True'; expected a whole number >= 1"),
        ("training.batch_siez", 8, "unknown key; did you mean 'batch_size'?"),
        ("general.batch_size", 8, "unknown key; it belongs to training.batch_size"),
        ("traning", {}, "unknown key; did you mean 'training'?"),
        ("dataset.validation_split", 1, "got 1; expected a number > 0 and < 1"),
        ("dataset.validation_split", ".nan", "got '.nan'; expected a number > 0 and < 1"),
        ("dataset.quantization_split", "3/2", "got 1.5; expected a number >= 0 and <= 1 or null"),
        (
            "model.final_activation",
            "softmx",
            "got 'softmx'; expected sigmoid, softmax or empty; did you mean 'softmax'?",
        ),
        ("model.input_shape", "(192, 192)", "got [192, 192]; expected 3 values, each a whole number >= 1"),
        ("model.input_shape", "(192, 192, 3, 1)", "got [192, 192, 3, 1]; expected 3 values"),
        ("model.framework", "torch", "got 'torch'; expected tf"),
        ("model.model_name", "st_movenet_lightning_heatmap", "did you mean 'st_movenet_lightning_heatmaps'?"),
        ("preprocessing.rescaling.scale", "1/x", "got '1/x'; expected a number"),
        ("preprocessing.resizing", "fit", "got 'fit'; expected a section with the keys interpolation, aspect_ratio"),
        ("preprocessing.color_mode", "grey", "expected rgb, bgr, grayscale or rgba"),
        ("training", "fast", "got 'fast'; expected a section with the keys"),
        ("training.optimizer", {"Adam": {}, "SGD": {}}, "got Adam, SGD; expected one optimizer"),
        ("training.optimizer.Adam", 0.1, "got 0.1; expected keys with values"),
        ("training.callbacks", ["EarlyStopping"], "got ['EarlyStopping']; expected names with their arguments"),
        ("training.frozen_layers", "first ten", "expected indices and slices of model.layers, such as (0:154)"),
        ("training.dropout", "yes", "got 'yes'; expected a number >= 0 and <= 1 or null"),
        ("training.trained_model_path", "out/model", "the name of a model file ends in .keras or .h5"),
        ("training.trained_model_path", "out/model.tflite", "the name of a model file ends in .keras or .h5"),
        ("training.trained_model_path", "M.KERAS", "the name of a model file ends in .keras or .h5"),
        ("general.saved_models_dir", "/abs", "got '/abs'; expected a name inside the run folder"),
        ("general.logs_dir", "../logs", "got '../logs'; expected a name inside the run folder"),
        ("quantization.export_dir", "../../x", "expected a name inside the run folder, without a leading / and .."),
        ("quantization.export_dir", "a\\..\\..\\x", "expected a name inside the run folder"),
        ("quantization.export_dir", "C:x", "expected a name inside the run folder"),
        ("evaluation.npy_in_name", "../../x", "expected a name inside the run folder"),
        ("evaluation.npy_out_name", "/x", "expected a name inside the run folder"),
        ("general.display_figures", "maybe", "got 'maybe'; expected true or false"),
        ("general.project_name", True, "got true; expected text"),
        ("dataset.class_names", {"a": 1}, "expected a list, each item text"),
        ("operation_mode", "chain_tqz", "got 'chain_tqz'; expected training, evaluation"),
        ("operation_mode", "trainig", "did you mean 'training'?"),
        ("operation_mode", "chain_", "got 'chain_'; expected training"),
        ("operation_mode", 3, "got '3'; expected training"),
        ("operation_mode", None, "missing; expected text"),
        ("operation_mode", "chain_qt", "training comes first in a chain"),
        ("operation_mode", "chain_tqq", "a chain can quantize once"),
        ("model.input_shape", ..., "missing; a model that is built needs (height, width, channels)"),
        ("model.model_name", ..., "missing; training needs model.model_name"),
        ("dataset.training_path", "None", "missing; training needs a folder of labelled images"),
        ("dataset.keypoints", ..., "missing; labels need the number of keypoints"),
        ("benchmarking.board", ..., "missing; expected text"),
        ("benchmarking", ..., "missing; a benchmark needs a board"),
    ],
)
def test_one_line(key, value, message):
    lines = lines_of({key: value})
    assert len(lines) == 1, lines
    assert message in lines[0]
    place = {"benchmarking": "benchmarking.board"}.get(key, key)
    assert lines[0].startswith(f"{place}: ")


def test_two_models():
    (line,) = lines_of({"model.model_path": "m.h5"})
    assert line.startswith("model.model_path: training starts from one model")
    (line,) = lines_of({"model.model_path": "m.h5", "operation_mode": "chain_tqe", "model.model_name": "custom"})
    assert "keep one of them" in line


def test_names_inside_the_run_folder():
    mapping = {**BASE, "general": {"logs_dir": "logs/all", "saved_models_dir": "./models..x"}}
    assert load_config(mapping, check_paths=False).general.logs_dir == "logs/all"


def test_squared_error_of_logits():
    (line,) = lines_of({"model.final_activation": "empty", "training.loss": "mse"})
    assert line.startswith("training.loss: got 'mse', which does not go with heat maps of logits")
    assert line.endswith("allowed with them: auto, cross_entropy, kl")
    for loss in ("auto", "cross_entropy"):
        mapping = {**BASE, "model": {**BASE["model"], "final_activation": "linear"}, "training": {"loss": loss}}
        training = load_config(mapping, check_paths=False).training
        assert training is not None
        assert training.loss == {loss: {}}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("MODEL.KERAS", "keras"),
        ("a/m.H5", "keras"),
        (Path("m.TfLite"), "tflite"),
        ("https://x.org/m.onnx?raw=true", "onnx"),
        ("C:\\a.b\\m", None),
        ("m.pt", None),
    ],
)
def test_kinds_of_model_files(name, kind):
    assert model_kind(name) == kind


def test_where_the_trained_model_goes(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "file").write_text("")
    mapping = copy.deepcopy(BASE)
    mapping["dataset"]["training_path"] = str(tmp_path / "images")

    def problem(path: Path) -> str:
        mapping["training"] = {"trained_model_path": str(path)}
        try:
            load_config(mapping)
        except ConfigError as error:
            return str(error)
        return ""

    assert problem(tmp_path / "new" / "deep" / "m.keras") == ""
    assert f"cannot be written ({tmp_path / 'file'} is a file)" in problem(tmp_path / "file" / "m.keras")
    (tmp_path / "folder.h5").mkdir()
    assert "is a folder; the name of a file is needed" in problem(tmp_path / "folder.h5")
    assert "cannot be written (/proc is not yours to write in)" in problem(Path("/proc/x/m.keras")) or os.access(
        "/proc", os.W_OK
    )


def test_resuming_brings_its_own_model():
    mapping = copy.deepcopy(BASE)
    mapping["training"]["resume_training_from"] = "experiments_outputs/earlier"
    assert load_config(mapping, check_paths=False).training.resume_training_from == "experiments_outputs/earlier"


EVALUATION = {
    "operation_mode": "evaluation",
    "model": {"model_path": "m.keras"},
    "dataset": {"keypoints": 17, "test_path": "x"},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.model_path": ...}, "model.model_path: missing; evaluation needs a model file"),
        ({"model.model_path": "m.pt"}, "model.model_path: got 'm.pt'; evaluation takes .keras, .h5, .tflite or .onnx"),
        ({"dataset.test_path": ...}, "dataset.test_path: missing; evaluation needs labelled images"),
        (
            {"operation_mode": "chain_qe", "model.model_path": "m.tflite"},
            "quantization takes .keras, .h5 or .onnx files",
        ),
        ({"operation_mode": "chain_qe"}, "dataset.quantization_path: missing; a quantized model that is evaluated"),
        ({"operation_mode": "prediction"}, "dataset.prediction_path: missing; prediction needs an image, a folder"),
        ({"operation_mode": "deployment"}, "deployment: missing; deployment needs hardware_setup, and c_project_path"),
        ({"operation_mode": "chain_te"}, "dataset.training_path: missing"),
    ],
)
def test_what_a_mode_needs(changes, message):
    assert any(message in line for line in lines_of(changes, EVALUATION))


def test_what_a_mode_does_not_need_is_not_demanded():
    benchmark = {
        "operation_mode": "benchmark",
        "model": {"model_path": "https://example.org/m.TFLITE?raw=true"},
        "benchmarking": {"board": "STM32H747I-DISCO"},
    }
    config = load_config(benchmark)
    assert config.mlflow is None
    assert config.training is None
    quantization = {
        "operation_mode": "quantization",
        "general": {"model_path": "m.h5"},
        "dataset": {"quantization_path": "x"},
    }
    assert load_config(quantization, check_paths=False).quantization is not None


def test_lambda_is_refused_with_what_to_write_instead():
    (line,) = lines_of({"training.callbacks": {"LearningRateScheduler": {"schedule": "lambda e, lr: lr * 0.9"}}})
    assert line.startswith("training.callbacks.LearningRateScheduler.schedule: a Python lambda is code")
    assert "ReduceLROnPlateau" in line


def test_all_problems_at_once_with_file_and_line(tmp_path):
    file = tmp_path / "many.yaml"
    file.write_text(
        "operation_mode: training\n"
        "general:\n"
        "  model_type: heatmap_spe\n"
        "training:\n"
        "  batch_size: none at all\n"
        "  epochs: 0\n"
        "  model: {name: custom, input_shap: [64, 64, 3]}\n"
        "dataset:\n"
        "  name: ${NOBODY_SETS_THIS}\n"
        "  keypoints: 17\n"
        "  training_path: nowhere\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_file(file)
    lines = str(caught.value).splitlines()
    expected = [
        (3, "general.model_type: got 'heatmap_spe'; expected heatmaps_spe, spe"),
        (5, "training.batch_size: got 'none at all'"),
        (6, "training.epochs: got 0; expected a whole number >= 1"),
        (7, "training.model.input_shap: unknown key"),
        (9, "dataset.name: got ${NOBODY_SETS_THIS}, but the environment variable NOBODY_SETS_THIS is not set"),
        (11, "dataset.training_path: nowhere does not exist"),
    ]
    for number, text in expected:
        assert any(line.startswith(f"{file}:{number}: {text}") for line in lines), (text, lines)
    assert any("model.input_shape: missing" in line for line in lines)
    assert len(lines) == len(expected) + 1


def test_a_tuple_that_yaml_cuts(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(
        "operation_mode: training\n"
        "model: {model_name: custom, input_shape: (64, 64, 3), alpha: 1.0}\n"
        "dataset: {training_path: x, keypoints: 17}\n"
        "data_augmentation:\n"
        "  random_rotation: {factor: (-0.1, 0.1), fill_mode: constant}\n"
        "  random_periodic_resizing: {image_sizes: [(64, 64), (96, 96)]}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_file(file, check_paths=False)
    lines = str(caught.value).splitlines()
    assert [line.split(": got")[0] for line in lines] == [
        f"{file}:2: model.input_shape",
        f"{file}:5: data_augmentation.random_rotation.factor",
        f"{file}:6: data_augmentation.random_periodic_resizing.image_sizes[0]",
        f"{file}:6: data_augmentation.random_periodic_resizing.image_sizes[2]",
    ]
    assert all(line.endswith("YAML cuts (a, b) at the comma; write [a, b]") for line in lines)


def test_overrides_are_not_blamed_on_the_file(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("operation_mode: training\ntraining:\n  epochs: 3\n")
    with pytest.raises(ConfigError) as caught:
        load_file(file, ["training.epochs=x", "+training.bach_size=3"], check_paths=False)
    lines = str(caught.value).splitlines()
    assert "command line: training.epochs: got 'x'; expected a whole number >= 1" in lines
    assert "command line: training.bach_size: unknown key; did you mean 'batch_size'?" in lines


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "command line: training.epoch: unknown key; did you mean 'epochs'?"),
        ("training.epochs==3", "command line: Error parsing override 'training.epochs==3'; write key=value"),
    ],
)
def test_overrides_that_do_not_fit(tmp_path, override, message):
    file = tmp_path / "c.yaml"
    file.write_text("operation_mode: training\ntraining:\n  epochs: 3\n")
    with pytest.raises(ConfigError) as caught:
        load_file(file, [override])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", ":2: a: written twice"),
        ("training:\n  epochs: 1\n  batch_size: 2\n  epochs: 2\n", ":4: training.epochs: written twice"),
        ("a: [1\n", ":2: expected ',' or ']'"),
        ("a: b: c\n", ":1: mapping values are not allowed here"),
        ("\ta: 1\n", ":1: found character"),
        ("- 1\n", "holds no `key: value` lines"),
        ("", "is empty"),
        ("# nothing\n", "is empty"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, text, message):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_file(file)
    assert str(caught.value).startswith(str(file))
    assert message in str(caught.value)


def test_files_that_are_not_there(tmp_path):
    (tmp_path / "training_config.yaml").write_text("operation_mode: training\n")
    with pytest.raises(ConfigError, match=r"training_confg.yaml: does not exist; did you mean 'training_config.yaml'"):
        load_file(tmp_path / "training_confg.yaml")
    with pytest.raises(ConfigError, match=r"ends in .yaml"):
        load_file(Path(__file__))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text"):
        load_file(binary)


def test_paths_that_the_steps_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "model.keras").write_text("")
    mapping = copy.deepcopy(EVALUATION)
    mapping["dataset"] |= {"test_path": "tset", "validation_path": "not_read", "training_path": "nor_this"}
    mapping["model"] = {"model_path": "modle.keras"}
    with pytest.raises(ConfigError) as caught:
        load_config(mapping)
    assert str(caught.value).splitlines() == [
        "model.model_path: modle.keras does not exist; did you mean 'model.keras'?",
        f"dataset.test_path: tset does not exist; {tmp_path} holds model.keras, train",
    ]
    (tmp_path / "folder.keras").mkdir()
    mapping["dataset"]["test_path"], mapping["model"]["model_path"] = "model.keras", "folder.keras"
    with pytest.raises(ConfigError) as caught:
        load_config(mapping)
    assert "model.model_path: folder.keras is a folder; a file is needed" in str(caught.value)
    assert "dataset.test_path: model.keras is a file; a folder is needed" in str(caught.value)
    mapping["dataset"]["test_path"], mapping["model"]["model_path"] = "train", "model.keras"
    assert load_config(mapping).dataset.test_path == "train"


def test_a_folder_missing_higher_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets").mkdir()
    mapping = copy.deepcopy(BASE)
    mapping["dataset"]["training_path"] = "dataset/poses/train"
    with pytest.raises(ConfigError, match=r"does not exist \(dataset is not there; did you mean 'datasets'\?\)"):
        load_config(mapping)


def test_environment_and_interpolation(monkeypatch, tmp_path):
    monkeypatch.setenv("POSE_DATA", "/big/disk")
    mapping = copy.deepcopy(BASE)
    mapping["dataset"] |= {
        "training_path": "${POSE_DATA}/train",
        "test_path": "${oc.env:POSE_DATA}/test",
        "validation_path": "${dataset.training_path}/../val",
        "quantization_path": "${.training_path}",
        "dataset_name": "${operation_mode}",
    }
    config = load_config(mapping, check_paths=False)
    assert config.dataset.training_path == "/big/disk/train"
    assert config.dataset.test_path == "/big/disk/test"
    assert config.dataset.validation_path == "/big/disk/train/../val"
    assert config.dataset.quantization_path == "/big/disk/train"
    assert config.dataset.dataset_name == "chain_tqeb"


def test_an_interpolation_of_a_key_that_is_not_there():
    (line,) = lines_of({"dataset.dataset_name": "${dataset.nmae}"})
    assert line.startswith("dataset.dataset_name: ")
    assert "nmae" in line


def test_the_configuration_cannot_be_changed():
    config = load_config(BASE, check_paths=False)
    with pytest.raises(ValueError, match="frozen"):
        config.dataset.keypoints = 3

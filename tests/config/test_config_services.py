"""Rules of prediction, deployment, quantization without data, and the list of steps."""

from __future__ import annotations

import pytest

from stm32pose.config.load import load_config
from stm32pose.config.rules import problems
from stm32pose.config.schema import MODES, ST_MODES, STEPS, mode_steps
from stm32pose.errors import ConfigError

MODEL = {"model": {"model_path": "m.keras"}}
N6 = {"serie": "STM32N6", "board": "STM32N6570-DK"}
MP = {"serie": "STM32MP2", "board": "STM32MP257F-EV1"}


def load(mode: str | None, **sections):
    mapping = {"operation_mode": mode, **MODEL, **sections}
    return load_config({key: value for key, value in mapping.items() if value is not None}, check_paths=False)


def refusal(mode: str | None, **sections) -> str:
    with pytest.raises(ConfigError) as caught:
        load(mode, **sections)
    return str(caught.value)


@pytest.mark.parametrize(
    ("steps", "mode"),
    [
        (["quantize", "benchmark"], "chain_qb"),
        (["Quantization", "evaluation", "benchmarking"], "chain_qeb"),
        (["quantize", "deploy"], "chain_qd"),
        (["benchmark"], "chain_b"),
    ],
)
def test_a_list_of_steps_is_a_chain(steps, mode):
    config = load(
        None,
        steps=steps,
        dataset={"test_path": "x", "quantization_path": "x", "keypoints": 17},
        benchmarking={"board": "STM32N6570-DK"},
        deployment={"hardware_setup": N6, "dry_run": True},
    )
    assert config.operation_mode == mode
    assert config.steps == mode_steps(mode)


@pytest.mark.parametrize("steps", ["train", [], ["quantise"], [["train"]]])
def test_a_wrong_list_of_steps(steps):
    message = refusal(None, steps=steps, dataset={"test_path": "x", "keypoints": 17})
    assert "steps: got" in message
    assert "expected a list of train, evaluate, quantize, benchmark, predict, deploy" in message
    if steps == ["quantise"]:
        assert "did you mean 'quantize'?" in message


def test_a_list_beside_another_mode_is_refused():
    message = refusal("chain_qe", steps=["quantize", "benchmark"], dataset={"training_path": "x", "keypoints": 17})
    assert "keep one of them" in message


def test_any_order_of_letters_but_training_first():
    assert mode_steps("chain_tbqeb") == ("train", "benchmark", "quantize", "evaluate", "benchmark")
    assert mode_steps("chain_eb") == ("evaluate", "benchmark")
    assert set(MODES) - {"export"} <= set(ST_MODES)
    assert {step for mode in ST_MODES for step in mode_steps(mode)} == set(STEPS.values()) - {"export"}
    assert "training comes first" in refusal("chain_qt", dataset={"training_path": "x", "keypoints": 17}, training={})


@pytest.mark.parametrize("mode", ["quantization", "chain_qb", "chain_qd"])
def test_without_images_random_ones_do_for_size_and_speed(mode):
    board = {"board": "STM32N6570-DK"}
    load(mode, benchmarking=board, deployment={"hardware_setup": N6, "dry_run": True})


@pytest.mark.parametrize("mode", ["chain_eqe", "chain_qe", "chain_qp"])
def test_accuracy_after_random_calibration_must_be_asked_for(mode):
    data = {"test_path": "x", "keypoints": 17, "prediction_path": "y"}
    assert "a quantized model that is evaluated needs images" in refusal(mode, dataset=data)
    assert load(mode, dataset=data, quantization={"fake": True}).quantization.fake


@pytest.mark.parametrize("given", ["a.jpg", "shots/*.jpg", "camera:0", ["a.mp4", "b"]])
def test_what_can_be_predicted(given):
    assert load("prediction", dataset={"prediction_path": given}).dataset.prediction_path == (
        given if isinstance(given, list) else [given]
    )


@pytest.mark.parametrize(("given", "missing"), [("no/such.jpg", True), ("no/*.jpg", False), ("Camera:1", False)])
def test_paths_to_predict_exist(tmp_path, monkeypatch, given, missing):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.keras").touch()
    mapping = {"operation_mode": "prediction", **MODEL, "dataset": {"prediction_path": [".", given]}}
    if missing:
        with pytest.raises(ConfigError, match=r"dataset.prediction_path: no/such.jpg does not exist"):
            load_config(mapping)
    else:
        load_config(mapping)


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"hardware_setup": N6}, "deployment.c_project_path: missing; STM32N6 needs ST's application sources"),
        (
            {"hardware_setup": MP, "c_project_path": "x", "board_deploy_path": "/root"},
            "deployment.hardware_setup.ip_address: missing; STM32MP2 is reached over the network",
        ),
        (
            {"hardware_setup": {**MP, "ip_address": "10.0.0.2"}, "c_project_path": "x"},
            "deployment.board_deploy_path: missing",
        ),
        (
            {"hardware_setup": {"serie": "STM32N6", "board": "NUCLEO-N657X0-Q"}, "dry_run": True},
            "deployment.hardware_setup.output: missing; this board shows its picture by UVCL or SPI",
        ),
        ({"hardware_setup": {"serie": "STM32H7", "board": "STM32H747I-DISCO"}}, None),
        ({"hardware_setup": N6, "dry_run": True}, None),
    ],
)
def test_deployment_rules(section, line):
    if line is None:
        assert problems(load("deployment", deployment=section)) == []
    else:
        assert line in refusal("deployment", deployment=section)


@pytest.mark.parametrize(("mode", "section"), [("evaluation", "evaluation"), ("prediction", "prediction")])
def test_a_float_model_is_no_matter_for_a_board(mode, section):
    data = {"test_path": "x", "keypoints": 17, "prediction_path": "y", "quantization_path": "z"}
    onboard = {section: {"target": "stedgeai_n6"}}
    assert f"{section}.target: got stedgeai_n6, which runs .tflite and .onnx" in refusal(mode, dataset=data, **onboard)
    load(mode, dataset=data, model={"model_path": "m.tflite"}, **onboard)
    load("chain_eqe", dataset=data, **onboard)


def test_inputs_and_outputs_are_two_files():
    data = {"test_path": "x", "keypoints": 17}
    names = {"npy_in_name": "a", "npy_out_name": "a", "gen_npy_input": True}
    assert "evaluation.npy_out_name: got 'a'" in refusal(
        "evaluation", dataset=data, evaluation={**names, "gen_npy_output": True}
    )
    load("evaluation", dataset=data, evaluation=names)


def test_routes_of_a_benchmark():
    one = load("benchmarking", benchmarking={"board": "STM32N6570-DK"}).benchmarking
    several = load("benchmarking", benchmarking={"board": "B", "backend": ["cloud", "estimate", "cloud"]}).benchmarking
    assert one.backends == ("auto",)
    assert several.backends == ("cloud", "estimate")
    assert "benchmarking.backend[0]: got 'clowd'; expected auto, cloud, stedgeai, estimate or emulate" in refusal(
        "benchmarking", benchmarking={"board": "B", "backend": "clowd"}
    )

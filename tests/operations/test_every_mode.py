"""The modes and some free chains, end to end on drawn people, with the cloud and ST's program of this suite."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud_server import PASSWORD, USER, CloudServer
from fake_stedgeai import calls, make_installation

from stm32pose.config.load import load_config
from stm32pose.config.schema import ST_MODES
from stm32pose.errors import UserError

SIDE = 64
BOARD = "STM32H747I-DISCO"
FREE = ("chain_eb", "chain_tbqeb", "chain_qpd", "chain_qx", "export")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from stm32pose.data.synthetic import make_poses
    from stm32pose.skeletons.skeleton import load_skeleton

    folder = tmp_path_factory.mktemp("people")
    for name, images, seed in (("train", 16, 1), ("test", 4, 2)):
        make_poses(folder / name, images=images, skeleton=load_skeleton("person13"), size=(96, 96), seed=seed)
    return folder


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("st")
    for name in ("Inc/stai.h", "Lib/GCC/ARMCortexM7/NetworkRuntime.a"):
        file = root / "Middlewares" / "ST" / "AI" / name
        file.parent.mkdir(parents=True)
        file.write_text(f"/* {name} */")
    return make_installation(root, "4.0")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float network with random weights."""
    from stm32pose.config.model_sections import Model
    from stm32pose.models.build import build_model

    path = tmp_path_factory.mktemp("model") / "net.keras"
    build_model(Model(model_name="custom", input_shape=(SIDE, SIDE, 3)), keypoints=13).save(path)
    return path


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    import keyring
    from keyring.backends.fail import Keyring as NoKeyring

    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())
    with CloudServer() as server:
        server.polls = 0
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
        monkeypatch.setenv("STM32AI_USERNAME", USER)
        monkeypatch.setenv("STM32AI_PASSWORD", PASSWORD)
        yield server
    keyring.set_keyring(before)


def settings(mode: str, people: Path, model: Path, program: Path, **changes: Any) -> dict[str, Any]:
    """One file that has all sections; each mode reads its own."""
    trains = mode == "training" or ("t" in mode.removeprefix("chain_")[:1] and mode.startswith("chain_"))
    network = {"model_name": "custom", "input_shape": [SIDE, SIDE, 3]} if trains else {"model_path": str(model)}
    return {
        "operation_mode": mode,
        "general": {"project_name": "tests", "global_seed": 7},
        "model": network,
        "dataset": {
            "keypoints": 13,
            "training_path": str(people / "train"),
            "test_path": str(people / "test"),
            "prediction_path": str(people / "test"),
            "quantization_images": 8,
        },
        "training": {"batch_size": 4, "epochs": 1, "optimizer": "Adam"},
        "quantization": {},
        "tools": {"stedgeai": {"path_to_stedgeai": str(program)}},
        "benchmarking": {"board": BOARD, "backend": ["cloud", "stedgeai"], "boards": [BOARD]},
        "deployment": {"hardware_setup": {"serie": "STM32H7", "board": BOARD}},
        "export": {"target": "host"} if shutil.which("make") and shutil.which("cc") else {},
        **changes,
    }


def run(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    from stm32pose.operations.chain import run_chain

    report = run_chain(load_config(config), folder)
    assert report.is_file()
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize("mode", [*ST_MODES, *FREE])
def test_mode(mode, people, model, program, cloud, tmp_path):
    made = ("deployment", "prediction", "export")
    source = quantized(model, people, tmp_path) if mode in made else model
    before = len(calls(program))
    config = settings(mode, people, source, program)
    config["deployment"]["c_project_path"] = str(tmp_path / "project")
    (tmp_path / "project").mkdir()
    results = run(config, tmp_path / "run")
    assert results["run"]["status"] == "finished"
    steps = results["run"]["steps"]

    evaluated = [entry["label"] for entry in results.get("evaluation", [])]
    quantizes, trains = "quantize" in steps, steps[0] == "train"
    if "evaluate" in steps:
        # What is evaluated: every model that exists by then, each once.
        first = steps.index("evaluate")
        both = quantizes and (first > steps.index("quantize") or steps.count("evaluate") > 1)
        assert evaluated == (["float", "int8"] if both else ["float"])
        assert all(entry["images"] == 4 for entry in results["evaluation"])
    assert ("training" in results) is trains
    if quantizes:
        (entry,) = results["quantization"]
        assert entry["calibration_images"] > 0
        assert not entry.get("fake")
    assert len(results.get("benchmark", [])) == steps.count("benchmark")
    for number, entry in enumerate(results.get("benchmark", [])):
        routes = {route["route"]: route for route in entry["routes"]}
        assert list(routes) == ["cloud", "stedgeai", "estimate"]
        assert routes["cloud"]["latency_ms"] > 0
        assert routes["stedgeai"]["latency_ms"] is None
        assert routes["stedgeai"]["macs"] > 0
        assert entry["label"] == ("int8" if quantizes and (number == 1 or mode != "chain_tbqeb") else "float")
    if "benchmark" in steps:
        assert cloud.requests["login"] == 1
        assert cloud.stored["models"] == {}
        assert len(calls(program)) > before
    if "predict" in steps:
        assert results["prediction"]["images"] == 4
        found = json.loads((tmp_path / "run" / "predictions" / "predictions.json").read_text())
        assert len(found) == 4
    if "export" in steps:
        (entry,) = results["export"]
        assert entry["board"] == BOARD
        assert entry["self_test"].startswith("passed") or entry["target"] == "cortex-m7"
        assert (tmp_path / "run" / entry["folder"] / "pose" / "pose_run.c").is_file()
        assert (tmp_path / "run" / "figures" / "arena.png").stat().st_size > 5000
    if "deploy" in steps:
        (entry,) = results["deployment"]
        assert entry["board"] == BOARD
        assert any(name.endswith("ai_model_config.h") for name in entry["files"])
        assert any("generate" in call for call in calls(program)[before:])
        for name in ("Inc/ai_model_config.h", "Src/pose_decode.c", "Src/network.c", "Middlewares/ST/AI/Inc/stai.h"):
            assert (tmp_path / "project" / name).is_file(), name


def quantized(model: Path, people: Path, folder: Path) -> Path:

    config = {
        "operation_mode": "quantization",
        "model": {"model_path": str(model)},
        "dataset": {"keypoints": 13, "quantization_path": str(people / "test")},
    }
    run(config, folder / "made")
    return folder / "made" / "quantized_models" / "quantized_model.tflite"


def test_a_route_that_fails_is_an_error_and_keeps_the_estimate(people, model, tmp_path):
    from fake_stedgeai import make_stedgeai

    broken = make_stedgeai(tmp_path / "st", fault="error")
    config = settings("benchmarking", people, model, broken, benchmarking={"board": BOARD, "backend": "stedgeai"})
    with pytest.raises(UserError, match="stedgeai"):
        run(config, tmp_path / "run")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["run"]["status"] == "failed"
    assert [route["route"] for route in results["benchmark"][0]["routes"]] == ["estimate"]
    assert results["benchmark"][0]["route"] == "stedgeai"


def test_credentials_are_asked_for_before_the_training(people, model, program, cloud, monkeypatch, tmp_path):
    from stm32pose.operations import train

    monkeypatch.setattr(train, "run_step", lambda *_: pytest.fail("the training began before the login"))
    for name in ("STM32AI_USERNAME", "STM32AI_PASSWORD"):
        monkeypatch.delenv(name)
    with pytest.raises(UserError, match="stm32pose login"):
        run(settings("chain_tqeb", people, model, program), tmp_path / "run")


def test_a_board_that_is_not_there_is_said_before_the_training(people, model, program, cloud, tmp_path):
    board = {"board": "STM32MP135F-DK", "backend": "cloud"}
    cloud.boards.pop("STM32MP135F-DK", None)
    with pytest.raises(UserError, match="STM32MP135F-DK"):
        run(settings("chain_tqeb", people, model, program, benchmarking=board), tmp_path / "run")
    assert not (tmp_path / "run" / "saved_models").exists()


def test_random_calibration_is_shouted(model, people, program, cloud, tmp_path):
    config = settings("chain_qb", people, model, program)
    config["dataset"] = {}
    config["benchmarking"] = {"board": BOARD, "backend": "estimate"}
    results = run(config, tmp_path / "run")
    (entry,) = results["quantization"]
    assert entry["fake"] is True
    assert "random" in entry["calibration_set"].lower()
    assert "Calibrated on random images" in (tmp_path / "run" / "report.html").read_text()


def test_on_a_target_the_float_model_stays_on_the_host(model, people, program, tmp_path, monkeypatch):
    from stm32pose.inference.runner import load_runner
    from stm32pose.operations import on_target

    opened = []

    def open_runner(config, run, path, section):
        opened.append((path.suffix, section.target))
        return load_runner(path, rescaling=(1 / 127.5, -1.0))

    monkeypatch.setattr(on_target, "open_runner", open_runner)
    results = run(
        settings("chain_eqe", people, model, program, evaluation={"target": "stedgeai_host"}), tmp_path / "run"
    )
    assert opened == [(".keras", "host"), (".tflite", "stedgeai_host")]
    assert [entry["target"] for entry in results["evaluation"]] == ["host", "stedgeai_host"]


def test_onnx_goes_the_same_way(model, people, program, cloud, tmp_path):
    config = settings("chain_eqeb", people, model, program, quantization={"quantizer": "onnx_quantizer"})
    results = run(config, tmp_path / "run")
    assert [entry["kind"] for entry in results["evaluation"]] == ["keras", "onnx"]
    assert results["benchmark"][0]["file"].endswith(".onnx")

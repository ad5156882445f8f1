"""The step `benchmark` with `backend: emulate`: figures of a real program, said how, and refused before a chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from codegen.one_op import build
from codegen.tiny_networks import tiny_model

from stm32pose.benchmark.emulate import toolchains
from stm32pose.benchmark.emulate.toolchains import missing_programs
from stm32pose.config.load import load_config
from stm32pose.errors import ConfigError, UserError
from stm32pose.operations.chain import run_chain
from stm32pose.operations.checks import check_steps


def config(
    path: Path | str = "tiny.tflite", board: str = "NUCLEO-H743ZI2", mode: str = "benchmarking", **sections: Any
):
    mapping = {
        "operation_mode": mode,
        "model": {"model_path": str(path)},
        "benchmarking": {"board": board, "boards": [board], "backend": "emulate"},
        **sections,
    }
    return load_config(mapping, check_paths=False)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    if missing := missing_programs():
        pytest.skip(f"no emulated boards here: {', '.join(missing)} not found")
    path = tmp_path / "tiny.tflite"
    path.write_bytes(build(tiny_model()))
    return path


@pytest.mark.parametrize("board", ["NUCLEO-H743ZI2", "STM32F469I-DISCO", "B-U585I-IOT02A", "STM32N6570-DK"])
def test_figures_of_an_emulated_run(tiny: Path, tmp_path: Path, board: str):
    run_chain(config(tiny, board), tmp_path / "run")
    (entry,) = json.loads((tmp_path / "run/results.json").read_text())["benchmark"]
    emulated, estimated = entry["routes"]
    assert [emulated["route"], estimated["route"]] == ["emulate", "estimate"]
    assert entry["route"] == "emulate"
    assert emulated["exact"] is True
    assert emulated["how"].startswith("emulated (")
    assert "every output byte as LiteRT computes it" in emulated["how"]
    assert "arm-none-eabi-gcc" in emulated["tool"]
    assert "QEMU" in emulated["tool"]
    assert emulated["instructions"] == sum(layer["instructions"] for layer in emulated["layers"])
    assert emulated["macs"] == sum(layer["macs"] for layer in emulated["layers"]) > 0
    assert {"CONV_2D", "DEPTHWISE_CONV_2D"} <= {layer["kind"] for layer in emulated["layers"]}
    assert 700 < emulated["activations_bytes"] < emulated["total_ram_bytes"] < 10_000
    assert 0 < emulated["weights_bytes"] < emulated["total_flash_bytes"] < 40_000
    assert emulated["fits"] is True
    assert ("is not emulated" in emulated["note"]) == (board == "STM32N6570-DK")
    report = (tmp_path / "run/report.html").read_text()
    assert "Bit for bit exact" in report
    assert "Instructions of every layer" in report
    assert ",instructions," in (tmp_path / "run/results.csv").read_text()
    assert (tmp_path / "run/emulated/tiny_tflite/code/network.c").is_file()
    assert (tmp_path / "run/emulated/tiny_tflite/build/emulated.elf").is_file()


def test_what_is_not_exact_is_said_loudly(tiny: Path, tmp_path: Path, monkeypatch, caplog):
    from stm32pose.benchmark.emulate import model

    def wrong(network, inputs):
        return [values + 1 for values in original(network, inputs)]

    original = model.expected_outputs
    monkeypatch.setattr(model, "expected_outputs", wrong)
    run_chain(config(tiny), tmp_path / "run")
    (entry,) = json.loads((tmp_path / "run/results.json").read_text())["benchmark"]
    assert entry["routes"][0]["exact"] is False
    assert "NOT exact: " in entry["routes"][0]["how"]
    assert "The emulated run is not exact" in caplog.text
    assert "Not exact" in (tmp_path / "run/report.html").read_text()


def test_a_file_that_cannot_become_c(tiny: Path, tmp_path: Path):
    tiny.write_bytes(tiny.read_bytes()[:2000])
    with pytest.raises(UserError):
        run_chain(config(tiny), tmp_path / "run")


def test_missing_tools_are_said_before_the_first_step(monkeypatch):
    monkeypatch.setattr(toolchains, "find_program", lambda name: (None, ["PATH"]))
    monkeypatch.setattr(toolchains, "has_pip_route", lambda: False)
    check_steps(config(), here=False)
    with pytest.raises(ConfigError, match="apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"):
        check_steps(config())


@pytest.mark.parametrize(
    ("path", "board", "message"),
    [
        ("m.keras", "NUCLEO-H743ZI2", "got a Keras model; C code is made of int8"),
        ("m.tflite", "STM32MP257F-EV1", "no emulator of the Cortex-A35 here; there are those of Cortex-M4, Cortex-M7"),
        ("m.tflite", "NUCLEO-G0B1RE", r"no emulator of the Cortex-M0\+ here"),
    ],
)
def test_what_no_emulator_can(path: str, board: str, message: str):
    with pytest.raises(ConfigError, match=f"benchmarking.backend: emulate: {message}"):
        check_steps(config(path, board))

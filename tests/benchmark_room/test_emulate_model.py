"""Model files on emulated processors: exported, linked and run, exact by every way that this machine has."""

from __future__ import annotations

from pathlib import Path

import pytest
from codegen.tiny_networks import tiny_onnx, tiny_tflite

from stm32pose.benchmark.emulate.model import emulate_model
from stm32pose.benchmark.emulate.toolchains import all_tools, missing_programs
from stm32pose.cli import main
from stm32pose.codegen.targets import TARGETS


def tools_of(core: str, emulator: str):
    found = all_tools(TARGETS[core])
    if emulator not in found:
        qemu = f"no emulated boards by QEMU here: {', '.join(missing_programs())} not found"
        pytest.skip(qemu if emulator == "qemu" else "the packages ziglang and unicorn are not installed")
    return found[emulator]


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
@pytest.mark.parametrize(
    ("core", "emulator"),
    [
        ("cortex-m4", "qemu"),
        ("cortex-m7", "qemu"),
        ("cortex-m33", "qemu"),
        ("cortex-m55", "qemu"),
        ("cortex-m4", "unicorn"),
        ("cortex-m7", "unicorn"),
        ("cortex-m33", "unicorn"),
    ],
)
def test_tiny_networks_are_exact(tmp_path: Path, core: str, emulator: str, suffix: str):
    if suffix == "onnx":
        pytest.importorskip("onnxruntime")
    tools = tools_of(core, emulator)
    path = tmp_path / f"tiny.{suffix}"
    path.write_bytes(tiny_tflite() if suffix == "tflite" else tiny_onnx())
    done = emulate_model(path, TARGETS[core], tmp_path / "run", tools=tools)
    found, built = done.emulation, done.built
    assert found.exact
    assert found.arena_bytes == built.plan.peak_bytes
    assert len(found.layers) == len(built.program.calls)
    assert all(layer.instructions > 0 for layer in found.layers)
    assert found.stack_bytes < 4096


@pytest.mark.parametrize(("core", "machine"), [("cortex-m4", "netduinoplus2"), ("cortex-m7", "mps2-an500")])
def test_keyword_spotting_is_exact_and_repeatable(shared: Path, tmp_path: Path, core: str, machine: str):
    tools = tools_of(core, "qemu")
    path = shared / "models/calibration/kws_ref_model.tflite"
    one, two = (
        emulate_model(path, TARGETS[core], tmp_path / name, tools=tools, inferences=1).emulation for name in "ab"
    )
    assert one.exact
    assert one.machine == machine
    assert one.layers == two.layers
    assert one.arena_bytes < 23_000


def test_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tools_of("cortex-m7", "qemu")
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny_tflite())
    assert (
        main(["emulate", str(path), "--target", "cortex-m7", "--folder", str(tmp_path / "kept"), "--inferences", "1"])
        == 0
    )
    shown = capsys.readouterr().out
    assert "EXACT of 69 output elements" in shown
    assert "CONV_2D" in shown
    assert (tmp_path / "kept/build/machine.ld").is_file()

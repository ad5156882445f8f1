"""An export is a whole folder that builds everywhere and computes what the file's own runtime does."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from codegen.one_op import Model, Op, T, build
from codegen.pose_networks import heatmap_network
from codegen.run_c import needs_cc, run_on_host

from stm32pose.cli import main
from stm32pose.codegen.export import build as build_program
from stm32pose.codegen.export import kernel_sources, write_folder
from stm32pose.codegen.network import NotExportable, read_network
from stm32pose.codegen.reference import random_inputs, run_reference
from stm32pose.codegen.targets import TARGETS, target_of
from stm32pose.errors import ConfigError, UserError

needs_arm = pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no arm-none-eabi-gcc")
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "pose.tflite"
    path.write_bytes(heatmap_network())
    return path


def export(*arguments: str | Path) -> int:
    return main(["export", *map(str, arguments)])


@needs_cc
@pytest.mark.parametrize("target", ["host", "cortex-m7"])
def test_equal_to_the_reference(model: Path, tmp_path: Path, target: str):
    """The kernels for Cortex-M run here too, with their instructions spelt out in C."""
    network = read_network(model)
    batches = [random_inputs(network, seed) for seed in range(4)]
    batches += [[np.full((1, 32, 32, 3), value, np.uint8)] for value in (0, 255)]
    found = run_on_host(model, batches, tmp_path / "c", target)
    for inputs, outputs in zip(batches, found, strict=True):
        np.testing.assert_array_equal(outputs[0], run_reference(model, inputs)[0])


@needs_cc
@needs_make
def test_host_is_built_and_tested(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "c"
    assert export(model, "--out", out, "--target", "host", "--layers") == 0
    said = capsys.readouterr().out
    assert "self-test on this computer: passed: 5 layers" in said
    assert re.search(r"conv .*CONV_2D first/Relu", said)
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {"network/network.c", "network/network.h", "pose/pose_decode.c", "pose/pose_run.c"} <= names
    assert {
        "test/self_test.c",
        "test/test_vector.c",
        "Makefile",
        "CMakeLists.txt",
        "README.md",
        "build/pose_run",
    } <= names
    readme = (out / "README.md").read_text()
    assert "| input 0 | picture | uint8 | 1 x 32 x 32 x 3 | 0.00784313772 * (stored - 128) |" in readme
    assert not list(tmp_path.glob(".*"))


@needs_cc
@needs_make
def test_a_wrong_output_fails_the_self_test(model: Path, tmp_path: Path):
    out = tmp_path / "c"
    assert export(model, "--out", out) == 0
    source = out / "network" / "network.c"
    text = source.read_text()
    changed = re.sub(r"(layer_1_bias\[8\] = \{)(-?\d+)", lambda found: f"{found[1]}{int(found[2]) + 9000}", text)
    assert changed != text
    source.write_text(changed)
    done = subprocess.run(["make", "-C", str(out), "test"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "FAILED" in done.stdout


@needs_arm
@needs_make
@pytest.mark.parametrize("target", [name for name, item in TARGETS.items() if item.cpu])
def test_builds_for_each_processor(model: Path, tmp_path: Path, target: str):
    out = tmp_path / "c"
    assert export(model, "--out", out, "--target", target) == 0
    done = subprocess.run(["make", "-C", str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (out / "build" / "libnetwork.a").stat().st_size > 1000


@needs_arm
@needs_make
@pytest.mark.parametrize(
    ("board", "flags"),
    [
        ("NUCLEO-G0B1RE", "-mcpu=cortex-m0plus -mthumb -mfloat-abi=soft"),
        ("NUCLEO-F746ZG", "-mcpu=cortex-m7 -mthumb -mfpu=fpv5-sp-d16 -mfloat-abi=hard"),
        ("NUCLEO-H743ZI2", "-mcpu=cortex-m7 -mthumb -mfpu=fpv5-d16 -mfloat-abi=hard"),
        ("NUCLEO-WL55JC", "-mcpu=cortex-m4 -mthumb -mfloat-abi=soft"),
    ],
)
def test_builds_for_the_chip_of_a_board(model: Path, tmp_path: Path, board: str, flags: str):
    """A chip without floating-point unit, or with one of single precision, gets no instruction that it lacks."""
    out = tmp_path / "c"
    assert export(model, "--out", out, "--board", board) == 0
    assert f"CPU     ?= {flags}\n" in (out / "Makefile").read_text()
    done = subprocess.run(["make", "-C", str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@needs_cc
@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake")
def test_cmake(model: Path, tmp_path: Path):
    out = tmp_path / "c"
    assert export(model, "--out", out) == 0
    for command in (["cmake", "-B", "b"], ["cmake", "--build", "b"], ["ctest", "--test-dir", "b"]):
        done = subprocess.run(command, cwd=out, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_no_libc_but_memory(model: Path):
    """The network's own code calls memcpy and memset at most, and allocates nothing."""
    for target in TARGETS.values():
        for name in kernel_sources(build_program(model, target).program):
            text = (Path(build_program.__code__.co_filename).parent / "c" / name).read_text()
            headers = set(re.findall(r"#include <(\w+\.h)>", text))
            assert headers <= {"stdint.h", "string.h", "stdbool.h", "stddef.h", "arm_mve.h", "arm_acle.h"}, (
                name,
                headers,
            )
            assert not re.search(r"\b(malloc|free|printf|expf?|sqrtf?|roundf?)\s*\(", text), name


def test_an_export_takes_the_place_of_an_earlier_one_only(model: Path, tmp_path: Path):
    out = tmp_path / "c"
    assert export(model, "--out", out) == 0
    (out / "network" / "stale.c").write_text("")
    assert export(model, "--out", out) == 0
    assert not (out / "network" / "stale.c").exists()
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("")
    with pytest.raises(UserError, match="mine holds something else than an earlier export"):
        write_folder({"network.h": ""}, other)
    assert (other / "thesis.txt").exists()


def test_nothing_beside_an_export_is_lost(tmp_path: Path, monkeypatch):
    """A project that has an export somewhere below, or beside other files, is no export; hidden neighbours stay."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".code").mkdir()
    (tmp_path / "thesis.txt").write_text("")
    write_folder({"network/network.h": ""}, Path("code"))
    for folder in (".", "code/.."):
        with pytest.raises(UserError, match="holds something else"):
            write_folder({"network/network.h": ""}, Path(folder))
    (tmp_path / "code" / "mine.c").write_text("")
    with pytest.raises(UserError, match=r"earlier export \(mine.c\); give a new folder"):
        write_folder({"network/network.h": ""}, Path("code"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".code", "code", "thesis.txt"]


def test_nothing_half_written(model: Path, tmp_path: Path):
    out = tmp_path / "below" / "c"
    assert export(model, "--out", out, "--ram-limit", "1K") == 1
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ram-limit", "1K"], "RAM: ram_limit is 1.0 KiB, the arena takes"),
        (["--ram-limit", "lots"], "--ram-limit: got 'lots'; allowed: bytes, as 262144, 256K or 1.5M"),
        (["--target", "cortex-m77"], "--target: got 'cortex-m77'; known: generic"),
        (["--board", "STM32H747-DISCO"], "did you mean"),
        (["--model-type", "simcc_spe"], "simcc_spe"),
        (["--skeleton", "nobody"], "no skeleton named 'nobody'"),
    ],
)
def test_wrong_options_are_one_line(model, tmp_path, capsys, arguments, said):
    assert export(model, "--out", tmp_path / "c", *arguments) in (1, 2)
    printed = capsys.readouterr().err
    assert said in printed
    assert len(printed.strip().splitlines()) == 1


def test_a_missing_operator_is_named(tmp_path: Path):
    tensors = [T((1, 4), scale=0.1), T((1, 4), scale=0.1, name="model/strange/Erf;x")]
    path = tmp_path / "x.tflite"
    path.write_bytes(build(Model(tensors, [Op("CUMSUM", [0, 0], [1])], [0], [1])))
    with pytest.raises(NotExportable, match=r"CUMSUM that makes tensor 'model/strange/Erf'.*no C kernel"):
        build_program(path, target_of("host"))


def test_float_and_other_files_are_refused(tmp_path: Path):
    path = tmp_path / "x.tflite"
    path.write_bytes(build(Model([T((1, 4), "float32"), T((1, 4), "float32")], [Op("ABS", [0], [1])], [0], [1])))
    with pytest.raises(NotExportable, match="not an int8 network"):
        build_program(path, target_of("host"))
    keras = tmp_path / "x.keras"
    keras.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"C code is made of int8 files: \.tflite, \.onnx"):
        build_program(keras, target_of("host"))


def test_names_cannot_break_out_of_comments(tmp_path: Path):
    name = b'a*/ int x;\n/*"\\??/%s'
    before = b"first/Relu;first/Conv2D"
    content = heatmap_network().replace(before, name.ljust(len(before)))
    assert len(content) == len(heatmap_network())
    path = tmp_path / "x.tflite"
    path.write_bytes(content)
    from stm32pose.codegen.export import network_files

    text = network_files(build_program(path, target_of("generic")))["network.c"]
    assert "int x;" not in text
    assert "??/" not in text


def test_a_board_gives_processor_memories_and_a_template(model: Path, tmp_path: Path):
    out = tmp_path / "c"
    assert export(model, "--out", out, "--board", "STM32H747I-DISCO") == 0
    readme = (out / "cube" / "README.md").read_text()
    assert "STM32H747I-DISCO" in readme
    assert "-mcpu=cortex-m7" in readme
    assert not re.search(r"@[A-Z]+@", readme)


@needs_make
def test_helium_is_not_to_be_tested_on_a_computer(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "c"
    assert export(model, "--out", out, "--target", "cortex-m55") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"next: make -C {out}"
    assert "make test" not in (out / "README.md").read_text()
    done = subprocess.run(["make", "-C", str(out), "test"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Helium instructions, which no computer has: export --target host" in done.stderr


@pytest.mark.parametrize(
    "name",
    ["kws_ref_model.tflite", "cifar10__resnet_v1_8_32_int8__b94035e5.tflite", "WISDM__gmp_wl_24_int8__ebfdb76c.tflite"],
)
@needs_cc
def test_real_files(shared: Path, tmp_path: Path, name: str):
    path = shared / "models" / "calibration" / name
    network = read_network(path)
    batches = [random_inputs(network, seed) for seed in range(2)]
    for target in ("host", "cortex-m4"):
        found = run_on_host(path, batches, tmp_path / target, target)
        for inputs, outputs in zip(batches, found, strict=True):
            for got, wanted in zip(outputs, run_reference(path, inputs), strict=True):
                np.testing.assert_array_equal(got, wanted)


def test_constants_go_over_internal_and_external_flash(model: Path, tmp_path: Path):
    """What the internal flash does not hold beside the code goes outside; what fits nowhere is refused."""
    text = (
        "name: MINE\ndevice: X\nseries: STM32F7\ncore: Cortex-M7\nmhz: 100\nsource: made up\n"
        "ram:\n  - {name: SRAM, kib: 64}\nflash:\n  - {name: internal, kib: 32.2}\n"
    )
    board = tmp_path / "board.yaml"
    board.write_text(text)
    assert export(model, "--out", tmp_path / "c", "--board", board) == 1
    assert not (tmp_path / "c").exists()
    board.write_text(text + "  - {name: QSPI, kib: 1024, external: true}\n")
    assert export(model, "--out", tmp_path / "c", "--board", board) == 0
    source = (tmp_path / "c" / "network" / "network.c").read_text()
    assert "NETWORK_TABLE_1 const" in source
    assert "#define NETWORK_TABLE_1\n" in (tmp_path / "c" / "network" / "network_config.h").read_text()
    assert "`NETWORK_TABLE_1`" in (tmp_path / "c" / "cube" / "README.md").read_text()

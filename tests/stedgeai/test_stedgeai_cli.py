"""ST Edge AI Core's program: found, asked, run, its reports of several versions read, its failures told."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
from fake_stedgeai import ACTIVATIONS, MACS, VERSIONS, calls, make_installation, make_stedgeai, option

from stm32pose.benchmark.stedgeai import (
    StEdgeAI,
    analyze,
    check_route,
    find_stedgeai,
    generate,
    open_stedgeai,
    target_of,
    validate,
)
from stm32pose.boards.board import load_board
from stm32pose.config.load import load_config
from stm32pose.config.target_sections import Tool
from stm32pose.errors import ConfigError, UserError
from stm32pose.operations.artifacts import Artifacts
from stm32pose.operations.benchmark import by_stedgeai
from stm32pose.reporting.run import Run

H7, N6 = load_board("STM32H747I-DISCO"), load_board("STM32N6570-DK")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "my model.tflite"
    path.write_bytes(b"x" * 1234)
    return path


def opened(tmp_path: Path, version: str, fault: str = "") -> StEdgeAI:
    name = "stm32ai" if version in ("7.3", "8.1") else "stedgeai"
    return open_stedgeai(str(make_stedgeai(tmp_path / "bin", version, name=name, fault=fault)))


@pytest.mark.parametrize(
    ("version", "told", "old"),
    [
        ("7.3", "STM32Cube.AI 7.3.0", True),
        ("8.1", "STM32Cube.AI 8.1.0", True),
        ("2.0", "ST Edge AI Core 2.0.0", False),
        ("4.0", "ST Edge AI Core 4.0.1", False),
        ("nameless", "ST Edge AI Core development build", False),
        ("", "ST Edge AI Core of unknown version", False),
    ],
)
def test_versions_with_and_without_numbers(tmp_path, version, told, old):
    cli = opened(tmp_path, version)
    assert (cli.label, cli.old) == (told, old)


@pytest.mark.parametrize(
    ("wanted", "warned"), [("2.0.0", False), ("2.0", False), ("10.0.0", False), ("10.2.0", True), ("4", True)]
)
def test_another_version_than_wanted_is_a_warning(tmp_path, caplog, wanted, warned):
    path = make_stedgeai(tmp_path, "2.0")
    with caplog.at_level(logging.WARNING):
        cli = open_stedgeai(str(path), wanted_version=wanted)
    assert cli.components["STM32CubeAI"] == "10.0.0"
    assert bool(caplog.records) == warned
    assert not warned or f"got '{wanted}', {path} is ST Edge AI Core 2.0.0" in caplog.text


def test_finding_it(tmp_path, monkeypatch):
    for name in ("STEDGEAI_CORE_DIR", "STEDGEAI", "STM32_AI_EXE", "STM32AI", "X_CUBE_AI_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path))
    found, tried = find_stedgeai(None)
    assert found is None
    assert {"PATH", "$STEDGEAI_CORE_DIR (not set)", "$STM32AI (not set)"} <= set(tried)
    with pytest.raises(ConfigError, match=r"path_to_stedgeai: stedgeai is not found .*; looked at PATH, \$STEDGEAI_C"):
        open_stedgeai(None)
    old = make_stedgeai(tmp_path / "bin", "8.1", name="stm32ai")
    assert find_stedgeai(None)[0] == old
    new = make_installation(tmp_path / "core")
    monkeypatch.setenv("STEDGEAI_CORE_DIR", str(tmp_path / "core"))
    assert find_stedgeai(None)[0] == new
    assert find_stedgeai("C:/Users/<XXXXX>/STM32Cube/Repository/stedgeai.exe")[0] == new
    assert find_stedgeai(str(tmp_path / "core"))[0] == new
    assert find_stedgeai(str(tmp_path / "bin"))[0] == old
    assert find_stedgeai(str(tmp_path / "gone" / "stedgeai.exe")) == (
        None,
        [f"{tmp_path / 'gone' / 'stedgeai.exe'} (does not exist)"],
    )
    assert StEdgeAI(new, "4.0.1", "ST Edge AI Core").root == tmp_path / "core"


@pytest.mark.parametrize("name", ["cleanup.sh", "stedgeai_anything.sh", "stm32ai.py", "stm32ai_x"])
def test_a_configuration_cannot_name_another_program(tmp_path, name):
    script = make_stedgeai(tmp_path, name=name)
    with pytest.raises(ConfigError, match=rf"{name}; the file must be called stedgeai"):
        open_stedgeai(str(script))
    assert not calls(script)


def test_targets_follow_board_and_version(tmp_path):
    new, old = opened(tmp_path / "new", "4.0"), opened(tmp_path / "old", "8.1")
    assert target_of(H7, new) == ["--target", "stm32h7"]
    assert target_of(H7, old) == []
    assert target_of(N6, new) == ["--target", "stm32n6", "--st-neural-art"]
    assert target_of(N6, new, neural_art="profile_O3@x.json")[-1] == "profile_O3@x.json"
    assert target_of(load_board("NUCLEO-U385RG-Q"), new) == ["--target", "stm32u3"]
    with pytest.raises(ConfigError, match=r"STM32Cube.AI 8.1.0; STM32N6570-DK needs ST Edge AI Core 2.0"):
        target_of(N6, old)
    with pytest.raises(ConfigError, match="nothing of Linux boards; use cloud or estimate"):
        target_of(load_board("STM32MP257F-EV1"), new)


def test_the_hsp_of_a_u3c5(tmp_path):
    file = tmp_path / "u3c5.yaml"
    file.write_text(
        "name: NUCLEO-U3C5ZI-Q\ndevice: STM32U3C5ZIT6Q\nseries: STM32U3\ncore: Cortex-M33\nmhz: 96\nsource: here\n"
        "ram: [{name: SRAM, kib: 640}]\nflash: [{name: flash, kib: 2048}]\n"
    )
    cli = opened(tmp_path, "4.0")
    assert target_of(load_board(str(file)), cli, hsp=2048) == ["--target", "stm32u3", "--hsp", "2048"]


@pytest.mark.parametrize("version", ["7.3", "8.1", "2.0", "2.2", "4.0"])
def test_analyze(tmp_path, model, version):
    cli = opened(tmp_path, version)
    figures = analyze(cli, model, H7, folder=tmp_path / "out", optimization="ram", timeout_s=60)
    assert (figures.activations_bytes, figures.weights_bytes, figures.macs) == (ACTIVATIONS, 1234, sum(MACS))
    assert (figures.route, figures.board, figures.latency_ms) == ("stedgeai", "STM32H747I-DISCO", None)
    assert figures.how == f"analyzed by {cli.label}, no board"
    made = calls(cli.path)
    names = {"7.3": ["generate"], "8.1": ["generate"], "2.0": ["analyze", "generate"]}.get(version, ["analyze"])
    assert [call[0] for call in made] == names
    assert option(made[-1], "--optimization") == "ram"
    assert option(made[-1], "--target") == (None if cli.old else "stm32h7")
    log = (tmp_path / "out" / f"stedgeai_{names[-1]}.log").read_text()
    assert log.startswith(f"$ {cli.path}")
    assert VERSIONS[version].splitlines()[0] in log
    if version in ("2.2", "4.0"):
        assert (figures.runtime_ram_bytes, figures.code_bytes) == (288, 5746 + 732)
        assert figures.total_ram_bytes == ACTIVATIONS + 288
        assert figures.total_flash_bytes == 1234 + 5746 + 732
        assert figures.internal_ram_bytes is None  # no addresses where nothing is placed
    else:
        assert figures.total_ram_bytes is None


def test_analyze_for_the_n6_tells_where_things_lie(tmp_path, model):
    cli = opened(tmp_path, "4.0")
    figures = analyze(cli, model, N6, folder=tmp_path / "out", timeout_s=60)
    assert (figures.internal_ram_bytes, figures.external_ram_bytes) == (442368, 0)
    assert (figures.internal_flash_bytes, figures.external_flash_bytes) == (0, 1234)
    assert figures.code_bytes is None
    assert figures.total_flash_bytes is None
    (call,) = calls(cli.path)
    assert "--optimization" not in call
    assert "--st-neural-art" in call


def test_lines_are_handed_on_and_an_earlier_report_is_not_taken_for_this_one(tmp_path, model):
    out, lines = tmp_path / "out", []
    analyze(opened(tmp_path, "4.0"), model, H7, folder=out, timeout_s=60, on_line=lines.append)
    assert lines[-1].startswith("elapsed time")
    silent = opened(tmp_path, "4.0", "no_report")
    with pytest.raises(UserError, match=r"stedgeai generate: no report .* in .*out; log: .*stedgeai_generate\.log"):
        analyze(silent, model, H7, folder=out, timeout_s=60)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("error", r"^stedgeai analyze: failed with status 1: E010\(InvalidModelError\): Unsupported layer types: Flex"),
        ("crash", r"^stedgeai analyze: crashed \(SIGABRT\); log: .*stedgeai_analyze\.log$"),
        ("prompt", r"^stedgeai analyze: failed with status 1: EOFError"),
        ("garbage", r"^stedgeai generate: .*network_report\.json: not JSON \(JSONDecodeError: "),
        (
            "other_keys",
            r"^stedgeai generate: .*network_report\.json: no memory_footprint, .* it holds model, layers, no",
        ),
    ],
)
def test_failures_of_the_program(tmp_path, model, fault, message):
    with pytest.raises(UserError, match=message) as found:
        analyze(opened(tmp_path, "4.0", fault), model, H7, folder=tmp_path / "out", timeout_s=60)
    assert "\n" not in str(found.value)


def test_a_program_that_hangs_is_stopped(tmp_path, model):
    cli = opened(tmp_path, "4.0", "hang")
    started = time.monotonic()
    with pytest.raises(UserError, match=r"stedgeai: did not end within 1 s and was stopped; log: .*analyze\.log"):
        analyze(cli, model, H7, folder=tmp_path / "out", timeout_s=1)
    assert time.monotonic() - started < 8
    assert "waiting" in (tmp_path / "out" / "stedgeai_analyze.log").read_text()


def test_a_huge_log_is_kept_whole(tmp_path, model):
    figures = analyze(opened(tmp_path, "4.0", "huge_log"), model, H7, folder=tmp_path / "out", timeout_s=60)
    assert figures.macs
    assert (tmp_path / "out" / "stedgeai_analyze.log").stat().st_size > 6_000_000


def test_an_option_that_the_version_does_not_know(tmp_path, model):
    cli = opened(tmp_path, "2.2")
    with pytest.raises(UserError, match=r"status 2: stedgeai: error: unrecognized arguments: --hsp 8"):
        generate(cli, model, ["--target", "stm32u3", "--hsp", "8"], folder=tmp_path / "out", timeout_s=60)
    with pytest.raises(UserError, match="no such file"):
        generate(cli, tmp_path / "gone.tflite", ["--target", "stm32h7"], folder=tmp_path / "out")


def test_a_program_that_refuses_to_tell_its_version(tmp_path):
    path = make_stedgeai(tmp_path)
    path.write_text("#!/bin/sh\necho 'error while loading shared libraries: libz.so' >&2\nexit 127\n")
    with pytest.raises(UserError, match=r"stedgeai --version: failed with status 127: error while loading shared"):
        open_stedgeai(str(path))


def test_generate(tmp_path, model):
    cli = opened(tmp_path, "4.0")
    extra = ["--input-data-type", "uint8", "--inputs-ch-position", "chlast"]
    made = generate(cli, model, target_of(N6, cli), folder=tmp_path / "n6", extra=extra, timeout_s=60)
    assert [path.name for path in made.c_files] == ["network.c", "stai_network.c"]
    assert "network.h" in [path.name for path in made.headers]
    assert [path.name for path in made.raw] == ["network_atonbuf.xSPI2.raw"]
    assert made.report is not None
    assert made.report.name == "network_c_info.json"
    assert made.library is None
    assert made.log.is_file()
    assert option(calls(cli.path)[-1], "--input-data-type") == "uint8"
    host = generate(cli, model, ["--target", "stm32"], folder=tmp_path / "host", dll=True, timeout_s=60)
    assert host.library is not None
    assert host.library.name == "libai_network.so"
    with pytest.raises(UserError, match="E010"):
        generate(opened(tmp_path / "bad", "4.0", "error"), model, ["--target", "stm32"], folder=tmp_path / "bad")


def test_what_another_run_left_does_not_pass_for_this_ones(tmp_path, model):
    """A program that writes nothing, in a folder where another model's code and library lie."""
    cli, out = opened(tmp_path, "4.0"), tmp_path / "out"
    generate(cli, model, ["--target", "stm32h7"], folder=out, timeout_s=60)
    generate(cli, model, ["--target", "stm32"], folder=out, dll=True, timeout_s=60)
    assert not (out / "network.c").exists()
    (out / "mine.txt").write_text("not the program's")
    generate(cli, model, ["--target", "stm32h7"], folder=out, timeout_s=60)
    assert not list(out.rglob("lib*.so"))
    generate(cli, model, ["--target", "stm32"], folder=out, dll=True, timeout_s=60)
    idle = tmp_path / "idle" / "stedgeai"
    idle.parent.mkdir()
    idle.write_text("#!/bin/sh\necho done\n")
    idle.chmod(0o755)
    lazy = StEdgeAI(idle, "4.0.1", "ST Edge AI Core")
    with pytest.raises(UserError, match="ended well but wrote no host library"):
        generate(lazy, model, ["--target", "stm32"], folder=out, dll=True, timeout_s=60)
    generate(cli, model, ["--target", "stm32h7"], folder=out, timeout_s=60)
    with pytest.raises(UserError, match="ended well but wrote no C code"):
        generate(lazy, model, ["--target", "stm32h7"], folder=out, timeout_s=60)
    assert not list(out.rglob("network_c_info.json"))
    assert (out / "mine.txt").is_file()


def test_the_route_is_checked_without_a_start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = make_stedgeai(tmp_path / "bin")
    tool = Tool(path_to_stedgeai=str(program))
    check_route(tool, H7)
    with pytest.raises(ConfigError, match=r"path_to_stedgeai: stedgeai is not found .*gone/stedgeai \(does not exist"):
        check_route(Tool(path_to_stedgeai=str(tmp_path / "gone/stedgeai")), H7)
    with pytest.raises(ConfigError, match="got 'stedgeai' for STM32MP257F-EV1; ST's program tells nothing"):
        check_route(tool, load_board("STM32MP257F-EV1"))
    profiled = tool.model_copy(update={"neural_art": "fast@mine.json"})
    check_route(profiled, H7)
    with pytest.raises(ConfigError, match=r"^tools.stedgeai.neural_art: mine.json does not exist"):
        check_route(profiled, N6)
    (tmp_path / "mine.json").write_text("{}")
    check_route(profiled, N6)
    assert not calls(program)
    cli = StEdgeAI(program, "4.0.1", "ST Edge AI Core")
    assert target_of(N6, cli, neural_art="fast@mine.json")[-1] == f"fast@{tmp_path / 'mine.json'}"


@pytest.mark.parametrize("version", ["2.0", "4.0"])
@pytest.mark.parametrize("asked", [False, True])
def test_the_route_validates_where_that_is_asked(tmp_path, model, version, asked):
    program = make_stedgeai(tmp_path / "bin", version)
    config = load_config(
        {
            "operation_mode": "benchmarking",
            "model": {"model_path": str(model)},
            "tools": {"stedgeai": {"path_to_stedgeai": str(program)}},
            "benchmarking": {"board": H7.name, "backend": "stedgeai", "validate_code": asked},
        }
    )
    figures = by_stedgeai(config, Run(config, tmp_path / "run"), Artifacts(), model, H7)
    assert figures.weights_bytes == 1234
    assert [metrics["rmse"] for metrics in figures.validation] == ([0.0021] if asked else [])
    validations = [call for call in calls(program) if call[0] == "validate"]
    assert [option(call, "--mode") for call in validations] == (["host"] if asked else [])


@pytest.mark.parametrize("version", ["8.1", "2.2", "4.0"])
def test_validate_reads_json_or_the_table(tmp_path, model, version):
    cli = opened(tmp_path, version)
    (metrics,) = validate(cli, model, folder=tmp_path / "out", timeout_s=60)
    assert metrics["desc"] == "X-cross #1"
    assert (metrics["rmse"], metrics["mae"]) == (0.0021, 0.0012)
    if version == "2.2":  # tells them in the table alone
        assert metrics["acc"] is None
        assert metrics["mean"] == pytest.approx(-0.00001)
    validate(cli, model, folder=tmp_path / "out", mode="target", descriptor="serial:921600", timeout_s=60)
    assert option(calls(cli.path)[-1], "--desc") == "serial:921600"

"""`--json`: a script reads one line and an exit code, however the run ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stm32pose.commands.last_line import results_last, take_flag

ROOT = Path(__file__).parent.parent
MAIN = [sys.executable, str(ROOT / "stm32ai_main.py")]
CLI = [sys.executable, "-m", "stm32pose.cli", "run"]
BENCHMARK = "operation_mode: benchmarking\nmodel: {{model_path: {model}}}\nbenchmarking: {{board: STM32N6570-DK}}\n"

# The command with a step that does what the test wants, and noise on stdout past Python.
PROGRAM = """
import os, runpy, sys
import stm32pose.operations.chain as chain
before = chain.STEPS["benchmark"]
def step(*arguments):
    os.write(1, b"noise of a native library\\n")
    print("noise of Python")
    {what}
    return before(*arguments)
chain.STEPS["benchmark"] = step
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def model(shared: Path) -> Path:
    return shared / "models" / "pose" / "st_movenet_lightning_heatmaps_192_int8_pc.tflite"


def call(folder: Path, model: Path, command: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "c.yaml").write_text(BENCHMARK.format(model=model))
    given = ["c.yaml"] if command == CLI else ["-cp", str(folder), "-cn", "c"]
    return subprocess.run(
        [*command, *given, *arguments],
        cwd=folder,
        env={**os.environ, "CI": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def status(done: subprocess.CompletedProcess[str]) -> str:
    """The status in the file that stdout, one line, names."""
    (line,) = done.stdout.splitlines()
    assert Path(line).is_absolute()
    assert Path(line).name == "results.json"
    return json.loads(Path(line).read_text())["run"]["status"]


@pytest.mark.parametrize("command", [MAIN, CLI])
def test_a_run_that_finished(tmp_path: Path, model: Path, command: list[str]):
    done = call(tmp_path, model, command, "--json", "hydra.run.dir=out")
    assert done.returncode == 0, done.stderr
    assert status(done) == "finished"
    assert done.stdout == f"{tmp_path / 'out' / 'results.json'}\n"
    assert "Which boards run it" in done.stderr
    assert "report: " in done.stderr


@pytest.mark.parametrize("command", [MAIN, CLI])
def test_a_run_that_failed(tmp_path: Path, command: list[str]):
    (tmp_path / "broken.tflite").write_bytes(b"no model")
    done = call(tmp_path, tmp_path / "broken.tflite", command, "--json")
    assert done.returncode == 1
    assert status(done) == "failed"
    assert "broken.tflite" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", [MAIN, CLI])
def test_a_configuration_that_cannot_be_run(tmp_path: Path, model: Path, command: list[str]):
    done = call(tmp_path, model, command, "benchmarking.board=x", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "benchmarking.board: got 'x'" in done.stderr


@pytest.mark.parametrize(
    ("what", "code", "told"),
    [
        ("raise KeyboardInterrupt", 130, "interrupted"),
        ("raise ZeroDivisionError('a fault of ours')", 1, "failed"),
        ("pass", 0, "finished"),
    ],
)
def test_noise_and_every_ending(tmp_path: Path, model: Path, what: str, code: int, told: str):
    program = [sys.executable, "-c", PROGRAM.format(what=what), MAIN[1]]
    done = call(tmp_path, model, program, "--json")
    assert done.returncode == code, done.stderr
    assert status(done) == told
    assert "noise of a native library" in done.stderr
    assert "noise of Python" in done.stderr


def test_one_line_a_job_of_a_multirun(tmp_path: Path, model: Path):
    boards = "benchmarking.board=STM32H747I-DISCO,NO_SUCH_BOARD,STM32N6570-DK"
    done = call(tmp_path, model, MAIN, "--multirun", "--json", boards)
    assert done.returncode == 2
    files = [Path(line) for line in done.stdout.splitlines()]
    assert [file.parent.name for file in files] == ["0", "2"]
    found = [json.loads(file.read_text())["benchmark"][0]["board"] for file in files]
    assert found == ["STM32H747I-DISCO", "STM32N6570-DK"]


def test_the_example_of_the_page(tmp_path: Path, model: Path):
    """docs/tracking.md: the script there, word by word."""
    page = (ROOT / "docs" / "tracking.md").read_text()
    script = page.split("```python\n", 1)[1].split("```", 1)[0]
    (tmp_path / "c.yaml").write_text(BENCHMARK.format(model=model))
    (tmp_path / "stm32ai_main.py").write_text((ROOT / "stm32ai_main.py").read_text())
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "finished: " in done.stdout
    assert "STM32N6570-DK, estimate: " in done.stdout


@pytest.mark.parametrize("arguments", [["stm32ai_main.py", "--help"], ["-m", "stm32pose.cli", "run", "--help"]])
def test_the_help_tells_of_it(arguments: list[str]):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert "--json" in done.stdout


def test_the_flag_is_ours_not_hydras():
    assert take_flag(["a=1", "--json", "-m"]) == (["a=1", "-m"], True)
    assert take_flag(["a=--json"]) == (["a=--json"], False)


def test_without_the_flag_nothing_changes(capsys: pytest.CaptureFixture, tmp_path: Path):
    (tmp_path / "results.json").write_text("{}")
    with results_last(False, [tmp_path]):
        sys.stdout.write("as ever\n")
    assert capsys.readouterr().out == "as ever\n"
    with results_last(True, [tmp_path, tmp_path / "never made"]):
        sys.stdout.write("for people\n")
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'results.json'}\n"
    assert said.err == "for people\n"

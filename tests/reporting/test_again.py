"""The line that runs the same again: what the user typed, without what the commands put in for Hydra."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from stm32pose.reporting.again import run_again


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_file_of_stm32pose_run(tmp_path: Path):
    typed = ["hydra.job.name=stm32ai_main", "hydra.run.dir='/tmp/out'"]
    arguments = ["/bin/stm32pose", "--config-path", str(tmp_path), "--config-name", "my file.yaml", "++a.b=x y", *typed]
    line = run_again(["++a.b=x y"], arguments)
    assert shlex.split(line) == ["stm32pose", "run", "my file.yaml", "a.b=x y"]


def test_the_run_folder_that_was_typed_stays_once():
    arguments = [
        *("python -m", "--config-path", "/x", "--config-name", "c.yaml", "hydra.run.dir=out"),
        *("++a=1", "hydra.job.name=stm32ai_main", "hydra.run.dir='out_2'"),
    ]
    assert run_again(["++a=1"], arguments) == "stm32pose run /x/c.yaml a=1 hydra.run.dir=out"


def test_the_script():
    added = "hydra.run.dir=./experiments_outputs/${now:%Y_%m_%d_%H_%M_%S}"
    arguments = ["sub/stm32ai_main.py", "--config-path", "conf", "--config-name=c", "++training.epochs=5", added]
    line = run_again(["++training.epochs=5"], arguments)
    assert line == "python sub/stm32ai_main.py --config-path conf --config-name c training.epochs=5"
    assert run_again([], ["stm32ai_main.py"]) == "python stm32ai_main.py"


def test_one_job_of_a_sweep_and_a_quoted_value():
    arguments = ["stm32ai_main.py", "-m", "++a=1,2", "++b=[1, 2]", "hydra.sweep.dir=./experiments_outputs/multirun/x"]
    line = run_again(["++a=2", "++b=[1, 2]"], arguments)
    assert line == "python stm32ai_main.py a=2 'b=[1, 2]'"


def test_a_program_of_somebody_else():
    assert run_again([], ["mine.py", "a b"]) == "mine.py 'a b'"

"""stm32ai_main.py: Hydra's flags, exit codes, nothing heavy before the configuration is known to be valid."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stm32pose.commands.run import CLAIM, INTERRUPTED, claim_folder, prepare_arguments, run_hydra, take_folder
from stm32pose.errors import ConfigError, UserError

ROOT = Path(__file__).parent.parent
MAIN = ROOT / "stm32ai_main.py"
HEAVY = (
    *("tensorflow", "keras", "mlflow", "clearml", "onnx", "onnxruntime", "matplotlib", "ai_edge_litert"),
    *("faster_coco_eval", "requests", "keyring", "tenacity"),
)

BENCHMARK = """\
operation_mode: benchmarking
model:
  model_path: {model}
benchmarking:
  board: STM32N6570-DK
"""


def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(MAIN), *arguments],
        cwd=cwd,
        env={**os.environ, "CI": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write(folder: Path, text: str, name: str = "c.yaml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_help():
    done = run("--help")
    assert done.returncode == 0
    assert "--config-path FOLDER" in done.stdout
    assert done.stderr == ""


def test_show_the_configuration_as_st_calls_it():
    done = run("--config-path", "./config_file_examples/", "--config-name", "demo.yaml", "--cfg", "job")
    assert done.returncode == 0, done.stderr
    assert "operation_mode: chain_tqeb" in done.stdout


def test_relative_paths_start_at_the_script_as_hydra_has_it(tmp_path):
    done = run("--config-path", "config_file_examples", "--config-name", "demo", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    write(tmp_path, "operation_mode: training\n")
    done = run("--config-path", ".", "--config-name", "c", cwd=tmp_path)
    assert done.returncode == 2
    assert f"write --config-path {tmp_path}" in done.stderr


def test_overrides_show_in_the_configuration(tmp_path):
    write(tmp_path, "operation_mode: training\ntraining:\n  epochs: 3\n")
    done = run("-cp", str(tmp_path), "-cn", "c", "training.epochs=5", "+training.dryrun=2", "--cfg", "job")
    assert "epochs: 5" in done.stdout
    assert "dryrun: 2" in done.stdout


def test_a_bad_configuration_is_answered_and_leaves_nothing_behind(tmp_path):
    file = write(tmp_path, "operation_mode: training\ntraining:\n  epochs: none\n  btch_size: 3\n")
    done = run("--config-path", str(tmp_path), "--config-name", "c.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert "c.yaml:4: training.btch_size: unknown key; did you mean 'batch_size'?" in lines
    assert all(line.startswith("c.yaml:") for line in lines)
    assert list(tmp_path.iterdir()) == [file]


def test_a_key_that_the_file_lacks_needs_no_plus(tmp_path):
    write(tmp_path, "operation_mode: training\n")
    shown = run("--config-path", str(tmp_path), "--config-name", "c", "--cfg", "job", "training.epochs=5", cwd=tmp_path)
    assert "epochs: 5" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--config-name", "c", "training.epoch=5"],
            "command line: training.epoch: unknown key; did you mean 'epochs'?",
        ),
        (["--config-name", "c", "a==b"], "Error parsing override 'a==b'"),
        (["--config-name", "d"], "does not exist"),
        (["--config-name", "c", "operation_mode=bench"], "command line: operation_mode: got 'bench'"),
    ],
)
def test_a_bad_command_line(tmp_path, arguments, message):
    write(tmp_path, "operation_mode: training\n")
    done = run("--config-path", str(tmp_path), *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--config-path", "{folder}", "--config-name", "c"]])
def test_nothing_heavy_is_imported(tmp_path, arguments):
    write(tmp_path, "operation_mode: training\ndata_augmentation:\n  random_flip: {mode: sideways}\n")
    program = (
        "import runpy, sys\n"
        f"sys.argv = {[str(MAIN), *(part.format(folder=tmp_path) for part in arguments)]!r}\n"
        "try:\n"
        f"    runpy.run_path({str(MAIN)!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    code = end.code\n"
        f"print(code, [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )
    code = 0 if arguments == ["--help"] else 2
    assert done.stdout.splitlines()[-1] == f"{code} []", done.stderr


def test_a_run_from_the_command_line(tmp_path, shared):
    model = shared / "models" / "pose" / "st_movenet_lightning_heatmaps_192_int8_pc.tflite"
    write(tmp_path, BENCHMARK.format(model=model))
    done = run("--config-path", str(tmp_path), "--config-name", "c", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "experiments_outputs").iterdir()
    assert {".hydra", "config.yaml", "results.json", "report.html", "stm32ai_main.log"} <= {
        item.name for item in folder.iterdir()
    }


def test_hydras_run_folder_and_a_second_run_beside_it(tmp_path, shared):
    model = shared / "models" / "pose" / "st_movenet_lightning_heatmaps_192_int8_pc.tflite"
    write(tmp_path, BENCHMARK.format(model=model))
    arguments = ("-cp", str(tmp_path), "-cn", "c", "hydra.run.dir=out")
    assert run(*arguments, cwd=tmp_path).returncode == 0
    before = (tmp_path / "out" / "results.json").read_bytes()
    assert run(*arguments, cwd=tmp_path).returncode == 0
    assert (tmp_path / "out" / "results.json").read_bytes() == before
    assert (tmp_path / "out_2" / "report.html").is_file()
    assert (tmp_path / "out_2" / ".hydra" / "config.yaml").is_file()
    overrides = (tmp_path / "out" / ".hydra" / "hydra.yaml").read_text()
    assert "hydra.run.dir=out_2" not in overrides


def test_two_runs_at_once_with_one_run_folder(tmp_path, shared):
    model = shared / "models" / "pose" / "st_movenet_lightning_heatmaps_192_int8_pc.tflite"
    write(tmp_path, BENCHMARK.format(model=model) + "hydra:\n  run:\n    dir: it's ${now:%Y} x\n")
    command = [sys.executable, str(MAIN), "-cp", str(tmp_path), "-cn", "c"]
    both = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [one.wait(timeout=120) for one in both] == [0, 0]
    folders = sorted(tmp_path.glob("it's*"))
    assert [folder.name.replace(folders[0].name, "") for folder in folders] == ["", "_2"]
    for folder in folders:
        # Hydra's own files are in the folder of their run.
        settings = yaml.safe_load((folder / ".hydra" / "hydra.yaml").read_text())
        assert settings["hydra"]["runtime"]["output_dir"] == str(folder)
        assert (folder / "results.json").is_file()


@pytest.mark.parametrize(
    "arguments",
    [["hydra.run.dir={file}/run"], ["hydra.run.dir={file}/${{hydra.job.name}}"], ["-m", "hydra.sweep.dir={file}/all"]],
)
def test_a_run_folder_that_cannot_be_made(tmp_path, arguments, shared):
    model = shared / "models" / "pose" / "st_movenet_lightning_heatmaps_192_int8_pc.tflite"
    file = write(tmp_path, BENCHMARK.format(model=model))
    arguments = [part.format(file=file) for part in arguments]
    done = run("-cp", str(tmp_path), "-cn", "c", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(str(file))
    assert "Not a directory" in line or "a file has that name" in line
    assert list(tmp_path.iterdir()) == [file]
    assert "Traceback" in run("-cp", str(tmp_path), "-cn", "c", *arguments, cwd=tmp_path, HYDRA_FULL_ERROR="1").stderr


def test_a_claimed_folder_is_given_back_where_no_run_begins(tmp_path):
    file = write(tmp_path, "operation_mode: training\n")
    folder = take_folder(file, [f"hydra.run.dir={tmp_path / 'out'}"])
    assert folder == tmp_path / "out"
    assert run_hydra(lambda: None, [], []) == 0
    assert list(tmp_path.iterdir()) == [file]
    assert take_folder(file, ["hydra.run.dir=${hydra.job.name}"]) is None
    assert take_folder(file, ["hydra.mode=MULTIRUN", "hydra.run.dir=x"]) is None


def test_a_run_that_fails_has_no_stack_trace_unless_asked(tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    write(tmp_path, BENCHMARK.format(model=broken))
    arguments = ("-cp", str(tmp_path), "-cn", "c")
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert "broken.tflite" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert "Traceback" in run(*arguments, cwd=tmp_path, STM32POSE_TRACE="1").stderr


def test_multirun_runs_every_job_and_tells_of_the_worst(tmp_path, shared):
    model = shared / "models" / "pose" / "st_movenet_lightning_heatmaps_192_int8_pc.tflite"
    write(tmp_path, BENCHMARK.format(model=model))
    boards = "benchmarking.board=NO_SUCH_BOARD,STM32H747I-DISCO"
    done = run("-cp", str(tmp_path), "-cn", "c", "--multirun", boards, cwd=tmp_path)
    assert done.returncode == 2
    assert "benchmarking.board: got 'NO_SUCH_BOARD'" in done.stderr
    (sweep,) = (tmp_path / "experiments_outputs" / "multirun").iterdir()
    assert (sweep / "1" / "report.html").is_file()
    assert not (sweep / "0" / "results.json").exists()


def test_what_is_not_built_is_said_before_a_missing_file(tmp_path):
    write(
        tmp_path,
        "operation_mode: quantization\nmodel: {model_path: nowhere.keras}\nquantization: {quantization_type: QAT}\n",
    )
    done = run("-cp", str(tmp_path), "-cn", "c", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("quantization.quantization_type: QAT is not built yet")


def test_the_run_folder_is_named_where_the_file_names_none(tmp_path):
    # --cfg: only the file is looked at.
    looking = ["-cp", str(tmp_path), "-cn", "c", "--cfg", "job"]
    write(tmp_path, "operation_mode: training\n")
    added = prepare_arguments(looking, folder=tmp_path, name="x")[len(looking) :]
    assert [part.split("=")[0] for part in added] == ["hydra.run.dir"]
    several = ["-cp", str(tmp_path), "-cn", "c", "--multirun"]
    added = prepare_arguments(several, folder=tmp_path, name="x")[len(several) :]
    assert [part.split("=")[0] for part in added] == ["hydra.sweep.dir"]
    given = [*looking, "hydra.run.dir=here"]
    assert prepare_arguments(given, folder=tmp_path, name="x") == given
    write(tmp_path, "operation_mode: training\nhydra:\n  run:\n    dir: mine\n  sweep: {dir: mine_too}\n")
    assert prepare_arguments(looking, folder=tmp_path, name="x") == looking
    assert prepare_arguments(several, folder=tmp_path, name="x") == several


def test_claimed_folders(tmp_path):
    names = [claim_folder(tmp_path / "run").name for _ in range(3)]
    assert names == ["run", "run_2", "run_3"]
    assert (tmp_path / "run" / CLAIM).is_file()
    file = write(tmp_path, "")
    with pytest.raises(UserError, match="the run folder cannot be made"):
        claim_folder(file / "below")


def test_interruption_and_errors_become_exit_codes(capsys):
    def interrupted():
        raise KeyboardInterrupt

    def wrong():
        raise ConfigError("here: wrong")

    def failed():
        raise UserError("there: failed")

    assert run_hydra(interrupted, [], []) == INTERRUPTED == 130
    assert run_hydra(wrong, [], []) == 2
    assert run_hydra(failed, [], []) == 1
    assert run_hydra(lambda: None, [0, 2, 1], []) == 2
    assert capsys.readouterr().err.splitlines() == ["interrupted", "here: wrong", "there: failed"]


def test_without_the_package_the_message_says_what_to_do(tmp_path):
    done = subprocess.run(
        [sys.executable, "-S", "-E", str(MAIN)], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "python -m pip install -e ." in done.stderr
    assert "Traceback" not in done.stderr

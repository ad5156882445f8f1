"""ClearML: a task in a local archive or on a server, closed as what the run was, and never in the run's way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clearml_server import ClearmlServer

from stm32pose.errors import ConfigError
from stm32pose.reporting.tracking import track

pytest.importorskip("clearml")

# ClearML keeps one session a process, so each case has a process of its own.
PROGRAM = """
import json, signal, sys, threading
from stm32pose.config.load import load_config
from stm32pose.reporting import clearml
from stm32pose.reporting.console import setup_logging
from stm32pose.reporting.tracking import TrackedSet, track

setup_logging(None)
settings, ending = json.loads(sys.argv[1]), sys.argv[2]
for name, value in settings.pop("limits", {}).items():
    setattr(clearml, name, value)
config = load_config({"operation_mode": "evaluation", "general": {"project_name": "p"},
                      "model": {"model_path": "m.keras"}, "dataset": {"test_path": "x", "keypoints": 17},
                      **settings}, check_paths=False)
before = signal.getsignal(signal.SIGINT), sys.excepthook, sys.exit
from pathlib import Path
Path("run/figures").mkdir(parents=True, exist_ok=True)
Path("run/figures/a.txt").write_text("small")
with track(config, name="run_1") as tracker:
    assert (signal.getsignal(signal.SIGINT), sys.excepthook, sys.exit) == before
    with tracker.step("evaluate"):
        tracker.metrics({"float_OKS": 61.5, "none": None})
        tracker.metrics({"val_oks": 0.5}, step=3)
    tracker.dataset("coco", [TrackedSet("test", "ab12", "dataset.test_path: /d", 9)])
    tracker.params({"operation_mode": "another", "alpha": 0.35})
    tracker.tags({"status": "finished", "git": "c0ffee"})
    tracker.artifacts(Path("run"))
    print("ready", flush=True)
    if ending == "fail":
        raise RuntimeError("the real reason")
    if ending == "stop":
        raise KeyboardInterrupt
    if ending == "lose":
        sys.stdin.readline()
        tracker.metrics({"lost": 1.0})
        tracker.params({"lost": 1.0})
assert (signal.getsignal(signal.SIGINT), sys.excepthook, sys.exit) == before
print("patched", [name for name in ("matplotlib", "tensorflow", "torch") if name in sys.modules])
"""


def start(tmp_path: Path, section: dict, ending: str = "end", server: str | None = None, **settings):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CLEARML")}
    environment |= {"CLEARML_CACHE_DIR": str(tmp_path / "cache"), "CLEARML_CONFIG_FILE": str(tmp_path / "none.conf")}
    if server:
        environment |= {f"CLEARML_{name}_HOST": server for name in ("API", "WEB", "FILES")}
        environment |= {"CLEARML_API_ACCESS_KEY": "a", "CLEARML_API_SECRET_KEY": "b"}
    command = [sys.executable, "-c", PROGRAM, json.dumps({"clearml": section, **settings}), ending]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **pipes)


def finish(process: subprocess.Popen) -> subprocess.CompletedProcess:
    try:
        out, err = process.communicate(timeout=45)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def archived(tmp_path: Path) -> tuple[dict, list[dict]]:
    """task.json and the metrics of the only archive."""
    (file,) = tmp_path.glob("cache/offline/*/task.json")
    metrics = file.parent / "metrics.jsonl"
    lines = metrics.read_text().splitlines() if metrics.is_file() else []
    return json.loads(file.read_text()), [event for line in lines for event in json.loads(line)]


def test_offline_the_task_is_a_local_archive(tmp_path: Path):
    began = time.monotonic()
    done = finish(start(tmp_path, {"offline": True}))
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 30
    task, metrics = archived(tmp_path)
    assert (task["project_name"], task["name"]) == ("p", "pe_modelzoo_task")
    assert "operation_mode = " in task["configuration"]["evaluation"]["value"]
    settings = task["hyperparams"]["General"]
    assert settings["alpha"]["value"] == "0.35"
    assert settings["operation_mode"]["value"] == "evaluation"  # the first value stays
    assert task["hyperparams"]["dataset"]["test"]["value"] == "coco, 9 images of dataset.test_path: /d, ab12"
    assert task["hyperparams"]["properties"]["git"]["value"] == "c0ffee"
    figures = {event["variant"]: event for event in metrics}
    assert figures["float_OKS"]["value"] == 61.5
    assert (figures["val_oks"]["value"], figures["val_oks"]["iter"]) == (0.5, 3)
    assert "none" not in figures
    assert [item["key"] for item in task["execution"]["artifacts"]] == ["figures/a.txt"]
    assert list(tmp_path.glob("cache/offline/*.zip"))
    assert "clearml: the task is in " in done.stderr
    # Neither the checkout nor its changes are anybody's business.
    assert not task.get("script", {}).get("diff")
    assert "patched []" in done.stdout


def test_names_of_project_and_task(tmp_path: Path):
    section = {"offline": True, "project_name": "mine", "task_name": "t"}
    assert finish(start(tmp_path, section)).returncode == 0
    task, _ = archived(tmp_path)
    assert (task["project_name"], task["name"]) == ("mine", "t")


@pytest.mark.parametrize(("ending", "status"), [("end", "completed"), ("fail", "failed"), ("stop", "stopped")])
def test_the_server_learns_how_the_run_ended(tmp_path: Path, ending: str, status: str):
    server = ClearmlServer()
    done = finish(start(tmp_path, {}, ending, server.address))
    assert (done.returncode == 0) == (ending == "end"), done.stderr
    assert server.status == status
    if ending == "fail":
        assert done.stderr.splitlines()[-1] == "RuntimeError: the real reason"
        assert server.bodies("tasks.failed")[-1]["status_message"] == "the real reason"
    (created,) = server.bodies("tasks.create")
    assert created["name"] == "pe_modelzoo_task"
    sent = json.dumps(server.bodies("events.add_batch"))
    assert "float_OKS" in sent
    assert "step evaluate done" in sent


def test_both_trackers_at_once(tmp_path: Path):
    mlflow = pytest.importorskip("mlflow")
    done = finish(start(tmp_path, {"offline": True}, "fail", mlflow={"uri": str(tmp_path / "mlruns")}))
    assert "the real reason" in done.stderr
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("p").experiment_id])
    assert sorted((run.info.run_name, run.info.status) for run in runs) == [
        ("evaluate", "FINISHED"),
        ("run_1", "FAILED"),
    ]
    assert {event["variant"] for event in archived(tmp_path)[1]} >= {"float_OKS", "val_oks"}


def test_no_server_is_one_line(tmp_path: Path):
    done = finish(start(tmp_path, {}))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("stm32pose.errors.UserError: clearml: no task could be started (")
    assert "clearml.offline: True" in done.stderr


def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path):
    server = ClearmlServer()
    server.gone = True
    began = time.monotonic()
    done = finish(start(tmp_path, {}, server=server.address, limits={"START_S": 3.0}))
    assert done.returncode == 1
    assert "no answer within 3 s" in done.stderr
    assert time.monotonic() - began < 20


def test_a_server_that_is_lost_does_not_hold_the_run(tmp_path: Path):
    server = ClearmlServer()
    process = start(tmp_path, {}, "lose", server.address, limits={"CALL_S": 2.0, "CLOSE_S": 4.0})
    assert process.stdout is not None
    assert "ready" in (line.strip() for line in process.stdout)
    server.gone = True
    began = time.monotonic()
    done = finish(process)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 30
    warnings = [line for line in done.stderr.splitlines() if line.startswith("WARNING: clearml")]
    assert 1 <= len(warnings) <= 2
    assert "is lost" in warnings[0] or "could not be closed" in warnings[0]


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    from stm32pose.config.schema import Config
    from stm32pose.config.target_sections import ClearML

    monkeypatch.setitem(sys.modules, "clearml", None)
    config = Config(operation_mode="evaluation", clearml=ClearML())
    with pytest.raises(ConfigError, match=r"pip install 'stm32pose\[clearml\]'"), track(config, name="x"):
        pytest.fail("the run began")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

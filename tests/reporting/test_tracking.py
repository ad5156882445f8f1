"""MLflow: figures arrive where they belong, a failed run is closed as failed, a folder means the database in it."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stm32pose.config.load import load_config
from stm32pose.config.schema import Config
from stm32pose.errors import ConfigError, UserError
from stm32pose.reporting.mlflow import store_uri
from stm32pose.reporting.tracking import TrackedSet, Tracker, small_files, track

mlflow = pytest.importorskip("mlflow")


def settings(tmp_path: Path, **section) -> Config:
    return load_config(
        {
            "operation_mode": "evaluation",
            "general": {"project_name": "e"},
            "model": {"model_path": "m.keras"},
            "dataset": {"test_path": "x", "keypoints": 17},
            "mlflow": {"uri": str(tmp_path / "mlruns")} | section,
        },
        check_paths=False,
    )


def recorded(tmp_path: Path):
    """The client, the run of the chain and its steps in order."""
    client = mlflow.MlflowClient(store_uri(str(tmp_path / "mlruns")))
    runs = client.search_runs([client.get_experiment_by_name("e").experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    steps = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    return client, parent, sorted(steps, key=lambda run: int(run.data.tags["step"]))


def test_figures_and_small_files_arrive(tmp_path: Path):
    folder = tmp_path / "run"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "a.txt").write_text("x")
    (folder / "large.bin").write_bytes(bytes(3_000_000))
    with track(settings(tmp_path), name="first") as tracker:
        tracker.params({"alpha": 0.35, "nothing": None})
        tracker.params({"alpha": 1.0})
        tracker.metrics({"pck@0.2": 0.5, "AP": None, "bad": float("nan")}, step=1)
        tracker.artifacts(folder)
    client, run, steps = recorded(tmp_path)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "first"
    assert run.data.params == {"operation_mode": "evaluation", "model_path": "m.keras", "seed": "123", "alpha": "0.35"}
    assert run.data.metrics == {"pck_at_0.2": 0.5}
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["figures"]
    assert steps == []


def test_what_stays_in_the_run_folder(tmp_path: Path):
    folder = tmp_path / "resume" / "run"  # a name above the run folder changes nothing
    kept = [
        "results.json",
        "figures/a.png",
        "deployment/app_config.h",
        "predictions/predictions.json",
        "predictions_2/gallery.html",
        "predictions_2/predictions.csv",
    ]
    left = [
        "predictions/a.jpg",
        "predictions_2/b.png",
        "predictions/clip/000001.jpg",
        "arrays/x.npy",
        "deployment/replaced/app_config.h",
        "st_ai_ws/m/network.c",
        "saved_models/resume/state.json",
    ]
    for name in (*kept, *left):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    assert [name for _, name in small_files(folder)] == sorted(kept)


def test_a_step_is_a_nested_run_with_its_own_figures(tmp_path: Path):
    with track(settings(tmp_path), name="x") as tracker:
        with tracker.step("train"):
            tracker.metrics({"val_oks": 0.25}, step=1)
            tracker.metrics({"val_oks": 0.5}, step=2)
            tracker.metrics({"nb_params": 7})
        with tracker.step("evaluate"):
            tracker.metrics({"float_OKS": 60.0})
        tracker.metrics({"late": 1})
    client, run, steps = recorded(tmp_path)
    assert [step.info.run_name for step in steps] == ["train", "evaluate"]
    assert [step.info.status for step in steps] == ["FINISHED", "FINISHED"]
    assert run.data.metrics == {"val_oks": 0.5, "nb_params": 7, "float_OKS": 60, "late": 1}
    assert [step.data.metrics for step in steps] == [{"nb_params": 7}, {"float_OKS": 60}]
    curve = client.get_metric_history(run.info.run_id, "val_oks")
    assert [(point.step, point.value) for point in curve] == [(1, 0.25), (2, 0.5)]
    assert all("mlflow.user" in step.data.tags for step in steps)


@pytest.mark.parametrize(("error", "status"), [(UserError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_breaks_is_closed_with_its_step(tmp_path: Path, error: type[BaseException], status: str):
    def chain() -> None:
        with track(settings(tmp_path), name="x") as tracker:
            with tracker.step("train"):
                pass
            with tracker.step("quantize"):
                raise error("why")

    with pytest.raises(error):
        chain()
    _, run, steps = recorded(tmp_path)
    assert run.info.status == status
    assert [step.info.status for step in steps] == ["FINISHED", status]
    assert mlflow.active_run() is None


def test_the_images_of_a_run(tmp_path: Path):
    with track(settings(tmp_path), name="x") as tracker:
        tracker.dataset(
            "coco",
            [TrackedSet("training", "ab" * 32, "dataset.training_path: /d", 9), TrackedSet("test", "cd", "t", 2)],
        )
    _, run, _ = recorded(tmp_path)
    found = {one.tags[0].value: one.dataset for one in run.inputs.dataset_inputs}
    assert {name: data.digest for name, data in found.items()} == {"training": ("ab" * 32)[:36], "test": "cd"}
    assert found["training"].name == "coco"
    assert found["training"].source == "dataset.training_path: /d"


def test_the_last_model_is_registered(tmp_path: Path):
    path = tmp_path / "quantized_model.tflite"
    path.write_bytes(bytes(3_000_000))
    path.with_suffix(".json").write_text("{}")
    files, tags = [path, path.with_suffix(".json")], {"sha256": "abc"}
    with track(settings(tmp_path, register_model="pose"), name="first") as tracker:
        tracker.model(files, tags)
    client, run, _ = recorded(tmp_path)
    client.delete_run(run.info.run_id)
    with track(settings(tmp_path, register_model="pose"), name="second") as tracker:
        tracker.model(files, tags)
    client, run, _ = recorded(tmp_path)
    versions = {int(version.version): version for version in client.search_model_versions("name='pose'")}
    assert sorted(versions) == [1, 2]
    assert versions[2].run_id == run.info.run_id
    assert versions[2].tags == {"sha256": "abc"}
    assert versions[2].source.endswith("/artifacts/model/quantized_model.tflite")
    fetched = mlflow.artifacts.download_artifacts(versions[2].source, dst_path=str(tmp_path / "fetched"))
    assert Path(fetched).stat().st_size == 3_000_000
    names = [item.path for item in client.list_artifacts(run.info.run_id, "model")]
    assert names == ["model/quantized_model.json", "model/quantized_model.tflite"]


def test_no_model_is_registered_unless_asked_for(tmp_path: Path):
    with track(settings(tmp_path), name="x") as tracker:
        tracker.model([tmp_path / "nowhere"], {})
    client, run, _ = recorded(tmp_path)
    assert client.search_registered_models() == []
    assert run.info.status == "FINISHED"


def test_a_name_that_cannot_be_registered_is_said_before_the_run(tmp_path: Path):
    with (
        pytest.raises(ConfigError, match=r"mlflow\.register_model: got 'a/b'"),
        track(settings(tmp_path, register_model="a/b"), name="x"),
    ):
        pytest.fail("the run began")


def test_system_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("psutil")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    with track(settings(tmp_path, system_metrics=True), name="x") as tracker, tracker.step("train"):
        time.sleep(1.0)
    _, run, (step,) = recorded(tmp_path)
    assert "system/cpu_utilization_percentage" in run.data.metrics
    assert step.data.metrics == {}


def test_system_metrics_need_psutil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("stm32pose.reporting.mlflow.find_spec", lambda name: None)
    with (
        pytest.raises(ConfigError, match="pip install psutil"),
        track(settings(tmp_path, system_metrics=True), name="x"),
    ):
        pytest.fail("the run began")


@pytest.mark.parametrize("breaks", [False, True])
def test_a_store_that_is_lost_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, breaks: bool):
    def lose() -> None:
        with track(settings(tmp_path), name="x") as tracker:
            database = tmp_path / "mlruns" / "mlflow.db"
            database.unlink()
            database.mkdir()
            mlflow.tracking._tracking_service.utils._get_store().engine.dispose()
            with tracker.step("train"):
                tracker.metrics({"a": 1.0})
                tracker.tags({"b": "c"})
                if breaks:
                    raise UserError("the real reason")

    with caplog.at_level(logging.WARNING, logger="stm32pose"):
        if breaks:
            with pytest.raises(UserError, match="the real reason"):
                lose()
        else:
            lose()
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("stm32pose")]
    assert len([text for text in messages if "the store is lost" in text]) == 1
    assert len(messages) <= 2
    assert mlflow.active_run() is None


def test_a_store_that_cannot_be_used(tmp_path: Path):
    (tmp_path / "mlruns").write_text("a file")
    with pytest.raises(UserError, match=r"mlflow\.uri: .* cannot be used"), track(settings(tmp_path), name="x"):
        pytest.fail("the run began")


def test_a_server_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for section in ({}, {"register_model": "pose"}):
        config = settings(tmp_path, uri="http://127.0.0.1:9", **section)
        with (
            pytest.raises(UserError, match=r"mlflow\.uri: http://127\.0\.0\.1:9 cannot be used"),
            track(config, name="x"),
        ):
            pytest.fail("the run began")


def test_store_uri(tmp_path: Path):
    assert store_uri("http://host:5000") == "http://host:5000"
    assert store_uri("sqlite:///a.db") == "sqlite:///a.db"
    assert store_uri(str(tmp_path / "new")) == f"sqlite:///{(tmp_path / 'new' / 'mlflow.db').as_posix()}"


def test_without_section_nothing_is_tracked_and_nothing_imported(tmp_path: Path):
    with track(Config(operation_mode="evaluation"), name="x") as tracker, tracker.step("evaluate"):
        tracker.metrics({"a": 1.0})
        tracker.model([tmp_path], {})
    assert mlflow.active_run() is None
    program = (
        "import sys\n"
        "from stm32pose.config.schema import Config\n"
        "from stm32pose.reporting.tracking import track\n"
        "with track(Config(operation_mode='evaluation'), name='x') as tracker, tracker.step('evaluate'):\n"
        "    tracker.metrics({'a': 1.0})\n"
        "print([name for name in ('mlflow', 'clearml') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_every_call_of_a_tracker_has_its_place():
    """A method that the base class gains must be passed on by the others."""
    from stm32pose.reporting.clearml import ClearmlTracker
    from stm32pose.reporting.mlflow import MlflowTracker
    from stm32pose.reporting.tracking import Trackers

    names = {name for name in vars(Tracker) if not name.startswith("_")}
    assert names <= set(vars(Trackers))
    assert names <= set(vars(MlflowTracker))
    assert names - {"model"} <= set(vars(ClearmlTracker))

"""MLflow: figures arrive, a failed run is closed as failed, a folder means the database in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from stm32pose.config.target_sections import Mlflow
from stm32pose.reporting.tracking import store_uri, track

mlflow = pytest.importorskip("mlflow")


def runs(uri: str, experiment: str):
    client = mlflow.MlflowClient(store_uri(uri))
    found = client.get_experiment_by_name(experiment)
    return client, client.search_runs([found.experiment_id])


def test_figures_and_small_files_arrive(tmp_path: Path):
    uri = str(tmp_path / "mlruns")
    folder = tmp_path / "run"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "a.txt").write_text("x")
    (folder / "large.bin").write_bytes(bytes(3_000_000))
    with track(Mlflow(uri=uri), experiment="e", name="first") as tracker:
        tracker.params({"alpha": 0.35})
        tracker.metrics({"pck@0.2": 0.5, "AP": None, "bad": float("nan")}, step=1)
        tracker.artifacts(folder)
    client, (run,) = runs(uri, "e")
    assert run.info.status == "FINISHED"
    assert run.data.params == {"alpha": "0.35"}
    assert run.data.metrics == {"pck_at_0.2": 0.5}
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["figures"]


@pytest.mark.parametrize(("error", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_breaks_is_closed(tmp_path: Path, error: type[BaseException], status: str):
    uri = str(tmp_path / "mlruns")
    with pytest.raises(error), track(Mlflow(uri=uri), experiment="e", name="x"):
        raise error
    assert runs(uri, "e")[1][0].info.status == status


def test_store_uri(tmp_path: Path):
    assert store_uri("http://host:5000") == "http://host:5000"
    assert store_uri("sqlite:///a.db") == "sqlite:///a.db"
    assert store_uri(str(tmp_path / "new")) == f"sqlite:///{(tmp_path / 'new' / 'mlflow.db').as_posix()}"


def test_without_section_nothing_is_tracked():
    with track(None, experiment="e", name="x") as tracker:
        tracker.metrics({"a": 1.0})
    assert mlflow.active_run() is None

"""MLflow: parameters, metrics and small files of a run, closed as FAILED when the run fails."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stm32pose.errors import ConfigError, UserError

if TYPE_CHECKING:
    from stm32pose.config.target_sections import Mlflow

log = logging.getLogger(__name__)

SMALL_FILE_BYTES = 2_000_000
DATABASE = "mlflow.db"


class Tracker:
    """Where steps send figures to be compared between runs; without MLflow it does nothing."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Settings of the run."""

    def metrics(self, values: Mapping[str, float | None], step: int | None = None) -> None:
        """Figures; None and non-finite ones are left out."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Free text."""

    def artifacts(self, folder: Path) -> None:
        """The small files below `folder` (models stay in the run folder, once)."""


class MlflowTracker(Tracker):
    """Sends to the active MLflow run. A store that is lost on the way is said once and then left alone."""

    def __init__(self) -> None:
        self._lost = False

    def _send(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        from mlflow.exceptions import MlflowException

        if self._lost:
            return
        try:
            call(*arguments, **named)
        except (MlflowException, OSError) as error:
            self._lost = True
            log.warning("mlflow: the store is lost, the run goes on without it (%s)", _short(error))

    def params(self, values: Mapping[str, Any]) -> None:
        import mlflow

        self._send(mlflow.log_params, {name: str(value)[:500] for name, value in values.items()})

    def metrics(self, values: Mapping[str, float | None], step: int | None = None) -> None:
        import mlflow

        kept = {
            _metric_name(name): float(value)
            for name, value in values.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }
        if kept:
            self._send(mlflow.log_metrics, kept, step=step)

    def tags(self, values: Mapping[str, str]) -> None:
        import mlflow

        self._send(mlflow.set_tags, dict(values))

    def artifacts(self, folder: Path) -> None:
        import mlflow

        for path in sorted(folder.rglob("*")):
            # TensorBoard's files stay where TensorBoard looks for them.
            kept = "resume" not in path.parts and "tfevents" not in path.name
            if kept and path.is_file() and path.stat().st_size <= SMALL_FILE_BYTES:
                inside = path.parent.relative_to(folder).as_posix()
                self._send(mlflow.log_artifact, str(path), artifact_path=None if inside == "." else inside)


def store_uri(uri: str) -> str:
    """The store that `mlflow.uri` means: a folder stands for the SQLite database in it.

    MLflow 3 no longer writes plain folders; one that already holds runs in the old form goes on as it is.
    """
    if "://" in uri and not uri.startswith("file:"):
        return uri
    folder = Path(uri.removeprefix("file://").removeprefix("file:")).expanduser().resolve()
    if any(folder.glob("*/meta.yaml")):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        return folder.as_uri()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{(folder / DATABASE).as_posix()}"


@contextmanager
def track(section: Mlflow | None, *, experiment: str, name: str) -> Iterator[Tracker]:
    """The tracker of one run. An exception inside closes the MLflow run as FAILED (KILLED for Ctrl-C) and goes on.

    Raises:
        ConfigError: a `mlflow` section is given and MLflow is not installed.
        UserError: the store cannot be reached or written.
    """
    if section is None:
        yield Tracker()
        return
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise ConfigError(
            "mlflow: a tracking store is configured, but MLflow is not installed; "
            "pip install 'stm32pose[tracking]', or leave the section out"
        ) from error
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        uri = store_uri(section.uri)
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment(experiment_id=_experiment_id(experiment, uri))
        mlflow.start_run(run_name=name)
    except (MlflowException, OSError) as error:
        raise UserError(
            f"mlflow.uri: {section.uri} cannot be used ({_short(error)}); leave the section out to go on without"
        ) from error
    try:
        yield MlflowTracker()
    except KeyboardInterrupt:
        mlflow.end_run("KILLED")
        raise
    except BaseException:
        mlflow.end_run("FAILED")
        raise
    mlflow.end_run("FINISHED")


def _experiment_id(name: str, uri: str) -> str:
    """The experiment's id; a new one keeps its artifacts beside the database."""
    import mlflow

    found = mlflow.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    location = None
    if uri.startswith("sqlite:///"):
        location = (Path(uri.removeprefix("sqlite:///")).parent / "artifacts").as_uri()
    return mlflow.create_experiment(name, artifact_location=location)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _metric_name(name: str) -> str:
    """MLflow allows letters, digits and `_-./ :`; ours have an @ in pck@0.2."""
    return name.replace("@", "_at_")

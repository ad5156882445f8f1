"""MLflow: one run a chain, a nested run a step, closed as FAILED or KILLED where they end badly."""

from __future__ import annotations

import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stm32pose.errors import ConfigError, UserError
from stm32pose.reporting.redact import redact
from stm32pose.reporting.tracking import TrackedSet, Tracker, small_files

if TYPE_CHECKING:
    from stm32pose.config.target_sections import Mlflow

log = logging.getLogger(__name__)

DATABASE = "mlflow.db"
MODEL_FOLDER = "model"
LONGEST_PARAM = 500
LONGEST_DIGEST = 36  # MLflow takes no more

# Those of MLflow wait: four minutes until a server that is gone is given up.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
# Who and what ran it: MLflow's page shows these columns for the steps as well.
INHERITED = ("mlflow.user", "mlflow.source.name", "mlflow.source.type")


class MlflowTracker(Tracker):
    """Sends to one MLflow run. A store that is lost on the way is said once and then left alone."""

    def __init__(self, section: Mlflow, run_id: str, experiment_id: str) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient()
        self._section = section
        self._run_id = run_id
        self._experiment_id = experiment_id
        self._step_id: str | None = None
        self._steps = 0
        self._params: set[str] = set()
        self._lost = False

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._steps += 1
        child = self._send(self._start_step, name)
        self._step_id = child
        status = "FAILED"
        try:
            yield
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            self._step_id = None
            if child is not None:
                self._send(self._client.set_terminated, child, status)

    def params(self, values: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        # MLflow refuses a second value for a name.
        new = {name: value for name, value in values.items() if value is not None and name not in self._params}
        self._params |= new.keys()
        texts = [Param(_clean(name), str(value)[:LONGEST_PARAM]) for name, value in new.items()]
        if texts:
            self._send(self._client.log_batch, self._run_id, params=texts)

    def metrics(self, values: Mapping[str, float | None], step: int | None = None) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        points = [
            Metric(_clean(name), float(value), now, step or 0)
            for name, value in values.items()
            if isinstance(value, int | float) and math.isfinite(value)
        ]
        if not points:
            return
        self._send(self._client.log_batch, self._run_id, metrics=points)
        if step is None and self._step_id is not None:
            self._send(self._client.log_batch, self._step_id, metrics=points)

    def tags(self, values: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        texts = [RunTag(_clean(name), str(value)) for name, value in values.items()]
        self._send(self._client.log_batch, self._run_id, tags=texts)

    def dataset(self, name: str, sets: Sequence[TrackedSet]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = [
            DatasetInput(
                Dataset(
                    name, one.digest[:LONGEST_DIGEST], "local", one.source, profile=f'{{"samples": {one.samples}}}'
                ),
                [InputTag("mlflow.data.context", one.name)],
            )
            for one in sets
        ]
        self._send(self._client.log_inputs, self._run_id, inputs)

    def artifacts(self, folder: Path) -> None:
        for path, name in small_files(folder):
            inside = Path(name).parent.as_posix()
            self._send(self._client.log_artifact, self._run_id, str(path), None if inside == "." else inside)

    def model(self, files: Sequence[Path], tags: Mapping[str, str]) -> None:
        if self._section.register_model:
            self._send(self._register, self._section.register_model, files, tags)

    def _register(self, name: str, files: Sequence[Path], tags: Mapping[str, str]) -> None:
        from mlflow.exceptions import MlflowException

        for path in files:
            self._client.log_artifact(self._run_id, str(path), MODEL_FOLDER)
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        root = self._client.get_run(self._run_id).info.artifact_uri
        version = self._client.create_model_version(
            name, f"{root}/{MODEL_FOLDER}/{files[0].name}", run_id=self._run_id, tags=dict(tags)
        )
        log.info("mlflow: %s is version %s of the registered model %s", files[0].name, version.version, name)

    def _start_step(self, name: str) -> str:
        given = self._client.get_run(self._run_id).data.tags
        tags = {key: given[key] for key in INHERITED if key in given}
        tags |= {"mlflow.parentRunId": self._run_id, "step": str(self._steps)}
        return self._client.create_run(self._experiment_id, tags=tags, run_name=name).info.run_id

    def _send(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """The answer of `call`; None where the store is lost."""
        from mlflow.exceptions import MlflowException

        if self._lost:
            return None
        try:
            return call(*arguments, **named)
        except (MlflowException, OSError) as error:
            self._lost = True
            log.warning("mlflow: the store is lost, the run goes on without it (%s)", _short(error))
            return None


@contextmanager
def mlflow_run(section: Mlflow, *, experiment: str, name: str) -> Iterator[MlflowTracker]:
    """The MLflow run of a chain, open until the block ends.

    Args:
        section: `mlflow`.
        experiment: name of MLflow's experiment.
        name: of the run.

    Raises:
        ConfigError: MLflow, or what `system_metrics` needs, is not installed.
        UserError: the store cannot be reached or written.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    for key, value in PATIENCE.items():
        os.environ.setdefault(key, value)
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise ConfigError(
            "mlflow: a tracking store is configured, but MLflow is not installed; "
            "pip install 'stm32pose[tracking]', or leave the section out"
        ) from error
    if section.system_metrics and find_spec("psutil") is None:
        raise ConfigError("mlflow.system_metrics: True, but psutil is not installed; pip install psutil")
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        uri = store_uri(section.uri)
        if redact(uri) != uri:
            os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # it prints the whole address of a run
        mlflow.set_tracking_uri(uri)
        _check_registry(section)
        experiment_id = _experiment_id(experiment, uri)
        mlflow.set_experiment(experiment_id=experiment_id)
        started = mlflow.start_run(run_name=name, log_system_metrics=section.system_metrics)
        tracker = MlflowTracker(section, started.info.run_id, experiment_id)
    except (MlflowException, OSError, ImportError) as error:  # ImportError: a database without its driver
        raise UserError(
            f"mlflow.uri: {redact(section.uri)} cannot be used ({_short(error)}); leave the section out to go on "
            "without"
        ) from error
    status = "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        try:
            mlflow.end_run(status)
        except (MlflowException, OSError) as error:
            log.warning("mlflow: the run could not be closed as %s (%s)", status, _short(error))


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


def _check_registry(section: Mlflow) -> None:
    """A name that cannot be registered is said before the long steps, not after them."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    if not section.register_model:
        return
    try:
        MlflowClient().get_registered_model(section.register_model)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        raise ConfigError(f"mlflow.register_model: got {section.register_model!r} ({_short(error)})") from error


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
    return redact(" ".join(str(error).split()))[:200]


def _clean(name: str) -> str:
    """MLflow allows letters, digits and `_-./ :` in a name; ours have an @ in pck@0.2."""
    return re.sub(r"[^\w\-./ :]", "_", name.replace("@", "_at_"))

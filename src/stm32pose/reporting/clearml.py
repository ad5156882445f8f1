"""ClearML: one task a run, on a server or in a local archive. It may not patch, hang or end the run."""

from __future__ import annotations

import atexit
import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from stm32pose.errors import ConfigError, UserError, first_line
from stm32pose.reporting.redact import redacted
from stm32pose.reporting.tracking import TrackedSet, Tracker, small_files

if TYPE_CHECKING:
    from clearml import Task

    from stm32pose.config.schema import Config
    from stm32pose.config.target_sections import ClearML

log = logging.getLogger(__name__)

# ClearML itself goes on asking a server that is gone for hours.
START_S = 30.0
CALL_S = 20.0
CLOSE_S = 120.0

# Everything that ClearML would patch; with `False` alone it still reads the checkout and sends its changes.
FRAMEWORKS = (
    "detect_repository",
    "hydra",
    "scikit",
    "joblib",
    "matplotlib",
    "tensorflow",
    "tensorboard",
    "tfdefines",
    "pytorch",
    "megengine",
    "xgboost",
    "catboost",
    "fastai",
    "lightgbm",
    "gradio",
)


class ClearmlTracker(Tracker):
    """Sends to one ClearML task. A server that is lost on the way is said once and then left alone."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._params: set[str] = set()
        self._status = "finished"
        self.lost = False

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._say(f"step {name}")
        try:
            yield
        except BaseException as error:
            self._say(f"step {name} ended early: {first_line(error)}")
            raise
        self._say(f"step {name} done")

    def params(self, values: Mapping[str, Any]) -> None:
        new = {name: str(value) for name, value in values.items() if value is not None and name not in self._params}
        self._params |= new.keys()
        if new:
            self.send(self._task.update_parameters, new)

    def metrics(self, values: Mapping[str, float | None], step: int | None = None) -> None:
        kept = {
            name: float(value)
            for name, value in values.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }
        if kept:
            self.send(self._report, kept, step)

    def tags(self, values: Mapping[str, str]) -> None:
        self.send(self._task.set_user_properties, **{name: str(value) for name, value in values.items()})

    def dataset(self, name: str, sets: Sequence[TrackedSet]) -> None:
        self.params(
            {f"dataset/{one.name}": f"{name}, {one.samples} images of {one.source}, {one.digest}" for one in sets}
        )

    def artifacts(self, folder: Path) -> None:
        for path, name in small_files(folder):
            self.send(self._task.upload_artifact, name, artifact_object=str(path))

    def send(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        """Do `call`, unless the server is lost."""
        if self.lost:
            return
        try:
            _within(CALL_S, call, *arguments, **named)
        except Exception as error:  # noqa: BLE001  its errors have no common base, and a tracker must not end the run
            self.lost = True
            log.warning("clearml: the server is lost, the run goes on without it (%s)", first_line(error))

    def _report(self, values: Mapping[str, float], step: int | None) -> None:
        logger = self._task.get_logger()
        for name, value in values.items():
            if step is None:
                logger.report_single_value(name, value)
            else:
                logger.report_scalar(title=name, series=name, value=value, iteration=step)

    def _say(self, text: str) -> None:
        self.send(self._task.get_logger().report_text, text, print_console=False)


@contextmanager
def clearml_task(section: ClearML, config: Config, *, name: str) -> Iterator[ClearmlTracker]:
    """The ClearML task of a run, open until the block ends.

    Args:
        section: `clearml`.
        config: the whole configuration, kept as the task's configuration object.
        name: of the run, kept as a property.

    Raises:
        ConfigError: ClearML is not installed.
        UserError: no server is configured, or it does not answer.
    """
    try:
        from clearml import Task
    except ImportError as error:
        raise ConfigError(
            "clearml: a section is given, but ClearML is not installed; "
            "pip install 'stm32pose[clearml]', or leave the section out"
        ) from error
    was_offline = Task.is_offline()
    if section.offline:
        Task.set_offline(True)
    try:
        tracker = _start(section, config, name)
        failure: BaseException | None = None
        try:
            yield tracker
        except BaseException as error:
            failure = error
            raise
        finally:
            _close(tracker, failure)
    finally:
        if section.offline and not was_offline:
            # It looks for a server again at once; whether there is one is the next task's affair.
            with suppress(Exception):
                Task.set_offline(False)


def _start(section: ClearML, config: Config, name: str) -> ClearmlTracker:
    """A new task. UserError: there is no server, or none that answers."""
    from clearml import Task

    logging.getLogger("clearml").setLevel(logging.ERROR)
    # A thread reports instead of a forked copy of this process, which would get its share of every Ctrl-C.
    Task._report_subprocess_enabled = False  # pyright: ignore[reportAttributeAccessIssue]
    Task.set_random_seed(None)  # ours is general.global_seed
    hooks = sys.exit, sys.excepthook
    try:
        task = _within(
            START_S,
            Task.init,
            project_name=section.project_name or config.general.project_name,
            task_name=section.task_name,
            reuse_last_task_id=False,
            auto_connect_arg_parser=False,
            auto_connect_frameworks=dict.fromkeys(FRAMEWORKS, False),
            auto_resource_monitoring=False,
            auto_connect_streams=False,
        )
    except Exception as error:
        raise UserError(
            f"clearml: no task could be started ({first_line(error)}); `clearml-init` configures a server, "
            "clearml.offline: True needs none, or leave the section out"
        ) from error
    finally:
        sys.exit, sys.excepthook = hooks
    tracker = ClearmlTracker(task)
    tracker.send(task.connect_configuration, redacted(config.model_dump(mode="json")), name=config.operation_mode)
    tracker.tags({"run": name})
    return tracker


def _close(tracker: ClearmlTracker, failure: BaseException | None) -> None:
    """Complete the task, or mark it as aborted (Ctrl-C) or failed. Never hangs, never raises."""
    task = tracker._task
    try:
        if tracker.lost:
            raise TimeoutError("it did not answer before")
        _within(CLOSE_S, task.close)
        # close() says completed whatever happened; a forced change is taken afterwards.
        if isinstance(failure, KeyboardInterrupt):
            _within(CALL_S, task.stopped, force=True, status_reason="interrupted", status_message="Ctrl-C")
        elif failure is not None:
            reason = first_line(failure)
            _within(CALL_S, task.mark_failed, force=True, status_reason="failed", status_message=reason)
    except Exception as error:  # noqa: BLE001  as in `send`
        _let_go(task)
        log.warning("clearml: the task could not be closed (%s)", first_line(error))
        return
    folder = task.get_offline_mode_folder()
    if folder is not None:
        log.info("clearml: the task is in %s.zip", folder)


def _let_go(task: Task) -> None:
    """Keep ClearML from waiting for its server again when the process ends: it has no setting for that."""
    from clearml.utilities.process.mp import BackgroundMonitor

    for owner, name in ((task, "_at_exit"), (getattr(task, "_reporter", None), "_handle_program_exit")):
        handler = getattr(owner, name, None)
        if handler is not None:
            atexit.unregister(handler)
    for monitors in getattr(BackgroundMonitor, "_instances", {}).values():
        for monitor in monitors:
            monitor._thread = None  # nobody joins it any more


def _within(seconds: float, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What `call` returns. TimeoutError: it took longer; it is left behind in its thread."""
    outcome: dict[str, Any] = {}

    def work() -> None:
        try:
            outcome["value"] = call(*arguments, **named)
        except BaseException as error:  # noqa: BLE001  raised again below
            outcome["error"] = error

    thread = Thread(target=work, name="clearml call", daemon=True)
    thread.start()
    thread.join(seconds)
    if "error" in outcome:
        raise outcome["error"]
    if "value" not in outcome:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    return outcome["value"]

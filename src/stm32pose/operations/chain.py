"""The chain: the steps that `operation_mode` names, one after the other, in one run folder."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from stm32pose.config.schema import Config
from stm32pose.errors import UserError
from stm32pose.operations import benchmark, deploy, evaluate, export, predict, quantize, train
from stm32pose.operations.artifacts import Artifacts
from stm32pose.operations.checks import check_steps
from stm32pose.operations.cloud import cloud_session
from stm32pose.operations.prepare import prepare
from stm32pose.reporting import console
from stm32pose.reporting.redact import redact_folder
from stm32pose.reporting.run import Run
from stm32pose.reporting.summary import print_summary
from stm32pose.reporting.tracked import track_summary
from stm32pose.reporting.tracking import Tracker, track

log = logging.getLogger(__name__)

REPORT = "report.html"

Step = Callable[[Config, Run, Artifacts], Artifacts]

STEPS: dict[str, Step] = {
    "train": train.run_step,
    "evaluate": evaluate.run_step,
    "quantize": quantize.run_step,
    "benchmark": benchmark.run_step,
    "predict": predict.run_step,
    "deploy": deploy.run_step,
    "export": export.run_step,
}


def run_chain(config: Config, folder: Path, *, overrides: Iterable[str] = ()) -> Path:
    """Run every step of `config.operation_mode` into `folder`; returns the path of report.html.

    Whatever ends the run, the folder tells how: results.json has its status, the log its last words, the report what
    was reached. An MLflow run is closed as FAILED, or KILLED by Ctrl-C.

    Raises:
        ConfigError: the configuration asks for what cannot be done.
        UserError: the run failed for a reason the user can mend.
        KeyboardInterrupt: Ctrl-C.
    """
    check_steps(config)
    config = _seeded(config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        console.setup_logging(folder)
    except OSError as error:
        raise UserError(f"{folder}: the run folder cannot be made ({error.strerror})") from error
    redact_folder(folder / ".hydra")
    with track(config, name=folder.name) as tracker:
        return _run(config, folder, tracker, overrides)


def _seeded(config: Config) -> Config:
    """`general.global_seed: null` draws one seed for the whole run; config.yaml of the run folder has it."""
    if config.general.global_seed is not None:
        return config
    general = config.general.model_copy(update={"global_seed": secrets.randbits(31)})
    return config.model_copy(update={"general": general})


def _run(config: Config, folder: Path, tracker: Tracker, overrides: Iterable[str]) -> Path:
    run = Run(config, folder, tracker, overrides)
    log.info("operation_mode: %s", config.operation_mode)
    try:
        with cloud_session(config) as cloud:
            artifacts = replace(prepare(config, run), cloud=cloud)
            for step in config.steps:
                console.say(f"\n{step}", style="bold")
                with run.tracker.step(step):
                    artifacts = STEPS[step](config, run, artifacts)
    except KeyboardInterrupt:
        _close_early(run, "interrupted", None)
        raise
    except OSError as error:
        log.debug("the run failed", exc_info=True)
        told = UserError(f"{error.filename or run.folder}: {error.strerror or error}")
        _close_early(run, "failed", told)
        raise told from error
    except UserError as error:
        log.debug("the run failed: %s", error)
        _close_early(run, "failed", error)
        raise
    except Exception as error:
        log.debug("the run failed, and the fault is ours", exc_info=True)
        _close_early(run, "failed", error)
        raise
    log.info("operation finished: %s", config.operation_mode)
    for finish in _closing(run, "finished"):
        finish()
    print_summary(run)
    report = folder / REPORT
    console.say(f"\nreport: {report}")
    if config.general.display_figures:
        import webbrowser

        webbrowser.open(report.resolve().as_uri())
    return report


def _closing(run: Run, status: str) -> list[Callable[[], object]]:
    """What leaves a readable folder, whichever way the run ended."""
    from stm32pose.reporting.report import write_report

    return [
        lambda: run.finish(status),
        lambda: write_report(run),
        lambda: track_summary(run),
        lambda: run.tracker.artifacts(run.folder),
    ]


def _close_early(run: Run, status: str, error: BaseException | None) -> None:
    """Close a run that did not reach its end. What fails here is logged: it must not hide why the run ended."""
    if error is not None:
        run.results["run"]["error"] = str(error)
    for finish in _closing(run, status):
        try:
            finish()
        except (UserError, OSError) as second:
            log.warning("%s", second)

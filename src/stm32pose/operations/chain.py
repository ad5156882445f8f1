"""The chain: the steps that `operation_mode` names, one after the other, in one run folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from stm32pose.config.schema import Config
from stm32pose.errors import UserError
from stm32pose.operations import benchmark, evaluate, quantize, train
from stm32pose.operations.artifacts import Artifacts
from stm32pose.operations.prepare import prepare
from stm32pose.reporting import console
from stm32pose.reporting.run import Run
from stm32pose.reporting.summary import print_summary, track_summary
from stm32pose.reporting.tracking import Tracker, track

log = logging.getLogger(__name__)

Step = Callable[[Config, Run, Artifacts], Artifacts]

STEPS: dict[str, Step] = {
    "train": train.run_step,
    "evaluate": evaluate.run_step,
    "quantize": quantize.run_step,
    "benchmark": benchmark.run_step,
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        console.setup_logging(folder)
    except OSError as error:
        raise UserError(f"{folder}: the run folder cannot be made ({error.strerror})") from error
    with track(config.mlflow, experiment=config.general.project_name, name=folder.name) as tracker:
        return _run(config, folder, tracker, overrides)


def _run(config: Config, folder: Path, tracker: Tracker, overrides: Iterable[str]) -> Path:
    from stm32pose.reporting.report import write_report

    run = Run(config, folder, tracker, overrides)
    log.info("operation_mode: %s", config.operation_mode)
    status = "failed"
    try:
        artifacts = prepare(config, run)
        for step in config.steps:
            console.say(f"\n{step}", style="bold")
            artifacts = STEPS[step](config, run, artifacts)
        status = "finished"
        log.info("operation finished: %s", config.operation_mode)
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        log.exception("the run failed")
        raise UserError(f"{where}{error.strerror or error}") from error
    except UserError as error:
        log.debug("%s", error)
        run.results["run"]["error"] = str(error)
        raise
    finally:
        run.finish(status)
        report = write_report(run)
        track_summary(run)
        tracker.artifacts(folder)
    print_summary(run)
    console.say(f"\nreport: {report}")
    if config.general.display_figures:
        import webbrowser

        webbrowser.open(report.resolve().as_uri())
    return report

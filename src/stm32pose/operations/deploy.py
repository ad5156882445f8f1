"""The step `deploy`: the newest model onto a board, or as sources for one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from stm32pose.config.schema import Config
from stm32pose.config.suffixes import model_kind
from stm32pose.operations.artifacts import Artifacts, needed
from stm32pose.operations.codec import codec_of
from stm32pose.operations.skeletons import skeleton_of
from stm32pose.reporting.run import Run

if TYPE_CHECKING:
    from stm32pose.deployment.job import Job
    from stm32pose.deployment.model import Deployable
    from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)

FOLDER = "deployment"


def run_step(config: Config, run: Run, artifacts: Artifacts) -> Artifacts:
    """Deploy the newest model on `deployment.hardware_setup.board`; the report tells every command and file."""
    from stm32pose.deployment.commands import Commands
    from stm32pose.deployment.job import Job
    from stm32pose.deployment.service import board_of, check_deployment, service_of

    section = needed(config.deployment, "deployment")
    path = artifacts.latest
    check_deployment(section, config.tools, model_kind(path), programs=False)
    board = board_of(section.hardware_setup)
    model = describe_model(config, path, artifacts.skeleton)
    folder = run.path(FOLDER, "logs", "x").parent.parent
    names = config.dataset.keypoints_file_path
    job = Job(
        model=model,
        board=board,
        section=section,
        tools=config.tools,
        folder=folder,
        commands=Commands(folder / "logs", dry_run=section.dry_run),
        keypoints_file=Path(names).expanduser() if names else None,
        cloud=artifacts.cloud,
    )
    status = "failed"
    try:
        service_of(board)(job)
        status = "dry run" if section.dry_run else "done"
    finally:
        run.add("deployment", _entry(job, run, status), append=True)
    log.info("deployment on %s: %s", board.name, status)
    log.info("next: %s", job.next_step)
    return artifacts


def describe_model(config: Config, path: Path, skeleton: Skeleton | None) -> Deployable:
    """What the code on a board has to know of a model file, read from the file.

    Raises:
        ConfigError: the file is of another kind, or does not suit the configuration.
        UserError: it cannot be read.
    """
    from stm32pose.deployment.model import Deployable
    from stm32pose.inference.runner import load_runner

    rescaling = (config.preprocessing.rescaling.scale, config.preprocessing.rescaling.offset)
    runner = load_runner(path, rescaling=rescaling)
    skeleton = skeleton_of(config, skeleton, runner)
    codec = codec_of(config, runner, skeleton)
    return Deployable(
        path=path,
        quantized=runner.quantized,
        input=runner.input,
        layout=runner.layout,
        input_shape=runner.input_shape,
        outputs=tuple(runner.outputs),
        codec=codec.describe(),
        skeleton=skeleton,
        preprocessing=config.preprocessing,
        postprocessing=config.postprocessing,
    )


def _entry(job: Job, run: Run, status: str) -> dict[str, object]:
    """What results.json holds of a deployment."""
    return {
        "board": job.board.name,
        "series": job.board.series,
        "model": run.relative(job.model.path),
        "status": status,
        "files": [run.relative(path) for path in job.files],
        "overwritten": [str(path) for path in job.overwritten],
        "commands": [
            {**record, "log": run.relative(Path(record["log"])) if record["log"] else None}
            for record in job.commands.records
        ],
        "notes": job.notes,
        "next": job.next_step,
    }

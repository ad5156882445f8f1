"""`stm32pose run FILE key=value ...`: what stm32ai_main.py does, for a file anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stm32pose.commands.last_line import results_last, take_flag
from stm32pose.commands.run import prepare_arguments, report_error, run_hydra, run_job
from stm32pose.errors import ConfigError, UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Hydra names its log file by the job; ST's name is kept.
JOB_NAME = "stm32ai_main"


def run_file(arguments: Sequence[str]) -> int:
    """Run the configuration file named first; the rest are overrides and flags of Hydra. Returns the exit code."""
    rest, as_json = take_flag(arguments)
    folders: list[Path] = []
    with results_last(as_json, folders):
        return _run(rest, folders)


def _run(arguments: Sequence[str], folders: list[Path]) -> int:
    try:
        position = _file_position(arguments)
        path = Path.cwd() / Path(arguments[position]).expanduser()
        if path.is_file() and path.suffix != ".yaml":
            # Hydra would look for FILE.txt.yaml.
            raise ConfigError(f"{arguments[position]}: a configuration file ends in .yaml")
        rest = [*arguments[:position], *arguments[position + 1 :]]
        command = ["--config-path", str(path.parent), "--config-name", path.name, *rest]
        if not any("hydra.job.name=" in part for part in rest):
            command.append(f"hydra.job.name={JOB_NAME}")
        command = prepare_arguments(command, folder=path.parent, name=path.name)
    except UserError as error:
        return report_error(error)
    import hydra

    codes: list[int] = []

    @hydra.main(version_base=None, config_path=None, config_name=None)
    def entry(config: DictConfig) -> None:
        codes.append(run_job(config, folders))

    return run_hydra(entry, codes, command)


def _file_position(arguments: Sequence[str]) -> int:
    """Where in the command line the file stands. ConfigError: nowhere."""
    for position, part in enumerate(arguments):
        if not part.startswith("-") and "=" not in part:
            return position
    raise ConfigError("stm32pose run: which configuration? stm32pose run FILE.yaml key=value ...")

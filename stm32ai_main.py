"""Run a configuration: python stm32ai_main.py --config-path DIR --config-name NAME key=value ...

Everything of Hydra works (--cfg job, --multirun, hydra.run.dir=..., --help). Nothing heavy is imported before the
configuration is known to be valid.
"""

from __future__ import annotations

import sys
from pathlib import Path

try:
    import hydra
    from omegaconf import DictConfig

    from stm32pose.commands.last_line import results_last, take_flag
    from stm32pose.commands.run import (
        INTERRUPTED,
        prepare_arguments,
        report_error,
        run_hydra,
        run_job,
        show_help,
        wants_help,
    )
    from stm32pose.errors import UserError
except ModuleNotFoundError as error:
    sys.exit(f"{error.name} is not installed for {sys.executable}; in this folder: python -m pip install -e .")

codes: list[int] = []
folders: list[Path] = []


@hydra.main(version_base=None, config_path=".", config_name="user_config")
def stm32ai_main(config: DictConfig) -> None:
    codes.append(run_job(config, folders))


def main(arguments: list[str]) -> int:
    folder = Path(__file__).resolve().parent
    if wants_help(arguments):
        return show_help(f"python {Path(sys.argv[0]).name}", folder)
    arguments, as_json = take_flag(arguments)
    with results_last(as_json, folders):
        return run(arguments, folder)


def run(arguments: list[str], folder: Path) -> int:
    try:
        arguments = prepare_arguments(arguments, folder=folder, name="user_config")
    except UserError as error:
        return report_error(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    return run_hydra(stm32ai_main, codes, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

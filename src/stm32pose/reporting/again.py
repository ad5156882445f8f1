"""The command line that runs the same again, to be pasted into a shell."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

SCRIPT = "stm32ai_main.py"
# What the commands put behind the user's own words for Hydra's sake.
OURS = ("hydra.job.name=stm32ai_main", "hydra.run.dir=./experiments_outputs/${now:", "hydra.sweep.dir=")


def run_again(overrides: Sequence[str], arguments: Sequence[str] | None = None) -> str:
    """`python stm32ai_main.py --config-path … --config-name … key=value …`, or `stm32pose run FILE key=value …`.

    Args:
        overrides: `key=value` of this run, as Hydra has them (of one job of a --multirun).
        arguments: the program and what followed it, as Hydra got it; None: of this process.

    Returns:
        The line, quoted for a shell, valid in the folder where the command was given. Of a program of somebody else's,
        which called this package, what it was called with.
    """
    program, *rest = arguments or sys.argv
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config-path", "-cp")
    parser.add_argument("--config-name", "-cn")
    parser.add_argument("--cfg", "-c")
    try:
        given, others = parser.parse_known_args(rest)
    except (argparse.ArgumentError, SystemExit):  # Python 3.11 exits on some in spite of exit_on_error
        return shlex.join([program, *rest])
    ours = [part.removeprefix("++") for part in overrides] + _hydra(others)
    if Path(program).name == SCRIPT:
        folder = ["--config-path", given.config_path] if given.config_path else []
        name = ["--config-name", given.config_name] if given.config_name else []
        return shlex.join(["python", program, *folder, *name, *ours])
    if given.config_path and given.config_name:
        return shlex.join(["stm32pose", "run", _near(Path(given.config_path, given.config_name)), *ours])
    return shlex.join([program, *rest])


def _hydra(arguments: Sequence[str]) -> list[str]:
    """The user's own settings of Hydra: the run folder that was claimed is the last `hydra.run.dir`, in quotes."""
    found = [part for part in arguments if part.startswith("hydra.")]
    if found and found[-1].startswith("hydra.run.dir='"):
        found.pop()
    return [part for part in found if not part.startswith(OURS)]


def _near(path: Path) -> str:
    """The path from here where it lies below the current folder."""
    full, here = os.path.normpath(path.absolute()), Path.cwd()
    return str(Path(full).relative_to(here)) if Path(full).is_relative_to(here) else full

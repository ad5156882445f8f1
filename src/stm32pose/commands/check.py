"""`stm32pose check`: is a configuration right, without running it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from stm32pose.commands.validate import check_names
from stm32pose.config.built import not_built
from stm32pose.config.compose import compose_file
from stm32pose.config.idle import idle_notes
from stm32pose.config.load import load_config
from stm32pose.config.schema import Config
from stm32pose.errors import ConfigError, UserError
from stm32pose.operations.checks import check_steps


def check_files(given: Sequence[str], *, check_paths: bool = True) -> int:
    """Write for every file `ok`, `not built yet: ...` or `error: ...`; returns 0 where all are ok, else 2.

    Args:
        given: files, and the `key=value` that take the place of values of each of them.
        check_paths: whether the files and folders that are named must exist.

    Raises:
        ConfigError: no file is given.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.ERROR)
    overrides = [part for part in given if "=" in part and not Path(part).exists()]
    files = [Path(part) for part in given if part not in overrides]
    if not files:
        raise ConfigError("stm32pose check: which configuration? stm32pose check FILE.yaml key=value ...")
    worst = 0
    for file in files:
        lines = check_one(file, overrides, check_paths=check_paths)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        worst = max(worst, 0 if lines[0].endswith(")") and ": ok (" in lines[0] else 2)
    return worst


def check_one(file: Path, overrides: Sequence[str] = (), *, check_paths: bool = True) -> list[str]:
    """What there is to say of one file with these `key=value`, its verdict in the first line."""
    try:
        mapping = compose_file(file, overrides)
        config = load_config(mapping, where=str(file), check_paths=False, overrides=overrides)
    except ConfigError as error:
        return _errors(file, error)
    later = not_built(config)
    if later:
        return _later(file, later)
    try:
        if check_paths:
            load_config(mapping, where=str(file), overrides=overrides)
        check_names(config, check_paths=check_paths)
        check_steps(config, here=check_paths)
    except UserError as error:
        return _errors(file, error)
    return [f"{file}: ok ({summary(config)})", *(f"{file}: note: {note}" for note in idle_notes(config))]


def summary(config: Config) -> str:
    """`chain_tqeb: train, quantize, evaluate, benchmark`."""
    return f"{config.operation_mode}: {', '.join(config.steps)}"


def _later(file: Path, lines: Sequence[str]) -> list[str]:
    return [f"{file}: not built yet: {line.replace(' is not built yet', '', 1)}" for line in lines]


def _errors(file: Path, error: UserError) -> list[str]:
    lines = []
    for line in str(error).splitlines():
        # Messages of a file already begin with its name.
        place = line.removeprefix(str(file)).lstrip(":") if line.startswith(f"{file}:") else f" {line}"
        number, _, rest = place.partition(":")
        if number.strip().isdigit():
            lines.append(f"{file}:{number}: error:{rest}")
        else:
            lines.append(f"{file}: error:{place}")
    return lines

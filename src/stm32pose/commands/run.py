"""Running a configuration: what `stm32ai_main.py` and `stm32pose run` share."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from stm32pose.errors import ConfigError, UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

INTERRUPTED = 130
RUN_DIR = "./experiments_outputs/${now:%Y_%m_%d_%H_%M_%S}"
SWEEP_DIR = "./experiments_outputs/multirun/${now:%Y_%m_%d_%H_%M_%S}"
CLAIM = ".stm32pose_run"
# Run folders that this process took before Hydra started, until the run in them begins.
_taken: set[Path] = set()
FULL_ERROR = "HYDRA_FULL_ERROR"
# Whether stack traces were asked for, while FULL_ERROR is set for Hydra's sake.
_trace: ContextVar[bool | None] = ContextVar("trace", default=None)

# Flags of Hydra that need no configuration file, or more than one.
_UNCHECKED = ("--hydra-help", "--version", "--shell-completion", "-sc", "--experimental-rerun")
_HELP = ("--help", "-h")

HELP = """\
Run a configuration: train, quantize, evaluate, benchmark, in the order that its operation_mode names.

usage: {program} [--config-path FOLDER] [--config-name NAME] [key=value ...] [flags]

  --config-path FOLDER   folder of the YAML file; relative to {folder}
  --config-name NAME     the YAML file, with or without .yaml (user_config)
  key=value              takes the place of a value of the file: training.epochs=5
  +key=value             adds one that the file does not have; ++key=value does either
  --cfg job              show the configuration instead of running it
  --multirun, -m         run every combination of key=value1,value2
  hydra.run.dir=FOLDER   the run folder
  --json                 for scripts: stdout is the path of results.json alone, the last thing written,
                         also of a run that failed; what is meant for people goes to stderr
  --hydra-help           all flags of Hydra

environment: STM32POSE_TRACE=1 shows the stack trace of an error
exit codes:  0 done, 1 the run failed, 2 the configuration cannot be run, 130 stopped by Ctrl-C

Every key with its type, default and meaning: stm32pose schema. Is a file right? stm32pose check FILE
"""


def run_hydra(entry: Callable[[], object], codes: Sequence[int], arguments: list[str]) -> int:
    """Run a function decorated with `hydra.main` on `arguments`; an error becomes its lines and an exit code.

    Args:
        entry: the decorated function; it reads `sys.argv`.
        codes: filled by the jobs that ran, one exit code each.
        arguments: what follows the program's name.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        with _own_errors():
            entry()
    except KeyboardInterrupt as stop:
        complain(str(stop) or "interrupted")
        return INTERRUPTED
    except UserError as error:
        return report_error(error)
    except OSError as error:
        # Hydra makes the folders of a --multirun and writes its own files into every run's.
        where = f"{error.filename}: " if error.filename else ""
        return report_error(_caused(UserError(f"{where}cannot be written ({error.strerror or error})"), error))
    except (HydraException, OmegaConfBaseException) as error:
        return report_error(_caused(ConfigError(" ".join(str(error).split())), error))
    finally:
        sys.argv = before
        _release()
    return max(codes, default=0)


def _plain_messages() -> None:
    """Hydra's handlers show date and module; what is said before the run has a log is said as the run says it."""
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))


def wants_help(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for help. Hydra's own would walk through every folder under --config-path."""
    return any(part in _HELP for part in arguments)


def show_help(program: str, folder: Path) -> int:
    """Write the help of the command to stdout; returns the exit code."""
    sys.stdout.write(HELP.format(program=program, folder=folder))
    return 0


def run_job(config: DictConfig, folders: list[Path] | None = None) -> int:
    """Validate what Hydra composed and run its chain into Hydra's output folder; returns the exit code.

    `folders` takes the run folder as soon as there is one.

    Ctrl-C is passed on with the line to show: how to go on.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from stm32pose.reporting.redact import redact_folder

    hydra = HydraConfig.get()
    file = _source_file(hydra)
    overrides = list(hydra.overrides.task)
    written = Path(hydra.runtime.output_dir)
    # Hydra writes what it was told before anybody is asked; of a --multirun also into the folder above.
    redact_folder(written / (hydra.output_subdir or ".hydra"))
    if (written.parent / "multirun.yaml").is_file():
        redact_folder(written.parent)
    folder = None
    steps: tuple[str, ...] = ()
    try:
        values = OmegaConf.to_container(config, resolve=False)
        if not isinstance(values, dict) or not values:
            raise ConfigError("no configuration; give --config-path FOLDER --config-name NAME")
        from stm32pose.commands.validate import runnable

        _plain_messages()
        checked = runnable({str(key): value for key, value in values.items()}, where=file, overrides=overrides)
        steps = checked.steps
        folder = _run_folder(Path(hydra.runtime.output_dir))
        if folders is not None:
            folders.append(folder.absolute())
        from stm32pose.operations.chain import run_chain

        run_chain(checked, folder, overrides=overrides)
    except UserError as error:
        return report_error(error)
    except KeyboardInterrupt:
        if folder is not None and "train" in steps:
            hint = f"interrupted; to go on, add training.resume_training_from={folder}"
            raise KeyboardInterrupt(hint) from None
        raise
    return 0


def prepare_arguments(arguments: Sequence[str], *, folder: Path, name: str) -> list[str]:
    """The command line as Hydra gets it: the file checked first, the run folder named where the file names none.

    Args:
        arguments: what follows the program's name.
        folder: where a relative --config-path starts, as Hydra has it: the folder of the script.
        name: the configuration taken without --config-name.

    Raises:
        ConfigError: the file is not there, is no YAML, or cannot be run.
        UserError: the run folder cannot be made.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-path", "-cp", default=".")
    parser.add_argument("--config-name", "-cn", default=name)
    parser.add_argument("--config-dir", "-cd")
    for flags in (("--cfg", "-c"), ("--package", "-p")):
        parser.add_argument(*flags)
    parser.add_argument("--info", "-i", nargs="?")
    parser.add_argument("--multirun", "-m", action="store_true")
    given, rest = parser.parse_known_args(list(arguments))
    unchecked = any(part.split("=")[0] in _UNCHECKED for part in rest)
    if unchecked or given.config_dir or given.config_path.startswith("pkg://"):
        return list(arguments)
    from stm32pose.config.compose import check_file, compose_file, open_overrides

    given_overrides = [part for part in rest if not part.startswith("-")]
    file_name = given.config_name if given.config_name.endswith(".yaml") else f"{given.config_name}.yaml"
    path = folder / given.config_path / file_name
    relative = not Path(given.config_path).is_absolute()
    if relative and not path.is_file() and Path(given.config_path, file_name).is_file():
        here = Path(given.config_path).resolve()
        raise ConfigError(f"{path}: does not exist; --config-path starts at {folder}: write --config-path {here}")
    path = tidy(path)
    check_file(path)
    overrides = open_overrides(path, given_overrides)
    taken = None
    only_shown = given.cfg is not None or given.info is not None
    added = _folder_overrides(path, overrides, given.multirun)
    if not given.multirun:
        # Before Hydra makes a run folder, and with exit code 2 for an override that does not fit.
        values = compose_file(path, overrides)
        if not only_shown and "${hydra:" not in str(values):
            from stm32pose.commands.validate import quiet, runnable

            with quiet():
                runnable(values, where=str(path), overrides=overrides)
            taken = take_folder(path, [*overrides, *added])
    # Hydra's parser wants all overrides in one row.
    flags = [part for part in arguments if part not in given_overrides]
    if taken is not None:
        added = [f"hydra.run.dir={_quoted(taken.as_posix())}"]
    return [*flags, *overrides, *added]


def take_folder(path: Path, overrides: Sequence[str]) -> Path | None:
    """Claim the run folder of a file before Hydra writes into it; None where only Hydra can tell its name.

    Raises:
        UserError: the folder cannot be made.
    """
    from stm32pose.config.compose import hydra_section

    settings = hydra_section(path, overrides)
    name = re.sub(r"\$\{now:([^{}]*)\}", lambda found: time.strftime(found[1]), str(settings["run"]["dir"]))
    if "${" in name or str(settings.get("mode")).endswith("MULTIRUN"):
        return None
    folder = claim_folder(Path(name))
    _taken.add(folder.resolve())
    return folder


def claim_folder(folder: Path) -> Path:
    """Make `folder`, or `folder_2`, ... where another run has taken it: no run writes over another one.

    Raises:
        UserError: the folder cannot be made.
    """
    while True:
        candidate = folder
        try:
            candidate = free_folder(folder)
            candidate.mkdir(parents=True, exist_ok=True)
            with (candidate / CLAIM).open("x", encoding="utf-8") as file:
                file.write(f"{os.getpid()}\n")
        except FileExistsError:
            if not candidate.is_dir():
                raise UserError(f"{candidate}: the run folder cannot be made (a file has that name)") from None
            continue  # another run was quicker
        except OSError as error:
            raise UserError(f"{candidate}: the run folder cannot be made ({error.strerror or error})") from error
        return candidate


def report_error(error: UserError) -> int:
    """Write an error's lines to stderr, with the stack trace where it was asked for; returns the exit code."""
    if _wants_trace():
        traceback.print_exception(error)
    complain(str(error))
    return error.exit_code


def complain(text: str) -> None:
    """Write lines to stderr, without the passwords of addresses in them."""
    from stm32pose.reporting.redact import redact

    sys.stderr.write(redact(text) + "\n")
    sys.stderr.flush()


def _folder_overrides(path: Path, overrides: list[str], multirun: bool) -> list[str]:
    """`hydra.run.dir`, or `hydra.sweep.dir`, where it is needed beside file and command line.

    In the manner of ST's files where neither says.
    """
    import yaml

    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    hydra = content.get("hydra") or {}
    added = []
    for section, value in (("sweep", SWEEP_DIR),) if multirun else (("run", RUN_DIR),):
        key = f"hydra.{section}.dir"
        written = hydra.get(section) if isinstance(hydra, dict) else None
        given = any(part.lstrip("+").startswith(f"{key}=") for part in overrides)
        given = given or (isinstance(written, dict) and bool(written.get("dir")))
        if not given and "defaults" not in content:
            added.append(f"{key}={value}")
    return added


def free_folder(folder: Path) -> Path:
    """`folder`, or the first of `folder_2`, `folder_3`, ... that no run has taken."""
    number, candidate = 1, folder
    while (candidate / CLAIM).exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}_{number}")
    return candidate


def _run_folder(folder: Path) -> Path:
    """The folder that was claimed before Hydra started, or one claimed now."""
    if folder.resolve() in _taken:
        _taken.discard(folder.resolve())
        return folder
    return claim_folder(folder)


def _release() -> None:
    """Leave nothing behind of a run that never began."""
    while _taken:
        folder = _taken.pop()
        (folder / CLAIM).unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()


def _caused(shown: UserError, cause: Exception) -> UserError:
    shown.__cause__ = cause
    return shown


def _quoted(text: str) -> str:
    """A value of a `key=value` that Hydra's parser takes as it stands."""
    return "'" + text.replace("'", "\\'") + "'"


def _wants_trace() -> bool:
    asked = _trace.get()
    if asked is None:
        asked = any(os.environ.get(name, "0") not in ("", "0") for name in ("STM32POSE_TRACE", FULL_ERROR))
    return asked


@contextmanager
def _own_errors() -> Iterator[None]:
    """Have Hydra pass errors on instead of printing its stack trace; whether one is wanted stays as it was."""
    token, before = _trace.set(_wants_trace()), os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    finally:
        _trace.reset(token)
        os.environ.pop(FULL_ERROR)
        if before is not None:
            os.environ[FULL_ERROR] = before


def _source_file(hydra) -> str:
    """The YAML file that Hydra read, or an empty text."""
    name = hydra.job.config_name or ""
    name = name if name.endswith(".yaml") else f"{name}.yaml"
    for source in hydra.runtime.config_sources:
        path = Path(source.path, name)
        if source.schema == "file" and path.is_file():
            return str(tidy(path))
    return ""


def tidy(path: Path) -> Path:
    """The path from here where it lies below the current folder; links stay as they are."""
    full = Path(os.path.normpath(path.absolute()))
    return full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full

"""`--json`: for scripts, stdout holds the path of each job's results.json and nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path

FLAG = "--json"
RESULTS = "results.json"


def take_flag(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The command line without `--json`, and whether it was there; Hydra does not know it."""
    return [part for part in arguments if part != FLAG], FLAG in arguments


@contextmanager
def results_last(wanted: bool, folders: Sequence[Path]) -> Iterator[None]:
    """Everything printed inside goes to stderr; at the end stdout gets the paths, one a line, also of runs that failed.

    Args:
        wanted: False changes nothing.
        folders: the run folders, filled inside.
    """
    if not wanted:
        yield
        return
    try:
        with redirect_stdout(sys.stderr), _native_output_to_stderr():
            yield
    finally:
        for folder in folders:
            if (folder / RESULTS).is_file():
                sys.stdout.write(f"{(folder / RESULTS).absolute()}\n")
        with suppress(OSError):  # the reader has gone
            sys.stdout.flush()


@contextmanager
def _native_output_to_stderr() -> Iterator[None]:
    """What native libraries and child processes write past Python."""
    try:
        sys.__stdout__.flush()  # pyright: ignore[reportOptionalMemberAccess]
        kept = os.dup(1)
        os.dup2(2, 1)
    except (OSError, AttributeError):  # no such stream, as in a window without a console
        yield
        return
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)

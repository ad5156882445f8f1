"""The two errors a user can cause, and the help that goes with a misspelt name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 200
"""Characters of another program's message that are passed on."""


class UserError(Exception):
    """A run that cannot go on, for a reason the user can mend. Its text is one line, shown without a stack trace."""

    exit_code = 1


class ConfigError(UserError):
    """A configuration that cannot be run. Its text says where, what was got and what is allowed."""

    exit_code = 2


def did_you_mean(name: object, allowed: Iterable[object]) -> str:
    """`; did you mean 'Adam'?` for the nearest of `allowed` (case ignored), or an empty string."""
    spellings = {str(item).lower(): str(item) for item in allowed}
    match = get_close_matches(str(name).lower(), list(spellings), n=1, cutoff=0.6)
    return f"; did you mean '{spellings[match[0]]}'?" if match else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, at most 200 characters; its kind where it has no text."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip()[:LONGEST]


def one_line(error: BaseException) -> str:
    """Kind and whole text of an error on one line: for a user's own code, where the reason may be further down."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"

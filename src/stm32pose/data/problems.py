"""`Problem`: one fault found in labels or images, and where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Problem:
    """One fault.

    Attributes:
        code: kind of fault, the same word for all of its kind (`bad_flag`, `missing_label`, ...).
        severity: "error" stops a run, "warning" is told and passed over.
        where: `file`, `file:line` or `file: image 12`.
        message: what is wrong, without a full stop.
    """

    code: str
    severity: Literal["error", "warning"]
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


def errors_of(problems: Iterable[Problem]) -> list[Problem]:
    """Those that stop a run."""
    return [problem for problem in problems if problem.severity == "error"]


def first_few(problems: Sequence[Problem], count: int = 3) -> str:
    """The first `count`, in one line."""
    return "; ".join(str(problem) for problem in problems[:count]) + ("; ..." if len(problems) > count else "")


def count_by_code(problems: Iterable[Problem]) -> dict[str, int]:
    """How many of each code, most frequent first."""
    return dict(Counter(problem.code for problem in problems).most_common())

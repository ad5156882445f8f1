"""`Commands`: programs of a deployment, one after the other: shown, logged, recorded, and an error where one fails."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stm32pose.deployment.causes import likely_cause, telling_line
from stm32pose.errors import UserError
from stm32pose.processes import Finished, run_program, show_command

log = logging.getLogger(__name__)

DONE, DRY, FAILED, LEFT_OUT = "done", "dry run", "failed", "not needed"


@dataclass
class Commands:
    """What has been run so far.

    Attributes:
        folder: receives one log a program, `01_build.log`.
        dry_run: show and record, run nothing.
        records: one dictionary a program: title, command (a list), shown (as one would type it), status (`done`,
            `dry run`, `failed`, `not needed`), log (a path as text, or None), seconds, note.
    """

    folder: Path
    dry_run: bool = False
    records: list[dict[str, Any]] = field(default_factory=list)

    def run(
        self,
        title: str,
        command: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 1800,
        wrong: str = "",
        unneeded: str = "",
        check: bool = True,
    ) -> Finished | None:
        """Show a program, run it, keep its log; None in a dry run, or where its output says it was not needed.

        Args:
            title: what it does, a word or two; part of the log's name.
            command: the program and its arguments; no shell reads them.
            cwd, env, timeout_s: as `processes.run_program`.
            wrong: pattern of output that is a failure even with status 0: some of ST's programs end so.
            unneeded: pattern of output that makes a failure none.
            check: whether a failure is an error; else the caller looks at what came out.

        Raises:
            UserError: it fails: its last telling line, the likely cause and the log.
        """
        path = self.folder / f"{len(self.records) + 1:02d}_{re.sub(r'[^a-z0-9]+', '_', title.lower())}.log"
        record = self.note(title, command, status=DRY if self.dry_run else "running", log_file=path, cwd=cwd)
        if self.dry_run:
            record["log"] = None
            return None
        try:
            done = run_program(command, log=path, cwd=cwd, env=env, timeout_s=timeout_s)
        except UserError:
            record["status"] = FAILED
            raise
        record["seconds"] = round(done.seconds, 2)
        failed = check and (done.returncode != 0 or bool(wrong and re.search(wrong, done.output, re.MULTILINE)))
        if failed and unneeded and re.search(unneeded, done.output):
            record.update(status=LEFT_OUT, note=telling_line(done.output))
            return None
        if failed:
            record["status"] = FAILED
            raise UserError(_complaint(title, done))
        record["status"] = DONE
        return done

    def note(
        self,
        title: str,
        command: Sequence[str | Path],
        *,
        status: str,
        log_file: Path | None = None,
        cwd: Path | None = None,
    ) -> dict[str, Any]:
        """Show and record a program that another module runs; returns the record."""
        words = [str(word) for word in command]
        record = {
            "title": title,
            "command": words,
            "shown": show_command(words),
            "cwd": str(cwd) if cwd else None,
            "status": status,
            "log": str(log_file) if log_file else None,
            "seconds": None,
            "note": "",
        }
        self.records.append(record)
        log.info("%s%s: %s", title, " (dry run)" if status == DRY else "", record["shown"])
        return record


def _complaint(title: str, done: Finished) -> str:
    cause = likely_cause(done.output)
    ended = f"ended with status {done.returncode}" if done.returncode else "reports an error"
    return (
        f"{title}: {Path(done.command[0]).name} {ended}: {telling_line(done.output)}"
        + (f"; {cause}" if cause else "")
        + f"; log: {done.log}"
    )

"""Other programs: started without a shell, watched line by line, logged whole, and stopped with all they started."""

from __future__ import annotations

import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TextIO

from stm32pose.errors import UserError

KEPT = 4_000_000
"""Characters of a program's output that are kept in memory: the last ones. The log has everything."""
LINE = 65_536
"""Longest piece handed on at once where a program writes no line ends."""
GRACE_S = 2.0
"""Between asking a program to end and ending it."""


@dataclass(frozen=True)
class Finished:
    """A program that ended by itself.

    Attributes:
        command: the program and its arguments.
        returncode: its exit status; negative: the signal that ended it (a crash).
        output: standard output and error as they came, at most the last 4,000,000 characters.
        seconds: wall time.
        log: the file that holds the whole output.
    """

    command: tuple[str, ...]
    returncode: int
    output: str
    seconds: float
    log: Path | None


def run_program(
    command: Sequence[str | Path],
    *,
    log: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Finished:
    """Run a program to its end; a status other than 0 is returned, not raised.

    Its standard input is closed, so that a question (a licence, a password) ends it instead of waiting for ever. It and
    all it starts form a group of their own, which is ended on a timeout, on Ctrl-C, and when the program itself ends.

    Args:
        command: the program and its arguments; no shell reads them.
        log: file that receives the command line and then the output as it comes; its folder is made.
        cwd: working folder; absent: this process's.
        env: variables added to this process's environment.
        timeout_s: longest wall time in seconds.
        on_line: called with each line, without its end, in the caller's thread; carriage returns end lines too.

    Raises:
        UserError: the program cannot be started, did not end in time, or its log cannot be written.
    """
    words = command_words(command)
    started = time.monotonic()
    kept, size = deque[str](), 0
    with _log_file(log, words) as file, started_program(words, cwd=cwd, env=env, stderr=subprocess.STDOUT) as process:
        lines: queue.Queue[str | None] = queue.Queue(maxsize=1000)
        assert process.stdout is not None  # noqa: S101
        reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
        reader.start()
        try:
            for line in _lines(process, lines, words, log, started, timeout_s):
                if file is not None:
                    _write(file, line, log)
                kept.append(line)
                size += len(line)
                while size > KEPT:
                    size -= len(kept.popleft())
                if on_line is not None:
                    on_line(line.rstrip("\n"))
            returncode = process.wait()
        finally:
            end_group(process)
            _drain(lines, reader)
    return Finished(words, returncode, "".join(kept), time.monotonic() - started, log)


def show_command(command: Iterable[str | Path]) -> str:
    """A command as one would type it, for people to read."""
    return shlex.join(str(word) for word in command)


def command_words(command: Sequence[str | Path]) -> tuple[str, ...]:
    """A command as text; the program's path is made absolute, so that a working folder does not change its meaning."""
    words = [str(word) for word in command]
    if ("/" in words[0] or os.sep in words[0]) and not Path(words[0]).is_absolute():
        words[0] = str(Path(words[0]).absolute())
    return tuple(words)


@contextmanager
def started_program(
    words: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    binary: bool = False,
    **streams: Any,
):
    """A program started in a group of its own, `subprocess.Popen`; the group is ended when the block is left.

    Args:
        words: the program and its arguments.
        cwd, env: as `run_program`.
        binary: its streams carry bytes instead of text.
        streams: `stdin` (absent: closed), `stdout` (absent: a pipe), `stderr`, as `subprocess.Popen` takes them.

    Raises:
        UserError: it cannot be started.
    """
    name = Path(words[0]).name
    if cwd is not None and not cwd.is_dir():
        raise UserError(f"{name}: cannot be started: its working folder {cwd} does not exist")
    text = {} if binary else {"text": True, "encoding": "utf-8", "errors": "replace"}
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **text, **streams}
    if sys.platform == "win32":
        options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
    else:
        options["start_new_session"] = True
    try:
        process = subprocess.Popen(list(words), cwd=cwd, env={**os.environ, **(env or {})}, **options)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{words[0]}: cannot be started ({reason})") from error
    try:
        yield process
    finally:
        end_group(process)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(OSError, ValueError):
                    stream.close()


def end_group(process: subprocess.Popen[Any], grace_s: float = GRACE_S) -> None:
    """End a program and whatever it started: asked first, ended after `grace_s` seconds. Harmless if all has ended."""
    if sys.platform == "win32":
        if process.poll() is None:
            ender = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
            subprocess.run(ender, capture_output=True, check=False)
        process.wait()
        return
    if process.poll() is None:
        _signal(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the latter: macOS, where only zombies are left
        os.killpg(group, number)


def _lines(
    process: subprocess.Popen[str],
    lines: queue.Queue[str | None],
    words: Sequence[str],
    log: Path | None,
    started: float,
    timeout_s: float | None,
):
    """Lines as they come, until the output ends; what a dead program's children go on saying is cut off."""
    ended = None
    while True:
        now = time.monotonic()
        if timeout_s is not None and now - started > timeout_s:
            where = f"; log: {log}" if log else ""
            raise UserError(f"{Path(words[0]).name}: did not end within {timeout_s:g} s and was stopped{where}")
        if process.poll() is not None:
            ended = ended or now
            if now - ended > GRACE_S:
                return
        try:
            line = lines.get(timeout=0.1)
        except queue.Empty:
            continue
        if line is None:
            left = None if timeout_s is None else max(0.0, started + timeout_s - time.monotonic())
            try:
                process.wait(left)
            except subprocess.TimeoutExpired:
                continue  # it closed its output and goes on
            return
        yield line


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    try:
        while line := stream.readline(LINE):
            lines.put(line)
    except (OSError, ValueError):  # closed under the reader, since the program was stopped
        pass
    lines.put(None)


def _drain(lines: queue.Queue[str | None], reader: threading.Thread) -> None:
    """Let the reader's thread end: it may be waiting for a place in the queue."""
    deadline = time.monotonic() + GRACE_S
    while reader.is_alive() and time.monotonic() < deadline:
        with suppress(queue.Empty):
            lines.get(timeout=0.05)
    reader.join(0.1)


@contextmanager
def _log_file(log: Path | None, words: Sequence[str]):
    if log is None:
        yield None
        return
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("w", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{log}: the log cannot be written ({error.strerror})") from error
    with file:
        _write(file, f"$ {show_command(words)}\n", log)
        yield file


def _write(file: TextIO, text: str, log: Path | None) -> None:
    try:
        file.write(text)
        file.flush()
    except OSError as error:
        raise UserError(f"{log}: the log cannot be written ({error.strerror})") from error

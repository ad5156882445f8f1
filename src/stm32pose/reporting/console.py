"""What the terminal shows: messages, progress with the time left, tables. Plain lines under CI and in pipes."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from stm32pose.reporting.redact import redact

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)

LOG_FILE = "stm32ai_main.log"


def live() -> bool:
    """Whether bars that redraw themselves are welcome: a terminal, and not CI."""
    return console.is_terminal and not os.environ.get("CI")


def setup_logging(folder: Path | None) -> None:
    """Messages of this package to the terminal; everything to the log file of the run folder, where there is one."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, logging.FileHandler) or type(handler) in (logging.StreamHandler, RichHandler):
            root.removeHandler(handler)
            handler.close()
    root.setLevel(logging.INFO)
    logging.getLogger("stm32pose").setLevel(logging.DEBUG)  # details go to the file
    terminal: logging.Handler
    if sys.stderr.isatty():
        terminal = RichHandler(console=Console(stderr=True, highlight=False), show_path=False, show_time=False)
        terminal.setFormatter(_Redacting("%(message)s"))
    else:
        terminal = logging.StreamHandler()
        terminal.setFormatter(_Redacting("%(levelname)s: %(message)s"))
    terminal.setLevel(logging.INFO)
    terminal.addFilter(lambda record: record.name.startswith("stm32pose") or record.levelno >= logging.ERROR)
    root.addHandler(terminal)
    if folder is not None:
        file = logging.FileHandler(folder / LOG_FILE, mode="a", encoding="utf-8")
        file.setFormatter(_Redacting("[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"))
        root.addHandler(file)


class _Redacting(logging.Formatter):
    """No password of an address in the log."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def say(text: str = "", style: str | None = None) -> None:
    """One line on the terminal."""
    console.print(text, style=style, markup=False, soft_wrap=True)


def complain(text: str) -> None:
    """An error's lines on standard error, nothing else around them."""
    sys.stderr.write(text.rstrip() + "\n")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table; the first column is text, the others are right-aligned."""
    drawn = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for index, column in enumerate(columns):
        drawn.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        drawn.add_row(*("" if cell is None else str(cell) for cell in row))
    console.print(drawn)


@contextmanager
def messages_above() -> Iterator[None]:
    """While a line that redraws itself is shown, messages go to its console, which puts them above; not over it."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, RichHandler)]
    kept = [handler.console for handler in handlers]
    for handler in handlers:
        handler.console = console
    try:
        yield
    finally:
        for handler, own in zip(handlers, kept, strict=True):
            handler.console = own


@contextmanager
def counting(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar with the time left; yields a function that is told how many more are done."""
    if not live():
        started = time.perf_counter()
        yield lambda _count: None
        say(f"{title}: {total} in {time.perf_counter() - started:.1f} s")
        return
    with messages_above(), _bars() as bars:
        task = bars.add_task(title, total=total, note="")
        yield lambda count: bars.advance(task, count)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )

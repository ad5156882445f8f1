"""The table of a training, a row an epoch: live on a terminal, plain aligned lines everywhere else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from stm32pose.reporting import console

Event = dict[str, Any]

LINES = 20
"""About how many epochs of a long training get a line where there is no terminal."""
HEADER_EVERY = 20
"""Rows between two headers."""
GAP = "  "
BAR_WIDTH = 16
NAMES = {
    "loss": "loss",
    "oks": "OKS",
    "val_loss": "val loss",
    "val_oks": "val OKS",
    "val_pck": "val PCK",
    "val_epe": "val EPE",
}
"""How a figure is called on the terminal."""


@dataclass(frozen=True)
class _Column:
    """One column.

    Attributes:
        title: over it.
        width: characters.
        text: what it says of an event.
        figure: of the row that it shows, whose absence in the first row leaves the column out; None: always there.
        rank: the highest go first where there is no room.
    """

    title: str
    width: int
    text: Callable[[Event], str]
    figure: str | None = None
    rank: int = 0


class TrainingTable:
    """Formats the rows. What it is told are the events of `stm32pose.training.loop`.

    Args:
        epochs: how many there will be at most.
        width: of a line, in characters; no line is longer.
    """

    def __init__(self, epochs: int, width: int):
        self._epochs, self._width = epochs, width
        self._columns: list[_Column] = []

    def header(self, event: Event) -> str:
        """The titles. The event of the first row decides which figures there are."""
        if not self._columns:
            self._columns = self._fitting([c for c in self._known() if c.figure is None or c.figure in event["logs"]])
        return GAP.join(f"{column.title:>{column.width}}" for column in self._columns)

    def row(self, event: Event) -> str:
        """The figures of an epoch, `*` behind it where it is the best so far."""
        if not self._columns:
            self.header(event)
        cells = [f"{column.text(event):>{column.width}}" for column in self._columns]
        return GAP.join(cells) + (" *" if event.get("best") else "")

    def _known(self) -> list[_Column]:
        def figure(name: str, rank: int, digits: int = 3) -> _Column:
            width = max(len(NAMES[name]), 7 if name.endswith("loss") else 5)
            return _Column(NAMES[name], width, lambda event: decimal(event["logs"].get(name), digits), name, rank)

        digits = len(str(self._epochs))
        return [
            _Column("epoch", max(5, 2 * digits + 1), lambda event: f"{event['epoch']}/{self._epochs}"),
            figure("loss", 0, 5),
            figure("val_loss", 3, 5),
            figure("oks", 7),
            figure("val_oks", 0),
            figure("val_pck", 2),
            figure("val_epe", 9, 2),
            _Column("LR", 7, lambda event: scientific(event["logs"].get("learning_rate")), "learning_rate", 4),
            _Column("img/s", 5, lambda event: whole(event.get("images_per_second")), None, 5),
            _Column("time", 5, lambda event: duration(event["logs"].get("seconds")), None, 6),
            _Column("left", 5, lambda event: duration(event.get("eta_seconds")), None, 1),
            _Column("best", max(4, digits), lambda event: whole(event.get("best_epoch")), None, 8),
        ]

    def _fitting(self, columns: list[_Column]) -> list[_Column]:
        room = self._width - 2  # for the mark
        while len(columns) > 1 and sum(c.width for c in columns) + len(GAP) * (len(columns) - 1) > room:
            columns.remove(max(columns, key=lambda column: column.rank))
        return columns


@contextmanager
def training_table(epochs: int) -> Iterator[Callable[[Event], None]]:
    """The table of a training; yields a function for the events of `stm32pose.training.loop`.

    On a terminal every epoch is a row that scrolls up, over one line of progress. Elsewhere some twenty epochs are
    plain lines; `logs/metrics/train_metrics.csv` and the log file have them all.
    """
    if not console.live():
        shown = _Plain(epochs)
        try:
            yield shown
        finally:
            shown.close()
        return
    with console.messages_above(), _progress() as progress:
        shown = _Live(epochs, progress)
        try:
            yield shown
        finally:
            shown.close()


class _Plain:
    """Lines for a file."""

    def __init__(self, epochs: int):
        self._epochs = epochs
        self._table = TrainingTable(epochs, console.console.width)
        self._rows = 0
        self._held: Event | None = None
        self._last: Event | None = None

    def __call__(self, event: Event) -> None:
        if event["kind"] != "epoch_end":
            return
        epoch, self._last, self._held = event["epoch"], event, event
        if self._rows == 0 or epoch % max(1, self._epochs // LINES) == 0 or epoch == self._epochs:
            self._show(event)

    def close(self) -> None:
        """The last epoch that there was, however the training ended, and which one was the best."""
        if self._held is not None:
            self._show(self._held)
        if self._last is not None:
            self._say(_closing(self._last))

    def _show(self, event: Event) -> None:
        if self._rows % HEADER_EVERY == 0:
            self._say(self._table.header(event), "bold")
        self._say(self._table.row(event), "green" if event.get("best") else None)
        self._rows += 1
        self._held = None

    def _say(self, text: str, style: str | None = None) -> None:
        console.say(text, style)


class _Live(_Plain):
    """Rows over a line of progress."""

    def __init__(self, epochs: int, progress: Progress):
        super().__init__(epochs)
        self._progress = progress
        self._task = progress.add_task("epoch 1", total=None, note="")

    def __call__(self, event: Event) -> None:
        kind = event["kind"]
        if kind == "epoch_begin":
            name = f"epoch {event['epoch']}/{event['epochs']}"
            note = "" if self._rows else "the first step takes longest"
            self._progress.reset(self._task, description=name, total=event["steps"], completed=0, note=note)
        elif kind == "step":
            note = f"loss {decimal(event['logs'].get('loss'), 5)}{GAP}{whole(event.get('images_per_second'))} img/s"
            self._progress.update(self._task, completed=event["step"], note=note)
        elif kind == "validating":
            self._progress.update(self._task, note="validating")
        elif kind == "epoch_end":
            self._last = event
            self._show(event)

    def _say(self, text: str, style: str | None = None) -> None:
        # `Progress` keeps its line below what its own console prints.
        self._progress.console.print(Text(text, style=style or ""), no_wrap=True, overflow="crop", crop=True)


def _progress() -> Progress:
    """One line that no terminal wraps: what does not fit is cut."""
    return Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=BAR_WIDTH),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
        console=console.console,
        transient=True,
    )


def _closing(event: Event) -> str:
    monitor, best = event["monitor"], event["best_epoch"]
    return f"* best so far by {NAMES.get(monitor, monitor)}; the best epoch is {best}"


def decimal(value: float | None, digits: int) -> str:
    """A figure in at most `digits` + 2 characters: decimals give way to what stands before them; `-` for none."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return f"{value}"
    value += 0.0  # a negative zero becomes a plain one
    before = len(f"{value:.0f}".lstrip("-")) - 1 + (value < 0)
    return f"{value:.{max(0, digits - before)}f}" if before < digits + 2 else scientific(value)


def scientific(value: float | None) -> str:
    """`1.0e-3`."""
    if value is None:
        return "-"
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def whole(value: float | None) -> str:
    """A count, or a speed: one decimal below 10, where it counts."""
    if value is None or not math.isfinite(value):
        return "-" if value is None else f"{value}"
    return f"{value:.1f}" if value < 10 and not float(value).is_integer() else f"{value:.0f}"


def duration(seconds: float | None) -> str:
    """`3.2s`, `59s`, `1:05`, `2h03`, `5d3h`, `12d`: five characters at most."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 59.5:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours // 24}d{hours % 24}h" if hours < 240 else f"{hours // 24}d"
    return f"{hours}h{minutes:02d}" if hours else f"{minutes}:{rest:02d}"

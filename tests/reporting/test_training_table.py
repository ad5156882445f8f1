"""The table of a training: every epoch on a terminal, some in a file, never a line too long."""

from __future__ import annotations

import io
import logging
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from rich.logging import RichHandler

from stm32pose.reporting import console
from stm32pose.reporting.training_table import decimal, duration, scientific, training_table, whole

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
BEST = 7


def events(
    epochs: int, *, stop: int | None = None, validation: bool = True, **changes: Any
) -> Iterator[dict[str, Any]]:
    """Those of `stm32pose.training.loop`; epochs get better until BEST, then worse."""
    for epoch in range(1, (stop or epochs) + 1):
        yield {"kind": "epoch_begin", "epoch": epoch, "epochs": epochs, "steps": 10}
        for step in (4, 10):
            logs = {"loss": 0.123}
            yield {"kind": "step", "epoch": epoch, "step": step, "steps": 10, "logs": logs, "images_per_second": 210.0}
        yield {"kind": "validating", "epoch": epoch, "epochs": epochs}
        oks = 0.9 - abs(epoch - BEST) / 1000
        row = {"epoch": epoch, "loss": 0.98765 / epoch, "oks": oks}
        if validation:
            row |= {"val_loss": 1.5 / epoch, "val_oks": oks, "val_pck": 0.25, "val_epe": 12.345}
        row |= {"learning_rate": 1e-3, "seconds": 7.5}
        yield {
            "kind": "epoch_end",
            "epoch": epoch,
            "epochs": epochs,
            "logs": row | changes,
            "images_per_second": 1234.5,
            "eta_seconds": 60.0 * (epochs - epoch),
            "monitor": "val_oks" if validation else "oks",
            "best": epoch <= BEST,
            "best_epoch": min(epoch, BEST),
        }


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a console of that kind gets to see."""
    monkeypatch.delenv("CI", raising=False)

    def show(width: int, epochs: int, *, terminal: bool = False, error: bool = False, **options: Any) -> str:
        out = io.StringIO()
        made = Console(file=out, force_terminal=terminal, width=width, highlight=False)
        monkeypatch.setattr(console, "console", made)
        try:
            with training_table(epochs) as table:
                for event in events(epochs, **options):
                    table(event)
                if error:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        return out.getvalue()

    return show


def lines_of(text: str) -> list[str]:
    """What was ever written to a line of the terminal."""
    return [line.rstrip() for line in re.split(r"[\n\r]", ESCAPES.sub("", text)) if line.strip()]


def rows_of(text: str) -> list[list[str]]:
    return [line.split() for line in lines_of(text) if re.match(r"\s*\d+/\d+ ", line)]


def test_a_file_gets_about_twenty_lines_of_a_long_training(shown: Callable[..., str]) -> None:
    text = shown(120, 300)
    rows = rows_of(text)
    assert [row[0] for row in rows] == ["1/300", *(f"{epoch}/300" for epoch in range(15, 301, 15))]
    assert text.count("val loss") == 2  # the header comes again after twenty rows
    assert "\x1b" not in text
    titles = re.split(r"\s{2,}", lines_of(text)[0].strip())
    assert titles == [
        "epoch",
        "loss",
        "val loss",
        "OKS",
        "val OKS",
        "val PCK",
        "val EPE",
        "LR",
        "img/s",
        "time",
        "left",
        "best",
    ]
    assert " ".join(rows[0]) == "1/300 0.98765 1.50000 0.894 0.894 0.250 12.3 1.0e-3 1234 7.5s 4h59 1 *"
    assert " ".join(rows[1]) == "15/300 0.06584 0.10000 0.892 0.892 0.250 12.3 1.0e-3 1234 7.5s 4h45 7"
    assert lines_of(text)[-1] == "* best so far by val OKS; the best epoch is 7"


def test_a_file_gets_every_line_of_a_short_training(shown: Callable[..., str]) -> None:
    assert [row[0] for row in rows_of(shown(120, 12))] == [f"{epoch}/12" for epoch in range(1, 13)]


def test_the_last_epoch_is_shown_however_a_training_ends(shown: Callable[..., str]) -> None:
    for error in (False, True):
        text = shown(120, 300, stop=47, error=error)
        assert [row[0] for row in rows_of(text)] == ["1/300", "15/300", "30/300", "45/300", "47/300"]
        assert "the best epoch is 7" in text


def test_a_training_without_an_epoch_says_nothing(shown: Callable[..., str]) -> None:
    assert shown(120, 300, stop=-1) == ""


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("epochs", [5, 300, 20000])
@pytest.mark.parametrize("width", [80, 40])
def test_no_line_is_longer_than_the_terminal(
    shown: Callable[..., str], width: int, epochs: int, terminal: bool
) -> None:
    text = shown(width, epochs, terminal=terminal, stop=5, loss=-123.456, val_loss=math.nan, learning_rate=1.234e-10)
    table = [line for line in lines_of(text) if re.match(r"\s*(\d+/\d+ |epoch  )", line)]
    assert len(table) >= 3
    assert max(map(len, lines_of(text) if terminal else table)) <= width
    assert "loss" in table[0]
    assert "val OKS" in table[0]


def test_columns_are_aligned(shown: Callable[..., str]) -> None:
    text = shown(120, 1000, stop=60, val_loss=math.inf, val_pck=None, loss=1e7)
    ends = {len(line.removesuffix(" *")) for line in lines_of(text)[:-1]}
    assert len(ends) == 1
    assert "inf" in text
    assert " - " in text
    assert "1.0e7" in text


def test_figures_that_there_are_not_have_no_column(shown: Callable[..., str]) -> None:
    text = shown(120, 5, validation=False)
    assert "val" not in text
    assert "the best epoch is 5" in text
    assert "by OKS" in text


def test_a_terminal_keeps_every_epoch_above_one_line_of_progress(shown: Callable[..., str]) -> None:
    text = shown(80, 50, terminal=True)
    assert [row[0] for row in rows_of(text)] == [f"{epoch}/50" for epoch in range(1, 51)]
    lines = lines_of(text)
    progress = [line for line in lines if "━" in line]
    assert any(line.startswith("epoch 50/50") for line in progress)
    assert any(line.endswith("validating") for line in progress)
    assert max(map(len, progress)) <= 80
    # A finished row ends in a line feed: it stays. Progress is written over, never followed by one of its own.
    assert text.count("\n") <= 50 + 3 + 2
    green = re.findall(r"\x1b\[32m\s*(\d+)/50 ", text)
    assert [int(epoch) for epoch in green] == list(range(1, BEST + 1))


def test_messages_stand_above_the_line_of_progress(monkeypatch: pytest.MonkeyPatch, shown: Callable[..., str]) -> None:
    """A console of their own would write into it."""
    out = io.StringIO()
    handler = RichHandler(console=Console(file=io.StringIO()), show_path=False, show_time=False)
    own, root = handler.console, logging.getLogger()
    root.addHandler(handler)
    try:
        monkeypatch.setattr(console, "console", Console(file=out, force_terminal=True, width=80))
        with training_table(5) as table:
            for event in events(5, stop=2):
                table(event)
            logging.getLogger("stm32pose.test").warning("look here")
    finally:
        root.removeHandler(handler)
    assert handler.console is own
    (line,) = [line for line in lines_of(out.getvalue()) if "look here" in line]
    assert line.startswith("WARNING")
    assert "━" not in line


def test_ci_gets_plain_lines_on_a_terminal(shown: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    assert len(rows_of(shown(80, 200, terminal=True))) == 21


@example(-0.0, 5)
@given(st.floats(-1e300, 1e300) | st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(0, 5))
def test_a_figure_keeps_its_width(value: float, digits: int) -> None:
    if abs(value) < 1e100:
        assert len(decimal(value, digits)) <= max(digits + 2, 7)
    text = decimal(value, digits)
    if math.isfinite(value):
        assert float(text) == pytest.approx(
            value, rel=0.06, abs=(5.1 if value < 0 else 0.51) * 10.0**-digits
        )  # a sign takes a digit
    else:
        assert text in ("nan", "inf", "-inf")


@given(st.floats(0, 99 * 86400))
def test_times_are_read_back(seconds: float) -> None:
    text = duration(seconds)
    assert len(text) <= 5
    days, hours, minutes, rest = (
        int(found.group(1)) if (found := re.search(pattern, text)) else 0
        for pattern in (r"(\d+)d", r"(?:^|d)(\d+)h", r"^(\d+):", r"(?:^|:)(\d+)(?:s|$|\.)")
    )
    if "h" in text and "d" not in text:
        minutes, rest = int(text.partition("h")[2]), 0
    known = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    assert known == pytest.approx(seconds, abs=86400 if days >= 10 else 3600 if days else 60 if "h" in text else 1)


def test_numbers_for_people() -> None:
    assert [scientific(value) for value in (1e-3, 4.56e-10, 0.0, None, 2.5)] == ["1.0e-3", "4.6e-10", "0", "-", "2.5e0"]
    assert [whole(value) for value in (3.26, 12.6, 7, None, math.inf)] == ["3.3", "13", "7", "-", "inf"]
    assert [duration(value) for value in (None, 0, 9.96, 59.6, 65, 3600, 7384, 10**6)] == [
        "-",
        "0.0s",
        "10s",
        "1:00",
        "1:05",
        "1h00",
        "2h03",
        "11d",
    ]

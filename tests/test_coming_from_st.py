"""The page for people who come from ST names every key that moved, and says nothing that the code denies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stm32pose.config.layouts import MOVES, ON_TARGET_MOVES, dotted, normalise
from stm32pose.config.schema import ST_MODES, Config

PAGE = (Path(__file__).parent.parent / "docs" / "coming_from_st.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize(("old", "new"), (MOVES | ON_TARGET_MOVES).items(), ids=lambda path: dotted(path))
def test_every_key_that_moved_has_its_row(old, new):
    rows = [row for row in ROWS if f"`{dotted(old)}`" in row]
    assert any(f"`{dotted(new)}`" in row for row in rows)


def test_the_rows_say_where_the_code_puts_a_key():
    moves = {dotted(old): dotted(new) for old, new in (MOVES | ON_TARGET_MOVES).items()}
    told = {}
    for row in ROWS:
        cells = [re.findall(r"`([^`]+)`", cell) for cell in row.strip("|").split("|")]
        if len(cells) >= 2 and len(cells[0]) == len(cells[1]) == 1 and cells[0][0] in moves:
            told[cells[0][0]] = cells[1][0]
    assert told == moves


def test_every_mode_of_st_is_named():
    assert [mode for mode in ST_MODES if f"`{mode}`" not in PAGE] == []


def test_names_of_models_are_those_of_the_code():
    layout = normalise(
        {
            "operation_mode": "training",
            "model": {"model_name": "st_movenet_lightning_a100_heatmaps", "pretrained": True},
        }
    )
    assert layout.get(("model", "alpha")) == 1.0
    assert layout.get(("model", "pretrained")) == "imagenet"
    assert Config(operation_mode="chain_eb").steps == ("evaluate", "benchmark")


def test_links_lead_somewhere():
    folder = Path(__file__).parent.parent / "docs"
    links = re.findall(r"\]\(([^)#]+)\)", PAGE + (folder / "tracking.md").read_text())
    assert links
    assert [link for link in links if not (folder / link).is_file()] == []


def test_the_page_is_short():
    assert len(PAGE.splitlines()) < 200

"""docs/losses.md: its blocks are configurations, its table is the program's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from stm32pose.config.load import load_config
from stm32pose.config.losses import LOSSES, OUTPUTS

PAGE = (Path(__file__).parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_are_configurations(block):
    rest = {
        "operation_mode": "training",
        "dataset": {"training_path": "data", "keypoints": 17},
        "model": {"model_name": "custom", "input_shape": (64, 64, 3)},
    }
    training = load_config({**rest, **yaml.safe_load(block)}, check_paths=False).training
    assert training is not None


def test_the_table_is_that_of_the_program():
    rows = re.findall(r"^\| ([^|]+) \| `\w+` \| ([^|]+) \|$", PAGE, re.MULTILINE)
    table = {output.split(" (")[0]: re.findall(r"`(\w+)`", names) for output, names in rows}
    for output, names in OUTPUTS.items():
        assert [name for name in table[output] if name != "mae"] == list(names)
    assert len(table) == len(OUTPUTS)


def test_every_argument_is_named():
    for name, arguments in LOSSES.items():
        for argument in arguments:
            assert f"`{argument}`" in PAGE, (name, argument)

"""The YAML of docs/schedules.md can be run, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from stm32pose.commands.keras_names import check_classes, class_names
from stm32pose.config.load import load_config
from stm32pose.training.schedules import SCHEDULERS
from stm32pose.training.schedules_steps import STEP_SCHEDULES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "schedules.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_is_valid(block: str) -> None:
    mapping = {
        "operation_mode": "training",
        "model": {"model_name": "custom", "input_shape": [64, 64, 3]},
        "dataset": {"training_path": "x", "keypoints": 17},
        **yaml.safe_load(block),
    }
    check_classes(load_config(mapping, check_paths=False))


def test_every_argument_is_named() -> None:
    # The first table that has the name: its arguments.
    rows = dict(reversed(re.findall(r"^\| `(\w+)` \| (.*?) \| .*\|$", PAGE, re.MULTILINE)))
    assert len(BLOCKS) == 5
    earlier = ""
    for name, arguments in [(name, found.arguments) for name, found in [*SCHEDULERS.items(), *STEP_SCHEDULES.items()]]:
        said = rows[name].replace("the same", earlier)
        earlier = said
        for argument in arguments:
            assert f"`{argument}`" in said, (name, argument)
    for name in class_names("optimizers.schedules"):
        assert f"`{name}`" in PAGE

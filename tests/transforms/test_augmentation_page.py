"""docs/augmentation.md: its YAML runs, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from stm32pose.commands.validate import runnable
from stm32pose.config.load import load_config
from stm32pose.errors import ConfigError
from stm32pose.skeletons.skeleton import load_skeleton
from stm32pose.transforms.chain import OPERATIONS, RESIZING, build_chain

PAGE = (Path(__file__).parents[2] / "docs" / "augmentation.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
TRAINING = {
    "operation_mode": "training",
    "model": {"model_name": "custom", "input_shape": [64, 64, 3]},
    "dataset": {"training_path": "images", "keypoints": 17},
    "training": {"batch_size": 4, "epochs": 1, "optimizer": "Adam"},
}


@pytest.mark.parametrize("block", BLOCKS)
def test_its_yaml_runs_with_its_python(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "own.py").write_text(CODE[0])
    content = {**TRAINING, **yaml.safe_load(block)}
    assert runnable(content, check_paths=False).data_augmentation
    config = load_config(content, check_paths=False)
    chain = build_chain(config.data_augmentation, input_shape=(64, 64, 3), skeleton=load_skeleton("coco17"))
    assert len(chain.links) == len(config.data_augmentation)


def test_its_tables_have_every_augmentation_and_its_arguments():
    rows = [line for line in PAGE.splitlines() if line.startswith("| `random_")]
    named = {name: row for row in rows for name in re.findall(r"`(random_\w+)`", row.split("|")[1])}
    assert set(named) == {*OPERATIONS, RESIZING}
    shared = {"fill_mode", "fill_value", "interpolation", "fill_method", "color", "covered", "change_rate"}
    for name, operation in OPERATIONS.items():
        if "the same" not in named[name]:
            arguments = set(operation.arguments) - shared
            assert all(f"`{argument}`" in named[name] for argument in arguments), (name, arguments)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"random_half_body": {}}, "random_half_body: the skeleton hand21 names no upper body"),
        ({"nowhere.py:fog": {}}, "data_augmentation.nowhere.py:fog: no file 'nowhere.py'"),
        ({"own.py:fog": {"change_rate": 2}}, "data_augmentation.own.py:fog.change_rate: got 2"),
    ],
)
def test_a_check_finds_it_without_running_anything(entries, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"")
    (tmp_path / "own.py").write_text("raise SystemExit(9)")
    dataset = {"training_path": "images", "skeleton": "hand21"}
    with pytest.raises(ConfigError, match=re.escape(message)):
        runnable({**TRAINING, "dataset": dataset, "data_augmentation": entries})

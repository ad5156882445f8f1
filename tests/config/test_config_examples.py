"""Every configuration that is shipped composes and validates, and says at its top what it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from stm32pose.commands.check import check_one
from stm32pose.commands.validate import check_file
from stm32pose.config.built import check_built

ROOT = Path(__file__).parent.parent.parent
FILES = [*sorted((ROOT / "config_file_examples").glob("*.yaml")), ROOT / "user_config.yaml"]


def test_there_are_examples():
    names = {file.stem for file in FILES}
    assert {"demo", "user_config", "training_config", "evaluation_config", "quantization_config"} <= names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_example(file, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = check_file(file, check_paths=False)
    check_built(config)
    assert check_one(file, check_paths=False) == [f"{file}: ok ({config.operation_mode}: {', '.join(config.steps)})"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_comment_at_the_top(file):
    comment = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        comment.append(line)
    text = "\n".join(comment)
    for word in ("Takes", "Needs", "Expect"):
        assert word in text


def test_the_skeleton_of_the_examples():
    from stm32pose.skeletons.skeleton import load_skeleton

    skeleton = load_skeleton(str(ROOT / "config_file_examples" / "skeletons" / "gripper5.yaml"))
    assert skeleton.count == 5
    assert skeleton.flip.tolist() == [0, 2, 1, 4, 3]

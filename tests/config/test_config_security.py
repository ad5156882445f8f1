"""A configuration file is data: nothing that it says is run, and nothing that it says can stop the program for long."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from stm32pose.config.load import load_config, load_file
from stm32pose.config.schema import Config
from stm32pose.errors import ConfigError

BASE = {
    "operation_mode": "training",
    "model": {"model_name": "custom", "input_shape": [64, 64, 3]},
    "dataset": {"training_path": "x", "keypoints": 17},
}


def text_fields() -> list[str]:
    """Every key of every section, `section.key`."""
    keys = []
    for name, field in Config.model_fields.items():
        section = field.annotation
        for candidate in (section, *getattr(section, "__args__", ())):
            if hasattr(candidate, "model_fields"):
                keys += [f"{name}.{key}" for key in candidate.model_fields]
    return keys


@pytest.mark.parametrize("key", text_fields())
def test_code_in_any_field_is_never_run(key, tmp_path):
    mark = tmp_path / "run"
    code = f"__import__('os').system('touch {mark}')"
    section, name = key.split(".")
    mapping = {**BASE, section: {**BASE.get(section, {}), name: code}}
    with contextlib.suppress(ConfigError):
        load_config(mapping, check_paths=False)
    assert not mark.exists()


@pytest.mark.parametrize("place", ["optimizer", "callbacks"])
def test_code_in_arguments_is_never_run(place, tmp_path):
    mark = tmp_path / "run"
    code = f"__import__('os').system('touch {mark}')"
    mapping = {**BASE, "training": {place: {"Adam": {"learning_rate": code, "other": [code, {"deep": code}]}}}}
    config = load_config(mapping, check_paths=False)
    assert config.training is not None
    assert getattr(config.training, place)["Adam"]["learning_rate"] == code
    assert not mark.exists()


@pytest.mark.parametrize(
    "text",
    [
        "operation_mode: !!python/object/apply:os.system ['touch {mark}']\n",
        "operation_mode: training\ndataset: !!python/object/new:os.system ['touch {mark}']\n",
        "operation_mode: !!python/name:os.system\n",
        "operation_mode: !include /etc/passwd\n",
    ],
)
def test_yaml_tags_are_errors(text, tmp_path):
    mark = tmp_path / "run"
    file = tmp_path / "c.yaml"
    file.write_text(text.format(mark=mark))
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        load_file(file)
    assert not mark.exists()


@pytest.mark.parametrize("value", ["9**9**9**9", "10**10**10", "(1e300*1e300)", "2**(2**(2**(2**(2**2))))", "1" * 5000])
def test_huge_numbers_are_errors_and_quick(value):
    started = time.perf_counter()
    with pytest.raises(ConfigError, match=r"preprocessing.rescaling.scale: got"):
        load_config({**BASE, "preprocessing": {"rescaling": {"scale": value}}}, check_paths=False)
    assert time.perf_counter() - started < 1


def test_aliases_that_multiply(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    file = tmp_path / "c.yaml"
    file.write_text("\n".join([*lines, "operation_mode: training"]) + "\n")
    started = time.perf_counter()
    with pytest.raises(ConfigError, match="stands for more than"):
        load_file(file)
    assert time.perf_counter() - started < 2


def test_a_file_that_contains_itself(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("operation_mode: training\ndataset: &d\n  name: *d\n")
    with pytest.raises(ConfigError, match="contains itself"):
        load_file(file)


def test_no_eval_in_the_room():
    source = Path(__file__).parent.parent.parent / "src" / "stm32pose" / "config"
    for file in source.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        for word in ("eval(", "exec(", "pickle", "yaml.load(", "unsafe_load", "os.system"):
            assert word not in text.replace("literal_eval(", ""), f"{file.name}: {word}"

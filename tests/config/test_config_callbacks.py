"""Callbacks of ST's releases that are something else here."""

from __future__ import annotations

from typing import Any

import pytest

from stm32pose.commands.validate import check_names
from stm32pose.config.built import check_built
from stm32pose.config.load import load_config
from stm32pose.errors import ConfigError
from stm32pose.training.schedules import SCHEDULERS

SIZES = [[192, 192], [224, 160]]


def load(callbacks: Any, **augmentation: Any):
    mapping = {
        "operation_mode": "training",
        "model": {"model_name": "custom", "input_shape": [64, 64, 3]},
        "dataset": {"training_path": "x", "keypoints": 17},
        "training": {"callbacks": callbacks},
        **({"data_augmentation": augmentation} if augmentation else {}),
    }
    return load_config(mapping, check_paths=False)


def test_the_callback_of_4x_that_changes_sizes():
    config = load({"MultiResCallback": {"image_sizes": SIZES, "period": 5, "name": "sizes"}, "TerminateOnNaN": {}})
    assert config.data_augmentation == {"random_periodic_resizing": {"image_sizes": SIZES, "period": 5}}
    assert config.training is not None
    assert list(config.training.callbacks) == ["TerminateOnNaN"]
    same = load({}, random_periodic_resizing={"image_sizes": SIZES, "period": 5})
    assert same.data_augmentation == config.data_augmentation


def test_alone_it_leaves_an_empty_section():
    config = load({"MultiResCallback": {"image_sizes": SIZES, "period": 5}})
    assert config.training is not None
    assert config.training.callbacks == {}


def test_said_twice_in_two_ways():
    with pytest.raises(ConfigError, match=r"MultiResCallback: got .*random_periodic_resizing says .*keep one of them"):
        load({"MultiResCallback": {"image_sizes": SIZES, "period": 5}}, random_periodic_resizing={"image_sizes": SIZES})


@pytest.mark.parametrize("given", [None, [192, 224]])
def test_without_arguments(given: Any):
    with pytest.raises(ConfigError, match=r"training\.callbacks\.MultiResCallback: got .*expected {image_sizes: "):
        load({"MultiResCallback": given})


def test_wrong_sizes_are_said():
    with pytest.raises(ConfigError, match="image_sizes"):
        check_names(load({"MultiResCallback": {"image_sizes": [[190, 192]], "period": 5}}), check_paths=False)


@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_sts_schedulers_are_built(name: str):
    config = load({name: {"initial_lr": "1.0e-2"}})
    check_built(config)
    with pytest.raises(ConfigError, match=f"training.callbacks.{name}: argument '.*' is missing"):
        check_names(config, check_paths=False)

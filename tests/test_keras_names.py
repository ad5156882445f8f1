"""Names of Keras classes without importing Keras."""

from __future__ import annotations

import pytest

from stm32pose.commands.keras_names import check_class_names, class_names
from stm32pose.config.load import load_config
from stm32pose.errors import ConfigError

BASE = {
    "operation_mode": "training",
    "model": {"model_name": "custom", "input_shape": [64, 64, 3]},
    "dataset": {"training_path": "x", "keypoints": 17},
}


def test_names_of_the_installed_keras():
    assert {"Adam", "AdamW", "SGD", "RMSprop"} <= set(class_names("optimizers"))
    assert {"EarlyStopping", "ModelCheckpoint", "ReduceLROnPlateau"} <= set(class_names("callbacks"))
    assert "Optimizer" not in class_names("optimizers")
    assert class_names("no_such_module") == ()


def test_every_wrong_name_has_its_line():
    training = {"optimizer": "Addam", "callbacks": {"EarlyStoping": {}, "ModelCheckpoint": None, "adam": {}}}
    config = load_config({**BASE, "training": training}, check_paths=False)
    with pytest.raises(ConfigError) as caught:
        check_class_names(config)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("training.optimizer: unknown optimizer 'Addam'; allowed: ")
    assert lines[0].endswith("did you mean 'Adam'?")
    assert lines[1].endswith("did you mean 'EarlyStopping'?")
    assert len(lines) == 3

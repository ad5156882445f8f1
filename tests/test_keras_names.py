"""Names of Keras classes without importing Keras."""

from __future__ import annotations

import pytest

from stm32pose.commands.keras_names import check_classes, class_names, signature
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
        check_classes(config)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("training.optimizer: unknown optimizer 'Addam'; allowed: ")
    assert lines[0].endswith("did you mean 'Adam'?")
    assert lines[1].endswith("did you mean 'EarlyStopping'?")
    assert len(lines) == 3


def problems(**training) -> list[str]:
    try:
        check_classes(load_config({**BASE, "training": training}, check_paths=False))
    except ConfigError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize(
    ("training", "where", "end"),
    [
        (
            {"optimizer": {"Adam": {"learning_rat": 1}}},
            "training.optimizer.Adam.learning_rat: unknown argument; allowed: learning_rate, ",
            "did you mean 'learning_rate'?",
        ),
        ({"optimizer": {"SGD": {"lr": 1}}}, "training.optimizer.SGD.lr: unknown argument", "; write learning_rate"),
        (
            {"callbacks": {"ReduceLROnPlateau": {"pacience": 3}}},
            "training.callbacks.ReduceLROnPlateau.pacience: unknown argument; allowed: monitor, ",
            "did you mean 'patience'?",
        ),
        (
            {"callbacks": {"ModelCheckpoint": {"filepath": "x"}}},
            "training.callbacks.ModelCheckpoint.filepath: unknown argument",
            "allowed: monitor, mode",
        ),
        (
            {"optimizer": {"Adam": {"learning_rate": {"CosineDecay": {"initial_rate": 1}}}}},
            "training.optimizer.Adam.learning_rate.CosineDecay.initial_rate: unknown argument",
            "did you mean 'initial_learning_rate'?",
        ),
        (
            {"optimizer": {"Adam": {"learning_rate": {"CosinDecay": {}}}}},
            "training.optimizer.Adam.learning_rate: unknown schedule 'CosinDecay'",
            "did you mean 'CosineDecay'?",
        ),
    ],
)
def test_arguments(training, where, end):
    first = problems(**training)[0]
    assert first.startswith(where)
    assert first.endswith(end)


def test_a_missing_argument():
    schedule = {"Adam": {"learning_rate": {"ExponentialDecay": {"initial_learning_rate": 1e-3}}}}
    assert problems(optimizer=schedule) == [
        "training.optimizer.Adam.learning_rate.ExponentialDecay: argument 'decay_rate' is missing"
    ]


def test_right_arguments_and_those_of_the_bases():
    general = {"clipnorm": 1, "use_ema": True, "weight_decay": 0.1, "gradient_accumulation_steps": 2}
    cosine = {"learning_rate": {"CosineDecay": {"initial_learning_rate": 1e-3}}}
    for name in ("Adam", "AdamW", "SGD", "Lion"):
        assert problems(optimizer={name: {**general, **cosine}}) == []
    assert problems(callbacks={"EarlyStopping": {"monitor": "val_oks", "patience": 3}, "TerminateOnNaN": {}}) == []


def test_signatures_are_those_of_the_installed_keras():
    import keras

    from stm32pose.training.arguments import signature_of

    modules = {
        "optimizers": keras.optimizers,
        "callbacks": keras.callbacks,
        "optimizers.schedules": keras.optimizers.schedules,
    }
    for module, real in modules.items():
        for name in class_names(module):
            found, wanted = signature(module, name), signature_of(getattr(real, name))
            assert found is not None, name
            assert found.allowed == tuple(wanted), name
            required = [key for key, parameter in wanted.items() if parameter.default is parameter.empty]
            assert found.required == tuple(required), name

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
            "training.callbacks.ModelCheckpoint.filepath: only monitor and mode can be set",
            "kept in saved_models_dir)",
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


@pytest.mark.parametrize(
    ("training", "line"),
    [
        (
            {"callbacks": {"EarlyStopping": {"patience": "many"}}},
            "training.callbacks.EarlyStopping.patience: got 'many'; a whole number, 0 or more, is needed",
        ),
        (
            {"callbacks": {"ReduceLROnPlateau": {"factor": "half"}}},
            "training.callbacks.ReduceLROnPlateau.factor: got 'half'; a number is needed",
        ),
        (
            {"callbacks": {"EarlyStopping": {"restore_best_weights": 3}}},
            "training.callbacks.EarlyStopping.restore_best_weights: got 3; True or False is needed",
        ),
        (
            {"callbacks": {"EarlyStopping": {"monitor": "accuracy"}}},
            "training.callbacks.EarlyStopping.monitor: got 'accuracy'; allowed: loss, oks, val_loss, val_oks, val_pck, "
            "val_epe",
        ),
        (
            {"callbacks": {"TensorBoard": {}}},
            "training.callbacks.TensorBoard: always on (logs_dir); leave it out",
        ),
        (
            {"callbacks": {"CSVLogger": {"filename": "x.csv"}}},
            "training.callbacks.CSVLogger: always on (logs_dir/metrics/train_metrics.csv); leave it out",
        ),
        (
            {"optimizer": {"Adam": {"beta_1": "often"}}},
            "training.optimizer.Adam.beta_1: got 'often'; a number is needed",
        ),
        (
            {"optimizer": {"Adam": {"use_ema": "mostly"}}},
            "training.optimizer.Adam.use_ema: got 'mostly'; True or False is needed",
        ),
        (
            {"optimizer": {"Adam": {"learning_rate": "fast"}}},
            "training.optimizer.Adam.learning_rate: got 'fast'; a number is needed",
        ),
        (
            {"optimizer": {"Adam": {"learning_rate": -0.1}}},
            "training.optimizer.Adam.learning_rate: got -0.1; it must be above 0",
        ),
        (
            {"optimizer": {"Adam": {"learning_rate": {"CosineDecay": {"initial_learning_rate": "low"}}}}},
            "training.optimizer.Adam.learning_rate.CosineDecay.initial_learning_rate: got 'low'; a number is needed",
        ),
        (
            {"optimizer": {"Adam": {"learning_rate": {"CosineDecay": None}}}},
            "training.optimizer.Adam.learning_rate.CosineDecay: got None; its arguments are needed, such as "
            "initial_learning_rate: 1.0e-3",
        ),
        (
            {
                "epochs": 4,
                "optimizer": {"Adam": {"learning_rate": {"WarmupThreeStepDecay": {"initial_learning_rate": 1e-3}}}},
            },
            "training.optimizer.Adam.learning_rate.WarmupThreeStepDecay: training.epochs is 4; without boundaries (a "
            "list of steps) 5 epochs or more are needed",
        ),
        (
            {"callbacks": {"LRStepDecay": {"initial_lr": 0.1, "step_size": 0, "decay_rate": 0.5}}},
            "training.callbacks.LRStepDecay.step_size: got 0; a whole number from 1 up is needed",
        ),
        (
            {"callbacks": {"LRStepDecay": {"initial_lr": 0.1, "step_size": 3, "decay_rate": 0.5, "compat": "St"}}},
            "training.callbacks.LRStepDecay.compat: got 'St'; allowed: st; did you mean 'st'?",
        ),
        (
            {
                "callbacks": {
                    "LRStepDecay": {"initial_lr": 0.1, "step_size": 3, "decay_rate": 0.5},
                    "ReduceLROnPlateau": {},
                }
            },
            "training.callbacks: got LRStepDecay, ReduceLROnPlateau; each sets the learning rate: keep one",
        ),
        (
            {
                "optimizer": {"Adam": {"learning_rate": {"CosineDecay": {"initial_learning_rate": 1e-3}}}},
                "callbacks": {"ReduceLROnPlateau": {}},
            },
            "training.callbacks.ReduceLROnPlateau: the optimizer's learning_rate is a schedule already; keep one of "
            "the two",
        ),
    ],
)
def test_values_are_checked_before_training(training, line):
    assert problems(**training) == [line]


def test_several_faults_of_one_callback():
    found = problems(callbacks={"EarlyStopping": {"monitor": "acc", "pacience": 3, "min_delta": "small"}})
    assert len(found) == 3


def test_schedulers_are_among_the_names():
    (line,) = problems(callbacks={"LRCosinDecay": {}})
    assert line.endswith("did you mean 'LRCosineDecay'?")
    (line,) = problems(optimizer={"Adam": {"learning_rate": {"TwoStepDeccay": {}}}})
    assert line.endswith("did you mean 'TwoStepDecay'?")


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

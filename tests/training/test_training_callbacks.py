"""Callbacks by name, what they watch, and the line a mistake gets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stm32pose.errors import ConfigError
from stm32pose.training.callbacks import MONITORS, Monitor, build_callbacks

WHERE = "training.callbacks"
STEP = {"initial_lr": 0.1, "step_size": 3, "decay_rate": 0.5}


def test_nothing_asked_for() -> None:
    user = build_callbacks({})
    assert user.callbacks == {}
    assert user.best is None


@pytest.mark.parametrize("monitor", MONITORS)
def test_auto_is_the_natural_direction(monitor: str) -> None:
    user = build_callbacks(
        {"EarlyStopping": {"monitor": monitor}, "ReduceLROnPlateau": {"monitor": monitor, "mode": "auto"}}
    )
    expected = "max" if monitor.endswith(("oks", "pck")) else "min"
    assert [callback.mode for callback in user.callbacks.values()] == [expected] * 2


def test_checkpoint_says_which_model_is_best() -> None:
    user = build_callbacks({"ModelCheckpoint": {"monitor": "val_epe"}})
    assert user.best == Monitor("val_epe", "min")
    assert user.callbacks == {}
    assert user.monitors == {f"{WHERE}.ModelCheckpoint.monitor": "val_epe"}


def test_plateau_of_a_small_loss_is_not_a_rounding_error() -> None:
    plateau = build_callbacks({"ReduceLROnPlateau": {"monitor": "val_loss"}}).callbacks["ReduceLROnPlateau"]
    assert plateau.min_delta == 0


def test_other_keras_callbacks_can_be_named() -> None:
    assert list(build_callbacks({"TerminateOnNaN": {}}).callbacks) == ["TerminateOnNaN"]


def test_a_scheduler_sets_the_rate_of_the_epoch(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    callback = build_callbacks({"LRStepDecay": {**STEP, "verbose": 1}}).callbacks["LRStepDecay"]
    optimizer = SimpleNamespace(learning_rate=1.0)
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    rates = []
    for epoch in range(7):
        callback.on_epoch_begin(epoch)
        rates.append(optimizer.learning_rate)
    assert rates == [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025]
    assert "epoch 4: LRStepDecay sets the learning rate to 5.0000e-02" in caplog.text


def test_monitor_improves() -> None:
    best = Monitor("val_oks", "max")
    assert best.improves(0.1, None)
    assert best.improves(0.2, 0.1)
    assert not best.improves(0.1, 0.1)
    assert not best.improves(float("nan"), 0.1)
    assert not best.improves(None, None)
    assert Monitor("loss", "min").improves(0.1, 0.2)


@pytest.mark.parametrize(
    ("section", "schedule", "line"),
    [
        ({"TensorBoard": {}}, False, f"{WHERE}.TensorBoard: always on"),
        ({"CSVLogger": {"filename": "x"}}, False, f"{WHERE}.CSVLogger: always on"),
        ({"BackupAndRestore": {}}, False, "resume_training_from"),
        ({"SwapEMAWeights": {}}, False, "use_ema"),
        ({"EarlyStoping": {}}, False, f"{WHERE}: unknown callback 'EarlyStoping'.*did you mean 'EarlyStopping'"),
        ({"Callback": {}}, False, "unknown callback 'Callback'"),
        ({"EarlyStopping": {"patiense": 3}}, False, rf"{WHERE}.EarlyStopping.patiense: .*did you mean 'patience'\?"),
        ({"EarlyStopping": {"patience": "3"}}, False, f"{WHERE}.EarlyStopping.patience: got '3'; a whole number"),
        ({"EarlyStopping": {"monitor": "val_oka"}}, False, "got 'val_oka'; allowed: loss, .*did you mean 'val_oks'"),
        ({"EarlyStopping": {"mode": "up"}}, False, f"{WHERE}.EarlyStopping.mode: got 'up'; allowed: auto, min, max"),
        ({"ModelCheckpoint": {"filepath": "x"}}, False, "ModelCheckpoint.filepath: only monitor and mode"),
        ({"LearningRateScheduler": {"schedule": "lambda e: 1"}}, False, "write a schedule"),
        ({"RemoteMonitor": {"root": "lambda: 1"}}, False, "RemoteMonitor.root: text is never run as code"),
        ({"LRStepDecay": {"initial_lr": 1, "step_size": 3}}, False, "LRStepDecay: argument 'decay_rate' is missing"),
        ({"LRStepDecay": STEP, "ReduceLROnPlateau": {}}, False, "each sets the learning rate: keep one"),
        ({"LRStepDecay": STEP, "LRLinearDecay": {}}, False, "got LRStepDecay, LRLinearDecay; each sets"),
        ({"LRStepDecay": STEP}, True, "LRStepDecay: the optimizer's learning_rate is a schedule already"),
        ({"LRStepDecey": STEP}, False, "unknown callback 'LRStepDecey'.*did you mean 'LRStepDecay'"),
        ({"ReduceLROnPlateau": {}}, True, "is a schedule already; keep one of the two"),
        ({"ReduceLROnPlateau": {"factor": 2.0}}, False, "factor"),
    ],
)
def test_mistakes_get_one_line(section: dict[str, Any], schedule: bool, line: str) -> None:
    with pytest.raises(ConfigError, match=line) as caught:
        build_callbacks(section, schedule=schedule)
    assert "\n" not in str(caught.value)

"""Callbacks by name, what they watch, and the line a mistake gets."""

from __future__ import annotations

from typing import Any

import pytest

from stm32pose.errors import ConfigError
from stm32pose.training.callbacks import MONITORS, Monitor, build_callbacks

WHERE = "training.callbacks"


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
        ({"LRCosineDecay": {"initial_lr": 1}}, False, "LRCosineDecay: ST's schedulers are not built yet.*CosineDecay"),
        ({"ReduceLROnPlateau": {}}, True, "is a schedule already; keep one of the two"),
        ({"ReduceLROnPlateau": {"factor": 2.0}}, False, "factor"),
    ],
)
def test_mistakes_get_one_line(section: dict[str, Any], schedule: bool, line: str) -> None:
    with pytest.raises(ConfigError, match=line) as caught:
        build_callbacks(section, schedule=schedule)
    assert "\n" not in str(caught.value)

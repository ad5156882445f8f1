"""Schedules in real trainings: the rates of the history, and the same curve after a stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import training_dots as dots

from stm32pose.errors import ConfigError
from stm32pose.training.resume import load_resume
from stm32pose.training.schedules_curve import steps_per_epoch, training_curve

EPOCHS = 6
IN_EPOCHS = {
    "optimizer": {"Adam": {}},
    "callbacks": {
        "LRWarmupCosineDecay": {
            "initial_lr": 0.001,
            "warmup_steps": 2,
            "max_lr": 0.01,
            "hold_steps": 1,
            "decay_steps": 3,
            "end_lr": 0.0001,
        }
    },
}
IN_STEPS = {"optimizer": {"SGD": {"learning_rate": {"CosineDecay": {"initial_learning_rate": 0.1}}}}}
OTHER = {"LRStepDecay": {"initial_lr": 0.1, "step_size": 1, "decay_rate": 0.5}}


def run(folder: Path, splits: Any, section: dict[str, Any], *, resume: Path | None = None, stop: int | None = None):
    def interrupt(event: dict[str, Any]) -> None:
        if event["kind"] == "step" and event["epoch"] == stop:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"progress": interrupt}
    if resume is not None:
        import keras

        loaded = load_resume(resume)
        options |= {"resume": loaded, "model": keras.models.load_model(loaded.model, compile=False)}
    config = dots.dots_config(training={"epochs": EPOCHS, **section})
    return dots.dots_train(config, folder, splits, **options)


def rates(result: Any) -> list[float]:
    return [row["learning_rate"] for row in result.history]


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return dots.dots_splits(tmp_path_factory.mktemp("dots"), 20, 4)


@pytest.mark.parametrize("section", [IN_EPOCHS, IN_STEPS], ids=["epochs", "steps"])
def test_stopped_and_resumed_gives_the_same_rates(splits: Any, tmp_path: Path, section: dict[str, Any]) -> None:
    straight = rates(run(tmp_path / "straight", splits, section))
    assert len(set(straight)) > 3
    # The plotted curve is the trained one.
    config = dots.dots_config(training={"epochs": EPOCHS, **section})
    assert config.training is not None
    steps = steps_per_epoch(config.training, len(splits.training))
    assert straight == pytest.approx(training_curve(config.training, steps=steps, default=1.0).epochs.tolist())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", splits, section, stop=4)
    assert load_resume(tmp_path / "run").epoch == 3
    # Another scheduler would be another curve, another callback is welcome.
    callbacks = section.get("callbacks", {})
    other = (
        {**section, "optimizer": {"SGD": {"learning_rate": 0.1}}} if not callbacks else {**section, "callbacks": OTHER}
    )
    with pytest.raises(ConfigError, match=r"training\.(callbacks|optimizer).* in the run, now "):
        run(tmp_path / "other", splits, other, resume=tmp_path / "run")
    more = {**section, "callbacks": {**callbacks, "EarlyStopping": {"monitor": "val_loss", "patience": 50}}}
    assert rates(run(tmp_path / "resumed", splits, more, resume=tmp_path / "run")) == straight


def test_the_history_has_the_rate_that_the_epoch_used(splits: Any, tmp_path: Path) -> None:
    """Three steps in each of three epochs: the drops at steps 3 and 6 belong to the epochs that they begin."""
    drops = {"TwoStepDecay": {"initial_learning_rate": 0.1}}
    section = {"epochs": 3, "optimizer": {"SGD": {"learning_rate": drops}}}
    assert rates(run(tmp_path / "steps", splits, section)) == pytest.approx([0.1, 0.01, 0.001])
    plateau = {"ReduceLROnPlateau": {"monitor": "val_loss", "patience": 1, "factor": 0.5, "min_delta": 100.0}}
    section = {"epochs": 4, "optimizer": {"SGD": {"learning_rate": 0.1}}, "callbacks": plateau}
    # Lowered at the end of the second epoch, for the third.
    assert rates(run(tmp_path / "plateau", splits, section)) == pytest.approx([0.1, 0.1, 0.05, 0.025])


def test_the_rate_of_the_scheduler_moves_the_weights(splits: Any, tmp_path: Path) -> None:
    """A rate of almost nothing in the second epoch: the weights stand still there."""
    seen: list[Any] = []
    model = dots.dots_model()
    boundaries = {"LRPiecewiseConstantDecay": {"boundaries": [1], "values": [0.1, 1e-12]}}
    config = dots.dots_config(training={"epochs": 2, "optimizer": {"SGD": {}}, "callbacks": boundaries})
    dots.dots_train(
        config, tmp_path, splits, model=model, on_epoch=lambda _row: seen.append(model.layers[1].get_weights()[0])
    )
    assert abs(seen[0] - seen[1]).max() < 1e-8
    assert abs(seen[0] - dots.dots_model().layers[1].get_weights()[0]).max() > 1e-4


@pytest.mark.parametrize("section", [{}, {"batch_size": 7}, {"dryrun": 1}, {"overfit": 3, "batch_size": 4}])
def test_steps_an_epoch_are_those_of_the_training(splits: Any, section: dict[str, Any]) -> None:
    from stm32pose.training.sources import open_sources

    config = dots.dots_config(training=section)
    assert config.training is not None
    sources = open_sources(config, splits, dots.dots_skeleton(), (64, 64, 3), 1)
    assert steps_per_epoch(config.training, len(splits.training)) == sources.steps

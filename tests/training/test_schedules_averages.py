"""Averaged weights (`use_ema`) and float16 arithmetic, from the optimizer to the files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_dots as dots

from stm32pose.errors import ConfigError
from stm32pose.training import runtime
from stm32pose.training.resume import load_resume

MOMENTUM = 0.8
AVERAGED = {
    "epochs": 5,
    "dryrun": 1,  # one step an epoch: the weights after every epoch are those after every step
    "optimizer": {"Adam": {"learning_rate": 0.05, "use_ema": True, "ema_momentum": MOMENTUM}},
}


def saved(path: Path) -> Any:
    import keras

    return keras.models.load_model(path, compile=False)


def trainable(model: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.trainable_variables]


def figures(path: Path, splits: Any, config: Any) -> dict[str, float]:
    """What validation says of a saved model."""
    from stm32pose.codecs.select import make_codec
    from stm32pose.data.pipeline import Pipeline
    from stm32pose.losses import make_loss
    from stm32pose.training.validation import Forward, validate

    codec = make_codec("heatmaps_spe", input_shape=(64, 64, 3), output_shapes=[(16, 16, 3)], keypoints=3)
    samples = splits.validation[: config.training.dryrun * config.training.batch_size]
    pipeline = Pipeline(samples, input_shape=(64, 64, 3), preprocessing=config.preprocessing, batch_size=4)
    forward = Forward(saved(path), make_loss("mse"), config.preprocessing.rescaling)
    found: Any = validate(forward, codec, pipeline, samples, dots.dots_skeleton())
    return found[0] if isinstance(found, tuple) else found


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return dots.dots_splits(tmp_path_factory.mktemp("dots"), 16, 8)


@pytest.fixture(scope="module")
def straight(splits: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[list[np.ndarray]], Any]:
    """A training with averages: its result, the weights after every step, its configuration."""
    folder = tmp_path_factory.mktemp("straight")
    model, seen = dots.dots_model(), []
    config = dots.dots_config(training=AVERAGED)
    result = dots.dots_train(config, folder, splits, model=model, on_epoch=lambda _row: seen.append(trainable(model)))
    return result, seen, config


def averages(seen: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    """The moving average after every step, begun with the weights after the first one (what Keras documents)."""
    found = [seen[0]]
    for weights in seen[1:]:
        found.append([MOMENTUM * old + (1 - MOMENTUM) * new for old, new in zip(found[-1], weights, strict=True)])
    return found


def differs(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return any(np.abs(x - y).max() > 1e-3 for x, y in zip(a, b, strict=True))


def test_the_models_have_the_averages(straight: Any) -> None:
    result, seen, _ = straight
    wanted = averages(seen)
    assert differs(wanted[-1], seen[-1])
    for path, epoch in ((result.last, len(seen)), (result.best, result.best_epoch)):
        for got, average in zip(trainable(saved(path)), wanted[epoch - 1], strict=True):
            np.testing.assert_allclose(got, average, rtol=1e-5, atol=1e-6)


def test_validation_looks_at_the_averages(straight: Any, splits: Any) -> None:
    result, _, config = straight
    row = result.history[-1]
    for name, value in figures(result.last, splits, config).items():
        assert value == pytest.approx(row[f"val_{name}"], rel=1e-4), name


def test_a_resumed_training_keeps_averaging(straight: Any, splits: Any, tmp_path: Path) -> None:
    result, _, config = straight

    def interrupt(row: dict[str, Any]) -> None:
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dots.dots_train(config, tmp_path / "run", splits, on_epoch=interrupt)
    resume = load_resume(tmp_path / "run")
    assert resume.epoch == 3
    resumed = dots.dots_train(config, tmp_path / "resumed", splits, resume=resume, model=saved(resume.model))
    for got, wanted in zip(saved(resumed.last).get_weights(), saved(result.last).get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    assert resumed.best_epoch == result.best_epoch
    for name in ("loss", "val_loss", "val_oks"):
        got, wanted = ([row[name] for row in each.history] for each in (resumed, result))
        assert got == pytest.approx(wanted, rel=1e-5)


def test_float16_is_refused_without_a_gpu() -> None:
    if runtime.gpus():
        pytest.skip("there is a GPU")
    config = dots.dots_config(training={"mixed_precision": True})
    with pytest.raises(ConfigError, match=r"^training\.mixed_precision: needs a GPU and none was found") as caught:
        runtime.prepare_runtime(config)
    assert "\n" not in str(caught.value)


@pytest.fixture
def float16(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """float16 on a CPU, which the program refuses: slow there, and the same graph as on a GPU."""
    import keras

    monkeypatch.setattr(
        runtime, "set_precision", lambda _mixed: keras.mixed_precision.set_global_policy("mixed_float16")
    )
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.usefixtures("float16")
def test_float16_trains_with_a_scaled_loss_and_saves_float32(splits: Any, tmp_path: Path) -> None:
    import keras

    keras.mixed_precision.set_global_policy("mixed_float16")
    model = dots.dots_model()
    assert model.layers[1].compute_dtype == "float16"
    before, live = model.get_weights(), []
    config = dots.dots_config(
        training={
            "epochs": 3,
            "fused_batch_norm": False,
            "optimizer": {
                "Adam": {
                    "learning_rate": {"StepListDecay": {"initial_learning_rate": 0.02, "boundaries": [2]}},
                    "use_ema": True,
                    "ema_momentum": 0.5,
                }
            },
        }
    )
    result = dots.dots_train(
        config, tmp_path, splits, model=model, on_epoch=lambda _row: live.append(model.get_weights())
    )
    assert [row["learning_rate"] for row in result.history] == pytest.approx([0.02, 0.02 * 0.666, 0.02 * 0.666])
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    arrays = load_resume(tmp_path).arrays
    # The scale of the loss is kept with the optimizer: Keras begins with 2^15 and halves it where float16 overflows.
    scalars = [value.item() for name, value in arrays.items() if name.startswith("optimizer") and value.shape == ()]
    assert {2.0**power for power in range(8, 16)} & set(scalars)
    keras.mixed_precision.set_global_policy("float32")
    weights = saved(result.last).get_weights()
    assert {value.dtype for value in weights} == {np.dtype("float32")}
    assert differs(weights, before)
    assert differs(weights, live[-1])  # the average, not the last step

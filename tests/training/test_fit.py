"""`train` on dots: what it gives, what it writes, how it fails."""

from __future__ import annotations

import csv
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_dots as dots

from stm32pose.data.splits import Splits
from stm32pose.errors import ConfigError, UserError


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, list[dict[str, Any]]]:
    """A training of 10 epochs with everything on, its folder and its events."""
    folder = tmp_path_factory.mktemp("trained")
    events: list[dict[str, Any]] = []
    config = dots.dots_config(
        training={"epochs": 10, "trained_model_path": str(folder / "copy.keras")},
        data_augmentation={"random_contrast": {"factor": 0.2}},
    )
    result = dots.dots_train(config, folder, dots.dots_splits(folder / "data", 36, 8), progress=events.append)
    return result, folder, events


def test_it_learns(trained: Any) -> None:
    result, _, _ = trained
    assert result.history[-1]["val_oks"] > 0.95
    assert result.history[-1]["oks"] > 0.95
    assert result.history[-1]["val_pck"] == 1.0
    assert result.history[-1]["val_epe"] < 2
    assert result.history[-1]["val_loss"] < 0.5 * result.history[0]["val_loss"]
    assert result.best_epoch == 1 + int(np.argmax([row["val_oks"] for row in result.history]))


def test_saved_models_are_whole_and_agree(trained: Any) -> None:
    import keras

    from stm32pose.codecs.select import codec_from_description
    from stm32pose.inference.sidecar import read_sidecar

    result, folder, _ = trained
    images = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    outputs = {}
    for name in ("best_model", "last_model"):
        for suffix in (".keras", ".h5"):
            model = keras.models.load_model(folder / "saved_models" / f"{name}{suffix}", compile=False)
            outputs[name + suffix] = np.asarray(model(images))
        np.testing.assert_array_equal(outputs[f"{name}.keras"], outputs[f"{name}.h5"])
    copy = keras.models.load_model(folder / "copy.keras", compile=False)
    np.testing.assert_array_equal(np.asarray(copy(images)), outputs["best_model.keras"])
    assert result.best == folder / "saved_models" / "best_model.keras"
    for path in (
        folder / "saved_models/best_model.keras",
        folder / "saved_models/last_model.h5",
        folder / "copy.keras",
    ):
        described = read_sidecar(path)
        assert described is not None
        assert codec_from_description(described["codec"]).input_shape == (64, 64)
        assert described["codec"]["activation"] == "sigmoid"
        assert described["skeleton"] == {"name": "dots", "keypoints": ["red", "green", "blue"]}
        assert described["rescaling"] == dots.dots_config().preprocessing.rescaling.model_dump()
    assert not model.compiled


def test_saved_best_model_has_the_figures_of_its_epoch(trained: Any) -> None:
    import keras

    from stm32pose.codecs.select import make_codec
    from stm32pose.data.pipeline import Pipeline
    from stm32pose.losses import make_loss
    from stm32pose.training.validation import Forward, validate

    result, folder, _ = trained
    config = dots.dots_config()
    model = keras.models.load_model(result.best, compile=False)
    samples = dots.dots_splits(folder / "data", 36, 8).validation
    codec = make_codec("heatmaps_spe", input_shape=(64, 64, 3), output_shapes=[(16, 16, 3)], keypoints=3)
    pipeline = Pipeline(samples, input_shape=(64, 64, 3), preprocessing=config.preprocessing, batch_size=3)
    forward = Forward(model, make_loss("mse"), config.preprocessing.rescaling)
    figures, _ = validate(forward, codec, pipeline, samples, dots.dots_skeleton())
    row = result.history[result.best_epoch - 1]
    for name, value in figures.items():
        assert value == pytest.approx(row[f"val_{name}"], rel=1e-4)


def test_table_and_curves_hold_every_epoch(trained: Any) -> None:
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result, folder, _ = trained
    with (folder / "logs" / "metrics" / "train_metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 11))
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([1e-2] * 10)
    for part, monitor in (("train", "oks"), ("validation", "val_oks")):
        events = EventAccumulator(str(folder / "logs" / part))
        events.Reload()
        assert {"epoch_loss", "epoch_oks"} <= set(events.Tags()["tensors"])
        values = [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("epoch_oks")]
        assert values == pytest.approx([row[monitor] for row in result.history], rel=1e-5)
        pictures = {"train": "training_inputs_and_targets", "validation": "inputs_targets_predictions"}
        assert pictures[part] in events.Tags()["tensors"]


def test_progress_tells_what_a_bar_needs(trained: Any) -> None:
    _, _, events = trained
    kinds = [event["kind"] for event in events]
    assert kinds.count("epoch_begin") == kinds.count("epoch_end") == 10
    assert all(event["epochs"] == 10 for event in events)
    steps = [event for event in events if event["kind"] == "step" and event["epoch"] == 10]
    assert steps[-1]["step"] == steps[-1]["steps"] == 5  # 36 images, 8 a step: the last 4 count too
    assert events[-1]["eta_seconds"] == 0
    assert events[-1]["images_per_second"] > 0


def test_nothing_runs_on_when_it_is_done(trained: Any) -> None:
    assert [thread.name for thread in threading.enumerate() if "stm32pose-pipeline" in thread.name] == []


def test_frozen_layers_stay_and_the_rest_learns(tmp_path: Path) -> None:
    model = dots.dots_model()
    before = [layer.get_weights() for layer in model.layers]
    config = dots.dots_config(training={"epochs": 1, "frozen_layers": "(0:3)"})
    dots.dots_train(config, tmp_path, dots.dots_splits(tmp_path / "data"), model=model)
    changed = [
        any(not np.array_equal(old, new) for old, new in zip(weights, layer.get_weights(), strict=True))
        for weights, layer in zip(before, model.layers, strict=True)
    ]
    assert not any(changed[:3])
    assert changed[4]


def test_sizes_change_and_the_saved_model_keeps_its_own(tmp_path: Path) -> None:
    import keras

    config = dots.dots_config(
        training={"epochs": 6},
        data_augmentation={"random_periodic_resizing": {"image_sizes": [[64, 64], [96, 96], [64, 32]], "period": 2}},
    )
    result = dots.dots_train(config, tmp_path, dots.dots_splits(tmp_path / "data", 40))
    assert keras.models.load_model(result.best, compile=False).input_shape == (None, 64, 64, 3)
    assert result.history[-1]["val_oks"] > 0.8


def test_nearest_upsampling_takes_every_size() -> None:
    """Sizes frozen into the network would exclude `random_periodic_resizing`."""
    from stm32pose.codecs.heatmap import HeatmapCodec
    from stm32pose.models.movenet_heatmaps import st_movenet_lightning_heatmaps
    from stm32pose.training.network import accept_sizes
    from stm32pose.transforms.chain import build_chain

    model = st_movenet_lightning_heatmaps((64, 64, 3), 3, alpha=0.35, upsampling="nearest")
    chain = build_chain(
        {"random_periodic_resizing": {"image_sizes": [[96, 96], [64, 32]]}},
        input_shape=(64, 64, 3),
        rescaling=dots.dots_config().preprocessing.rescaling,
    )
    codecs = accept_sizes(model, HeatmapCodec((64, 64), (16, 16), 3), chain)
    assert {size: codec.map_shape for size, codec in codecs.items()} == {  # pyright: ignore[reportAttributeAccessIssue]
        (64, 64): (16, 16),
        (96, 96): (24, 24),
        **{size: (size[0] // 4, size[1] // 4) for size in chain.sizes},
    }
    assert model(np.zeros((1, 96, 32, 3), np.float32)).shape == (1, 24, 8, 3)


def flat_model() -> Any:
    """A network with a fixed shape inside, as a softmax over cells may have."""
    import keras
    from keras import layers

    inputs = keras.Input((64, 64, 3))
    maps = layers.Conv2D(3, 3, strides=4, padding="same")(inputs)
    return keras.Model(inputs, layers.Reshape((16, 16, 3))(layers.Reshape((256, 3))(maps)))


def test_a_size_that_does_not_fit_is_said(tmp_path: Path) -> None:
    config = dots.dots_config(data_augmentation={"random_periodic_resizing": {"image_sizes": [[96, 96]]}})
    model = flat_model()
    with pytest.raises(ConfigError, match=r"image_sizes: the network does not take 96x96") as caught:
        dots.dots_train(config, tmp_path, dots.dots_splits(tmp_path / "data"), model=model)
    assert "\n" not in str(caught.value)


def test_fewer_images_than_a_batch(tmp_path: Path) -> None:
    config = dots.dots_config(training={"batch_size": 32, "epochs": 1})
    result = dots.dots_train(config, tmp_path, dots.dots_splits(tmp_path / "data", 3, 1))
    assert np.isfinite(result.history[0]["loss"])


def test_dryrun_is_short(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    config = dots.dots_config(training={"dryrun": 1, "epochs": 2})
    dots.dots_train(config, tmp_path, dots.dots_splits(tmp_path / "data", 36), progress=events.append)
    assert {event["steps"] for event in events if event["kind"] == "epoch_begin"} == {1}


def test_overfit_trains_and_validates_on_the_first_images(tmp_path: Path) -> None:
    config = dots.dots_config(training={"overfit": 4, "epochs": 6, "batch_size": 4})
    result = dots.dots_train(config, tmp_path, dots.dots_splits(tmp_path / "data", 12))
    assert result.history[-1]["val_oks"] == result.history[-1]["oks"] > 0.95


def test_without_validation_images_training_oks_decides(tmp_path: Path) -> None:
    splits = Splits(dots.dots_samples(tmp_path / "data", 12, 1), sources={"training": "dataset.training_path"}, seed=1)
    result = dots.dots_train(dots.dots_config(), tmp_path, splits)
    assert not any(name.startswith("val_") for name in result.history[0])
    assert result.best_epoch == 1 + int(np.argmax([row["oks"] for row in result.history]))
    config = dots.dots_config(training={"callbacks": {"EarlyStopping": {"monitor": "val_oks"}}})
    with pytest.raises(ConfigError, match=r"EarlyStopping.monitor: val_oks needs labelled validation images"):
        dots.dots_train(config, tmp_path, splits)


def test_early_stopping_stops(tmp_path: Path) -> None:
    stopping = {"EarlyStopping": {"monitor": "val_loss", "patience": 1, "min_delta": 100.0}}
    config = dots.dots_config(training={"epochs": 20, "callbacks": stopping})
    result = dots.dots_train(config, tmp_path, dots.dots_splits(tmp_path / "data"))
    assert len(result.history) == 2


def test_a_loss_that_is_no_number_ends_it_in_one_line(tmp_path: Path) -> None:
    config = dots.dots_config(training={"optimizer": {"SGD": {"learning_rate": 1e30}}, "epochs": 3})
    with pytest.raises(UserError, match=r"the loss became (nan|inf) in epoch 1; lower the learning rate") as caught:
        dots.dots_train(config, tmp_path, dots.dots_splits(tmp_path / "data"), model=flat_model())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "saved_models" / "best_model.keras").exists()


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    splits = dots.dots_splits(tmp_path / "data", 36)
    broken = splits.training[5].image
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(UserError, match=broken.name) as caught:
        dots.dots_train(dots.dots_config(), tmp_path, splits)
    assert "\n" not in str(caught.value)


def test_a_full_disk_ends_it_and_the_last_written_epoch_is_whole(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    import keras

    from stm32pose.training.resume import load_resume

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))

    try:
        with pytest.raises(UserError, match="cannot be written") as caught:
            dots.dots_train(
                dots.dots_config(training={"epochs": 4}), tmp_path, dots.dots_splits(tmp_path / "data"), on_epoch=fill
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert load_resume(tmp_path).epoch >= 1
    keras.models.load_model(tmp_path / "saved_models" / "best_model.keras", compile=False)
    assert not list(tmp_path.rglob("*.partial*"))


def test_training_section_is_needed(tmp_path: Path) -> None:
    config = dots.dots_config().model_copy(update={"training": None})
    with pytest.raises(ConfigError, match="training: missing"):
        dots.dots_train(config, tmp_path, dots.dots_splits(tmp_path / "data"))


def test_statistics_follow_within_a_quarter_of_an_epoch() -> None:
    import keras

    from stm32pose.training.network import quicken_statistics

    def momentum(stock: float, steps: int) -> float:
        inputs = keras.Input((4, 4, 1))
        layer = keras.layers.BatchNormalization(momentum=stock)
        quicken_statistics(keras.Model(inputs, layer(inputs)), steps)
        return layer.momentum

    assert momentum(0.999, 5) == 0.9
    assert momentum(0.999, 400) == pytest.approx(0.99)
    assert momentum(0.999, 100_000) == 0.999
    assert momentum(0.8, 5) == 0.8


def test_run_file_is_json(trained: Any) -> None:
    _, folder, _ = trained
    run = json.loads((folder / "saved_models" / "resume" / "run.json").read_text())
    assert run["seed"] == 7
    assert run["manifest"]["sets"]["training"]["samples"] == 36

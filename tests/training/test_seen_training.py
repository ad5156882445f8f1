"""What a training shows: joints, health, pictures and events, on disk, in TensorBoard and after a resume."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_dots as dots

from stm32pose.errors import UserError
from stm32pose.training.history import write_health, write_joints

JOINTS = ["red", "green", "blue"]
EPOCHS = 3


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, list[dict[str, Any]], list[dict[str, Any]]]:
    """A training that shows everything: (result, folder, events, rows for the trackers)."""
    folder = tmp_path_factory.mktemp("seen")
    events: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    result = dots.dots_train(
        dots.dots_config(training={"epochs": EPOCHS, "health": True}),
        folder,
        dots.dots_splits(folder / "data"),
        figures=folder / "figures",
        progress=events.append,
        on_epoch=rows.append,
    )
    return result, folder, events, rows


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The same training, showing nothing but its curves."""
    folder = tmp_path_factory.mktemp("plain")
    config = dots.dots_config(training={"epochs": EPOCHS})
    return dots.dots_train(config, folder, dots.dots_splits(folder / "data")), folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def tensors(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return events


def ends(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["kind"] == "epoch_end"]


def test_looking_changes_nothing(seen: Any, plain: Any) -> None:
    names = ("loss", "oks", "val_loss", "val_oks", "val_pck", "val_epe")
    assert [[row[name] for name in names] for row in seen[0].history] == [
        [row[name] for name in names] for row in plain[0].history
    ]


def test_what_is_off_leaves_nothing(plain: Any) -> None:
    _, folder = plain
    assert not (folder / "logs" / "metrics" / "health.csv").exists()
    assert not [tag for tag in tensors(folder / "logs" / "train").Tags()["tensors"] if "health" in tag]
    assert not list(folder.rglob("*.jpg"))


def test_oks_of_each_joint_is_that_of_the_evaluation(seen: Any) -> None:
    """Of the best network, against `evaluate_poses`, which has another way to it."""
    import keras

    from stm32pose.codecs.select import make_codec
    from stm32pose.data.pipeline import Pipeline, unmap_poses
    from stm32pose.metrics.evaluate import evaluate_poses

    result, folder, events, _ = seen
    config, samples = dots.dots_config(), dots.dots_splits(folder / "data").validation
    model: Any = keras.models.load_model(result.best, compile=False)
    codec = make_codec("heatmaps_spe", input_shape=(64, 64, 3), output_shapes=[(16, 16, 3)], keypoints=3)
    pipeline = Pipeline(samples, input_shape=(64, 64, 3), preprocessing=config.preprocessing, batch_size=8)
    (batch,) = pipeline.epoch(0)
    pixels = batch.images * np.float32(config.preprocessing.rescaling.scale) + config.preprocessing.rescaling.offset
    poses = unmap_poses(codec.decode([np.asarray(model(pixels.astype(np.float32)))]), batch.matrices)
    expected = [row["oks"] for row in evaluate_poses(samples, list(poses), dots.dots_skeleton())["per_keypoint"]]
    assert ends(events)[result.best_epoch - 1]["joints"] == pytest.approx(expected, rel=1e-3)
    assert len(set(expected)) == 3


def test_joints_are_in_the_table_in_tensorboard_and_with_the_trackers(seen: Any) -> None:
    import tensorflow as tf

    result, folder, events, rows = seen
    told = [event["joints"] for event in ends(events)]
    assert all(0 < value < 1 for value in told[-1])
    assert np.mean(told[-1]) == pytest.approx(result.history[-1]["val_oks"])  # every joint is labelled everywhere
    lines = table(folder / "logs" / "metrics" / "joints.csv")
    assert list(lines[0]) == ["epoch", *JOINTS]
    assert [int(line["epoch"]) for line in lines] == [1, 2, 3]
    assert [[float(line[name]) for name in JOINTS] for line in lines] == told
    curves = tensors(folder / "logs" / "validation")
    for index, name in enumerate(JOINTS):
        points = [float(tf.make_ndarray(event.tensor_proto)) for event in curves.Tensors(f"oks_joint/{name}")]
        assert points == pytest.approx([joints[index] for joints in told], rel=1e-5)
    assert [[row[f"oks_joint/{name}"] for name in JOINTS] for row in rows] == told
    assert "oks_joint/red" not in result.history[0]


def test_health_is_in_the_table_in_tensorboard_and_in_the_events(seen: Any) -> None:
    _, folder, events, _ = seen
    layers = [row["layer"] for row in ends(events)[0]["health"]]
    assert len(layers) == 7  # three convolutions, three normalisations, the last convolution
    lines = table(folder / "logs" / "metrics" / "health.csv")
    assert [(int(line["epoch"]), line["layer"]) for line in lines] == [
        (epoch, layer) for epoch in range(1, EPOCHS + 1) for layer in layers
    ]
    assert all(float(line["gradient"]) > 0 and float(line["update"]) > 0 for line in lines)
    tags = set(tensors(folder / "logs" / "train").Tags()["tensors"])
    for group in ("health_gradient", "health_update", "health_silent"):
        assert {f"{group}/{layer}" for layer in layers} <= tags, group
    for group in ("weights", "gradients"):
        shown = {tag for tag in tags if tag.startswith(f"{group}/")}
        assert shown == {f"{group}/{layer}" for layer in layers if "normalization" not in layer}
    assert ends(events)[-1]["hints"] == []


def test_pictures_lie_in_the_folder_of_figures(seen: Any) -> None:
    _, folder, _, _ = seen
    names = {path.relative_to(folder / "figures").as_posix() for path in (folder / "figures").rglob("*.jpg")}
    assert names == {
        "augmented.jpg",
        "targets.jpg",
        "training/latest.jpg",
        *(f"training/epoch_00{epoch}.jpg" for epoch in range(1, EPOCHS + 1)),
    }


def test_pictures_are_in_tensorboard_as_it_shows_them(seen: Any) -> None:
    import cv2
    import tensorflow as tf

    _, folder, _, _ = seen
    events = tensors(folder / "logs" / "validation")
    tag = "inputs_targets_predictions"
    assert events.SummaryMetadata(tag).plugin_data.plugin_name == "images"
    assert [event.step for event in events.Tensors(tag)] == [1, 2, 3]
    width, height, data = tf.make_ndarray(events.Tensors(tag)[-1].tensor_proto).tolist()
    image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    assert image.shape == (int(height), int(width), 3)
    file = np.asarray(cv2.imread(str(folder / "figures" / "training" / f"epoch_{EPOCHS:03d}.jpg")))
    np.testing.assert_array_equal(image, file)


def test_events_tell_which_epoch_is_the_best(seen: Any) -> None:
    result, _, events, _ = seen
    so_far = -1.0
    for event in ends(events):
        better = event["logs"]["val_oks"] > so_far
        so_far = max(so_far, event["logs"]["val_oks"])
        assert event["best"] is better
        assert event["monitor"] == "val_oks"
    assert ends(events)[-1]["best_epoch"] == result.best_epoch
    kinds = [event["kind"] for event in events if event["kind"] != "step"]
    assert kinds == ["epoch_begin", "validating", "epoch_end"] * EPOCHS


def test_every_epoch_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="stm32pose.training.loop"):
        dots.dots_train(dots.dots_config(), tmp_path, dots.dots_splits(tmp_path / "data"))
    lines = [record.getMessage() for record in caplog.records if record.name == "stm32pose.training.loop"]
    for epoch in (1, 2):
        assert any(line.startswith(f"epoch {epoch}: ") and "val_oks" in line for line in lines)


def test_joints_of_training_images_where_there_are_no_others(tmp_path: Path) -> None:
    splits = dots.dots_splits(tmp_path / "data", validation=0)
    events: list[dict[str, Any]] = []
    dots.dots_train(
        dots.dots_config(training={"epochs": 1}), tmp_path, splits, progress=events.append, figures=tmp_path / "figures"
    )
    (end,) = ends(events)
    assert end["joints_of"] == "training"
    assert np.mean(end["joints"]) == pytest.approx(end["logs"]["oks"])
    assert "oks_joint/red" in tensors(tmp_path / "logs" / "train").Tags()["tensors"]
    assert (tmp_path / "figures" / "training" / "epoch_001.jpg").is_file()


def test_a_resumed_training_goes_on_with_its_joints(seen: Any, tmp_path: Path) -> None:
    import keras

    from stm32pose.training.resume import load_resume

    _, folder, before, _ = seen
    resume = load_resume(folder)
    events: list[dict[str, Any]] = []
    dots.dots_train(
        dots.dots_config(training={"epochs": EPOCHS + 1}),
        tmp_path,
        dots.dots_splits(folder / "data"),
        resume=resume,
        model=keras.models.load_model(resume.model, compile=False),
        progress=events.append,
    )
    told = next(event for event in events if event["kind"] == "resumed")
    assert [row["oks"] for row in told["joints"]] == [event["joints"] for event in ends(before)]
    assert [row["epoch"] for row in told["history"]] == [1, 2, 3]
    lines = table(tmp_path / "logs" / "metrics" / "joints.csv")
    assert [int(line["epoch"]) for line in lines] == [1, 2, 3, 4]
    assert len(tensors(tmp_path / "logs" / "validation").Tensors("oks_joint/red")) == 4


def test_a_lost_loss_names_the_layer(tmp_path: Path) -> None:
    """Whether health is asked for or not."""
    config = dots.dots_config(training={"optimizer": {"SGD": {"learning_rate": 1e30}}, "epochs": 3})
    model = flat_model()
    with pytest.raises(UserError, match=r"the loss became (nan|inf) in epoch 1; lower the learning rate") as caught:
        dots.dots_train(config, tmp_path, dots.dots_splits(tmp_path / "data"), model=model)
    first = model.layers[1].name
    assert f"the weights of {first} are not finite, the first of" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("validation", [8, 0])
def test_a_network_that_is_lost_in_the_last_step_is_never_the_best(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, validation: int
) -> None:
    """The loss of the only step is that of the weights before it, and still a number."""
    config = dots.dots_config(training={"optimizer": {"Adam": {"learning_rate": 1e38}}, "epochs": 1, "dryrun": 1})
    splits = dots.dots_splits(tmp_path / "data", validation=validation)
    with pytest.raises(UserError, match=r"became (nan|inf) in epoch 1; lower the learning rate.*no model was kept"):
        dots.dots_train(config, tmp_path, splits)
    assert not list(tmp_path.rglob("best_model*"))
    assert "resume_training_from" not in caplog.text


def flat_model() -> Any:
    """Convolutions without normalisation, which a huge rate drives beyond all numbers."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((64, 64, 3))
    x = layers.Conv2D(4, 3, strides=4, padding="same", activation="relu")(x)
    return keras.Model(inputs, layers.Conv2D(3, 1)(x))


def test_tables_leave_empty_what_is_missing(tmp_path: Path) -> None:
    write_joints(
        tmp_path / "j.csv", ["a", "b, c"], [{"epoch": 1, "oks": [0.5, None]}, {"epoch": 2, "oks": [None, 1.0]}]
    )
    assert (tmp_path / "j.csv").read_text().splitlines() == ['epoch,a,"b, c"', "1,0.5,", "2,,1.0"]
    write_health(tmp_path / "h.csv", [{"epoch": 1, "layers": [{"layer": "a", "update": None}]}])
    assert (tmp_path / "h.csv").read_text().splitlines() == ["epoch,layer,update", "1,a,"]

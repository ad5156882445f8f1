"""Every trainable type of model, through the real networks, codecs and `train`: it learns, it is kept, it reloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_dots as dots

from stm32pose.codecs.select import codec_from_description, make_codec
from stm32pose.inference.sidecar import read_sidecar
from stm32pose.losses import make_loss

# model type -> (options of the network, epochs of ten steps); of all backbones vgg_tiny is built the quickest
LEARNERS: dict[str, tuple[dict[str, Any], int]] = {
    "heatmaps_spe": ({}, 5),
    "simcc_spe": ({"output_stride": 8}, 7),
    "spe": ({}, 15),
    "movenet_spe": ({}, 8),
}
KINDS = {"heatmaps_spe": "heatmaps", "simcc_spe": "simcc", "spe": "keypoints", "movenet_spe": "movenet"}


def network(model_type: str) -> Any:
    import keras

    from stm32pose.models.family import pose_network

    keras.utils.set_random_seed(1)
    shape = (dots.SIZE, dots.SIZE, 3)
    return pose_network(shape, 3, backbone="vgg_tiny", model_type=model_type, alpha=0.125, **LEARNERS[model_type][0])


def codec_of(model_type: str, model: Any) -> Any:
    shapes = [tuple(output.shape[1:]) for output in model.outputs]
    return make_codec(model_type, input_shape=(dots.SIZE, dots.SIZE, 3), output_shapes=shapes, keypoints=3)


def train(config: Any, folder: Path, splits: Any, model_type: str, **options: Any) -> Any:
    """`stm32pose.training.fit.train` on the dots."""
    from stm32pose.training.fit import train
    from stm32pose.training.runtime import prepare_runtime

    prepare_runtime(config)
    model = options.pop("model", None) or network(model_type)
    return train(
        config,
        model=model,
        codec=codec_of(model_type, model),
        splits=splits,
        skeleton=dots.dots_skeleton(),
        folder=folder / "saved_models",
        logs=folder / "logs",
        **options,
    )


@pytest.mark.parametrize("model_type", LEARNERS)
def test_eight_images_are_learnt_and_the_file_gives_the_same(model_type: str, tmp_path: Path) -> None:
    """OKS above 0.9, then the stock Keras file of the best epoch, evaluated through its own sidecar."""
    import keras

    from stm32pose.data.pipeline import Pipeline
    from stm32pose.training.validation import Forward, validate

    schedule = {"CosineDecay": {"initial_learning_rate": 1e-2}}
    settings = {"overfit": 8, "epochs": LEARNERS[model_type][1], "optimizer": {"Adam": {"learning_rate": schedule}}}
    config = dots.dots_config(model={"model_type": model_type}, training=settings)
    splits = dots.dots_splits(tmp_path / "data", 8, 1)
    result = train(config, tmp_path, splits, model_type)
    best = result.history[result.best_epoch - 1]
    assert best["val_oks"] > 0.9, [row["val_oks"] for row in result.history]
    assert best["loss"] < result.history[0]["loss"]
    described = (read_sidecar(result.best) or {})["codec"]
    codec = codec_from_description(described)
    loss = make_loss("auto", kind=described["kind"], activation="sigmoid", input_shape=codec.input_shape)
    model = keras.models.load_model(result.best, compile=False)
    assert not any("rle" in variable.path for variable in model.variables)
    pipeline = Pipeline(splits.training, input_shape=(64, 64, 3), preprocessing=config.preprocessing, batch_size=3)
    forward = Forward(model, loss, config.preprocessing.rescaling)
    figures, _ = validate(forward, codec, pipeline, splits.training, dots.dots_skeleton())
    for name in ("oks", "pck", "epe"):
        assert figures[name] == pytest.approx(best[f"val_{name}"], rel=1e-4)


@pytest.mark.parametrize(
    ("model_type", "name"),
    [
        ("heatmaps_spe", "ohkm"),
        ("heatmaps_spe", "kl"),
        ("simcc_spe", "cross_entropy"),
        ("spe", "l1"),
        ("spe", "wing"),
        *((model_type, "auto") for model_type in LEARNERS),
    ],
)
def test_every_weight_is_learnt(model_type: str, name: str) -> None:
    """After two steps of `fit`: a gradient in every tensor of the network and of what learns beside it; less loss."""
    import keras
    import tensorflow as tf

    from stm32pose.training.trainer import Trainer

    model = network(model_type)
    codec = codec_of(model_type, model)
    loss = make_loss(name, kind=KINDS[model_type], keypoints=3, input_shape=codec.input_shape)
    trainer = Trainer(model, loss)
    # Without a graph: two steps do not pay for its making.
    trainer.compile(optimizer=keras.optimizers.Adam(1e-3), jit_compile=False, run_eagerly=True)
    rng = np.random.default_rng(0)
    images = rng.normal(0, 1, (4, 64, 64, 3)).astype(np.float32)
    keypoints = rng.uniform(4, 60, (4, 1, 3, 3)).astype(np.float32)
    keypoints[..., 2] = 2
    targets, weights = codec.encode(keypoints)
    before = [variable.numpy() for variable in trainer.trainable_variables]
    batches = tf.data.Dataset.from_tensors((images, targets, weights))
    history = trainer.fit(batches, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    for variable, value in zip(trainer.trainable_variables, before, strict=True):
        assert (variable.numpy() != value).any(), variable.path
    with tf.GradientTape() as tape:
        outputs = trainer(images, training=True)
        cost = trainer.compute_loss(images, targets, outputs, weights)
    for variable, gradient in zip(
        trainer.trainable_variables, tape.gradient(cost, trainer.trainable_variables), strict=True
    ):
        assert gradient is not None, variable.path
        assert np.abs(tf.convert_to_tensor(gradient).numpy()).max() > 0, variable.path
    beside = len(trainer.trainable_variables) - len(model.trainable_variables)
    assert beside == (len(loss.layers[0].trainable_variables) if (model_type, name) == ("spe", "auto") else 0)


def small_network() -> Any:
    """64x64x3 -> keypoints, a few layers."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    inputs = keras.Input((dots.SIZE, dots.SIZE, 3))
    x = layers.Conv2D(8, 5, strides=4, activation="relu")(inputs)
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = layers.Dense(9, "sigmoid")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Reshape((1, 1, 3, 3))(x))


def test_a_resumed_training_has_the_flow_it_had(tmp_path: Path) -> None:
    """RLE's flow is in no model file, and in what a resume reads: the curve is that of a training nobody stopped."""
    import keras

    from stm32pose.training.resume import load_resume

    splits = dots.dots_splits(tmp_path / "data", 12, 4)
    config = dots.dots_config(model={"model_type": "spe"}, training={"epochs": 4})
    expected = train(config, tmp_path / "straight", splits, "spe", model=small_network())

    def interrupt(event: dict[str, Any]) -> None:
        if event["kind"] == "step" and event["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", splits, "spe", model=small_network(), progress=interrupt)
    resume = load_resume(tmp_path / "run")
    weights = len([name for name in resume.arrays if name.startswith("model_")])
    assert weights == len(small_network().variables) + 6 * 6  # six couplings of three dense layers
    model = keras.models.load_model(resume.model, compile=False)
    assert len(model.variables) == len(small_network().variables)
    result = train(config, tmp_path / "run", splits, "spe", model=model, resume=resume)
    for name in ("loss", "val_loss", "val_oks"):
        got, wanted = ([row[name] for row in history] for history in (result.history, expected.history))
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-7)

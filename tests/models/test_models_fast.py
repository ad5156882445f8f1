"""Faster training agrees with the stock layers, and leaves plain Keras behind."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from stm32pose.models.custom import custom
from stm32pose.models.fast_training import fast_training, fused_adam, merged_padding
from stm32pose.models.fused_batch_norm import fused_batch_norm
from stm32pose.models.movenet_heatmaps import st_movenet_lightning_heatmaps

RNG = np.random.default_rng(0)


def norm_model(channels, **arguments):
    """A batch normalisation alone, with weights that are not the initial ones."""
    import keras

    image = keras.Input((None, None, channels))
    model = keras.Model(image, keras.layers.BatchNormalization(**arguments)(image))
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    return model


def gradients(model, images, slopes):
    """Output in training, gradients of input and weights, moving statistics after the step."""
    import tensorflow as tf

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x, training=True)
        return y, tape.gradient(y, [x, *(weight.value for weight in model.trainable_weights)], output_gradients=slopes)

    y, values = step(tf.constant(images))
    return [
        np.asarray(y),
        *(np.asarray(value) for value in values),
        *(weight.numpy() for weight in model.non_trainable_weights),
    ]


@pytest.mark.parametrize(
    ("channels", "arguments"),
    [(16, {}), (16, {"scale": False}), (16, {"center": False}), (17, {}), (13, {"scale": False, "momentum": 0.5})],
)
def test_output_gradients_and_statistics_agree(channels, arguments):
    images = RNG.normal(3, 2, (4, 6, 5, channels)).astype(np.float32)
    slopes = RNG.normal(0, 1, images.shape).astype(np.float32)
    stock = gradients(norm_model(channels, **arguments), images, slopes)
    model = norm_model(channels, **arguments)
    with fused_batch_norm(model) as fused:
        assert fused == 1
        ours = gradients(model, images, slopes)
    assert len(ours) == len(stock)
    for mine, theirs in zip(ours, stock, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("channels", [8, 5])
def test_statistics_of_values_far_from_zero_do_not_cancel(channels):
    images = RNG.normal(1000, 1, (4, 16, 16, channels)).astype(np.float32)
    model = norm_model(channels, momentum=0.0)
    with fused_batch_norm(model):
        gradients(model, images, np.ones_like(images))
    layer = model.layers[1]
    exact = images.astype(np.float64)
    np.testing.assert_allclose(layer.moving_mean, exact.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, exact.var((0, 1, 2)), rtol=2e-3)


def test_frozen_layers_inference_and_uncovered_layers_keep_the_stock_call():
    images = RNG.normal(3, 2, (4, 6, 5, 16)).astype(np.float32)
    frozen = norm_model(16)
    frozen.trainable = False
    before = [weight.copy() for weight in frozen.get_weights()]
    expected = np.asarray(frozen(images, training=False))
    with fused_batch_norm(frozen):
        np.testing.assert_array_equal(frozen(images, training=True), expected)
    for old, new in zip(before, frozen.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    with fused_batch_norm(norm_model(16, renorm=True)) as fused:
        assert fused == 0
    with fused_batch_norm(norm_model(16), enabled=False) as fused:
        assert fused == 0
    model = norm_model(16)
    with fused_batch_norm(model):
        assert "call" in vars(model.layers[1])
    assert "call" not in vars(model.layers[1])


def test_merged_padding_changes_nothing_but_time():
    model = st_movenet_lightning_heatmaps((64, 32, 3), 5, alpha=0.35)
    images = RNG.uniform(-1, 1, (2, 64, 32, 3)).astype(np.float32)
    expected = np.asarray(model(images))
    config = model.get_config()
    with merged_padding(model) as pairs:
        assert pairs == 4
        np.testing.assert_allclose(model(images), expected, atol=1e-6)
        assert model.get_config() == config


def test_padding_of_odd_sizes_stays():
    import keras

    layers = keras.layers
    image = keras.Input((None, None, 4))
    padded = layers.ZeroPadding2D(((0, 1), (0, 1)))(image)
    model = keras.Model(image, layers.DepthwiseConv2D(3, strides=2, use_bias=False)(padded))
    for size in (8, 9):
        images = RNG.normal(0, 1, (1, size, size, 4)).astype(np.float32)
        expected = np.asarray(model(images))
        with merged_padding(model) as pairs:
            assert pairs == 1
            np.testing.assert_allclose(model(images), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_fused_adam_takes_the_steps_of_keras(name):
    import keras
    import tensorflow as tf

    def steps(fused):
        kernel = keras.Variable(np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4))
        rate = keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)
        optimizer = getattr(keras.optimizers, name)(rate, beta_1=0.8, epsilon=1e-4, clipnorm=1.0)
        optimizer.build([kernel])
        with fused_adam(optimizer if fused else None) as used:
            assert used == fused

            @tf.function
            def step(slope):
                optimizer.apply([slope], [kernel])

            for number in range(6):
                step(tf.constant(np.cos(np.arange(12, dtype=np.float32) + number).reshape(3, 4)))
        return [variable.numpy() for variable in (kernel, *optimizer.variables)]

    for mine, theirs in zip(steps(True), steps(False), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    with fused_adam(keras.optimizers.Adam(amsgrad=True)) as used:
        assert not used
    with fused_adam(keras.optimizers.SGD()) as used:
        assert not used


def fit(model, fast, images, maps):
    """Two epochs of one batch; the losses."""
    import keras

    model.compile(keras.optimizers.Adam(1e-3), loss="mse")
    with fast_training(model, fast):
        return model.fit(images, maps, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"]


def small_network():
    """A little of everything that is replaced: wide and odd normalisations, padding before a strided convolution."""
    import keras

    layers = keras.layers
    image = keras.Input((16, 16, 3))
    x = layers.BatchNormalization(name="bn_1")(layers.Conv2D(8, 3, padding="same", name="conv_1")(image))
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(layers.ReLU(6.0, name="relu")(x))
    x = layers.BatchNormalization(name="bn_2")(layers.DepthwiseConv2D(3, strides=2, name="depthwise")(x))
    x = layers.BatchNormalization(name="bn_3")(layers.Conv2D(5, 1, name="conv_2")(x))
    return keras.Model(image, layers.Activation("sigmoid", name="maps")(x), name="small")


def test_training_agrees_with_plain_keras_and_saves_plain_keras(tmp_path):
    import keras

    images = RNG.uniform(-1, 1, (4, 16, 16, 3)).astype(np.float32)
    maps = RNG.uniform(0, 1, (4, 8, 8, 5)).astype(np.float32)
    ours, plain = small_network(), small_network()
    start = ours.get_weights()
    plain.set_weights(start)
    np.testing.assert_allclose(fit(ours, True, images, maps), fit(plain, False, images, maps), rtol=1e-5)
    for weight, other, before in zip(ours.weights, plain.weights, start, strict=True):
        # A bias before a normalisation has no gradient but rounding, of which Adam makes whole steps.
        if not weight.path.endswith("bias"):
            np.testing.assert_allclose(weight.numpy(), other.numpy(), atol=1e-4, err_msg=weight.path)
            assert np.any(weight.numpy() != before), weight.path
    ours.save(tmp_path / "ours.keras")
    plain.save(tmp_path / "plain.keras")
    assert layers_of(tmp_path / "ours.keras") == layers_of(tmp_path / "plain.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "ours.keras")(images), ours(images))


def test_a_checkpoint_in_the_middle_is_plain_keras(tmp_path):
    import keras

    model = small_network()
    images = RNG.uniform(-1, 1, (4, 16, 16, 3)).astype(np.float32)
    model.compile(keras.optimizers.Adam(), loss="mse")
    with fast_training(model):
        model.train_on_batch(images, np.zeros((4, 8, 8, 5), np.float32))
        model.save(tmp_path / "m.keras")
        expected = np.asarray(model(images))
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded(images), expected, atol=1e-6)
    assert int(loaded.optimizer.iterations) == 1
    assert loaded.get_layer("depthwise").padding == "valid"
    assert float(np.abs(loaded.optimizer.variables[2].numpy()).max()) > 0


def layers_of(file):
    """Classes, modules and settings of the layers in a .keras file, the input with its drawn name aside."""
    with zipfile.ZipFile(file) as archive:
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
    return [(layer["class_name"], layer["module"], layer["config"]) for layer in layers[1:]]


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_every_weight_of_every_network_has_a_gradient(activation):
    import tensorflow as tf

    images = tf.constant(RNG.uniform(-1, 1, (4, 32, 32, 1)).astype(np.float32))
    maps = tf.constant(RNG.uniform(0, 1, (4, 8, 8, 5)).astype(np.float32))
    for model in (
        st_movenet_lightning_heatmaps((32, 32, 1), 5, alpha=0.35, upsampling="nearest", final_activation=activation),
        custom((32, 32, 1), 5, final_activation=activation),
    ):
        with fused_batch_norm(model), tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(images, training=True) - maps) ** 2)
        weights = model.trainable_weights
        # The beta of the last normalisation is a constant over a map, which a softmax over the map does not see.
        unseen = "keypoints_bn/beta" if activation == "softmax" else None
        for weight, slope in zip(weights, tape.gradient(loss, [weight.value for weight in weights]), strict=True):
            assert slope is not None, weight.path
            assert (unseen and weight.path.endswith(unseen)) or float(tf.reduce_max(tf.abs(slope))) > 0, weight.path

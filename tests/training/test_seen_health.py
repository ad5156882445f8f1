"""Health of the layers: right figures, named faults, and a training that does not notice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import training_dots as dots

from stm32pose.training.health import FAST, hints, measure_health, not_finite, silent_channels

RATE = 0.01


def compiled(model: Any, optimizer: Any = None) -> Any:
    import keras

    from stm32pose.losses import make_loss
    from stm32pose.training.trainer import Trainer

    trainer = Trainer(model, make_loss("mse"))
    trainer.compile(optimizer=optimizer or keras.optimizers.SGD(RATE))
    trainer.optimizer.build(trainer.trainable_variables)
    return trainer


def batch(count: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (count, 64, 64, 3)).astype(np.float32)
    targets = rng.uniform(0, 1, (count, 16, 16, 3)).astype(np.float32)
    return images, targets, np.ones((count, 3), np.float32)


def loss_of(trainer: Any, images: Any, targets: Any, weights: Any) -> float:
    import tensorflow as tf

    outputs = trainer(tf.constant(images), training=True)
    return float(trainer.compute_loss(images, tf.constant(targets), outputs, sample_weight=tf.constant(weights)))


def test_nothing_is_changed_by_looking() -> None:
    import keras

    model = dots.dots_model(dropout=0.3)
    optimizer = keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.9)
    trainer = compiled(model, optimizer)
    state = [variable.numpy() for variable in (*trainer.variables, *trainer.optimizer.variables)]
    measure_health(trainer, *batch())
    after = [variable.numpy() for variable in (*trainer.variables, *trainer.optimizer.variables)]
    assert len(state) > 30  # dropout's generator and both moments are among them
    for old, new in zip(state, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_gradient_is_the_slope_of_the_loss_and_the_update_what_the_optimizer_does() -> None:
    model = dots.dots_model()
    trainer = compiled(model)
    images, targets, weights = batch()
    health = measure_health(trainer, images, targets, weights)
    by_name = {layer.layer: layer for layer in health.layers}
    last = model.layers[-1]
    assert list(by_name) == [layer.name for layer in model.layers if layer.trainable_weights]
    figures = by_name[last.name]
    assert figures.kind == "Conv2D"
    assert figures.parameters == last.count_params()
    kernel, bias = last.get_weights()
    assert figures.weight == pytest.approx(np.sqrt((kernel**2).sum() + (bias**2).sum()), rel=1e-5)
    for layer in health.layers:  # plain SGD
        assert layer.gradient is not None
        assert layer.weight is not None
        assert layer.update == pytest.approx(RATE * layer.gradient / layer.weight, rel=1e-2)
        assert layer.silent == 0
        assert layer.finite
    # Along the gradient the loss grows by its norm.
    slope = health.gradients[last.name]
    length = np.linalg.norm(slope)
    assert figures.gradient == pytest.approx(length, rel=1e-5)
    losses = []
    for step in (-1e-2, 1e-2):
        flat = step * slope / length
        moved = [kernel + flat[: kernel.size].reshape(kernel.shape), bias + flat[kernel.size :]]
        last.set_weights(moved)
        losses.append(loss_of(trainer, images, targets, weights))
    assert (losses[1] - losses[0]) / 2e-2 == pytest.approx(length, rel=0.02)


def test_dead_channels_are_counted_and_named() -> None:
    model = dots.dots_model()
    norm = next(layer for layer in model.layers if type(layer).__name__ == "BatchNormalization")
    gamma, beta, *moving = norm.get_weights()
    beta[:9] = -1000.0  # nine of twelve ReLUs never open
    norm.set_weights([gamma, beta, *moving])
    health = measure_health(compiled(model), *batch())
    first = health.layers[0]
    assert first.layer == model.layers[1].name
    assert first.silent == pytest.approx(9 / 12)
    assert health.layers[-1].silent == 0
    told, *_ = hints([{"epoch": 1, "layers": [layer.row() for layer in health.layers]}])
    # Its normalisation, which dies with it, is not named beside it.
    assert told.startswith("layers most of whose channels died since the first step")
    assert told.split(": ")[1].startswith(f"{first.layer} (75 %);")


def test_channels_that_were_dead_before_the_first_step_are_no_fault_of_the_training() -> None:
    """As in the published weights of MobileNetV2, whose first layers are half dead."""
    model = dots.dots_model()
    trainer = compiled(model)
    norm = next(layer for layer in model.layers if type(layer).__name__ == "BatchNormalization")

    def kill(channels: slice) -> None:
        gamma, beta, *moving = norm.get_weights()
        beta[channels] = -1000.0
        norm.set_weights([gamma, beta, *moving])

    kill(slice(0, 7))
    state = [variable.numpy() for variable in trainer.variables]
    before = silent_channels(trainer, *batch())
    for old, variable in zip(state, trainer.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())
    assert before[norm.name].sum() == 2 * 7
    health = measure_health(trainer, *batch(), before=before)
    assert health.layers[0].silent == pytest.approx(7 / 12)
    assert health.layers[0].died == 0
    assert not any("died" in hint for hint in hints([{"epoch": 1, "layers": [layer.row() for layer in health.layers]}]))
    kill(slice(4, 11))
    health = measure_health(trainer, *batch(), before=before)
    assert health.layers[0].silent == pytest.approx(11 / 12)
    assert health.layers[0].died == pytest.approx(4 / 12)


def test_a_chain_of_layers_that_died_together_is_named_once() -> None:
    died = [
        row("conv", died=0.56),
        row("conv_bn", kind="BatchNormalization", died=0.56),
        row("depthwise", kind="DepthwiseConv2D", died=0.56),
        row("other_bn", kind="BatchNormalization", died=0.7),
        row("last", died=0.7),
    ]
    (told,) = hints([{"epoch": 1, "layers": died}])
    assert told.split(": ")[1].startswith("other_bn (70 %), last (70 %), conv (56 %);")


def test_channels_of_other_kernels_are_counted_along_their_own_axis() -> None:
    """A kernel of a depthwise layer is [h, w, C, 1], a transposed one's [h, w, out, in]."""
    import keras
    from keras import layers

    inputs = keras.Input((64, 64, 3))
    x = layers.Conv2D(8, 3, strides=4, padding="same", name="stem")(inputs)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.ReLU()(x)
    x = layers.Conv2DTranspose(6, 1, name="transposed")(x)
    x = layers.ReLU()(x)
    model = keras.Model(inputs, layers.Conv2D(3, 1, activation="sigmoid", name="last")(x))
    for name, dead in (("depthwise", 2), ("transposed", 3)):
        kernel, bias = model.get_layer(name).get_weights()
        bias[:dead] = -1000.0
        model.get_layer(name).set_weights([kernel, bias])
    silent = {layer.layer: layer.silent for layer in measure_health(compiled(model), *batch()).layers}
    assert silent["depthwise"] == pytest.approx(2 / 8)
    assert silent["transposed"] == pytest.approx(3 / 6)
    assert silent["last"] == 0


def test_a_layer_that_gets_no_gradient_is_named() -> None:
    import keras
    from keras import layers, ops

    inputs = keras.Input((64, 64, 3))
    x = layers.Conv2D(3, 3, strides=4, padding="same", name="used")(inputs)
    lost = layers.Conv2D(3, 3, strides=4, padding="same", name="lost")(inputs)
    x = layers.Add()([x, ops.stop_gradient(lost)])
    health = measure_health(compiled(keras.Model(inputs, layers.Activation("sigmoid")(x))), *batch())
    figures = {layer.layer: layer for layer in health.layers}
    assert figures["lost"].gradient == 0
    assert figures["lost"].update == 0
    assert figures["lost"].silent == 1
    assert figures["used"].gradient
    (told,) = hints([{"epoch": 1, "layers": [layer.row() for layer in health.layers]}])
    assert told.startswith("layers that get no gradient: lost;")


def test_several_outputs_and_layers_of_the_loss() -> None:
    """A tuple of targets, as SimCC's and MoveNet's networks have, and a loss that learns itself."""
    import keras
    import tensorflow as tf
    from keras import layers

    from stm32pose.training.trainer import Trainer

    class Learning(keras.losses.Loss):
        def __init__(self) -> None:
            super().__init__(reduction="mean_with_sample_weight")
            self.flow = layers.Dense(1, name="flow")
            self.flow.build((None, 1))
            self.layers = [self.flow]

        def call(self, y_true: Any, y_pred: Any) -> Any:
            distances = [tf.reduce_mean((a - b) ** 2, axis=(1, 2)) for a, b in zip(y_true, y_pred, strict=True)]
            return sum(distances) + tf.reduce_sum(self.flow(tf.ones((1, 1)))) ** 2

    inputs = keras.Input((64, 64, 3))
    outputs = [layers.Conv2D(3, 3, strides=4, padding="same", name=name)(inputs) for name in ("one", "two")]
    trainer = Trainer(keras.Model(inputs, outputs), Learning())
    trainer.compile(optimizer=keras.optimizers.Adam())
    trainer.optimizer.build(trainer.trainable_variables)
    images, targets, weights = batch()
    figures = {
        layer.layer: layer.gradient for layer in measure_health(trainer, images, (targets, targets), weights).layers
    }
    assert set(figures) == {"one", "two", "flow"}
    assert all(figures.values())


def row(layer: str, **figures: Any) -> dict[str, Any]:
    usual = {"gradient": 0.1, "weight": 1.0, "update": 1e-3, "silent": 0.0, "died": 0.0, "finite": True}
    return {"layer": layer, "kind": "Conv2D", "parameters": 9, **usual, **figures}


def test_hints_are_few_and_say_what_to_do() -> None:
    assert hints([{"epoch": 1, "layers": [row("a"), row("b")]}]) == []
    broken = row("c", gradient=None, finite=False)
    told = hints(
        [{"epoch": 1, "layers": [row("a", update=2 * FAST), row("b", update=1e-9), broken, row("d", gradient=0.0)]}]
    )
    assert [line.partition(":")[0].partition(" a step")[0] for line in told] == [
        "gradients or weights are not finite",
        "layers that get no gradient",
        "layers that change by more than 10 %",
        "layers that hardly change (less than a millionth",
    ]
    for line, name in zip(told, "cdab", strict=True):
        assert f": {name};" in line
    many = hints([{"epoch": 1, "layers": [row(f"layer_{n}", died=0.9) for n in range(20)]}])
    assert "and 14 more" in many[0]


def test_a_rate_of_zero_after_the_last_step_is_no_fault_of_the_layers() -> None:
    moved, stood = [row("a"), row("b")], [row("a", update=0.0), row("b", update=0.0)]
    assert hints([{"epoch": 1, "layers": moved}, {"epoch": 2, "layers": stood}]) == []
    assert hints([{"epoch": 1, "layers": stood}]) == []


def test_the_first_layer_that_is_not_finite_is_named() -> None:
    model = dots.dots_model()
    trainer = compiled(model)
    images = batch()[0]
    assert "finite on the first batch" in not_finite(trainer, images)
    norm = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"][1]
    kept = norm.get_weights()
    norm.set_weights([np.full_like(kept[0], np.nan), *kept[1:]])
    last = model.layers[-1]
    weights = last.get_weights()
    last.set_weights([np.full_like(weights[0], np.inf), weights[1]])
    assert not_finite(trainer, images) == f"the weights of {norm.name} are not finite, the first of 2 of 7 layers"


def test_moving_statistics_count_as_weights() -> None:
    model = dots.dots_model()
    norm = next(layer for layer in model.layers if type(layer).__name__ == "BatchNormalization")
    gamma, beta, mean, variance = norm.get_weights()
    norm.set_weights([gamma, beta, mean, np.full_like(variance, np.inf)])
    assert not_finite(compiled(model), batch()[0]).startswith(f"the weights of {norm.name} are not finite")


def test_an_output_that_overflows_is_named() -> None:
    model = dots.dots_model()
    norm = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"][1]
    gamma, *rest = norm.get_weights()
    norm.set_weights([np.full_like(gamma, 3e38), *rest])
    told = not_finite(compiled(model), 100 * batch()[0])
    assert told.startswith(f"the output of {norm.name} is not finite")

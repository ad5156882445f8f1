"""Losses of heat maps: ST's published values, and that unlabelled joints have no influence."""

from __future__ import annotations

import numpy as np
import pytest

from stm32pose.codecs.heatmap import HeatmapCodec
from stm32pose.losses import make_loss, resolve_loss

keras = pytest.importorskip("keras")

# name, activation of the outputs
LOSSES = (
    ("mse", "sigmoid"),
    ("ohkm", "sigmoid"),
    ("cross_entropy", "softmax"),
    ("cross_entropy", "empty"),
    ("kl", "softmax"),
    ("kl", "empty"),
)
each_loss = pytest.mark.parametrize("name", LOSSES, ids="-".join)


def targets(keypoints=4, batch=3, seed=0, **options):
    codec = HeatmapCodec((192, 192), (48, 48), keypoints, **options)
    points = np.random.default_rng(seed).uniform(8, 184, (batch, 1, keypoints, 3))
    points[..., 2] = 2
    return codec.encode(points)


def made(name, **arguments):
    name, activation = (name, "sigmoid") if isinstance(name, str) else name
    return make_loss(name, activation=activation, arguments=arguments)


def value(name, y_true, y_pred, weights=None, **arguments) -> float:
    return float(made(name, **arguments)(y_true, y_pred, sample_weight=weights))


@pytest.mark.parametrize(
    ("maps", "expected"),
    [
        (lambda t: np.full_like(t, 1 / 2304), np.log(2304)),
        (lambda t: np.zeros_like(t), np.log(2304)),
        (lambda t: np.full_like(t, 0.5), np.log(2304)),
        (lambda t: t * 0.3, 0),
        (lambda t: np.roll(t, 5, axis=1), -np.log(1e-7)),
    ],
)
def test_cross_entropy_has_the_values_of_st(maps, expected):
    y_true, weights = targets(target="one_pixel", activation="softmax")
    assert value("cross_entropy", y_true, maps(y_true), weights) == pytest.approx(expected, abs=2e-4)


def test_a_perfect_map_costs_the_entropy_of_its_target_and_no_divergence():
    y_true, weights = targets(activation="softmax", sigma=1.5)
    entropy = float(-(y_true * np.log(np.maximum(y_true, 1e-30))).sum(axis=(1, 2)).mean())
    assert entropy == pytest.approx(1 + np.log(2 * np.pi * 1.5**2), abs=0.02)
    assert value("cross_entropy", y_true, y_true, weights) == pytest.approx(entropy, abs=1e-3)
    assert value("kl", y_true, y_true, weights) == pytest.approx(0, abs=1e-3)
    logits = np.log(np.maximum(y_true, 1e-30)) + 3
    assert value(("kl", "empty"), y_true, logits, weights) == pytest.approx(0, abs=1e-4)


def test_divergence_is_that_of_numpy():
    y_true, weights = targets(activation="softmax", sigma=2.0)
    rng = np.random.default_rng(3)
    shares = rng.uniform(0.1, 1, y_true.shape).astype(np.float32)
    shares /= shares.sum(axis=(1, 2), keepdims=True)
    known = y_true > 0
    ratio = np.log(np.where(known, y_true, 1) / np.where(known, shares, 1))
    expected = (y_true * ratio).sum(axis=(1, 2)).mean()
    assert value(("kl", "softmax"), y_true, shares, weights) == pytest.approx(expected, rel=1e-4)
    assert value(("kl", "empty"), y_true, np.log(shares) - 2, weights) == pytest.approx(expected, rel=1e-4)


def test_logits_cost_what_their_softmax_costs():
    y_true, weights = targets(activation="softmax")
    logits = np.random.default_rng(1).normal(0, 1, y_true.shape).astype(np.float32) + 7
    shares = np.exp(logits) / np.exp(logits).sum(axis=(1, 2), keepdims=True)
    expected = value(("cross_entropy", "softmax"), y_true, shares, weights)
    assert value(("cross_entropy", "empty"), y_true, logits, weights) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "options", [{"sigma": 1.0}, {"sigma": 3.0}, {"target": "one_pixel"}, {"activation": "softmax"}]
)
def test_an_empty_map_costs_one_squared_error(options):
    y_true, weights = targets(**options)
    assert value("mse", y_true, np.zeros_like(y_true), weights) == pytest.approx(1, rel=1e-5)
    assert value("mse", y_true, y_true, weights) == 0
    assert value("mse", y_true, 0.5 * y_true, weights) == pytest.approx(0.25, rel=1e-5)


@each_loss
def test_a_value_a_joint(name):
    y_true, _ = targets(5, 2)
    joints = np.asarray(made(name).call(y_true, np.full_like(y_true, 0.1)))
    assert joints.shape == (2, 5)
    assert value(name, y_true, np.full_like(y_true, 0.1)) == pytest.approx(joints.mean(), rel=1e-5)


@each_loss
def test_the_batch_size_does_not_matter(name):
    y_true, weights = targets(4, 3)
    y_pred = np.random.default_rng(5).uniform(0.01, 0.99, y_true.shape).astype(np.float32)
    repeated = [np.concatenate([part, part, part]) for part in (y_true, y_pred, weights)]
    assert value(name, *repeated) == pytest.approx(value(name, y_true, y_pred, weights), rel=1e-5)


@each_loss
def test_unlabelled_joints_change_nothing(name):
    import tensorflow as tf

    y_true, weights = targets(4, 3)
    rng = np.random.default_rng(2)
    y_pred = rng.uniform(0.01, 0.99, y_true.shape).astype(np.float32)
    weights[0, :] = weights[1, 2] = 0
    y_true[0] = 0
    y_true[1, ..., 2] = 0
    joints = np.asarray(made(name).call(y_true, y_pred))
    expected = joints[weights > 0].mean()
    assert value(name, y_true, y_pred, weights) == pytest.approx(expected, rel=1e-5)
    other = np.where(weights[:, None, None] > 0, y_pred, rng.uniform(0.01, 0.99, y_true.shape)).astype(np.float32)
    assert value(name, y_true, other, weights) == pytest.approx(expected, rel=1e-5)
    variable = tf.Variable(y_pred)
    with tf.GradientTape() as tape:
        loss = made(name)(y_true, variable, sample_weight=weights)
    gradient = tape.gradient(loss, variable).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient[0] == 0).all()
    assert (gradient[1, ..., 2] == 0).all()
    learnt = np.abs(gradient[2]).max(axis=(0, 1)) > 0
    assert learnt.sum() == (2 if name[0] == "ohkm" else 4)


@each_loss
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_batch_without_labels_costs_nothing(name, level):
    import tensorflow as tf

    y_true = np.zeros((2, 8, 8, 3), np.float32)
    variable = tf.Variable(np.full_like(y_true, level))
    with tf.GradientTape() as tape:
        loss = made(name)(y_true, variable, sample_weight=np.zeros((2, 3), np.float32))
    assert float(loss) == 0
    assert (tape.gradient(loss, variable).numpy() == 0).all()


@each_loss
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_gradients_of_saturated_maps_are_finite(name, level):
    import tensorflow as tf

    y_true, weights = targets()
    variable = tf.Variable(np.full_like(y_true, level))
    with tf.GradientTape() as tape:
        loss = made(name)(y_true, variable, sample_weight=weights)
    assert np.isfinite(float(loss))
    assert np.isfinite(tape.gradient(loss, variable).numpy()).all()


@pytest.mark.parametrize(("topk", "labels"), [(1, 5), (2, 5), (3, 2), (5, 5), (None, 5)])
@pytest.mark.parametrize("whole", [0.0, 1.0])
def test_mining_is_the_mean_of_the_hardest_joints(topk, labels, whole):
    """Against NumPy, an image alone; unlabelled joints are never among the hardest, however bad their maps are."""
    y_true, weights = targets(5, 1)
    y_true[..., labels:] = 0
    weights[:, labels:] = 0
    y_pred = np.random.default_rng(6).uniform(0, 1, y_true.shape).astype(np.float32)
    y_pred[..., labels:] = 30
    each = np.asarray(make_loss("mse").call(y_true, y_pred))[0, :labels]
    hardest = np.sort(each)[::-1][: topk or 3]  # half of five, rounded up
    arguments = {"topk": topk} if topk else {}
    got = value("ohkm", y_true, y_pred, weights, whole=whole, **arguments)
    assert got == pytest.approx(hardest.mean() + whole * each.mean(), rel=1e-5)


def test_mining_takes_eight_of_many():
    y_true, weights = targets(20, 1)
    y_pred = np.random.default_rng(6).uniform(0, 1, y_true.shape).astype(np.float32)
    each = np.sort(np.asarray(make_loss("mse").call(y_true, y_pred))[0])
    assert value("ohkm", y_true, y_pred, weights) == pytest.approx(each[-8:].mean(), rel=1e-5)


@pytest.mark.parametrize(("activation", "loss"), [("sigmoid", "mse"), ("softmax", "cross_entropy"), ("empty", None)])
def test_fit_learns_a_point(activation, loss, tmp_path):
    """Through compile and fit, with weights a joint; the second joint is never labelled."""
    name = resolve_loss("auto", activation=activation)
    assert loss is None or name == loss
    codec = HeatmapCodec((32, 32), (8, 8), 2, activation=activation, sigma=1.0)
    points = np.array([[[[13.0, 21.0, 2.0], [13.0, 21.0, 0.0]]]] * 4, np.float32)
    y_true, weights = codec.encode(points)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((1,))
    maps = keras.layers.Reshape((8, 8, 2))(keras.layers.Dense(128)(inputs))
    if activation == "sigmoid":
        maps = keras.layers.Activation("sigmoid")(maps)
    elif activation == "softmax":
        maps = keras.layers.Softmax(axis=(1, 2))(maps)
    model = keras.Model(inputs, maps)
    model.compile(optimizer=keras.optimizers.Adam(0.1), loss=make_loss(name, activation=activation))
    y_true, weights = np.tile(y_true, (20, 1, 1, 1)), np.tile(weights, (20, 1))
    fitted = model.fit(np.ones((80, 1)), y_true, sample_weight=weights, batch_size=4, epochs=6, verbose=0)
    history = fitted.history["loss"]
    floor = 0 if activation == "sigmoid" else -np.sum(y_true[0] * np.log(np.maximum(y_true[0], 1e-30)))
    assert history[-1] - floor < 0.1 * (history[0] - floor)
    poses = codec.decode([model.predict(np.ones((1, 1)), verbose=0)])
    assert np.linalg.norm(poses[0, 0, 0, :2] - [13, 21]) < 0.5
    assert poses[0, 0, 0, 2] > 0.6
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert reloaded.output_shape == (None, 8, 8, 2)

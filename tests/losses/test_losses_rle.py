"""RLE: its flow is a density, its sigma the spread of the errors, and the flow learns what the base cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stm32pose.losses import make_loss
from stm32pose.losses.rle import LEAST_SIGMA, make_flow

keras = pytest.importorskip("keras")


def stirred(flow, seed=0, scale=0.7):
    """Give the flow weights far from the identity."""
    rng = np.random.default_rng(seed)
    for weight in flow.trainable_variables:
        weight.assign(rng.normal(0, scale / math.sqrt(weight.shape[0]), weight.shape))
    return flow


def rle(**arguments):
    return make_loss("rle", kind="keypoints", arguments=arguments, input_shape=(64, 64))


def test_the_change_of_volume_is_the_determinant():
    """Against automatic differentiation."""
    import tensorflow as tf

    flow = stirred(make_flow())
    points = tf.constant(np.random.default_rng(1).normal(0, 2, (50, 2)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(points)
        origins, log_volume = flow(points)
    jacobian = tape.batch_jacobian(origins, points).numpy().astype(np.float64)
    determinant = np.linalg.det(jacobian)
    assert (determinant > 0).all()
    np.testing.assert_allclose(log_volume.numpy(), np.log(determinant), rtol=1e-3, atol=1e-3)
    assert log_volume.numpy().std() > 0.05


@pytest.mark.parametrize("distribution", ["laplace", "gaussian"])
def test_the_likelihood_of_all_outputs_is_one(distribution):
    """The flow's part alone is a density over places: exp(-loss) sums to 1 on a fine grid, however it is bent."""
    loss = rle(distribution=distribution, residual=0)
    stirred(loss.layers[0], scale=0.4)
    sigma, side, cells = 0.03, 0.9, 300
    places = (np.arange(cells) + 0.5) / cells * 2 * side - side
    grid = np.stack(np.meshgrid(places, places, indexing="ij"), axis=-1).reshape(1, 1, 1, -1, 2).astype(np.float32)
    score = np.full((*grid.shape[:-1], 1), 1 - sigma + LEAST_SIGMA, np.float32)
    target = np.zeros((*grid.shape[:-1], 3), np.float32)
    cost = np.asarray(loss.call(target, np.concatenate([grid, score], axis=-1)), np.float64)
    assert np.exp(-cost).sum() * (2 * side / cells) ** 2 == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("distribution", "log_density"),
    [
        ("laplace", lambda e: -np.abs(e).sum(-1) - 2 * math.log(2)),
        ("gaussian", lambda e: -np.square(e).sum(-1) / 2 - math.log(2 * math.pi)),
    ],
)
def test_it_starts_as_the_likelihood_of_its_distribution(distribution, log_density):
    rng = np.random.default_rng(2)
    target = rng.uniform(0, 1, (4, 1, 1, 6, 3)).astype(np.float32)
    output = rng.uniform(0.05, 0.75, target.shape).astype(np.float32)
    sigma = (1 - output[..., 2] + LEAST_SIGMA)[:, 0, 0]
    error = (output - target)[:, 0, 0, :, :2] / sigma[..., None]
    expected = 2 * np.log(sigma) - log_density(error)
    keras.utils.set_random_seed(3)
    alone = np.asarray(rle(distribution=distribution, residual=0).call(target, output))
    np.testing.assert_allclose(alone, expected, atol=0.15)
    twice = np.asarray(rle(distribution=distribution, residual=1).call(target, output))
    np.testing.assert_allclose(twice, 2 * expected, atol=0.15)


def test_scores_outside_0_to_1_are_finite():
    target = np.zeros((1, 1, 1, 3, 3), np.float32)
    output = np.array([[[[[0.1, 0.2, 1.4], [0.1, 0.2, 1.0], [0.1, 0.2, -3.0]]]]], np.float32)
    assert np.isfinite(np.asarray(rle().call(target, output))).all()


def test_sigma_becomes_the_spread_and_the_flow_learns_the_rest():
    """Errors of two joints: Laplace, 0.05 and 0.2 of the input. Then a distribution that is nobody's: two points."""
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(4)
    spread = np.array([0.05, 0.2])
    loss = rle()
    guess = tf.Variable(np.array([[0.4, 0.6, 0.0], [0.6, 0.4, 0.0]], np.float32))
    learnt = fit(loss, guess, 0.5 + rng.laplace(0, 1, (512, 2, 2)) * spread[:, None], [guess], 0.03, 250)
    sigma = 1 - tf.sigmoid(guess[:, 2]).numpy() + LEAST_SIGMA
    np.testing.assert_allclose(sigma, spread, rtol=0.15)
    np.testing.assert_allclose(guess.numpy()[:, :2], 0.5, atol=0.04)
    # Two densities, each ln sigma of both axes and the entropy of a Laplace variable, 1 + ln 2, of both axes.
    expected = np.mean(2 * (2 * np.log(spread) + 2 * (1 + math.log(2))))
    assert learnt[-1] == pytest.approx(expected, abs=0.2)

    ends = 0.5 + rng.choice([-0.1, 0.1], (512, 2, 2)) + rng.normal(0, 0.01, (512, 2, 2))
    costs = fit(loss, guess, ends, loss.layers[0].trainable_variables, 0.005, 300)
    assert costs[-1] < costs[0] - 0.5


def fit(loss, guess, places, variables, rate, steps):
    """Costs of `steps` steps on (y, x) `places` [B, K, 2] that `guess` [K, 3], (y, x, logit of the score), is for."""
    import tensorflow as tf

    target = tf.constant(np.concatenate([places, np.ones((*places.shape[:2], 1))], axis=-1)[:, None, None], tf.float32)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            output = tf.concat([guess[:, :2], tf.sigmoid(guess[:, 2:])], axis=1)
            cost = loss(target, tf.broadcast_to(output, target.shape))
        optimizer.apply_gradients(zip(tape.gradient(cost, variables), variables, strict=True))
        return cost

    return [float(step()) for _ in range(steps)]

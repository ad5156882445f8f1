"""Losses of keypoints, SimCC and MoveNet's maps: formulas against NumPy, exact zeros where nothing is labelled."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stm32pose.codecs.keypoints import KeypointsCodec
from stm32pose.codecs.movenet import MovenetCodec
from stm32pose.codecs.simcc import SimccCodec
from stm32pose.losses import make_loss

keras = pytest.importorskip("keras")

SIZE = (96, 160)  # (H, W)
KEYPOINTS = 5
TAU = 0.05 * math.sqrt(96 * 160)


def labels(batch=3, seed=0):
    points = np.random.default_rng(seed).uniform(0, 1, (batch, 1, KEYPOINTS, 3)) * [SIZE[1], SIZE[0], 1]
    points[..., 2] = 2
    return points.astype(np.float32)


CODECS = {
    "keypoints": KeypointsCodec(SIZE, KEYPOINTS),
    "simcc": SimccCodec(SIZE, KEYPOINTS),
    "movenet": MovenetCodec(SIZE, (SIZE[0] // 4, SIZE[1] // 4), KEYPOINTS),
}
# kind, name, arguments
CASES = (
    ("keypoints", "l1", {}),
    ("keypoints", "smooth_l1", {}),
    ("keypoints", "wing", {}),
    ("keypoints", "mse", {}),
    ("keypoints", "rle", {}),
    ("keypoints", "rle", {"distribution": "gaussian"}),
    ("simcc", "kl", {}),
    ("simcc", "cross_entropy", {}),
    ("movenet", "movenet", {}),
)
each_case = pytest.mark.parametrize(("kind", "name", "arguments"), CASES)


def made(kind, name, **arguments):
    keras.utils.set_random_seed(0)  # of the flow
    return make_loss(name, kind=kind, arguments=arguments, input_shape=SIZE, keypoints=KEYPOINTS)


def encoded(kind, batch=3, seed=0):
    return CODECS[kind].encode(labels(batch, seed))


def outputs(kind, batch=3, seed=1):
    """What an untrained network could give."""
    rng = np.random.default_rng(seed)
    height, width = SIZE[0] // 4, SIZE[1] // 4
    shapes = {
        "keypoints": [(1, 1, KEYPOINTS, 3)],
        "simcc": [(KEYPOINTS, 2 * (SIZE[0] + SIZE[1]))],
        "movenet": [(height, width, channels) for channels in (1, KEYPOINTS, 2 * KEYPOINTS, 2 * KEYPOINTS)],
    }[kind]
    return [rng.uniform(0.1, 0.9, (batch, *shape)).astype(np.float32) for shape in shapes]


def alone(parts):
    return parts[0] if len(parts) == 1 else parts


def values(kind, name, targets, given, **arguments):
    return np.asarray(made(kind, name, **arguments).call(targets, alone(given)))


def at_distance(dx, dy, score=0.5):
    """Targets in the middle and outputs (dx, dy) pixels away: both [1, 1, 1, K, 3]."""
    height, width = SIZE
    target = np.tile(np.array([0.5, 0.5, 1], np.float32), (1, 1, 1, KEYPOINTS, 1))
    output = target + np.array([dy / height, dx / width, 0], np.float32)
    output[..., 2] = score
    return target, output.astype(np.float32)


@pytest.mark.parametrize(
    ("name", "arguments", "penalty"),
    [
        ("l1", {}, abs),
        ("mse", {}, lambda d: d**2),
        ("smooth_l1", {}, lambda d: d**2 / 2 if abs(d) < 1 else abs(d) - 0.5),
        ("smooth_l1", {"beta": 4.0}, lambda d: d**2 / 8 if abs(d) < 4 else abs(d) - 2),
        (
            "wing",
            {},
            lambda d: 10 * math.log(1 + abs(d) / 2) if abs(d) < 10 else abs(d) - (10 - 10 * math.log(1 + 10 / 2)),
        ),
        (
            "wing",
            {"omega": 5.0, "epsilon": 0.5},
            lambda d: 5 * math.log(1 + abs(d) / 0.5) if abs(d) < 5 else abs(d) - (5 - 5 * math.log(1 + 5 / 0.5)),
        ),
    ],
)
@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (0.3, -0.7), (-3.0, 2.0), (12.0, 9.99), (-40.0, 30.0)])
def test_errors_are_in_input_pixels(name, arguments, penalty, dx, dy):
    target, output = at_distance(dx, dy)
    got = values("keypoints", name, target, [output], score=0, **arguments)
    np.testing.assert_allclose(got, (penalty(dx) + penalty(dy)) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("score", [0.05, 0.4, 0.95])
@pytest.mark.parametrize("distance", [0.0, 3.0, 30.0])
def test_the_score_learns_how_near_its_keypoint_is(score, distance):
    target, output = at_distance(0.6 * distance, 0.8 * distance, score)
    wanted = math.exp(-distance / TAU)
    expected = -wanted * math.log(score) - (1 - wanted) * math.log(1 - score)
    got = values("keypoints", "l1", target, [output], score=2) - values("keypoints", "l1", target, [output], score=0)
    np.testing.assert_allclose(got, 2 * expected, rtol=1e-3)


def test_a_distance_does_not_grow_to_suit_the_score():
    """The wanted score has no gradient: with `score` alone the position would be pushed away from the target."""
    import tensorflow as tf

    target, output = at_distance(6, 8, 0.1)
    variable = tf.Variable(output)
    gradients = []
    for score in (0.0, 5.0):
        with tf.GradientTape() as tape:
            loss = made("keypoints", "l1", score=score)(target, variable)
        gradients.append(tape.gradient(loss, variable).numpy())
    np.testing.assert_array_equal(gradients[0][..., :2], gradients[1][..., :2])
    assert (gradients[0][..., 2] == 0).all()
    assert (gradients[1][..., 2] < 0).all()  # a higher score would cost less


@pytest.mark.parametrize("shape", [(1, 1, KEYPOINTS, 3), (1, KEYPOINTS, 3)])
def test_both_layouts_of_keypoints(shape):
    targets, _ = encoded("keypoints")
    (given,) = outputs("keypoints")
    expected = values("keypoints", "l1", targets, [given])
    np.testing.assert_array_equal(values("keypoints", "l1", targets, [given.reshape(3, *shape)]), expected)


@each_case
def test_a_value_a_joint(kind, name, arguments):
    targets, weights = encoded(kind)
    given = outputs(kind)
    joints = values(kind, name, targets, given, **arguments)
    assert joints.shape == (3, KEYPOINTS)
    assert joints.std() > 0
    got = float(made(kind, name, **arguments)(targets, alone(given), sample_weight=weights))
    assert got == pytest.approx(joints.mean(), rel=1e-5)


@each_case
def test_unlabelled_joints_change_nothing(kind, name, arguments):
    import tensorflow as tf

    points = labels()
    points[0] = 0
    points[1, 0, 2, 2] = 0
    targets, weights = CODECS[kind].encode(points)
    assert weights.sum() == 2 * KEYPOINTS - 1
    loss = made(kind, name, **arguments)
    given = [tf.Variable(part) for part in outputs(kind)]
    with tf.GradientTape() as tape:
        cost = loss(targets, alone(given), sample_weight=weights)
    joints = values(kind, name, targets, outputs(kind), **arguments)
    assert float(cost) == pytest.approx(joints[weights > 0].mean(), rel=1e-5)
    gradients = [gradient.numpy() for gradient in map(tf.convert_to_tensor, tape.gradient(cost, given))]
    for part, gradient in enumerate(gradients):
        assert np.isfinite(gradient).all()
        assert (gradient[0] == 0).all(), "an image without labels"
        assert (gradient[2] != 0).any()
        if kind == "keypoints":
            assert (gradient[1, ..., 2, :] == 0).all()
            assert (gradient[2] != 0).all()
        elif kind == "simcc":
            assert (gradient[1, 2] == 0).all()
        elif part == 1:
            assert (gradient[1, ..., 2] == 0).all()
        elif part > 1:
            assert (gradient[1, ..., 4:6] == 0).all()


@each_case
def test_a_batch_without_labels_costs_nothing(kind, name, arguments):
    import tensorflow as tf

    targets, weights = CODECS[kind].encode(np.zeros_like(labels()))
    given = [tf.Variable(part) for part in outputs(kind)]
    with tf.GradientTape() as tape:
        cost = made(kind, name, **arguments)(targets, alone(given), sample_weight=weights)
    assert float(cost) == 0
    for gradient in map(tf.convert_to_tensor, tape.gradient(cost, given)):
        assert (gradient.numpy() == 0).all()


@each_case
def test_the_batch_size_does_not_matter(kind, name, arguments):
    import tensorflow as tf

    loss = made(kind, name, **arguments)
    targets, weights = encoded(kind)
    once = float(loss(targets, alone(outputs(kind)), sample_weight=weights))
    repeat = lambda part: np.concatenate([part, part])  # noqa: E731
    doubled = tf.nest.map_structure(repeat, targets)
    twice = float(loss(doubled, alone([repeat(part) for part in outputs(kind)]), sample_weight=repeat(weights)))
    assert twice == pytest.approx(once, rel=1e-5)


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_simcc_is_two_divergences(scale):
    """Against NumPy in float64; more columns than rows, so the halves cannot be mistaken."""
    targets, _ = encoded("simcc")
    logits = outputs("simcc")[0] * scale
    total, entropy = 0.0, 0.0
    across = 2 * SIZE[1]
    for half in (slice(None, across), slice(across, None)):
        wanted, row = targets[..., half].astype(np.float64), logits[..., half].astype(np.float64)
        level = (
            row - np.log(np.exp(row - row.max(-1, keepdims=True)).sum(-1, keepdims=True)) - row.max(-1, keepdims=True)
        )
        total = total - (wanted * level).sum(-1)
        entropy = entropy - (wanted * np.log(np.where(wanted > 0, wanted, 1))).sum(-1)
    np.testing.assert_allclose(values("simcc", "cross_entropy", targets, [logits]), total, rtol=1e-4)
    np.testing.assert_allclose(values("simcc", "kl", targets, [logits]), total - entropy, rtol=1e-4, atol=1e-4)


def test_a_perfect_simcc_costs_nothing():
    targets, _ = encoded("simcc")
    logits = np.log(np.maximum(targets, 1e-30))
    np.testing.assert_allclose(values("simcc", "kl", targets, [logits]), 0, atol=1e-4)


def test_movenet_is_the_sum_of_its_parts():
    """Against NumPy, each part alone; fields are read at one cell a joint."""
    targets, _ = encoded("movenet")
    given = outputs("movenet")
    centre, heatmaps, cells, wanted = targets
    cells = cells.astype(int)

    def energy(maps):
        return np.square(maps).sum(axis=(1, 2))

    expected = {
        "centre": np.repeat(energy(given[0] - centre) / energy(centre), KEYPOINTS, axis=1),
        "heatmaps": energy(given[1] - heatmaps) / energy(heatmaps),
        "regression": np.zeros((3, KEYPOINTS)),
        "offsets": np.zeros((3, KEYPOINTS)),
    }
    for image in range(3):
        for joint in range(KEYPOINTS):
            row, column = cells[image, -1]
            there = given[2][image, row, column, 2 * joint : 2 * joint + 2]
            expected["regression"][image, joint] = np.abs(there - wanted[image, joint, :2]).sum()
            row, column = cells[image, joint]
            there = given[3][image, row, column, 2 * joint : 2 * joint + 2]
            expected["offsets"][image, joint] = np.abs(there - wanted[image, joint, 2:]).sum()
    none = dict.fromkeys(expected, 0.0)
    for part, value in expected.items():
        got = values("movenet", "movenet", targets, given, **{**none, part: 1.5})
        np.testing.assert_allclose(got, 1.5 * value, rtol=1e-4, atol=1e-6)
    weighed = values("movenet", "movenet", targets, given, centre=1, heatmaps=1, regression=1, offsets=1)
    np.testing.assert_allclose(weighed, sum(expected.values()), rtol=1e-4)


def test_a_perfect_movenet_costs_nothing():
    """Fields that hold at every cell what the codec asks for at one."""
    targets, _ = encoded("movenet")
    centre, heatmaps, _, wanted = targets
    field = np.broadcast_to(wanted[:, None, None], (*heatmaps.shape[:3], KEYPOINTS, 4))
    regression = field[..., :2].reshape(*heatmaps.shape[:3], -1)
    offsets = field[..., 2:].reshape(*heatmaps.shape[:3], -1)
    np.testing.assert_allclose(values("movenet", "movenet", targets, [centre, heatmaps, regression, offsets]), 0)

"""Weights by visibility and by joint: what a feed gives, what validation counts, what a skeleton's YAML says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_dots as dots

from stm32pose.codecs.heatmap import HeatmapCodec
from stm32pose.data.pipeline import Pipeline
from stm32pose.errors import ConfigError
from stm32pose.skeletons.skeleton import load_skeleton, skeleton_names
from stm32pose.training.feed import Feed
from stm32pose.training.weights import JointWeights, joint_weights

LIMBS = {"elbow": 1.2, "knee": 1.2, "wrist": 1.5, "ankle": 1.5}


def weighting(skeleton: Any = None, **training: Any) -> JointWeights:
    settings = dots.dots_config(training=training).training
    assert settings is not None
    return joint_weights(settings, skeleton or dots.dots_skeleton())


def test_factors_of_a_batch():
    keypoints = np.zeros((2, 1, 3, 3), np.float32)
    keypoints[..., 2] = [[[2, 1, 0]], [[1, 2, 2]]]
    given = np.array([[1, 1, 0], [1, 0, 1]], np.float32)  # the last joint of the second image is outside
    made = weighting(visibility_weights={"occluded": 0.5, "visible": 2}, joint_weights=[1, 3, 5])
    np.testing.assert_array_equal(made(given, keypoints), [[2, 1.5, 0], [0.5, 0, 10]])
    assert made(given, keypoints).dtype == np.float32
    np.testing.assert_array_equal(weighting()(given, keypoints), given)


def test_of_two_people_the_one_seen_best_decides():
    keypoints = np.zeros((1, 2, 3, 3), np.float32)
    keypoints[0, :, :, 2] = [[1, 1, 0], [2, 1, 1]]
    made = weighting(visibility_weights={"occluded": 0.5})
    np.testing.assert_array_equal(made(np.ones((1, 3), np.float32), keypoints), [[1, 0.5, 0.5]])


def test_a_skeletons_own_weights():
    skeleton = load_skeleton("coco17")
    made = weighting(skeleton, joint_weights=True)
    expected = [next((w for part, w in LIMBS.items() if part in name), 1) for name in skeleton.keypoints]
    np.testing.assert_allclose(made.joints, expected)
    np.testing.assert_array_equal(weighting(skeleton, joint_weights=False).joints, np.ones(17))


@pytest.mark.parametrize("name", skeleton_names())
def test_a_mirror_keeps_the_weights(name):
    skeleton = load_skeleton(name)
    if skeleton.weights is not None:
        assert skeleton.weights.shape == (skeleton.count,)
        np.testing.assert_array_equal(skeleton.weights, skeleton.weights[skeleton.flip])


def test_what_cannot_be():
    with pytest.raises(ConfigError, match="joint_weights: the skeleton dots has no weights; add `weights:`"):
        weighting(joint_weights=True)
    with pytest.raises(ConfigError, match="joint_weights: got 2 numbers; expected 3, one a keypoint of dots"):
        weighting(joint_weights=[1, 2])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("[1, 2]", "weights: got 2 numbers; wanted 3"),
        ("{a: 1, b: 2, d: 1}", "weights: no keypoint named 'd'"),
        ("{a: 1, b: 2}", "weights: none for c"),
        ("[1, 0, 1]", "weights: b: got .*; wanted a number above 0"),
    ],
)
def test_a_wrong_yaml_is_one_line(tmp_path: Path, weights: str, message: str):
    path = tmp_path / "own.yaml"
    path.write_text(f"name: own\ncategory: x\nkeypoints: [a, b, c]\nweights: {weights}\n")
    with pytest.raises(ConfigError, match=message):
        load_skeleton(str(path))


def test_a_yaml_by_name(tmp_path: Path):
    path = tmp_path / "own.yaml"
    path.write_text("name: own\ncategory: x\nkeypoints: [a, b]\nweights: {b: 2, a: 1}\n")
    np.testing.assert_array_equal(load_skeleton(str(path)).weights, [1, 2])


def test_feed_and_validation_count_alike(tmp_path: Path):
    """The loss of an epoch's validation is the mean over joints with the weights that training steps get."""
    from stm32pose.losses import make_loss
    from stm32pose.training.validation import Forward, validate

    samples = dots.dots_samples(tmp_path, 6, 1)
    for index, sample in enumerate(samples):
        sample.keypoints[0, :, 2] = [[2, 1, 2], [1, 1, 0]][index % 2]
    config = dots.dots_config()
    pipeline = Pipeline(samples, input_shape=(64, 64, 3), preprocessing=config.preprocessing, batch_size=4)
    codec = HeatmapCodec((64, 64), (16, 16), 3)
    made = JointWeights(np.array([1, 2, 3], np.float32), occluded=0.25)
    feed = Feed(pipeline, lambda size: codec, config.preprocessing.rescaling, first=0, last=1, weights=made)
    items = list(feed.produce())
    feed.close()
    weights = np.concatenate([item[2] for item in items])
    np.testing.assert_array_equal(weights[:2], [[1, 0.5, 3], [0.25, 0.5, 0]])
    model, loss = dots.dots_model(), make_loss("mse")
    forward = Forward(model, loss, config.preprocessing.rescaling, made)
    figures, _ = validate(forward, codec, pipeline, samples, dots.dots_skeleton())
    losses = np.concatenate([forward(images, targets)[1] for images, targets, _ in items])
    assert figures["loss"] == pytest.approx((losses * weights).sum() / weights.sum(), rel=1e-5)
    plain = losses[weights > 0].mean()
    assert abs(figures["loss"] - plain) > 1e-3 * plain


def test_a_joint_of_weight_0_is_not_learnt(tmp_path: Path):
    """Through `train`: the map of the one joint stays what it was, the others become maps of dots."""
    splits = dots.dots_splits(tmp_path / "data", 8, 4)
    settings = {"overfit": 8, "epochs": 6, "joint_weights": [1, 0, 1]}
    result = dots.dots_train(dots.dots_config(training=settings), tmp_path, splits)
    import keras

    from stm32pose.metrics.evaluate import quick_joint_metrics

    model = keras.models.load_model(result.last, compile=False)
    codec = HeatmapCodec((64, 64), (16, 16), 3)
    config = dots.dots_config()
    pipeline = Pipeline(splits.training, input_shape=(64, 64, 3), preprocessing=config.preprocessing, batch_size=8)
    batch = next(iter(pipeline.epoch(0)))
    poses = codec.decode([model.predict(batch.images / 127.5 - 1.0, verbose=0)])
    samples = [splits.training[index] for index in batch.indices]
    _, joints = quick_joint_metrics(samples, list(poses), dots.dots_skeleton())
    assert min(joints[0], joints[2]) > 0.8 > 0.5 > joints[1]

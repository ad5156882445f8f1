"""Keypoints to bins and back: round trips, borders, int8, scores."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.codecs.select import codec_from_description
from stm32pose.codecs.simcc import SimccCodec

SHAPES = [(192, 192), (96, 64), (64, 256), (40, 56)]


def logits_of(targets: np.ndarray) -> np.ndarray:
    """What a perfect network gives: logarithms up to a constant, here another one a row."""
    return np.log(np.maximum(targets, 1e-9)) + np.arange(targets.shape[1])[:, None]


def people(shape: tuple[int, int], rng: np.random.Generator, batch: int = 4, count: int = 6) -> np.ndarray:
    keypoints = np.full((batch, 1, count, 3), 2, np.float32)
    keypoints[..., :2] = rng.uniform(0, [shape[1], shape[0]], (batch, 1, count, 2))
    return keypoints


@given(st.sampled_from(SHAPES), st.integers(1, 4), st.sampled_from([None, 1.0, 3.0, 9.0]), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_what_is_encoded_comes_back(shape, split, sigma, seed):
    codec = SimccCodec(shape, 6, split=split, sigma=sigma)
    keypoints = people(shape, np.random.default_rng(seed))
    targets, weights = codec.encode(keypoints)
    assert targets.shape == (4, 6, sum(shape) * split)
    assert targets.dtype == weights.dtype == np.float32
    np.testing.assert_allclose(targets[..., : shape[1] * split].sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(targets[..., shape[1] * split :].sum(-1), 1, rtol=1e-5)
    poses = codec.decode([logits_of(targets)])
    assert poses.shape == (4, 1, 6, 3)
    assert np.abs(poses[..., :2] - keypoints[..., :2]).max() * split < 0.01  # bins
    assert poses[..., 2].min() > 0.95


@given(st.sampled_from(SHAPES), st.integers(1, 3), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_steps_of_int8_cost_less_than_a_bin(shape, split, seed):
    """Near a wide peak neighbouring bins are equal in int8; the fit over all of it still finds the top."""
    codec = SimccCodec(shape, 6, split=split)
    keypoints = people(shape, np.random.default_rng(seed))
    logits = np.log(np.maximum(codec.encode(keypoints)[0], 1e-6))
    step = 16 / 255
    poses = codec.decode([np.round(logits / step) * step])
    assert np.abs(poses[..., :2] - keypoints[..., :2]).max() * split < 0.6


@pytest.mark.parametrize("split", [1, 2, 3])
def test_borders_and_corners(split):
    codec = SimccCodec((48, 80), 4, split=split)
    corners = np.array([[[[0, 0, 2], [80, 48, 1], [80, 0, 2], [40, 48, 1]]]], np.float32)
    targets, weights = codec.encode(corners)
    assert weights.all()
    poses = codec.decode([logits_of(targets)])
    np.testing.assert_allclose(poses[..., :2], corners[..., :2], atol=0.01)


def test_a_bin_lies_where_the_docstring_says():
    codec = SimccCodec((8, 16), 1, split=2, sigma=0.4)
    targets, _ = codec.encode(np.array([[[[3.25, 5.75, 2]]]], np.float32))
    assert targets[0, 0, :32].argmax() == 6  # (6 + 0.5) / 2
    assert targets[0, 0, 32:].argmax() == 11  # (11 + 0.5) / 2
    logits = np.full((1, 1, 48), -9.0)
    logits[0, 0, [6, 32 + 11]] = 9
    np.testing.assert_allclose(codec.decode([logits])[0, 0, 0, :2], [3.25, 5.75], atol=1e-6)


def test_what_is_not_labelled_or_outside_weighs_nothing():
    codec = SimccCodec((32, 64), 4)
    keypoints = np.array([[[[10, 20, 0], [10, 20, 1], [65, 20, 2], [10, -0.1, 2]]]], np.float32)
    targets, weights = codec.encode(keypoints)
    assert weights.tolist() == [[0, 1, 0, 0]]
    assert not targets[0, [0, 2, 3]].any()
    assert targets[0, 1].sum() == pytest.approx(2)


def test_scores_tell_sure_from_unsure():
    codec = SimccCodec((64, 64), 3)
    across, _ = codec.bins
    logits = logits_of(codec.encode(np.full((1, 1, 3, 3), 30, np.float32))[0])
    logits[0, 1] = 0  # knows nothing
    row = codec.encode(np.full((1, 1, 3, 3), 10, np.float32))[0][0, 0, :across]
    logits[0, 2, :across] = np.log(np.exp(logits[0, 2, :across] - logits[0, 2, :across].max()) + row / row.max() * 0.99)
    sure, flat, torn = codec.decode([logits])[0, 0]
    assert sure[2] > 0.95
    assert flat[2] < 0.05
    assert 0.4 < torn[2] < 0.6  # two places across, half the mass each
    assert torn[0] == pytest.approx(30, abs=0.1)


def test_the_highest_peak_counts_and_not_the_mean():
    codec = SimccCodec((64, 64), 1)
    near, far = (codec.encode(np.full((1, 1, 1, 3), place, np.float32))[0] for place in (12, 50))
    poses = codec.decode([np.log(0.7 * near + 0.3 * far + 1e-9)])
    np.testing.assert_allclose(poses[0, 0, 0, :2], [12, 12], atol=0.1)


def test_numbers_that_are_none_score_nothing():
    codec = SimccCodec((64, 32), 2)
    logits = logits_of(codec.encode(np.full((1, 1, 2, 3), 20, np.float32))[0])
    logits[0, 1, 5] = np.nan
    good, bad = codec.decode([logits])[0, 0]
    assert good[2] > 0.9
    np.testing.assert_array_equal(bad, [16, 32, 0])
    with pytest.raises(ValueError, match="wants"):
        codec.decode([logits[..., :-1]])
    with pytest.raises(ValueError, match="3 keypoints"):
        codec.encode(np.zeros((1, 1, 3, 3), np.float32))


def test_it_comes_back_from_its_description():
    codec = SimccCodec((96, 64), 5, split=3, sigma=2.5)
    again = codec_from_description(json.loads(json.dumps(codec.describe())))
    assert isinstance(again, SimccCodec)
    assert vars(again) == vars(codec)
    assert SimccCodec((192, 192), 5).sigma == pytest.approx(4.9, abs=0.01)
    assert SimccCodec((256, 256), 5).sigma == pytest.approx(5.66, abs=0.01)
    for broken in ({"split": 0}, {"sigma": 0.0}, {"keypoints": 0}):
        with pytest.raises(ValueError, match="impossible codec"):
            SimccCodec(**{"input_shape": (8, 8), "keypoints": 1, **broken})

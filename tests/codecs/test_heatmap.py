"""The heat-map codec: encode, decode, and that one undoes the other."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.codecs.heatmap import HeatmapCodec

SIZES = st.sampled_from([(96, 96, 4), (96, 160, 4), (192, 128, 8), (128, 256, 8), (120, 88, 4)])
ACTIVATIONS = ("sigmoid", "softmax")


def make(height=96, width=96, stride=4, keypoints=1, **options) -> HeatmapCodec:
    return HeatmapCodec((height, width), (height // stride, width // stride), keypoints, **options)


def points(*xy, visibility=2.0) -> np.ndarray:
    """[1, 1, K, 3]"""
    return np.array([[[[x, y, visibility] for x, y in xy]]], np.float32)


def distance(poses: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    return np.linalg.norm(poses[:, 0, :, :2] - keypoints[:, 0, :, :2], axis=-1)


@given(SIZES, st.floats(1.0, 3.0), st.sampled_from(ACTIVATIONS), st.integers(1, 20), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_decode_returns_what_was_encoded(size, sigma, activation, count, seed):
    height, width, stride = size
    codec = make(height, width, stride, count, sigma=sigma, activation=activation)
    rng = np.random.default_rng(seed)
    keypoints = np.full((2, 1, count, 3), 2, np.float32)
    keypoints[..., :2] = rng.uniform(stride, [width - stride, height - stride], (2, 1, count, 2))
    targets, weights = codec.encode(keypoints)
    assert targets.shape == (2, height // stride, width // stride, count)
    assert targets.dtype == weights.dtype == np.float32
    poses = codec.decode([targets])
    assert poses.shape == (2, 1, count, 3)
    assert distance(poses, keypoints).max() < 0.1
    assert poses[..., 2].min() > 0.75
    assert poses[..., 2].max() <= 1


@given(st.floats(0, 96), st.floats(0, 160), st.floats(1.0, 3.0), st.sampled_from(ACTIVATIONS))
@settings(max_examples=60, deadline=None)
def test_border_points_survive(y, x, sigma, activation):
    codec = make(96, 160, 4, sigma=sigma, activation=activation)
    keypoints = points((x, y))
    targets, weights = codec.encode(keypoints)
    assert weights[0, 0] == 1
    assert targets.max() > 0
    assert distance(codec.decode([targets]), keypoints).max() < 0.2


def test_the_half_cell_convention():
    codec = make(keypoints=2)
    targets, _ = codec.encode(points((2.0, 2.0), (4 * 7 + 2.0, 4 * 3 + 2.0)))
    assert targets[0, 0, 0, 0] == 1
    assert targets[0, 3, 7, 1] == 1
    np.testing.assert_allclose(targets[0, 3, 8, 1], np.exp(-0.5 / 1.5**2), rtol=1e-6)
    np.testing.assert_allclose(targets[0, 4, 8, 1], np.exp(-1 / 1.5**2), rtol=1e-6)


@pytest.mark.parametrize("decode", ["argmax", "quarter", "dark"])
def test_cell_centres_are_exact_in_every_decoding(decode):
    codec = make(96, 160, keypoints=3, decode=decode)
    keypoints = points((30.0, 50.0), (2.0, 2.0), (158.0, 94.0))
    assert distance(codec.decode([codec.encode(keypoints)[0]]), keypoints).max() < 0.05


def test_bounds_of_the_coarse_decodings():
    rng = np.random.default_rng(1)
    keypoints = np.full((200, 1, 1, 3), 2, np.float32)
    keypoints[..., :2] = rng.uniform(4, 92, (200, 1, 1, 2))
    errors = {}
    for decode in ("argmax", "quarter", "dark"):
        codec = make(decode=decode)
        offset = codec.decode([codec.encode(keypoints)[0]])[:, 0, :, :2] - keypoints[:, 0, :, :2]
        errors[decode] = np.abs(offset).max()
    assert errors["argmax"] <= 2.0 + 1e-5  # half a cell, the 1/96 of a 48x48 map
    assert errors["quarter"] <= 1.0 + 1e-5
    assert errors["dark"] < 0.01


@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "empty"])
def test_a_mirrored_map_decodes_to_mirrored_points(activation):
    rng = np.random.default_rng(2)
    codec = make(96, 160, keypoints=5, activation=activation)
    maps = rng.random((3, 24, 40, 5), np.float32)
    poses, mirrored = codec.decode([maps]), codec.decode([np.ascontiguousarray(maps[:, :, ::-1])])
    np.testing.assert_allclose(160 - mirrored[..., 0], poses[..., 0], atol=1e-3)
    np.testing.assert_allclose(mirrored[..., 1:], poses[..., 1:], atol=1e-3)


def test_encoding_commutes_with_a_mirror():
    rng = np.random.default_rng(3)
    codec = make(96, 160, keypoints=5)
    keypoints = np.full((4, 2, 5, 3), 2, np.float32)
    keypoints[..., :2] = rng.uniform(0, [160, 96], (4, 2, 5, 2))
    mirrored = keypoints.copy()
    mirrored[..., 0] = 160 - mirrored[..., 0]
    np.testing.assert_allclose(codec.encode(mirrored)[0], codec.encode(keypoints)[0][:, :, ::-1], atol=1e-5)


def test_weights_follow_visibility_and_the_frame():
    codec = make(keypoints=7)
    keypoints = points((20, 20), (20, 20), (20, 20), (-0.01, 20), (20, 96.01), (96, 96), (np.nan, 20))
    keypoints[0, 0, :, 2] = [0, 1, 2, 2, 2, 2, 2]
    targets, weights = codec.encode(keypoints)
    assert weights.tolist() == [[0, 1, 1, 0, 0, 1, 0]]
    assert (targets.max(axis=(0, 1, 2)) > 0).tolist() == [False, True, True, False, False, True, False]
    np.testing.assert_array_equal(targets[..., 1], targets[..., 2])


def test_several_people_share_a_map_by_maximum():
    codec = make(keypoints=2)
    first, second = points((20, 20), (40, 40)), points((60, 70), (10, 10))
    second[..., 1, 2] = 0
    both, weights = codec.encode(np.concatenate([first, second], axis=1))
    np.testing.assert_array_equal(both, np.maximum(codec.encode(first)[0], codec.encode(second)[0]))
    assert weights.tolist() == [[1, 1]]
    padded, weights = codec.encode(np.concatenate([first, np.zeros_like(first)], axis=1))
    np.testing.assert_array_equal(padded, codec.encode(first)[0])


@pytest.mark.parametrize("activation", ["softmax", "empty"])
def test_targets_of_softmax_maps_sum_to_one(activation):
    codec = make(keypoints=3, activation=activation)
    keypoints = points((20, 20), (0, 96), (50, 60))
    keypoints[0, 0, 2, 2] = 0
    targets, _ = codec.encode(np.concatenate([keypoints, keypoints + 9], axis=1))
    np.testing.assert_allclose(targets.sum(axis=(1, 2))[0, :2], 1, rtol=1e-5)
    assert codec.encode(keypoints)[0][..., 2].sum() == 0


def test_one_pixel_targets_are_those_of_st_without_the_lost_border():
    codec = make(192, 192, keypoints=3, target="one_pixel")
    targets, weights = codec.encode(points((10.9, 20.1), (192, 192), (0, 0)))
    assert [tuple(cell) for cell in np.argwhere(targets[0] == 1)] == [(0, 0, 2), (5, 2, 0), (47, 47, 1)]
    assert targets.sum() == 3
    assert weights.all()
    poses = codec.decode([targets])
    assert np.abs(poses[0, 0, :, :2] - [[10, 22], [190, 190], [2, 2]]).max() < 0.1


@given(st.floats(0.3, 1.0), st.floats(1.0, 3.0), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_int8_maps_keep_their_sub_cell_position(peak, sigma, seed):
    codec = make(sigma=sigma)
    rng = np.random.default_rng(seed)
    keypoints = np.full((8, 1, 1, 3), 2, np.float32)
    keypoints[..., :2] = rng.uniform(8, 88, (8, 1, 1, 2))
    quantized = np.round(codec.encode(keypoints)[0] * peak * 255) / 255
    assert distance(codec.decode([quantized]), keypoints).max() < 0.3


@pytest.mark.parametrize(("sigma", "most"), [(1.0, 0.5), (1.5, 0.5), (2.0, 0.6), (3.0, 1.1)])
def test_noise_on_int8_maps(sigma, most):
    rng = np.random.default_rng(6)
    keypoints = np.full((300, 1, 1, 3), 2, np.float32)
    keypoints[..., :2] = rng.uniform(16, 80, (300, 1, 1, 2))
    maps = make(sigma=sigma).encode(keypoints)[0] * rng.uniform(0.4, 1, (300, 1, 1, 1)) + rng.normal(
        0, 0.05, (300, 24, 24, 1)
    )
    maps = np.round(np.clip(maps, 0, 1) * 255).astype(np.float32) / 255
    errors = {
        d: distance(make(sigma=sigma, decode=d).decode([maps]), keypoints).mean() for d in ("argmax", "quarter", "dark")
    }
    assert errors["dark"] < most  # pixels; a cell is 4
    assert errors["dark"] < 0.5 * errors["quarter"] < 0.5 * errors["argmax"]


@pytest.mark.parametrize("decode", ["quarter", "dark"])
def test_a_saturated_plateau_decodes_to_its_middle(decode):
    maps = np.zeros((1, 24, 24, 2), np.float32)
    maps[0, 10:13, 8:11, 0] = 1  # middle: cell (11, 9)
    maps[0, 5:7, 20:22, 1] = 0.7  # middle: between cells
    poses = make(keypoints=2, decode=decode).decode([maps])
    np.testing.assert_allclose(poses[0, 0, :, :2], [[38, 46], [84, 24]], atol=0.05)
    np.testing.assert_allclose(poses[0, 0, :, 2], [1, 0.7])


@pytest.mark.parametrize("decode", ["argmax", "quarter", "dark"])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "empty"])
@pytest.mark.filterwarnings("error")
def test_maps_without_a_peak_stay_finite(decode, activation):
    rng = np.random.default_rng(4)
    maps = np.zeros((1, 24, 40, 7), np.float32)
    maps[..., 1] = 0.5
    maps[..., 2] = -3
    maps[0, 3, 3, 3] = np.nan
    maps[0, 3, 3, 4] = np.inf
    maps[..., 5] = -np.inf
    maps[..., 6] = rng.normal(-5, 3, (1, 24, 40))
    poses = make(96, 160, keypoints=7, decode=decode, activation=activation).decode([maps])
    assert np.isfinite(poses).all()
    assert (poses >= 0).all()
    assert (poses[..., 0] <= 160).all()
    assert (poses[..., 1] <= 96).all()
    assert (poses[..., 2] <= 1).all()
    assert (poses[0, 0, 3:6, 2] == 0).all()
    assert poses[0, 0, 3].tolist() == [80, 48, 0]
    if activation != "empty":
        assert (poses[0, 0, [0, 2], 2] == 0).all()


def test_logits_decode_like_the_softmax_they_become():
    codec, raw = make(keypoints=4, activation="softmax"), make(keypoints=4, activation="empty")
    rng = np.random.default_rng(5)
    keypoints = np.full((6, 1, 4, 3), 2, np.float32)
    keypoints[..., :2] = rng.uniform(2, 94, (6, 1, 4, 2))
    shares = codec.encode(keypoints)[0]
    logits = np.log(np.maximum(shares, 1e-12)) + rng.normal(0, 40, (6, 1, 1, 4)).astype(np.float32)
    np.testing.assert_allclose(raw.decode([logits]), codec.decode([shares]), atol=2e-3)
    assert (logits < 0).any()


def test_scores_of_softmax_maps_are_the_mass_at_the_peak():
    codec = make(activation="softmax")
    blob, _ = codec.encode(points((40, 50)))
    uniform = np.full_like(blob, 1 / 576)
    scores = [codec.decode([share * blob + (1 - share) * uniform])[0, 0, 0, 2] for share in (1, 0.5, 0.0)]
    np.testing.assert_allclose(scores, [1, 0.5, 0], atol=0.1)
    for sigma in (1.0, 1.5, 2.0, 3.0):
        codec = make(activation="softmax", sigma=sigma)
        blob, _ = codec.encode(points((40, 50), (41.9, 53.9), (43, 47)).reshape(3, 1, 1, 3))
        off_centre = codec.decode([blob * 0.9])[:, 0, 0, 2]
        np.testing.assert_allclose(off_centre, 0.9, atol=0.015)


def test_maps_smaller_than_a_patch():
    codec = HeatmapCodec((8, 64), (2, 16), 1)
    poses = codec.decode([codec.encode(points((30, 3)))[0]])
    assert np.abs(poses[0, 0, 0, :2] - [30, 3]).max() <= 2


def test_resized_keeps_the_stride_and_the_options():
    codec = HeatmapCodec((192, 256), (48, 64), 13, sigma=2.0, activation="softmax", decode="quarter")
    larger = codec.resized((224, 288))
    assert larger.map_shape == (56, 72)
    assert larger.describe() | {"input_shape": 0, "map_shape": 0} == codec.describe() | {
        "input_shape": 0,
        "map_shape": 0,
    }


def test_the_description_is_json():
    described = json.loads(json.dumps(make(96, 160, keypoints=13, activation="softmax").describe()))
    assert described["stride"] == [4.0, 4.0]
    assert described["map_shape"] == [24, 40]
    assert described["keypoints"] == 13
    assert (described["decode"], described["activation"]) == ("dark", "softmax")


def test_wrong_shapes_are_refused():
    codec = make(keypoints=3)
    with pytest.raises(ValueError, match="4 keypoints, the codec has 3"):
        codec.encode(np.zeros((1, 1, 4, 3)))
    with pytest.raises(ValueError, match=r"\(1, 24, 24, 4\)"):
        codec.decode([np.zeros((1, 24, 24, 4))])
    with pytest.raises(ValueError, match="activation: got 'tanh'"):
        make(activation="tanh")

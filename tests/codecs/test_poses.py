"""Poses and the way back to the original image; suppression of overlapping boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.codecs.boxes import overlaps, suppress
from stm32pose.codecs.heatmap import HeatmapCodec
from stm32pose.codecs.keypoints import KeypointsCodec
from stm32pose.codecs.poses import Poses, extents, no_poses, poses_in_image
from stm32pose.data.pipeline import unmap_poses
from stm32pose.transforms.geometry import fit_matrix


def random_poses(seed: int, count: int = 4, keypoints: int = 5) -> Poses:
    rng = np.random.default_rng(seed)
    keypoints_input = rng.uniform(0, 100, (count, keypoints, 3)).astype(np.float32)
    boxes = rng.uniform(1, 60, (count, 4)).astype(np.float32)
    return Poses(keypoints_input, rng.random(count).astype(np.float32), boxes, ("left",) * count)


@pytest.mark.parametrize("fit", ["fit", "padding", "crop"])
@pytest.mark.parametrize("size", [(480, 640), (640, 427), (50, 1000)])
def test_the_way_back_is_that_of_the_pipeline(fit, size):
    matrix = fit_matrix(size, (192, 256), fit)
    poses = random_poses(1)
    back = poses_in_image(poses, matrix)
    np.testing.assert_allclose(back.keypoints, unmap_poses(poses.keypoints[None], matrix[None])[0], atol=1e-3)
    forth = back.boxes * np.tile([matrix[0, 0], matrix[1, 1]], 2) + [matrix[0, 2], matrix[1, 2], 0, 0]
    np.testing.assert_allclose(forth, poses.boxes, atol=1e-3)
    assert back.scores is poses.scores
    assert back.names == poses.names
    assert back.keypoints.dtype == back.boxes.dtype == np.float32


def test_a_box_in_a_turned_image_is_the_extent_of_its_corners():
    turned = np.array([[0.0, -1.0, 100.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # image (x, y) -> input (100 - y, x)
    box = np.array([[10, 20, 30, 40]], np.float32)  # input x 10..40, y 20..60 -> image y 60..90, x 20..60
    poses = Poses(np.zeros((1, 1, 3), np.float32), np.ones(1, np.float32), box)
    np.testing.assert_allclose(poses_in_image(poses, turned).boxes, [[20, 60, 40, 30]])


def test_nothing_found_stays_nothing():
    back = poses_in_image(no_poses(7, boxes=True), np.diag([2.0, 2.0, 1.0]))
    assert len(back) == 0
    assert back.keypoints.shape == (0, 7, 3)
    assert back.boxes.shape == (0, 4)
    assert no_poses(7).boxes is None


def test_one_person_codecs_score_the_mean_of_their_keypoints():
    heatmaps = HeatmapCodec((96, 64), (24, 16), 3)
    keypoints = np.array([[[[10, 22, 2], [30, 42, 2], [50, 90, 0]]]], np.float32)
    for codec in (heatmaps, KeypointsCodec((96, 64), 3)):
        output, _ = codec.encode(keypoints)
        (found,) = codec.decode_poses([output])
        np.testing.assert_array_equal(found.keypoints, codec.decode([output])[0])
        assert found.scores == pytest.approx([found.keypoints[0, :, 2].mean()])
        assert found.scores == pytest.approx([2 / 3], abs=0.02)
        assert found.boxes is None
        assert not codec.several


def test_extents_hold_every_keypoint():
    poses = random_poses(3).keypoints
    boxes = extents(poses)
    np.testing.assert_allclose(boxes[:, :2], poses[..., :2].min(axis=1))
    np.testing.assert_allclose(boxes[:, :2] + boxes[:, 2:], poses[..., :2].max(axis=1), rtol=1e-6)


def test_overlaps():
    box = np.array([[0.0, 0, 10, 10]])
    others = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 4, 4], [3, 3, 3, 3], [9, 9, 1, 1]])
    np.testing.assert_allclose(overlaps(box, others)[0], [1, 1 / 3, 0, 0.04, 0, 0])
    assert overlaps(np.zeros((1, 4)), np.zeros((1, 4)))[0, 0] == 0


def plain_suppression(boxes, scores, threshold, limit) -> list[int]:
    kept: list[int] = []
    for index in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if len(kept) < limit and all(overlaps(boxes[[index]], boxes[[k]])[0, 0] <= threshold for k in kept):
            kept.append(index)
    return kept


@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.sampled_from([0.3, 0.7]), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_suppression_is_greedy(seed, count, threshold, limit):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 40, (count, 2))], axis=1)
    scores = rng.integers(0, 20, count) / 20  # many ties, as int8 files have them
    found = suppress(boxes, scores, threshold=threshold, limit=limit)
    assert found.tolist() == plain_suppression(boxes, scores, threshold, limit)

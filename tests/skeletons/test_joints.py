"""Keypoints of another naming in a skeleton's order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.skeletons.joints import map_joints, plain_name
from stm32pose.skeletons.skeleton import load_skeleton


@settings(max_examples=40, deadline=None)
@given(st.permutations(list(load_skeleton("coco17").keypoints)), st.integers(0, 2**32 - 1))
def test_order_of_the_file_does_not_matter(names, seed):
    coco = load_skeleton("coco17")
    points = np.random.default_rng(seed).uniform(1, 99, (3, 17, 3)).astype(np.float32)
    points[..., 2] = 2
    shuffled = points[:, [coco.keypoints.index(name) for name in names]]
    assert np.array_equal(map_joints(names, coco).apply(shuffled), points)


@pytest.mark.parametrize("name", ["Left Shoulder", "left-shoulder", "leftShoulder", "LEFT_SHOULDER", " left_shoulder "])
def test_spellings_of_a_name(name):
    assert plain_name(name) == "left_shoulder"


def test_head_is_the_mean_of_the_visible_ones():
    coco, person = load_skeleton("coco17"), load_skeleton("person13")
    joints = map_joints(coco.keypoints, person)
    assert (joints.missing, joints.extra) == ((), ())
    points = np.zeros((2, 17, 3))
    points[0, [0, 3]] = [[10, 20, 1], [30, 60, 2]]  # nose occluded, left ear visible
    points[0, 5] = [1, 2, 2]
    mapped = joints.apply(points)
    assert mapped[0, 0].tolist() == [20, 40, 2]
    assert mapped[0, 1].tolist() == [1, 2, 2]
    assert not mapped[1].any()


def test_a_neck_wants_both_shoulders():
    joints = map_joints(load_skeleton("coco17").keypoints, load_skeleton("lsp14"))
    assert joints.missing == ("head_top",)
    points = np.zeros((17, 3))
    points[5] = (10, 10, 2)
    assert not joints.apply(points)[12].any()
    points[6] = (20, 30, 1)
    assert joints.apply(points)[12].tolist() == [15, 20, 2]


def test_by_order_only_where_the_counts_agree():
    hand = load_skeleton("hand21")
    assert map_joints([f"p{number}" for number in range(21)], hand).by_order
    assert map_joints(None, hand, 21).by_order
    assert map_joints([f"p{number}" for number in range(20)], hand) is None


def test_unlabelled_points_become_zeros():
    person = load_skeleton("person13")
    points = np.full((13, 3), 7.0)
    points[:, 2] = 0
    assert not map_joints(person.keypoints, person).apply(points).any()

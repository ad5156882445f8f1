"""Drawings of predictions: sure joints, unsure ones, boxes and labels."""

from __future__ import annotations

import numpy as np

from stm32pose.drawing import draw_found, draw_pose
from stm32pose.skeletons.skeleton import load_skeleton

SKELETON = load_skeleton("coco17")


def pose(score: float, factor: float = 1) -> np.ndarray:
    """[17, 3] on a grid inside 200 x 160 pixels times `factor`, all of one score."""
    index = np.arange(17)
    x, y = 30 + 10.0 * (index % 12), 40 + 60.0 * (index // 12)
    return np.stack([factor * x, factor * y, np.full(17, score)], axis=-1)


def changed(image: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    return (image != drawn).any(axis=-1)


def test_unsure_joints_are_rings_and_lost_ones_nothing():
    image = np.full((480, 600, 3), 90, np.uint8)
    unsure = draw_found(image, pose(0.1, 3)[None], SKELETON, threshold=0.5)
    x, y = pose(0.1, 3)[0, :2].astype(int)
    assert changed(image, unsure)[y - 8 : y + 9, x - 8 : x + 9].any()
    assert (unsure[y, x] == image[y, x]).all()  # a ring is hollow
    sure = draw_found(image, pose(0.9, 3)[None], SKELETON, threshold=0.5)
    assert (sure[y, x] != image[y, x]).any()
    assert changed(image, sure).sum() > 2 * changed(image, unsure).sum()  # limbs as well
    assert (draw_found(image, pose(0.0)[None], SKELETON, threshold=0.5) == image).all()
    assert (draw_pose(image, pose(0.1), SKELETON, threshold=0.5) == image).all()  # labels leave them out
    assert (image == 90).all()


def test_boxes_and_labels_stay_in_the_image():
    image = np.full((160, 200, 3), 90, np.uint8)
    box = np.array([[20.5, 30.5, 120.0, 90.0]], np.float32)
    drawn = draw_found(image, pose(0.9)[None], SKELETON, boxes=box)
    assert changed(image, drawn)[80, 18:23].any()
    red, green, blue = drawn[80, 20].astype(int)
    assert min(red, blue) > 200 > 60 > green
    labelled = draw_found(image, pose(0.9)[None], SKELETON, boxes=box, labels=["person 0.87"])
    assert changed(drawn, labelled).sum() > 100
    outside = np.array([[-50.0, -40.0, 500.0, 400.0]], np.float32)
    draw_found(image, pose(0.9)[None], SKELETON, boxes=outside, labels=["person 0.87"])
    broken = np.array([[np.nan, 0, 1, 1]], np.float32)
    draw_found(image, np.full((1, 17, 3), np.nan), SKELETON, boxes=broken, labels=["person"])


def test_best_pose_lies_on_top():
    image = np.zeros((160, 200, 3), np.uint8)
    both = draw_found(image, np.stack([pose(1.0), pose(0.6)]), SKELETON)
    x, y = pose(1.0)[0, :2].astype(int)
    assert tuple(both[y, x]) == tuple(draw_found(image, pose(1.0)[None], SKELETON)[y, x])


def test_nothing_found_leaves_the_image_as_it_is():
    image = np.full((16, 20, 3), 90, np.uint8)
    assert (draw_found(image, np.zeros((0, 17, 3)), SKELETON, boxes=np.zeros((0, 4))) == image).all()


def test_hundreds_of_joints_are_small_dots():
    face = load_skeleton("face68")
    image = np.zeros((300, 300, 3), np.uint8)
    points = np.stack([20 + 4.0 * np.arange(68) % 260, 30 + 3.0 * np.arange(68), np.ones(68)], axis=-1)
    assert changed(image, draw_found(image, points[None], face)).mean() < 0.08

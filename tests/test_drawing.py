"""Drawn poses lie where the coordinates say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stm32pose.drawing import draw_pose, fit_into, fit_text, mosaic
from stm32pose.skeletons.skeleton import load_skeleton


def test_joint_is_drawn_at_its_continuous_position():
    skeleton = load_skeleton("person13")
    keypoints = np.zeros((13, 3), np.float32)
    keypoints[3] = (40.5, 21.5, 1.0)
    drawn = draw_pose(np.zeros((60, 80, 3), np.uint8), keypoints, skeleton)
    rows, columns = np.nonzero(drawn[..., 1] > 200)
    assert rows.mean() + 0.5 == pytest.approx(21.5, abs=0.3)
    assert columns.mean() + 0.5 == pytest.approx(40.5, abs=0.3)


def test_absent_joints_and_input_stay_untouched():
    skeleton = load_skeleton("coco17")
    image = np.full((20, 20, 3), 7, np.uint8)
    keypoints = np.full((17, 3), 5.0)
    keypoints[:, 2] = 0
    assert (draw_pose(image, keypoints, skeleton) == 7).all()
    keypoints[:, 2] = 1
    draw_pose(image, keypoints, skeleton)
    assert (image == 7).all()
    keypoints[:, 0] = np.nan
    assert (draw_pose(image, keypoints, skeleton) == 7).all()


def test_mosaic_holds_every_tile_and_refuses_none():
    tiles = [np.full((10, 20, 3), value, np.uint8) for value in (10, 90, 200)]
    picture = mosaic(tiles, columns=2, tile=(30, 30))
    assert {10, 90, 200} <= set(np.unique(picture))
    with pytest.raises(ValueError, match="at least one"):
        mosaic([])


@pytest.mark.parametrize("size", [(10, 40), (40, 10), (500, 300)])
def test_fit_into_keeps_the_aspect(size):
    tile = fit_into(np.full((*size, 3), 255, np.uint8), 60, 60)
    rows, columns = np.nonzero(tile[..., 0] == 255)
    assert np.ptp(rows) + 1 == pytest.approx(60 * min(1, size[0] / size[1]), abs=1)
    assert np.ptp(columns) + 1 == pytest.approx(60 * min(1, size[1] / size[0]), abs=1)


@pytest.mark.parametrize(
    ("text", "width", "starts", "ends"),
    [
        ("float", 232, "float", "float"),
        ("int8 yolov8n_256_quant_pc_uf_pose_coco-st", 232, "int8 yol", "pose_coco-st"),
        ("int8 " + 90 * "x" + "_small_v2", 232, "int8 xxx..", "xx_small_v2"),
        ("OKS 0.52  " + 60 * "9" + "123.jpg", 120, "OKS 0.52..", "9123.jpg"),
        ("int8 name", 3, "int8 nam..", "e"),
    ],
)
def test_a_long_caption_keeps_its_ends(text, width, starts, ends):
    shown, scale = fit_text(text, width)
    assert shown.startswith(starts)
    assert shown.endswith(ends)
    assert 0.3 <= scale <= 0.4
    if width > 100:
        assert cv2.getTextSize(shown, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0] <= width

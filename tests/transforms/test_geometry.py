"""Matrices and the warp that obeys them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stm32pose.transforms import geometry as g

SIDE = st.integers(8, 900)
BLOB_SIDE = st.integers(101, 420)
UNIT = st.floats(0, 1)
GREY = 40  # of the background, so that bicubic undershoot is not clipped
laws = settings(max_examples=60, deadline=None)


def blob(size: tuple[int, int], centre: np.ndarray, sigma: float = 7.0) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    image = GREY + 200 * np.exp(-((columns - centre[0]) ** 2 + (rows - centre[1]) ** 2) / (2 * sigma**2))
    return np.rint(image).astype(np.uint8)


def centroid(image: np.ndarray) -> np.ndarray:
    weights = image.astype(np.float64) - GREY
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


@st.composite
def matrices(draw, size: tuple[int, int] = (150, 210)):
    """Random affine maps about the centre of an input of `size`, invertible."""
    centre = size[1] / 2, size[0] / 2
    turn, lean = draw(st.floats(-3.1, 3.1)), (draw(st.floats(-0.3, 0.3)), draw(st.floats(-0.3, 0.3)))
    scale = draw(st.floats(0.6, 1.4)), draw(st.floats(0.6, 1.4))
    return (
        g.rotation(turn, centre)
        @ g.shear(*lean, centre)
        @ g.scaling(*scale, centre)
        @ g.flip_matrix(size, draw(st.booleans()), draw(st.booleans()))
    )


@pytest.mark.parametrize(("size", "expected"), [((480, 640), (0.25, 0.3125)), ((640, 480), (0.3125, 0.25))])
def test_letterbox_has_the_published_golden_values(size, expected):
    matrix = g.fit_matrix(size, (192, 192), "padding")
    point = g.transform_points(matrix, np.array([0.25 * size[1], 0.25 * size[0]]))
    np.testing.assert_allclose(point / 192, expected, atol=1e-12)


@laws
@given(SIDE, SIDE, SIDE, SIDE, st.sampled_from(g.ASPECT_RATIOS), st.booleans())
def test_fit_keeps_the_centre_and_its_promise(height, width, input_height, input_width, ratio, with_region):
    region = (width * 0.25, height * 0.125, width * 0.5, height * 0.75) if with_region else None
    left, top, frame_width, frame_height = region or (0, 0, width, height)
    matrix = g.fit_matrix((height, width), (input_height, input_width), ratio, region)
    corners = np.array([[left, top], [left + frame_width, top + frame_height]])
    (x0, y0), (x1, y1) = g.transform_points(matrix, corners)
    np.testing.assert_allclose([x0 + x1, y0 + y1], [input_width, input_height], rtol=1e-9)
    spans = (x1 - x0) / input_width, (y1 - y0) / input_height
    if ratio in ("fit", "full_screen"):
        np.testing.assert_allclose(spans, 1)
    else:
        assert matrix[0, 0] == matrix[1, 1]
        assert (max(spans) if ratio == "padding" else min(spans)) == pytest.approx(1)


def test_fit_refuses_unknown_ratios_and_empty_regions():
    with pytest.raises(ValueError, match="aspect_ratio"):
        g.fit_matrix((10, 10), (10, 10), "stretch")
    with pytest.raises(ValueError, match="region"):
        g.fit_matrix((10, 10), (10, 10), "fit", (0, 0, 0, 5))


@laws
@given(matrices())
def test_a_matrix_and_its_inverse_cancel(matrix):
    np.testing.assert_allclose(g.invert(matrix) @ matrix, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(g.determinant(matrix), np.linalg.det(matrix), rtol=1e-9)


def test_no_inverse_of_a_flattened_plane():
    with pytest.raises(ValueError, match="inverse"):
        g.invert(g.scaling(0.0, 1.0))


@given(st.booleans(), st.booleans())
def test_flipping_twice_changes_nothing(horizontal, vertical):
    matrix = g.flip_matrix((31, 44), horizontal, vertical)
    np.testing.assert_array_equal(matrix @ matrix, np.eye(3))
    assert (g.determinant(matrix) < 0) == (horizontal != vertical)


def test_flip_exchanges_the_edges_and_no_pixel_is_lost():
    image = np.random.default_rng(0).integers(0, 256, (31, 44, 3), dtype=np.uint8)
    flipped = g.warp(image, g.flip_matrix((31, 44), True, False), (31, 44))
    np.testing.assert_array_equal(flipped, image[:, ::-1])
    np.testing.assert_array_equal(g.warp(image, g.flip_matrix((31, 44), False, True), (31, 44)), image[::-1])


@laws
@given(st.floats(-4, 4), SIDE, SIDE)
def test_rotation_keeps_distances_on_inputs_of_any_shape(angle, height, width):
    points = np.array([[0.0, 0.0], [width, 0.0], [width / 3, height]])
    turned = g.transform_points(g.rotation(angle, (width / 2, height / 2)), points)
    np.testing.assert_allclose(
        np.linalg.norm(np.diff(turned, axis=0), axis=1), np.linalg.norm(np.diff(points, axis=0), axis=1), rtol=1e-9
    )


def test_a_positive_rotation_is_counter_clockwise_on_the_screen():
    right_of_centre = g.transform_points(g.rotation(math.pi / 2, (50, 50)), np.array([80.0, 50.0]))
    np.testing.assert_allclose(right_of_centre, [50, 20], atol=1e-9)


def test_angle_zero_changes_nothing():
    for matrix in (g.shear(0.0, 0.0, (40, 30)), g.tilt(0.0, 0.0, 0.0, (40, 30)), g.rotation(0.0, (40, 30))):
        np.testing.assert_allclose(matrix, np.eye(3), atol=1e-12)


@laws
@given(st.floats(-1.2, 1.2), st.floats(-1.2, 1.2), st.floats(-1.2, 1.2))
def test_tilt_is_the_parallel_projection_of_a_rotation_in_space(pitch, yaw, roll):
    def axis(angle: float, first: int, second: int) -> np.ndarray:
        matrix = np.eye(3)
        matrix[[first, second], [first, second]] = math.cos(angle)
        matrix[first, second], matrix[second, first] = -math.sin(angle), math.sin(angle)
        return matrix

    # z after x after y would turn the other way round: about y the positive sense leads from z to x.
    space = axis(-roll, 0, 1) @ axis(-yaw, 0, 2) @ axis(pitch, 1, 2)
    matrix = g.tilt(pitch, yaw, roll)
    np.testing.assert_allclose(matrix[:2, :2], space[:2, :2], atol=1e-12)
    assert g.determinant(matrix) == pytest.approx(math.cos(pitch) * math.cos(yaw))


@laws
@given(matrices(), st.lists(st.floats(1, 90), min_size=4, max_size=4))
def test_boxes_become_the_hull_of_their_corners(matrix, box):
    left, top, width, height = box
    corners = np.array([[left, top], [left + width, top], [left, top + height], [left + width, top + height]])
    moved = g.transform_points(matrix, corners)
    hull = np.concatenate([moved.min(axis=0), np.ptp(moved, axis=0)])
    np.testing.assert_allclose(g.transform_boxes(matrix, np.array(box)), hull, atol=1e-6)


def test_boxes_are_cut_at_the_edge():
    boxes = np.array([[-5, -5, 20, 10], [30, 5, 10, 10], [2, 3, 4, 5], [90, 1, 3, 3]], dtype=float)
    np.testing.assert_array_equal(
        g.clip_boxes(boxes, (12, 32)), [[0, 0, 15, 5], [30, 5, 2, 7], [2, 3, 4, 5], [0, 0, 0, 0]]
    )


@settings(max_examples=40, deadline=None)
@given(matrices(), BLOB_SIDE, BLOB_SIDE, UNIT, UNIT, st.sampled_from(["bilinear", "bicubic", "area"]))
def test_a_warped_blob_lies_where_its_label_lies(random, height, width, x, y, interpolation):
    size = (150, 210)
    matrix = random @ g.fit_matrix((height, width), size, "fit")
    centre = np.array([width * (0.3 + 0.4 * x), height * (0.3 + 0.4 * y)])
    expected = g.transform_points(matrix, centre)
    # Wide enough to be seen after the strongest reduction, narrow enough to stay inside the output.
    sigma = min(height / size[0], width / size[1]) * 6 + 1
    reach = 4 * sigma * np.linalg.norm(matrix[:2, :2], ord=2)
    assume(reach < min(*expected, size[1] - expected[0], size[0] - expected[1]))
    assume(4 * sigma < min(*centre, width - centre[0], height - centre[1]))
    found = centroid(g.warp(blob((height, width), centre, sigma), matrix, size, interpolation, GREY))
    # OpenCV rounds places in the image to 1/32 pixel and levels to whole ones; its bicubic kernel (a = -0.75) bends
    # straight slopes besides.
    scale = max(1.0, float(np.linalg.norm(matrix[:2, :2], ord=2)))
    np.testing.assert_allclose(
        found, expected, atol=0.06 * scale if interpolation == "bicubic" else 0.01 + 0.03 * scale
    )


@pytest.mark.parametrize("interpolation", [name for name in g.INTERPOLATIONS if name != "nearest"])
def test_a_strong_reduction_averages(interpolation):
    stripes = np.zeros((240, 240, 3), np.uint8)
    stripes[:, ::2] = 200
    small = g.warp(stripes, g.fit_matrix((240, 240), (40, 40)), (40, 40), interpolation)
    np.testing.assert_allclose(small, 100, atol=1)


def test_identity_is_exact_and_dst_is_written():
    image = np.random.default_rng(1).integers(0, 256, (20, 33, 3), dtype=np.uint8)
    batch = np.zeros((2, 20, 33, 3), np.uint8)
    for interpolation in g.INTERPOLATIONS:
        g.warp(image, np.eye(3), (20, 33), interpolation, dst=batch[1])
        np.testing.assert_array_equal(batch[1], image)
    assert not batch[0].any()


@pytest.mark.parametrize(("fill_mode", "outside"), [("constant", 77), ("reflect", 20), ("wrap", 200), ("nearest", 10)])
def test_what_is_seen_outside(fill_mode, outside):
    image = np.array([[10, 20, 30, 200]] * 4, np.uint8)
    moved = g.warp(image, g.translation(2, 0), (4, 4), fill=77, fill_mode=fill_mode)
    assert moved[0].tolist()[0] == {"constant": 77, "reflect": 20, "wrap": 30, "nearest": 10}[fill_mode]
    assert moved[0].tolist()[1] == {"constant": 77, "reflect": 10, "wrap": 200, "nearest": 10}[fill_mode]
    assert moved[0].tolist()[2:] == [10, 20]
    assert outside in (77, 20, 200, 10)


def test_only_missing_interpolations_have_a_note():
    noted = {name for name in g.INTERPOLATIONS if g.interpolation_note(name)}
    assert noted == {"lanczos3", "lanczos5", "gaussian", "mitchellcubic"}

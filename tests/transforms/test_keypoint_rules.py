"""No augmentation without a keypoint rule; the rules themselves in small exact cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.transforms import geometry as g
from stm32pose.transforms.chain import OPERATIONS, build_chain
from stm32pose.transforms.colour import recolour
from stm32pose.transforms.erasing import cells_of, erase, holes_of, rectangles_of
from stm32pose.transforms.labels import MovingLabels
from stm32pose.transforms.mosaic import halves, into_windows
from stm32pose.transforms.operations import KINDS, Colouring, Operation, catalogue
from stm32pose.transforms.person import PERSONAL, half_body, person_scale

WHOLE = (0, 0, 100, 80)


def labels_of(keypoints, boxes=None, areas=None, owner=None, images=1, flip=None) -> MovingLabels:
    keypoints = np.array(keypoints, float)
    count = len(keypoints)
    boxes = np.zeros((count, 4)) if boxes is None else np.array(boxes, float)
    areas = boxes[:, 2] * boxes[:, 3] if areas is None else np.array(areas, float)
    owner = np.zeros(count, np.int64) if owner is None else np.array(owner)
    return MovingLabels(keypoints, boxes, areas, owner, np.broadcast_to(np.eye(3), (images, 3, 3)), flip)


def test_an_operation_without_a_keypoint_rule_cannot_be_made_or_listed():
    with pytest.raises(TypeError, match="needs a keypoint rule"):
        Operation(1, {})
    with pytest.raises(TypeError, match="random_swirl: a function has no keypoint rule"):
        catalogue({"random_swirl": lambda image: image})  # pyright: ignore[reportArgumentType]

    class Swirl(Operation):
        rule = "none of the four"

    with pytest.raises(TypeError, match="random_swirl: a Swirl has no keypoint rule"):
        catalogue({"random_swirl": Swirl(1, {})})

    class Sneaky(Colouring):
        pass

    with pytest.raises(TypeError, match="Sneaky has no keypoint rule"):
        catalogue({"random_sneaky": Sneaky(1, {}, lambda arguments, uniform: [])})
    with pytest.raises(ValueError, match="twice"):
        catalogue(PERSONAL, PERSONAL)
    with pytest.raises(TypeError):
        OPERATIONS["random_swirl"] = lambda image: image  # pyright: ignore[reportIndexIssue]
    assert {type(operation) for operation in OPERATIONS.values()} == set(KINDS)


def test_covering_clears_both_kinds_of_visibility_and_nothing_else():
    points = [[[10, 10, 2], [20, 20, 1], [29.9, 10, 2], [30, 10, 2], [50, 50, 0]]]
    for occluded, expected in ((False, [0, 0, 0, 2, 0]), (True, [1, 1, 1, 2, 0])):
        labels = labels_of(points)
        labels.cover(np.array([[[5, 5, 30, 25], [0, 0, 0, 0]]]), np.array([0]), occluded=occluded)
        labels.settle(np.array([WHOLE]))
        keypoints, _, _ = labels.padded()
        assert keypoints[0, 0, :, 2].tolist() == expected
        assert not keypoints[0, 0, keypoints[0, 0, :, 2] == 0].any()


def test_covering_happens_in_the_frame_as_it_is_now_and_on_its_images_alone():
    labels = labels_of([[[10, 10, 2]], [[10, 10, 2]]], owner=[0, 1], images=2)
    labels.move(np.broadcast_to(g.translation(40, 0), (2, 3, 3)))
    labels.cover(np.array([[[45, 5, 55, 15]]]), np.array([1]))
    labels.settle(np.broadcast_to(WHOLE, (2, 4)))
    assert labels.padded()[0][:, 0, 0].tolist() == [[50, 10, 2], [0, 0, 0]]


def test_settling_some_images_leaves_the_others_and_comes_to_the_same():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(20, 60, (3, 4, 2)), np.full((3, 4, 1), 2)], axis=2)
    box = [[20, 20, 40, 40]] * 3
    first, second = g.rotation(0.2, (50, 40)), g.scaling(0.9, 0.9, (50, 40)) @ g.flip_matrix((80, 100), True, False)
    flip = np.array([1, 0, 3, 2])
    once = labels_of(points, box, owner=[0, 0, 1], images=2, flip=flip)
    once.move(np.broadcast_to(second @ first, (2, 3, 3)))
    once.settle(np.broadcast_to(WHOLE, (2, 4)))
    twice = labels_of(points, box, owner=[0, 0, 1], images=2, flip=flip)
    twice.move(np.broadcast_to(first, (2, 3, 3)))
    twice.settle(np.array([WHOLE]), np.array([1]))
    np.testing.assert_array_equal(twice.matrices, [first, np.eye(3)])
    twice.move(np.broadcast_to(second, (2, 3, 3)))
    twice.settle(np.broadcast_to(WHOLE, (2, 4)))
    np.testing.assert_allclose(twice.keypoints, once.keypoints)
    np.testing.assert_allclose(twice.boxes[:2], once.boxes[:2])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.booleans(), st.booleans())
def test_a_flip_twice_changes_no_label(seed, horizontal, vertical):
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.uniform(1, 79, (2, 4, 2)), rng.integers(1, 3, (2, 4, 1))], axis=2)
    box = np.array([[10, 10, 30, 40], [5, 30, 60, 20]], float)
    labels = labels_of(points, box, flip=np.array([1, 0, 2, 3]))
    for _ in range(2):
        labels.move(g.flip_matrix((80, 100), horizontal, vertical)[None])
        labels.settle(np.array([WHOLE]))
    np.testing.assert_allclose(labels.keypoints, points, atol=1e-9)
    np.testing.assert_allclose(labels.boxes, box, atol=1e-9)
    np.testing.assert_allclose(labels.areas, box[:, 2] * box[:, 3])


def test_the_largest_labelled_person_is_the_one_that_counts():
    labels = labels_of(
        [[[1, 1, 2]], [[2, 2, 2]], [[3, 3, 0]], [[0, 0, 0]]],
        [[0, 0, 4, 4], [0, 0, 6, 6], [0, 0, 50, 50], [0, 0, 7, 9]],
        owner=[0, 0, 0, 2],
        images=3,
    )
    people = labels.people(np.array([0, 1, 2]))
    assert people.points[0].tolist() == [[2, 2]]
    assert people.boxes.tolist() == [[0, 0, 6, 6], [0, 0, 0, 0], [0, 0, 7, 9]]
    assert people.found.tolist() == [True, False, True]
    assert people.labelled.tolist() == [[True], [False], [False]]
    alone = labels_of([[[10, 20, 2], [30, 60, 1], [90, 90, 0]]]).people(np.array([0]))
    assert alone.boxes.tolist() == [[10, 20, 20, 40]]


ABOVE = np.array([True] * 4 + [False] * 3)
HALF = {
    "upper_body": ABOVE,
    "min_total_keypoints": None,
    "min_upper_keypoints": 2,
    "min_lower_keypoints": 3,
    "padding": 1.5,
}


def body(visible=range(7)):
    rng = np.random.default_rng(3)
    points = np.concatenate([rng.uniform((40, 20), (60, 40), (4, 2)), rng.uniform((35, 45), (55, 70), (3, 2))])
    visibility = np.array([[2.0] if joint in visible else [0.0] for joint in range(7)])
    return labels_of([np.concatenate([points, visibility], axis=1)], [[30, 15, 40, 60]]), points


@pytest.mark.parametrize(("rate", "joints"), [(1.0, slice(0, 4)), (0.0, slice(4, 7))])
def test_half_a_body_fills_the_input(rate, joints):
    labels, points = body()
    matrix = half_body(HALF | {"upper_rate": rate}, np.array([[0.5]]), (80, 100), labels.people(np.array([0])))[0]
    assert matrix[0, 0] == matrix[1, 1] > 1
    moved = g.transform_points(matrix, points[joints])
    np.testing.assert_allclose((moved.min(axis=0) + moved.max(axis=0)) / 2, (50, 40), atol=1e-9)
    spans = np.ptp(moved, axis=0) * 1.5 / (100, 80)
    assert max(spans) == pytest.approx(1) or matrix[0, 0] == 4.0
    assert max(spans) <= 1 + 1e-9


@pytest.mark.parametrize(
    ("visible", "half"),
    [([0, 1, 2, 4], "upper"), ([0, 4, 5, 6], "lower"), ([0, 1, 4], None), ([0, 4, 5], None), ([], None)],
)
def test_a_half_that_is_hardly_labelled_is_not_chosen(visible, half):
    labels, points = body(visible)
    for rate in (0.0, 1.0):
        (matrix,) = half_body(HALF | {"upper_rate": rate}, np.array([[0.5]]), (80, 100), labels.people(np.array([0])))
        if half is None:
            np.testing.assert_array_equal(matrix, np.eye(3))
            continue
        joints = [joint for joint in visible if ABOVE[joint] == (half == "upper")]
        moved = g.transform_points(matrix, points[joints])
        np.testing.assert_allclose((moved.min(axis=0) + moved.max(axis=0)) / 2, (50, 40), atol=1e-9)


def test_a_person_is_scaled_turned_and_shifted_about_the_middle_of_its_box():
    labels, _ = body()
    people = labels.people(np.array([0]))
    arguments = {
        "scale_factor": (2, 2), "scale_rate": 1, "rotate_factor": (0.25, 0.25), "rotate_rate": 1,
        "shift_factor": (0.5, 0.5), "shift_rate": 1,
    }  # fmt: skip
    matrix = person_scale(arguments, np.full((1, 7), 0.5), (80, 100), people)[0]
    centre = np.array([50.0, 45.0])
    shifted = centre + np.array([20, 30])
    np.testing.assert_allclose(g.transform_points(matrix, centre), shifted)
    # A quarter turn counter-clockwise and twice as far: a point to the right comes to lie above.
    right = g.transform_points(matrix, centre + np.array([10, 0]))
    np.testing.assert_allclose(right, shifted - np.array([0, 20]), atol=1e-9)
    still = person_scale(
        arguments | {"scale_rate": 0, "rotate_rate": 0, "shift_rate": 0}, np.full((1, 7), 0.5), (80, 100), people
    )
    np.testing.assert_allclose(still, [np.eye(3)], atol=1e-12)
    nobody = labels_of(np.zeros((0, 7, 3)), np.zeros((0, 4))).people(np.array([0]))
    np.testing.assert_array_equal(person_scale(arguments, np.full((1, 7), 0.5), (80, 100), nobody), [np.eye(3)])


@pytest.mark.parametrize("size", [(80, 100), (100, 80), (64, 64)])
def test_a_mosaic_divides_the_whole_input_along_its_longer_side(size):
    own, other = halves({"share": (0.4, 0.6)}, np.random.default_rng(0).random((50, 3)), size)
    covered = np.zeros((50, *size), int)
    for row in range(50):
        for left, top, right, bottom in (own[row], other[row]):
            covered[row, top:bottom, left:right] += 1
    assert (covered == 1).all()
    longer = 0 if size[1] >= size[0] else 1
    sides = np.concatenate([own, other])[:, 2 + longer] - np.concatenate([own, other])[:, longer]
    assert 0.38 * max(size) <= sides.min() < 0.45 * max(size)
    assert {bool(row[longer] == 0) for row in own} == {True, False}


def test_people_are_brought_whole_into_their_part():
    labels, _ = body()
    windows = np.array([[60, 0, 100, 80]])
    matrix = into_windows(labels.people(np.array([0])), windows, (80, 100))[0]
    box = g.transform_boxes(matrix, labels.boxes[0])
    np.testing.assert_allclose(box[:2] + box[2:] / 2, (80, 40))
    assert box[2] == pytest.approx(40 / 1.25)
    nobody = labels_of(np.zeros((0, 7, 3)), np.zeros((0, 4))).people(np.array([0]))
    np.testing.assert_allclose(
        g.transform_points(into_windows(nobody, windows, (80, 100))[0], np.array([50, 40])), (80, 40)
    )


def test_the_labels_of_a_mosaic_are_the_largest_persons_or_all():
    for largest, kept in ((True, [[2, 2]]), (False, [[1, 1], [2, 2]])):
        labels = labels_of([[[1, 1, 2]], [[9, 9, 2]]], [[0, 0, 4, 4], [0, 0, 4, 4]], owner=[0, 1], images=2)
        labels.join(np.array([0]), labels_of([[[2, 2, 2]]], [[0, 0, 9, 9]]), largest=largest)
        assert labels.keypoints[labels.owner == 0, 0, :2].tolist() == kept
        assert labels.keypoints[labels.owner == 1, 0, :2].tolist() == [[9, 9]]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(20, 90), st.integers(20, 90))
def test_erased_rectangles_have_their_area_and_shape_and_lie_inside(seed, height, width):
    arguments = {"nrec": (1, 3), "area": (0.05, 0.2), "wh_ratio": (0.5, 2.0)}
    uniform = np.random.default_rng(seed).random((40, 14))
    rectangles = rectangles_of(arguments, uniform, (height, width))
    assert rectangles.shape == (40, 3, 4)
    there = rectangles[..., 2] > rectangles[..., 0]
    counts = there.sum(axis=1)
    assert counts.min() >= 1
    found = rectangles[there]
    assert found.min() >= 0
    assert (found[:, 2] <= width).all()
    assert (found[:, 3] <= height).all()
    w, h = found[:, 2] - found[:, 0], found[:, 3] - found[:, 1]
    clear = (w < width) & (h < height)
    assert (np.abs(w * h / (height * width) - 0.125) < 0.075 + 0.06).all()
    assert (np.abs(np.log2(w / h)[clear]) <= 1 + 2 / np.minimum(w, h)[clear]).all()


def test_holes_are_shares_of_the_sides_and_cells_a_grid():
    holes = holes_of(
        {"holes": (2, 2), "width": (0.25, 0.25), "height": (0.5, 0.5)},
        np.random.default_rng(0).random((9, 10)),
        (80, 100),
    )
    np.testing.assert_array_equal(holes[..., 2:] - holes[..., :2], np.broadcast_to([25, 40], (9, 2, 2)))
    uniform = np.array([[0.1, 0.9, 0.9, 0.9, 0.9, 0.1, 0.5]])
    cells = cells_of({"ncells_x": 3, "ncells_y": 2, "erasing_prob": 0.2}, uniform, (80, 100))
    assert cells[0].tolist() == [[0, 0, 33, 40], *([[0, 0, 0, 0]] * 4), [67, 40, 100, 80]]


@pytest.mark.parametrize(("across", "down"), [(1, 100), (100, 1), (100, 100)])
def test_cells_without_a_pixel_paint_nothing(across, down):
    """A grid finer than the input: what is painted is what clears keypoints, pixel by pixel."""
    arguments = {"ncells_x": across, "ncells_y": down, "erasing_prob": 0.5}
    chain = build_chain(
        {"random_grid_cell_erasing": {**arguments, "color": 250, "change_rate": 1}}, input_shape=(40, 64, 3)
    )
    rows, columns = np.mgrid[:40, :64]
    keypoints = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5, np.full(40 * 64, 2.0)], axis=1)
    labels = labels_of(keypoints[None])
    layers, _ = chain.draw(np.random.default_rng(3).random((1, chain.draws)), labels)
    image = recolour(np.full((40, 64, 3), 77, np.uint8), layers[0][0].steps)
    painted = image[..., 0] != 77
    assert 0.2 < painted.mean() < 0.8
    np.testing.assert_array_equal(labels.keypoints[0, :, 2].reshape(40, 64) == 0, painted)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("how", ["uniform", "random", "mosaic"])
def test_rectangles_are_painted_and_nothing_else(how, channels):
    image = np.full((30, 40, channels), 77, np.uint8)
    rectangles = np.array([[2, 3, 12, 23], [20, 5, 40, 30]])
    erase(image, (rectangles, how, (250, 250, 250) if how == "uniform" else None, 0.3))
    painted = np.zeros((30, 40), bool)
    for left, top, right, bottom in rectangles:
        painted[top:bottom, left:right] = True
    assert (image[~painted] == 77).all()
    colours = [len(np.unique(image[t:b, l:r].reshape(-1, channels), axis=0)) for l, t, r, b in rectangles]  # noqa: E741
    assert colours == [1, 1] if how != "mosaic" else min(colours) > 100
    assert (image[painted] != 77).any()
    if how == "random":
        assert (image[3, 2] != image[5, 20]).any()
    if how == "uniform":
        assert (image[painted] == 250).all()
        erase(image, (rectangles, "uniform", None, 0.3))
        assert not image[painted].any()

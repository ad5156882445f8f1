"""MoveNet's four maps: round trips, the centred person, and outputs in any order."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.codecs.movenet import ROLES, MovenetCodec, keypoints_of, output_order
from stm32pose.codecs.select import codec_from_description

LAYOUTS = [((192, 192), (48, 48)), ((64, 96), (16, 24)), ((96, 64), (12, 8)), ((40, 56), (20, 28))]


def perfect(codec: MovenetCodec, keypoints: np.ndarray) -> list[np.ndarray]:
    """The four maps of a network without error: its fields point at the keypoints from every cell, as far as targets
    say so in the one cell that is learnt."""
    (centre, heatmaps, cells, values), _ = codec.encode(keypoints)
    batch, (rows, columns), count = len(centre), codec.map_shape, codec.keypoints
    rng = np.random.default_rng(0)
    regression, offsets = rng.normal(0, 20, (2, batch, rows, columns, count, 2)).astype(np.float32)
    for image, joint in itertools.product(range(batch), range(count)):
        row, column = cells[image, -1].astype(int)
        regression[image, row, column, joint] = values[image, joint, :2]
        row, column = cells[image, joint].astype(int)
        offsets[image, row, column, joint] = values[image, joint, 2:]
    shape = (batch, rows, columns, 2 * count)
    return [centre, heatmaps, regression.reshape(shape), offsets.reshape(shape)]


def person(size: tuple[int, int], rng: np.random.Generator, batch: int = 3, count: int = 5) -> np.ndarray:
    """Off the lines between cells, where two cells are equally bright."""
    keypoints = np.full((batch, 1, count, 3), 2, np.float32)
    share = (rng.integers(0, 8, (batch, 1, count, 2)) + rng.uniform(0.02, 0.98, (batch, 1, count, 2))) / 8
    keypoints[..., :2] = share * [size[1], size[0]]
    return keypoints


@given(st.sampled_from(LAYOUTS), st.sampled_from([1.0, 1.5, 3.0]), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_what_is_encoded_comes_back_exactly(layout, sigma, seed):
    size, maps = layout
    codec = MovenetCodec(size, maps, 5, sigma=sigma)
    rng = np.random.default_rng(seed)
    keypoints = np.full((3, 1, 5, 3), 2, np.float32)
    cells = rng.integers(0, np.array(maps)[::-1], (3, 1, 5, 2)) + rng.uniform(0.02, 0.98, (3, 1, 5, 2))
    keypoints[..., :2] = cells * codec.cell
    poses = codec.decode(perfect(codec, keypoints))
    np.testing.assert_allclose(poses[..., :2], keypoints[..., :2], atol=1e-4)
    assert poses[..., 2].min() > 0.6


def test_the_targets_are_what_the_contract_says():
    codec = MovenetCodec((64, 96), (16, 24), 3)
    keypoints = np.array([[[[10, 22, 2], [50, 41, 1], [30, 30, 0]]]], np.float32)
    (centre, heatmaps, cells, values), weights = codec.encode(keypoints)
    assert [array.shape for array in (centre, heatmaps, cells, values)] == [
        (1, 16, 24, 1),
        (1, 16, 24, 3),
        (1, 4, 2),
        (1, 3, 4),
    ]
    assert {array.dtype for array in (centre, heatmaps, cells, values, weights)} == {np.dtype(np.float32)}
    assert weights.tolist() == [[1, 1, 0]]
    # The centre is (30, 31.5) pixels: cell (7, 7), whose middle is (7.5, 7.5) cells.
    np.testing.assert_array_equal(cells[0], [[5, 2], [10, 12], [0, 0], [7, 7]])
    assert np.unravel_index(centre[0, ..., 0].argmax(), (16, 24)) == (7, 7)
    np.testing.assert_allclose(values[0, 0], [5.5 - 7.5, 2.5 - 7.5, 0, 0], atol=1e-6)
    np.testing.assert_allclose(values[0, 1], [10.25 - 7.5, 12.5 - 7.5, -0.25, 0], atol=1e-6)
    assert not values[0, 2].any()
    assert not heatmaps[..., 2].any()


def test_borders_belong_to_the_last_cell():
    codec = MovenetCodec((64, 96), (16, 24), 4)
    corners = np.array([[[[0, 0, 2], [96, 64, 1], [96, 0, 2], [0, 64, 2]]]], np.float32)
    (_, _, cells, values), weights = codec.encode(corners)
    assert weights.all()
    np.testing.assert_array_equal(cells[0, :4], [[0, 0], [15, 23], [0, 23], [15, 0]])
    assert np.abs(values[..., 2:]).max() == 0.5
    np.testing.assert_allclose(codec.decode(perfect(codec, corners))[..., :2], corners[..., :2], atol=1e-4)


def test_nobody_labelled_is_nothing_to_learn():
    codec = MovenetCodec((64, 96), (16, 24), 2)
    (centre, heatmaps, cells, values), weights = codec.encode(np.zeros((1, 2, 2, 3), np.float32))
    assert not weights.any()
    assert not any(array.any() for array in (centre, heatmaps, cells, values))


def test_the_person_in_the_middle_is_taken():
    """Two people, the one at the side somewhat brighter: without the weights the brighter one would win."""
    codec = MovenetCodec((96, 192), (24, 48), 3)
    side = np.array([[[[11, 21, 2], [31, 41, 2], [17, 71, 2]]]], np.float32)
    middle = side + np.array([78, 2, 0], np.float32)
    first, second = (perfect(codec, keypoints) for keypoints in (side, middle))
    outputs = [np.maximum(first[index], 0.8 * second[index]) for index in (0, 1)]
    near = np.indices((24, 48))[1][None, ..., None] < 17
    outputs += [np.where(near, first[index], second[index]) for index in (2, 3)]
    poses = codec.decode(outputs)
    np.testing.assert_allclose(poses[..., :2], middle[..., :2], atol=0.01)
    np.testing.assert_allclose(poses[..., 2], 0.8, atol=0.1)


def test_regression_alone_where_a_map_is_empty():
    codec = MovenetCodec((64, 96), (16, 24), 2)
    keypoints = np.array([[[[22, 41, 2], [70, 30, 2]]]], np.float32)
    outputs = perfect(codec, keypoints)
    outputs[1][..., 1] = 0
    poses = codec.decode(outputs)
    np.testing.assert_allclose(poses[..., :2], keypoints[..., :2], atol=1e-4)
    assert poses[0, 0, 0, 2] > 0.8
    assert poses[0, 0, 1, 2] == 0


def test_numbers_that_are_none_score_nothing():
    codec = MovenetCodec((64, 96), (16, 24), 2)
    keypoints = np.array([[[[22, 41, 2], [70, 30, 2]]]], np.float32)
    outputs = perfect(codec, keypoints)
    outputs[1][0, 3, 3, 1] = np.nan
    good, bad = codec.decode(outputs)[0, 0]
    np.testing.assert_allclose(good[:2], [22, 41], atol=1e-4)
    np.testing.assert_array_equal(bad, [48, 32, 0])
    outputs[3][...] = np.inf
    assert np.isfinite(codec.decode(outputs)).all()


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_outputs_in_any_order_that_was_told(order):
    codec = MovenetCodec((64, 96), (16, 24), 3)
    keypoints = person((64, 96), np.random.default_rng(1), count=3)
    outputs = perfect(codec, keypoints)
    moved = [outputs[index] for index in order]
    names = [ROLES[index] for index in order]
    shapes = [output.shape[1:] for output in moved]
    found = output_order(shapes, 3, names) or ()
    assert found == tuple(order.index(index) for index in range(4))
    there = MovenetCodec((64, 96), (16, 24), 3, order=found)
    np.testing.assert_allclose(there.decode(moved), codec.decode(outputs))
    again = codec_from_description(json.loads(json.dumps(there.describe())))
    assert isinstance(again, MovenetCodec)
    assert again.order == found
    assert (again.sigma, again.map_shape, again.target) == (1.5, (16, 24), "gaussian")
    np.testing.assert_allclose(again.decode(moved), codec.decode(outputs))


@pytest.mark.parametrize(
    ("names", "told", "swapped"),
    [
        ((), None, False),
        (("a", "b", "c", "d"), None, False),
        (("Identity", "Identity_1", "Identity_2", "Identity_3"), None, False),
        (("Identity", "Identity_1", "Identity_3", "Identity_2"), None, True),
        (
            ("StatefulPartitionedCall_1:0", "x", "StatefulPartitionedCall_1:3", "StatefulPartitionedCall_1:2"),
            None,
            True,
        ),
        (("c", "h", "head/offsets/BiasAdd", "head/regression/BiasAdd"), None, True),
        (("c", "h", "kpt_regress_0", "kpt_offset_0"), None, False),
        (("c", "h", "x", "kpt_regress_0"), None, True),
        (("Identity", "Identity_1", "Identity_3", "Identity_2"), ROLES, False),  # a sidecar speaks of the file itself
        ((), ("centre", "heatmaps", "offsets", "regression"), True),
        (("c", "h", "regression", "offsets"), ("centre", "heatmaps", "offsets", "regression"), False),
    ],
)
def test_two_outputs_of_one_shape_are_told_apart(names, told, swapped):
    shapes = [(16, 24, 1), (16, 24, 5), (16, 24, 10), (16, 24, 10)]
    assert output_order(shapes, 5, names, told=told) == ((0, 1, 3, 2) if swapped else (0, 1, 2, 3))


def test_maps_that_are_none_of_these():
    assert keypoints_of([(16, 24, 10), (16, 24, 1), (16, 24, 10), (16, 24, 5)]) == 5
    assert keypoints_of([(8, 8, 1), (8, 8, 1), (8, 8, 2), (8, 8, 2)]) == 1
    assert keypoints_of([(8, 8, 1), (8, 8, 5), (8, 8, 10), (8, 4, 10)]) == 0
    assert keypoints_of([(8, 8, 1), (8, 8, 5), (8, 8, 10), (8, 8, 11)]) == 0
    assert keypoints_of([(63,), (1,), (1,), (63,)]) == 0
    codec = MovenetCodec((64, 96), (16, 24), 2)
    with pytest.raises(ValueError, match="wants"):
        codec.decode([np.zeros((1, 16, 24, channels), np.float32) for channels in (1, 2, 4, 5)])
    with pytest.raises(ValueError, match="wants"):
        codec.decode([np.zeros((1, 8, 12, channels), np.float32) for channels in (1, 2, 4, 4)])
    with pytest.raises(ValueError, match="impossible codec"):
        MovenetCodec((64, 96), (16, 24), 2, order=(0, 1, 2, 2))

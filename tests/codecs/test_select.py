"""Choosing a codec from a model's shapes, and the direct-keypoints codec."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.codecs.hand import HandCodec
from stm32pose.codecs.head import HeadCodec
from stm32pose.codecs.heatmap import HeatmapCodec
from stm32pose.codecs.keypoints import KeypointsCodec
from stm32pose.codecs.movenet import MovenetCodec
from stm32pose.codecs.select import codec_from_description, make_codec, recognise
from stm32pose.codecs.simcc import SimccCodec
from stm32pose.codecs.yolo import YoloCodec
from stm32pose.config.model_sections import Heatmap
from stm32pose.errors import ConfigError

HAND = [(63,), (1,), (1,), (63,)]
MOVENET = [(48, 48, 1), (48, 48, 13), (48, 48, 26), (48, 48, 26)]


def choose(model_type, shapes, keypoints=13, **options):
    return make_codec(model_type, input_shape=(192, 192, 3), output_shapes=shapes, keypoints=keypoints, **options)


def test_heat_maps():
    heatmap = Heatmap(sigma=2.0, target="one_pixel")
    codec = choose("heatmaps_spe", [(48, 48, 13)], heatmap=heatmap, activation="softmax", decode="quarter")
    assert isinstance(codec, HeatmapCodec)
    assert (codec.map_shape, codec.sigma, codec.target) == ((48, 48), 2.0, "one_pixel")
    assert (codec.activation, codec.decoding) == ("softmax", "quarter")


@pytest.mark.parametrize("target", ["gaussian", "one_pixel"])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "empty"])
def test_heat_maps_come_back_from_their_description(activation, target):
    codec = HeatmapCodec((96, 64), (24, 32), 5, target=target, sigma=2.5, activation=activation, decode="quarter")
    described = json.loads(json.dumps(codec.describe()))
    again = codec_from_description(described)
    assert isinstance(again, HeatmapCodec)
    assert vars(again) == vars(codec)
    points = np.random.default_rng(1).uniform(10, 50, (2, 1, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(again.encode(points)[0], codec.encode(points)[0])
    other = codec_from_description(described, decode="argmax")
    assert vars(other) == {**vars(codec), "decoding": "argmax"}


def test_direct_keypoints_come_back_from_their_description():
    codec = KeypointsCodec((96, 64), 17)
    again = codec_from_description(json.loads(json.dumps(codec.describe())), decode="dark")
    assert isinstance(again, KeypointsCodec)
    assert vars(again) == vars(codec)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "boxes"}, "kind 'boxes'; allowed: heatmaps, keypoints, simcc, movenet, hand, head, yolo"),
        ({"map_shape": None}, "cannot be"),
        ({"sigma_cells": -1}, "impossible codec"),
        ({"activation": "relu"}, "activation: got 'relu'"),
    ],
)
def test_a_description_that_cannot_be_is_refused(changes, message):
    described = HeatmapCodec((96, 64), (24, 16), 5).describe()
    with pytest.raises(ConfigError, match=message):
        codec_from_description(described | changes)
    described.pop("sigma_cells")
    with pytest.raises(ConfigError, match="lacks 'sigma_cells'"):
        codec_from_description(described)


@pytest.mark.parametrize("shape", [(1, 1, 17, 3), (1, 17, 3)])
def test_direct_keypoints(shape):
    assert isinstance(choose("spe", [shape], 17), KeypointsCodec)


def test_several_people_hands_and_faces():
    codec = choose("yolo_mpe", [(56, 1344)], 17, confidence=0.001, max_detections=5)
    assert isinstance(codec, YoloCodec)
    assert (codec.confidence, codec.nms, codec.max_detections) == (0.001, 0.7, 5)
    assert codec.several
    codec = choose("hand_spe", HAND, 21, output_names=["a", "Identity_1", "Identity_2", "b"])
    assert isinstance(codec, HandCodec)
    assert (codec.presence_index, codec.handedness_index) == (1, 2)
    for keypoints in (468, 68):
        codec = choose("head_spe", [(1, 1, 1404), (1, 1, 1)], keypoints)
        assert isinstance(codec, HeadCodec)
        assert (codec.keypoints, codec.landmarks, codec.values) == (keypoints, 468, 3)


@pytest.mark.parametrize(
    ("shapes", "kind", "count"),
    [
        ([(48, 64, 5)], "heatmaps_spe", 5),
        ([(1, 1, 17, 3)], "spe", 17),
        ([(56, 1344)], "yolo_mpe", 17),
        ([(1344, 20)], "yolo_mpe", 5),
        ([(300, 57)], "yolo_mpe", 17),
        ([(44, 40)], "yolo_mpe", 13),  # a small input has fewer boxes than values
        (HAND, "hand_spe", 21),
        (MOVENET, "movenet_spe", 13),
        (MOVENET[::-1], "movenet_spe", 13),
        ([(1, 1, 936)], "head_spe", 468),
        ([(1, 1, 1404), (1, 1, 1)], "head_spe", 468),
        ([(1,), (1434,)], "head_spe", 478),
        ([(1000,)], "head_spe", 500),
        ([(48, 48, 13), (1,)], "", 0),
        ([(48, 48, 13), (24, 24, 13)], "", 0),
        ([(None, None, 13)], "", 0),
        ([], "", 0),
    ],
)
def test_shapes_are_recognised(shapes, kind, count):
    assert recognise(shapes) == (kind, count)


def test_the_skeleton_decides_where_a_shape_could_be_of_several():
    assert recognise([(56, 44)]) == ("yolo_mpe", 13)
    assert recognise([(56, 44)], 17) == ("yolo_mpe", 17)
    assert isinstance(choose("yolo_mpe", [(56, 44)], 17), YoloCodec)


def test_rows_of_bins():
    codec = choose("simcc_spe", [(13, 768)])
    assert isinstance(codec, SimccCodec)
    assert (codec.split, codec.keypoints) == (2, 13)
    assert codec.sigma == pytest.approx(4.9, abs=0.01)
    codec = choose("simcc_spe", [(13, 384)], heatmap=Heatmap(sigma=2.0))
    assert isinstance(codec, SimccCodec)
    assert (codec.split, codec.sigma) == (1, 2.0)


def test_bins_and_boxes_are_told_apart():
    """[17, 768] could be 768 boxes of 4 keypoints; of an input of 192x192 it is bins, unless yolo_mpe fits and is asked
    for."""
    assert recognise([(17, 768)]) == ("yolo_mpe", 4)
    assert recognise([(17, 768)], input_shape=(192, 192, 3)) == ("simcc_spe", 17)
    assert recognise([(17, 768)], input_shape=(192, 160, 3)) == ("yolo_mpe", 4)
    assert recognise([(17, 768)], model_type="simcc_spe") == ("simcc_spe", 17)
    assert recognise([(17, 768)], 4, input_shape=(192, 192), model_type="yolo_mpe") == ("yolo_mpe", 4)
    for side in (192, 256, 320, 640):
        boxes = 21 * side * side // 1024
        assert recognise([(56, boxes)], input_shape=(side, side, 3)) == ("yolo_mpe", 17)


def test_four_maps():
    codec = choose("movenet_spe", MOVENET, heatmap=Heatmap(sigma=2.0, target="one_pixel"))
    assert isinstance(codec, MovenetCodec)
    assert (codec.map_shape, codec.sigma, codec.target, codec.order) == ((48, 48), 2.0, "one_pixel", (0, 1, 2, 3))
    names = ["c", "h", "kpt_offset", "kpt_regress"]
    assert choose("movenet_spe", MOVENET, output_names=names).order == (0, 1, 3, 2)  # pyright: ignore
    described = codec.describe()
    shapes = [MOVENET[index] for index in (3, 2, 1, 0)]
    again = codec_from_description(described, output_shapes=shapes, output_names=["offsets", "regression", "h", "c"])
    assert again.order == (3, 2, 1, 0)  # pyright: ignore


def test_sigma_has_a_default_of_its_own_for_each_kind():
    assert choose("heatmaps_spe", [(48, 48, 13)], heatmap=Heatmap()).sigma == 1.5  # pyright: ignore
    assert choose("movenet_spe", MOVENET, heatmap=Heatmap()).sigma == 1.5  # pyright: ignore


@pytest.mark.parametrize(
    ("model_type", "shapes", "parts"),
    [
        (
            "heatmaps_spe",
            [(48, 48, 17)],
            ["heat maps of 17 keypoints", "has 13; set dataset.keypoints: 17, or dataset.skeleton"],
        ),
        ("heatmaps_spe", [(48, 48, 11)], ["heat maps of 11", "dataset.skeleton to one that has 11"]),
        ("spe", [(1, 1, 17, 3)], ["gives 17 keypoints", "the skeleton has 13", "set dataset.keypoints: 17"]),
        ("heatmaps_spe", [(56, 1344)], ["[56, 1344]", "yolo_mpe", "needs one output [h, w, 13]"]),
        ("heatmaps_spe", HAND, ["4 outputs [63], [1], [1], [63]", "hand_spe"]),
        ("heatmaps_spe", [(1, 1, 13, 3)], ["[1, 1, 13, 3]", "set model_type: spe"]),
        ("spe", [(48, 48, 13)], ["[48, 48, 13]", "set model_type: heatmaps_spe"]),
        ("heatmaps_spe", [(None, None, 13)], ["[?, ?, 13]"]),
        ("yolo_mpe", [(56, 1344)], ["gives 17 keypoints", "the skeleton has 13"]),
        ("yolo_mpe", [(48, 48, 13)], ["set model_type: heatmaps_spe", "one output [5 + 3 x 13, boxes]"]),
        ("yolo_mpe", [(13, 768)], ["set model_type: simcc_spe"]),
        ("simcc_spe", [(56, 756)], ["set model_type: yolo_mpe", "one output [13, (width + height) x split]"]),
        ("simcc_spe", [(48, 48, 13)], ["set model_type: heatmaps_spe"]),
        ("simcc_spe", [(17, 768)], ["gives 17 keypoints", "set dataset.keypoints: 17"]),
        ("heatmaps_spe", [(13, 768)], ["set model_type: simcc_spe"]),
        ("heatmaps_spe", MOVENET, ["4 outputs", "set model_type: movenet_spe"]),
        ("movenet_spe", [(48, 48, 13)], ["set model_type: heatmaps_spe", "four outputs [h, w, channels] of 1, 13, 2"]),
        ("movenet_spe", [(8, 8, 1), (8, 8, 7), (8, 8, 14), (8, 8, 14)], ["gives 7 keypoints"]),
        ("hand_spe", HAND, ["gives 21 keypoints", "the skeleton has 13"]),
        ("hand_spe", [(56, 1344)], ["set model_type: yolo_mpe", "four outputs"]),
        ("head_spe", [(1, 1, 936)], ["468 landmarks", "the skeleton has 13", "468, or 68 (face68)"]),
        ("head_spe", [(40,)], ["20 landmarks", "usable with 20"]),
        ("heatmap_spe", [(48, 48, 13)], ["unknown", "did you mean 'heatmaps_spe'"]),
    ],
)
def test_the_wrong_model_is_answered_in_one_line(model_type, shapes, parts):
    with pytest.raises(ConfigError) as caught:
        choose(model_type, shapes, where="model.model_path")
    message = str(caught.value)
    assert message.startswith("model.model_path: ")
    assert "\n" not in message
    for part in parts:
        assert part in message


@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_direct_keypoints_round_trip(count, seed):
    codec = KeypointsCodec((192, 256), count)
    rng = np.random.default_rng(seed)
    keypoints = np.full((3, 1, count, 3), 2, np.float32)
    keypoints[..., :2] = rng.uniform(0, [256, 192], (3, 1, count, 2))
    targets, weights = codec.encode(keypoints)
    assert targets.shape == (3, 1, 1, count, 3)
    assert weights.all()
    poses = codec.decode([targets])
    np.testing.assert_allclose(poses[..., :2], keypoints[..., :2], atol=1e-3)
    assert (poses[..., 2] == 1).all()


def test_direct_keypoints_are_y_x_score():
    output = np.array([[[[0.25, 0.5, 0.9], [np.nan, 0.5, 0.9], [0.0, 1.0, 1.2]]]], np.float32)
    codec = KeypointsCodec((192, 256), 3)
    expected = [[128, 48, 0.9], [128, 96, 0], [256, 0, 1]]
    for shape in ((1, 1, 3, 3), (1, 1, 1, 3, 3)):
        poses = codec.decode([output.reshape(shape)])
        assert poses.shape == (1, 1, 3, 3)
        np.testing.assert_allclose(poses[0, 0], expected, rtol=1e-6)
    with pytest.raises(ValueError, match="wants"):
        codec.decode([np.zeros((1, 1, 4, 3), np.float32)])
    assert json.loads(json.dumps(codec.describe()))["kind"] == "keypoints"


def test_unlabelled_direct_keypoints_weigh_nothing():
    keypoints = np.array([[[[10, 20, 0], [10, 20, 1], [300, 20, 2]]]], np.float32)
    targets, weights = KeypointsCodec((192, 256), 3).encode(keypoints)
    assert weights.tolist() == [[0, 1, 0]]
    assert (targets[0, 0, 0, [0, 2]] == 0).all()

"""`dataset.keypoint_map`: other names, indices, and points that are not to be taken, for every reader."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from label_files import coco_document, random_sample, write_coco, write_picture

from stm32pose.config.data_sections import Dataset
from stm32pose.config.load import load_config
from stm32pose.data.readers import read_samples
from stm32pose.data.yolo import write_yolo
from stm32pose.errors import ConfigError
from stm32pose.skeletons.joints import map_joints, mapped_skeleton
from stm32pose.skeletons.skeleton import load_skeleton

COCO = load_skeleton("coco17")
PERSON = load_skeleton("person13")
ARM = replace(PERSON, name="arm", keypoints=("upper", "middle", "end"), derive={})


@pytest.fixture
def folder(tmp_path):
    sample = random_sample(COCO, write_picture(tmp_path / "set" / "1.png"), seed=3)
    full = sample.keypoints.copy()
    full[..., 2] = 2
    full[..., :2] = np.arange(34).reshape(17, 2) + 1
    write_coco(tmp_path / "labels.json", coco_document([replace(sample, keypoints=full)], COCO.keypoints))
    write_yolo([replace(sample, keypoints=full)], tmp_path / "yolo", COCO)
    return tmp_path


def row(name):
    number = COCO.keypoints.index(name)
    return [2 * number + 1, 2 * number + 2, 2]


def test_names_and_indices(folder):
    names = {"upper": "Left Shoulder", "middle": 7, "end": None}
    (sample,) = read_samples(folder / "set", ARM, keypoint_map=names)
    assert sample.keypoints[0].tolist() == [row("left_shoulder"), row("left_elbow"), [0, 0, 0]]


def test_what_is_not_mapped_goes_by_name(folder):
    (sample,) = read_samples(folder / "set", PERSON, keypoint_map={"left_wrist": "right_wrist", "head": "nose"})
    by_name = dict(zip(PERSON.keypoints, sample.keypoints[0].tolist(), strict=True))
    assert by_name["left_wrist"] == by_name["right_wrist"] == row("right_wrist")
    assert by_name["head"] == row("nose")
    assert by_name["left_knee"] == row("left_knee")


def test_yolo_files_by_index(folder):
    """17 points a line, of which a skeleton of three takes three; without the map the count is refused."""
    (sample,) = read_samples(folder / "yolo", ARM, keypoint_map={"upper": 5, "middle": 7, "end": 9})
    assert sample.keypoints[0] == pytest.approx(np.array([row("left_shoulder"), row("left_elbow"), row("left_wrist")]))
    with pytest.raises(ConfigError, match=r"dataset.keypoint_map.upper: got 'left_shoulder'; these labels name no"):
        read_samples(folder / "yolo", ARM, keypoint_map={"upper": "left_shoulder"})
    with pytest.raises(ConfigError, match=r"dataset.keypoint_map.upper: got 17; the labels have 17 keypoints, 0 to 16"):
        read_samples(folder / "yolo", ARM, keypoint_map={"upper": 17})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"uper": "nose"}, r"dataset.keypoint_map: got 'uper'; the skeleton arm has upper, middle, end; .*'upper'"),
        ({"upper": "left_sholder"}, r"keypoint_map.upper: got 'left_sholder'; the labels name nose, .*'left_shoulder'"),
        ({"upper": 99}, r"keypoint_map.upper: got 99; the labels have 17 keypoints, 0 to 16"),
        ({"upper": -1}, r"keypoint_map.upper: got -1; indices count from 0"),
    ],
)
def test_wrong_names(folder, names, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_samples(folder / "set", ARM, keypoint_map=names)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [1.5, float("inf"), True, [1], {"a": 1}])
def test_neither_name_nor_index_is_one_line(value):
    mapping = {
        "operation_mode": "training",
        "model": {"model_name": "custom", "input_shape": [64, 64, 3]},
        "dataset": {"training_path": "x", "keypoints": 17, "keypoint_map": {"nose": value}},
        "training": {"batch_size": 8},
    }
    with pytest.raises(ConfigError) as caught:
        load_config(mapping, check_paths=False)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("dataset.keypoint_map.nose: ")
    assert "expected a name, an index from 0, or null" in line


def test_whole_numbers_names_and_null_are_right():
    given = {"nose": 3.0, "left_eye": "8", "right_eye": None, "left_ear": 0}
    assert Dataset(keypoint_map=given).keypoint_map == {"nose": 3, "left_eye": "8", "right_eye": None, "left_ear": 0}


def test_a_map_of_every_keypoint_is_a_permutation():
    order = np.random.default_rng(0).permutation(17)
    names = {name: COCO.keypoints[number] for name, number in zip(COCO.keypoints, order, strict=True)}
    joints = map_joints(COCO.keypoints, mapped_skeleton(COCO, names, where="x"))
    assert joints is not None
    assert np.array_equal(joints.columns, order)
    assert joints.extra == joints.missing == ()
    assert mapped_skeleton(COCO, {}, where="x") is COCO

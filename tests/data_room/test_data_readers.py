"""From a folder to samples: formats found, single and multi, crops, and what is said when nothing is left."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from label_files import coco_document, random_sample, write_coco, write_picture, yolo_line

from stm32pose.data.readers import crops, detect_format, read_images, read_samples, scan_samples
from stm32pose.data.yolo import write_yolo
from stm32pose.errors import ConfigError, UserError
from stm32pose.skeletons.skeleton import load_skeleton
from stm32pose.transforms.labels import MovingLabels

COCO = load_skeleton("coco17")
PERSON = load_skeleton("person13")


@pytest.fixture
def mixed(tmp_path):
    """Nobody; one; one beside a crowd; two; one without a labelled point; a crowd alone."""
    samples = []
    for number, people in enumerate((0, 1, 2, 2, 1, 1)):
        image = write_picture(tmp_path / "set" / f"{number}.jpg", seed=number)
        sample = random_sample(COCO, image, people=people, seed=number)
        if number in (2, 5):
            crowd = np.zeros(people, bool)
            crowd[0] = True
            sample = replace(sample, crowd=crowd)
        if number == 4:
            sample = replace(sample, keypoints=np.zeros_like(sample.keypoints))
        samples.append(sample)
    write_coco(tmp_path / "labels.json", coco_document(samples, COCO.keypoints))
    return tmp_path / "set"


def names(samples):
    return [sample.image.stem for sample in samples]


def test_single_is_exactly_one_person_who_is_no_crowd(mixed, caplog):
    with caplog.at_level(logging.INFO):
        samples = read_samples(mixed, COCO)
    assert names(samples) == ["1", "2"]
    assert all(sample.instances == 1 and not sample.crowd.any() for sample in samples)
    assert "4 of 6 images are left out" in caplog.text
    assert "1 with several people, 2 with none, 1 whose person has no labelled keypoint" in caplog.text


def test_multi_keeps_everything(mixed):
    samples = read_samples(mixed, COCO, pose="multi")
    assert names(samples) == ["0", "1", "2", "3", "4", "5"]
    assert [sample.instances for sample in samples] == [0, 1, 2, 2, 1, 1]
    assert [int(sample.crowd.sum()) for sample in samples] == [0, 0, 1, 0, 0, 1]


def test_a_crop_a_person(mixed):
    samples = read_samples(mixed, COCO, instance="crop", crop_margin=0.5)
    assert names(samples) == ["1", "2", "3", "3"]
    for sample in samples:
        assert sample.instances == 1
        left, top, width, height = sample.boxes[0]
        assert sample.region[2:] == pytest.approx((1.5 * width, 1.5 * height))
        assert sample.region[0] + sample.region[2] / 2 == pytest.approx(left + width / 2)
        assert sample.region[1] + sample.region[3] / 2 == pytest.approx(top + height / 2)
    assert crops(samples[0], 0)[0].region == pytest.approx(tuple(samples[0].boxes[0]))


def test_areas_of_people_without_a_box_survive_the_transforms():
    """A labelled area and a box of 0 x 0: nothing says that a part of it is cut off."""
    keypoints = np.tile(np.array([[[4.0, 4.0, 2.0]]]), (3, 1, 1))
    boxes = np.array([[0.0, 0, 0, 0], [2.0, 2, 4, 4], [20.0, 20, 4, 4]])
    moving = MovingLabels(
        keypoints, boxes, np.array([9.0, 9.0, 9.0]), np.zeros(3, np.int64), np.diag([2.0, 2.0, 1.0])[None], None
    )
    window = np.array([[0, 0, 8, 16]])
    moving.settle(window)
    assert moving.areas.tolist() == [36, 18, 0]
    moving.settle(window)
    assert moving.areas.tolist() == [36, 18, 0]


def test_formats_are_found(mixed, tmp_path):
    assert detect_format(mixed) == "coco"
    (mixed / "0.txt").write_text(yolo_line(COCO))
    assert detect_format(mixed) == "yolo"  # labels beside the images come first
    assert detect_format(mixed, tmp_path / "labels.json") == "coco"
    assert len(read_samples(mixed, COCO, format="coco")) == 2
    write_picture(tmp_path / "bare" / "sub" / "0.jpg")
    with pytest.raises(UserError, match=r"no image in .*bare .*\.jpg \.jpeg \.png \.bmp.*sub-folder 'sub' has some"):
        read_samples(tmp_path / "bare", COCO)
    (tmp_path / "labels.json").unlink()
    with pytest.raises(UserError, match=r"no COCO annotation file.*and no label file NAME\.txt"):
        read_samples(tmp_path / "bare" / "sub", COCO)
    with pytest.raises(
        ConfigError, match=r"dataset.format: got 'colo'; allowed: auto, .*yolo, .*coco; did you mean 'yolo'\?"
    ):
        read_samples(mixed, COCO, format="colo")


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(UserError, match=r"dataset.test_path: .*nowhere is not a folder"):
        read_samples(tmp_path / "nowhere", COCO, where="dataset.test_path")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no image in"):
        read_samples(tmp_path / "empty", COCO)


def test_faults_are_counted_and_the_first_few_shown(tmp_path):
    for number in range(6):
        write_picture(tmp_path / f"{number}.jpg", seed=number)
        (tmp_path / f"{number}.txt").write_text(yolo_line(COCO) + "\n")
    with pytest.raises(UserError) as caught:
        read_samples(tmp_path, PERSON)
    text = str(caught.value)
    assert text.startswith(f"dataset.training_path: 6 faults in the labels of {tmp_path}: {tmp_path / '0.txt'}:1: ")
    assert text.count("56 numbers = 5+3*17") == 3
    assert "\n" not in text
    samples, problems = scan_samples(tmp_path, PERSON, pose="multi")
    assert (len(samples), len(problems)) == (0, 6)


def test_nothing_left_is_an_error_that_says_why(mixed, tmp_path):
    for number in (1, 2):
        (mixed / f"{number}.jpg").unlink()
    with pytest.raises(
        UserError, match=r"no usable image in .*: 4 of 4 images are left out \(dataset.pose is single\)"
    ):
        read_samples(mixed, COCO)


def test_warnings_are_told_once_a_kind(tmp_path, caplog):
    for number in range(4):
        write_picture(tmp_path / f"{number}.jpg", seed=number)
    (tmp_path / "0.txt").write_text(yolo_line(PERSON))
    samples = read_samples(tmp_path, PERSON)
    assert len(samples) == 1
    assert [
        record.getMessage().startswith("dataset.training_path: 3 x missing_label, e.g.") for record in caplog.records
    ] == [True]


def test_formats_agree(tmp_path):
    truth = [
        random_sample(PERSON, write_picture(tmp_path / "in" / f"{n}.png", seed=n), people=2, seed=n) for n in range(3)
    ]
    write_yolo(truth, tmp_path / "yolo", PERSON)
    path = write_coco(tmp_path / "labels.json", coco_document(truth, PERSON.keypoints))
    ours = read_samples(tmp_path / "yolo", PERSON, pose="multi")
    theirs = read_samples(tmp_path / "in", PERSON, pose="multi", annotations=path)
    for first, second in zip(ours, theirs, strict=True):
        assert np.allclose(first.keypoints, second.keypoints, atol=1e-5)
        assert np.allclose(first.boxes, second.boxes, atol=1e-5)
        assert (first.size, first.image_id) == (second.size, second.image_id)


def test_images_without_labels(mixed, tmp_path):
    samples = read_images(mixed, where="dataset.quantization_path")
    assert len(samples) == 6
    assert all(sample.instances == 0 and sample.size == (40, 60) for sample in samples)
    listed = {"images": [{"id": 1, "file_name": "x/3.jpg"}], "annotations": []}
    path = write_coco(tmp_path / "some.json", listed)
    assert names(read_images(mixed, annotations=path, where="here")) == ["3"]
    write_coco(path, {"images": [], "annotations": []})
    with pytest.raises(UserError, match="none of the images"):
        read_images(mixed, annotations=path, where="here")

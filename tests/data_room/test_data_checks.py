"""Every fault that `data check` claims to find is planted once, and a sound set gives no word."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_files import random_sample, write_picture, yolo_line

from stm32pose.data.checks import check_labels, check_samples, label_statistics, summary
from stm32pose.data.checks_images import check_images, difference_hash, near_duplicates
from stm32pose.data.checks_sides import check_sides
from stm32pose.data.readers import scan_samples
from stm32pose.data.sample import Sample
from stm32pose.data.yolo import write_yolo
from stm32pose.skeletons.skeleton import load_skeleton

PERSON = load_skeleton("person13")
COCO = load_skeleton("coco17")

# A person who faces the camera, x and y in a 100 x 200 box, in the order of person13.
UPPER = [(50, 10), (70, 40), (30, 40), (80, 70), (20, 70), (85, 100), (15, 100)]
LOWER = [(62, 100), (38, 100), (64, 145), (36, 145), (65, 190), (35, 190)]
FRONT = np.array([*UPPER, *LOWER], dtype=np.float32)


def standing(seed: int = 0, image: str = "a.jpg", *, behind: bool = False, noise: float = 4.0) -> Sample:
    rng = np.random.default_rng(seed)
    points = FRONT + rng.normal(0, noise, FRONT.shape).astype(np.float32)
    if behind:
        points = points[PERSON.flip]
    keypoints = np.column_stack([points + np.array([60, 20]), np.full(13, 2)]).astype(np.float32)[None]
    return Sample(
        image=Path(image),
        size=(240, 220),
        keypoints=keypoints,
        boxes=np.array([[60, 20, 100, 200]], np.float32),
        areas=np.array([20_000], np.float32),
        crowd=np.zeros(1, bool),
        image_id=seed,
        source=f"labels {seed}",
    )


def codes(problems):
    return sorted(problem.code for problem in problems)


def test_a_sound_person_gives_no_word():
    assert check_labels(standing(), PERSON) == []


def with_point(sample: Sample, joint: int, *values: float) -> Sample:
    keypoints = sample.keypoints.copy()
    keypoints[0, joint] = values
    return replace(sample, keypoints=keypoints)


@pytest.mark.parametrize(
    ("sample", "code", "text"),
    [
        (
            with_point(standing(), 5, 230, 100, 2),
            "outside_image",
            r"left_wrist at (230, 100), outside the picture of 220",
        ),
        (with_point(standing(), 5, 30, 100, 1), "outside_box", "left_wrist at (30, 100), outside its box (60, 20) to"),
        (with_point(standing(), 5, 0, 0, 1), "point_at_origin", "left_wrist at (0, 0) but labelled"),
        (replace(standing(), keypoints=np.zeros((1, 13, 3), np.float32)), "empty_pose", "no keypoint is labelled"),
        (replace(standing(), size=(6000, 5000)), "tiny_instance", "the box is 100 x 200 in a picture of 5000 x 6000"),
    ],
)
def test_faults_of_one_person(sample, code, text):
    problems = check_labels(sample, PERSON)
    found = next(problem for problem in problems if problem.code == code)
    assert text in found.message
    assert found.where == "labels 0"
    assert found.severity == "warning"


def test_unlabelled_points_and_crowds_are_passed_over():
    assert check_labels(with_point(standing(), 5, 0, 0, 0), PERSON) == []
    assert check_labels(replace(with_point(standing(), 5, 999, 0, 2), crowd=np.ones(1, bool)), PERSON) == []


def test_rows_written_twice(tmp_path):
    """What ST's converter leaves when it runs again."""
    write_picture(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text(yolo_line(PERSON) + "\n" + yolo_line(PERSON) + "\n")
    samples, problems = scan_samples(tmp_path, PERSON, pose="multi")
    found = check_samples(samples, PERSON, problems)
    assert codes(found) == ["duplicate_instance"]
    assert found[0].where.endswith("a.txt: person 2")


def test_an_outside_point_is_told_once(tmp_path):
    write_picture(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text(yolo_line(PERSON, x=1.1) + "\n")
    samples, problems = scan_samples(tmp_path, PERSON)
    assert codes(check_samples(samples, PERSON, problems)).count("outside_image") == 1


def test_image_files(tmp_path):
    names = ["good", "cut", "twin", "resized"]
    samples = [random_sample(PERSON, write_picture(tmp_path / f"{n}.jpg", seed=i), seed=i) for i, n in enumerate(names)]
    write_yolo(samples, tmp_path, PERSON)
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    shutil.copy(tmp_path / "good.jpg", tmp_path / "twin.jpg")
    write_picture(tmp_path / "resized.jpg", size=(30, 30), seed=3)
    counted = []
    problems = check_images(samples, progress=counted.append)
    assert counted == [1, 2, 3, 4]
    told = {(problem.code, problem.severity): problem for problem in problems}
    assert sorted(told) == [("duplicate_image", "warning"), ("size_mismatch", "error"), ("unreadable_image", "error")]
    assert told["unreadable_image", "error"].where.endswith("cut.jpg")
    assert "30 x 30 pixels, its labels say 60 x 40" in told["size_mismatch", "error"].message
    assert told["duplicate_image", "warning"].where.endswith("twin.jpg")
    # The header of the cut file is sound: without decoding it passes.
    assert codes(check_images(samples, decode=False)) == ["duplicate_image", "size_mismatch"]


def test_near_duplicates(tmp_path):
    rng = np.random.default_rng(5)
    pictures = [cv2.resize(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), (160, 120)) for _ in range(40)]
    brighter = cv2.convertScaleAbs(pictures[3], alpha=0.9, beta=10)
    small = cv2.resize(pictures[3], (100, 80), interpolation=cv2.INTER_AREA)
    flat = np.full((120, 160, 3), 128, np.uint8)
    hashes = {
        Path(f"{n:02d}"): difference_hash(picture) for n, picture in enumerate([*pictures, brighter, small, flat, flat])
    }
    assert near_duplicates(hashes) == [[Path("03"), Path("40"), Path("41")]]
    image = tmp_path / "a.png"
    cv2.imwrite(str(image), pictures[3])
    cv2.imwrite(str(tmp_path / "b.png"), brighter)
    samples = [random_sample(PERSON, path, size=(120, 160)) for path in (image, tmp_path / "b.png")]
    assert codes(check_images(samples)) == ["near_duplicate"]


def swapped(sample: Sample, *joints: str) -> Sample:
    """Left and right of some joints exchanged, as a tired annotator does."""
    keypoints = sample.keypoints.copy()
    for joint in joints:
        pair = [PERSON.keypoints.index(f"{side}_{joint}") for side in ("left", "right")]
        keypoints[0, pair] = keypoints[0, pair[::-1]]
    return replace(sample, keypoints=keypoints)


def test_swapped_hips_are_pointed_at_even_in_a_small_set():
    samples = [standing(0), swapped(standing(1), "hip"), standing(2, behind=True)]
    problems = check_sides(samples, PERSON)
    assert [(problem.code, problem.where) for problem in problems] == [("left_right", "labels 1")]
    assert "left_shoulder/right_shoulder and left_hip/right_hip" in problems[0].message


def test_other_pairs_need_a_set_that_shows_they_move_together():
    knees = swapped(standing(999), "knee", "ankle")
    assert check_sides([standing(1), knees], PERSON) == []
    samples = [standing(seed, behind=seed % 2 == 0) for seed in range(80)] + [knees]
    assert [problem.where for problem in check_sides(samples, PERSON)] == ["labels 999"]


def test_a_whole_set_seen_from_behind_is_one_warning():
    behind = [standing(seed, behind=True) for seed in range(60)]
    problems = check_sides(behind, PERSON)
    assert [problem.code for problem in problems] == ["left_right_set"]
    assert "only 0% of 60 instances" in problems[0].message
    assert check_sides([standing(seed) for seed in range(60)], PERSON) == []
    assert check_sides(behind[:10], PERSON) == []


def test_statistics():
    samples = [standing(0), replace(with_point(standing(1), 0, 0, 0, 0), crowd=np.zeros(1, bool))]
    nobody = replace(standing(2), keypoints=np.zeros((0, 13, 3), np.float32), boxes=np.zeros((0, 4), np.float32))
    nobody = replace(nobody, areas=np.zeros(0, np.float32), crowd=np.zeros(0, bool), image=Path("b.jpg"))
    figures = label_statistics([*samples, nobody], PERSON)
    assert (figures["images"], figures["samples"], figures["instances"]) == (2, 3, 2)
    assert figures["people_per_image"] == {0: 1, 1: 2}
    assert figures["keypoints"]["head"] == {"labelled": 0.5, "visible": 0.5}
    assert figures["labelled"] == pytest.approx(25 / 26)
    assert label_statistics([], PERSON)["labelled"] == 0
    whole = summary(samples, PERSON, check_labels(with_point(samples[0], 5, 0, 0, 1), PERSON))
    assert whole["problems"]["point_at_origin"] == 1
    assert whole["errors"] == 0

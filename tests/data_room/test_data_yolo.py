"""YOLO Darknet labels: written and read back, and every way a file can be broken."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_files import random_sample, write_picture, yolo_line

from stm32pose.data.yolo import Line, label_text, read_label_file, read_yolo, write_yolo
from stm32pose.errors import UserError
from stm32pose.skeletons.skeleton import load_skeleton

PERSON = load_skeleton("person13")


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    people=st.integers(0, 4),
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    name=st.sampled_from(["person13", "hand21", "lsp14"]),
)
def test_what_is_written_is_read_back(tmp_path_factory, seed, people, size, name):
    skeleton = load_skeleton(name)
    folder = tmp_path_factory.mktemp("yolo")
    sample = random_sample(skeleton, folder / "a.jpg", size, people, seed)
    (folder / "a.txt").write_text(label_text(sample))
    problems = []
    keypoints, boxes = read_label_file(folder / "a.txt", size, Line.of(skeleton), problems)
    assert [problem.code for problem in problems] == ["empty_label"] * (people == 0)
    assert keypoints.shape == (people, skeleton.count, 3)
    assert np.allclose(keypoints, sample.keypoints, atol=1e-4 * max(size) / 100, rtol=1e-6)
    assert np.allclose(boxes, sample.boxes, atol=1e-4 * max(size) / 100, rtol=1e-5)


def test_a_folder_is_paired_by_stem(tmp_path):
    for seed, name in enumerate(("b.JPG", "a.jpeg", "c.Png", "d.bmp", "e.jpg")):
        write_picture(tmp_path / name, seed=seed)
    for seed, name in enumerate(("a.txt", "b.txt", "c.TXT", "d.txt")):
        (tmp_path / name).write_text(yolo_line(PERSON, x=0.1 * (seed + 1)) + "\n")
    (tmp_path / "orphan.txt").write_text(yolo_line(PERSON))
    (tmp_path / "classes.txt").write_text("person\n")
    samples, problems = read_yolo(tmp_path, PERSON)
    assert [sample.image.name for sample in samples] == ["a.jpeg", "b.JPG", "c.Png", "d.bmp"]
    assert [round(float(sample.keypoints[0, 0, 0])) for sample in samples] == [6, 12, 18, 24]
    assert {(problem.code, problem.severity) for problem in problems} == {
        ("missing_label", "warning"),
        ("missing_image", "warning"),
    }
    assert "e.jpg" in problems[0].where
    assert "orphan.txt" in problems[1].where
    first = samples[0]
    assert first.size == (40, 60)
    assert first.boxes[0].tolist() == pytest.approx([12, 4, 36, 32])
    assert first.areas.tolist() == pytest.approx([36 * 32])
    assert first.keypoints[0, 0].tolist() == pytest.approx([6, 20, 1])


def test_image_ids_are_the_digits_of_the_stem_or_the_position(tmp_path):
    for name in ("000000397133", "im_12"):
        write_picture(tmp_path / f"{name}.jpg")
        (tmp_path / f"{name}.txt").write_text(yolo_line(PERSON))
    assert [sample.image_id for sample in read_yolo(tmp_path, PERSON)[0]] == [397133, 12]
    write_picture(tmp_path / "other_12.jpg")
    (tmp_path / "other_12.txt").write_text(yolo_line(PERSON))
    assert [sample.image_id for sample in read_yolo(tmp_path, PERSON)[0]] == [0, 1, 2]


def test_labels_in_a_folder_of_their_own(tmp_path):
    write_picture(tmp_path / "images" / "train" / "a.jpg")
    labels = tmp_path / "labels" / "train"
    labels.mkdir(parents=True)
    (labels / "a.txt").write_text(yolo_line(PERSON))
    assert len(read_yolo(tmp_path / "images" / "train", PERSON)[0]) == 1
    write_picture(tmp_path / "else" / "a.jpg")
    assert len(read_yolo(tmp_path / "else", PERSON, annotations=labels)[0]) == 1


GOOD = yolo_line(PERSON)


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (yolo_line(load_skeleton("coco17")), "wrong_count", r"56 numbers = 5\+3\*17; .*person13 wants 44 = 5\+3\*13"),
        ("0 0.5 0.5 1 1", "wrong_count", "a box without keypoints"),
        (GOOD + " 0.5", "wrong_count", "45 numbers"),
        (GOOD.replace("0.6", "abc"), "not_a_number", "'abc' is not a number"),
        (GOOD.replace("0.6", "nan"), "not_finite", "number 4 is nan or infinite"),
        (GOOD.replace("0.6", "inf"), "not_finite", "number 4"),
        (yolo_line(PERSON, flag=3), "bad_flag", "the flag of head is 3; allowed: 0, 1, 2"),
        (yolo_line(PERSON, flag=0.5), "bad_flag", "the flag of head is 0.5"),
        (yolo_line(PERSON, x=320), "outside_image", r"head is at \(320, 0.5\).*not pixels"),
        ("0 320 240 100 100 " + GOOD.split(" ", 5)[5], "outside_image", "the box is outside 0..1"),
    ],
)
def test_broken_lines_are_named_and_the_others_kept(tmp_path, line, code, message):
    (tmp_path / "a.txt").write_text(f"{GOOD}\r\n\r\n{line}\r\n{GOOD}\r\n\r\n", newline="")
    problems = []
    keypoints, _ = read_label_file(tmp_path / "a.txt", (40, 60), Line.of(PERSON), problems)
    assert len(keypoints) == 2
    assert [(problem.code, problem.severity) for problem in problems] == [(code, "error")]
    assert problems[0].where == f"{tmp_path / 'a.txt'}:3"
    assert re.search(message, problems[0].message)


def test_slightly_outside_is_a_warning_and_unlabelled_points_may_be_anywhere(tmp_path):
    (tmp_path / "a.txt").write_text(yolo_line(PERSON, x=1.05) + "\n" + yolo_line(PERSON, x=-7, flag=0))
    problems = []
    keypoints, _ = read_label_file(tmp_path / "a.txt", (40, 60), Line.of(PERSON), problems)
    assert [(problem.code, problem.severity) for problem in problems] == [("outside_image", "warning")]
    assert keypoints[0, 0].tolist() == pytest.approx([63, 20, 1])
    assert not keypoints[1].any()


def test_a_box_without_extent_becomes_the_hull(tmp_path):
    points = " ".join(f"{x} {y} 1" for x, y in [(0.25, 0.5), (0.75, 0.25)] + [(0.5, 0.5)] * 11)
    (tmp_path / "a.txt").write_text(f"0 0.5 0.5 0 0 {points}\n")
    problems = []
    _, boxes = read_label_file(tmp_path / "a.txt", (40, 60), Line.of(PERSON), problems)
    assert problems[0].code == "empty_box"
    assert boxes[0].tolist() == pytest.approx([15, 10, 30, 10])


@pytest.mark.parametrize("content", ["", "\n\n", "\r\n", "\ufeff"])
def test_an_empty_label_is_an_image_without_people(tmp_path, content):
    write_picture(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text(content, encoding="utf-8", newline="")
    samples, problems = read_yolo(tmp_path, PERSON)
    assert [problem.code for problem in problems] == ["empty_label"]
    assert samples[0].keypoints.shape == (0, 13, 3)
    assert samples[0].boxes.shape == (0, 4)
    assert samples[0].keypoints.dtype == samples[0].boxes.dtype == samples[0].areas.dtype == np.float32


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_no_file_breaks_the_reader(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "a.txt"
    path.write_bytes(content)
    problems = []
    keypoints, boxes = read_label_file(path, (40, 60), Line.of(PERSON), problems)
    assert len(keypoints) == len(boxes)
    assert all("\n" not in str(problem) for problem in problems)


def test_unreadable_images_and_same_stems_are_told(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    write_picture(tmp_path / "b.jpg")
    write_picture(tmp_path / "b.png")
    for stem in "ab":
        (tmp_path / f"{stem}.txt").write_text(GOOD)
    samples, problems = read_yolo(tmp_path, PERSON)
    assert [sample.image.name for sample in samples] == ["b.jpg", "b.png"]
    assert [(problem.code, problem.severity) for problem in problems] == [
        ("unreadable_image", "error"),
        ("same_stem", "warning"),
    ]


def test_write_yolo_copies_images_and_never_appends(tmp_path):
    samples = [
        random_sample(PERSON, write_picture(tmp_path / "from" / f"{seed}.jpg", seed=seed), people=2, seed=seed)
        for seed in range(3)
    ]
    target = tmp_path / "to"
    assert write_yolo(samples, target, PERSON) == 3
    first = {path.name: path.read_bytes() for path in target.iterdir()}
    assert sorted(first) == ["0.jpg", "0.txt", "1.jpg", "1.txt", "2.jpg", "2.txt"]
    (target / "1.txt").write_text("half a li")
    (target / "2.jpg").unlink()
    assert write_yolo(samples, target, PERSON) == 1
    assert {path.name: path.read_bytes() for path in target.iterdir()} == first
    back, problems = read_yolo(target, PERSON)
    assert not problems
    for ours, theirs in zip(samples, back, strict=True):
        assert np.allclose(ours.keypoints, theirs.keypoints, atol=1e-5)


def test_write_yolo_in_place_and_with_st_flags(tmp_path):
    sample = random_sample(PERSON, write_picture(tmp_path / "0.jpg"), seed=4)
    assert (sample.keypoints[..., 2] == 2).any()
    assert write_yolo([sample], tmp_path, PERSON, flags="st") == 0  # the image is there already
    back = read_yolo(tmp_path, PERSON)[0][0]
    assert np.array_equal(back.keypoints[..., 2], (sample.keypoints[..., 2] > 0).astype(np.float32))


def test_write_yolo_refuses_what_would_be_lost(tmp_path):
    samples = [random_sample(PERSON, write_picture(tmp_path / folder / "0.jpg")) for folder in ("a", "b")]
    with pytest.raises(UserError, match="two images want it"):
        write_yolo(samples, tmp_path / "to", PERSON)
    with pytest.raises(ValueError, match="wanted"):
        write_yolo(samples[:1], tmp_path / "to", load_skeleton("coco17"))


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    from pathlib import Path

    sample = random_sample(PERSON, write_picture(tmp_path / "0.jpg"))
    write_yolo([sample], tmp_path, PERSON)
    before = (tmp_path / "0.txt").read_bytes()

    def full(self, content):
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left"):
        write_yolo([sample], tmp_path, PERSON, flags="st")
    assert (tmp_path / "0.txt").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.jpg", "0.txt"]

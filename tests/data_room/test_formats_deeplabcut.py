"""DeepLabCut: CSVs as pandas writes them, of one animal and of several, with one index column and with three."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from label_files import write_picture

from stm32pose.data.problems import errors_of
from stm32pose.data.readers import detect_format, read_samples, scan_samples
from stm32pose.errors import UserError
from stm32pose.skeletons.skeleton import load_skeleton

BASE = load_skeleton("person13")
PAW = replace(BASE, name="paw", category="mouse", keypoints=("paw", "finger", "wrist"), derive={})
NAN = float("nan")


def write_csv(path, frames, points, *, animals=None, parts=("wrist", "paw", "finger"), split=False):
    """`points`: [frames, animals, parts, 2]. The layout is that of a pandas MultiIndex written by `to_csv`."""
    heads = [("scorer", lambda a, p, c: "Me"), ("bodyparts", lambda a, p, c: p), ("coords", lambda a, p, c: c)]
    if animals:
        heads.insert(1, ("individuals", lambda a, p, c: a))
    columns = [(a, p, c) for a in animals or ("",) for p in parts for c in "xy"]
    pad = ["", ""] if split else []
    lines = [",".join([name, *pad, *(value(*column) for column in columns)]) for name, value in heads]
    for frame, numbers in zip(frames, points, strict=True):
        index = ["labeled-data", path.parent.name, frame] if split else [f"labeled-data/{path.parent.name}/{frame}"]
        cells = ["" if np.isnan(number) else repr(float(number)) for number in np.ravel(numbers)]
        lines.append(",".join([*index, *cells]))
        if not (path.parent / frame).exists():
            write_picture(path.parent / frame, seed=len(lines))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("split", [False, True], ids=["one column", "three columns"])
def test_one_animal(tmp_path, split):
    points = np.array([[[[1, 2], [3, 4], [5.5, 6.25]]], [[[NAN, NAN], [13, 14], [NAN, NAN]]]])
    path = write_csv(tmp_path / "vid" / "CollectedData_Me.csv", ["img2.png", "img1.png"], points, split=split)
    assert detect_format(path.parent) == "deeplabcut"
    one, two = read_samples(path.parent, PAW)
    assert (one.image.name, two.image.name) == ("img1.png", "img2.png")
    assert two.keypoints[0].tolist() == [[3.5, 4.5, 2], [6, 6.75, 2], [1.5, 2.5, 2]]  # paw, finger, wrist
    assert two.boxes[0].tolist() == [1.5, 2.5, 4.5, 4.25]
    assert one.keypoints[0].tolist() == [[13.5, 14.5, 2], [0, 0, 0], [0, 0, 0]]
    assert one.source.endswith("CollectedData_Me.csv:5")


def test_several_animals_are_instances(tmp_path):
    points = np.arange(24.0).reshape(2, 2, 3, 2)
    points[0, 1] = NAN  # the second animal is not there
    path = write_csv(tmp_path / "vid" / "CollectedData_Me.csv", ["a.png", "b.png"], points, animals=("m1", "m2"))
    first, second = read_samples(path.parent, PAW, pose="multi")
    assert (first.instances, second.instances) == (1, 2)
    assert second.keypoints[1, 0].tolist() == [*(points[1, 1, 1] + 0.5), 2]
    assert [sample.image.name for sample in read_samples(path.parent, PAW)] == ["a.png"]


def test_frames_without_a_point_are_left_out_and_boxes_without_extent_are_told(tmp_path):
    points = np.arange(18.0).reshape(3, 1, 3, 2)
    points[1] = NAN
    points[2, 0, 1:] = NAN
    path = write_csv(tmp_path / "vid" / "CollectedData_Me.csv", ["a.png", "b.png", "c.png"], points)
    samples, problems = scan_samples(path.parent, PAW, pose="multi")
    assert [sample.image.name for sample in samples] == ["a.png", "c.png"]
    assert [(problem.code, problem.severity) for problem in problems] == [
        ("empty_box", "warning"),
        ("missing_label", "warning"),
    ]
    assert problems[0].where == samples[1].source
    assert problems[1].message.startswith("1 of 3 listed images have no labelled point and are left out, e.g. ")
    assert problems[1].message.endswith("b.png")
    crops, _ = scan_samples(path.parent, PAW, instance="crop")
    assert [sample.image.name for sample in crops] == ["a.png"]


def test_pandas_writes_what_is_read(tmp_path):
    pandas = pytest.importorskip("pandas")
    columns = pandas.MultiIndex.from_product(
        [["Me"], ["m1", "m2"], ["paw", "finger", "wrist"], ["x", "y"]],
        names=["scorer", "individuals", "bodyparts", "coords"],
    )
    index = pandas.MultiIndex.from_tuples([("labeled-data", "vid", f"{n}.png") for n in range(3)])
    values = np.random.default_rng(1).uniform(0, 40, (3, 12))
    values[1, 2:4] = NAN
    for number in range(3):
        write_picture(tmp_path / "vid" / f"{number}.png", seed=number)
    pandas.DataFrame(values, index=index, columns=columns).to_csv(tmp_path / "vid" / "CollectedData_Me.csv")
    samples = read_samples(tmp_path / "vid", PAW, pose="multi")
    found = np.stack([sample.keypoints for sample in samples])
    expected = np.nan_to_num(values.reshape(3, 2, 3, 2) + 0.5)
    assert np.allclose(found[..., :2], expected)
    assert np.array_equal(found[..., 2] == 2, expected[..., 0] > 0)


def test_a_project_of_several_videos(tmp_path):
    for video in ("two", "one"):
        write_csv(tmp_path / "labeled-data" / video / "CollectedData_Me.csv", ["i1.png"], np.ones((1, 1, 3, 2)))
    for place in (tmp_path, tmp_path / "labeled-data"):
        samples = read_samples(place, PAW, format="deeplabcut")
        assert [sample.image.parent.name for sample in samples] == ["one", "two"]
        assert len({sample.image_id for sample in samples}) == 2
    whole = tmp_path / "CollectedData_all.csv"
    text = (tmp_path / "labeled-data" / "one" / "CollectedData_Me.csv").read_text()
    whole.write_text(text + text.splitlines()[-1].replace("/one/", "/two/") + "\n")
    assert len(read_samples(tmp_path, PAW, annotations=whole)) == 2


def test_what_is_no_label_file(tmp_path):
    path = write_csv(tmp_path / "vid" / "CollectedData_Me.csv", ["a.png", "b.png"], np.ones((2, 1, 3, 2)))
    good = path.read_text()
    lines = good.splitlines()
    for text, code in (
        (good.replace("bodyparts", "bones"), "bad_csv"),
        (good.replace("coords,x,y,x,y,x,y", "coords,x,y,likelihood,x,y,likelihood"), "bad_csv"),
        (good.replace("coords,x,y", "coords,x,x"), "bad_csv"),
        ("", "bad_csv"),
        ("\n".join([*lines[:-1], lines[-1] + ",3"]), "wrong_count"),
        ("\n".join([*lines[:-1], lines[-1][:-3] + "abc"]), "not_a_number"),
        ("\n".join([*lines[:-1], lines[-1][:-3]]), "not_finite"),
        ("\n".join([*lines, lines[-1]]), "duplicate_image"),
    ):
        path.write_text(text)
        samples, problems = scan_samples(path.parent, PAW, format="deeplabcut")
        assert errors_of(problems)[0].code == code, text
        assert len(samples) == (0 if code == "bad_csv" else 2 if code == "duplicate_image" else 1)
    path.write_text(good)
    path.with_name("CollectedData_You.csv").write_text(good)
    with pytest.raises(UserError, match=r"two scorers.*CollectedData_Me.csv and CollectedData_You.csv"):
        read_samples(path.parent, PAW, format="deeplabcut")
    assert len(read_samples(path.parent, PAW, annotations=path)) == 2


def test_other_body_parts_are_named(tmp_path):
    path = write_csv(tmp_path / "vid" / "CollectedData_Me.csv", ["a.png"], np.ones((1, 1, 2, 2)), parts=("tail", "ear"))
    with pytest.raises(UserError, match=r"2 keypoints and none is called as one of the skeleton paw.*: tail, ear"):
        read_samples(path.parent, PAW)


def test_the_real_frames_come_back(shared, tmp_path):
    """The 24 frames of an animal experiment, written as DeepLabCut would, are those of their COCO file."""
    source = shared / "data" / "reaching_5kpts"
    from stm32pose.data.coco import load_document

    document = load_document(source / "keypoints_coco.json", [])
    names = [str(name) for name in document["categories"][0]["keypoints"]]
    five = replace(BASE, name="five", category=document["categories"][0]["name"], keypoints=tuple(names), derive={})
    truth = read_samples(source, five, format="coco")
    folder = tmp_path / "reach"
    folder.mkdir()
    for sample in truth:
        (folder / sample.image.name).symlink_to(sample.image)
    points = np.stack([np.where(s.keypoints[..., 2:] > 0, s.keypoints[..., :2] - 0.5, NAN) for s in truth])
    points = points[:, :, ::-1]
    write_csv(folder / "CollectedData_X.csv", [s.image.name for s in truth], points, parts=tuple(reversed(names)))
    found = read_samples(folder, five)
    assert len(found) == len(truth) == 24
    for ours, theirs in zip(found, truth, strict=True):
        assert np.allclose(ours.keypoints[..., :2], theirs.keypoints[..., :2], atol=1e-3)
        assert np.array_equal(ours.keypoints[..., 2] > 0, theirs.keypoints[..., 2] > 0)
        assert ours.size == theirs.size

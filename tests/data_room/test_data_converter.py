"""The converter's command: ST's flags, ST's format, and what it does when interrupted."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from stm32pose.data.readers import read_samples
from stm32pose.skeletons.skeleton import load_skeleton

SCRIPT = Path(__file__).resolve().parents[2] / "datasets" / "dataset_converter" / "converter.py"


@pytest.fixture(scope="module")
def converter():
    spec = importlib.util.spec_from_file_location("converter", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def coco(shared):
    return shared / "data" / "coco_mini"


@pytest.mark.parametrize(("keypoints", "name"), [(13, "person13"), (17, "coco17")])
@pytest.mark.parametrize("pose", ["single", "multi"])
def test_the_text_files_say_what_the_json_says(converter, coco, tmp_path, keypoints, name, pose):
    arguments = ["--path", str(coco), "--pose", pose, "--keypoints", str(keypoints), "--outputdir", str(tmp_path)]
    assert converter.main(arguments) == 0
    skeleton = load_skeleton(name)
    for part in ("train", "val"):
        target = tmp_path / pose / f"{keypoints}kpts" / part
        ours = read_samples(target, skeleton, format="yolo", pose=pose)
        theirs = {
            sample.image.name: sample
            for sample in read_samples(coco / f"{part}2017", skeleton, format="coco", pose=pose)
            if (sample.keypoints[~sample.crowd, :, 2] > 0).any()
        }
        assert len(ours) == len(theirs) > 8
        for sample in ours:
            other = theirs[sample.image.name]
            people = other.only(np.flatnonzero(~other.crowd).tolist())
            assert sample.size == people.size
            assert sample.image_id == people.image_id
            assert np.allclose(sample.keypoints[..., :2], people.keypoints[..., :2], atol=1e-3)
            assert np.array_equal(sample.keypoints[..., 2], np.minimum(people.keypoints[..., 2], 1))
            assert np.allclose(sample.boxes, people.boxes, atol=1e-3)
            assert sample.image.read_bytes() == people.image.read_bytes()


def test_the_format_is_sts(converter, coco, tmp_path):
    assert converter.main(["--path", str(coco), "--keypoints", "13", "--outputdir", str(tmp_path)]) == 0
    target = tmp_path / "single" / "13kpts" / "val"
    labels = sorted(target.glob("*.txt"))
    assert len(labels) == len(list(target.glob("*.jpg"))) > 8
    for path in labels:
        (line,) = path.read_text().splitlines()
        row = [float(word) for word in line.split(" ")]
        assert len(row) == 5 + 3 * 13
        assert row[0] == 0
        assert all(0 <= value <= 1 for value in row)
        assert set(row[7::3]) <= {0, 1}


def test_a_cut_off_conversion_is_completed(converter, coco, tmp_path, monkeypatch, capsys):
    arguments = ["--path", str(coco), "--pose", "multi", "--keypoints", "17", "--outputdir", str(tmp_path / "cut")]
    from stm32pose.data import yolo

    place, calls = yolo.place_image, []

    def interrupted(*values, **options):
        calls.append(values)
        if len(calls) > 7:
            raise KeyboardInterrupt
        return place(*values, **options)

    monkeypatch.setattr(yolo, "place_image", interrupted)
    assert converter.main(arguments) == 130
    assert "goes on where it stopped" in capsys.readouterr().err
    monkeypatch.setattr(yolo, "place_image", place)
    assert converter.main(arguments) == 0
    assert converter.main([*arguments[:-1], str(tmp_path / "whole")]) == 0
    whole = {path.relative_to(tmp_path / "whole"): path.read_bytes() for path in (tmp_path / "whole").rglob("*.*")}
    cut = {path.relative_to(tmp_path / "cut"): path.read_bytes() for path in (tmp_path / "cut").rglob("*.*")}
    assert cut == whole
    assert len(whole) > 60
    assert converter.main(arguments) == 0  # a third run appends nothing
    assert {path.relative_to(tmp_path / "cut"): path.read_bytes() for path in (tmp_path / "cut").rglob("*.*")} == whole


def test_a_missing_set_is_said_and_the_other_converted(converter, coco, tmp_path, capsys):
    folder = tmp_path / "coco"
    (folder / "annotations").mkdir(parents=True)
    (folder / "val").symlink_to(coco / "val2017")  # ST's README calls the folders train and val
    (folder / "annotations" / "person_keypoints_val2017.json").symlink_to(
        coco / "annotations" / "person_keypoints_val2017.json"
    )
    assert converter.main(["--path", str(folder), "--outputdir", str(tmp_path / "out")]) == 0
    assert "train: no folder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out" / "single" / "17kpts").iterdir()] == ["val"]
    assert converter.main(["--path", str(tmp_path / "nowhere"), "--outputdir", str(tmp_path / "out")]) == 1


@pytest.mark.parametrize("flags", [["--pose", "both"], ["--keypoints", "21"]])
def test_flags_are_checked(converter, flags, capsys):
    with pytest.raises(SystemExit) as caught:
        converter.main(flags)
    assert caught.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


def test_a_crowd_beside_one_person_is_single(converter, coco, tmp_path):
    """ST counted the crowd and lost the image."""
    path = coco / "annotations" / "person_keypoints_val2017.json"
    document = json.loads(path.read_text())
    samples = read_samples(coco / "val2017", load_skeleton("coco17"), annotations=path)
    chosen = samples[0].image_id
    first = next(item for item in document["annotations"] if item["image_id"] == chosen and not item["iscrowd"])
    document["annotations"].append({**first, "id": 1, "iscrowd": 1, "keypoints": [0] * 51, "num_keypoints": 0})
    folder = tmp_path / "coco"
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").symlink_to(coco / "val2017")
    (folder / "annotations" / path.name).write_text(json.dumps(document))
    assert converter.main(["--path", str(folder), "--outputdir", str(tmp_path / "out"), "--link"]) == 0
    label = tmp_path / "out" / "single" / "17kpts" / "val" / f"{samples[0].image.stem}.txt"
    assert len(label.read_text().splitlines()) == 1

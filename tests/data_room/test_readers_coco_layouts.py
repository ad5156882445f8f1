"""The two layouts of COCO's download, given by their root; and what of an annotation file is read without the rest."""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from label_files import coco_document, random_sample, write_coco, write_picture

from stm32pose.commands.data import source_config
from stm32pose.config.data_sections import Dataset
from stm32pose.data.coco import category_joints, read_coco
from stm32pose.data.readers import parts_of, read_images, read_samples, scan_samples
from stm32pose.data.splits import make_splits
from stm32pose.errors import UserError
from stm32pose.skeletons.skeleton import load_skeleton

COCO = load_skeleton("coco17")
HAND = load_skeleton("hand21")


def to_2014(source, root, *, nested=False, prefix_in_json=True):
    """The layout and the names of 2014 of a download of 2017."""
    for part in ("train", "val"):
        document = json.loads((source / "annotations" / f"person_keypoints_{part}2017.json").read_text())
        folder = root / "images" / f"{part}2014" if nested else root / f"{part}2014"
        folder.mkdir(parents=True)
        for item in document["images"]:
            name = f"COCO_{part}2014_{item['file_name']}"
            (folder / name).symlink_to(source / f"{part}2017" / item["file_name"])
            if prefix_in_json:
                item["file_name"] = name
        write_coco(root / "annotations" / f"person_keypoints_{part}2014.json", document)
        write_coco(root / "annotations" / f"instances_{part}2014.json", document)
        write_coco(root / "annotations" / f"captions_{part}2014.json", {"images": [], "annotations": []})
    return root


def same(first, second):
    assert len(first) == len(second) > 0
    for one, two in zip(first, second, strict=True):
        assert one.image_id == two.image_id
        assert one.size == two.size
        for name in ("keypoints", "boxes", "areas", "crowd"):
            assert np.array_equal(getattr(one, name), getattr(two, name))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("prefix_in_json", [True, False])
def test_both_layouts_give_the_same(shared, tmp_path, nested, prefix_in_json):
    newer = shared / "data" / "coco_mini"
    older = to_2014(newer, tmp_path / "coco", nested=nested, prefix_in_json=prefix_in_json)
    assert parts_of(newer) == parts_of(older) == ("train", "val")
    for part in ("train", "val"):
        expected = read_samples(newer / f"{part}2017", COCO, pose="multi")
        same(read_samples(newer, COCO, pose="multi", part=part), expected)
        theirs = sorted(read_samples(older, COCO, pose="multi", part=part), key=lambda sample: sample.image_id)
        same(theirs, sorted(expected, key=lambda sample: sample.image_id))
        assert len(read_images(older, where="here", part=part)) == len(expected)
    # A folder of the download by itself, among the other files of `annotations`.
    folder = older / "images" / "val2014" if nested else older / "val2014"
    assert len(read_samples(folder, COCO, pose="multi")) == len(read_samples(newer / "val2017", COCO, pose="multi"))


def test_the_root_serves_training_and_validation(shared):
    root = shared / "data" / "coco_mini"
    splits = make_splits(Dataset(training_path=str(root), skeleton="coco17", pose="multi"), COCO, ["training"])
    assert {sample.image.parent.name for sample in splits.training} == {"train2017"}
    assert {sample.image.parent.name for sample in splits.validation} == {"val2017"}
    only = make_splits(Dataset(validation_path=str(root), skeleton="coco17", pose="multi"), COCO, ["evaluation"])
    assert {sample.image.parent.name for sample in only.validation} == {"val2017"}
    # Annotations that are named are one set, from which validation is held out as ever.
    named = Dataset(
        training_path=str(root),
        training_annotations=str(root / "annotations" / "person_keypoints_train2017.json"),
        skeleton="coco17",
        pose="multi",
    )
    splits = make_splits(named, COCO, ["training"])
    assert {sample.image.parent.name for sample in splits.training + splits.validation} == {"train2017"}
    assert len(splits.validation) == round(0.2 * (len(splits.training) + len(splits.validation)))


def test_a_set_that_is_not_there(shared, tmp_path):
    root = shared / "data" / "coco_mini"
    with pytest.raises(UserError, match=r"dataset.test_path: .* without the set 'test'; it has: train, val"):
        read_samples(root, COCO, part="test", where="dataset.test_path")
    shutil.copytree(root / "annotations", tmp_path / "annotations")
    assert parts_of(tmp_path) == ()  # labels alone are no set
    with pytest.raises(UserError, match="no image in"):
        read_samples(tmp_path, COCO)


def test_a_root_is_no_format_of_its_own_where_images_lie_in_it(tmp_path):
    sample = random_sample(COCO, write_picture(tmp_path / "1.jpg"))
    write_coco(tmp_path / "annotations" / "person_keypoints_train2017.json", coco_document([sample], COCO.keypoints))
    assert parts_of(tmp_path) == ()
    annotations = tmp_path / "annotations" / "person_keypoints_train2017.json"
    assert len(read_samples(tmp_path, COCO, annotations=annotations)) == 1


def test_names_with_folders_below_a_folder_without_images(tmp_path):
    """OneHand10K's and FreiHAND's names: `Train/source/5.jpg`, relative to the root."""
    sample = random_sample(HAND, write_picture(tmp_path / "Train" / "source" / "5.jpg"))
    document = coco_document([sample], HAND.keypoints, "hand")
    document["images"][0]["file_name"] = "Train/source/5.jpg"
    path = write_coco(tmp_path / "labels.json", document)
    assert np.allclose(read_samples(tmp_path, HAND, annotations=path)[0].keypoints, sample.keypoints, atol=1e-4)
    document["images"][0]["file_name"] = "Train/source/6.jpg"
    write_coco(path, document)
    with pytest.raises(UserError, match="no image in"):
        read_samples(tmp_path, HAND, annotations=path)


def test_the_file_is_parsed_once(shared, monkeypatch):
    """Detection, the skeleton and the reader together must not parse gigabytes twice."""
    root, calls, loads = shared / "data" / "coco_mini", [], json.loads
    monkeypatch.setattr(json, "loads", lambda *given, **named: calls.append(1) or loads(*given, **named))
    given = argparse.Namespace(
        source=root, skeleton=None, keypoints=None, format=None, annotations=None, multi=True, fast=True, json=False
    )
    assert source_config(given).dataset.skeleton == "coco17"
    assert calls == []
    scan_samples(root, COCO)
    assert calls == [1]


@pytest.mark.parametrize("first", [True, False])
def test_joints_of_the_categories_without_the_rest(tmp_path, first):
    document = {"images": [{"id": 1, "file_name": "categories.jpg"}], "annotations": []}
    categories = {"categories": [{"id": 1, "name": "x", "keypoints": ["a", "b"]}, {"id": 2, "keypoints": ["c"]}, 3]}
    path = write_coco(tmp_path / "a.json", (categories | document) if first else (document | categories))
    assert category_joints(path) == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    "text", ["", "{}", '{"categories": 3}', '{"categories": [', '{"a": "categories"}', "[" * 999999]
)
def test_no_joints_where_none_are(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    assert category_joints(tmp_path / "a.json") == []
    assert category_joints(tmp_path / "b.json") == []


def test_joints_of_the_hand_by_mmposes_names(tmp_path):
    sample = random_sample(HAND, write_picture(tmp_path / "set" / "1.jpg"))
    theirs = {"index": "forefinger", "middle": "middle_finger", "ring": "ring_finger", "pinky": "pinky_finger"}
    order = np.random.default_rng(0).permutation(21)
    names = [HAND.keypoints[joint] for joint in order]
    for ours, other in theirs.items():
        names = [name.replace(ours, other) for name in names]
    shuffled = replace(sample, keypoints=sample.keypoints[:, order])
    path = write_coco(tmp_path / "x.json", coco_document([shuffled], names, "hand"))
    samples, problems = read_coco(tmp_path / "set", HAND, annotations=path)
    assert problems == []
    assert np.allclose(samples[0].keypoints, sample.keypoints, atol=1e-4)

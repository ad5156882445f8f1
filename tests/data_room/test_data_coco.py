"""COCO keypoints JSON: order of joints, categories, crowds, and files that are broken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_files import coco_document, random_sample, write_coco, write_picture

from stm32pose.data.coco import read_coco
from stm32pose.data.coco_layout import find_annotations
from stm32pose.errors import UserError
from stm32pose.skeletons.skeleton import load_skeleton

COCO = load_skeleton("coco17")
PERSON = load_skeleton("person13")


@pytest.fixture
def folder(tmp_path):
    """Three images, the second with two people."""
    samples = [
        random_sample(COCO, write_picture(tmp_path / "set" / f"{n}.jpg", seed=n), people=1 + (n == 1), seed=n)
        for n in range(3)
    ]
    return tmp_path / "set", samples, coco_document(samples, COCO.keypoints)


def codes(problems):
    return [(problem.code, problem.severity) for problem in problems]


def read(folder, document, skeleton=COCO, **options):
    path = write_coco(folder / "labels.json", document)
    return read_coco(folder, skeleton, annotations=path, **options)


def test_samples_are_the_file(folder):
    images, truth, document = folder
    document["images"].reverse()
    samples, problems = read(images, document)
    assert not problems
    assert [sample.image_id for sample in samples] == [0, 1, 2]
    for ours, theirs in zip(samples, truth, strict=True):
        assert ours.image == theirs.image
        assert ours.size == theirs.size
        assert np.array_equal(ours.keypoints, theirs.keypoints)
        assert np.array_equal(ours.boxes, theirs.boxes)
        assert np.array_equal(ours.areas, theirs.areas)
        assert ours.keypoints.dtype == ours.boxes.dtype == ours.areas.dtype == np.float32
        assert ours.crowd.dtype == bool


def test_areas_are_the_segments(folder):
    images, _, document = folder
    document["annotations"][0]["area"] = 123.5
    document["annotations"][1].pop("area")
    samples, _ = read(images, document)
    assert samples[0].areas.tolist() == [123.5]
    box = samples[1].boxes[0]
    assert samples[1].areas[0] == pytest.approx(box[2] * box[3], rel=1e-6)


def test_joints_go_by_name(folder):
    images, truth, document = folder
    order = np.random.default_rng(1).permutation(17)
    document["categories"][0]["keypoints"] = [COCO.keypoints[joint].replace("_", " ").title() for joint in order]
    for record in document["annotations"]:
        record["keypoints"] = np.array(record["keypoints"]).reshape(17, 3)[order].ravel().tolist()
    samples, problems = read(images, document)
    assert not problems
    assert np.array_equal(samples[1].keypoints, truth[1].keypoints)


def test_heads_are_derived(folder):
    images, truth, document = folder
    samples, problems = read(images, document, PERSON)
    assert not problems
    face = truth[0].keypoints[0, :5]
    visible = face[face[:, 2] > 0]
    assert samples[0].keypoints[0, 0, :2].tolist() == pytest.approx(visible[:, :2].mean(axis=0).tolist(), rel=1e-5)
    assert samples[0].keypoints[0, 0, 2] == visible[:, 2].max()
    assert np.array_equal(samples[0].keypoints[0, 1:], truth[0].keypoints[0, 5:])


def test_missing_joints_are_told_and_foreign_names_taken_in_order(folder):
    images, truth, document = folder
    samples, problems = read(images, document, load_skeleton("lsp14"))
    assert codes(problems) == [("missing_joint", "warning")]
    assert problems[0].message.endswith("head_top")
    assert not samples[0].keypoints[0, 13].any()
    document["categories"][0]["keypoints"] = [f"point {number}" for number in range(17)]
    samples, problems = read(images, document)
    assert codes(problems) == [("joints_by_order", "warning")]
    assert np.array_equal(samples[0].keypoints, truth[0].keypoints)
    samples, problems = read(images, document, PERSON)
    assert (samples, codes(problems)) == ([], [("no_common_joint", "error")])


def test_the_category_is_found(folder):
    images, _, document = folder
    dog = {"id": 2, "name": "dog", "keypoints": ["snout", "tail"]}
    document["categories"].insert(0, dog)
    document["annotations"].append(
        {"id": 99, "image_id": 0, "category_id": 2, "bbox": [1, 1, 9, 9], "keypoints": [1, 1, 2, 2, 2, 2]}
    )
    samples, problems = read(images, document)
    assert not problems
    assert samples[0].instances == 1
    document["categories"][1]["name"] = "object"  # found by its joints
    samples, problems = read(images, document)
    assert not problems
    assert samples[0].instances == 1
    document["categories"][1]["keypoints"] = ["a", "b"]
    assert codes(read(images, document)[1]) == [("no_category", "error")]


def test_images_not_there_and_not_listed(folder):
    images, _, document = folder
    document["images"].append({"id": 77, "file_name": "gone.jpg", "height": 4, "width": 4})
    document["images"][0]["file_name"] = "set/0.jpg"  # a path from elsewhere; the image is here
    write_picture(images / "unlisted.png")
    samples, problems = read(images, document)
    assert len(samples) == 3
    assert codes(problems) == [("missing_image", "warning"), ("missing_label", "warning")]
    assert "gone.jpg" in problems[0].message
    assert "unlisted.png" in problems[1].message


@pytest.mark.parametrize(
    "name", ["../secret.jpg", "sub/../../secret.jpg", "..\\secret.jpg", "ABSOLUTE", "C:\\secret.jpg"]
)
def test_a_name_that_leaves_the_folder_is_refused(folder, name):
    images, _, document = folder
    secret = images.parent / "secret.jpg"
    write_picture(secret)
    (images / "sub").mkdir()
    document["images"].append({"id": 77, "file_name": name.replace("ABSOLUTE", str(secret)), "height": 4, "width": 4})
    samples, problems = read(images, document)
    assert len(samples) == 3
    assert codes(problems) == [("outside_folder", "error")]
    assert "images[3]" in problems[0].message
    assert "secret.jpg" in problems[0].message
    assert "\n" not in str(problems[0])


def test_a_way_behind_a_link_is_not_walked_back(folder):
    images, _, document = folder
    elsewhere = images.parent / "elsewhere" / "deep"
    elsewhere.mkdir(parents=True)
    write_picture(elsewhere.parent / "secret.jpg")
    write_picture(elsewhere / "linked.jpg")
    (images / "link").symlink_to(elsewhere)
    document["images"] += [
        {"id": 77, "file_name": "link/../secret.jpg", "height": 40, "width": 60},
        {"id": 78, "file_name": "link/linked.jpg", "height": 40, "width": 60},  # a data set may well be made of links
    ]
    samples, problems = read(images, document)
    assert [sample.image_id for sample in samples if sample.image_id > 70] == [78]
    assert codes(problems) == [("missing_image", "warning")]


def test_images_without_people_stay_and_sizes_are_read_where_missing(folder):
    images, _, document = folder
    document["annotations"] = [record for record in document["annotations"] if record["image_id"] != 0]
    document["images"][0].pop("height")
    samples, problems = read(images, document)
    assert not problems
    assert samples[0].keypoints.shape == (0, 17, 3)
    assert samples[0].size == (40, 60)


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"keypoints": [1, 2, 2]}, "wrong_count", "keypoints has 3 numbers; wanted 51 = 3*17"),
        ({"keypoints": "none"}, "wrong_count", "keypoints has a str"),
        ({"keypoints": [1, 2, 7] + [0] * 48}, "bad_flag", "the flag of a keypoint is 7; allowed: 0, 1, 2"),
        ({"keypoints": [1, 2, "x"] + [0] * 48}, "not_a_number", "something that is no number"),
        ({"keypoints": [1, None, 2] + [0] * 48}, None, ""),
        ({"keypoints": [1, float("nan"), 2] + [0] * 48}, "not_finite", "a number is nan, infinite or absurdly large"),
        ({"bbox": [1, 2]}, "not_a_number", r"bbox [1, 2]"),
        ({"bbox": {"x": 1}}, "not_a_number", "bbox"),
        ({"area": [5]}, "not_a_number", "area [5]"),
    ],
)
def test_faulty_annotations_are_named_and_the_others_kept(folder, change, code, message):
    images, _, document = folder
    document["annotations"][1].update(change)
    samples, problems = read(images, document)
    assert [sample.instances for sample in samples] == [1, 1, 1]
    assert len(problems) == 1
    assert problems[0].severity == "error"
    assert code is None or problems[0].code == code
    assert message in problems[0].message
    assert problems[0].where.endswith("labels.json: annotation 2")


def test_a_person_without_a_box_gets_the_hull(folder):
    images, _, document = folder
    document["annotations"][0].pop("bbox")
    document["annotations"][0].pop("area")
    samples, problems = read(images, document)
    assert codes(problems) == [("empty_box", "warning")]
    points = samples[0].keypoints[0][samples[0].keypoints[0, :, 2] > 0]
    left, top, width, height = samples[0].boxes[0]
    assert left == pytest.approx(points[:, 0].min())
    assert top + height == pytest.approx(points[:, 1].max())
    assert samples[0].areas[0] == pytest.approx(width * height)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON file"),
        ("[1]", "holds a list"),
        ('{"images": []}', "no list 'annotations'"),
        ('{"images": 3, "annotations": []}', "no list 'images'"),
        ('{"images": [{"id": 1}], "annotations": []}', "images[0] has no file_name or no id"),
        ('{"images": [], "annotations": [], "categories": [1]} x', "not a JSON file: Extra data"),
    ],
)
def test_files_that_are_not_coco(folder, text, message):
    images, _, _ = folder
    path = images / "labels.json"
    path.write_text(text)
    samples, problems = read_coco(images, COCO, annotations=path)
    assert samples == []
    assert message in problems[0].message
    assert problems[0].severity == "error"


def test_a_file_of_boxes_is_recognised(folder):
    images, _, document = folder
    for record in document["annotations"]:
        record.pop("keypoints")
    assert "instances_*.json" in read(images, document)[1][-1].message


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_file_breaks_the_reader(tmp_path_factory, data):
    """Any value of a good file replaced by anything: problems, never an exception."""
    folder = tmp_path_factory.getbasetemp() / "junk"
    if not folder.exists():
        for number in range(2):
            write_picture(folder / f"{number}.jpg", seed=number)
    samples = [random_sample(COCO, folder / f"{number}.jpg", seed=number) for number in range(2)]
    document = coco_document(samples, COCO.keypoints)
    places = [(document, key) for key in document]
    for group in ("images", "annotations", "categories"):
        places += [(item, key) for item in document[group] for key in item]
        places += [(document[group], 0)]
    holder, key = data.draw(st.sampled_from(places))
    holder[key] = data.draw(JUNK)
    found, problems = read(folder, document)
    assert len(found) <= 2
    assert all("\n" not in str(problem) for problem in problems)
    for sample in found:
        assert np.isfinite(sample.keypoints).all()
        assert sample.keypoints.shape[1:] == (17, 3)


def test_where_the_annotations_are_looked_for(tmp_path):
    images = tmp_path / "val2017"
    write_picture(images / "a.jpg")
    with pytest.raises(
        UserError, match=r"person_keypoints_val2017\.json.*name it in dataset.test_annotations"
    ) as caught:
        find_annotations(images, where="dataset.test_path")
    assert "\n" not in str(caught.value)
    beside = write_coco(tmp_path / "labels.json", {})
    assert find_annotations(images) == beside
    inside = write_coco(images / "keypoints.json", {})
    assert find_annotations(images) == inside
    named = write_coco(tmp_path / "annotations" / "person_keypoints_val2017.json", {})
    write_coco(tmp_path / "annotations" / "person_keypoints_train2017.json", {})
    assert find_annotations(images) == named
    named.unlink()
    inside.unlink()
    write_coco(tmp_path / "more.json", {})
    only = write_coco(tmp_path / "my_val2017_labels.json", {})
    assert find_annotations(images) == only
    only.unlink()
    with pytest.raises(UserError, match=r"has several: labels\.json, more\.json"):
        find_annotations(images)


def test_relative_folders(tmp_path, monkeypatch):
    sample = random_sample(COCO, write_picture(tmp_path / "set" / "0.jpg"))
    write_coco(tmp_path / "labels.json", coco_document([sample], COCO.keypoints))
    monkeypatch.chdir(tmp_path / "set")
    assert len(read_coco(Path(), COCO)[0]) == 1
    assert json.loads((tmp_path / "labels.json").read_text())["images"]


def test_names_of_two_pictures_on_one_file_are_an_error(folder):
    """`cam1/0.jpg` and `cam2/0.jpg` where only `0.jpg` is there: whose labels are its own?"""
    images, _, document = folder
    document["images"][0]["file_name"], document["images"][1]["file_name"] = "cam1/0.jpg", "cam2/0.jpg"
    samples, problems = read(images, document)
    assert [sample.image.name for sample in samples] == ["0.jpg", "2.jpg"]
    assert samples[0].instances == 1
    (problem,) = [problem for problem in problems if problem.severity == "error"]
    assert problem.code == "duplicate_image"
    assert "'cam2/0.jpg' and 'cam1/0.jpg' both lead to" in problem.message


def test_the_same_name_otherwise_written_is_no_duplicate(folder):
    images, _, document = folder
    document["images"].append(document["images"][0] | {"id": 9, "file_name": "./0.jpg"})
    assert ("duplicate_image", "error") not in codes(read(images, document)[1])


@pytest.mark.parametrize(("image", "annotation"), [(int, float), (int, str), (float, int), (str, int), (str, float)])
def test_ids_are_the_same_however_written(folder, image, annotation):
    images, truth, document = folder
    for item in document["images"]:
        item["id"] = image(item["id"])
    for item in document["annotations"]:
        item["image_id"] = annotation(item["image_id"])
    samples, problems = read(images, document)
    assert not problems
    assert [sample.instances for sample in samples] == [sample.instances for sample in truth]
    assert [sample.image_id for sample in samples] == [0, 1, 2]


def test_annotations_of_no_listed_image_are_an_error(folder):
    images, _, document = folder
    document["annotations"][0]["image_id"] = 77
    document["annotations"][1]["image_id"] = None
    samples, problems = read(images, document)
    (problem,) = [problem for problem in problems if problem.severity == "error"]
    assert problem.code == "unknown_image"
    assert problem.message.startswith(
        "2 of 4 annotations belong to no listed image: 1 (image_id 77), 2 (image_id None)"
    )
    assert len(samples) == 3
    # Listed, but not in this folder: told otherwise.
    document["annotations"][0]["image_id"] = document["annotations"][1]["image_id"] = 1
    (images / "2.jpg").unlink()
    assert codes(read(images, document)[1]) == [("missing_image", "warning")]


@pytest.mark.parametrize("name", ["x" * 300 + ".jpg", "a/" + "x" * 5000 + ".jpg", "a/\0.jpg", "a/\ud800.jpg"])
def test_names_that_no_file_can_have(folder, name):
    images, _, document = folder
    document["images"].append({"id": 9, "file_name": name, "width": 60, "height": 40})
    samples, problems = read(images, document)
    assert len(samples) == 3
    assert codes(problems) == [("missing_image", "warning")]


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("keypoints", [10**400, 2, 2] * 17, "not_a_number"),
        ("area", 10**400, "not_a_number"),
        ("bbox", [10**400, 1, 1, 1], "not_a_number"),
        ("bbox", [5], "not_a_number"),
        ("bbox", 7, "not_a_number"),
        ("bbox", [1, 2, 3, "4"], "not_a_number"),
        ("bbox", [1, 2, 3, True], "not_a_number"),
    ],
)
def test_numbers_that_are_none(folder, key, value, code):
    images, _, document = folder
    document["annotations"][0][key] = value
    samples, problems = read(images, document)
    assert codes(problems) == [(code, "error")]
    assert [sample.instances for sample in samples] == [0, 2, 1]


@pytest.mark.parametrize("width", [10**400, 10**9, True, 60.5])
def test_impossible_widths_are_asked_of_the_image(folder, width):
    images, _, document = folder
    document["images"][0]["width"] = width
    samples, problems = read(images, document)
    assert not problems
    assert samples[0].size == (40, 60)


@pytest.mark.parametrize(("value", "crowd"), [("0", False), (0.0, False), (None, False), ("1", True), (True, True)])
def test_crowds_as_tools_write_them(folder, value, crowd):
    images, _, document = folder
    document["annotations"][0]["iscrowd"] = value
    assert read(images, document)[0][0].crowd.tolist() == [crowd]

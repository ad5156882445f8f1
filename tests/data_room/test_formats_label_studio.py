"""Label Studio's JSON: per cent to pixels, whose point is whose, addresses of images."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from label_files import coco_document, random_sample, write_coco, write_picture

from stm32pose.data.problems import errors_of
from stm32pose.data.readers import detect_format, read_samples, scan_samples
from stm32pose.errors import UserError
from stm32pose.skeletons.skeleton import load_skeleton

BASE = load_skeleton("person13")
ARM = replace(BASE, name="arm", keypoints=("shoulder", "elbow", "wrist"), derive={})


def region(kind, value, number=None, **more):
    item = {"type": kind, "value": value, "original_width": 200, "original_height": 100, "image_rotation": 0}
    return item | {"id": number or f"r{id(item)}"} | more


def point(name, x, y, number=None, **more):
    return region("keypointlabels", {"x": x, "y": y, "width": 0.5, "keypointlabels": [name]}, number, **more)


def rectangle(left, top, width, height, number=None, label="Person", rotation: object = 0):
    value = {"x": left, "y": top, "width": width, "height": height, "rotation": rotation, "rectanglelabels": [label]}
    return region("rectanglelabels", value, number)


def task(results, address="/data/upload/3/1a2b3c4d-a.png", number=1, **annotation):
    return {"id": number, "data": {"image": address}, "annotations": [{"id": 1, "result": results} | annotation]}


def write(folder, tasks, *, images=("a.png",)):
    for number, name in enumerate(images):
        write_picture(folder / "images" / name, size=(100, 200), seed=number)
    (folder / "project-1-at-2026.json").write_text(json.dumps(tasks))
    return folder / "images"


def test_per_cent_are_pixels(tmp_path):
    folder = write(tmp_path, [task([point("Wrist", 25, 50), point("elbow", 10.5, 12)])])
    assert detect_format(folder) == "label_studio"
    (sample,) = read_samples(folder, ARM)
    assert sample.keypoints[0].tolist() == [[0, 0, 0], [21, 12, 2], [50, 50, 2]]
    assert sample.boxes[0].tolist() == [21, 12, 29, 38]
    assert sample.size == (100, 200)


def test_whose_point_it_is(tmp_path):
    """By parentID, by relation (either way), and by the smallest rectangle that holds it."""
    both = [rectangle(0, 0, 60, 100, "big"), rectangle(10, 10, 20, 50, "small")]
    tasks = [
        task([*both, point("wrist", 15, 20, parentID="big"), point("wrist", 50, 50, parentID="small")]),
        task(
            [
                *both,
                point("wrist", 15, 20, "p1"),
                point("wrist", 16, 20, "p2"),
                {"type": "relation", "from_id": "p1", "to_id": "big", "direction": "right"},
                {"type": "relation", "from_id": "small", "to_id": "p2", "direction": "right"},
            ],
            "b.png",
            2,
        ),
        task([*both, point("wrist", 15, 20), point("wrist", 50, 50), point("elbow", 61, 50)], "c.png", 3),
    ]
    folder = write(tmp_path, tasks, images=("a.png", "b.png", "c.png"))
    parent, relation, inside = read_samples(folder, ARM, pose="multi")
    assert parent.keypoints[:, 2, 0].tolist() == [30, 100]
    assert relation.keypoints[:, 2, 0].tolist() == [30, 32]
    assert inside.keypoints[:, 2, 0].tolist() == [100, 30]
    assert inside.keypoints[0, 1, 0] == 122
    assert parent.boxes.tolist() == [[0, 0, 120, 100], [20, 10, 40, 50]]


def relation(one, other):
    return {"type": "relation", "from_id": one, "to_id": other, "direction": "right"}


@pytest.mark.parametrize("backwards", [False, True])
def test_a_point_with_several_relations(tmp_path, backwards):
    """Of the regions that a point is related to, its person is the one that is a rectangle."""
    relations = [relation("nose", "big"), relation("nose", "eye"), relation("other", "nose")]
    results = [
        rectangle(0, 0, 60, 100, "big"),
        rectangle(40, 0, 25, 100, "small"),
        point("wrist", 50, 40, "nose"),
        point("elbow", 52, 35, "eye"),
        point("shoulder", 54, 35, "other"),
        *(relations[::-1] if backwards else relations),
    ]
    (sample,) = read_samples(write(tmp_path, [task(results)]), ARM, pose="multi")
    assert sample.keypoints[:, :, 2].tolist() == [[0, 0, 2], [2, 2, 0]]


def test_points_of_another_object_are_not_the_persons(tmp_path):
    dog = rectangle(80, 10, 20, 80, label="dog")
    tasks = [
        task([rectangle(10, 10, 50, 80), dog, point("wrist", 25, 40), point("elbow", 90, 40), point("wrist", 79, 40)]),
        task([dog, point("wrist", 90, 40)], "b.png", 2),
        task([rectangle(10, 10, 50, 80), rectangle(80, 10, 20, 80, "d", label="dog"),
              point("wrist", 25, 40, parentID="d")], "c.png", 3),
        task([rectangle(10, 10, 50, 80), rectangle(20, 30, 10, 10, label="dog"), point("wrist", 25, 40)], "d.png", 4),
    ]  # fmt: skip
    folder = write(tmp_path, tasks, images=("a.png", "b.png", "c.png", "d.png"))
    samples, problems = scan_samples(folder, ARM, pose="multi")
    assert [sample.keypoints[..., 2].tolist() for sample in samples] == [[[0, 0, 2]], [], [[0, 0, 0]], [[0, 0, 2]]]
    foreign = [problem.message for problem in problems if problem.code == "other_object"]
    assert foreign == [f"{n} points belong to boxes of another label (dog) and are left out, e.g. {name}"
                       for n, name in ((2, "elbow"), (1, "wrist"), (1, "wrist"))]  # fmt: skip
    assert not errors_of(problems)


def test_a_point_between_the_person_and_another_object_is_nobodys(tmp_path):
    results = [rectangle(0, 0, 20, 50), rectangle(80, 0, 20, 50, label="dog"), point("wrist", 50, 90)]
    _, problems = scan_samples(write(tmp_path, [task(results)]), ARM, pose="multi")
    assert [problem.code for problem in errors_of(problems)] == ["ungrouped_point"]
    _, problems = scan_samples(write(tmp_path, [task([results[0], results[2]])]), ARM, pose="multi")
    assert not errors_of(problems)


def test_the_size_of_the_image_is_the_files(tmp_path):
    folder = write(tmp_path, [task([point("wrist", 25, 50), point("elbow", 30, 60)])])
    write_picture(folder / "a.png", size=(50, 100))
    with pytest.raises(UserError, match=r"a.png: the image is 100 x 50 pixels, its labels say 200 x 100$"):
        read_samples(folder, ARM)


def test_turned_rectangles_other_labels_and_hidden_points(tmp_path):
    results = [
        rectangle(50, 50, 10, 10, label="person", rotation=90),
        rectangle(0, 0, 5, 5, label="ball"),
        point("wrist", 48, 55, "w"),
        region("choices", {"choices": ["Occluded"]}, "w"),
    ]
    (sample,) = read_samples(write(tmp_path, [task(results)]), ARM, pose="multi")
    assert sample.boxes[0] == pytest.approx([90, 50, 10, 20])
    assert sample.keypoints[0, 2].tolist() == [96, 55, 1]


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/3/1a2b3c4d-a%20b.png",
        "/data/local-files/?d=set/one/a%20b.png",
        "http://localhost:8080/data/upload/a%20b.png?x=1",
        "s3://bucket/dir/a%20b.png",
        "C:\\pictures\\a b.png",
        "images/a b.png",
    ],
)
def test_addresses(tmp_path, address):
    folder = write(tmp_path, [task([point("wrist", 1, 1)], address)], images=("a b.png",))
    assert [sample.image.name for sample in read_samples(folder, ARM)] == ["a b.png"]


def test_the_name_of_an_upload_may_keep_its_prefix(tmp_path):
    folder = write(tmp_path, [task([point("wrist", 1, 1)])], images=("1a2b3c4d-a.png", "a.png"))
    samples, problems = scan_samples(folder, ARM)
    assert [sample.image.name for sample in samples] == ["1a2b3c4d-a.png"]
    assert [problem.code for problem in problems] == ["missing_label", "missing_joint", "empty_box"]


def test_cancelled_and_second_annotations(tmp_path):
    both = task([point("wrist", 1, 1)], was_cancelled=True)
    both["annotations"] += [{"result": [point("wrist", 50, 1)]}, {"result": [point("wrist", 70, 1)]}]
    nobody = task([], "b.png", 2)
    skipped = task([point("wrist", 1, 1)], "c.png", 3, was_cancelled=True)
    folder = write(tmp_path, [both, nobody, skipped], images=("a.png", "b.png", "c.png"))
    samples, problems = scan_samples(folder, ARM, pose="multi")
    assert [sample.image.name for sample in samples] == ["a.png", "b.png"]
    assert samples[0].keypoints[0, 2, 0] == 100
    assert samples[1].instances == 0
    codes = [problem.code for problem in problems]
    assert codes == ["missing_label", "several_annotations", "missing_joint", "empty_box"]
    assert problems[0].message == "1 of 3 listed images have no annotation and are left out, e.g. c.png"


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([{"image": "a.png", "kp": []}], "JSON-MIN"),
        ({"a": 1}, "wanted Label Studio's list of tasks"),
        ([task([point("wrist", 900, 1)])], "per cent of the image"),
        ([task([point("wrist", None, 1)])], "wanted numbers"),
        ([task([point("wrist", 1, 1, image_rotation=90)])], "turned in Label Studio"),
        ([task("no")], "no list of regions"),
        ([{"annotations": [{"result": []}], "data": {}}], "names no image"),
        ([task([rectangle(0, 0, 9, 9)])], "no key point"),
        ([task([point("wrist", 1, 1), point("wrist", 2, 2)])], "twice in one person"),
        ([task([point("wrist", 10**400, 1)])], "wanted numbers"),
        ([task([point("wrist", True, {})])], "wanted numbers"),
        ([task([rectangle(0, 0, 9, 9, rotation="abc"), point("wrist", 1, 1)])], "rotation of a rectangle is 'abc'"),
        ([task([rectangle(0, 0, 9, 9, rotation=10**400), point("wrist", 1, 1)])], "rotation of a rectangle is 100"),
        ([task([rectangle(0, 0, 9, 9, rotation=float("inf")), point("wrist", 1, 1)])], "rectangle is inf; wanted deg"),
        ([task([point("wrist", 1, 1, original_width=10**400)])], "the size of the image is 100"),
        ([task([point("wrist", 1, 1, ["a"])])], r"id of a region is \['a'\]; wanted a text"),
        ([task([rectangle(0, 0, 9, 9, {"x": 1}), point("wrist", 1, 1)])], r"id of a region is \{'x': 1\}; wanted"),
        ([task([point("wrist", 1, 1, parentID=[1])])], r"parentID of a region is \[1\]; wanted a text"),
        ([task([point("wrist", 1, 1), relation(["a"], "b")])], r"from_id of a region is \['a'\]; wanted a text"),
        ([task([point("wrist", 1, 1), relation("a", {})])], r"to_id of a region is \{\}; wanted a text"),
        ([task([point("wrist", 1, 1), region("choices", {"choices": ["hidden"]}, ["a"])])], r"id of a region is \['a"),
        ([task([point("wrist", 1, 1)], "http://[bad/a.png")], r"address of the image, 'http://\[bad/a.png', is none"),
        ([task([point("wrist", 1, 1)], "/data/" + "x" * 5000 + ".png")], "listed images are not in"),
        ([task([point("wrist", 1, 1)], "/data/a\0.png")], "listed images are not in"),
        ([task([rectangle(0, 0, 9, 9, label="x"), rectangle(0, 0, 9, 9, label="y"), point("wrist", 1, 1)])], "x, y"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, tasks, message):
    folder = write(tmp_path, tasks)
    with pytest.raises(UserError, match=message) as caught:
        read_samples(folder, ARM, format="label_studio", pose="multi")
    assert "\n" not in str(caught.value)


def test_a_point_far_from_every_box(tmp_path):
    results = [rectangle(0, 0, 9, 9), rectangle(20, 0, 9, 9), point("wrist", 90, 90), point("elbow", 1, 1)]
    _, problems = scan_samples(write(tmp_path, [task(results)]), ARM, pose="multi")
    assert [problem.code for problem in errors_of(problems)] == ["ungrouped_point"]


def test_a_number_of_too_many_digits(tmp_path):
    folder = write(tmp_path, [])
    next(tmp_path.glob("*.json")).write_text('[{"annotations": [], "id": ' + "1" * 5000 + "}]")
    with pytest.raises(UserError, match="cannot be read: Exceeds the limit"):
        read_samples(folder, ARM, format="label_studio")


def test_one_point_and_no_box(tmp_path):
    """A person without extent is told of, and is no crop."""
    tasks = [task([point("wrist", 50, 50)]), task([point("wrist", 50, 50), point("elbow", 60, 60)], "b.png", 2)]
    folder = write(tmp_path, tasks, images=("a.png", "b.png"))
    samples, problems = scan_samples(folder, ARM)
    assert samples[0].boxes[0].tolist() == [100, 50, 0, 0]
    (empty,) = (problem for problem in problems if problem.code == "empty_box")
    assert (empty.severity, empty.where) == ("warning", samples[0].source)
    samples, problems = scan_samples(folder, ARM, instance="crop")
    assert [sample.image.name for sample in samples] == ["b.png"]
    (left_out,) = (problem for problem in problems if problem.code == "left_out")
    assert left_out.message == "1 people are left out (dataset.instance is crop): their box has no extent"


def test_a_coco_file_is_not_taken_for_it(tmp_path):
    sample = random_sample(ARM, write_picture(tmp_path / "images" / "a.png"))
    write_coco(tmp_path / "labels.json", coco_document([sample], ARM.keypoints))
    assert detect_format(tmp_path / "images") == "coco"

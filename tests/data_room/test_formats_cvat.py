"""CVAT's XML for images: skeletons, single points, boxes, groups; and files that nobody should parse."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from label_files import coco_document, random_sample, write_coco, write_picture

from stm32pose.data.problems import errors_of
from stm32pose.data.readers import detect_format, read_samples, scan_samples
from stm32pose.errors import UserError
from stm32pose.skeletons.skeleton import load_skeleton

BASE = load_skeleton("person13")
ARM = replace(BASE, name="arm", keypoints=("shoulder", "elbow", "wrist"), derive={})


def write_xml(folder, body, *, images=("a.png",), head=""):
    for number, name in enumerate(images):
        write_picture(folder / "images" / name, size=(40, 60), seed=number)
    folder.joinpath("annotations.xml").write_text(
        f'<?xml version="1.0" encoding="utf-8"?>{head}\n<annotations><version>1.1</version>'
        f"<meta><task><name>t</name></task></meta>{body}</annotations>"
    )
    return folder / "images"


def image(inner, name="a.png", number=0):
    return f'<image id="{number}" name="{name}" width="60" height="40">{inner}</image>'


def skeleton(points, label="person", group=""):
    inner = "".join(
        f'<points label="{name}" source="manual" outside="{out}" occluded="{hidden}" points="{x},{y}"></points>'
        for name, x, y, out, hidden in points
    )
    return f'<skeleton label="{label}" source="manual" z_order="0" {group}>{inner}</skeleton>'


ONE = [("wrist", 30.5, 20.25, 0, 0), ("elbow", 10, 12, 0, 1), ("shoulder", 1, 2, 1, 0)]


def test_skeletons_go_by_name_and_say_what_is_hidden(tmp_path):
    folder = write_xml(tmp_path, image(skeleton(ONE)))
    assert detect_format(folder) == "cvat"
    (sample,) = read_samples(folder, ARM)
    assert sample.keypoints[0].tolist() == [[0, 0, 0], [10, 12, 1], [30.5, 20.25, 2]]
    assert sample.boxes[0].tolist() == [10, 12, 20.5, 8.25]
    assert sample.size == (40, 60)


def test_boxes_find_their_skeletons(tmp_path):
    """By group whatever the label, else by the points they hold; a box of nobody is a person without keypoints."""
    left = [("wrist", 5, 5, 0, 0), ("elbow", 8, 8, 0, 0), ("shoulder", 3, 9, 0, 0)]
    right = [("wrist", 45, 5, 0, 0), ("elbow", 48, 8, 0, 0), ("shoulder", 43, 9, 0, 0)]
    body = (
        skeleton(left)
        + skeleton(right, group='group_id="7"')
        + '<box label="person" occluded="0" xtl="0" ytl="0" xbr="12" ybr="30"/>'
        + '<box label="outline" occluded="0" xtl="40" ytl="1" xbr="55" ybr="39" group_id="7"/>'
        + '<box label="person" occluded="0" xtl="20" ytl="0" xbr="30" ybr="30"/>'
        + '<box label="ball" occluded="0" xtl="2" ytl="2" xbr="9" ybr="9.5"/>'
        + '<polygon label="person" points="1,1;2,2;3,1"/>'
    )
    (sample,) = read_samples(write_xml(tmp_path, image(body)), ARM, pose="multi")
    assert sample.boxes.tolist() == [[0, 0, 12, 30], [40, 1, 15, 38], [20, 0, 10, 30]]
    assert [(points[:, 2] > 0).sum() for points in sample.keypoints] == [3, 3, 0]


@pytest.mark.parametrize(
    ("corners", "rotation", "hull"),
    [
        ((10, 10, 40, 20), ' rotation="90.0"', (20, 0, 10, 30)),
        ((10, 10, 40, 20), ' rotation="270"', (20, 0, 10, 30)),
        ((10, 10, 40, 20), ' rotation="180"', (10, 10, 30, 10)),
        ((10, 10, 20, 20), ' rotation="45"', (15 - 50**0.5, 15 - 50**0.5, 200**0.5, 200**0.5)),
        ((40, 20, 10, 10), "", (10, 10, 30, 10)),
        ((40, 10, 10, 20), "", (10, 10, 30, 10)),
    ],
)
def test_turned_boxes_and_corners_in_any_order(tmp_path, corners, rotation, hull):
    xtl, ytl, xbr, ybr = corners
    box = f'<box label="person" xtl="{xtl}" ytl="{ytl}" xbr="{xbr}" ybr="{ybr}"{rotation}/>'
    body = image(f'{box}<points label="wrist" points="25,15"/>')
    (sample,) = read_samples(write_xml(tmp_path, body), ARM)
    assert sample.boxes[0] == pytest.approx(hull, abs=1e-4)


def test_points_of_another_object_are_not_the_persons(tmp_path):
    boxes = (
        '<box label="person" xtl="0" ytl="0" xbr="20" ybr="40"/>'
        '<box label="dog" xtl="40" ytl="0" xbr="60" ybr="40" group_id="3"/>'
    )
    points = (
        '<points label="wrist" points="5,5"/><points label="elbow" points="50,5"/>'
        '<points label="shoulder" points="1,1" group_id="3"/>'
    )
    (sample,), problems = scan_samples(write_xml(tmp_path, image(boxes + points)), ARM)
    assert sample.keypoints[0].tolist() == [[0, 0, 0], [0, 0, 0], [5, 5, 2]]
    assert [problem.message for problem in problems if problem.code == "other_object"] == [
        "2 points belong to boxes of another label (dog) and are left out, e.g. shoulder"
    ]


def test_images_without_any_shape_are_left_out(tmp_path):
    """Nobody may have looked at them; one with any shape was looked at, and shows nobody."""
    ball = '<polygon label="ball" points="1,1;2,2;3,1"/>'
    body = image(skeleton(ONE)) + image("", "b.png", 1) + image(ball, "c.png", 2) + image("<tag label='x'/>", "d.png")
    folder = write_xml(tmp_path, body, images=("a.png", "b.png", "c.png", "d.png"))
    samples, problems = scan_samples(folder, ARM, pose="multi")
    assert [(sample.image.name, sample.instances) for sample in samples] == [("a.png", 1), ("c.png", 0)]
    assert [(problem.code, problem.severity, problem.message) for problem in problems] == [
        ("missing_label", "warning", "2 of 4 listed images hold no shape and are left out, e.g. b.png")
    ]


def test_one_point_and_no_box(tmp_path):
    body = image(skeleton([("wrist", 9, 9, 0, 0)]) + '<box label="person" xtl="9" ytl="9" xbr="9" ybr="12"/>')
    (sample,), problems = scan_samples(write_xml(tmp_path, body), ARM, pose="multi")
    assert sample.boxes[0].tolist() == [9, 9, 0, 0]
    assert "empty_box" in [problem.code for problem in problems]


def test_the_size_of_the_image_is_the_files(tmp_path):
    folder = write_xml(tmp_path, image(skeleton(ONE)))
    write_picture(folder / "a.png", size=(60, 40))
    with pytest.raises(UserError, match=r"a.png: the image is 40 x 60 pixels, its labels say 60 x 40$"):
        read_samples(folder, ARM)


def test_a_name_that_no_file_can_have(tmp_path):
    body = image(skeleton(ONE)) + image(skeleton(ONE), f"sub/{'x' * 5000}.png", 1)
    samples, problems = scan_samples(write_xml(tmp_path, body), ARM)
    assert [sample.image.name for sample in samples] == ["a.png"]
    assert [problem.code for problem in problems] == ["missing_image"]


def test_single_points_are_put_together(tmp_path):
    def point(name, x, y, group=""):
        return f'<points label="{name}" occluded="0" points="{x},{y}" {group}/>'

    left, right = 'xtl="0" ytl="0" xbr="20" ybr="40"', 'xtl="25" ytl="0" xbr="60" ybr="40"'
    boxes = f'<box label="person" {left}/><box label="person" {right}/>'
    grouped = point("wrist", 50, 3, 'group_id="2"') + point("elbow", 50, 5, 'group_id="2"')
    body = (
        image(boxes + point("wrist", 30, 3) + point("wrist", 10, 3) + point("elbow", 20.5, 5), "a.png")
        + image(point("wrist", 30, 3) + point("elbow", 10, 3), "b.png", 1)
        + image(point("wrist", 1, 3, 'group_id="1"') + grouped, "c.png", 2)
    )
    images = ("a.png", "b.png", "c.png")
    two, one, groups = read_samples(write_xml(tmp_path, body, images=images), ARM, pose="multi")
    assert two.keypoints[:, 2, 0].tolist() == [10, 30]
    assert two.keypoints[0, 1].tolist() == [20.5, 5, 2]  # a little beside the first box
    assert one.instances == 1
    assert one.keypoints[0, 1:, 0].tolist() == [10, 30]
    assert groups.keypoints[..., 0].tolist() == [[0, 0, 1], [0, 50, 50]]


def test_points_of_nobody_and_points_there_twice_are_errors(tmp_path):
    boxes = (
        '<box label="person" xtl="0" ytl="0" xbr="5" ybr="5"/><box label="person" xtl="9" ytl="0" xbr="14" ybr="5"/>'
    )
    far = image(f'{boxes}<points label="wrist" points="50,39"/><points label="elbow" points="1,1"/>')
    _, problems = scan_samples(write_xml(tmp_path, far), ARM, pose="multi")
    assert [problem.code for problem in errors_of(problems)] == ["ungrouped_point"]
    twice = image('<points label="wrist" points="50,39"/><points label="wrist" points="1,1"/>')
    _, problems = scan_samples(write_xml(tmp_path, twice), ARM, pose="multi")
    assert [problem.code for problem in errors_of(problems)] == ["duplicate_joint"]


def test_several_points_in_one_shape_go_by_order(tmp_path):
    folder = write_xml(tmp_path, image('<points label="person" occluded="0" points="1,2;3,4;5,6"/>'))
    (sample,), problems = scan_samples(folder, ARM)
    assert sample.keypoints[0, :, :2].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert "joints_by_order" in [problem.code for problem in problems]


def test_the_category_is_the_skeletons(tmp_path):
    body = image(skeleton([("wrist", 1, 1, 0, 0)], label="dog") + skeleton(ONE))
    (sample,) = read_samples(write_xml(tmp_path, body), ARM)
    assert sample.keypoints[0, 2, 0] == 30.5
    body = image(skeleton([("wrist", 1, 1, 0, 0)], label="dog") + skeleton(ONE, label="cat"))
    with pytest.raises(UserError, match=r"no single label for the skeleton arm \(category 'person'\): dog, cat"):
        read_samples(write_xml(tmp_path, body), ARM)


LAUGHS = "<!DOCTYPE lolz [" + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha" * 100}">' for n in range(10))


@pytest.mark.parametrize(
    "head",
    [
        LAUGHS + "]>",
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd">',
    ],
    ids=["billion laughs", "external entity", "external DTD"],
)
def test_a_document_type_is_refused(tmp_path, head):
    entity = "&l9;" if "lolz" in head else "&x;" if "ENTITY x" in head else ""
    folder = write_xml(tmp_path, image(skeleton(ONE), name=f"a.png{entity}"), head=head)
    start = time.perf_counter()
    samples, problems = scan_samples(folder, ARM, format="cvat")
    assert time.perf_counter() - start < 1
    assert not samples
    assert [(problem.code, problem.message) for problem in problems] == [
        ("bad_xml", "holds a DOCTYPE, which no export of CVAT has; not read")
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<track id='0' label='person'></track>", "export for video"),
        (image("<skeleton label='person'><points label='wrist' points='1'/></skeleton>"), "wanted x,y"),
        (image("<points label='wrist' points='1,nan'/>"), "nan, infinite"),
        (image("<points label='wrist' points='1,b'/>"), "'b' is not a number"),
        (image("<points label='wrist'/>"), "no 'points'"),
        (image("<points label='wrist' points='1,1'>"), "not an XML file"),
        (image(""), "no skeleton, no points and no box"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, body, message):
    folder = write_xml(tmp_path, body)
    with pytest.raises(UserError, match=message):
        read_samples(folder, ARM, format="cvat")


def test_names_that_lead_out_and_images_there_twice(tmp_path):
    body = image(skeleton(ONE)) + image(skeleton(ONE), "../x.png", 1) + image(skeleton(ONE), "sub/a.png", 2)
    samples, problems = scan_samples(write_xml(tmp_path, body), ARM)
    assert len(samples) == 1
    assert {problem.code for problem in errors_of(problems)} == {"outside_folder", "duplicate_image"}
    (tmp_path / "annotations.xml").unlink()
    with pytest.raises(UserError, match=r"no annotations.xml .*dataset.training_annotations"):
        read_samples(tmp_path / "images", ARM, format="cvat")


def test_the_same_people_as_in_cvats_coco_export(tmp_path):
    names = BASE.keypoints
    samples = [
        random_sample(BASE, write_picture(tmp_path / "images" / f"{n}.png", seed=n), people=2, seed=n) for n in range(3)
    ]
    body = ""
    for number, sample in enumerate(samples):
        inner = ""
        for points, box in zip(sample.keypoints, sample.boxes, strict=True):
            rows = [
                (name, repr(float(x)), repr(float(y)), int(v == 0), int(v == 1))
                for name, (x, y, v) in zip(names, points, strict=True)
            ]
            group = f'group_id="{len(inner)}"' if inner else 'group_id="1"'
            left, top, width, height = map(float, box)
            inner += skeleton(rows, group=group)
            inner += f'<box label="b" {group} xtl="{left}" ytl="{top}" xbr="{left + width}" ybr="{top + height}"/>'
        body += image(inner, sample.image.name, number)
    folder = write_xml(tmp_path, body, images=())
    path = write_coco(tmp_path / "person_keypoints.json", coco_document(samples, names))
    ours = read_samples(folder, BASE, pose="multi", format="cvat")
    theirs = read_samples(folder, BASE, pose="multi", format="coco", annotations=path)
    assert len(ours) == 3
    for one, other in zip(ours, theirs, strict=True):
        assert np.allclose(one.keypoints, other.keypoints, atol=1e-4)
        assert np.allclose(one.boxes, other.boxes, atol=1e-4)

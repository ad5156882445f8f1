"""MPII: the published .mat, HRNet's lists with their head boxes, COCO-style files of the same images."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_files import write_picture
from scipy.io import savemat

from stm32pose.data.mpii import read_mpii
from stm32pose.data.problems import errors_of
from stm32pose.data.readers import crops, detect_format, parts_of, read_samples, scan_samples
from stm32pose.errors import UserError
from stm32pose.skeletons.skeleton import load_skeleton

MPII = load_skeleton("mpii16")
LSP = load_skeleton("lsp14")


def structs(items, fields):
    """A MATLAB struct array [1, n]; a field that an item has not is an empty matrix, as MATLAB has it."""
    array = np.empty((1, len(items)), dtype=[(field, object) for field in fields])
    for index, item in enumerate(items):
        for field in fields:
            array[0, index][field] = item.get(field, np.zeros((0, 0)))
    return array


def person(points, *, head=None, scale=None, centre=(50, 60)):
    """One annorect; points: {id: (x, y, is_visible or None)}."""
    record = {}
    if points is not None:
        rows = [
            {"x": x, "y": y, "id": joint} | ({} if seen is None else {"is_visible": seen})
            for joint, (x, y, seen) in points.items()
        ]
        record["annopoints"] = structs([{"point": structs(rows, ["x", "y", "id", "is_visible"])}], ["point"])
    if head:
        record |= dict(zip(("x1", "y1", "x2", "y2"), map(float, head), strict=True))
    if scale:
        record |= {"scale": float(scale), "objpos": structs([{"x": centre[0], "y": centre[1]}], ["x", "y"])}
    return record


def release(path, images, *, compressed=False):
    """images: (name, [annorects], img_train)."""
    fields = ["x1", "y1", "x2", "y2", "annopoints", "scale", "objpos"]
    annolist = structs(
        [
            {"image": structs([{"name": name}], ["name"]), "annorect": structs(people, fields)}
            for name, people, _ in images
        ],
        ["image", "annorect"],
    )
    content = {"annolist": annolist, "img_train": np.array([[train for _, _, train in images]], np.uint8)}
    savemat(path, {"RELEASE": structs([content], list(content))}, do_compression=compressed)
    return path


@pytest.fixture
def folder(tmp_path):
    for number in range(4):
        write_picture(tmp_path / "images" / f"{number}.jpg", size=(200, 300), seed=number)
    points = {joint: (10.0 + joint, 20.0 + 2 * joint, "1") for joint in range(16)}
    points[8] = (18.0, 36.0, None)  # upper neck and head top have no word on visibility
    points[9] = (19.0, 38.0, None)
    points[3] = (13.0, 26.0, "0")
    del points[5]
    alone = person(points, head=(10, 20, 40, 60), scale=0.5)
    crowd = [person({0: (5, 6, 1), 9: (7, 8, 0)}, head=(1, 1, 4, 5), scale=1), person(None, head=(100, 100, 130, 140))]
    path = tmp_path / "mpii_human_pose_v1_u12_1.mat"
    release(path, [("0.jpg", [alone], 1), ("1.jpg", crowd, 1), ("2.jpg", [], 1), ("3.jpg", [alone], 0)])
    return tmp_path


def test_the_mat_file(folder):
    samples, problems = read_mpii(folder, MPII)
    assert [sample.image.name for sample in samples] == ["0.jpg", "1.jpg"]  # 3 is a test image, 2 has nobody
    assert [problem.code for problem in problems] == ["missing_label"]
    alone, crowd = samples
    expected = np.array([[10.0 + joint, 20.0 + 2 * joint, 2] for joint in range(16)])
    expected[:, :2] -= 0.5  # MPII counts from 1: its 1 is the centre of the first pixel, 0.5
    expected[3, 2] = 1
    expected[5] = 0
    assert np.allclose(alone.keypoints[0], expected)
    assert alone.size == (200, 300)
    # 0.6 of the diagonal of 30 x 40.
    assert alone.head_sizes.tolist() == [pytest.approx(30)]
    # HRNet's square: 200 scale wide, the centre 15 scale lower.
    assert alone.boxes[0].tolist() == pytest.approx([49.5 - 50, 59.5 + 7.5 - 50, 100, 100])
    left, top, right, bottom = 10.0, 20.0, 25.0, 50.0
    assert alone.areas[0] == pytest.approx(0.53 * (right - left) * (bottom - top))
    assert crowd.instances == 2
    assert crowd.head_sizes.tolist() == [pytest.approx(3), pytest.approx(30)]
    assert (crowd.keypoints[1] == 0).all()  # there, but unlabelled
    assert crowd.keypoints[0, 0].tolist() == [4.5, 5.5, 2]
    assert crowd.keypoints[0, 9].tolist() == [6.5, 7.5, 1]


def test_several_people_are_several_though_one_is_not_labelled(folder):
    assert [sample.image.name for sample in read_samples(folder, MPII)] == ["0.jpg"]
    assert len(read_samples(folder, MPII, pose="multi")) == 2


def test_head_sizes_go_into_crops(folder):
    sample = read_samples(folder, MPII, pose="multi")[1]
    assert [crop.head_sizes.tolist() for crop in crops(sample, 0.25)] == [[pytest.approx(3)]]


def test_other_skeletons_go_by_name(folder):
    samples, _ = read_mpii(folder, LSP)
    ours = samples[0].keypoints[0]
    assert ours[LSP.keypoints.index("left_wrist")].tolist() == [24.5, 49.5, 2]
    assert ours[LSP.keypoints.index("head_top")].tolist() == [18.5, 37.5, 2]


def hrnet(folder, count=3, vis=None):
    """A list of HRNet's kind, with gt_valid.mat; returns the joints [N, 16, 2]."""
    rng = np.random.default_rng(0)
    joints = rng.uniform(1, 180, (count, 16, 2))
    records = [
        {
            "image": f"{number % 2}.jpg",
            "joints": joints[number].tolist(),
            "joints_vis": [1] * 16 if vis is None else vis,
            "center": [100.0, 90.0],
            "scale": 0.8,
        }
        for number in range(count)
    ]
    (folder / "annot").mkdir(exist_ok=True)
    (folder / "annot" / "valid.json").write_text(json.dumps(records))
    (folder / "annot" / "train.json").write_text(json.dumps(records[:1]))
    heads = rng.uniform(1, 100, (2, 2, count))
    savemat(folder / "annot" / "gt_valid.mat", {"headboxes_src": heads, "pos_gt_src": joints.transpose(1, 2, 0)})
    return joints, heads


def test_hrnets_lists(folder):
    joints, heads = hrnet(folder)
    assert parts_of(folder) == parts_of(folder / "images") == ("train", "val")
    assert detect_format(folder) == detect_format(folder / "images") == "mpii"
    samples = read_samples(folder, MPII, pose="multi", part="val")
    assert [sample.instances for sample in samples] == [2, 1]
    assert np.allclose(samples[0].keypoints[..., :2], joints[[0, 2]] - 0.5, atol=1e-4)
    assert (samples[0].keypoints[..., 2] == 2).all()
    sizes = 0.6 * np.linalg.norm(heads[1] - heads[0], axis=0)
    assert np.allclose(np.concatenate([sample.head_sizes for sample in samples]), sizes[[0, 2, 1]])
    train = read_samples(folder, MPII, pose="multi", part="train")
    assert [sample.head_sizes for sample in train] == [None]  # no gt_train.mat
    with pytest.raises(UserError, match="no labels of the set 'test'; it has: train, val"):
        read_samples(folder, MPII, part="test")


def test_head_boxes_of_another_list(folder):
    hrnet(folder)
    savemat(folder / "annot" / "gt_valid.mat", {"headboxes_src": np.ones((2, 2, 7))})
    samples, problems = scan_samples(folder, MPII, pose="multi", part="val")
    assert samples[0].head_sizes is None
    assert [problem.message for problem in problems if problem.code == "wrong_count"] == [
        "7 head boxes for 3 people of valid.json; PCKh falls back on the joints"
    ]


def test_unlabelled_joints_of_a_list_are_zeros(folder):
    hrnet(folder, vis=[0] + [1] * 15)
    sample = read_samples(folder, MPII, pose="multi", part="val")[1]
    assert sample.keypoints[0, 0].tolist() == [0, 0, 0]


def test_mmposes_sample(shared):
    place = shared / "data" / "mmpose_samples" / "mpii"
    raw = json.loads((place / "test_mpii.json").read_text())
    samples = read_samples(place, MPII, annotations=place / "test_mpii.json")
    assert len(samples) == 5
    by_name = {sample.image.name: sample for sample in samples}
    for record in raw:
        sample, seen = by_name[record["image"]], np.array(record["joints_vis"]) > 0
        assert np.allclose(sample.keypoints[0, seen, :2] + 0.5, np.array(record["joints"])[seen], atol=1e-3)
        assert (sample.keypoints[0, ~seen] == 0).all()
        # Everybody stands inside the square that centre and scale span.
        left, top, width, height = sample.boxes[0]
        inside = sample.keypoints[0, seen, :2]
        assert (inside >= (left, top)).all()
        assert (inside <= (left + width, top + height)).all()
    trb, problems = scan_samples(place, MPII, format="mpii", annotations=place / "test_mpii_trb.json")
    assert errors_of(problems) == []
    for sample in trb:  # the same people, in a file that does not count from 1 as the lists do
        ours = by_name[sample.image.name].keypoints[0]
        both = (ours[:, 2] > 0) & (sample.keypoints[0, :, 2] > 0)
        both[[6, 7]] = False  # pelvis and thorax are derived there
        assert both.sum() >= 12
        assert np.abs(sample.keypoints[0, both, :2] - 0.5 - ours[both, :2]).max() < 1e-3


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"joints": [[1, 2]] * 15}, "wrong_count", r"\(15, 2\)"),
        ({"joints": "abc"}, "not_a_number", "no numbers"),
        ({"joints_vis": [3] * 16}, "bad_flag", "holds 3; allowed: 0, 1"),
        ({"joints": [[1e9, 2]] * 16}, "not_finite", "absurdly large"),
        ({"image": 5}, "bad_json", "has no image"),
        ({"scale": None}, "not_a_number", "no numbers"),
    ],
)
def test_faulty_people_are_named_and_the_others_kept(folder, change, code, message):
    hrnet(folder)
    records = json.loads((folder / "annot" / "valid.json").read_text())
    records[1] |= change
    (folder / "annot" / "valid.json").write_text(json.dumps(records))
    samples, problems = scan_samples(folder, MPII, format="mpii", pose="multi", part="val")
    assert [sample.instances for sample in samples] == [2]
    (fault,) = errors_of(problems)
    assert fault.code == code
    assert "valid.json: person 1" in fault.where
    assert re.search(message, fault.message)


def test_files_that_are_something_else(folder):
    for name, content in (
        ("a.mat", b"nothing of the kind"),
        ("b.mat", b""),
        ("c.mat", b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"x" * 600),
        ("d.json", b'[{"joints": '),
        ("e.json", b"7"),
    ):
        path = folder / name
        path.write_bytes(content)
        samples, problems = read_mpii(folder / "images", MPII, annotations=path)
        assert samples == []
        assert problems[0].severity == "error"
        assert str(path) in problems[0].where
    savemat(folder / "f.mat", {"other": 1})
    assert "no variable RELEASE" in read_mpii(folder / "images", MPII, annotations=folder / "f.mat")[1][0].message
    savemat(folder / "g.mat", {"RELEASE": 1})
    assert "no annolist" in read_mpii(folder / "images", MPII, annotations=folder / "g.mat")[1][0].message


def test_a_point_that_is_none(folder):
    path = folder / "x.mat"
    release(
        path, [("0.jpg", [person({3: (1, 2, 1), 20: (1, 2, 1)}, scale=1)], 1), ("1.jpg", [person({1: (9, 9, 1)})], 1)]
    )
    samples, problems = read_mpii(folder / "images", MPII, annotations=path)
    assert [sample.image.name for sample in samples] == ["1.jpg"]
    assert samples[0].head_sizes is None
    (fault,) = errors_of(problems)
    assert fault.where.endswith("annolist(1).annorect(1)")
    assert "id 20; allowed: 0 to 15" in fault.message


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 5000), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_mat_is_a_fault_and_no_trace(folder, position, byte, cut):
    source = folder / "mpii_human_pose_v1_u12_1.mat"
    content = bytearray(source.read_bytes())
    position = min(position, len(content) - 1)
    if cut:
        content = content[:position]
    else:
        content[position] = byte
    path = folder / "damaged.mat"
    path.write_bytes(bytes(content))
    read_mpii(folder / "images", MPII, annotations=path)  # whatever it makes of it, it does not raise


def test_no_labels(tmp_path):
    write_picture(tmp_path / "images" / "0.jpg")
    with pytest.raises(
        UserError, match=r"no labels of MPII .*annot/train.json.*name them in dataset.training_annotations"
    ):
        read_mpii(tmp_path, MPII)
    shutil.rmtree(tmp_path / "images")
    with pytest.raises(UserError, match="no image in"):
        read_mpii(tmp_path, MPII)


def listed(root, records):
    people = [
        {"joints": [[11 + n, 21 + n] for n in range(16)], "joints_vis": [1] * 16, "center": [30, 20], "scale": 0.1}
        | record
        for record in records
    ]
    write_picture(root / "images" / "1.jpg")
    (root / "annot").mkdir()
    (root / "annot" / "train.json").write_text(json.dumps(people))
    return scan_samples(root, MPII, format="mpii", pose="multi")


def test_names_of_two_pictures_on_one_file(tmp_path):
    samples, problems = listed(tmp_path, [{"image": "a/1.jpg"}, {"image": "a\\1.jpg"}, {"image": "b/1.jpg"}])
    assert [sample.instances for sample in samples] == [2]
    (problem,) = errors_of(problems)
    assert problem.code == "duplicate_image"
    assert "'b/1.jpg' and 'a/1.jpg' both lead to" in problem.message


def test_names_too_long_and_numbers_too_large(tmp_path):
    wrong = [
        {"image": "x/" + "y" * 400 + ".jpg"},
        {"image": "1.jpg", "scale": 10**400},
        {"image": "1.jpg", "joints": [[10**400, 1]] * 16},
    ]
    samples, problems = listed(tmp_path, [{"image": "1.jpg"}, *wrong])
    assert [sample.instances for sample in samples] == [1]
    assert [problem.code for problem in errors_of(problems)] == ["not_a_number", "not_a_number"]
    assert [problem.code for problem in problems if problem.severity == "warning"] == ["missing_image"]

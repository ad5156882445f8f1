"""FreiHAND's projection and OneHand10K's layout."""

from __future__ import annotations

import json

import numpy as np
import pytest
from label_files import coco_document, random_sample, write_coco, write_picture

from stm32pose.config.data_sections import Dataset
from stm32pose.data.freihand import read_freihand
from stm32pose.data.problems import errors_of
from stm32pose.data.readers import detect_format, parts_of, read_images, read_samples, scan_samples
from stm32pose.data.splits import make_splits
from stm32pose.errors import UserError
from stm32pose.skeletons.skeleton import load_skeleton

HAND = load_skeleton("hand21")
THEIRS = (("index", "forefinger"), ("middle", "middle_finger"), ("ring", "ring_finger"), ("pinky", "pinky_finger"))


def write_freihand(root, hands=3, versions=2, part="training"):
    """The download's layout; returns the points [hands, 21, 2] that a camera sees, computed one by one."""
    rng = np.random.default_rng(len(part))
    xyz = rng.uniform(-0.1, 0.1, (hands, 21, 3)) + np.array([0, 0, 0.7])
    matrices = [[[400.0 + n, 0, 110], [0, 410.0, 105 + n], [0, 0, 1]] for n in range(hands)]
    for number in range(hands * versions):
        write_picture(root / part / "rgb" / f"{number:08d}.jpg", size=(224, 224), seed=number + 100 * len(part))
    (root / f"{part}_K.json").write_text(json.dumps(matrices))
    (root / f"{part}_xyz.json").write_text(json.dumps(xyz.tolist()))
    seen = np.zeros((hands, 21, 2))
    for hand in range(hands):
        for joint in range(21):
            x, y, z = xyz[hand, joint]
            seen[hand, joint] = (400 + hand) * x / z + 110, 410 * y / z + 105 + hand
    return seen


def test_points_are_where_the_camera_sees_them(tmp_path):
    seen = write_freihand(tmp_path)
    assert detect_format(tmp_path) == "freihand"
    samples, problems = scan_samples(tmp_path, HAND)
    assert [sample.image.stem for sample in samples] == [f"{number:08d}" for number in range(6)]
    for number, sample in enumerate(samples):
        assert np.allclose(sample.keypoints[0, :, :2], seen[number % 3], atol=1e-3)  # other backgrounds, same hand
        assert (sample.keypoints[..., 2] == 2).all()
        low, high = seen[number % 3].min(axis=0), seen[number % 3].max(axis=0)
        assert np.allclose(sample.boxes[0], [*low, *(high - low)], atol=1e-3)
    assert [problem.code for problem in problems] == ["repeated_hand"]


def test_places(tmp_path):
    write_freihand(tmp_path, versions=1)
    write_freihand(tmp_path, hands=2, versions=1, part="evaluation")
    assert parts_of(tmp_path) == ("train", "val")
    assert len(read_samples(tmp_path, HAND, part="val")) == 2
    assert len(read_samples(tmp_path / "training" / "rgb", HAND)) == 3
    assert len(read_samples(tmp_path, HAND, annotations=tmp_path / "evaluation_xyz.json")) == 2
    assert len(read_images(tmp_path, where="here")) == 3
    splits = make_splits(Dataset(training_path=str(tmp_path), skeleton="hand21"), HAND, ["training"])
    assert [len(splits.training), len(splits.validation)] == [3, 2]
    with pytest.raises(UserError, match="has no set 'test' of FreiHAND; it has: train, val"):
        read_samples(tmp_path, HAND, part="test")
    write_picture(tmp_path / "other" / "1.jpg")
    with pytest.raises(UserError, match=r"no labels of FreiHAND for .*training_annotations"):
        read_samples(tmp_path / "other", HAND, format="freihand")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("training_K.json", "[[1, 2]]", r"list of matrices of 3 x 3"),
        ("training_xyz.json", "[", "not a JSON file"),
        ("training_xyz.json", '{"a": 1}', r"list of matrices of 21 x 3"),
        ("training_xyz.json", '[["a"]]', r"list of matrices of 21 x 3"),
        ("training_K.json", json.dumps([np.eye(3).tolist()]), "1 matrices for the 3 hands"),
    ],
)
def test_broken_files(tmp_path, name, content, message):
    write_freihand(tmp_path, versions=1)
    (tmp_path / name).write_text(content)
    samples, problems = read_freihand(tmp_path, HAND)
    assert samples == []
    assert message in errors_of(problems)[0].message
    assert name in errors_of(problems)[0].where


def test_a_hand_behind_the_camera(tmp_path):
    write_freihand(tmp_path, versions=1)
    xyz = json.loads((tmp_path / "training_xyz.json").read_text())
    xyz[1][4][2] = -0.5
    xyz[2][0][0] = float("nan")
    (tmp_path / "training_xyz.json").write_text(json.dumps(xyz))
    samples, problems = read_freihand(tmp_path, HAND)
    assert [sample.image.stem for sample in samples] == ["00000000"]
    assert [problem.where for problem in errors_of(problems)] == [
        f"{tmp_path / 'training_xyz.json'}: record {number}" for number in (1, 2)
    ]


def onehand(root, part="train"):
    folder = "Train" if part == "train" else "Test"
    samples = [
        random_sample(HAND, write_picture(root / folder / "source" / f"{number}.jpg", seed=number), seed=number)
        for number in range(3)
    ]
    names = list(HAND.keypoints)
    for ours, theirs in THEIRS:
        names = [name.replace(ours, theirs) for name in names]
    document = coco_document(samples, names, "hand")
    for item in document["images"]:
        item["file_name"] = f"{folder}/source/{item['file_name']}"
    write_coco(root / "annotations" / f"onehand10k_{part}.json", document)
    return samples


def test_onehand10k(tmp_path):
    truth = {part: onehand(tmp_path, part) for part in ("train", "test")}
    assert detect_format(tmp_path) == "onehand10k"
    assert parts_of(tmp_path) == ("train", "test")
    for part in ("train", "test"):
        samples, problems = scan_samples(tmp_path, HAND, part=part)
        assert problems == []
        for ours, theirs in zip(samples, truth[part], strict=True):
            assert np.allclose(ours.keypoints, theirs.keypoints, atol=1e-3)
    assert len(read_images(tmp_path, where="here")) == 3
    folder, labels = tmp_path / "Train" / "source", tmp_path / "annotations" / "onehand10k_train.json"
    assert len(read_samples(folder, HAND, annotations=labels)) == 3
    with pytest.raises(UserError, match=r"no .*onehand10k_val.json; sets there: train, test"):
        read_samples(tmp_path, HAND, format="onehand10k", part="val")


def test_names_that_only_look_like_numbers(tmp_path):
    write_freihand(tmp_path, versions=1)
    for name in ("\u00b23.jpg", "\u0663.jpg"):  # a superscript two, an Arabic three
        write_picture(tmp_path / "training" / "rgb" / name, size=(224, 224), seed=7)
    samples, problems = scan_samples(tmp_path, HAND)
    assert len(samples) == 3
    assert [problem.code for problem in problems] == ["repeated_hand", "missing_label", "missing_label"]

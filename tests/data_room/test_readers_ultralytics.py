"""Ultralytics' data sets: what a data.yaml names, labels with and without flags, left and right."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_files import random_sample, write_picture

from stm32pose.cli import main
from stm32pose.config.data_sections import Dataset
from stm32pose.data.problems import errors_of
from stm32pose.data.readers import detect_format, parts_of, read_images, read_samples, scan_samples
from stm32pose.data.splits import make_splits
from stm32pose.data.ultralytics import label_of, read_ultralytics
from stm32pose.data.yolo import label_text
from stm32pose.errors import UserError
from stm32pose.skeletons.skeleton import load_skeleton

COCO = load_skeleton("coco17")
PERSON = load_skeleton("person13")
FLIP = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]


def write_set(root, counts=(("train", 3), ("val", 2)), *, skeleton=COCO, values=3, people=2, **keys):
    """A data set with that many images a part; returns part -> samples as written."""
    written = {}
    for part, count in counts:
        samples = []
        for number in range(count):
            image = write_picture(root / "images" / part / f"{part}{number}.jpg", seed=hash((part, number)) % 999)
            sample = random_sample(skeleton, image, people=people, seed=number)
            text = label_text(sample)
            if values == 2:
                rows = [line.split() for line in text.splitlines()]
                text = "\n".join(" ".join(row[:5] + [n for i, n in enumerate(row[5:]) if i % 3 < 2]) for row in rows)
            label = root / "labels" / part / f"{part}{number}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(text)
            samples.append(sample)
        written[part] = samples
    content = {part: f"images/{part}" for part, _ in counts}
    content |= {"kpt_shape": [skeleton.count, values], "flip_idx": skeleton.flip.tolist(), "names": {0: "person"}}
    (root / "data.yaml").write_text(yaml.safe_dump(content | keys))
    return written


def agree(samples, truth):
    assert [sample.image.name for sample in samples] == [sample.image.name for sample in truth]
    for ours, theirs in zip(samples, truth, strict=True):
        assert np.allclose(ours.keypoints, theirs.keypoints, atol=1e-3)
        assert np.allclose(ours.boxes, theirs.boxes, atol=1e-3)


@pytest.mark.parametrize("named", ["file", "folder", "annotations"])
def test_the_sets_of_a_data_yaml(tmp_path, named):
    truth = write_set(tmp_path / "set", path="../elsewhere")  # `path` that is not there: beside the data.yaml
    place = tmp_path / "set" / "data.yaml" if named == "file" else tmp_path / "set"
    annotations = tmp_path / "set" / "data.yaml" if named == "annotations" else None
    assert detect_format(place, annotations) == "ultralytics"
    for part in ("train", "val"):
        agree(read_samples(place, COCO, pose="multi", annotations=annotations, part=part), truth[part])
    if named != "annotations":
        assert parts_of(place) == ("train", "val")
        assert [sample.image.name for sample in read_images(place, where="x", part="val")] == ["val0.jpg", "val1.jpg"]
    with pytest.raises(UserError, match=r"data.yaml names no set 'test'; it names: train, val"):
        read_samples(place, COCO, annotations=annotations, part="test", format="ultralytics")


@pytest.mark.parametrize("named", ["data.yaml", "."])
def test_the_command_line_takes_it_for_labels_and_no_configuration(tmp_path, capsys, named):
    truth = write_set(tmp_path / "set")
    command = [str(tmp_path / "set" / named), "--keypoints", "17", "--multi"]
    assert main(["data", "check", *command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {name: found[name]["statistics"]["images"] for name in found} == {"training": 3, "validation": 2}
    assert main(["data", "convert", *command, "--to", "coco", "--out", str(tmp_path / "out")]) == 0
    for part in ("train", "val"):
        agree(read_samples(tmp_path / "out", COCO, pose="multi", part=part), truth[part])


def test_training_takes_its_own_validation(tmp_path, caplog):
    write_set(tmp_path, (("train", 5), ("val", 2), ("test", 3)))
    data = Dataset(training_path=str(tmp_path / "data.yaml"), skeleton="coco17", pose="multi")
    with caplog.at_level(logging.INFO):
        splits = make_splits(data, COCO, ["training", "test", "quantization"])
    assert [len(splits.training), len(splits.validation), len(splits.test)] == [5, 2, 3]
    assert {sample.image.parent.name for sample in splits.quantization} == {"train"}
    assert "dataset.validation_path: not given" in caplog.text


def test_two_numbers_a_point(tmp_path):
    truth = write_set(tmp_path, values=2)["train"]
    samples = read_samples(tmp_path, COCO, pose="multi")
    assert {0.0, 2.0} == set(np.unique(np.concatenate([sample.keypoints[..., 2].ravel() for sample in samples])))
    agree(
        samples,
        [
            replace(
                sample,
                keypoints=np.concatenate(
                    [sample.keypoints[..., :2], 2 * (sample.keypoints[..., 2:] > 0)], axis=-1, dtype=np.float32
                ),
            )
            for sample in truth
        ],
    )


def test_lists_and_several_folders(tmp_path):
    truth = write_set(tmp_path)
    names = [sample.image for sample in truth["train"]]
    (tmp_path / "train.txt").write_text(f"./images/train/{names[0].name}\n\n{names[2]}\nimages/train/none.jpg\n")
    content = yaml.safe_load((tmp_path / "data.yaml").read_text())
    content |= {"train": ["train.txt", "images/val"], "val": "images/val"}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(content))
    samples, problems = scan_samples(tmp_path, COCO, pose="multi")
    agree(samples, [truth["train"][0], truth["train"][2], *truth["val"]])
    assert [(problem.code, problem.where) for problem in problems] == [("missing_image", f"{tmp_path / 'train.txt'}:4")]


def test_roboflows_paths(tmp_path):
    """`../train/images` for `train/images` beside the data.yaml, labels in `train/labels`."""
    sample = random_sample(COCO, write_picture(tmp_path / "train" / "images" / "a.jpg"))
    (tmp_path / "train" / "labels").mkdir()
    (tmp_path / "train" / "labels" / "a.txt").write_text(label_text(sample))
    (tmp_path / "data.yaml").write_text("train: ../train/images\nkpt_shape: [17, 3]\nnames: [person]\nnc: 1\n")
    agree(read_samples(tmp_path / "data.yaml", COCO), [sample])


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("/d/images/train/a.jpg", "/d/labels/train/a.txt"),
        ("/images/d/images/a.b.png", "/images/d/labels/a.b.txt"),
        ("/d/train/a.jpg", "/d/train/a.txt"),
        ("/d/images.jpg", "/d/images.txt"),
    ],
)
def test_where_labels_lie(image, label):
    assert label_of(Path(image)) == Path(label)


def test_no_label_file_is_nobody_unless_all_are_missing(tmp_path):
    truth = write_set(tmp_path)
    label_of(truth["train"][1].image).unlink()
    samples, problems = scan_samples(tmp_path, COCO, pose="multi")
    assert [sample.instances for sample in samples] == [2, 0, 2]
    assert [problem.code for problem in problems] == ["missing_label"]
    for sample in (truth["train"][0], truth["train"][2]):
        label_of(sample.image).unlink()
    samples, problems = scan_samples(tmp_path, COCO, pose="multi")
    assert samples == []
    assert "none of the 3 images of 'train' has a label file" in errors_of(problems)[0].message


def test_one_class_of_several(tmp_path):
    truth = write_set(tmp_path, names={0: "Person", 1: "dog"})["train"]
    label = label_of(truth[0].image)
    label.write_text(label.read_text() + "1 0.5 0.5 0.1 0.1 0.5 0.5 2\n")
    samples, problems = scan_samples(tmp_path, COCO, pose="multi")
    agree(samples, truth)
    assert problems == []
    write_set(tmp_path, names={0: "cat", 1: "dog"})
    assert [item.code for item in scan_samples(tmp_path, COCO)[1]] == ["no_category"]


def test_left_and_right_must_agree(tmp_path):
    assert COCO.flip.tolist() == FLIP
    write_set(tmp_path, flip_idx=list(range(17)))
    assert [(item.code, item.severity) for item in scan_samples(tmp_path, COCO, pose="multi")[1]] == [
        ("flip_mismatch", "warning")
    ]
    wrong = [*FLIP[:5], 5, 6, *FLIP[7:]]
    write_set(tmp_path, flip_idx=wrong)
    (fault,) = errors_of(scan_samples(tmp_path, COCO, pose="multi")[1])
    assert (
        "flip_idx mirrors keypoint 5 to 5, the skeleton coco17 (left_shoulder to right_shoulder) to 6" in fault.message
    )
    write_set(tmp_path, flip_idx=[*FLIP[:16], 14])
    with pytest.raises(UserError, match="flip_idx: wanted each of 0 to 16 once"):
        scan_samples(tmp_path, COCO)


def test_another_number_of_keypoints(tmp_path):
    write_set(tmp_path)
    (fault,) = errors_of(scan_samples(tmp_path, PERSON)[1])
    assert fault.message == "kpt_shape has 17 keypoints, the skeleton person13 13"
    # With their names they are mapped: person13's head is the mean of nose, eyes and ears.
    truth = write_set(tmp_path, kpt_names={0: list(COCO.keypoints)})["train"]
    samples = read_samples(tmp_path, PERSON, pose="multi")
    shoulder = PERSON.keypoints.index("left_shoulder")
    assert np.allclose(samples[0].keypoints[:, shoulder], truth[0].keypoints[:, 5], atol=1e-3)
    assert (samples[0].keypoints[:, 0, 2] > 0).any()


def test_broken_labels_are_named(tmp_path):
    truth = write_set(tmp_path)["train"]
    label = label_of(truth[1].image)
    label.write_text("0 0.5 0.5 0.1 0.1 0.5\n")
    samples, problems = scan_samples(tmp_path, COCO, pose="multi")
    assert len(samples) == 2
    assert [(item.where, item.message) for item in errors_of(problems)] == [
        (f"{label}:1", "6 numbers; kpt_shape of data.yaml wants 56 = 5+3*17")
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kpt_shape: 3", r"kpt_shape: wanted \[number of keypoints, 2 or 3\]"),
        ("kpt_shape: [17, 4]", r"kpt_shape: got \[17, 4\]; wanted \[1 or more, 2 or 3\]"),
        ("kpt_shape: [17, 3]", "names no set 'train'; it names: none"),
        ("kpt_shape: [17, 3]\ntrain: nowhere", "train: nowhere is not there"),
        ("kpt_shape: [17, 3]\nflip_idx: abc", "flip_idx: wanted a list of 17 whole numbers"),
        ("kpt_shape: [17, 3\ntrain: x", r"data.yaml:2: not a YAML file"),
        ("- kpt_shape", "holds no mapping"),
        ("kpt_shape: !!python/object/apply:os.system ['echo']", "not a YAML file"),
    ],
)
def test_a_data_yaml_that_cannot_be_used(tmp_path, text, message):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_ultralytics(tmp_path, COCO)


def test_no_data_yaml(tmp_path):
    with pytest.raises(UserError, match=r"no data\.yaml with kpt_shape in"):
        read_ultralytics(tmp_path, COCO)
    (tmp_path / "a.yaml").write_text("train: x")
    with pytest.raises(UserError, match="has no kpt_shape"):
        read_ultralytics(tmp_path / "a.yaml", COCO)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.dictionaries(
        st.sampled_from(["path", "train", "val", "kpt_shape", "flip_idx", "names", "kpt_names"]),
        st.recursive(
            st.none() | st.booleans() | st.integers(-3, 20) | st.floats() | st.sampled_from(["images/train", "..", ""]),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 3), inner, max_size=3),
            max_leaves=8,
        ),
    )
)
def test_no_data_yaml_breaks_the_reader(tmp_path, content):
    if not (tmp_path / "images").is_dir():
        write_set(tmp_path)
    (tmp_path / "data.yaml").write_text(yaml.safe_dump({"kpt_shape": [17, 3], "train": "images/train"} | content))
    with suppress(UserError):
        read_ultralytics(tmp_path, COCO)


@pytest.mark.parametrize("entry", ["../private/images", "/", "images/../../private/images", "{root}/private/images"])
def test_entries_that_lead_out_are_refused(tmp_path, entry):
    write_set(tmp_path / "set", train=entry.format(root=tmp_path))
    write_picture(tmp_path / "private" / "images" / "secret.jpg")
    with pytest.raises(UserError, match=r"data.yaml: train: .* leads out of the data set") as caught:
        scan_samples(tmp_path / "set", COCO)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="leads out of the data set"):
        read_images(tmp_path / "set", where="x")


@pytest.mark.parametrize("path", ["..", "{root}"])
def test_path_says_where_else_images_are(tmp_path, path):
    truth = write_set(tmp_path / "set", path=path.format(root=tmp_path), train="set/images/train")
    agree(read_samples(tmp_path / "set", COCO, pose="multi"), truth["train"])
    write_set(tmp_path / "set", path=path.format(root=tmp_path), train=str(tmp_path / "set" / "images" / "train"))
    agree(read_samples(tmp_path / "set", COCO, pose="multi"), truth["train"])


def test_a_link_inside_the_data_set_is_followed(tmp_path):
    truth = write_set(tmp_path / "set")
    (tmp_path / "set" / "images").rename(tmp_path / "large")
    (tmp_path / "set" / "images").symlink_to(tmp_path / "large")
    agree(read_samples(tmp_path / "set", COCO, pose="multi"), truth["train"])


def test_lines_of_a_list_that_lead_out_or_are_too_long(tmp_path):
    truth = write_set(tmp_path / "set", train="list.txt")
    write_picture(tmp_path / "private" / "images" / "secret.jpg")
    lines = ["./images/train/train0.jpg", "../private/images/secret.jpg", "/etc/hostname", "x" * 5000 + ".jpg"]
    (tmp_path / "set" / "list.txt").write_text("\n".join(lines))
    samples, problems = scan_samples(tmp_path / "set", COCO, pose="multi")
    agree(samples, truth["train"][:1])
    (problem,) = errors_of(problems)
    assert problem.code == "outside_folder"
    assert problem.message.startswith("2 of its lines lead out of the data set, e.g. line 2: ../private/images/secret")
    assert [item.where for item in problems if item.code == "missing_image"] == [f"{tmp_path / 'set' / 'list.txt'}:4"]


@pytest.mark.parametrize("keys", [{"train": "x" * 5000}, {"path": "x" * 5000, "train": "nowhere"}])
def test_names_too_long(tmp_path, keys):
    write_set(tmp_path / "set", **keys)
    with pytest.raises(UserError, match="is not there"):
        scan_samples(tmp_path / "set", COCO)

"""Splits: the same everywhere, without leaks, and refused when the data have changed."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_files import random_sample, write_picture

from stm32pose.config.data_sections import Dataset
from stm32pose.data import digests
from stm32pose.data.readers import crops
from stm32pose.data.splits import (
    SETS,
    Splits,
    apply_manifest,
    evaluation_set,
    hold_out,
    make_splits,
    splits_manifest,
)
from stm32pose.data.yolo import write_yolo
from stm32pose.errors import ConfigError, UserError
from stm32pose.skeletons.skeleton import load_skeleton

PERSON = load_skeleton("person13")


def make_folder(folder: Path, count: int, start: int = 0) -> Path:
    samples = [
        random_sample(PERSON, write_picture(folder / f"im{n:03d}.png", seed=n), seed=n)
        for n in range(start, start + count)
    ]
    write_yolo(samples, folder, PERSON)
    return folder


def section(**keys) -> Dataset:
    return Dataset.model_validate({"skeleton": "person13", **{key: keys[key] for key in keys}})


def names(samples) -> list[str]:
    return [sample.image.name for sample in samples]


@pytest.fixture(scope="module")
def twenty(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("twenty"), 20)


def test_the_split_of_a_seed_never_changes(twenty):
    """Golden: a change here would give every user other validation images than yesterday."""
    splits = make_splits(section(training_path=str(twenty), test_split=0.1), PERSON, {"training"})
    assert names(splits.test) == ["im011.png", "im017.png"]
    assert names(splits.validation) == ["im002.png", "im004.png", "im007.png", "im015.png"]
    assert splits.seed == 123


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**63 - 1),
    shares=st.tuples(st.floats(0.01, 0.4), st.floats(0, 0.4)),
    pictures=st.integers(6, 15),
)
def test_parts_are_disjoint_whole_and_of_the_right_size(twenty, seed, shares, pictures):
    samples = [random_sample(PERSON, twenty / f"im{n:03d}.png", seed=n) for n in range(pictures)]
    parts = hold_out(samples, shares, seed)
    dealt = [name for part in parts for name in names(part)]
    assert sorted(dealt) == names(samples)
    assert [names(part) for part in parts] == [sorted(names(part)) for part in parts]
    for part, share in zip(parts, shares, strict=False):
        assert len(part) == (max(1, round(share * pictures)) if share else 0)
    again = hold_out(list(reversed(samples)), shares, seed)
    assert [sorted(names(part)) for part in again] == [names(part) for part in parts]


def test_copies_and_crops_stay_together(tmp_path):
    folder = make_folder(tmp_path / "set", 6)
    for number in range(6):
        shutil.copy(folder / f"im{number:03d}.png", folder / f"copy{number}.png")
        shutil.copy(folder / f"im{number:03d}.txt", folder / f"copy{number}.txt")
    for seed in range(10):
        splits = make_splits(section(training_path=str(folder), seed=seed, validation_split=0.3), PERSON, {"training"})
        assert len(splits.training) + len(splits.validation) == 12
        contents = [{sample.image.read_bytes() for sample in part} for part in (splits.training, splits.validation)]
        assert not contents[0] & contents[1]
        assert [len(part) for part in contents] == [4, 2]
    crowd = [random_sample(PERSON, folder / f"im{n:03d}.png", people=3, seed=n) for n in range(6)]
    parts = hold_out([crop for sample in crowd for crop in crops(sample, 0.25)], (0.3,), 1)
    assert not set(names(parts[0])) & set(names(parts[1]))
    assert [len(part) for part in parts] == [6, 12]


def test_needs_decide_what_is_read_but_not_how_it_is_split(twenty, tmp_path):
    dataset = section(training_path=str(twenty))
    whole = make_splits(dataset, PERSON, {"training", "evaluation", "quantization"})
    assert [len(getattr(whole, name)) for name in SETS] == [16, 4, 0, 16]
    assert names(whole.quantization) == names(whole.training)
    alone = make_splits(dataset, PERSON, {"evaluation"})
    assert names(alone.validation) == names(whole.validation)
    assert evaluation_set(whole) == ("validation", whole.validation)
    test = make_folder(tmp_path / "test", 3, start=100)
    given_test = section(training_path=str(tmp_path / "not read"), test_path=str(test))
    splits = make_splits(given_test, PERSON, {"evaluation"})
    assert evaluation_set(splits) == ("test", splits.test)
    assert splits.sources == {"test": "dataset.test_path"}
    assert splits.training == splits.validation == []


def test_given_folders_are_used_whole(twenty, tmp_path):
    validation = make_folder(tmp_path / "val", 5, start=50)
    splits = make_splits(
        section(training_path=str(twenty), validation_path=str(validation), quantization_path=str(validation)),
        PERSON,
        {"training", "quantization"},
    )
    assert [len(getattr(splits, name)) for name in SETS] == [20, 5, 0, 5]
    assert splits.sources["quantization"] == "dataset.quantization_path"


def test_calibration_never_sees_what_is_held_out(twenty, caplog):
    """The folder of training named as quantization_path: validation images are taken out of it."""
    dataset = section(training_path=str(twenty), quantization_path=str(twenty), test_split=0.2)
    splits = make_splits(dataset, PERSON, {"training", "evaluation", "quantization"})
    held_out = {*names(splits.validation), *names(splits.test)}
    assert len(held_out) == 8
    assert not held_out & set(names(splits.quantization))
    assert len(splits.quantization) == 12
    assert not caplog.records


def test_calibration_images_need_no_labels(tmp_path):
    for number in range(3):
        write_picture(tmp_path / f"{number}.jpg", seed=number)
    splits = make_splits(section(quantization_path=str(tmp_path)), PERSON, {"quantization"})
    assert len(splits.quantization) == 3
    assert make_splits(section(), PERSON, {"quantization"}).quantization == []


@pytest.mark.parametrize("name", ["validation", "test"])
def test_pictures_shared_with_training_are_refused(twenty, tmp_path, name):
    other = make_folder(tmp_path / "other", 3, start=100)
    shutil.copy(twenty / "im007.png", other / "im101.png")
    dataset = section(training_path=str(twenty), **{f"{name}_path": str(other)})
    with pytest.raises(
        ConfigError, match=rf"dataset.{name}_path: 1 of its images are in the training folder too, .*im101"
    ):
        make_splits(dataset, PERSON, {"training", "evaluation"})


def test_other_shared_pictures_are_told(tmp_path, twenty, caplog):
    other = make_folder(tmp_path / "other", 3, start=100)
    dataset = section(validation_path=str(other), test_path=str(other), training_path=str(twenty))
    with caplog.at_level(logging.WARNING):
        make_splits(dataset, PERSON, {"training", "evaluation"})
    assert "dataset.validation_path and dataset.test_path share 3 images" in caplog.text


def test_missing_paths_and_too_few_images(tmp_path):
    with pytest.raises(ConfigError, match=r"dataset.training_path: missing"):
        make_splits(section(), PERSON, {"training"})
    with pytest.raises(ConfigError, match="nothing to evaluate on"):
        make_splits(section(), PERSON, {"evaluation"})
    with pytest.raises(ConfigError, match="nothing to evaluate on"):
        evaluation_set(Splits())
    one = make_folder(tmp_path / "one", 1)
    with pytest.raises(UserError, match="1 different pictures are too few"):
        make_splits(section(training_path=str(one)), PERSON, {"training"})
    two = make_folder(tmp_path / "two", 2)
    splits = make_splits(section(training_path=str(two)), PERSON, {"training"})
    assert (len(splits.training), len(splits.validation)) == (1, 1)


def test_without_a_seed_each_run_has_its_own_and_says_it(twenty):
    dataset = section(training_path=str(twenty), seed=None)
    first, second = (make_splits(dataset, PERSON, {"training"}) for _ in range(2))
    assert first.seed != second.seed
    again = make_splits(section(training_path=str(twenty), seed=first.seed), PERSON, {"training"})
    assert names(again.validation) == names(first.validation)


@pytest.fixture
def ten(tmp_path):
    return make_folder(tmp_path / "ten", 10)


NEEDS = {"training", "evaluation", "quantization"}


def test_a_manifest_brings_the_split_back_wherever_the_folder_is(ten, tmp_path):
    dataset = section(training_path=str(ten), test_split=0.2)
    splits = make_splits(dataset, PERSON, NEEDS)
    manifest = json.loads(json.dumps(splits_manifest(splits)))
    assert manifest["seed"] == 123
    assert manifest["sets"]["quantization"] == {"samples": len(splits.training), "same_as": "training"}
    moved = tmp_path / "moved"
    ten.rename(moved)
    other = make_splits(section(training_path=str(moved), test_split=0.3, seed=9), PERSON, NEEDS)
    back = apply_manifest(other, manifest)
    for name in SETS:
        assert names(getattr(back, name)) == names(getattr(splits, name))
    assert back.seed == 123
    everything = sorted(other.training + other.validation + other.test, key=lambda sample: sample.image.name)
    assert names(apply_manifest(everything, manifest).validation) == names(splits.validation)


def test_a_manifest_with_crops(ten):
    people = [random_sample(PERSON, ten / f"im{n:03d}.png", people=3, seed=n) for n in range(6)]
    samples = [crop for sample in people for crop in crops(sample, 0.25)]
    validation, training = hold_out(samples, (0.3,), 1)
    source = {"training": "dataset.training_path", "validation": "dataset.training_path"}
    manifest = splits_manifest(Splits(training, validation, sources=source, seed=1))
    back = apply_manifest(Splits(list(samples), [], sources=source, seed=2), manifest)
    assert [sample.region for sample in back.validation] == [sample.region for sample in validation]
    assert len(back.training) == len(training)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "im003.png").unlink(), r"1 removed \(e\.g\. im003\.png\)"),
        (lambda folder: make_folder(folder, 1, start=70), r"1 added \(e\.g\. im070\.png\)"),
        (lambda folder: write_picture(folder / "im004.png", seed=99), r"1 with other pixels \(e\.g\. im004\.png\)"),
        (
            lambda folder: (folder / "im005.txt").write_text((folder / "im006.txt").read_text()),
            r"1 with other labels \(e\.g\. im005\.png\)",
        ),
    ],
)
def test_changed_data_are_refused(ten, change, message):
    dataset = section(training_path=str(ten))
    manifest = splits_manifest(make_splits(dataset, PERSON, NEEDS))
    change(ten)
    with pytest.raises(UserError, match=f"resume_training_from: .*{message}") as caught:
        apply_manifest(make_splits(dataset, PERSON, NEEDS), manifest)
    assert "\n" not in str(caught.value)


def test_a_manifest_of_another_program(ten):
    with pytest.raises(UserError, match="not of this program"):
        apply_manifest(Splits(), {"version": 99, "sets": {}})


def test_large_sets_are_hashed_at_their_ends(tmp_path, monkeypatch):
    path = tmp_path / "large.bin"
    content = np.random.default_rng(0).bytes(400_000)
    path.write_bytes(content)
    short = digests.file_digest(path, whole=False)
    assert short != digests.file_digest(path)
    path.write_bytes(content[:-1] + b"x")
    assert digests.file_digest(path, whole=False) != short
    monkeypatch.setattr(digests, "WHOLE_FILES", 0)
    assert digests.file_digests([path])[path] == digests.file_digest(path, whole=False)


def test_label_digests_see_everything():
    sample = random_sample(PERSON, Path("a.jpg"), people=2)
    first = digests.label_digest(sample)
    assert digests.label_digest(replace(sample, image=Path("b.jpg"), image_id=7, source="x")) == first
    moved = sample.keypoints.copy()
    moved[1, 5, 0] += 0.01
    for changed in (
        replace(sample, keypoints=moved),
        replace(sample, boxes=sample.boxes + 1),
        replace(sample, areas=sample.areas + 1),
        replace(sample, crowd=~sample.crowd),
        replace(sample, region=(0.0, 0.0, 1.0, 1.0)),
        replace(sample, size=(41, 60)),
        sample.only([1, 0]),
    ):
        assert digests.label_digest(changed) != first

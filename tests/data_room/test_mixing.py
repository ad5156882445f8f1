"""`dataset.mix`: how often each image comes, that nothing held out gets in, and that a resumed run sees the same."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from label_files import coco_document, random_sample, write_coco, write_picture

from stm32pose.commands.validate import check_names
from stm32pose.config.data_sections import Dataset, Preprocessing
from stm32pose.config.load import load_config
from stm32pose.data.cache import open_cache
from stm32pose.data.filter import NAMES
from stm32pose.data.mixing import repeated
from stm32pose.data.pipeline import Pipeline
from stm32pose.data.splits import make_splits, splits_manifest, unlabelled_splits
from stm32pose.data.yolo import write_yolo
from stm32pose.errors import ConfigError, UserError
from stm32pose.operations.prepare import dataset_summary
from stm32pose.reporting.tracked import data_digest, tracked_sets
from stm32pose.skeletons.skeleton import load_skeleton
from stm32pose.training.resume import Resume, resumed_splits

PERSON = load_skeleton("person13")
COCO = load_skeleton("coco17")
NEEDS = {"training", "quantization"}


def make_folder(folder: Path, count: int, start: int = 0) -> Path:
    samples = [
        random_sample(PERSON, write_picture(folder / f"im{n:03d}.png", seed=n), seed=n)
        for n in range(start, start + count)
    ]
    write_yolo(samples, folder, PERSON)
    return folder


def section(training: Path, mix, **keys) -> Dataset:
    return Dataset.model_validate({"skeleton": "person13", "training_path": str(training), "mix": mix, **keys})


def names(samples) -> list[str]:
    return [sample.image.name for sample in samples]


@pytest.fixture
def folders(tmp_path):
    return make_folder(tmp_path / "own", 10), make_folder(tmp_path / "more", 6, start=50)


@given(count=st.integers(1, 40), times=st.floats(0.01, 5), seed=st.integers(0, 2**63 - 1))
def test_a_repeat_is_how_often_each_comes(count, times, seed):
    samples = [random_sample(PERSON, Path(f"{n}.jpg"), seed=n) for n in range(count)]
    found = repeated(samples, times, (seed, 0))
    often = Counter(names(found))
    assert len(found) == max(1, int(times) * count + round((times - int(times)) * count))
    assert all(int(times) <= often[sample.image.name] <= int(times) + 1 for sample in samples)
    assert names(repeated(samples, times, (seed, 0))) == names(found)


def test_the_part_that_comes_more_often_never_changes():
    """Golden: else a resumed training, or one on another machine, would see other images."""
    samples = [random_sample(PERSON, Path(f"{n}.jpg"), seed=n) for n in range(10)]
    assert names(repeated(samples, 0.3, (123, 0))) == GOLDEN
    assert names(repeated(samples, 0.3, (123, 1))) != GOLDEN


GOLDEN = ["0.jpg", "4.jpg", "7.jpg"]


def test_mixed_images_are_trained_on_and_nothing_else_changes(folders):
    own, more = folders
    alone = make_splits(section(own, []), PERSON, NEEDS)
    splits = make_splits(section(own, [{"path": str(more), "repeat": 2.5}]), PERSON, NEEDS)
    assert names(splits.training[:8]) == names(alone.training)
    assert Counter(names(splits.training[8:])).most_common(3)[-1][1] == 3
    assert len(splits.training) == 8 + 15
    assert names(splits.validation) == names(alone.validation)
    assert names(splits.quantization) == names(alone.training)
    assert names(splits.unmixed().training) == names(alone.training)
    evaluated = make_splits(section(own, [{"path": "not read"}]), PERSON, {"evaluation"})
    assert names(evaluated.validation) == names(alone.validation)
    assert len(unlabelled_splits(section(own, [{"path": "not read"}])).quantization) == 10


@pytest.mark.parametrize("held_out", ["validation_split", "validation_path", "test_path"])
def test_no_held_out_image_gets_in(folders, tmp_path, caplog, held_out):
    own, more = folders
    keys = {} if held_out == "validation_split" else {held_out: str(make_folder(tmp_path / "held", 2, start=80))}
    alone = make_splits(section(own, [], **keys), PERSON, {"training", "evaluation"})
    secret = (alone.test if held_out == "test_path" else alone.validation)[0].image
    shutil.copy(secret, more / "im051.png")  # the same picture under another name
    with caplog.at_level(logging.WARNING):
        splits = make_splits(section(own, [{"path": str(more), "repeat": 2}], **keys), PERSON, {"training"})
    assert len(splits.training) == len(alone.training) + 2 * 5
    assert secret.read_bytes() not in {sample.image.read_bytes() for sample in splits.training}
    assert "dataset.mix[0]: 1 of 6 images are in the validation or test set too and are left out" in caplog.text
    assert splits_manifest(splits)["mix"][0]["left_out"] == ["im051.png"]


def test_images_of_the_training_folder_are_told(folders, caplog):
    own, _ = folders
    with caplog.at_level(logging.WARNING):
        splits = make_splits(section(own, [{"path": str(own)}]), PERSON, {"training"})
    assert "8 images are in the training set already and come more often" in caplog.text
    assert len(splits.training) == 16


def test_each_set_has_its_own_format_map_and_filter(folders, tmp_path):
    own, _ = folders
    image = write_picture(tmp_path / "other" / "a.png", seed=200)
    second = write_picture(tmp_path / "other" / "b.png", seed=201)
    named = [f"their_{name}" for name in COCO.keypoints]
    samples = [random_sample(COCO, image, seed=1), random_sample(COCO, second, seed=2)]
    samples[0] = replace(samples[0], boxes=np.float32([[0, 0, 30, 30]]))
    samples[1] = replace(samples[1], boxes=np.float32([[0, 0, 3, 3]]))
    write_coco(tmp_path / "other.json", coco_document(samples, named))
    entry = {
        "path": str(tmp_path / "other"),
        "annotations": str(tmp_path / "other.json"),
        "keypoint_map": {name: f"their_{name}" for name in PERSON.keypoints if name in COCO.keypoints} | {"head": 0},
        "filter": "box_width > 10",
    }
    splits = make_splits(section(own, [entry]), PERSON, {"training"})
    (mixed,) = splits.mixed
    assert names(mixed.samples) == ["a.png"]
    assert mixed.samples[0].keypoints[0, 0] == pytest.approx(samples[0].keypoints[0, 0])
    wrist = PERSON.keypoints.index("left_wrist"), COCO.keypoints.index("left_wrist")
    assert mixed.samples[0].keypoints[0, wrist[0]] == pytest.approx(samples[0].keypoints[0, wrist[1]])
    assert mixed.filtered is not None
    assert mixed.filtered.removed == 1
    bad = entry | {"keypoint_map": {"head": "their_nos"}}
    with pytest.raises(ConfigError, match=r"dataset.mix\[0\].keypoint_map.head: got 'their_nos'.*'their_nose'"):
        make_splits(section(own, [bad]), PERSON, {"training"})
    with pytest.raises(UserError, match=r"dataset.mix\[1\].path: .*nowhere is not a folder"):
        make_splits(section(own, [entry, {"path": str(tmp_path / "nowhere")}]), PERSON, {"training"})


def resumed(manifest, splits):
    record = json.loads(json.dumps(manifest))
    return resumed_splits(Resume(Path(), Path(), 1, 0, record, {}, {}, {}), splits)


def test_a_resumed_run_sees_the_same(folders, tmp_path):
    own, more = folders
    mix = [{"path": str(more), "repeat": 1.5}, {"path": str(make_folder(tmp_path / "third", 4, 70)), "repeat": 0.5}]
    shutil.copy(make_splits(section(own, []), PERSON, NEEDS).validation[0].image, more / "im053.png")
    first = make_splits(section(own, mix, seed=None, filter="labelled > 0"), PERSON, NEEDS)
    # Another seed deals, draws and leaves out otherwise; the record says how it was.
    for seed in (1, 2, 3):
        again = make_splits(section(own, mix, seed=seed, filter="labelled > 0"), PERSON, NEEDS)
        back = resumed(splits_manifest(first), again)
        for name in ("training", "validation", "quantization"):
            assert names(getattr(back, name)) == names(getattr(first, name)), name
        assert [one.left_out for one in back.mixed] == [one.left_out for one in first.mixed]
        assert splits_manifest(back) == splits_manifest(first)
    manifest, moved = splits_manifest(first), tmp_path / "elsewhere"
    more.rename(moved)
    mix[0]["path"] = str(moved)
    back = resumed(manifest, make_splits(section(own, mix, filter="labelled > 0"), PERSON, NEEDS))
    assert names(back.training) == names(first.training)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda keys: keys["mix"][0].update(repeat=3.0), r"with dataset.mix of more x 2, now it is of more x 3"),
        (lambda keys: keys.update(mix=[]), r"with dataset.mix of more x 2, now it is of nothing"),
        (lambda keys: keys.update(filter=None), r"with dataset.filter 'visible > 0', now it is none"),
        (lambda keys: keys.update(filter="visible > 1"), r"dataset.filter 'visible > 0', now it is 'visible > 1'"),
        (lambda keys: keys["mix"][0].update(filter="area > 1"), r"dataset.mix\[0\].filter none, now it is 'area > 1'"),
        (lambda keys: make_folder(Path(keys["mix"][0]["path"]), 1, 90), r"1 added \(e\.g\. im090\.png\)"),
        (lambda keys: (Path(keys["mix"][0]["path"]) / "im052.png").unlink(), r"1 removed \(e\.g\. im052\.png\)"),
    ],
)
def test_what_has_changed_since_is_refused(folders, change, message):
    own, more = folders
    keys = {"mix": [{"path": str(more), "repeat": 2.0}], "filter": "visible > 0"}
    manifest = splits_manifest(make_splits(section(own, **keys), PERSON, NEEDS))
    change(keys)
    with pytest.raises(UserError, match=rf"resume_training_from: .*{message}") as caught:
        resumed(manifest, make_splits(section(own, **keys), PERSON, NEEDS))
    assert "\n" not in str(caught.value)


def test_the_record_and_the_report_list_every_source(folders, tmp_path):
    own, more = folders
    keys = {"mix": [{"path": str(more), "repeat": 2.0, "filter": "box_width > 12"}], "filter": "box_width > 9"}
    splits = make_splits(section(own, **keys), PERSON, NEEDS)
    manifest = splits_manifest(splits)
    assert manifest["mix"][0]["source"] == "dataset.mix[0]"
    assert manifest["mix"][0]["filter"]["filter"] == "box_width > 12"
    assert manifest["filters"]["dataset.training_path"]["people"] == 10
    assert manifest["sets"]["training"]["samples"] == len(splits.training)
    config = load_config(
        {
            "operation_mode": "training",
            "model": {"model_name": "custom", "input_shape": [64, 64, 3]},
            "dataset": {"skeleton": "person13", "training_path": str(own), **keys},
        }
    )
    summary = dataset_summary(config, PERSON, splits)
    rows = {row["source"]: row for row in summary["sources"] if row["set"] == "training"}
    assert rows["dataset.mix[0]"]["repeat"] == 2.0
    assert rows["dataset.mix[0]"]["path"] == str(more)
    assert rows["dataset.mix[0]"]["images"] * 2 + rows["dataset.training_path"]["images"] == len(splits.training)
    assert rows["dataset.mix[0]"]["filtered"]["removed"] == 6 - rows["dataset.mix[0]"]["images"] > 0
    assert "sources" not in dataset_summary(config, PERSON, make_splits(section(own, []), PERSON, NEEDS))

    def digest(splits):
        (tmp_path / "splits.json").write_text(json.dumps(splits_manifest(splits)))
        return data_digest(tracked_sets(tmp_path / "splits.json"))

    other = make_splits(section(own, keys["mix"], filter=keys["filter"]), PERSON, NEEDS)
    assert digest(other) == digest(splits)
    assert digest(splits.unmixed()) != digest(splits)


@pytest.mark.parametrize("mode", ["memory", "disk", "none"])
def test_a_repeated_image_is_kept_once(folders, mode):
    own, more = folders
    splits = make_splits(section(own, [{"path": str(more), "repeat": 3}]), PERSON, {"training"})
    assert len(splits.training) == 8 + 18
    with (
        open_cache(splits.training, side=30, mode=mode) as cache,
        open_cache(splits.training[:14], side=30, mode=mode) as once,
    ):
        assert cache.bytes == once.bytes
        assert len(cache) == 26
        pipeline = Pipeline(
            splits.training, input_shape=(24, 32, 3), preprocessing=Preprocessing(), cache=cache, batch_size=26
        )
        (batch,) = pipeline.epoch(0)
        assert np.array_equal(batch.images[8:14], batch.images[14:20])
        assert np.array_equal(batch.images[8:14], batch.images[20:26])
        assert np.array_equal(batch.keypoints_input[8:14], batch.keypoints_input[14:20])
        assert not np.array_equal(batch.images[8], batch.images[9])


def test_real_sets_of_other_skeletons_mix(shared):
    """LSP's people and COCO's, each with its own names, into 13 keypoints."""
    data = shared / "data"
    mix = [
        {"path": str(data / "coco_mini" / "val2017"), "repeat": 0.5, "filter": "visible >= 5 and box_height > 100"},
        {"path": str(data / "coco_mini" / "train2017"), "keypoint_map": {"left_wrist": "right_wrist"}},
    ]
    splits = make_splits(section(data / "lspet_1200" / "images", mix), PERSON, {"training"})
    assert len(splits.unmixed().training) == 960
    one, two = splits.mixed
    assert one.filtered is not None
    assert one.filtered.removed > 0
    assert len(splits.training) == 960 + round(len(one.samples) / 2) + len(two.samples)
    left, right = PERSON.keypoints.index("left_wrist"), PERSON.keypoints.index("right_wrist")
    assert all(np.array_equal(s.keypoints[:, left], s.keypoints[:, right]) for s in two.samples)
    assert all((s.boxes[:, 3] > 100).all() and ((s.keypoints[..., 2] == 2).sum(-1) >= 5).all() for s in one.samples)


def test_the_examples_of_the_page_are_right():
    page = Path(__file__).parents[2] / "docs" / "data_sets.md"
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        mapping = yaml.safe_load(block)
        model = {"model_name": "custom", "input_shape": [64, 64, 3]}
        check_names(load_config({"operation_mode": "training", "model": model, **mapping}, check_paths=False))
    for name in (*NAMES, "crowd", "has_nose"):
        assert f"`{name}`" in page.read_text(), name


def coco_folder(folder: Path, names: list[str], start: int) -> str:
    """A COCO set whose file names may hold sub-folders, with `labels.json` beside it."""
    paths = [write_picture(folder / name, seed=start + number) for number, name in enumerate(names)]
    document = coco_document([random_sample(PERSON, path, seed=1) for path in paths], PERSON.keypoints)
    for item, name in zip(document["images"], names, strict=True):
        item["file_name"] = name
    write_coco(folder / "labels.json", document)
    return str(folder)


@pytest.mark.parametrize("first", ["sub/0.png", "0.png"])
def test_test_images_in_sub_folders_stay_out(tmp_path, first):
    """Found by the reader alone, or (with `0.png`) by listing the folder only in part."""
    held = coco_folder(tmp_path / "test", [first, "sub/1.png", "sub/2.png"], 50)
    keys = {
        "skeleton": "person13",
        "training_path": coco_folder(tmp_path / "own", [f"{n}.png" for n in range(10)], 0),
        "test_path": held,
        "test_annotations": f"{held}/labels.json",
        "mix": [{"path": coco_folder(tmp_path / "more", ["a.png", "b.png", "c.png", "d.png"], 50)}],
    }
    splits = make_splits(Dataset.model_validate(keys), PERSON, {"training"})
    assert names(splits.training[8:]) == ["d.png"]
    with_test = make_splits(Dataset.model_validate(keys), PERSON, {"training", "evaluation"})
    assert names(with_test.training) == names(splits.training)


def test_a_test_set_that_cannot_be_read_stops_a_mix(folders, tmp_path):
    own, more = folders
    with pytest.raises(UserError, match=r"dataset.test_path: .*nowhere is not a folder"):
        make_splits(section(own, [{"path": str(more)}], test_path=str(tmp_path / "nowhere")), PERSON, {"training"})


def test_test_images_without_labels_stay_out(folders, tmp_path):
    own, more = folders
    write_picture(tmp_path / "test" / "other.png", seed=52)
    splits = make_splits(section(own, [{"path": str(more)}], test_path=str(tmp_path / "test")), PERSON, {"training"})
    assert names(splits.training[8:]) == [f"im{n:03d}.png" for n in (50, 51, 53, 54, 55)]

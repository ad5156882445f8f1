"""The language of `dataset.filter` against Python's own evaluation, and what a filter does to a set."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_files import coco_document, random_sample, write_coco, write_picture

from stm32pose.data.expression import evaluate, parse_expression
from stm32pose.data.filter import NAMES, apply_filter, parse_filter
from stm32pose.data.readers import read_samples, scan_samples
from stm32pose.data.sample import Sample
from stm32pose.errors import ConfigError, UserError
from stm32pose.skeletons.skeleton import load_skeleton

COCO = load_skeleton("coco17")
NUMBERS, CONDITIONS = ("a", "b", "c"), ("p", "q")


def parse(text):
    return parse_expression(text, numbers=NUMBERS, conditions=CONDITIONS, where="dataset.filter")


numbers = st.deferred(
    lambda: st.one_of(
        st.sampled_from(NUMBERS),
        st.integers(0, 9).map(str),
        st.floats(0, 100).map(lambda value: repr(round(value, 3))),
        st.tuples(numbers, st.sampled_from("+-*/"), numbers).map(lambda parts: f"({' '.join(parts)})"),
        numbers.map(lambda text: f"-{text}"),
        conditions.map(lambda text: f"({text}) + 0"),
    )
)
conditions = st.deferred(
    lambda: st.one_of(
        st.sampled_from(CONDITIONS),
        st.tuples(numbers, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), numbers).map(" ".join),
        st.tuples(numbers, st.just("<"), numbers, st.just("<="), numbers).map(" ".join),
        st.tuples(conditions, st.sampled_from(["and", "or"]), conditions).map(lambda parts: f"({' '.join(parts)})"),
        conditions.map(lambda text: f"not ({text})"),
    )
)


@settings(max_examples=150, deadline=None)
@given(
    text=conditions,
    rows=st.lists(
        st.tuples(st.integers(-3, 3), st.integers(0, 3), st.floats(-10, 10), st.booleans(), st.booleans()), min_size=1
    ),
)
def test_rows_at_once_are_what_python_says_of_each(text, rows):
    columns = dict(zip((*NUMBERS, *CONDITIONS), map(np.array, zip(*rows, strict=True)), strict=True))
    expression = parse(text)
    found = np.logical_and.reduce(
        [np.broadcast_to(evaluate(part, columns), len(rows)) for _, part in expression.clauses]
    )
    for row, holds in zip(rows, found, strict=True):
        values = dict(zip((*NUMBERS, *CONDITIONS), row, strict=True))
        try:
            expected = eval(text, {"__builtins__": {}}, values)  # noqa: S307 (text is made above)
        except (ZeroDivisionError, OverflowError):
            continue  # Python has no value there
        assert bool(holds) == bool(expected), values


@pytest.mark.parametrize(
    "text", ["a / b > 0", "a / b < 0", "a / b == 0", "a / b != 0", "0 < a / b < 9", "a / b == a / b"]
)
def test_no_comparison_with_a_division_by_zero_holds(text):
    columns = {"a": np.array([1.0, 0.0, 4.0]), "b": np.array([0.0, 0.0, 2.0])}
    assert evaluate(parse(text).clauses[0][1], columns)[:2].tolist() == [False, False]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a >= 1 and bb > 2", 12, "unknown name 'bb'; did you mean 'b'?; names: a, b, c, p, q"),
        ("a", 1, "'a' is a number; wanted a condition, such as a > 0"),
        ("p and a + 1", 7, "'a + 1' is a number"),
        ("a = 1", 3, "a single = compares nothing: write =="),
        ("p AND q", 3, "lower case"),
        ("a > 1 and (b", 11, "never closed"),
        ("a >", 4, "something is missing"),
        ("a > 1 2", 7, "invalid syntax"),
        ("a.real > 1", 1, "not allowed"),
        ("a(1) > 1", 1, "not allowed"),
        ("a ** 9 > 1", 1, "not allowed"),
        ("a // 2 > 1", 1, "not allowed"),
        ("a % 2 > 1", 3, "'%' is not allowed"),
        ("a > 'x'", 5, "''' is not allowed"),
        ("a[0] > 1", 2, "'[' is not allowed"),
        ("p := q", 3, "':' is not allowed"),
        ("a is 1", 1, "only < <= > >= == != compare"),
        ("p if q else p", 1, "not allowed"),
        ("a > True", 5, "not allowed"),
        ("a > 1j", 5, "not allowed"),
        ("1e999 > a", 1, "too large"),
        ("__import__ > 1", 1, "unknown name"),
    ],
)
def test_what_is_not_of_the_language(text, place, message):
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value).startswith(f"dataset.filter: got '{text}'; at character {place}: "), caught.value
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "  ", "p and " * 400 + "p", "(" * 300 + "p" + ")" * 300, "not " * 249 + "p > 1 2"]
)
def test_long_and_deep_ones_end_at_once(text):
    start = time.perf_counter()
    with pytest.raises(ConfigError, match=r"^dataset.filter: "):
        parse(text)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("text", ["{}1 < 0", "{}1 + a > 0", "a * {}b > 0 and p"])
def test_what_is_accepted_can_be_evaluated(text):
    """960 minus signs pass Python's parser, and would end in its recursion limit behind the checker."""
    for signs in (*range(30, 60), 500, 900, 960, 980):
        signed = text.format("-" * signs)
        if signs > 50:
            with pytest.raises(ConfigError, match="nested too deeply"):
                parse(signed)
        elif signs < 45:
            for _, part in parse(signed).clauses:
                evaluate(part, {"a": np.ones(3), "b": np.ones(3), "p": np.ones(3, bool)})
    parse("not " * 40 + "p")
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse("not " * 51 + "p")


def make(people=3, images=4, seed=0):
    rng = np.random.default_rng(seed)
    samples = [random_sample(COCO, Path(f"{n}.jpg"), (480, 640), people, n) for n in range(images)]
    return [replace(s, crowd=rng.random(people) < 0.2, areas=s.areas * 0.5) for s in samples]


def by_hand(sample: Sample, row: int) -> dict[str, float]:
    """Every name of one instance, written out."""
    points, box = sample.keypoints[row], sample.boxes[row].astype(float)
    return {
        "visible": sum(v == 2 for v in points[:, 2]),
        "labelled": sum(v > 0 for v in points[:, 2]),
        "keypoints": 17,
        "box_width": box[2],
        "box_height": box[3],
        "box_area": box[2] * box[3],
        "area": float(sample.areas[row]),
        "box_share": box[2] * box[3] / (480 * 640),
        "head_size": 0,
        "image_width": 640,
        "image_height": 480,
        "instances": sum(not c for c in sample.crowd),
        "crowds": sum(sample.crowd),
        "crowd": bool(sample.crowd[row]),
        "has_left_ear": points[3, 2] > 0,
    }


@pytest.mark.parametrize("name", [*NAMES, "crowd", "has_left_ear"])
def test_every_name_is_what_it_says(name):
    samples = make(people=4, images=8)
    people = [by_hand(s, row)[name] for s in samples for row in range(4) if not s.crowd[row]]
    middle = sorted(people)[len(people) // 2]
    keep = sum(value > middle for value in people)
    kept, report = apply_filter(samples, parse_filter(f"{name} > {float(middle)!r}", COCO), COCO)
    assert (report.people, report.removed) == (len(people), len(people) - keep)
    assert sum(int((~s.crowd).sum()) for s in kept) == keep


def test_who_fails_becomes_a_crowd_and_images_without_people_go():
    samples = make(people=2, images=3)
    samples = [
        replace(s, crowd=np.zeros(2, bool), boxes=np.float32([[0, 0, 10, 10 + n], [0, 0, 50, 50]]))
        for n, s in enumerate(samples)
    ]
    samples[2] = replace(samples[2], boxes=np.float32([[0, 0, 1, 1], [0, 0, 2, 2]]))
    nobody = random_sample(COCO, Path("9.jpg"), people=0)
    crowd = replace(random_sample(COCO, Path("8.jpg")), crowd=np.array([True]))
    all_good = replace(samples[0], boxes=np.float32([[0, 0, 50, 50], [0, 0, 50, 50]]))
    kept, report = apply_filter(
        [*samples, nobody, crowd, all_good], parse_filter("box_width >= 20 and box_height > 3", COCO), COCO
    )
    assert [s.image.name for s in kept] == ["0.jpg", "1.jpg", "9.jpg", "8.jpg", "0.jpg"]
    assert [s.crowd.tolist() for s in kept] == [[True, False], [True, False], [], [True], [False, False]]
    assert kept[0].keypoints is samples[0].keypoints
    assert (kept[2], kept[3], kept[4]) == (nobody, crowd, all_good)
    assert report.record() == {
        "filter": "box_width >= 20 and box_height > 3",
        "people": 8,
        "removed": 4,
        "images_removed": 1,
        "failed": {"box_width >= 20": 4, "box_height > 3": 2},
    }
    assert "takes out 4 of 8 persons and with them 1 images: 4 fail box_width >= 20, 2 fail box_height > 3" in str(
        report
    )


@pytest.fixture
def folder(tmp_path):
    """An image of a large person beside a small one, one of a small person, one of two large ones, one of a crowd."""
    samples = []
    for number, heights in enumerate(((30, 5), (5,), (30, 35), (30, 5))):
        image = write_picture(tmp_path / "set" / f"{number}.png", seed=number)
        sample = random_sample(COCO, image, people=len(heights), seed=number)
        boxes = np.float32([[1, 1, 20, height] for height in heights])
        samples.append(replace(sample, boxes=boxes, areas=boxes[:, 2] * boxes[:, 3]))
    samples[3] = replace(samples[3], crowd=np.array([False, True]))
    write_coco(tmp_path / "labels.json", coco_document(samples, COCO.keypoints))
    return tmp_path / "set"


def stems(samples):
    return [sample.image.stem for sample in samples]


def test_single_multi_and_crops(folder, caplog):
    assert stems(read_samples(folder, COCO)) == ["1", "3"]
    with caplog.at_level(logging.INFO):
        assert stems(read_samples(folder, COCO, filter="box_height > 10")) == ["0", "3"]
    assert "the filter takes out 2 of 6 persons and with them 1 images" in caplog.text
    multi = read_samples(folder, COCO, pose="multi", filter="box_height > 10")
    assert [(s.image.stem, s.crowd.tolist()) for s in multi] == [
        ("0", [False, True]),
        ("2", [False, False]),
        ("3", [False, True]),
    ]
    crops = read_samples(folder, COCO, instance="crop", filter="box_height > 10")
    assert stems(crops) == ["0", "2", "2", "3"]
    assert stems(read_samples(folder, COCO, filter="crowds == 0")) == ["1"]
    assert stems(read_samples(folder, COCO, filter="instances == 1")) == ["1", "3"]


def test_a_filter_that_leaves_nobody_and_one_that_is_wrong(folder):
    with pytest.raises(UserError, match=r"dataset.filter: 'visible > 99' leaves nobody in .*6 fail visible > 99"):
        read_samples(folder, COCO, filter="visible > 99")
    with pytest.raises(ConfigError, match=r"dataset.mix\[1\].filter: got 'visble > 1'; at character 1.*'visible'"):
        scan_samples(folder, COCO, filter="visble > 1", where="dataset.mix[1].path")


def test_a_hundred_thousand_people_in_a_moment():
    count = 100_000
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(0, 3, (count, 1, 17, 3)).astype(np.float32)
    keypoints[..., 2] = np.floor(keypoints[..., 2])
    boxes = rng.uniform(0, 100, (count, 1, 4)).astype(np.float32)
    areas, crowd = boxes[..., 2], np.zeros(1, bool)
    samples = [Sample(Path("a.jpg"), (480, 640), keypoints[n], boxes[n], areas[n], crowd, n) for n in range(count)]
    start = time.perf_counter()
    kept, report = apply_filter(samples, parse_filter("visible >= 5 and box_height > 64 and has_nose", COCO), COCO)
    assert time.perf_counter() - start < 3
    expected = ((keypoints[..., 2] == 2).sum(-1) >= 5) & (boxes[..., 3] > 64) & (keypoints[..., 0, 2] > 0)
    assert len(kept) == count - report.removed == expected.sum()
    assert math.isclose(report.clauses["box_height > 64"], count * 0.64, rel_tol=0.02)

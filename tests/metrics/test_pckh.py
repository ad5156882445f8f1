"""PCKh against a plain implementation of MPII's published definition, written here joint by joint."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stm32pose.data.sample import Sample
from stm32pose.metrics.evaluate import evaluate_poses
from stm32pose.metrics.pck import head_reference
from stm32pose.skeletons.skeleton import load_skeleton

MPII = load_skeleton("mpii16")
SIDES = {"shoulder": (12, 13), "elbow": (11, 14), "wrist": (10, 15), "hip": (2, 3), "knee": (1, 4), "ankle": (0, 5)}
PELVIS, THORAX, HEAD = 6, 7, 9


def make(seed, images=30, boxes=True):
    rng = np.random.default_rng(seed)
    samples, predictions = [], []
    for index in range(images):
        points = np.concatenate([rng.uniform(20, 220, (1, 16, 2)), rng.integers(0, 3, (1, 16, 1))], axis=-1)
        points[0, 0, 2] = 2
        points[points[..., 2] == 0] = 0
        head = 0.6 * np.hypot(*rng.uniform(10, 60, 2))
        box = np.array([[10, 10, 220, 220]], np.float32)
        samples.append(
            Sample(
                image=Path(f"{index}.jpg"),
                size=(240, 240),
                keypoints=points.astype(np.float32),
                boxes=box,
                areas=box[:, 2] * box[:, 3],
                crowd=np.zeros(1, bool),
                image_id=index,
                head_sizes=np.array([head], np.float32) if boxes else None,
            )
        )
        pose = points.copy()
        pose[..., :2] += rng.normal(0, 0.4 * head, (1, 16, 2))
        pose[..., 2] = 0.5
        predictions.append(pose.astype(np.float32))
    return samples, predictions


def published(samples, predictions, threshold):
    """Joint by joint, as MPII's evaluation counts: error / head size <= threshold among labelled joints."""
    right, seen = [0] * 16, [0] * 16
    for sample, poses in zip(samples, predictions, strict=True):
        for joint in range(16):
            x, y, flag = (float(value) for value in sample.keypoints[0, joint])
            if flag == 0:
                continue
            error = math.dist((x, y), tuple(float(value) for value in poses[0, joint, :2]))
            seen[joint] += 1
            right[joint] += error / float(sample.head_sizes[0]) <= threshold
    share = [right[joint] / seen[joint] for joint in range(16)]
    counted = [joint for joint in range(16) if joint not in (PELVIS, THORAX)]
    total = sum(seen[joint] for joint in counted)
    groups = {"head": share[HEAD]} | {name: (share[a] + share[b]) / 2 for name, (a, b) in SIDES.items()}
    return groups | {"mean": sum(share[joint] * seen[joint] / total for joint in counted)}, share


@pytest.mark.parametrize("seed", range(4))
def test_pckh_is_the_published_one(seed):
    samples, predictions = make(seed)
    result = evaluate_poses(samples, predictions, MPII)
    for threshold in (0.5, 0.1):
        groups, share = published(samples, predictions, threshold)
        name = f"pckh@{threshold}"
        assert {row["group"]: row[name] for row in result["pckh"]["groups"]} == {
            group: pytest.approx(value, abs=1e-12) for group, value in groups.items()
        }
        assert result["metrics"][name] == pytest.approx(groups["mean"], abs=1e-12)
        if threshold == 0.5:
            assert [row[name] for row in result["per_keypoint"]] == pytest.approx(share)
    assert 0.02 < result["metrics"]["pckh@0.1"] < result["metrics"]["pckh@0.5"] < 0.9
    assert result["pckh"]["unit"] == "the labelled head size"


def test_the_factor_matters():
    """Without the 0.6 the same predictions would look better, which is how HyperPose's figures came about."""
    samples, predictions = make(5)
    larger = [replace(sample, head_sizes=sample.head_sizes / 0.6) for sample in samples]
    right = evaluate_poses(samples, predictions, MPII)["metrics"]["pckh@0.5"]
    assert evaluate_poses(larger, predictions, MPII)["metrics"]["pckh@0.5"] > right + 0.1


def test_without_head_boxes_the_segment_serves():
    samples, predictions = make(6, boxes=False)
    result = evaluate_poses(samples, predictions, MPII)
    assert result["pckh"]["unit"] == "1 x the distance of upper_neck and head_top"
    # A head size of the segment's own length gives the same; one of 0 means that there is none.
    lengths = [head_reference(sample.keypoints, None, MPII.head_segment) for sample in samples]
    given = [
        replace(sample, head_sizes=np.nan_to_num(length).astype(np.float32))
        for sample, length in zip(samples, lengths, strict=True)
    ]
    same = evaluate_poses(given, predictions, MPII)
    assert same["metrics"]["pckh@0.5"] == pytest.approx(result["metrics"]["pckh@0.5"])
    assert 0 < np.isnan(lengths).sum() < 30
    mixed = [*given[:-1], replace(given[-1], head_sizes=None)]
    boxed = int((~np.isnan(lengths[:-1])).sum())
    assert f"; {30 - boxed} without one: 1 x the" in evaluate_poses(mixed, predictions, MPII)["pckh"]["unit"]


def test_a_skeleton_without_a_head_reports_none_unless_the_labels_have_one():
    skeleton = load_skeleton("coco17")
    points = np.ones((1, 17, 3), np.float32) * (50, 60, 2)
    box = np.array([[40, 40, 30, 30]], np.float32)
    sample = Sample(Path("a.jpg"), (99, 99), points, box, box[:, 2] * 30, np.zeros(1, bool), 1)
    assert "pckh" not in evaluate_poses([sample], [points], skeleton)
    moved = points + np.float32([3, 0, 0])
    boxed = replace(sample, head_sizes=np.float32([6.0]))
    assert evaluate_poses([boxed], [moved], skeleton)["metrics"]["pckh@0.5"] == 1
    boxed = replace(sample, head_sizes=np.float32([5.9]))
    assert evaluate_poses([boxed], [moved], skeleton)["metrics"]["pckh@0.5"] == 0


def test_head_sizes_go_with_their_people():
    samples, _ = make(7, images=2)
    two = replace(
        samples[0],
        **{
            name: np.concatenate([getattr(sample, name) for sample in samples])
            for name in ("keypoints", "boxes", "areas", "crowd", "head_sizes")
        },
    )
    assert two.only(1).head_sizes.tolist() == samples[1].head_sizes.tolist()
    assert two.only([1, 0]).head_sizes.tolist() == [*samples[1].head_sizes, *samples[0].head_sizes]
    assert replace(two, head_sizes=None).only(0).head_sizes is None

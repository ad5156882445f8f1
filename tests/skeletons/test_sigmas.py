"""Simulated annotators whose sigma is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from stm32pose.errors import UserError
from stm32pose.skeletons import sigmas
from stm32pose.skeletons.skeleton import load_skeleton

NAMES = ["a", "b", "c"]
TRUE = np.array([0.02, 0.05, 0.1])


@pytest.fixture
def skeleton(tmp_path):
    path = tmp_path / "abc.yaml"
    path.write_text(yaml.safe_dump({"name": "abc", "category": "thing", "keypoints": NAMES}))
    return load_skeleton(str(path))


def annotate(path, seed, images=400, people=2, names=NAMES, drop=0.0):
    """A file of one annotator: per-axis error of sigma * s / sqrt(2), of things of many sizes."""
    truth, own = np.random.default_rng(0), np.random.default_rng(seed)
    annotations = []
    for image in range(images):
        for person in range(people):
            area = truth.uniform(400, 40_000)
            origin = np.array([1000.0 * person, 0])
            points = origin + truth.uniform(0, 300, (len(NAMES), 2))
            noisy = points + own.normal(size=points.shape) * TRUE[:, None] * np.sqrt(area / 2)
            flags = np.where(own.random(len(NAMES)) < drop, 0, 2)
            order = [NAMES.index(name) for name in names]
            keypoints = np.column_stack([noisy, flags])[order].ravel().tolist()
            record = {"id": len(annotations), "image_id": image, "category_id": 1, "area": area, "keypoints": keypoints}
            annotations.append({**record, "bbox": [*(origin + own.normal(size=2)).tolist(), 300, 300], "iscrowd": 0})
    own.shuffle(annotations)
    document = {
        "images": [{"id": image, "file_name": f"{image}.jpg"} for image in range(images)],
        "categories": [{"id": 1, "name": "thing", "keypoints": list(names)}],
        "annotations": annotations,
    }
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("annotators", [2, 5])
def test_known_sigmas_come_back(tmp_path, skeleton, annotators):
    files = [annotate(tmp_path / f"{seed}.json", seed + 1, images=600 // annotators) for seed in range(annotators)]
    assert np.allclose(sigmas.estimate_sigmas(files, skeleton), TRUE, rtol=0.06)


def test_missing_points_and_another_order_change_nothing(tmp_path, skeleton):
    files = [
        annotate(tmp_path / "1.json", 1, drop=0.3),
        annotate(tmp_path / "2.json", 2, names=["c", "a", "b"], drop=0.3),
        annotate(tmp_path / "3.json", 3),
    ]
    result = sigmas.estimate(files, skeleton)
    assert np.allclose(result.sigmas, TRUE, rtol=0.06)
    assert (result.freedom < 2 * 800).all()


def test_two_annotators_by_hand(tmp_path, skeleton):
    for name, shift in (("1", 0.0), ("2", 6.0)):
        points = [[10 + shift, 10, 2], [50, 50 + shift, 1], [90, 90, 2]]
        document = {
            "images": [{"id": 7, "file_name": "x/y.jpg"}],
            "categories": [{"id": 3, "name": "thing", "keypoints": NAMES}],
            "annotations": [
                {
                    "id": 1,
                    "image_id": 7,
                    "category_id": 3,
                    "area": 900,
                    "bbox": [0, 0, 100, 100],
                    "keypoints": points[0] + points[1] + points[2],
                }
            ],
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    found = sigmas.estimate_sigmas([tmp_path / "1.json", tmp_path / "2.json"], skeleton)
    assert found == pytest.approx([np.sqrt(36 / 2 / 900), np.sqrt(36 / 2 / 900), 0])


def test_errors_are_one_line(tmp_path, skeleton, capsys):
    one = annotate(tmp_path / "1.json", 1, images=2)
    with pytest.raises(UserError, match="wanted two or more"):
        sigmas.estimate_sigmas([one], skeleton)
    two = annotate(tmp_path / "2.json", 2, images=2, names=["a", "b"])
    with pytest.raises(UserError, match="no instance has two annotations of c"):
        sigmas.estimate_sigmas([one, two], skeleton)
    (tmp_path / "3.json").write_text("[1, 2]")
    with pytest.raises(UserError, match=r"3\.json: not a COCO keypoints file"):
        sigmas.estimate_sigmas([one, tmp_path / "3.json"], skeleton)
    assert sigmas.main(["--skeleton", "person13", str(one), str(tmp_path / "none.json")]) == 1
    assert "none.json: cannot be read" in capsys.readouterr().err


def test_the_command_prints_what_a_yaml_takes(tmp_path, skeleton, capsys):
    files = [str(annotate(tmp_path / f"{seed}.json", seed, images=50)) for seed in (1, 2)]
    assert sigmas.main(["--skeleton", str(tmp_path / "abc.yaml"), *files]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert np.allclose([printed["sigmas"][name] for name in NAMES], TRUE, rtol=0.3)
    path = tmp_path / "with.yaml"
    path.write_text(yaml.safe_dump({"name": "abc", "category": "thing", "keypoints": NAMES, **printed}))
    assert load_skeleton(str(path)).sigmas_published

"""Real annotation files, read as their users have them."""

from __future__ import annotations

import numpy as np
import yaml

from stm32pose.config.data_sections import Dataset
from stm32pose.data.checks import check_samples
from stm32pose.data.problems import errors_of
from stm32pose.data.readers import read_samples, scan_samples
from stm32pose.data.splits import make_splits
from stm32pose.skeletons.skeleton import load_skeleton, resolve_skeleton


def test_leeds_sports_pose(shared):
    lsp = load_skeleton("lsp14")
    samples = read_samples(shared / "data" / "lspet_1200" / "images", lsp)
    assert len(samples) == 1200
    first = next(sample for sample in samples if sample.image_id == 5)
    assert first.size == (164, 219)
    assert first.keypoints[0, 0].tolist() == [np.float32(145.83), np.float32(95.502), 2]
    assert int((first.keypoints[0, :, 2] > 0).sum()) == 10
    assert errors_of(check_samples(samples[:40], lsp)) == []
    # The same file for another skeleton: limbs by name, the head not labelled.
    coco, problems = scan_samples(shared / "data" / "lspet_1200" / "images", load_skeleton("coco17"))
    assert [problem.code for problem in problems] == ["missing_joint"]
    ankle, ours = load_skeleton("coco17").keypoints.index("right_ankle"), lsp.keypoints.index("right_ankle")
    assert all(np.array_equal(a.keypoints[0, ankle], b.keypoints[0, ours]) for a, b in zip(coco, samples, strict=True))


def test_coco(shared):
    folder = shared / "data" / "coco_mini"
    for skeleton in (load_skeleton("coco17"), load_skeleton("person13")):
        for name in ("train2017", "val2017"):
            single = read_samples(folder / name, skeleton)
            multi = read_samples(folder / name, skeleton, pose="multi")
            crops = read_samples(folder / name, skeleton, instance="crop")
            assert len(multi) == 32
            assert len(single) > 10
            labelled = sum(int((s.keypoints[~s.crowd, :, 2] > 0).any(axis=1).sum()) for s in multi)
            assert len(crops) == labelled
            assert {sample.image for sample in single} <= {sample.image for sample in multi}
            assert errors_of(check_samples(multi, skeleton)) == []


def test_hands(shared):
    hand = resolve_skeleton(Dataset.model_validate({"keypoints": 21, "class_names": ["hand"]}))
    samples = read_samples(shared / "data" / "hands_120" / "images", hand)
    assert len(samples) == 120
    assert samples[0].keypoints.shape == (1, 21, 3)
    assert errors_of(check_samples(samples[:20], hand)) == []


def test_a_skeleton_nobody_ships(shared, tmp_path, monkeypatch):
    """Five points of an animal experiment, with the user's own YAML, named relative to the current folder."""
    content = {
        "name": "reaching",
        "category": "animal",
        "keypoints": ["Joystick1", "Joystick2", "Hand", "Finger1", "Tongue"],
        "edges": [["Hand", "Finger1"], ["Joystick1", "Joystick2"]],
    }
    (tmp_path / "reaching.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    folder = shared / "data" / "reaching_5kpts"
    dataset = Dataset.model_validate({"skeleton": "reaching.yaml", "training_path": str(folder)})
    skeleton = resolve_skeleton(dataset)
    splits = make_splits(dataset, skeleton, {"training"})
    assert (len(splits.training), len(splits.validation)) == (19, 5)
    first = next(sample for sample in splits.training + splits.validation if sample.image.name == "img005.png")
    assert first.keypoints[0, 2].tolist() == [np.float32(185.252), np.float32(610.362), 2]  # Hand
    assert not first.keypoints[0, 4].any()  # Tongue
    assert first.size == (747, 832)


def test_whole_body_files_of_others(shared):
    """COCO annotations with further keys and images that are not here."""
    folder = shared / "data" / "mmpose_samples" / "coco"
    samples, problems = scan_samples(
        folder, load_skeleton("coco17"), annotations=folder / "test_coco_wholebody.json", pose="multi"
    )
    assert len(samples) == 4
    assert not errors_of(problems)

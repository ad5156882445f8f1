"""All figures of an evaluation against hand-made and independent ones."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.data.sample import Sample
from stm32pose.errors import UserError
from stm32pose.metrics import pck
from stm32pose.metrics.coco_ap import coco_ap
from stm32pose.metrics.evaluate import evaluate_poses, quick_metrics
from stm32pose.metrics.oks import oks, oks_st
from stm32pose.skeletons.skeleton import load_skeleton

PERSON = load_skeleton("person13")
MPII = load_skeleton("mpii16")


def make_samples(seed=0, images=20, people=1, skeleton=PERSON, size=(240, 320)) -> list[Sample]:
    """Random people; the labelled keypoints span the box, the area is a segment's."""
    rng = np.random.default_rng(seed)
    samples = []
    for index in range(images):
        corner = rng.uniform(0, 100, (people, 1, 2))
        extent = rng.uniform(40, 130, (people, 1, 2))
        shares = rng.random((people, skeleton.count, 2))
        flags = rng.integers(0, 3, (people, skeleton.count, 1))
        flags[:, :2] = 2
        keypoints = np.concatenate([corner + shares * extent, flags], axis=-1).astype(np.float32)
        boxes = np.concatenate([corner, extent], axis=-1)[:, 0].astype(np.float32)
        areas = (0.4 * boxes[:, 2] * boxes[:, 3]).astype(np.float32)
        samples.append(Sample(Path(f"{index}.jpg"), size, keypoints, boxes, areas, np.zeros(people, bool), image_id=7))
    return samples


def predict(samples, noise=0.0, seed=1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    poses = []
    for sample in samples:
        pose = sample.keypoints.astype(np.float64)
        pose[..., :2] += rng.normal(0, 1, pose[..., :2].shape) * noise
        pose[..., 2] = rng.random(pose.shape[:2])
        poses.append(pose.astype(np.float32))
    return poses


def test_a_perfect_prediction():
    result = evaluate_poses(make_samples(skeleton=MPII), predict(make_samples(skeleton=MPII)), MPII)
    metrics = result["metrics"]
    assert metrics.pop("epe_px") == 0
    assert metrics.pop("mean_oks_st") == pytest.approx(1, abs=1e-6)
    assert metrics == dict.fromkeys(
        ["mean_oks", "AP", "AP50", "AP75", "AR", "pck@0.05", "pck@0.1", "pck@0.2", "pckh@0.5", "pckh@0.1"],
        pytest.approx(1),
    )
    assert [row["oks"] for row in result["per_keypoint"]] == [1] * 16
    assert sum(row["instances"] for row in result["by_size"]) == 20
    assert [row["index"] for row in result["per_image"]] == list(range(20))
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_figures_equal_plain_loops():
    samples, noise = make_samples(images=30), 9.0
    predictions = predict(samples, noise)
    result = evaluate_poses(samples, predictions, PERSON)
    scores, lengths, sizes, published = [], [], [], []
    for sample, poses in zip(samples, predictions, strict=True):
        truth, pose = sample.keypoints[0].astype(float), poses[0].astype(float)
        seen = truth[:, 2] > 0
        apart = np.sqrt(((truth[:, :2] - pose[:, :2]) ** 2).sum(1))
        scores.append(np.exp(-(apart**2) / (8 * PERSON.sigmas**2 * float(sample.areas[0])))[seen].mean())
        published.append(float(oks_st(pose, truth, sample.boxes[0], sample.size, PERSON.sigmas)))
        lengths += list(apart[seen])
        sizes += [float(sample.boxes[0, 2:].max())] * int(seen.sum())
    lengths, sizes = np.array(lengths), np.array(sizes)
    metrics = result["metrics"]
    assert metrics["mean_oks"] == pytest.approx(np.mean(scores))
    assert metrics["mean_oks_st"] == pytest.approx(np.mean(published))
    assert metrics["epe_px"] == pytest.approx(lengths.mean())
    for threshold in (0.05, 0.1, 0.2):
        assert metrics[f"pck@{threshold}"] == pytest.approx((lengths <= threshold * sizes).mean())
    assert "pckh@0.5" not in metrics
    assert 0 < metrics["AP"] < 1
    assert [row["oks"] for row in result["per_image"]] == pytest.approx(scores)
    labelled = [row["labelled"] for row in result["per_keypoint"]]
    assert sum(labelled) == len(lengths) == result["counts"]["keypoints"]
    weighted = sum(row["epe_px"] * row["labelled"] for row in result["per_keypoint"]) / len(lengths)
    assert weighted == pytest.approx(lengths.mean())
    quick = quick_metrics(samples, predictions, PERSON)
    assert quick == {name: pytest.approx(metrics[name]) for name in ("mean_oks", "pck@0.2", "epe_px")}


def test_pckh_uses_the_head():
    samples = make_samples(images=1, skeleton=MPII)
    truth = samples[0].keypoints
    truth[..., 2] = 2
    neck, top = MPII.head_segment
    head = float(np.hypot(*(truth[0, neck, :2] - truth[0, top, :2])))
    predictions = predict(samples)
    for joint in range(8):
        predictions[0][0, joint, 0] += head * (0.45 if joint < 4 else 0.55)
    # Pelvis and thorax, joints 6 and 7, are moved too far as well, and do not count.
    assert evaluate_poses(samples, predictions, MPII)["metrics"]["pckh@0.5"] == pytest.approx(12 / 14)
    truth[0, neck, 2] = 0
    assert evaluate_poses(samples, predictions, MPII)["metrics"]["pckh@0.5"] is None


def test_ap_of_single_poses_is_what_counting_gives():
    samples = make_samples(images=40)
    predictions = predict(samples, 6.0)
    scores = np.array(
        [float(oks(p[0], s.keypoints[0], s.areas[0], PERSON.sigmas)) for s, p in zip(samples, predictions, strict=True)]
    )
    confidence = np.array([p[0, :, 2].mean() for p in predictions])
    average = []
    for threshold in np.arange(0.5, 0.96, 0.05):
        hits = (scores >= threshold)[np.argsort(-confidence, kind="stable")]
        precision = np.maximum.accumulate((np.cumsum(hits) / np.arange(1, 41))[::-1])[::-1]
        recall = np.cumsum(hits) / 40
        at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
        average.append(np.where(at < 40, precision[np.minimum(at, 39)], 0).mean())
    result = coco_ap(samples, predictions, PERSON.sigmas)
    assert result["AP"] == pytest.approx(np.mean(average), abs=1e-9)
    assert result["AP50"] == pytest.approx(average[0])
    assert result["AP75"] == pytest.approx(average[5])
    assert result["AR"] == pytest.approx(np.mean([(scores >= t).mean() for t in np.arange(0.5, 0.96, 0.05)]))


def test_the_networks_own_scores_rank_the_poses():
    samples = make_samples(images=30)
    predictions = predict(samples, 6.0)
    right = [
        float(oks(p[0], s.keypoints[0], s.areas[0], PERSON.sigmas)) for s, p in zip(samples, predictions, strict=True)
    ]
    honest = [np.array([value]) for value in right]
    liar = [1 - value for value in honest]
    by_score = coco_ap(samples, predictions, PERSON.sigmas, honest)
    assert by_score["AP"] > coco_ap(samples, predictions, PERSON.sigmas)["AP"]
    assert by_score["AP"] > coco_ap(samples, predictions, PERSON.sigmas, liar)["AP"]
    assert by_score["AR"] == coco_ap(samples, predictions, PERSON.sigmas, liar)["AR"]
    mean = [pose[..., 2].mean(axis=-1) for pose in predictions]
    assert coco_ap(samples, predictions, PERSON.sigmas, mean) == coco_ap(samples, predictions, PERSON.sigmas)
    result = evaluate_poses(samples, predictions, PERSON, honest)
    assert result["metrics"]["AP"] == by_score["AP"]


def test_ap_is_what_the_library_makes_of_a_results_file():
    from faster_coco_eval import COCO, COCOeval_faster

    from stm32pose.metrics import coco_ap as room

    samples = make_samples(images=12, people=3)
    predictions = [poses[: index % 4] for index, poses in enumerate(predict(samples, 9.0))]
    predictions[5][0, 3, 0] = np.nan
    truth = COCO(room._dataset(samples))
    results = [
        {"image_id": image, "category_id": 1, "keypoints": pose.ravel().tolist(), "score": float(pose[:, 2].mean())}
        for image, poses in enumerate(predictions)
        for pose in poses.astype(np.float64)
        if np.isfinite(pose).all()
    ]
    sigmas: list[float] = PERSON.sigmas.tolist()
    evaluation = COCOeval_faster(truth, truth.loadRes(results), iouType="keypoints", kpt_oks_sigmas=sigmas)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    ours = coco_ap(samples, predictions, PERSON.sigmas)
    library = dict(zip(("AP", "AP50", "AP75"), evaluation.stats[:3], strict=True))
    assert {name: ours[name] for name in library} == {name: pytest.approx(value) for name, value in library.items()}
    assert ours["AR"] == pytest.approx(evaluation.stats[5])


def test_weak_poses_count_for_ap_alone():
    samples = make_samples(images=6, people=2)
    found = predict(samples)  # both people, exactly
    scores = [np.array([0.9, 0.1])] * 6
    everything = evaluate_poses(samples, found, PERSON, scores, several=True)
    sure = evaluate_poses(samples, found, PERSON, scores, several=True, confidence=0.25)
    assert everything["metrics"]["mean_oks"] == pytest.approx(1)
    assert sure["metrics"]["mean_oks"] == pytest.approx(0.5)  # the second person counts as missed
    assert sure["metrics"]["AP"] == everything["metrics"]["AP"] == pytest.approx(1)
    assert (everything["counts"]["poses"], sure["counts"]["poses"]) == (12, 6)


def test_a_detector_that_finds_one_of_two_misses_one():
    samples = make_samples(images=6, people=2)
    one = [poses[:1] for poses in predict(samples)]
    assert evaluate_poses(samples, one, PERSON)["metrics"]["mean_oks"] == pytest.approx(1)
    assert evaluate_poses(samples, one, PERSON, several=True)["metrics"]["mean_oks"] == pytest.approx(0.5)
    nobody = [poses[:0] for poses in one]
    assert evaluate_poses(samples, nobody, PERSON, several=True)["metrics"]["mean_oks"] == 0


def test_curves_have_ap_as_their_mean():
    samples = make_samples(images=25, people=3)
    result = evaluate_poses(samples, predict(samples, 8.0), PERSON)
    curves, metrics = result["precision_recall"], result["metrics"]
    assert list(curves["precision"]) == [f"{0.5 + 0.05 * step:.2f}" for step in range(10)]
    assert curves["recall"] == pytest.approx(np.linspace(0, 1, 101))
    assert np.mean(curves["precision"]["0.50"]) == pytest.approx(metrics["AP50"])
    assert np.mean(curves["precision"]["0.75"]) == pytest.approx(metrics["AP75"])
    assert np.mean(list(curves["precision"].values())) == pytest.approx(metrics["AP"])
    for row in curves["precision"].values():
        assert (np.diff(row) <= 1e-12).all()


def test_a_single_prediction_is_judged_on_the_person_it_fits():
    samples = make_samples(images=10, people=3)
    chosen = np.arange(10) % 3
    predictions = [pose[[row]] for pose, row in zip(predict(samples), chosen, strict=True)]
    metrics = evaluate_poses(samples, predictions, PERSON)["metrics"]
    assert metrics["mean_oks"] == pytest.approx(1)
    assert metrics["epe_px"] == pytest.approx(0)
    assert metrics["AP"] < 0.5  # two of three people are missed, and AP says so
    assert metrics["mean_oks_st"] < 0.8  # ST looks at the first person only


def test_several_predictions_are_paired_one_to_one_and_misses_count():
    samples = make_samples(images=4, people=3)
    predictions = [pose[[2, 0, 1]] for pose in predict(samples)]
    assert evaluate_poses(samples, predictions, PERSON)["metrics"]["mean_oks"] == pytest.approx(1)
    predictions = [pose[[1, 2]] for pose in predict(samples)]
    metrics = evaluate_poses(samples, predictions, PERSON)["metrics"]
    assert metrics["mean_oks"] == pytest.approx(2 / 3)
    assert metrics["epe_px"] == pytest.approx(0)  # of those found


def test_golden_matching_of_st():
    """OKS of ground truths against predictions [[.951, .994], [.877, .789]]: both are matched, ST reports one."""
    sigma, area = 0.1, 10_000.0

    def apart(value):
        return float(np.sqrt(-np.log(value) * 2 * area) * 2 * sigma)

    # One keypoint each; the places follow from the distances (two circles cut).
    first, second = np.array([0.0, 0.0]), np.array([13.0, 0.0])
    places = []
    for near, far in ((0.951, 0.877), (0.994, 0.789)):
        x = (apart(near) ** 2 - apart(far) ** 2 + 169) / 26
        places.append([x, np.sqrt(apart(near) ** 2 - x**2)])
    truth = np.array([[[*first, 2]], [[*second, 2]]], np.float32)
    boxes = np.array([[0, 0, 200, 200]] * 2, np.float32)
    sample = Sample(Path("a.jpg"), (300, 300), truth, boxes, np.full(2, area, np.float32), np.zeros(2, bool), 1)
    poses = np.array([[[*places[0], 0.6]], [[*places[1], 0.9]]])
    matrix = oks(poses[None, :], truth[:, None], np.full((2, 1), area), np.array([sigma]))
    np.testing.assert_allclose(matrix, [[0.951, 0.994], [0.877, 0.789]], atol=1e-5)
    assert coco_ap([sample], [poses], np.array([sigma]))["AP50"] == pytest.approx(1)


def test_crowds_and_unlabelled_people_are_neither_truth_nor_error():
    samples = make_samples(images=6)
    predictions = predict(samples, 5.0)
    expected = evaluate_poses(samples, predictions, PERSON)["metrics"]
    extra = [
        replace(
            sample,
            keypoints=np.concatenate(
                [sample.keypoints, sample.keypoints + np.array([999, 0, 0]), sample.keypoints * [1, 1, 0]]
            ),
            boxes=np.concatenate([sample.boxes, sample.boxes, sample.boxes + np.array([999, 0, 0, 0])]),
            areas=np.tile(sample.areas, 3),
            crowd=np.array([False, True, False]),
        )
        for sample in samples
    ]
    metrics = evaluate_poses(extra, predictions, PERSON)["metrics"]
    assert metrics == {name: pytest.approx(value, abs=1e-6) for name, value in expected.items()}


def test_a_crowd_is_no_partner():
    samples = make_samples(images=3, people=2)
    for sample in samples:
        sample.keypoints[1, :, :2] += 500
        sample.crowd[0] = True
    predictions = [pose[[0]] for pose in predict(samples)]
    assert evaluate_poses(samples, predictions, PERSON)["metrics"]["mean_oks"] < 1e-6


def test_a_person_has_one_partner():
    samples = make_samples(images=3, people=2)
    for sample in samples:
        sample.keypoints[1, :, :2] += 500
    first = [pose[0] for pose in predict(samples)]
    predictions = [np.stack([pose, pose + np.array([1, 0, 0], np.float32)]) for pose in first]
    assert evaluate_poses(samples, predictions, PERSON)["metrics"]["mean_oks"] == pytest.approx(0.5)


def test_images_without_labels_count_only_in_the_figure_of_st():
    samples = make_samples(images=4)
    samples[1].keypoints[..., 2] = 0
    result = evaluate_poses(samples, predict(samples), PERSON)
    assert result["metrics"]["mean_oks"] == 1
    assert result["metrics"]["mean_oks_st"] == pytest.approx(0.75)
    assert result["per_image"][1]["oks"] is None
    assert result["counts"]["images"] == 4
    assert result["counts"]["images_labelled"] == 3


def test_nothing_labelled_gives_null_and_no_prediction_gives_zero():
    samples = make_samples(images=3)
    nothing = [np.zeros((0, 13, 3), np.float32)] * 3
    metrics = evaluate_poses(samples, nothing, PERSON)["metrics"]
    assert (metrics["mean_oks"], metrics["pck@0.2"], metrics["AP"]) == (0, 0, 0)
    assert metrics["epe_px"] is None
    for sample in samples:
        sample.keypoints[..., 2] = 0
    result = evaluate_poses(samples, predict(samples), PERSON)
    assert {name for name, value in result["metrics"].items() if value is not None} == {"mean_oks_st"}
    assert all(row["oks"] is None and row["labelled"] == 0 for row in result["per_keypoint"])
    assert result["precision_recall"] is None
    json.dumps(result, allow_nan=False)
    empty = replace(samples[0], keypoints=np.zeros((0, 13, 3), np.float32), boxes=np.zeros((0, 4), np.float32))
    empty = replace(empty, areas=np.zeros(0, np.float32), crowd=np.zeros(0, bool))
    assert quick_metrics([empty], predict(samples[:1]), PERSON) == {"mean_oks": None, "pck@0.2": None, "epe_px": None}


def test_sizes_are_shares_of_the_picture():
    samples = make_samples(images=3)
    for sample, side in zip(samples, (20, 80, 200), strict=True):
        sample.boxes[0, 2:] = side
    rows = evaluate_poses(samples, predict(samples, 3.0), PERSON)["by_size"]
    assert [row["instances"] for row in rows] == [1, 1, 1]
    cropped = [replace(samples[0], region=(0.0, 0.0, 40.0, 40.0))]
    rows = evaluate_poses(cropped, predict(cropped), PERSON)["by_size"]
    assert [row["instances"] for row in rows] == [0, 0, 1]
    assert rows[0]["mean_oks"] is None


@given(st.integers(0, 2**32 - 1), st.floats(0, 40))
@settings(max_examples=15, deadline=None)
def test_figures_stay_in_bounds_and_worsen_with_the_threshold(seed, noise):
    samples = make_samples(seed % 1000, images=5)
    predictions = predict(samples, noise, seed)
    metrics = evaluate_poses(samples, predictions, PERSON)["metrics"]
    assert all(0 <= value <= 1 + 1e-9 for name, value in metrics.items() if name != "epe_px")
    assert metrics["pck@0.05"] <= metrics["pck@0.1"] <= metrics["pck@0.2"]
    assert metrics["AP"] <= metrics["AP50"]
    order = np.random.default_rng(seed).permutation(5)
    shuffled = evaluate_poses([samples[i] for i in order], [predictions[i] for i in order], PERSON)["metrics"]
    assert shuffled == {name: pytest.approx(value) for name, value in metrics.items()}


@pytest.mark.parametrize(
    ("samples", "predictions", "text"),
    [
        ([], [], "no images"),
        (make_samples(images=2), predict(make_samples(images=1)), "1 predictions for 2 images"),
        (make_samples(images=1), [np.zeros((1, 17, 3))], r"\(1, 17, 3\)"),
        (make_samples(images=1, skeleton=MPII), [np.zeros((1, 13, 3))], "16 keypoints, the skeleton has 13"),
    ],
)
def test_what_does_not_fit_is_answered_in_one_line(samples, predictions, text):
    for function in (evaluate_poses, quick_metrics):
        with pytest.raises(UserError, match=text) as caught:
            function(samples, predictions, PERSON)
        assert "\n" not in str(caught.value)


def test_scores_that_do_not_fit_are_refused():
    samples = make_samples(images=2)
    with pytest.raises(UserError, match="scores do not fit"):
        evaluate_poses(samples, predict(samples), PERSON, [np.ones(2), np.ones(1)])


def test_nothing_is_printed(capfd):
    evaluate_poses(make_samples(), predict(make_samples()), PERSON)
    assert capfd.readouterr() == ("", "")


def test_quick_metrics_are_quick():
    samples = make_samples(images=2000)
    predictions = predict(samples, 3.0)
    start = time.perf_counter()
    quick_metrics(samples, predictions, PERSON)
    assert time.perf_counter() - start < 1.0  # 0.03 s on an idle machine


def test_boxes_without_extent_are_left_out_of_pck():
    lengths = np.array([[1.0, 3.0, np.nan], [0.0, 0.0, 0.0]])
    hits = pck.correct(lengths, np.array([20.0, 0.0]), 0.1)
    np.testing.assert_array_equal(hits, [[1, 0, np.nan], [np.nan] * 3])

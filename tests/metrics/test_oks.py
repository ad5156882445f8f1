"""OKS: the reference implementation, published golden values, laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.metrics.oks import AREA_SHARE, effective_areas, oks, oks_st
from stm32pose.skeletons.skeleton import load_skeleton

COCO = load_skeleton("coco17").sigmas


def random_case(seed: int, count: int = 17, size: float = 100.0):
    rng = np.random.default_rng(seed)
    truth = np.concatenate([rng.uniform(0, size, (count, 2)), rng.integers(0, 3, (count, 1))], axis=1)
    truth[rng.integers(count), 2] = 2
    pred = truth[:, :2] + rng.normal(0, size / 20, (count, 2))
    return pred, truth, float(rng.uniform(0.05, 1) * size**2), rng.uniform(0.02, 0.12, count)


def reference_oks(preds: list, truths: list, areas: list, sigmas: np.ndarray) -> np.ndarray:
    """The matrix [predictions, truths] of faster-coco-eval for one image."""
    from faster_coco_eval import COCO as Coco
    from faster_coco_eval import COCOeval_faster

    annotations = [
        {
            "id": index + 1,
            "image_id": 1,
            "category_id": 1,
            "keypoints": truth.ravel().tolist(),
            "num_keypoints": int((truth[:, 2] > 0).sum()),
            "bbox": [0, 0, 10, 10],
            "area": area,
            "iscrowd": 0,
        }
        for index, (truth, area) in enumerate(zip(truths, areas, strict=True))
    ]
    coco = Coco(
        {
            "images": [{"id": 1, "height": 9, "width": 9}],
            "annotations": annotations,
            "categories": [{"id": 1, "name": "a"}],
        }
    )
    results = [
        {
            "image_id": 1,
            "category_id": 1,
            "keypoints": np.concatenate([pred, np.ones((len(pred), 1))], axis=1).ravel().tolist(),
            "score": 1.0 - 0.01 * index,
        }
        for index, pred in enumerate(preds)
    ]
    evaluation = COCOeval_faster(coco, coco.loadRes(results), iouType="keypoints", kpt_oks_sigmas=sigmas)
    evaluation.evaluate()
    return np.asarray(evaluation.ious[1, 1])


@pytest.mark.parametrize("count", [1, 5, 13, 17, 68])
def test_equals_the_reference_implementation(count):
    cases = [random_case(seed, count) for seed in range(12)]
    preds, truths, areas = ([case[index] for case in cases] for index in range(3))
    sigmas = cases[0][3]
    ours = oks(np.stack(preds)[:, None], np.stack(truths)[None], np.array(areas)[None], sigmas)
    np.testing.assert_allclose(ours, reference_oks(preds, truths, areas, sigmas), rtol=0, atol=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_laws(seed, count):
    pred, truth, area, sigmas = random_case(seed, count)
    value = oks(pred, truth, area, sigmas)
    assert 0 <= value <= 1
    assert oks(truth[:, :2], truth, area, sigmas) == 1
    order = np.random.default_rng(seed).permutation(count)
    np.testing.assert_allclose(oks(pred[order], truth[order], area, sigmas[order]), value)
    moved, scaled = truth.copy(), truth.copy()
    moved[:, :2] += [31, -7]
    scaled[:, :2] *= 3
    np.testing.assert_allclose(oks(pred + np.array([31, -7]), moved, area, sigmas), value, atol=1e-9)
    np.testing.assert_allclose(oks(pred * 3, scaled, area * 9, sigmas), value, atol=1e-9)
    hidden = truth.copy()
    hidden[0, 2] = 0
    other = pred.copy()
    other[0] += 1000
    if (hidden[:, 2] > 0).any():
        assert oks(other, hidden, area, sigmas) == oks(pred, hidden, area, sigmas)


def test_a_known_distance():
    truth = np.array([[50.0, 50.0, 2.0], [0.0, 0.0, 0.0]])
    sigma, area = 0.1, 400.0
    pred = truth[:, :2] + 2 * sigma * np.sqrt(area)  # one standard deviation along both axes
    np.testing.assert_allclose(oks(pred, truth, area, np.array([sigma, sigma])), np.exp(-1))


def test_nothing_labelled_is_not_a_number_and_nan_predictions_are_misses():
    truth = np.zeros((2, 3, 3))
    truth[1, :, 2] = 2
    pred = np.zeros((2, 3, 2))
    pred[:, 0] = np.nan
    values = oks(pred, truth, np.ones(2), np.full(3, 0.1))
    assert np.isnan(values[0])
    np.testing.assert_allclose(values[1], 2 / 3)


def st_case():
    points = np.random.RandomState(0).rand(17, 2) * 0.4 + 0.3
    return points, np.array([0.3, 0.3, 0.4, 0.4])


@pytest.mark.parametrize("size", [(1, 1), (192, 192), (480, 640)])
def test_golden_value_of_st(size):
    points, box = st_case()
    scale = np.array(size[::-1])
    truth = np.concatenate([points * scale, np.ones((17, 1))], axis=1)
    value = oks_st((points + 0.01) * scale, truth, box * np.tile(scale, 2), size, COCO)
    np.testing.assert_allclose(value, 0.8774, atol=5e-5)
    truth[:, 2] = 0
    assert oks_st((points + 0.01) * scale, truth, box * np.tile(scale, 2), size, COCO) == 0


def test_the_two_definitions_agree_on_square_images_and_differ_on_others():
    points, _ = st_case()
    truth = np.concatenate([points * 200, np.full((17, 1), 2)], axis=1)
    box = np.array([60.0, 60.0, 80.0, 80.0])
    shifted = points * 200 + [10, 0]
    area = AREA_SHARE * 80 * 80
    square = oks_st(shifted, truth, box, (200, 200), COCO)
    np.testing.assert_allclose(square, oks(shifted, truth, area, COCO), atol=1e-4)
    wide = oks_st(shifted, truth, box, (200, 400), COCO)
    turned = oks_st(points * 200 + [0, 10], truth, box, (200, 400), COCO)
    assert wide > square + 0.02
    assert turned < square - 0.02


def test_areas_without_a_segment_are_half_a_box():
    boxes = np.array([[0, 0, 10, 20]] * 4, np.float32)
    areas = np.array([90, 200, 200.0001, 0], np.float32)
    np.testing.assert_allclose(effective_areas(areas, boxes), [90, 106, 106, 106])

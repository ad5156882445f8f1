"""Average precision and recall of poses by COCO's protocol, computed by faster-coco-eval."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stm32pose.data.sample import Sample
from stm32pose.metrics.oks import effective_areas

THRESHOLDS = tuple(0.5 + 0.05 * step for step in range(10))
MOST = 20
"""Poses an image that COCO's protocol looks at, the best first."""


@dataclass(frozen=True, eq=False)
class CocoResult:
    """What COCO's protocol says of all images.

    Attributes:
        metrics: AP, AP50, AP75, AR in 0..1; None where there is no truth.
        precision: float64 [10, 101], the best precision at a recall of 0, 0.01 ... 1 or more, a row an OKS threshold of
            `THRESHOLDS`; NaN where there is no truth.
    """

    metrics: dict[str, float | None]
    precision: np.ndarray


def coco_ap(
    samples: Sequence[Sample],
    predictions: Sequence[np.ndarray],
    sigmas: np.ndarray,
    scores: Sequence[np.ndarray] | None = None,
) -> dict[str, float | None]:
    """AP, AP50, AP75 and AR of `coco_result`; same arguments."""
    return coco_result(samples, predictions, sigmas, scores).metrics


def coco_result(
    samples: Sequence[Sample],
    predictions: Sequence[np.ndarray],
    sigmas: np.ndarray,
    scores: Sequence[np.ndarray] | None = None,
) -> CocoResult:
    """AP and AR over OKS thresholds 0.50 to 0.95, all sizes, at most 20 detections an image.

    Every sample is an image of its own, also where several are crops of one file. Instances that are crowds or have
    no labelled keypoint are neither truth nor error. A pose with a coordinate that is not finite is dropped.

    Args:
        samples: the truth.
        predictions: one [M, K, 3] a sample, (x, y, score) in image pixels.
        sigmas: [K].
        scores: one [M] a sample, by which poses are ranked; None: the mean of a pose's keypoint scores.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    logging.getLogger("faster_coco_eval").setLevel(logging.WARNING)  # it tells each of its steps
    truth = COCO(_dataset(samples))
    evaluation = COCOeval_faster(
        truth,
        COCO(truth.dataset | {"annotations": _results(predictions, scores)}),
        iouType="keypoints",
        kpt_oks_sigmas=np.asarray(sigmas, np.float64),  # type: ignore[arg-type]
    )
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, 1e10]], ["all"]
    evaluation.params.maxDets = [MOST]
    evaluation.evaluate()
    evaluation.accumulate()
    # [thresholds, recalls, categories, sizes, detections] and the same without recalls; -1 where there is no truth.
    precision, recall = evaluation.eval["precision"][..., 0, 0, 0], evaluation.eval["recall"][..., 0, 0, 0]
    metrics = {
        "AP": _mean(precision),
        "AP50": _mean(precision[0]),
        "AP75": _mean(precision[5]),
        "AR": _mean(recall),
    }
    return CocoResult(metrics, np.where(precision > -1, precision, np.nan))


def _dataset(samples: Sequence[Sample]) -> dict:
    """The truth in COCO's layout; ids are positions in `samples`, since crops share the id of their file."""
    annotations = []
    for image, sample in enumerate(samples):
        areas = effective_areas(sample.areas, sample.boxes)
        for person in range(sample.instances):
            keypoints = sample.keypoints[person].astype(np.float64)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "keypoints": keypoints.ravel().tolist(),
                    "num_keypoints": int((keypoints[:, 2] > 0).sum()),
                    "bbox": sample.boxes[person].astype(np.float64).tolist(),
                    "area": float(areas[person]),
                    "iscrowd": int(sample.crowd[person]),
                }
            )
    images = [{"id": image, "height": sample.size[0], "width": sample.size[1]} for image, sample in enumerate(samples)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "pose"}]}


def _results(predictions: Sequence[np.ndarray], scores: Sequence[np.ndarray] | None) -> list[dict]:
    """Poses as the library's `loadRes` would make them, with the extent of the keypoints as box, many at a time."""
    results = []
    for image, poses in enumerate(predictions):
        poses = np.asarray(poses, np.float64)
        ranks = poses[..., 2].mean(axis=-1) if scores is None else np.asarray(scores[image], np.float64)
        finite = np.isfinite(poses).all(axis=(1, 2))
        if not finite.any():
            continue
        poses = poses[finite]
        low, high = poses[..., :2].min(axis=1), poses[..., :2].max(axis=1)
        rows = zip(
            poses.reshape(len(poses), -1).tolist(),
            np.concatenate([low, high - low], axis=1).tolist(),
            (high - low).prod(axis=1).tolist(),
            ranks[finite].tolist(),
            strict=True,
        )
        for keypoints, box, area, score in rows:
            results.append(
                {
                    "id": len(results) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "keypoints": keypoints,
                    "bbox": box,
                    "area": area,
                    "score": score,
                }
            )
    return results


def _mean(values: np.ndarray) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None

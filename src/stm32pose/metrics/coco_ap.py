"""Average precision and recall of poses by COCO's protocol, computed by faster-coco-eval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stm32pose.data.sample import Sample
from stm32pose.metrics.oks import effective_areas


def coco_ap(
    samples: Sequence[Sample], predictions: Sequence[np.ndarray], sigmas: np.ndarray
) -> dict[str, float | None]:
    """AP and AR over OKS thresholds 0.50 to 0.95, all sizes, at most 20 detections an image.

    Every sample is an image of its own, also where several are crops of one file. Instances that are crowds or have
    no labelled keypoint are neither truth nor error. The score of a pose is the mean of its keypoint scores; a pose
    with a coordinate that is not finite is dropped.

    Args:
        samples: the truth.
        predictions: one [M, K, 3] a sample, (x, y, score) in image pixels.
        sigmas: [K].

    Returns:
        AP, AP50, AP75, AR in 0..1; None where there is no truth.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(_dataset(samples))
    evaluation = COCOeval_faster(
        truth,
        truth.loadRes(_results(predictions)),
        iouType="keypoints",
        kpt_oks_sigmas=np.asarray(sigmas, np.float64),  # type: ignore[arg-type]
    )
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, 1e10]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    # [thresholds, recalls, categories, sizes, detections] and the same without recalls; -1 where there is no truth.
    precision, recall = evaluation.eval["precision"][..., 0, 0, 0], evaluation.eval["recall"][..., 0, 0, 0]
    return {
        "AP": _mean(precision),
        "AP50": _mean(precision[0]),
        "AP75": _mean(precision[5]),
        "AR": _mean(recall),
    }


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


def _results(predictions: Sequence[np.ndarray]) -> list[dict]:
    results = []
    for image, poses in enumerate(predictions):
        for pose in np.asarray(poses, np.float64):
            if np.isfinite(pose).all():
                score = float(pose[:, 2].mean())
                results.append(
                    {"image_id": image, "category_id": 1, "keypoints": pose.ravel().tolist(), "score": score}
                )
    return results


def _mean(values: np.ndarray) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None

"""All figures of an evaluation from truth and predictions; docs/metrics.md explains each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stm32pose.data.sample import Sample
from stm32pose.errors import UserError
from stm32pose.metrics import pck
from stm32pose.metrics.coco_ap import THRESHOLDS, coco_result
from stm32pose.metrics.oks import effective_areas, keypoint_similarity, mean_of_labelled, oks, oks_st

if TYPE_CHECKING:
    from stm32pose.skeletons.skeleton import Skeleton

PCK_THRESHOLDS = (0.05, 0.1, 0.2)
PCKH_THRESHOLDS = (0.5, 0.1)
SIZES = (("small (< 5 % of the image)", 0.05), ("medium (5 to 20 %)", 0.2), ("large (> 20 %)", np.inf))


@dataclass
class _Pairs:
    """Labelled instances with the prediction each is judged by. P pairs."""

    image: np.ndarray  # int64 [P], index of the sample
    pred: np.ndarray  # float64 [P, K, 3], NaN where nothing was predicted
    truth: np.ndarray  # float64 [P, K, 3]
    boxes: np.ndarray  # float64 [P, 4]
    areas: np.ndarray  # float64 [P], effective
    heads: np.ndarray | None  # float64 [P], sizes that the labels give; None where they give none

    @property
    def count(self) -> int:
        return len(self.image)


def evaluate_poses(
    samples: Sequence[Sample],
    predictions: Sequence[np.ndarray],
    skeleton: Skeleton,
    scores: Sequence[np.ndarray] | None = None,
    *,
    several: bool | None = None,
    confidence: float = 0.0,
) -> dict:
    """Every figure of an evaluation.

    A network for one person is judged, in each image, on the labelled person whose OKS is best. With `several`,
    predictions and people are paired greedily by OKS, and a person without a partner counts as missed. Crowds and
    people without a labelled keypoint are left out.

    Args:
        samples: the truth, in image pixels.
        predictions: one float [M, K, 3] a sample, (x, y, score) in image pixels, best first; M may be 0.
        skeleton: names, sigmas and head of the K keypoints.
        scores: one [M] a sample, of the whole poses, by which AP ranks them; None: the mean of their keypoints'.
        several: whether the network finds any number of people; None: whether an image has more than one prediction.
        confidence: poses that score less count for AP and AR alone: a detector gives many poor ones, and the best of
            twenty guesses is no figure of what a user sees.

    Returns:
        JSON-able: "metrics" (fractions 0..1, epe_px in pixels; None where nothing is labelled; pckh@ only with a
        head), "per_keypoint", "pckh" (`_pckh`; only with a head), "by_size", "per_image" (in the order of the samples;
        oks None where not labelled), "precision_recall" (`_curves`) and "counts" of images, instances, keypoints and
        poses that went in.

    Raises:
        UserError: no samples, or predictions that do not fit to them.
    """
    _check(samples, predictions, skeleton, scores)
    sure = _sure(predictions, scores, confidence)
    pairs = _pair(samples, sure, skeleton, several)
    similarity = keypoint_similarity(pairs.pred, pairs.truth, pairs.areas, skeleton.sigmas)
    instance_oks = mean_of_labelled(similarity)
    lengths = pck.distances(pairs.pred, pairs.truth)
    reference = pck.box_reference(pairs.boxes)
    hits = {threshold: pck.correct(lengths, reference, threshold) for threshold in PCK_THRESHOLDS}
    coco = coco_result(samples, predictions, skeleton.sigmas, scores)
    metrics = {"mean_oks": _number(instance_oks), "mean_oks_st": _mean_oks_st(samples, sure, skeleton)}
    metrics |= coco.metrics
    metrics |= {f"pck@{threshold}": _number(hit) for threshold, hit in hits.items()}
    heads = None
    if skeleton.head_segment is not None or pairs.heads is not None:
        reference = pck.head_reference(pairs.truth, pairs.heads, skeleton.head_segment, skeleton.head_factor)
        heads = {threshold: pck.correct(lengths, reference, threshold) for threshold in PCKH_THRESHOLDS}
        counted = pck.counted_joints(skeleton.keypoints)
        metrics |= {f"pckh@{threshold}": _number(hit[:, counted]) for threshold, hit in heads.items()}
    metrics["epe_px"] = _number(_finite(lengths))
    return {
        "metrics": metrics,
        "per_keypoint": [
            {
                "keypoint": name,
                "labelled": int((~np.isnan(similarity[:, joint])).sum()),
                "oks": _number(similarity[:, joint]),
                "pck@0.2": _number(hits[0.2][:, joint]),
                "epe_px": _number(_finite(lengths[:, joint])),
            }
            | ({"pckh@0.5": _number(heads[0.5][:, joint])} if heads else {})
            for joint, name in enumerate(skeleton.keypoints)
        ],
        **({"pckh": _pckh(pairs, heads, skeleton)} if heads else {}),
        "by_size": _by_size(samples, pairs, instance_oks, hits[0.2]),
        "per_image": _per_image(samples, pairs, instance_oks),
        "precision_recall": _curves(coco.precision),
        "counts": {
            "images": len(samples),
            "images_labelled": len(np.unique(pairs.image)),
            "instances": pairs.count,
            "keypoints": int((pairs.truth[..., 2] > 0).sum()),
            "poses": sum(len(poses) for poses in sure),
        },
    }


def quick_metrics(
    samples: Sequence[Sample], predictions: Sequence[np.ndarray], skeleton: Skeleton
) -> dict[str, float | None]:
    """mean_oks, pck@0.2 and epe_px of `evaluate_poses`, fast enough for every epoch; same arguments and errors."""
    return quick_joint_metrics(samples, predictions, skeleton)[0]


def quick_joint_metrics(
    samples: Sequence[Sample], predictions: Sequence[np.ndarray], skeleton: Skeleton
) -> tuple[dict[str, float | None], np.ndarray]:
    """`quick_metrics`, and the OKS of each joint, float64 [K] in 0..1, NaN where it is labelled nowhere."""
    _check(samples, predictions, skeleton)
    pairs = _pair(samples, predictions, skeleton)
    lengths = pck.distances(pairs.pred, pairs.truth)
    similarity = keypoint_similarity(pairs.pred, pairs.truth, pairs.areas, skeleton.sigmas)
    figures = {
        "mean_oks": _number(mean_of_labelled(similarity)),
        "pck@0.2": _number(pck.correct(lengths, pck.box_reference(pairs.boxes), 0.2)),
        "epe_px": _number(_finite(lengths)),
    }
    return figures, mean_of_labelled(similarity, axis=0)


def _check(
    samples: Sequence[Sample],
    predictions: Sequence[np.ndarray],
    skeleton: Skeleton,
    scores: Sequence[np.ndarray] | None = None,
) -> None:
    """UserError unless truth and predictions fit together."""
    if not len(samples):
        raise UserError("evaluation: no images; give a data set with at least one")
    if len(samples) != len(predictions):
        raise UserError(f"evaluation: {len(predictions)} predictions for {len(samples)} images")
    count = skeleton.count
    for sample, poses in zip(samples, predictions, strict=True):
        if sample.keypoints.shape[1:] != (count, 3):
            labelled = sample.keypoints.shape[1]
            raise UserError(f"{sample.source or sample.image}: {labelled} keypoints, the skeleton has {count}")
        if np.ndim(poses) != 3 or np.shape(poses)[1:] != (count, 3):
            raise UserError(f"evaluation: a prediction of shape {np.shape(poses)}, the skeleton wants (M, {count}, 3)")
    if scores is not None and [len(ranks) for ranks in scores] != [len(poses) for poses in predictions]:
        raise UserError("evaluation: the scores do not fit to the predictions; one a pose is wanted")


def _sure(
    predictions: Sequence[np.ndarray], scores: Sequence[np.ndarray] | None, confidence: float
) -> Sequence[np.ndarray]:
    """The poses that score at least `confidence`."""
    if confidence <= 0:
        return predictions
    ranks = scores if scores is not None else [np.asarray(poses)[..., 2].mean(axis=-1) for poses in predictions]
    return [np.asarray(poses)[np.asarray(rank) >= confidence] for poses, rank in zip(predictions, ranks, strict=True)]


def _pair(
    samples: Sequence[Sample], predictions: Sequence[np.ndarray], skeleton: Skeleton, several: bool | None = None
) -> _Pairs:
    """Judged instances with their predictions."""
    count = skeleton.count
    offered = np.array([len(poses) for poses in predictions])
    image = np.repeat(np.arange(len(samples)), [sample.instances for sample in samples])
    truth = np.concatenate([sample.keypoints for sample in samples]).astype(np.float64)
    boxes = np.concatenate([sample.boxes for sample in samples]).astype(np.float64)
    areas = effective_areas(np.concatenate([sample.areas for sample in samples]), boxes)
    crowd = np.concatenate([sample.crowd for sample in samples]).astype(bool)
    judged = (truth[..., 2] > 0).any(axis=1) & ~crowd
    heads = _head_sizes(samples)
    pairs = _Pairs(
        image[judged],
        np.full((judged.sum(), count, 3), np.nan),
        truth[judged],
        boxes[judged],
        areas[judged],
        None if heads is None else heads[judged],
    )
    if not (several if several is not None else offered.max() > 1):
        return _pair_single(pairs, predictions, offered, skeleton.sigmas)
    for index in np.unique(pairs.image):
        rows = np.flatnonzero(pairs.image == index)
        poses = np.asarray(predictions[index], np.float64)
        if len(poses):
            scores = oks(poses[:, None], pairs.truth[rows], pairs.areas[rows], skeleton.sigmas)
            for pose, row in _greedy(scores):
                pairs.pred[rows[row]] = poses[pose]
    return pairs


def _pair_single(pairs: _Pairs, predictions: Sequence[np.ndarray], offered: np.ndarray, sigmas: np.ndarray) -> _Pairs:
    """One pair an image: the person whose OKS is best (the first one where nothing was predicted)."""
    if not pairs.count:
        return pairs
    has = offered[pairs.image] == 1
    if has.any():
        rows = np.cumsum(offered) - 1
        pairs.pred[has] = np.concatenate([np.asarray(p, np.float64) for p in predictions])[rows[pairs.image[has]]]
    scores = oks(pairs.pred, pairs.truth, pairs.areas, sigmas)
    order = np.lexsort((-scores, pairs.image))
    best = order[np.unique(pairs.image[order], return_index=True)[1]]
    heads = None if pairs.heads is None else pairs.heads[best]
    return _Pairs(pairs.image[best], pairs.pred[best], pairs.truth[best], pairs.boxes[best], pairs.areas[best], heads)


def _head_sizes(samples: Sequence[Sample]) -> np.ndarray | None:
    """float64 [all instances], 0 where unknown; None where no label has any."""
    if all(sample.head_sizes is None for sample in samples):
        return None
    return np.concatenate(
        [np.zeros(sample.instances) if sample.head_sizes is None else sample.head_sizes for sample in samples]
    ).astype(np.float64)


def _pckh(pairs: _Pairs, hits: dict[float, np.ndarray], skeleton: Skeleton) -> dict:
    """PCKh as MPII reports it: {"unit": what it is measured in, "groups": [{"group", "pckh@0.5", "pckh@0.1"}]}.

    A group is the mean of its two sides; the mean is over all labelled joints but pelvis and thorax.
    """
    rows = {
        name: {f"pckh@{threshold}": _number(_joint_means(hit[:, joints])) for threshold, hit in hits.items()}
        for name, joints in pck.joint_groups(skeleton.keypoints).items()
    }
    counted = pck.counted_joints(skeleton.keypoints)
    rows["mean"] = {f"pckh@{threshold}": _number(hit[:, counted]) for threshold, hit in hits.items()}
    boxed = 0 if pairs.heads is None else int((pairs.heads > 0).sum())
    first, second = (skeleton.keypoints[index] for index in skeleton.head_segment or (0, 0))
    segment = f"{skeleton.head_factor:g} x the distance of {first} and {second}" if skeleton.head_segment else "nothing"
    if boxed:
        other = f"; {pairs.count - boxed} without one: {segment}" if boxed < pairs.count else ""
        unit = f"the labelled head size{other}"
    else:
        unit = segment
    return {"unit": unit, "groups": [{"group": name, **figures} for name, figures in rows.items()]}


def _joint_means(hits: np.ndarray) -> np.ndarray:
    """[P, k] -> [k], NaN where a joint is labelled nowhere."""
    return mean_of_labelled(hits, axis=0)


def _greedy(scores: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (row, column) of a score matrix, the best first, every row and column at most once."""
    scores, chosen = scores.copy(), []
    for _ in range(min(scores.shape)):
        row, column = np.unravel_index(int(scores.argmax()), scores.shape)
        chosen.append((int(row), int(column)))
        scores[row], scores[:, column] = -1.0, -1.0
    return chosen


def _mean_oks_st(samples: Sequence[Sample], predictions: Sequence[np.ndarray], skeleton: Skeleton) -> float | None:
    """ST's figure: first labelled person against first prediction, every image counts, 0 where nothing is labelled."""
    shape = (len(samples), skeleton.count, 3)
    pred, truth = np.full(shape, np.nan), np.zeros(shape)
    boxes, sizes = np.zeros((len(samples), 4)), np.array([sample.size for sample in samples], np.float64)
    for index, (sample, poses) in enumerate(zip(samples, predictions, strict=True)):
        if len(poses):
            pred[index] = poses[0]
        if sample.instances:
            truth[index], boxes[index] = sample.keypoints[0], sample.boxes[0]
    return _number(oks_st(pred, truth, boxes, sizes, skeleton.sigmas))


def _by_size(samples: Sequence[Sample], pairs: _Pairs, instance_oks: np.ndarray, hits: np.ndarray) -> list[dict]:
    """Figures by the share of the picture (the crop, where the sample is one) that the person's box covers."""
    picture = np.array([np.prod(sample.region[2:] if sample.region else sample.size) for sample in samples], np.float64)
    share = pairs.boxes[:, 2:].prod(axis=1) / np.maximum(picture[pairs.image], 1e-9)
    rows, lower = [], -np.inf
    for name, upper in SIZES:
        inside = (share >= lower) & (share < upper)
        rows.append(
            {
                "size": name,
                "instances": int(inside.sum()),
                "mean_oks": _number(instance_oks[inside]),
                "pck@0.2": _number(hits[inside]),
            }
        )
        lower = upper
    return rows


def _per_image(samples: Sequence[Sample], pairs: _Pairs, instance_oks: np.ndarray) -> list[dict]:
    """Mean OKS of the judged people of every image."""
    total = np.bincount(pairs.image, weights=instance_oks, minlength=len(samples))
    people = np.bincount(pairs.image, minlength=len(samples))
    return [
        {
            "index": index,
            "image": str(sample.image),
            "oks": float(total[index] / people[index]) if people[index] else None,
        }
        for index, sample in enumerate(samples)
    ]


def _curves(precision: np.ndarray) -> dict | None:
    """Precision at every recall for a plot: {"recall": [101], "precision": {OKS threshold: [101]}}; None without truth.

    The values are COCO's: the best precision at this recall or a higher one.
    """
    if np.isnan(precision).all():
        return None
    rows = {f"{threshold:.2f}": row.tolist() for threshold, row in zip(THRESHOLDS, precision, strict=True)}
    return {"recall": np.linspace(0, 1, precision.shape[1]).tolist(), "precision": rows}


def _finite(lengths: np.ndarray) -> np.ndarray:
    """Without the infinite distances of missed people, for averages in pixels."""
    return np.where(np.isinf(lengths), np.nan, lengths)


def _number(values: np.ndarray) -> float | None:
    """Mean of the values that are not NaN as a plain float; None where there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None

"""What is wrong with labels, said before it costs a training: `check_samples`, and figures on a set of samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stm32pose.data.checks_images import check_images
from stm32pose.data.checks_sides import check_sides
from stm32pose.data.problems import Problem, count_by_code, errors_of
from stm32pose.data.sample import VISIBLE, Sample
from stm32pose.skeletons.skeleton import Skeleton

BOX_MARGIN = 0.1
"""Points further outside their box than this share of its side are reported."""

TINY = 0.05
"""Instances whose longer side is less than this share of the picture's longer side are reported."""


def check_samples(
    samples: Sequence[Sample],
    skeleton: Skeleton,
    problems: Sequence[Problem] = (),
    *,
    decode: bool = True,
    progress: Callable[[int], None] | None = None,
) -> list[Problem]:
    """`problems` of the reader, and those found in its samples, one a fault.

    Looks for: images that cannot be read or have another size than the labels say; pictures there twice, or nearly;
    instances without a labelled point, there twice, tiny, or without a box that holds their points; points outside the
    picture or exactly in its corner; left and right that contradict each other.

    Args:
        samples: as a reader gave them.
        skeleton: of their keypoints.
        problems: what the reader found.
        decode: read the pixels too (finds cut-off files and near duplicates); else the headers alone.
        progress: called with the number of images read.
    """
    found = list(problems)
    told = {problem.where.rsplit(":", 1)[0] for problem in problems if problem.code == "outside_image"}
    found += check_images(samples, decode=decode, progress=progress)
    for sample in samples:
        found += check_labels(sample, skeleton, tell_outside=sample.source not in told)
    found += check_sides(samples, skeleton)
    return found


def check_labels(sample: Sample, skeleton: Skeleton, *, tell_outside: bool = True) -> list[Problem]:
    """Faults of the labels of one image, read without its pixels."""
    problems = []
    size = np.array(sample.size[::-1], dtype=np.float64)
    frame = np.array(sample.region[2:]) if sample.region else size
    for index in np.flatnonzero(~sample.crowd):
        where = place(sample, int(index), skeleton)
        points, box = sample.keypoints[index].astype(np.float64), sample.boxes[index].astype(np.float64)
        labelled = points[:, 2] > 0
        if not labelled.any():
            problems.append(Problem("empty_pose", "warning", where, "no keypoint is labelled"))
            continue
        xy = points[:, :2]
        outside = labelled & ((xy < 0) | (xy > size)).any(axis=1)
        if outside.any() and tell_outside:
            text = f"{_name(skeleton, outside, xy)}, outside the picture of {size[0]:g} x {size[1]:g}"
            problems.append(Problem("outside_image", "warning", where, text))
        corner = labelled & (xy == 0).all(axis=1)
        if corner.any():
            text = f"{_name(skeleton, corner, xy)} but labelled: a point that was never set?"
            problems.append(Problem("point_at_origin", "warning", where, text))
        far = labelled & ((xy < box[:2] - _slack(box)) | (xy > box[:2] + box[2:] + _slack(box))).any(axis=1)
        if far.any():
            text = f"{_name(skeleton, far, xy)}, outside its box {_corners(box)}"
            problems.append(Problem("outside_box", "warning", where, text))
        if max(box[2:]) < TINY * max(frame):
            text = f"the box is {box[2]:.0f} x {box[3]:.0f} in a picture of {frame[0]:.0f} x {frame[1]:.0f}: tiny"
            problems.append(Problem("tiny_instance", "warning", where, text))
    problems += _repeated(sample, skeleton)
    return problems


def label_statistics(samples: Sequence[Sample], skeleton: Skeleton) -> dict[str, Any]:
    """Figures on a set: images, instances, people an image, and for each joint the share labelled and visible.

    Shares are of instances that are no crowd, 0..1 (0 where there is none).
    """
    people = [sample.keypoints[~sample.crowd] for sample in samples]
    flags = np.concatenate([points[..., 2].reshape(-1, skeleton.count) for points in people] or [np.zeros((0, 1))])
    count = len(flags)
    shares = {
        name: {
            "labelled": float((flags[:, joint] > 0).mean()) if count else 0.0,
            "visible": float((flags[:, joint] == VISIBLE).mean()) if count else 0.0,
        }
        for joint, name in enumerate(skeleton.keypoints)
    }
    return {
        "images": len({sample.image for sample in samples}),
        "samples": len(samples),
        "instances": count,
        "crowds": int(sum(sample.crowd.sum() for sample in samples)),
        "people_per_image": dict(sorted(Counter(map(len, people)).items())),
        "labelled": float((flags > 0).mean()) if count else 0.0,
        "keypoints": shares,
    }


def summary(samples: Sequence[Sample], skeleton: Skeleton, problems: Sequence[Problem]) -> dict[str, Any]:
    """What a set holds and what is wrong with it, for the command line: `statistics`, `problems` by code, `errors`."""
    return {
        "statistics": label_statistics(samples, skeleton),
        "problems": count_by_code(problems),
        "errors": len(errors_of(problems)),
    }


def place(sample: Sample, index: int, skeleton: Skeleton) -> str:
    """Where an instance is labelled, for messages."""
    return sample.source if sample.instances == 1 else f"{sample.source}: {skeleton.category} {index + 1}"


def _name(skeleton: Skeleton, mask: np.ndarray, xy: np.ndarray) -> str:
    first = int(np.flatnonzero(mask)[0])
    others = f" and {int(mask.sum()) - 1} others" if mask.sum() > 1 else ""
    return f"{skeleton.keypoints[first]}{others} at ({xy[first, 0]:g}, {xy[first, 1]:g})"


def _slack(box: np.ndarray) -> np.ndarray:
    return BOX_MARGIN * box[2:] + 1


def _corners(box: np.ndarray) -> str:
    return f"({box[0]:.0f}, {box[1]:.0f}) to ({box[0] + box[2]:.0f}, {box[1] + box[3]:.0f})"


def _repeated(sample: Sample, skeleton: Skeleton) -> list[Problem]:
    """The same instance written twice, as a converter that appends leaves it."""
    first: dict[bytes, int] = {}
    problems = []
    for index, (points, box) in enumerate(zip(sample.keypoints, sample.boxes, strict=True)):
        key = points.tobytes() + box.tobytes()
        if first.setdefault(key, index) != index:
            where, text = place(sample, index, skeleton), f"the same labels as {skeleton.category} {first[key] + 1}"
            problems.append(Problem("duplicate_instance", "warning", where, text))
    return problems

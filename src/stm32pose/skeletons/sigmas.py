"""Sigmas of a skeleton estimated from images that several people annotated.

python -m stm32pose.skeletons.sigmas --skeleton my_skeleton.yaml anna.json ben.json carla.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stm32pose.errors import UserError
from stm32pose.skeletons.joints import map_joints
from stm32pose.skeletons.skeleton import Skeleton, load_skeleton

LEAST_OVERLAP = 0.5
"""Boxes of two annotators that overlap less (intersection over union) are not the same person."""

FEW = 30
"""Degrees of freedom below which an estimate is called rough (relative error of sigma: about 1/(2 sqrt(freedom)))."""


@dataclass(frozen=True, eq=False)
class SigmaEstimate:
    """Sigmas with what they rest on.

    Attributes:
        sigmas: float64 [K].
        freedom: int64 [K], degrees of freedom of each: repetitions beyond the first, summed over instances.
    """

    sigmas: np.ndarray
    freedom: np.ndarray


@dataclass(frozen=True, eq=False)
class _Annotation:
    keypoints: np.ndarray
    box: np.ndarray
    area: float


def estimate_sigmas(files: Sequence[Path], skeleton: Skeleton) -> np.ndarray:
    """Sigmas float64 [K] from COCO keypoint files in which different people annotated the same images.

    See `estimate` for the convention and the errors.
    """
    return estimate(files, skeleton).sigmas


def estimate(files: Sequence[Path], skeleton: Skeleton) -> SigmaEstimate:
    """COCO's sigma, sigma^2 = E[d^2 / s^2]: the scatter of annotators relative to the object's scale.

    d is the distance in the image plane (both axes together) of an annotation from the point's true place, s the square
    root of the instance's area. The true place is unknown, so the mean of the M annotations stands in for it and the
    sum of squares is divided by M - 1, which makes the estimate of sigma^2 unbiased; with two annotators that is half
    of their squared distance. All instances are pooled. An annotator whose error has the standard deviation e along
    each axis has sigma = sqrt(2) e / s. (OKS then uses k = 2 sigma: cocodataset.org/#keypoints-eval.)

    Images are matched by file name, people of an image by the best overlap of their boxes (at least 0.5) with
    those of the files before; crowds are left out. A point counts where two or more labelled it (flag above 0).
    The area is the mean of the annotators' `area`, where absent of their boxes.

    Args:
        files: two or more COCO JSON files, one an annotator; keypoints are matched by name.
        skeleton: whose keypoints are wanted.

    Raises:
        UserError: fewer than two files, a file that is no such file, or a keypoint that nobody labelled twice.
    """
    if len(files) < 2:
        raise UserError(f"sigmas: got {len(files)} file; wanted two or more, each annotated by another person")
    by_image: dict[str, list[list[_Annotation]]] = defaultdict(list)
    for path in files:
        for name, people in _read(Path(path), skeleton).items():
            by_image[name].append(people)
    total = np.zeros(skeleton.count)
    freedom = np.zeros(skeleton.count, dtype=np.int64)
    for annotators in by_image.values():
        for group in _same_people(annotators):
            points = np.stack([annotation.keypoints for annotation in group])
            labelled = points[..., 2] > 0
            count = labelled.sum(axis=0)
            mean = (points[..., :2] * labelled[..., None]).sum(axis=0) / np.maximum(count, 1)[:, None]
            squares = (((points[..., :2] - mean) ** 2).sum(axis=-1) * labelled).sum(axis=0)
            area = float(np.mean([annotation.area for annotation in group]))
            total += np.where(count > 1, squares / area, 0)
            freedom += np.maximum(count - 1, 0)
    never = [name for name, number in zip(skeleton.keypoints, freedom, strict=True) if number == 0]
    if never:
        raise UserError(
            f"sigmas: no instance has two annotations of {', '.join(never)} (images are matched by file_name, people "
            f"by overlap of their boxes of at least {LEAST_OVERLAP})"
        )
    return SigmaEstimate(np.sqrt(total / freedom), freedom)


def _read(path: Path, skeleton: Skeleton) -> dict[str, list[_Annotation]]:
    """Image name -> annotations of one file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        names = {image["id"]: Path(image["file_name"]).name for image in document["images"]}
        categories = {item["id"]: map_joints(item.get("keypoints"), skeleton) for item in document["categories"]}
        found: dict[str, list[_Annotation]] = {name: [] for name in names.values()}
        for record in document["annotations"]:
            joints = categories[record["category_id"]]
            if joints is None or record.get("iscrowd"):
                continue
            box = np.array(record["bbox"], dtype=np.float64).reshape(4)
            area = float(record.get("area") or box[2] * box[3])
            keypoints = joints.apply(np.array(record["keypoints"], dtype=np.float64).reshape(-1, 3))
            if area > 0 and np.isfinite(keypoints).all():
                found[names[record["image_id"]]].append(_Annotation(keypoints.astype(np.float64), box, area))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"{path}: not a COCO keypoints file ({type(error).__name__}: {error})") from error
    return found


def _same_people(annotators: list[list[_Annotation]]) -> list[list[_Annotation]]:
    """Annotations of one image by several people -> groups of two and more of the same person."""
    groups = [[first] for first in annotators[0]]
    for others in annotators[1:]:
        scores = sorted(
            (
                (_overlap(group[0].box, other.box), row, column)
                for row, group in enumerate(groups)
                for column, other in enumerate(others)
            ),
            key=lambda entry: (-entry[0], entry[1], entry[2]),
        )
        rows, columns = set(), set()
        for score, row, column in scores:
            if score >= LEAST_OVERLAP and row not in rows and column not in columns:
                groups[row].append(others[column])
                rows.add(row)
                columns.add(column)
        groups += [[other] for column, other in enumerate(others) if column not in columns]
    return [group for group in groups if len(group) > 1]


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two (left, top, width, height) boxes."""
    low = np.maximum(first[:2], second[:2])
    high = np.minimum(first[:2] + first[2:], second[:2] + second[2:])
    both = float(np.prod(np.maximum(high - low, 0)))
    union = float(np.prod(first[2:]) + np.prod(second[2:])) - both
    return both / union if union > 0 else 0.0


def report(result: SigmaEstimate, skeleton: Skeleton, files: int) -> str:
    """The lines to paste into a skeleton's YAML."""
    lines = [f"sigmas_source: estimated from {files} annotators", "sigmas:"]
    for name, sigma, freedom in zip(skeleton.keypoints, result.sigmas, result.freedom, strict=True):
        remark = f"  # rough: {freedom} repetitions" if freedom < FEW else f"  # {freedom} repetitions"
        lines.append(f"  {name}: {sigma:.4f}{remark}")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stm32pose.skeletons.sigmas",
        description="Estimate the sigmas of a skeleton from COCO keypoint files that annotate the same images.",
    )
    parser.add_argument("--skeleton", required=True, help="name of a shipped skeleton, or path of a YAML")
    parser.add_argument("files", nargs="+", type=Path, help="COCO keypoints JSON, one an annotator")
    arguments = parser.parse_args(argv)
    try:
        skeleton = load_skeleton(arguments.skeleton)
        result = estimate(arguments.files, skeleton)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(report(result, skeleton, len(arguments.files)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

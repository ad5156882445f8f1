"""Left and right that contradict each other. A picture alone cannot tell a person seen from behind from one whose sides
were mixed up; only contradictions inside a pose, and habits of a whole set, can be pointed at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stm32pose.data.problems import Problem
from stm32pose.data.sample import Sample
from stm32pose.skeletons.skeleton import Skeleton

APART = 0.1
"""Pairs nearer than this share of sqrt(box area) say nothing of front or back."""

ENOUGH = 50
"""Instances that must show two pairs before their habit is trusted."""

RIGID = 0.97
"""Pairs that point the same way in this share of instances are taken to move together."""

FROM_BEHIND = 0.2
"""A set of people of whom fewer than this share face the camera is pointed at."""


def check_sides(samples: Sequence[Sample], skeleton: Skeleton) -> list[Problem]:
    """Warnings on instances whose pairs contradict each other, and on a set most of whose people are seen from behind.

    Two pairs (shoulders and hips, say) are compared where they move together: those of the torso always, others where
    the set itself shows it. An instance is reported when the two point in opposite directions.
    """
    if not skeleton.pairs:
        return []
    rows = [(sample, int(index)) for sample in samples for index in np.flatnonzero(~sample.crowd)]
    if not rows:
        return []
    points = np.stack([sample.keypoints[index] for sample, index in rows]).astype(np.float64)
    scale = np.sqrt(np.array([sample.boxes[index][2] * sample.boxes[index][3] for sample, index in rows]))
    left, right = np.array(skeleton.pairs).T
    ahead = points[:, left, :2] - points[:, right, :2]
    length = np.linalg.norm(ahead, axis=-1)
    clear = (points[:, left, 2] > 0) & (points[:, right, 2] > 0) & (length > APART * scale[:, None])
    ahead /= np.maximum(length, 1e-9)[..., None]
    against = _contradictions(ahead, clear, skeleton)
    problems = []
    for row, (first, second) in against.items():
        sample, index = rows[row]
        where = sample.source if sample.instances == 1 else f"{sample.source}: {skeleton.category} {index + 1}"
        names = " and ".join(_pair_name(skeleton, pair) for pair in (first, second))
        text = f"left and right of {names} point in opposite directions: one of the two may be swapped (or a twist)"
        problems.append(Problem("left_right", "warning", where, text))
    return problems + _habit(ahead, clear, skeleton, samples)


def _contradictions(ahead: np.ndarray, clear: np.ndarray, skeleton: Skeleton) -> dict[int, tuple[int, int]]:
    """Row -> the first two pairs of it that point in opposite directions (by more than 120 degrees)."""
    torso = _torso_pairs(skeleton)
    found: dict[int, tuple[int, int]] = {}
    for first in range(len(skeleton.pairs)):
        for second in range(first + 1, len(skeleton.pairs)):
            both = clear[:, first] & clear[:, second]
            cosine = (ahead[:, first] * ahead[:, second]).sum(axis=-1)
            rigid = both.sum() >= ENOUGH and (cosine[both] > 0).mean() >= RIGID
            if rigid or {first, second} == torso:
                for row in np.flatnonzero(both & (cosine < -0.5)):
                    found.setdefault(int(row), (first, second))
    return found


def _habit(ahead: np.ndarray, clear: np.ndarray, skeleton: Skeleton, samples: Sequence[Sample]) -> list[Problem]:
    """People in pictures mostly face the camera, their left on the image's right."""
    if skeleton.category not in ("person", "head"):
        return []
    torso = sorted(_torso_pairs(skeleton)) or list(range(len(skeleton.pairs)))
    votes = np.sign(ahead[:, torso, 0]) * clear[:, torso]
    votes = votes.sum(axis=1)
    decided = votes[votes != 0]
    share = float((decided > 0).mean()) if len(decided) else 1.0
    if len(decided) < ENOUGH or share >= FROM_BEHIND:
        return []
    text = (
        f"only {share:.0%} of {len(decided)} instances have their left on the image's right, as people who face the "
        "camera have: all seen from behind, or left and right named from the viewer's side?"
    )
    return [Problem("left_right_set", "warning", str(samples[0].image.parent), text)]


def _torso_pairs(skeleton: Skeleton) -> set[int]:
    """The pairs at both ends of the torso; empty where the skeleton names none."""
    if skeleton.torso_segment is None:
        return set()
    return {number for number, pair in enumerate(skeleton.pairs) if set(pair) & set(skeleton.torso_segment)}


def _pair_name(skeleton: Skeleton, pair: int) -> str:
    return f"{skeleton.keypoints[skeleton.pairs[pair][0]]}/{skeleton.keypoints[skeleton.pairs[pair][1]]}"

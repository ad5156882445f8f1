"""Keypoints of one naming brought into the order of a `Skeleton`: by name, by derivation, or by order alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stm32pose.skeletons.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class JointMap:
    """How F keypoints of a file become the K of a skeleton.

    Attributes:
        columns: int64 [K], the file's keypoint for each of ours, -1 where there is none of that name.
        derived: our keypoint -> (the file's keypoints whose mean it is, whether all must be labelled).
        missing: our keypoints that are neither named nor derivable; they stay unlabelled.
        extra: the file's keypoints that the skeleton has no use for.
        by_order: True where no name agrees and the order of the file is taken as ours.
    """

    columns: np.ndarray
    derived: dict[int, tuple[tuple[int, ...], bool]]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    by_order: bool = False

    def apply(self, keypoints: np.ndarray) -> np.ndarray:
        """[..., F, 3] (x, y, visibility) of the file -> float32 [..., K, 3]; unlabelled points become zeros.

        A derived point is the mean of its labelled sources, as visible as the most visible of them (ST's `head`).
        """
        keypoints = np.asarray(keypoints, dtype=np.float64)
        result = np.where((self.columns >= 0)[:, None], keypoints[..., np.maximum(self.columns, 0), :], 0.0)
        for joint, (sources, wants_all) in self.derived.items():
            points = keypoints[..., list(sources), :]
            labelled = points[..., 2] > 0
            count = labelled.sum(axis=-1)
            enough = count == len(sources) if wants_all else count > 0
            total = (points[..., :2] * labelled[..., None]).sum(axis=-2)
            mean = total / np.maximum(count, 1)[..., None]
            result[..., joint, :2] = mean
            result[..., joint, 2] = np.where(enough, (points[..., 2] * labelled).max(axis=-1), 0)
        result[result[..., 2] <= 0] = 0
        return result.astype(np.float32)


def plain_name(name: object) -> str:
    """A name as it is compared: `Left Shoulder`, `left-shoulder` and `leftShoulder` are all `left_shoulder`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name).strip())
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


def map_joints(names: Sequence[str] | None, skeleton: Skeleton, count: int | None = None) -> JointMap | None:
    """The map from a file's keypoint `names` to `skeleton`; None where neither names nor number agree.

    Args:
        names: the file's keypoint names; None where it gives none.
        skeleton: whose order is wanted.
        count: number of keypoints in the file, where it gives no names.
    """
    given = [plain_name(name) for name in names or ()]
    position = {name: number for number, name in reversed(list(enumerate(given)))}
    columns = np.full(skeleton.count, -1, dtype=np.int64)
    derived: dict[int, tuple[tuple[int, ...], bool]] = {}
    for joint, name in enumerate(skeleton.keypoints):
        if plain_name(name) in position:
            columns[joint] = position[plain_name(name)]
        elif name in skeleton.derive:
            sources = tuple(
                position[plain_name(item)] for item in skeleton.derive[name] if plain_name(item) in position
            )
            wants_all = name in skeleton.derive_all
            if sources and not (wants_all and len(sources) < len(skeleton.derive[name])):
                derived[joint] = (sources, wants_all)
    if not derived and (columns < 0).all():
        if (len(given) or count) != skeleton.count:
            return None
        return JointMap(np.arange(skeleton.count), {}, (), (), by_order=True)
    used = set(columns[columns >= 0].tolist()).union(*(sources for sources, _ in derived.values()))
    missing = tuple(
        name for joint, name in enumerate(skeleton.keypoints) if columns[joint] < 0 and joint not in derived
    )
    extra = tuple(str(name) for number, name in enumerate(names or ()) if number not in used)
    return JointMap(columns, derived, missing, extra)

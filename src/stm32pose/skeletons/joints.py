"""Keypoints of one naming brought into the order of a `Skeleton`: by name, by derivation, or by order alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stm32pose.errors import ConfigError, did_you_mean
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


@dataclass(frozen=True)
class KeypointMap:
    """How a data set calls the keypoints of a skeleton, as its user says.

    Attributes:
        where: the key of the configuration, for messages.
        names: our keypoint -> the file's name of it, its index there from 0, or None: never take it.
    """

    where: str
    names: Mapping[str, str | int | None]


def mapped_skeleton(skeleton: Skeleton, names: Mapping[str, str | int | None] | None, *, where: str) -> Skeleton:
    """`skeleton`, whose keypoints a reader will look for as `names` says.

    Raises:
        ConfigError: `names` speaks of a keypoint that the skeleton has not, or of an index below 0.
    """
    if not names:
        return skeleton
    ours = {plain_name(name): name for name in skeleton.keypoints}
    for name, theirs in names.items():
        if plain_name(name) not in ours:
            raise ConfigError(
                f"{where}: got '{name}'; the skeleton {skeleton.name} has {', '.join(skeleton.keypoints)}"
                f"{did_you_mean(name, skeleton.keypoints)}"
            )
        if isinstance(theirs, int) and theirs < 0:
            raise ConfigError(f"{where}.{name}: got {theirs}; indices count from 0")
    mapped = {ours[plain_name(name)]: theirs for name, theirs in names.items()}
    return replace(skeleton, keypoint_map=KeypointMap(where, mapped))


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

    Raises:
        ConfigError: the skeleton's `keypoint_map` speaks of a name or an index that the file has not.
    """
    given = [plain_name(name) for name in names or ()]
    position = {name: number for number, name in reversed(list(enumerate(given)))}
    columns = np.full(skeleton.count, -1, dtype=np.int64)
    derived: dict[int, tuple[tuple[int, ...], bool]] = {}
    told = skeleton.keypoint_map
    for joint, name in enumerate(skeleton.keypoints):
        if told and name in told.names:
            columns[joint] = _told_column(told, name, names, position, count)
        elif plain_name(name) in position:
            columns[joint] = position[plain_name(name)]
        elif name in skeleton.derive:
            sources = tuple(
                position[plain_name(item)] for item in skeleton.derive[name] if plain_name(item) in position
            )
            wants_all = name in skeleton.derive_all
            if sources and not (wants_all and len(sources) < len(skeleton.derive[name])):
                derived[joint] = (sources, wants_all)
    if not told and not derived and (columns < 0).all():
        if (len(given) or count) != skeleton.count:
            return None
        return JointMap(np.arange(skeleton.count), {}, (), (), by_order=True)
    used = set(columns[columns >= 0].tolist()).union(*(sources for sources, _ in derived.values()))
    missing = tuple(
        name for joint, name in enumerate(skeleton.keypoints) if columns[joint] < 0 and joint not in derived
    )
    extra = tuple(str(name) for number, name in enumerate(names or ()) if number not in used)
    return JointMap(columns, derived, missing, extra)


def agree(names: Sequence[str] | None, skeleton: Skeleton) -> bool:
    """Whether a file's keypoint `names` go by name into `skeleton`, one of them at least."""
    try:
        joints = map_joints(names, skeleton)
    except ConfigError:
        return False
    return joints is not None and not joints.by_order


def _told_column(
    keypoint_map: KeypointMap,
    name: str,
    names: Sequence[str] | None,
    position: Mapping[str, int],
    count: int | None,
) -> int:
    """The file's keypoint that the user gave for ours; -1 for none."""
    theirs, number = keypoint_map.names[name], len(names) if names else count
    where = f"{keypoint_map.where}.{name}"
    if theirs is None:
        return -1
    if isinstance(theirs, int):
        if number is not None and theirs >= number:
            raise ConfigError(f"{where}: got {theirs}; the labels have {number} keypoints, 0 to {number - 1}")
        return theirs
    if not names:
        raise ConfigError(
            f"{where}: got '{theirs}'; these labels name no keypoint: give an index, 0 to {_last(number)}"
        )
    if plain_name(theirs) not in position:
        raise ConfigError(f"{where}: got '{theirs}'; the labels name {', '.join(names)}{did_you_mean(theirs, names)}")
    return position[plain_name(theirs)]


def _last(number: int | None) -> str:
    return str(number - 1) if number else "K-1"

"""`Skeleton`: names, edges, left/right pairs, sigmas and colours of K keypoints, read from one YAML file."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from stm32pose.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from stm32pose.config.data_sections import Dataset
    from stm32pose.skeletons.joints import KeypointMap

log = logging.getLogger(__name__)

DEFAULT_SIGMA = 0.05
"""Sigma of a keypoint that nobody has measured, as a share of sqrt(area).

OKS of one point is exp(-d^2 / (2 s^2 k^2)) with k = 2 sigma, so 0.05 gives 0.61 for an error of a tenth of the object's
size: the scale of PCK@0.1, and between COCO's sigmas of the face (0.025 to 0.035) and of the body (0.062 to 0.107).
"""

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, eq=False)
class Skeleton:
    """What the program knows of a set of K keypoints.

    Attributes:
        name: of the skeleton, for messages and reports.
        category: what is labelled: "person", "hand", "head" or another word.
        keypoints: K unique names, in the order of the labels and of the network's channels.
        edges: pairs of keypoint indices that are drawn as limbs.
        pairs: (left, right) keypoint indices that a mirror swaps; left and right are the person's own.
        flip: int64 [K], `keypoints_mirrored = keypoints[flip]`.
        sigmas: float64 [K], standard deviation of annotators as a share of sqrt(area), as COCO defines it.
        sigmas_published: False where `sigmas` are borrowed or the default, so that OKS is only relative.
        sigmas_source: where `sigmas` come from, one line.
        colours: one RGB triple an edge.
        head_segment: two keypoints whose distance times `head_factor` is the unit of PCKh; None: no PCKh.
        torso_segment: two keypoints whose distance is the length of the torso; None: unknown.
        upper_body: indices of the keypoints above the waist, the others are the lower body; empty: not divided.
        derive: keypoint name -> names in another skeleton whose mean it is, where that one is read in its place.
        derive_all: the names of `derive` that want all of their sources labelled, not just one.
        weights: float64 [K], how much each joint counts in the loss, for `training.joint_weights`; None: none given.
        keypoint_map: how the labels to read call these keypoints (`joints.mapped_skeleton`); None: by these names.
    """

    name: str
    category: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[int, int], ...]
    flip: np.ndarray
    sigmas: np.ndarray
    sigmas_published: bool
    sigmas_source: str
    colours: tuple[tuple[int, int, int], ...]
    head_segment: tuple[int, int] | None = None
    head_factor: float = 1.0
    torso_segment: tuple[int, int] | None = None
    upper_body: tuple[int, ...] = ()
    derive: dict[str, tuple[str, ...]] = field(default_factory=dict)
    derive_all: frozenset[str] = frozenset()
    weights: np.ndarray | None = None
    keypoint_map: KeypointMap | None = None

    @property
    def count(self) -> int:
        """K."""
        return len(self.keypoints)


def load_skeleton(name_or_path: str) -> Skeleton:
    """A shipped skeleton by name, or a user's own by the path of its YAML (relative to the current folder).

    Raises:
        ConfigError: there is no such skeleton or file, or the file is wrong; one line.
    """
    text = str(name_or_path)
    if text in skeleton_names():
        return _shipped(text)
    path = Path(text).expanduser()
    if path.suffix.lower() not in (".yaml", ".yml") and len(path.parts) == 1 and not path.is_file():
        raise ConfigError(
            f"dataset.skeleton: no skeleton named '{text}'; allowed: {', '.join(skeleton_names())}, or the path of a "
            f"YAML file{did_you_mean(text, skeleton_names())}"
        )
    return read_skeleton(path)


def read_skeleton(path: Path) -> Skeleton:
    """The skeleton of one YAML file (the format: docs/skeletons.md).

    Raises:
        ConfigError: the file is missing, is no YAML, or describes no skeleton; one line that names the file.
    """
    from stm32pose.skeletons.parse import parse_skeleton

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigError(f"dataset.skeleton: {path} does not exist (looked in {Path.cwd()})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"dataset.skeleton: {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{place}: not a YAML file: {getattr(error, 'problem', None) or error}") from error
    return parse_skeleton(content, where=str(path))


def skeleton_names() -> list[str]:
    """Names of the shipped skeletons, sorted."""
    return list(_names())


def skeleton_for(keypoints: int, category: str = "person") -> Skeleton:
    """The shipped skeleton with that many keypoints; `category` chooses where several have as many.

    Raises:
        ConfigError: none has; the message lists those there are.
    """
    shipped = [_shipped(name) for name in skeleton_names()]
    found = [skeleton for skeleton in shipped if skeleton.count == keypoints]
    if len(found) > 1:
        found = [skeleton for skeleton in found if skeleton.category == category]
    if len(found) != 1:
        table = ", ".join(f"{skeleton.name} ({skeleton.count})" for skeleton in shipped)
        raise ConfigError(
            f"dataset.keypoints: no shipped skeleton has {keypoints} keypoints of a {category}; shipped: {table}; "
            "for others write a YAML (docs/skeletons.md) and name it in dataset.skeleton"
        )
    return found[0]


def resolve_skeleton(dataset: Dataset) -> Skeleton:
    """The skeleton of a data set: `dataset.skeleton`, else the shipped one with `dataset.keypoints` keypoints.

    Logs a warning where the sigmas are not published ones.

    Raises:
        ConfigError: neither is given, they contradict each other, or there is no such skeleton.
    """
    if dataset.skeleton:
        skeleton = load_skeleton(dataset.skeleton)
        if dataset.keypoints is not None and dataset.keypoints != skeleton.count:
            raise ConfigError(
                f"dataset.keypoints: {dataset.keypoints}, but the skeleton {skeleton.name} has {skeleton.count} "
                "keypoints; leave dataset.keypoints out or choose another dataset.skeleton"
            )
    elif dataset.keypoints is not None:
        category = dataset.class_names[0] if dataset.class_names else "person"
        skeleton = skeleton_for(dataset.keypoints, category)
    else:
        raise ConfigError(
            f"dataset.skeleton: missing; allowed: {', '.join(skeleton_names())}, the path of a YAML file, or "
            "dataset.keypoints with the number of keypoints of one of these"
        )
    if not skeleton.sigmas_published:
        log.warning(
            "skeleton %s: sigmas are not published (%s), so OKS and AP compare your own runs only; read PCK and EPE "
            "beside them, or estimate sigmas from repeated annotations (docs/skeletons.md)",
            skeleton.name,
            skeleton.sigmas_source,
        )
    return skeleton


@cache
def _names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _HERE.glob("*.yaml")))


@cache
def _shipped(name: str) -> Skeleton:
    return read_skeleton(_HERE / f"{name}.yaml")

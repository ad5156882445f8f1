"""`dataset.mix`: further sets of training images, each read in its own way and shown as often as it says."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stm32pose.config.data_sections import Dataset
from stm32pose.data.digests import same_content
from stm32pose.data.filter import Filtered
from stm32pose.data.readers import scan_samples, usable
from stm32pose.data.sample import Sample
from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)


@dataclass
class MixedSet:
    """One set that is mixed in.

    Attributes:
        where: its key, `dataset.mix[0]`.
        path: its folder, as the configuration has it.
        samples: all of it that can be used, in the order of names.
        repeat: how often each comes in an epoch.
        left_out: indices of those that the validation or the test set holds too.
        filtered: what its filter took out.
    """

    where: str
    path: str
    samples: list[Sample]
    repeat: float = 1.0
    left_out: set[int] = field(default_factory=set)
    filtered: Filtered | None = None

    @property
    def used(self) -> list[Sample]:
        """Those that may be trained on."""
        return [sample for index, sample in enumerate(self.samples) if index not in self.left_out]


def read_mix(dataset: Dataset, skeleton: Skeleton) -> list[MixedSet]:
    """Every set of `dataset.mix`; `pose`, `instance` and `crop_margin` are those of `dataset`.

    Raises:
        UserError: labels are faulty, or nothing of a set can be used.
        ConfigError: a format, a keypoint map or a filter is wrong.
    """
    sets = []
    for number, entry in enumerate(dataset.mix):
        where = f"dataset.mix[{number}]"
        images = Path(entry.path)
        samples, problems = scan_samples(
            images,
            skeleton,
            format=entry.format,
            annotations=Path(entry.annotations) if entry.annotations else None,
            pose=dataset.pose,
            instance=dataset.instance,
            crop_margin=dataset.crop_margin,
            where=f"{where}.path",
            keypoint_map=entry.keypoint_map,
            filter=entry.filter,
        )
        samples = usable(samples, problems, images, where=f"{where}.path")
        filtered = next((problem for problem in problems if isinstance(problem, Filtered)), None)
        sets.append(MixedSet(where, entry.path, samples, entry.repeat, filtered=filtered))
    return sets


def keep_apart(sets: Sequence[MixedSet], held_out: Sequence[Sample], training: Sequence[Sample]) -> None:
    """Leave out, and tell, what a mixed set shares with `held_out` (by content); tell what it shares with `training`.

    Only files that agree in size are read.
    """
    if not sets:
        return
    mine = [sample.image for one in sets for sample in one.samples]
    first_of = same_content([sample.image for sample in (*held_out, *training)] + mine)
    forbidden = {first_of[sample.image] for sample in held_out}
    trained = {first_of[sample.image] for sample in training}
    for one in sets:
        pictures = [first_of[sample.image] for sample in one.samples]
        one.left_out = {index for index, picture in enumerate(pictures) if picture in forbidden}
        if one.left_out:
            example = one.samples[min(one.left_out)].image
            log.warning(
                "%s: %d of %d images are in the validation or test set too and are left out, e.g. %s",
                one.where,
                len({one.samples[index].image for index in one.left_out}),
                len({sample.image for sample in one.samples}),
                example,
            )
        again = {sample.image for sample, picture in zip(one.samples, pictures, strict=True) if picture in trained}
        if again:
            log.warning(
                "%s: %d images are in the training set already and come more often, e.g. %s",
                one.where,
                len(again),
                min(again),
            )
        trained |= set(pictures)


def drawn(sets: Iterable[MixedSet], seed: int) -> list[Sample]:
    """The samples of an epoch that are mixed in, set after set."""
    return [sample for number, one in enumerate(sets) for sample in repeated(one.used, one.repeat, (abs(seed), number))]


def repeated(samples: Sequence[Sample], times: float, seed: Collection[int]) -> list[Sample]:
    """All samples as often as the whole part of `times`, and of its fraction as many as it says, at least one in all.

    Which these are depends on `seed` alone (numpy's PCG64, the same on every platform).
    """
    whole = int(times)
    extra = round((times - whole) * len(samples))
    if samples and not whole and not extra:
        extra = 1
    order = np.random.Generator(np.random.PCG64(list(seed))).permutation(len(samples))
    return [*samples] * whole + [samples[index] for index in sorted(order[:extra].tolist())]

"""Samples dealt into training, validation, test and quantization sets that share no picture."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from stm32pose.config.data_sections import Dataset
from stm32pose.data.digests import same_content
from stm32pose.data.filter import Filtered
from stm32pose.data.formats import Part
from stm32pose.data.mixing import MixedSet, drawn, keep_apart, read_mix
from stm32pose.data.readers import parts_of, read_images, scan_samples, usable
from stm32pose.data.sample import Sample
from stm32pose.errors import ConfigError, UserError, did_you_mean
from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)

SETS = ("training", "validation", "test", "quantization")
NEEDS = (*SETS, "evaluation")
PARTS: dict[str, Part] = {"training": "train", "validation": "val", "test": "test", "quantization": "train"}
"""Which set of a place that holds several is read for each of ours."""


@dataclass
class Splits:
    """The sets of a run; those that it does not need may be empty.

    Attributes:
        training, validation, test: samples, in the order of their names.
        quantization: candidates for calibration, all of them (`quantization_split` is applied by the quantizer); never
            taken from validation or test.
        sources: set -> the key its samples come from (`dataset.training_path`), for those that are not empty.
        seed: of the split; drawn anew where the configuration has null.
        mixed: the sets of `dataset.mix`, whose samples are in `training` too, after those of `training_path`.
        filters: key of a source -> what `dataset.filter` took out of it.
    """

    training: list[Sample] = field(default_factory=list)
    validation: list[Sample] = field(default_factory=list)
    test: list[Sample] = field(default_factory=list)
    quantization: list[Sample] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    seed: int | None = None
    mixed: list[MixedSet] = field(default_factory=list)
    filters: dict[str, Filtered] = field(default_factory=dict)

    def unmixed(self) -> Splits:
        """The same without what is mixed in."""
        if not self.mixed:
            return self
        mixed = {id(sample) for one in self.mixed for sample in one.samples}
        return replace(self, training=[sample for sample in self.training if id(sample) not in mixed], mixed=[])

    def with_mixed(self, sets: list[MixedSet]) -> Splits:
        """The same with `sets` mixed into the training set, drawn by `seed`."""
        training = [*self.training, *drawn(sets, self.seed or 0)]
        return replace(self, training=training, mixed=sets)


def make_splits(dataset: Dataset, skeleton: Skeleton, needs: Iterable[str]) -> Splits:
    """Read the sets that a run needs and hold out what the configuration asks for.

    Validation is `validation_path`, else `validation_split` of the training images; test is `test_path`, else
    `test_split` of them, else empty; quantization is `quantization_path`, else what is left for training. The same
    images and seed give the same split whatever the run needs. Images of the same bytes, and crops of the same image,
    always fall on the same side.
    What `dataset.mix` names is added to the training set alone, without the pictures that validation or test hold.

    Args:
        dataset: the section.
        skeleton: of the labels.
        needs: of "training", "validation", "test", "quantization" and "evaluation" (test, else validation).

    Raises:
        ConfigError: a path that is needed is missing, or two given folders share pictures.
        UserError: labels are faulty, or there are too few images to split.
    """
    wanted = set(needs)
    for need in wanted:
        if need not in NEEDS:
            raise ValueError(f"no set named {need!r}; allowed: {', '.join(NEEDS)}{did_you_mean(need, NEEDS)}")
    seed = dataset.seed if dataset.seed is not None else secrets.randbits(32)
    splits = Splits(seed=seed)
    dataset = _with_own_sets(dataset)
    if "training" in wanted:
        wanted.add("validation")
        if not dataset.training_path:
            raise ConfigError("dataset.training_path: missing; wanted the folder of training images")
    if "evaluation" in wanted:
        wanted.add("test")
        if not dataset.test_path and not (dataset.test_split and dataset.training_path):
            wanted.add("validation")
            if not dataset.validation_path and not dataset.training_path:
                raise ConfigError(
                    "dataset: nothing to evaluate on; wanted test_path, validation_path or training_path (of which "
                    "validation_split is held out)"
                )
    needs_training = (
        "training" in wanted
        or ("validation" in wanted and not dataset.validation_path)
        or ("test" in wanted and not dataset.test_path and dataset.test_split > 0)
        or ("quantization" in wanted and not dataset.quantization_path)
    )
    if dataset.training_path and needs_training:
        _split_training(splits, dataset, skeleton, seed)
    for name in ("validation", "test"):
        if getattr(dataset, f"{name}_path") and name in wanted:
            setattr(splits, name, _read(splits, dataset, name, skeleton))
            splits.sources[name] = f"dataset.{name}_path"
    if "quantization" in wanted:
        _add_quantization(splits, dataset, skeleton)
    _refuse_shared_pictures(splits)
    if "training" in wanted and dataset.mix:
        sets = read_mix(dataset, skeleton)
        unread = [] if "test" in wanted else _unread_test(dataset, skeleton)
        keep_apart(sets, splits.validation + splits.test + unread, splits.training)
        splits = splits.with_mixed(sets)
    return splits


def unlabelled_splits(dataset: Dataset) -> Splits:
    """Calibration images alone, labels unread: `quantization_path`, else the images of `training_path`.

    Raises:
        ConfigError: neither path is given.
        UserError: no folder, no image, or an unreadable one.
    """
    name = "quantization" if dataset.quantization_path else "training"
    folder, listed = getattr(dataset, f"{name}_path"), getattr(dataset, f"{name}_annotations")
    if not folder:
        raise ConfigError("dataset.quantization_path: missing; wanted a folder of images to calibrate on")
    where = f"dataset.{name}_path"
    samples = read_images(
        Path(folder), annotations=Path(listed) if listed else None, where=where, format=dataset.format
    )
    return Splits(quantization=samples, sources={"quantization": where}, seed=dataset.seed)


def evaluation_set(splits: Splits) -> tuple[str, list[Sample]]:
    """("test", its samples), else ("validation", its samples); never the training set.

    Raises:
        ConfigError: both are empty.
    """
    for name in ("test", "validation"):
        samples = getattr(splits, name)
        if samples:
            return name, samples
    raise ConfigError("dataset: nothing to evaluate on; wanted test_path, validation_path or training_path")


def hold_out(samples: Sequence[Sample], shares: Sequence[float], seed: int) -> list[list[Sample]]:
    """Deal `samples` into one part a share, and a last one of what is left; each part in the order of names.

    Pictures are ordered by name and permuted by numpy's PCG64 with `seed`, which is the same on every platform. Shares
    count pictures; a share above 0 gets at least one.

    Raises:
        UserError: fewer distinct pictures than parts.
    """
    first_of = same_content([sample.image for sample in samples])
    pictures = sorted(set(first_of.values()), key=lambda path: path.as_posix())
    members: dict[Path, list[int]] = {picture: [] for picture in pictures}
    for index, sample in enumerate(samples):
        members[first_of[sample.image]].append(index)
    counts = [max(1, round(share * len(pictures))) if share > 0 else 0 for share in shares]
    if sum(counts) >= len(pictures):
        raise UserError(
            f"dataset.training_path: {len(pictures)} different pictures are too few to hold out {sum(counts)} and "
            "train on the rest; add images, or lower validation_split and test_split"
        )
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(pictures))
    bounds = np.cumsum([0, *counts, len(pictures) - sum(counts)])
    parts = []
    for start, stop in pairwise(bounds.tolist()):
        chosen = sorted(index for picture in order[start:stop] for index in members[pictures[picture]])
        parts.append([samples[index] for index in chosen])
    return parts


def _with_own_sets(dataset: Dataset) -> Dataset:
    """A training place that holds validation or test images of its own (a data.yaml, a COCO root) serves these too."""
    if not dataset.training_path or (dataset.validation_path and dataset.test_path):
        return dataset
    listed = dataset.training_annotations
    parts = parts_of(Path(dataset.training_path), format=dataset.format, annotations=Path(listed) if listed else None)
    own = {
        f"{name}_path": dataset.training_path
        for name in ("validation", "test")
        if PARTS[name] in parts and not getattr(dataset, f"{name}_path")
    }
    for key in own:
        log.info("dataset.%s: not given; %s has a set of its own, which is taken", key, dataset.training_path)
    return dataset.model_copy(update=own) if own else dataset


def _unread_test(dataset: Dataset, skeleton: Skeleton) -> list[Sample]:
    """The images of `test_path`, for a run that does not need them but must not train on them.

    Those of the folder, whatever their labels, and those that its reader finds, which knows sub-folders.

    Raises:
        UserError: neither can be told.
    """
    if not dataset.test_path:
        return []
    images, listed = Path(dataset.test_path), dataset.test_annotations
    annotations = Path(listed) if listed else None
    where, part = "dataset.test_path", PARTS["test"]
    failed: UserError | None = None
    found: list[Sample] = []
    try:
        found = read_images(images, annotations=annotations, where=where, format=dataset.format, part=part)
    except UserError as error:
        failed = error
    try:
        labelled, problems = scan_samples(
            images,
            skeleton,
            format=dataset.format,
            annotations=annotations,
            pose="multi",
            where=where,
            part=part,
            keypoint_map=dataset.keypoint_map,
        )
    except UserError:
        if failed:
            raise
        return found  # test images without labels
    if failed or not labelled:
        labelled = usable(labelled, problems, images, where=where)
    return [*found, *labelled]


def _split_training(splits: Splits, dataset: Dataset, skeleton: Skeleton, seed: int) -> None:
    samples = _read(splits, dataset, "training", skeleton)
    test_share = 0.0 if dataset.test_path else dataset.test_split
    validation_share = 0.0 if dataset.validation_path else dataset.validation_split
    splits.test, splits.validation, splits.training = hold_out(samples, (test_share, validation_share), seed)
    for name in ("training", "validation", "test"):
        if getattr(splits, name):
            splits.sources[name] = "dataset.training_path"


def _add_quantization(splits: Splits, dataset: Dataset, skeleton: Skeleton) -> None:
    if not dataset.quantization_path:
        splits.quantization = list(splits.training)
        if splits.training:
            splits.sources["quantization"] = splits.sources["training"]
        return
    if dataset.instance == "crop":
        splits.quantization = _read(splits, dataset, "quantization", skeleton)
    else:
        listed = dataset.quantization_annotations
        folder = Path(dataset.quantization_path)
        splits.quantization = read_images(
            folder,
            annotations=Path(listed) if listed else None,
            where="dataset.quantization_path",
            keypoints=skeleton.count,
            format=dataset.format,
        )
        held_out = set(same_as(splits.validation + splits.test, splits.quantization))
        if held_out and _same_folder(dataset.quantization_path, dataset.training_path):
            # The same folder as training: what is held out of training stays out of calibration as well.
            splits.quantization = [sample for sample in splits.quantization if sample.image not in held_out]
    splits.sources["quantization"] = "dataset.quantization_path"


def _same_folder(first: str | None, second: str | None) -> bool:
    return bool(first and second) and Path(str(first)).resolve() == Path(str(second)).resolve()


def _read(splits: Splits, dataset: Dataset, name: str, skeleton: Skeleton) -> list[Sample]:
    annotations, images = getattr(dataset, f"{name}_annotations"), Path(getattr(dataset, f"{name}_path"))
    where = f"dataset.{name}_path"
    samples, problems = scan_samples(
        images,
        skeleton,
        format=dataset.format,
        annotations=Path(annotations) if annotations else None,
        pose=dataset.pose,
        instance=dataset.instance,
        crop_margin=dataset.crop_margin,
        where=where,
        part=PARTS[name],
        keypoint_map=dataset.keypoint_map,
        filter=dataset.filter,
    )
    for problem in problems:
        if isinstance(problem, Filtered):
            splits.filters[where] = problem
    return usable(samples, problems, images, where=where)


def same_as(first: Sequence[Sample], second: Sequence[Sample]) -> list[Path]:
    """Images of `second` whose bytes some image of `first` has too."""
    originals = same_content([sample.image for sample in first] + [sample.image for sample in second])
    ours = {originals[sample.image] for sample in first}
    return [path for path in dict.fromkeys(sample.image for sample in second) if originals[path] in ours]


def _refuse_shared_pictures(splits: Splits) -> None:
    """An error where the training folder shares pictures with validation or test, a warning where other sets do."""
    ours = splits.sources.get("training")
    folder = [
        sample
        for name in ("training", "validation", "test")
        if splits.sources.get(name) == ours
        for sample in getattr(splits, name)
    ]
    for name in ("validation", "test"):
        if splits.sources.get(name) == ours:
            continue
        shared = same_as(folder, getattr(splits, name))
        if shared:
            raise ConfigError(
                f"dataset.{name}_path: {len(shared)} of its images are in the training folder too, e.g. {shared[0]}, "
                "so its figures would be too good; take them out of one of the two"
                + (f", or leave {name}_path out and let {name}_split hold some out" if name == "validation" else "")
            )
    for first, second in (("validation", "test"), ("validation", "quantization"), ("test", "quantization")):
        if splits.sources.get(first) == splits.sources.get(second):
            continue
        shared = same_as(getattr(splits, first), getattr(splits, second))
        if shared:
            log.warning(
                "%s and %s share %d images, e.g. %s: figures on them are a little too good",
                splits.sources.get(first),
                splits.sources.get(second),
                len(shared),
                shared[0],
            )


def splits_manifest(splits: Splits) -> dict:
    """What a run used, JSON-able: the seed, the folders, and name and digests of every image and its labels."""
    from stm32pose.data import manifest

    return manifest.write_manifest(splits)


def apply_manifest(splits: Splits | Sequence[Sample], manifest: dict) -> Splits:
    """The same samples, dealt as `manifest` says. See `stm32pose.data.manifest.read_manifest` for errors."""
    from stm32pose.data.manifest import read_manifest

    return read_manifest(splits, manifest)

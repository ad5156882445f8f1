"""Everything that can be said of a configuration before anything heavy is imported."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stm32pose.config.built import check_built
from stm32pose.config.compose import compose_file
from stm32pose.config.idle import idle_notes
from stm32pose.config.load import load_config
from stm32pose.config.schema import Config
from stm32pose.config.suffixes import suffix_of
from stm32pose.errors import ConfigError
from stm32pose.operations.checks import check_steps

if TYPE_CHECKING:
    from stm32pose.config.model_sections import Training

log = logging.getLogger(__name__)


def runnable(
    mapping: dict[str, Any], *, where: str = "", overrides: Iterable[str] = (), check_paths: bool = True
) -> Config:
    """A configuration that is valid, built, and whose names are known to the rooms that own them.

    Raises:
        ConfigError: one line for every problem; what is not built is said before a missing file is.
    """
    overrides = list(overrides)
    try:
        config = load_config(mapping, where=where, check_paths=check_paths, overrides=overrides)
    except ConfigError:
        if check_paths:
            _check_built_first(mapping, where, overrides)
        raise
    check_built(config)
    check_names(config, check_paths=check_paths)
    with quiet():
        check_steps(config, here=check_paths)
    for note in idle_notes(config):
        log.warning("%s", note)
    return config


def check_file(path: Path, *, check_paths: bool = True) -> Config:
    """The runnable configuration of a YAML file. ConfigError: as `runnable`."""
    return runnable(compose_file(path), where=str(path), check_paths=check_paths)


def check_names(config: Config, *, check_paths: bool = True) -> None:
    """Ask the rooms that own them about names of boards, skeletons, augmentations, optimizers and callbacks.

    Raises:
        ConfigError: every name or argument that is not known, one a line.
    """
    lines = []
    with quiet():
        for check in _checks(config, check_paths):
            try:
                check()
            except ConfigError as error:
                # A skeleton that cannot be read is missed by every check that needs it.
                lines += [line for line in str(error).splitlines() if line not in lines]
    if lines:
        raise ConfigError("\n".join(lines))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings back: the run itself gives them, into its log."""
    logger = logging.getLogger("stm32pose")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def is_file_name(name: str | None) -> bool:
    """Whether a board or skeleton is given by its YAML file, not by name."""
    return name is not None and suffix_of(name) in (".yaml", ".yml")


def _check_built_first(mapping: dict[str, Any], where: str, overrides: list[str]) -> None:
    """What is not built is said before a file is missed; no error where more than files is wrong."""
    try:
        config = load_config(mapping, where=where, check_paths=False, overrides=overrides)
    except ConfigError:
        return
    check_built(config)


def _check_reading(config: Config) -> None:
    """ConfigError: a filter, or a keypoint map, is wrong, as far as that can be said without the labels."""
    from stm32pose.data.filter import parse_filter
    from stm32pose.skeletons.joints import mapped_skeleton
    from stm32pose.skeletons.skeleton import resolve_skeleton

    skeleton = resolve_skeleton(config.dataset)
    mix = [(f"dataset.mix[{number}]", entry) for number, entry in enumerate(config.dataset.mix)]
    for where, entry in (("dataset", config.dataset), *mix):
        mapped_skeleton(skeleton, entry.keypoint_map, where=f"{where}.keypoint_map")
        if entry.filter:
            parse_filter(entry.filter, skeleton, where=f"{where}.filter")


def _check_joints(config: Config, training: Training) -> None:
    """ConfigError: joint weights or a loss for another number of joints than the skeleton has."""
    from stm32pose.skeletons.skeleton import resolve_skeleton
    from stm32pose.training.weights import joint_weights

    skeleton = resolve_skeleton(config.dataset)
    joint_weights(training, skeleton)
    most = training.loss.get("ohkm", {}).get("topk")
    if most is not None and most > skeleton.count:
        raise ConfigError(
            f"training.loss.ohkm.topk: got {most}; expected {skeleton.count} at most, the keypoints of {skeleton.name}"
        )


def _checks(config: Config, check_paths: bool) -> Iterator[Callable[[], object]]:
    steps = set(config.steps)
    custom = is_file_name(config.dataset.skeleton)
    named = config.dataset.skeleton or config.dataset.keypoints
    if (steps & {"train", "evaluate"} or (steps & {"predict", "deploy"} and named)) and (check_paths or not custom):
        from stm32pose.skeletons.skeleton import resolve_skeleton

        yield lambda: resolve_skeleton(config.dataset)
        if steps & {"train", "evaluate"}:
            yield lambda: _check_reading(config)
        if "train" in steps and config.training:
            yield partial(_check_joints, config, config.training)
    if "benchmark" in steps and config.benchmarking:
        from stm32pose.boards.board import load_board

        for name in (config.benchmarking.board, *(config.benchmarking.boards or ())):
            if check_paths or not is_file_name(name):
                yield lambda name=name: load_board(name)
    if "train" in steps and config.data_augmentation:
        yield lambda: _check_augmentation(config, check_paths)
    if "train" in steps and config.training:
        from stm32pose.commands.keras_names import check_classes

        yield lambda: check_classes(config)


def _check_augmentation(config: Config, check_paths: bool) -> None:
    """Names and arguments; files of the user's own are looked for, not run."""
    from stm32pose.own_code import is_own_function
    from stm32pose.skeletons.skeleton import resolve_skeleton
    from stm32pose.transforms.chain import build_chain

    listed = {
        name: given for name, given in config.data_augmentation.items() if check_paths or not is_own_function(name)
    }
    skeleton = None
    if "random_half_body" in listed:
        if not check_paths and is_file_name(config.dataset.skeleton):
            listed.pop("random_half_body")
        else:
            skeleton = resolve_skeleton(config.dataset)
    shape = config.model.input_shape or (192, 192, 3)
    build_chain(
        listed,
        input_shape=shape,
        rescaling=config.preprocessing.rescaling,
        skeleton=skeleton,
        run_code=False,
    )

"""The skeleton of a model for steps that read no labels."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from stm32pose.config.schema import Config
from stm32pose.errors import ConfigError

if TYPE_CHECKING:
    from stm32pose.inference.runner import Runner
    from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)

CATEGORIES = {"hand_spe": "hand", "head_spe": "head"}


def skeleton_of(config: Config, known: Skeleton | None, runner: Runner) -> Skeleton:
    """`known` or what `dataset` names; else that of the model's sidecar; else the shipped one with its K.

    Where none has a matching skeleton, the joints are known by name (of the sidecar) or number, without limbs, and the
    log says how to get them.

    Raises:
        ConfigError: the outputs do not tell how many keypoints there are, or `dataset` names no skeleton there is.
    """
    from stm32pose.codecs.select import recognise
    from stm32pose.inference.sidecar import read_sidecar
    from stm32pose.skeletons.skeleton import load_skeleton, resolve_skeleton, skeleton_for, skeleton_names

    if known is not None:
        return known
    if config.dataset.skeleton or config.dataset.keypoints:
        return resolve_skeleton(config.dataset)
    told = (read_sidecar(runner.path) or {}).get("skeleton") or {}
    if names := [str(name) for name in told.get("keypoints", [])]:
        shipped = load_skeleton(str(told["name"])) if told.get("name") in skeleton_names() else None
        if shipped and list(shipped.keypoints) == names:
            return shipped
        return _names_alone(str(told.get("name") or "unnamed"), names)
    shapes = [tuple(output.shape) for output in runner.outputs]
    model_type, count = recognise(shapes, input_shape=runner.input_shape, model_type=config.model.model_type)
    if not count:
        raise ConfigError(
            f"dataset.skeleton: missing, and the outputs of {runner.path.name} do not tell the number of keypoints"
        )
    named = config.dataset.class_names[0] if config.dataset.class_names else "person"
    try:
        skeleton = skeleton_for(count, CATEGORIES.get(model_type, named))
    except ConfigError:
        return _names_alone("unnamed", [f"keypoint_{index}" for index in range(count)])
    log.info("dataset.skeleton: not given; %s it is, since the model has %d keypoints", skeleton.name, count)
    return skeleton


def _names_alone(name: str, keypoints: list[str]) -> Skeleton:
    from stm32pose.skeletons.skeleton import DEFAULT_SIGMA, Skeleton

    log.warning(
        "no shipped skeleton has these %d keypoints: points without limbs; dataset.skeleton takes a YAML that has them",
        len(keypoints),
    )
    return Skeleton(
        name=name,
        category="object",
        keypoints=tuple(keypoints),
        edges=(),
        pairs=(),
        flip=np.arange(len(keypoints)),
        sigmas=np.full(len(keypoints), DEFAULT_SIGMA),
        sigmas_published=False,
        sigmas_source="default",
        colours=(),
    )

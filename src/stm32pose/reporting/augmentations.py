"""training_augmentations.jpg: each augmentation of a configuration alone, with the keypoints that it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.drawing import caption, draw_poses, fit_into, mosaic, write_image
from stm32pose.reporting.pictures import SIDE, enlarged

if TYPE_CHECKING:
    from stm32pose.config.schema import Config
    from stm32pose.data.sample import Sample
    from stm32pose.skeletons.skeleton import Skeleton

DRAWS = 3
"""Random draws of each augmentation beside the image as it is."""
LOOKED_AT = 64
BESIDE = 4


def augmentation_sheet(
    samples: Sequence[Sample], skeleton: Skeleton, config: Config, input_shape: tuple[int, int, int], path: Path
) -> Path:
    """A row for each entry of `data_augmentation`: one image as it is, then changed by this entry alone, always.

    The image is the one with the most labelled keypoints among the first; `change_rate` counts as 1.
    """
    chosen = _well_labelled(samples)
    tiles = []
    for name, given in config.data_augmentation.items():
        alone = {name: {**(given or {}), "change_rate": 1.0}}
        if name == "random_periodic_resizing":
            alone = {name: {**(given or {}), "period": 1}}
        shown = _draws(chosen, skeleton, config, input_shape, {}, 1)
        shown += _draws(chosen, skeleton, config, input_shape, alone, DRAWS)
        for place, (image, poses) in enumerate(shown):
            picture, factor = enlarged(image)
            drawn = draw_poses(picture, poses * [factor, factor, 1], skeleton)
            label = f"{name}: as it is" if place == 0 else f"{name} {place} {image.shape[1]}x{image.shape[0]}"
            tiles.append(caption(fit_into(drawn, SIDE - 18, SIDE), label))
    return write_image(path, mosaic(tiles, columns=DRAWS + 1, tile=(SIDE, SIDE)))


def _draws(
    samples: Sequence[Sample],
    skeleton: Skeleton,
    config: Config,
    input_shape: tuple[int, int, int],
    augmentation: dict[str, dict[str, Any]],
    draws: int,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The first sample as the network sees it in each epoch: uint8 [H, W, C] as RGB, and its poses [N, K, 3]."""
    from stm32pose.data.pipeline import Pipeline
    from stm32pose.transforms.chain import build_chain

    chain = build_chain(
        augmentation, input_shape=input_shape, rescaling=config.preprocessing.rescaling, skeleton=skeleton
    )
    pipeline = Pipeline(
        samples,
        input_shape=input_shape,
        preprocessing=config.preprocessing,
        chain=chain,
        flip=skeleton.flip,
        batch_size=1,
        seed=config.general.global_seed or 0,
        workers=1,
    )
    # With several sizes each batch has the next one; otherwise the first image is drawn anew in each epoch.
    batches = list(islice(pipeline.epoch(0), draws)) if chain.sizes else [next(pipeline.epoch(n)) for n in range(draws)]
    step = -1 if config.preprocessing.color_mode == "bgr" else 1
    return [(batch.images[0][..., ::step], batch.keypoints_input[0]) for batch in batches]


def _well_labelled(samples: Sequence[Sample]) -> list[Sample]:
    """The best labelled of the first samples, and a few others to stand beside it."""
    first = list(samples[:LOOKED_AT])
    counts = [int((sample.keypoints[..., 2] > 0).sum(axis=-1).max(initial=0)) for sample in first]
    best = int(np.argmax(counts))
    others = [sample for index, sample in enumerate(first) if index != best]
    return [first[best], *others[: BESIDE - 1]]

"""Pictures of labels and predictions: mosaics before training, the best and worst images after evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.drawing import caption, draw_found, draw_poses, fit_into, mosaic, write_image

if TYPE_CHECKING:
    from stm32pose.config.schema import Config
    from stm32pose.data.sample import Sample
    from stm32pose.skeletons.skeleton import Skeleton

TILES = 8
SIDE = 240
SHORT = 8
"""Characters of a model's name that leave room for the file's on one line."""


def labelled_mosaic(samples: Sequence[Sample], skeleton: Skeleton, path: Path, *, tiles: int = TILES) -> Path:
    """Evenly chosen images as they lie on disk, with their labels, to `path`."""
    from stm32pose.data.images import read_image

    chosen = [samples[index] for index in _spread(len(samples), tiles)]
    drawn = []
    for sample in chosen:
        image = draw_poses(read_image(sample.image), sample.keypoints, skeleton)
        if sample.region is not None:
            image = _cut(image, sample.region)
        drawn.append(caption(fit_into(image, SIDE - 18, SIDE), sample.image.name))
    return write_image(path, mosaic(drawn, tile=(SIDE, SIDE)))


def augmented_mosaic(
    samples: Sequence[Sample],
    skeleton: Skeleton,
    config: Config,
    input_shape: tuple[int, int, int],
    path: Path,
    *,
    tiles: int = TILES,
) -> Path:
    """The first images of an epoch exactly as the network sees them, augmentation included, to `path`."""
    from stm32pose.data.pipeline import Pipeline
    from stm32pose.transforms.chain import build_chain

    chain = build_chain(
        config.data_augmentation,
        input_shape=input_shape,
        rescaling=config.preprocessing.rescaling,
        skeleton=skeleton,
    )
    pipeline = Pipeline(
        samples,
        input_shape=input_shape,
        preprocessing=config.preprocessing,
        chain=chain,
        flip=skeleton.flip,
        batch_size=min(tiles, len(samples)),
        shuffle=True,
        seed=config.general.global_seed or 0,
    )
    batch = next(iter(pipeline.epoch(0)))
    drawn = []
    for image, poses in zip(batch.images, batch.keypoints_input, strict=True):
        picture, factor = enlarged(image)
        drawn.append(draw_poses(picture, poses * [factor, factor, 1], skeleton))
    return write_image(path, mosaic(drawn, tile=(SIDE, SIDE)))


def example_pictures(
    samples: Sequence[Sample],
    measured: Sequence[Any],
    skeleton: Skeleton,
    folder: Path,
    config: Config,
    *,
    ranked_by: str | None = None,
) -> None:
    """`examples.jpg` (from the best image to the worst) and `worst.jpg`, a row of models beside each other.

    `measured`: the models' `label`, `poses`, `confidence` and `results`, on the same `samples`. Poses that score less
    than `confidence` are left out. `ranked_by`: the label of the model whose best and worst images these are; None:
    the last one's.
    """
    if not measured:
        return
    judge = next((model for model in measured if model.label == ranked_by), measured[-1])
    scores = {entry["index"]: entry["oks"] for entry in judge.results["per_image"] if entry["oks"] is not None}
    ranked = sorted(scores, key=lambda index: scores[index])
    if not ranked:
        return
    middle = [ranked[::-1][place] for place in _spread(len(ranked), 8)]
    threshold = config.postprocessing.kpts_conf_thresh
    for name, indices in (("examples.jpg", middle), ("worst.jpg", ranked[: config.evaluation.worst_images])):
        if indices:
            tiles = [_compared(samples[i], i, measured, skeleton, threshold) for i in indices]
            columns = max(1, 4 // len(measured))
            write_image(folder / name, mosaic(tiles, columns=columns, tile=(SIDE, SIDE * len(measured))))


def _compared(sample: Sample, index: int, measured: Sequence[Any], skeleton: Skeleton, threshold: float) -> np.ndarray:
    from stm32pose.data.images import read_image

    image, factor = enlarged(read_image(sample.image))
    scale = np.array([factor, factor, 1])
    tiles = []
    for model in measured:
        drawn = draw_poses(image, sample.keypoints * scale, skeleton, truth=True)
        found = model.poses[index]
        shown = found.scores >= model.confidence
        boxes = found.boxes[shown] * factor if found.boxes is not None and len(found) > 1 else None
        drawn = draw_found(drawn, found.keypoints[shown] * scale, skeleton, threshold=threshold, boxes=boxes)
        if sample.region is not None:
            drawn = _cut(drawn, tuple(factor * side for side in sample.region))
        oks = next((e["oks"] for e in model.results["per_image"] if e["index"] == index), None)
        text = f"OKS {oks:.2f}  {sample.image.name}" if oks is not None else sample.image.name
        lines = [model.label, text] if len(model.label) > SHORT else [f"{model.label}  {text}"]
        tile = fit_into(drawn, SIDE - 18 * len(lines), SIDE)
        for line in lines:
            tile = caption(tile, line)
        tiles.append(tile)
    return np.hstack(tiles)


def enlarged(image: np.ndarray, side: int = 2 * SIDE) -> tuple[np.ndarray, float]:
    """RGB, at least `side` pixels long, so that thin lines stay visible; and the factor."""
    import cv2

    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    factor = max(1.0, side / max(image.shape[:2]))
    if factor == 1.0:
        return image, 1.0
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), factor


def _cut(image: np.ndarray, region: tuple[float, ...]) -> np.ndarray:
    left, top, width, height = region
    rows = slice(max(0, int(top)), max(1, round(top + height)))
    columns = slice(max(0, int(left)), max(1, round(left + width)))
    return image[rows, columns]


def _spread(count: int, wanted: int) -> list[int]:
    """`wanted` indices spread evenly over `count`, first and last included."""
    return [round(place) for place in np.linspace(0, count - 1, min(count, wanted))]

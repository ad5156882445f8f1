"""A data set of coloured dots that three convolutions learn in seconds, and all that `train` needs around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stm32pose.config.schema import Config
from stm32pose.data.sample import Sample
from stm32pose.data.splits import Splits
from stm32pose.skeletons.skeleton import Skeleton

SIZE = 64
COLOURS = ((230, 40, 40), (40, 220, 60), (60, 80, 240))


def dots_skeleton() -> Skeleton:
    return Skeleton(
        name="dots",
        category="dots",
        keypoints=("red", "green", "blue"),
        edges=((0, 1), (1, 2)),
        pairs=(),
        flip=np.arange(3),
        sigmas=np.full(3, 0.05),
        sigmas_published=False,
        sigmas_source="test",
        colours=((255, 0, 0), (0, 0, 255)),
    )


def dots_samples(folder: Path, count: int, seed: int) -> list[Sample]:
    """Images of SIZE x SIZE pixels with three dots each."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    samples = []
    for index in range(count):
        image = rng.integers(90, 150, (SIZE, SIZE, 3)).astype(np.uint8)
        points = rng.uniform(8, SIZE - 8, (3, 2))
        for point, colour in zip(points, COLOURS, strict=True):
            centre = tuple(int(value) for value in np.round((point - 0.5) * 16))
            cv2.circle(image, centre, 4 * 16, colour, -1, cv2.LINE_AA, 4)
        path = folder / f"{index:03d}.png"
        cv2.imwrite(str(path), image[..., ::-1])
        keypoints = np.concatenate([points, np.full((3, 1), 2)], axis=1)[None].astype(np.float32)
        box = np.array([[4, 4, SIZE - 8, SIZE - 8]], np.float32)
        area = box[:, 2] * box[:, 3]
        samples.append(Sample(path, (SIZE, SIZE), keypoints, box, area, np.zeros(1, bool), index))
    return samples


def dots_config(**changes: Any) -> Config:
    """A small training; keywords are sections, merged into it."""
    sections: dict[str, Any] = {
        "general": {"global_seed": 7, "num_workers": 2},
        "training": {"batch_size": 8, "epochs": 2, "optimizer": {"Adam": {"learning_rate": 1e-2}}},
    }
    for name, section in changes.items():
        sections[name] = {**sections.get(name, {}), **section} if isinstance(section, dict) else section
    return Config.model_validate({"operation_mode": "training", **sections})


def dots_model(seed: int = 1, dropout: float | None = None) -> Any:
    """64x64x3 -> 16x16x3, three convolutions with batch normalisation."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((SIZE, SIZE, 3))
    for filters, stride in ((12, 2), (16, 2), (16, 1)):
        x = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    if dropout is not None:
        x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, layers.Conv2D(3, 1, activation="sigmoid", bias_initializer="zeros")(x))


def dots_splits(folder: Path, training: int = 20, validation: int = 8) -> Splits:
    return Splits(
        training=dots_samples(folder / "train", training, 1),
        validation=dots_samples(folder / "val", validation, 2),
        sources={"training": "dataset.training_path", "validation": "dataset.validation_path"},
        seed=1,
    )


def dots_train(config: Config, folder: Path, splits: Splits, **options: Any) -> Any:
    """`train` on the dots, with real codec, pipeline and metrics."""
    from stm32pose.codecs.select import make_codec
    from stm32pose.training.fit import train
    from stm32pose.training.runtime import prepare_runtime

    prepare_runtime(config)
    model = options.pop("model", None) or dots_model()
    codec = make_codec("heatmaps_spe", input_shape=(SIZE, SIZE, 3), output_shapes=[model.output_shape[1:]], keypoints=3)
    return train(
        config,
        model=model,
        codec=codec,
        splits=splits,
        skeleton=dots_skeleton(),
        folder=folder / "saved_models",
        logs=folder / "logs",
        **options,
    )

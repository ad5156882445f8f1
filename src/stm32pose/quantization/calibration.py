"""Which images calibrate the quantizer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stm32pose.config.data_sections import Dataset
from stm32pose.data.sample import Sample
from stm32pose.errors import ConfigError


def calibration_images(samples: Sequence[Sample], dataset: Dataset) -> list[Sample]:
    """The calibration images, spread evenly over `samples`.

    `quantization_split` counts images, rounded, never fewer than one; null or 0 takes all, at most
    `quantization_images`.

    Raises:
        ConfigError: there is no image to calibrate with.
    """
    if not samples:
        raise ConfigError(
            "dataset.quantization_path: no image to calibrate with; "
            "give dataset.quantization_path or dataset.training_path"
        )
    if dataset.quantization_split:
        wanted = max(1, round(dataset.quantization_split * len(samples)))
    else:
        wanted = min(len(samples), dataset.quantization_images)
    chosen = np.floor((np.arange(wanted) + 0.5) * len(samples) / wanted).astype(int)
    return [samples[index] for index in chosen]

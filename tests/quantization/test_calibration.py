"""Calibration images are counted in images, never none, spread evenly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.config.data_sections import Dataset
from stm32pose.data.sample import Sample
from stm32pose.errors import ConfigError
from stm32pose.quantization.calibration import calibration_images


def samples(count: int) -> list[Sample]:
    empty = np.zeros((0, 13, 3), np.float32)
    rows = np.zeros((0, 4), np.float32)
    return [Sample(Path(f"{i}.jpg"), (8, 8), empty, rows, rows[:, 0], rows[:, 0] > 0, i) for i in range(count)]


@settings(max_examples=80, deadline=None)
@given(count=st.integers(1, 500), split=st.floats(0.001, 1))
def test_split_counts_images(count: int, split: float) -> None:
    chosen = [sample.image_id for sample in calibration_images(samples(count), Dataset(quantization_split=split))]
    assert len(chosen) == max(1, round(split * count))
    assert len(set(chosen)) == len(chosen)
    assert chosen == sorted(chosen)
    gaps = np.diff([-1, *chosen, count])
    assert gaps.max() <= 2 * count / len(chosen) + 1


@pytest.mark.parametrize("split", [None, 0.0])
def test_without_split_up_to_a_limit(split: float | None) -> None:
    few, many = (calibration_images(samples(n), Dataset(quantization_split=split)) for n in (7, 900))
    assert [sample.image_id for sample in few] == list(range(7))
    assert len(many) == 200
    assert len(calibration_images(samples(9), Dataset(quantization_images=3))) == 3


def test_no_images() -> None:
    with pytest.raises(ConfigError, match=r"dataset\.quantization_path: no image to calibrate with"):
        calibration_images([], Dataset())

"""Ranges of activations: each method on data made for it, and all of them on a real graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_models as made

from stm32pose.inference.onnx_graph import folded, raise_opset, read_onnx_model
from stm32pose.quantization.onnx_ranges import (
    BINS,
    Average,
    Entropy,
    Extremes,
    Histogram,
    Percentile,
    activation_ranges,
)
from stm32pose.quantization.onnx_recipe import Recipe

RANDOM = np.random.default_rng(4)


def collected(collector, images):
    for image in images:
        collector.add(np.asarray(image, np.float32))
    return collector.range()


def test_extremes_and_averages() -> None:
    images = [[-1, 2], [-3, 10], [0, 3]]
    assert collected(Extremes(), images) == (-3, 10)
    assert collected(Average(None), images) == (pytest.approx(-4 / 3), pytest.approx(5))
    low = -1 + 0.1 * (-3 + 1)
    assert collected(Average(0.1), images)[0] == pytest.approx(low + 0.1 * (0 - low))


def test_percentile_cuts_both_sides() -> None:
    values = RANDOM.normal(size=(20, 5000)).astype(np.float32)
    low, high = collected(Percentile(99), values)
    step = 4 * float(np.abs(values).max()) / BINS
    assert low == pytest.approx(float(np.quantile(values, 0.005)), abs=2 * step)
    assert high == pytest.approx(float(np.quantile(values, 0.995)), abs=2 * step)
    assert collected(Percentile(100), values) == (values.min(), values.max())


def test_percentile_of_positive_values_begins_at_the_lowest() -> None:
    values = np.maximum(RANDOM.normal(size=(10, 4000)), 0).astype(np.float32)
    low, high = collected(Percentile(99.9), values)
    assert low == 0
    assert high == pytest.approx(float(np.quantile(values, 0.9995)), abs=0.02)
    assert high < 0.9 * values.max()


def test_entropy_ignores_a_lone_outlier() -> None:
    values = RANDOM.normal(size=(10, 5000)).astype(np.float32)
    values[3, 7] = 100
    low, high = collected(Entropy(), values)
    assert 3 < high < 30
    assert low == pytest.approx(values.min(), abs=0.3)
    even = RANDOM.uniform(-1, 1, (10, 5000)).astype(np.float32)
    low, high = collected(Entropy(), even)
    assert (low, high) == (pytest.approx(-1, abs=0.05), pytest.approx(1, abs=0.05))  # nothing to gain by clipping


@settings(max_examples=40, deadline=None)
@given(factors=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_a_histogram_loses_no_value(factors: list[float], seed: int) -> None:
    random = np.random.default_rng(seed)
    images = [(random.normal(size=50) * factor).astype(np.float32) for factor in factors]
    histogram = Histogram()
    for image in images:
        histogram.add(image)
    assert histogram.counts.sum() == 50 * len(images)
    values = np.concatenate(images)
    assert histogram.limit >= np.abs(values).max()
    width = 2 * histogram.limit / BINS
    for limit in (-0.5, -0.1, 0.0, 0.3):  # as many values above a limit as there are, but for those in its bin
        edge = limit * histogram.limit
        above = histogram.counts[BINS // 2 + round(limit * BINS / 2) :].sum()
        assert (values > edge + width).sum() <= above <= (values > edge - width).sum()


def test_tensors_of_zeros() -> None:
    for collector in (Percentile(99.0), Entropy()):
        assert collected(collector, [np.zeros(9), np.zeros(9)]) == (0, 0)
    assert collected(Percentile(100), [np.zeros(9), np.ones(9)]) == (0, 1)


def test_methods_on_a_graph(tmp_path: Path) -> None:
    """Every float tensor has a range; MinMax is what NumPy finds; the other methods are inside it."""
    path = made.two_convolutions(tmp_path / "tiny.onnx")
    model = folded(raise_opset(read_onnx_model(path), 17, "tiny"), "tiny")
    images = [
        np.ascontiguousarray(image[None].transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)
        for image in made.pixels(12, (12, 16, 3))
    ]
    found = {
        method: activation_ranges(model, images, Recipe(method=method, percentile=99), "tiny")
        for method in ("MinMax", "MovingAverage", "Percentile", "Entropy")
    }
    assert set(found["MinMax"]) == {"image", "a", "b", "maps"}
    outputs = np.concatenate([made.session_run(path, image)[0] for image in images])
    assert found["MinMax"]["maps"] == (pytest.approx(outputs.min()), pytest.approx(outputs.max()))
    means = outputs.reshape(12, -1)
    assert found["MovingAverage"]["maps"][1] == pytest.approx(means.max(axis=1).mean(), rel=1e-5)
    for method, ranges in found.items():
        for name, (low, high) in ranges.items():
            whole = found["MinMax"][name]
            assert whole[0] <= low <= high <= whole[1], (method, name)
    assert found["Percentile"]["maps"][1] < found["MinMax"]["maps"][1]
    symmetric = activation_ranges(model, images, Recipe(symmetric_ranges=True), "tiny")
    assert all(low == -high for low, high in symmetric.values())

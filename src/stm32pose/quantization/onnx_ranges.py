"""Ranges of the activations of an ONNX model, measured one image at a time.

ONNX Runtime's own histogram calibration keeps every activation of every image until the last one; with one image at a
time the memory is that of one image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from stm32pose.errors import UserError, first_line
from stm32pose.inference.onnx_runner import runtime_errors
from stm32pose.quantization.onnx_recipe import Recipe

Range = tuple[float, float]

BINS = 4096
"""Bins of a histogram over [-limit, limit]."""
LEVELS = 128
"""Steps that `Entropy` compares a distribution with, on each side of zero."""
STRIDE = 16
"""Bins between two limits that `Entropy` tries."""


class Collector(Protocol):
    """Gathers the values of one tensor, image by image."""

    def add(self, values: np.ndarray) -> None: ...

    def range(self) -> Range: ...


def activation_ranges(model: Any, images: Iterable[np.ndarray], recipe: Recipe, what: str) -> dict[str, Range]:
    """Name -> (lowest, highest) of every float tensor that is no constant.

    Args:
        model: a float `ModelProto` with shapes inferred, batch 1.
        images: float32, one network input each, in the model's layout; read once.
        recipe: the method.
        what: the model's name in messages.

    Raises:
        UserError: ONNX Runtime refuses the model, or a tensor holds values that are not finite.
    """
    import onnx
    import onnxruntime

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    given = image_name(model)
    outputs = {value.name for value in watched.graph.output}
    extra = [
        value
        for value in watched.graph.value_info
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and value.name not in outputs
    ]
    watched.graph.output.extend(extra)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except runtime_errors() as error:
        raise UserError(f"{what}: ONNX Runtime cannot calibrate it: {first_line(error)}") from error
    names = [value.name for value in session.get_outputs() if value.type == "tensor(float)"]
    collectors = {name: make_collector(recipe) for name in (given, *names)}
    for image in images:
        try:
            found: list[Any] = list(session.run(names, {given: image}))
        except runtime_errors() as error:
            raise UserError(f"{what}: ONNX Runtime cannot calibrate it: {first_line(error)}") from error
        for name, values in zip((given, *names), [image, *found], strict=True):
            collectors[name].add(values)
    ranges = {name: collector.range() for name, collector in collectors.items()}
    for name, (low, high) in ranges.items():
        if not (np.isfinite(low) and np.isfinite(high)):
            raise UserError(f"{what}: tensor '{name}' holds values that are not finite on the calibration images")
    if recipe.symmetric_ranges:
        ranges = {name: (-max(-low, high), max(-low, high)) for name, (low, high) in ranges.items()}
    return ranges


def image_name(model: Any) -> str:
    """Name of the image input."""
    constants = {item.name for item in model.graph.initializer}
    return next(value.name for value in model.graph.input if value.name not in constants)


def make_collector(recipe: Recipe) -> Collector:
    """The collector of the recipe's method."""
    makers: dict[str, Callable[[], Collector]] = {
        "MinMax": Extremes,
        "MovingAverage": lambda: Average(recipe.constant),
        "Percentile": lambda: Percentile(recipe.percentile),
        "Entropy": Entropy,
    }
    return makers[recipe.method]()


class Extremes:
    """`MinMax`: the lowest and the highest value of all images."""

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf

    def add(self, values: np.ndarray) -> None:
        # NaN stays NaN, and is reported.
        self.low, self.high = float(np.minimum(self.low, values.min())), float(np.maximum(self.high, values.max()))

    def range(self) -> Range:
        return self.low, self.high


class Average:
    """`MovingAverage`: the mean over images of each image's lowest and highest value.

    With a constant c the mean moves instead, as ONNX Runtime merges batches: mean += c * (image - mean), beginning at
    the first image.
    """

    def __init__(self, constant: float | None) -> None:
        self._constant = constant
        self._mean = np.zeros(2)
        self._count = 0

    def add(self, values: np.ndarray) -> None:
        self._count += 1
        weight = 1 / self._count if self._constant is None or self._count == 1 else self._constant
        self._mean += weight * (np.array([values.min(), values.max()], np.float64) - self._mean)

    def range(self) -> Range:
        return float(self._mean[0]), float(self._mean[1])


class Histogram:
    """Counts in `BINS` equal bins over [-limit, limit]; the limit doubles when a value lies outside."""

    def __init__(self) -> None:
        self.extremes = Extremes()
        self.counts = np.zeros(BINS, np.int64)
        self.limit = 0.0

    def add(self, values: np.ndarray) -> None:
        self.extremes.add(values)
        largest = max(-self.extremes.low, self.extremes.high)
        if not np.isfinite(largest):
            return
        zeros = values.size if largest <= 0 else 0
        if zeros:
            self.counts[BINS // 2] += zeros
            return
        if self.limit == 0:
            self.limit = largest
        while self.limit < largest:
            folded = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.zeros(BINS, np.int64)
            self.counts[BINS // 4 : BINS // 4 + BINS // 2] = folded
            self.limit *= 2
        places = ((values.ravel() + np.float32(self.limit)) * np.float32(BINS / (2 * self.limit))).astype(np.int32)
        self.counts += np.bincount(np.clip(places, 0, BINS - 1), minlength=BINS)

    def edge(self, index: int) -> float:
        """The lower edge of a bin."""
        return (2 * index / BINS - 1) * self.limit

    def clip(self, low: float, high: float) -> Range:
        return max(low, self.extremes.low), min(high, self.extremes.high)


class Percentile(Histogram):
    """`Percentile`: the range that holds that share of the values, the same share cut off on either side."""

    def __init__(self, percentile: float) -> None:
        super().__init__()
        self._cut = (100 - percentile) / 200

    def range(self) -> Range:
        low, high = self.extremes.range()
        if not (np.isfinite(low) and np.isfinite(high)) or self.limit == 0:
            return low, high
        share = np.cumsum(self.counts) / self.counts.sum()
        first = int(np.searchsorted(share, self._cut, side="right"))
        last = min(int(np.searchsorted(share, 1 - self._cut, side="left")), BINS - 1)
        return self.clip(self.edge(first), self.edge(last + 1))


class Entropy(Histogram):
    """`Entropy`: the limit at which the quantized distribution of magnitudes tells most about the real one.

    The limit with the smallest Kullback-Leibler divergence between the clipped distribution and its quantized version,
    as calibration for int8 does since Migacz, "8-bit inference with TensorRT", GTC 2017.
    """

    def range(self) -> Range:
        low, high = self.extremes.range()
        if not (np.isfinite(low) and np.isfinite(high)) or self.limit == 0:
            return low, high
        half = BINS // 2
        magnitudes = (self.counts[half:] + self.counts[:half][::-1]).astype(np.float64)
        # Zeros are exact at any scale; after a ReLU they would outvote every other value.
        magnitudes[0] = 0
        if not magnitudes.any():
            return low, high
        candidates = list(range(LEVELS, half + 1, STRIDE))
        costs = [divergence(magnitudes, bins) for bins in candidates]
        limit = candidates[int(np.argmin(costs))] / half * self.limit
        return self.clip(-limit, limit)


def divergence(magnitudes: np.ndarray, bins: int) -> float:
    """KL divergence of the first `bins` bins, outliers added to the last, from their version in `LEVELS` steps."""
    clipped = magnitudes[:bins].copy()
    step = np.arange(bins) * LEVELS // bins
    filled = clipped > 0
    sums = np.bincount(step, weights=clipped, minlength=LEVELS)
    places = np.bincount(step, weights=filled, minlength=LEVELS)
    quantized = np.where(filled, (sums / np.maximum(places, 1))[step], 0.0)
    clipped[-1] += magnitudes[bins:].sum()
    clipped /= clipped.sum()
    total = quantized.sum()
    if not total:
        return float("inf")
    quantized /= total
    used = clipped > 0
    # The outliers may sit where nothing was counted: a small share keeps the divergence finite there.
    return float(np.sum(clipped[used] * np.log(clipped[used] / np.maximum(quantized[used], 1e-9))))

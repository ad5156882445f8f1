"""Which layers suffer from quantization, and a search for the fewest bits that a tolerance allows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stm32pose.config.target_sections import IterativeParameters
from stm32pose.errors import ConfigError, UserError, first_line
from stm32pose.inference.onnx_graph import constants
from stm32pose.inference.onnx_names import WEIGHTED
from stm32pose.inference.onnx_runner import runtime_errors
from stm32pose.inference.runner import Layout
from stm32pose.quantization.calibration import rescale
from stm32pose.quantization.onnx_qdq import to_qdq
from stm32pose.quantization.onnx_ranges import Range, image_name
from stm32pose.quantization.onnx_recipe import Recipe
from stm32pose.quantization.parity import SEEN, Decode, sqnr_db

log = logging.getLogger(__name__)

Score = Callable[[Sequence[np.ndarray]], float]
"""Poses of the images measured on, [M, K, 3] each in input pixels, to an accuracy in percent."""


COMPUTING = (*WEIGHTED, "Add", "Sub", "Mul", "Div", "Concat", "Sigmoid", "Softmax", "Resize", "GlobalAveragePool")
"""Nodes whose quantization can lose something of its own; what others give has the values of their input."""
TOLERANCE = 1.0
"""Points of accuracy that `full_auto` may lose where the configuration does not say."""
SIGMA = 0.08
"""Spread of a keypoint, as a share of the pose's size, in the score against the float model's own poses."""
WORST = 10


@dataclass(frozen=True)
class Labelled:
    """Images with labels, uint8 [H, W, C] each, and the accuracy of poses on them, in their order."""

    images: Sequence[np.ndarray]
    score: Score


@dataclass(frozen=True)
class Bench:
    """What a search measures with.

    Attributes:
        model: the float `ModelProto`, prepared; `ranges` of its activations; `image_range` of its input.
        images: uint8 [H, W, C] each; `rescaling` and `layout` as the model takes them.
        decode: outputs to poses; None where the codec is not known.
        score: accuracy on labels; None: there are none.
        what: the model's name in messages.
        progress: `reporting.console.counting`; None: none is shown.
    """

    model: Any
    ranges: Mapping[str, Range]
    image_range: Range
    layout: Layout
    rescaling: tuple[float, float]
    images: Sequence[np.ndarray]
    decode: Decode | None
    score: Score | None
    what: str
    progress: Any = None

    def outputs(self, model: Any) -> list[np.ndarray]:
        """The model's outputs on the images, maps channels last."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            rows = []
            for image in self.images:
                given = rescale(image[None], self.rescaling)
                given = np.ascontiguousarray(given.transpose(0, 3, 1, 2)) if self.layout == "NCHW" else given
                rows.append(session.run(None, {image_name(model): given}))
        except runtime_errors() as error:
            raise UserError(f"{self.what}: ONNX Runtime cannot run it: {first_line(error)}") from error
        values = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
        first = self.layout == "NCHW"
        return [value.transpose(0, 2, 3, 1) if first and value.ndim == 4 else value for value in values]

    def quantized(self, recipe: Recipe) -> list[np.ndarray]:
        """Outputs of the model quantized by a recipe, float at its borders."""
        return self.outputs(to_qdq(self.model, self.ranges, recipe, self.what, image_range=self.image_range))


def counting(progress: Any, title: str, total: int) -> Any:
    """A progress bar, or nothing where `progress` is None."""
    return progress(title, total) if progress else nullcontext(lambda _count: None)


def layers(model: Any, recipe: Recipe) -> list[Any]:
    """The nodes of a model that a recipe quantizes and that can lose something by it."""
    return [
        node
        for node in model.graph.node
        if node.op_type in COMPUTING
        and (not recipe.op_types or node.op_type in recipe.op_types)
        and (not recipe.nodes or node.name in recipe.nodes)
        and node.name not in recipe.excluded
    ]


def sensitivities(bench: Bench, recipe: Recipe, nodes: Sequence[Any], title: str) -> dict[str, float]:
    """Node -> SQNR in dB of the worst output when this node alone is quantized; infinite where nothing changes."""
    floats = bench.outputs(bench.model)
    found = {}
    with counting(bench.progress, title, len(nodes)) as advance:
        for node in nodes:
            values = bench.quantized(replace(recipe, nodes=(node.name,), op_types=()))
            ratios = [sqnr_db(value, reference) for value, reference in zip(values, floats, strict=True)]
            found[node.name] = min(np.inf if ratio is None else ratio for ratio in ratios)
            advance(1)
    return found


def inspect_layers(bench: Bench, recipe: Recipe) -> list[dict[str, Any]]:
    """The sensitivity of every layer, the worst first; JSON-able rows, the worst ten in the log."""
    nodes = layers(bench.model, recipe)
    found = sensitivities(bench, recipe, nodes, "inspected layers")
    weights = constants(bench.model)
    rows = [
        {
            "node": node.name,
            "op_type": node.op_type,
            "weights": int(sum(weights[name].size for name in node.input[1:2] if name in weights)),
            "sqnr_db": None if np.isinf(found[node.name]) else round(found[node.name], 2),
        }
        for node in sorted(nodes, key=lambda node: found[node.name])
    ]
    log.info("layers by what quantizing each alone does to the outputs, on %d images:", len(bench.images))
    for row in rows[:WORST]:
        text = "no difference" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f} dB"
        log.info("  %s (%s): %s", row["node"], row["op_type"], text)
    return rows


def search(bench: Bench, recipe: Recipe, parameters: IterativeParameters) -> tuple[Recipe, dict[str, Any]]:
    """The recipe with the fewest bits whose loss stays within the tolerance, and a JSON-able report.

    Where plain int8 stays within it, weights go to 4 bits, layer by layer from the least sensitive one on; where it
    does not, the most sensitive layers stay in float. How many of them is found by bisection, which takes the loss to
    grow with their number; the choice is measured at the end.

    Raises:
        ConfigError: the codec of the model is not known, so poses cannot be compared.
    """
    decode = bench.decode
    if decode is None:
        raise ConfigError(
            "quantization.operating_mode: full_auto compares poses, and how this model's outputs become poses is not "
            "known; set model.model_type, or use operating_mode: inspection"
        )
    tolerance = TOLERANCE if parameters.accuracy_tolerance is None else parameters.accuracy_tolerance
    floats = decode(bench.outputs(bench.model))
    score = bench.score or against_float(floats)
    best = score(floats)
    trials: list[dict[str, Any]] = []

    def loss(candidate: Recipe, text: str) -> float:
        lost = best - score(decode(bench.quantized(candidate)))
        trials.append({"trial": text, "loss": round(lost, 4)})
        log.info("full_auto: %s loses %.2f points (%.2f accepted)", text, lost, tolerance)
        return lost

    plain = loss(recipe, "plain")
    report: dict[str, Any] = {
        "measure": "OKS against labels" if bench.score else "OKS against the float model's own poses (no labels)",
        "images": len(bench.images),
        "tolerance": tolerance,
        "float": round(best, 3),
        "plain_loss": round(plain, 4),
    }
    nodes = layers(bench.model, recipe)
    if plain <= tolerance:
        nodes = [node for node in nodes if node.op_type in WEIGHTED and node.input[1] in constants(bench.model)]
        nodes = [node for node in nodes if node.input[1] not in recipe.overrides]
        found = sensitivities(bench, replace(recipe, weight_type="Int4"), nodes, "layers in 4 bits")
        order = sorted(nodes, key=lambda node: -found[node.name])

        def made(count: int) -> Recipe:
            entries = {node.input[1]: [_int4(node, recipe.per_channel)] for node in order[:count]}
            return replace(recipe, overrides={**recipe.overrides, **entries})

        count = _largest(len(order), lambda n: loss(made(n), f"{n} of {len(order)} layers in Int4") <= tolerance)
        chosen = made(count)
        report |= {"int4_layers": [node.name for node in order[:count]], "float_layers": []}
    else:
        found = sensitivities(bench, recipe, nodes, "layers in int8")
        order = sorted(nodes, key=lambda node: found[node.name])

        def kept(count: int) -> Recipe:
            return replace(recipe, excluded=(*recipe.excluded, *(node.name for node in order[:count])))

        total = len(order)
        spared = _largest(
            total, lambda n: loss(kept(total - n), f"{total - n} of {total} layers in float") <= tolerance
        )
        chosen = kept(total - spared)
        report |= {"int4_layers": [], "float_layers": [node.name for node in order[: total - spared]]}
    report["loss"] = round(loss(chosen, "the choice"), 4)
    report["weights_bytes"] = {"plain": weight_bytes(bench, recipe), "chosen": weight_bytes(bench, chosen)}
    report["trials"] = trials
    log.info(
        "full_auto: %d layers in Int4, %d in float, %.2f points lost of %.2f; weights %.1f KiB, plain %.1f KiB",
        *(len(report["int4_layers"]), len(report["float_layers"]), report["loss"], tolerance),
        *(report["weights_bytes"]["chosen"] / 1024, report["weights_bytes"]["plain"] / 1024),
    )
    return chosen, report


def weight_bytes(bench: Bench, recipe: Recipe) -> int:
    """Bytes of all constants of the quantized model, 4-bit values packed."""
    model = to_qdq(bench.model, bench.ranges, recipe, bench.what, image_range=bench.image_range)
    return sum(len(item.raw_data) or item.ByteSize() for item in model.graph.initializer)


def against_float(floats: Sequence[np.ndarray]) -> Score:
    """Mean keypoint similarity, in percent, to the float model's own poses, where that is sure of a keypoint.

    A Gaussian of the distance, as in OKS; the area is that of the box around the pose.
    """

    def score(poses: Sequence[np.ndarray]) -> float:
        found = []
        for wanted, got in zip(floats, poses, strict=True):
            for pose in np.asarray(wanted, np.float64):
                seen = pose[:, 2] >= SEEN
                if not seen.any():
                    continue
                area = max(float(np.prod(np.ptp(pose[seen, :2], axis=0))), 1.0)
                gaps = np.asarray(got, np.float64)[:, seen, :2] - pose[seen, :2]
                similar = np.exp(-np.square(gaps).sum(axis=-1) / (2 * area * (2 * SIGMA) ** 2)).mean(axis=-1)
                found.append(float(similar.max()) if len(similar) else 0.0)
        if not found:
            raise UserError(
                "quantization.operating_mode: full_auto: the float model finds no keypoint on the images to measure "
                "on; train it first, or give images with people"
            )
        return 100 * float(np.mean(found))

    return score


def _int4(node: Any, per_channel: bool) -> dict[str, Any]:
    """An override that stores a node's weights in 4 bits."""
    if not per_channel:
        return {"quant_type": "Int4"}
    transposed = any(item.name == "transB" and item.i for item in node.attribute)
    axis = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0 if transposed else 1, "MatMul": 1}[node.op_type]
    return {"quant_type": "Int4", "axis": axis}


def _largest(count: int, holds: Callable[[int], bool]) -> int:
    """The largest n in 0..count that holds, by bisection; 0 is taken to hold."""
    low, high = 0, count
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low

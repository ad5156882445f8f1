"""A float ONNX model and its ranges to a QDQ model with float inputs and outputs, through ONNX Runtime's quantizer."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from stm32pose.errors import ConfigError, UserError, first_line
from stm32pose.inference.onnx_graph import opset_of, raise_opset
from stm32pose.quantization.onnx_ranges import Range, image_name
from stm32pose.quantization.onnx_recipe import Recipe

LIMITS = {"Int8": (-128, 127), "UInt8": (0, 255)}
HALF = 0.5
"""A softmax whose outputs stay below it on real images is not given the range 0 to 1."""


def to_qdq(
    model: Any,
    ranges: Mapping[str, Range],
    recipe: Recipe,
    what: str,
    *,
    image_range: Range | None = None,
    stored_pixels: bool = False,
) -> Any:
    """The quantized `ModelProto`; `model` stays as it is.

    Args:
        model: float, folded, shapes inferred; raised to the operator set that the recipe's types need.
        ranges: of the activations, by name.
        recipe: types, granularity, nodes and overrides.
        what: the model's name in messages.
        image_range: what the input can hold, whatever was seen: pixels 0 and 255 rescaled.
        stored_pixels: the input will be 8-bit integers: with 8-bit activations a stored uint8 is the pixel itself.

    Raises:
        ConfigError: an override that ONNX Runtime refuses.
        UserError: ONNX Runtime cannot quantize the model.
    """
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy = raise_opset(copy, recipe.opset, what)
    ranges = dict(ranges)
    overrides: dict[str, list[dict[str, Any]]] = {}
    if image_range is not None:
        for name in image_tensors(model):
            ranges[name] = image_range
            if recipe.activation_type in LIMITS and not recipe.options.get("ActivationSymmetric"):
                overrides[name] = [image_override(image_range, recipe.activation_type, stored_pixels)]
    overrides |= _softmax_overrides(model, ranges)
    overrides |= {name: [_override(item, name in ranges) for item in items] for name, items in recipe.overrides.items()}
    options = dict(recipe.options)
    if recipe.symmetric_ranges or any(name in ranges for name in recipe.overrides):
        # ONNX Runtime drops a ReLU whose range cuts what it cuts; a range that someone else chose lets negatives pass.
        options.setdefault("QDQKeepRemovableActivations", True)
    data: dict[str, Any] = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            quantizer = QDQQuantizer(
                copy,
                recipe.per_channel,
                False,  # reduce_range: for processors without VNNI only
                QuantType[f"Q{recipe.weight_type}"],
                QuantType[f"Q{recipe.activation_type}"],
                TensorsData(CalibrationMethod.MinMax, data),
                list(recipe.nodes),
                list(recipe.excluded),
                list(recipe.op_types) or sorted({*QLinearOpsRegistry, *QDQRegistry}),
                {**options, "TensorQuantOverrides": overrides},
            )
            quantizer.quantize_model()
            quantizer.model.topological_sort()
    except (ValueError, TypeError) as error:
        if recipe.overrides or recipe.options:
            raise ConfigError(f"quantization.onnx_extra_options: {first_line(error)}") from error
        raise UserError(f"{what}: ONNX Runtime cannot quantize it: {first_line(error)}") from error
    except Exception as error:
        raise UserError(f"{what}: ONNX Runtime cannot quantize it: {first_line(error)}") from error
    quantized = quantizer.model.model
    return raise_opset(quantized, opset_of(quantized), what)


def image_tensors(model: Any) -> list[str]:
    """The image input, and what is the same values in another order."""
    names = [image_name(model)]
    for node in model.graph.node:
        if node.op_type in ("Transpose", "Reshape", "Identity") and node.input[0] in names:
            names.append(node.output[0])
    return names


def image_override(image_range: Range, activation_type: str, stored_pixels: bool) -> dict[str, Any]:
    """Scale and zero point at which the 256 pixel values are the 256 levels, one each.

    The zero point of an input in [-1, 1] would be 127.5; 127 is taken, as TensorFlow does, so that a pixel p is stored
    as p (as p - 128 where it is signed). Real inputs would all lie on halves there, and rounding noise would decide:
    they get one level less.
    """
    scale, zero_point = parameters(image_range, activation_type)
    low, high = min(image_range[0], 0.0), max(image_range[1], 0.0)
    lowest, highest = LIMITS[activation_type]
    if not stored_pixels and abs((low / scale) % 1 - 0.5) < 1e-3:
        scale = (high - low) / (highest - lowest - 1)
        zero_point = round(lowest + 1 - low / scale)
    kind = np.int8 if activation_type == "Int8" else np.uint8
    return {"scale": np.array(scale, np.float32), "zero_point": np.array(zero_point, kind)}


def parameters(values: Range, activation_type: str) -> tuple[float, int]:
    """Scale and zero point of an 8-bit tensor for a range, 0 included."""
    low, high = min(values[0], 0.0), max(values[1], 0.0)
    lowest, highest = LIMITS[activation_type]
    scale = (high - low) / (highest - lowest) or 1.0
    zero_point = int(np.ceil(lowest - low / scale - 0.5 - 1e-3))
    return scale, int(np.clip(zero_point, lowest, highest))


def _softmax_overrides(model: Any, ranges: Mapping[str, Range]) -> dict[str, list[dict[str, Any]]]:
    """Measured ranges for softmax outputs that use less than half of 0 to 1, which ONNX Runtime would give them.

    A softmax over the cells of a heat map has peaks of a few hundredths: steps of 1/255 would leave a dozen levels.
    """
    found = {}
    for node in model.graph.node:
        high = ranges.get(node.output[0], (0.0, 1.0))[1]
        if node.op_type == "Softmax" and 0 < high < HALF:
            found[node.output[0]] = [{"rmin": np.float32(0), "rmax": np.float32(high)}]
    return found


def _override(item: Mapping[str, Any], activation: bool) -> dict[str, Any]:
    """One override in the types that ONNX Runtime wants."""
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.quant_utils import ONNX_TYPE_TO_NP_TYPE

    entry = dict(item)
    if "quant_type" in entry:
        entry["quant_type"] = QuantType[f"Q{entry['quant_type']}"]
    if activation and "scale" in entry:
        kind = entry.get("quant_type", QuantType.QInt8)
        entry["scale"] = np.array(entry["scale"], np.float32)
        entry["zero_point"] = np.array(entry["zero_point"], ONNX_TYPE_TO_NP_TYPE[kind.tensor_type])
    for key in ("rmin", "rmax"):
        if key in entry:
            entry[key] = np.float32(entry[key])
    return entry

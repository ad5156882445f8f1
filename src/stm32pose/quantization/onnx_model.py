"""A float ONNX file to a quantized one: prepared, calibrated, quantized, its borders typed, written and compared."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stm32pose.config.target_sections import Quantization
from stm32pose.errors import ConfigError
from stm32pose.files import replacing
from stm32pose.inference.onnx_graph import (
    fix_batch,
    folded,
    image_input,
    integer_borders,
    is_quantized,
    opset_of,
    raise_opset,
    read_onnx_model,
    shape_of,
)
from stm32pose.inference.onnx_runner import layout_of
from stm32pose.inference.runner import Layout
from stm32pose.quantization.calibration import PARITY_IMAGES, Calibration, spread
from stm32pose.quantization.mixed import Bench, Labelled, counting, inspect_layers, search
from stm32pose.quantization.onnx_border import dtype_of, set_types
from stm32pose.quantization.onnx_qdq import to_qdq
from stm32pose.quantization.onnx_ranges import Range, activation_ranges
from stm32pose.quantization.onnx_recipe import Recipe, check_names, check_onnx_section, make_recipe
from stm32pose.quantization.parity import Reference, file_parity, parity_text
from stm32pose.quantization.result import QuantizedModel, describe

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FloatModel:
    """A float model ready to be quantized: batch 1, folded, every node named."""

    model: Any
    layout: Layout
    shape: tuple[int, int, int]
    name: str


def quantized_name(stem: str, section: Quantization) -> str:
    """`best_model_quant_qdq_pc.onnx`."""
    return f"{stem}_quant_qdq_{'pc' if section.granularity == 'per_channel' else 'pt'}.onnx"


def already_quantized(path: Path) -> str:
    """What to say of a model that needs no quantization."""
    return (
        f"model.model_path: {path} is quantized already; quantization needs the float model, and an evaluation, a "
        "benchmark or a deployment takes this one as it is"
    )


def load_float(path: Path, section: Quantization, recipe: Recipe) -> FloatModel:
    """Read, check and prepare a float .onnx file.

    Raises:
        ConfigError: the model is quantized already, has an open size, several inputs or inputs and outputs that are not
            float32, or lacks a name of the recipe.
        UserError: it cannot be read, raised to the operator set, or loaded.
    """
    what = path.name
    model = read_onnx_model(path)
    if is_quantized(model):
        raise ConfigError(already_quantized(path))
    _check_floats(model, path)
    model = fix_batch(model, what)
    model = raise_opset(model, section.target_opset, what)
    model = folded(model, what)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    check_names(recipe, section, model)
    shape = shape_of(image_input(model, what))[1:]
    layout = layout_of(shape)
    first, second, third = shape
    return FloatModel(model, layout, (first, second, third) if layout == "NHWC" else (second, third, first), what)


def _check_floats(model: Any, path: Path) -> None:
    """ConfigError: an input or output that is not float32."""
    for kind, values in (("input", [image_input(model, path.name)]), ("output", model.graph.output)):
        for value in values:
            got = dtype_of(value)
            if got != "float32":
                raise ConfigError(
                    f"model.model_path: {path}: its {kind} '{value.name}' is {got}; quantization takes float32 inputs "
                    "and outputs: export the model with these"
                )


def quantize_onnx(
    path: Path,
    images: Iterable[np.ndarray],
    *,
    total: int,
    section: Quantization,
    destination: Path,
    rescaling: tuple[float, float],
    metadata: Mapping[str, Any],
    reference: Reference,
    labelled: Labelled | None = None,
    progress: Any = None,
) -> QuantizedModel:
    """Quantize a float .onnx file to QDQ and write the file and its sidecar.

    Args:
        path: the float file, channels first or last, any batch.
        images: calibration batches, uint8 [B, H, W, C]; read once, one image at a time in memory of the quantizer.
        total: how many images these are.
        section: everything else that was asked for.
        destination: the .onnx file to write; its input takes one image.
        rescaling: (scale, offset): the network's input is scale * pixel + offset.
        metadata: entries of the sidecar that the caller knows (codec, rescaling, skeleton, ...).
        reference: the float model that the result is compared with.
        labelled: what `full_auto` measures on; None: calibration images, against the float model's own poses.
        progress: `reporting.console.counting`; None: none is shown.

    Raises:
        ConfigError: an option, a name or an image that does not suit the model.
        UserError: ONNX Runtime refuses the model, its types are not those asked for, or the disk refuses.
    """
    check_onnx_section(section)
    recipe = make_recipe(section)
    prepared = load_float(path, section, recipe)
    searched = 0 if section.operating_mode == "default" or labelled else measured_images(section, total)
    keep = max(PARITY_IMAGES, searched)
    calibration = Calibration(images, prepared.shape, rescaling, ahead=1, total=total, keep=keep)
    with counting(progress, "calibration images", total) as advance:
        ranges = activation_ranges(prepared.model, _feed(calibration, prepared.layout, advance), recipe, prepared.name)
    bench = Bench(
        model=prepared.model,
        ranges=ranges,
        image_range=image_range(rescaling),
        layout=prepared.layout,
        rescaling=rescaling,
        images=labelled.images if labelled else some(calibration.kept, searched),
        decode=reference.decode,
        score=labelled.score if labelled else None,
        what=prepared.name,
        progress=progress,
    )
    details: dict[str, Any] = {}
    if section.operating_mode == "inspection":
        details["inspection"] = inspect_layers(bench, recipe)
    elif section.operating_mode == "full_auto":
        recipe, details["mixed_precision"] = search(bench, recipe, section.iterative_quant_parameters)
    model = to_qdq(
        prepared.model,
        ranges,
        recipe,
        prepared.name,
        image_range=bench.image_range,
        stored_pixels=section.quantization_input_type != "float",
    )
    model = set_types(model, section, {**ranges, **image_entry(prepared.model, bench.image_range)}, destination.name)
    if opset_of(model) > opset_of(prepared.model):
        log.info(
            "%s: opset %d, which 4 and 16 bits need; asked for %d",
            destination.name,
            opset_of(model),
            section.target_opset,
        )
    facts = {
        "granularity": section.granularity,
        "weight_type": recipe.weight_type,
        "activation_type": recipe.activation_type,
        "calibrate_method": recipe.method,
        "opset": opset_of(model),
        "layout": prepared.layout,
    }
    tensors = describe_borders(model)
    write_onnx(model, destination, {**tensors, **facts, "codec": metadata.get("codec")})
    kept = some(calibration.kept, PARITY_IMAGES)
    parity = file_parity(reference, destination, kept, rescaling)
    sidecar = describe(
        destination, tensors=tensors, calibration=calibration, parity=parity, metadata=metadata, **facts, **details
    )
    size = destination.stat().st_size
    log.info("%s: %d calibration images, %s", destination, calibration.count, parity_text(parity))
    return QuantizedModel(destination, sidecar, size, parity, {**facts, **details}, tuple(kept))


def measured_images(section: Quantization, total: int) -> int:
    """How many of `total` images a search measures on: `inspection_split` of them, else PARITY_IMAGES."""
    split = section.iterative_quant_parameters.inspection_split
    return max(1, round(split * total)) if split else min(PARITY_IMAGES, total)


def some(images: Sequence[np.ndarray], wanted: int) -> list[np.ndarray]:
    """`wanted` of the images, spread evenly; all where there are not more."""
    return [images[index] for index in spread(len(images), min(wanted, len(images)))]


def image_range(rescaling: tuple[float, float]) -> Range:
    """What the network gets for pixels 0 and 255."""
    ends = (rescaling[1], 255 * rescaling[0] + rescaling[1])
    return min(ends), max(ends)


def image_entry(model: Any, values: Range) -> dict[str, Range]:
    """The range of the image input, as an entry of the ranges."""
    return {image_input(model, "model").name: values}


def describe_borders(model: Any) -> dict[str, list[dict[str, Any]]]:
    """Name, shape, type, scale and zero point of inputs and outputs, as the graph has them."""
    steps = integer_borders(model)
    constants = {item.name for item in model.graph.initializer}

    def entry(value: Any) -> dict[str, Any]:
        scale, zero_point = steps.get(value.name, (0.0, 0))
        return {
            "name": value.name,
            "shape": list(shape_of(value)),
            "dtype": dtype_of(value),
            "scale": scale,
            "zero_point": zero_point,
        }

    return {
        "inputs": [entry(value) for value in model.graph.input if value.name not in constants],
        "outputs": [entry(value) for value in model.graph.output],
    }


def write_onnx(model: Any, path: Path, facts: Mapping[str, Any]) -> None:
    """Write the file; `facts` go into its own metadata too, under `stm32pose`. UserError: the disk refuses."""
    import onnx

    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {"stm32pose": json.dumps(dict(facts))})
    model.producer_name = "stm32pose"
    with replacing(path) as temporary:
        onnx.save(model, str(temporary))


def _feed(calibration: Calibration, layout: Layout, advance: Callable[[int], None]) -> Iterator[np.ndarray]:
    for image in calibration:
        yield np.ascontiguousarray(image.transpose(0, 3, 1, 2)) if layout == "NCHW" else image
        advance(1)

"""Proof, from the file itself, that a quantized network computes in integers and has the types that were asked for."""

from __future__ import annotations

from pathlib import Path

from stm32pose.config.target_sections import Quantization
from stm32pose.errors import UserError
from stm32pose.inference.tflite_file import RawGraph, RawOp, read_raw

FLOATS = ("float32", "float16", "float64")


def check_integer(content: bytes, path: Path, section: Quantization) -> None:
    """Raise unless no operator works on floats and input and output have their types.

    At a float input or output one QUANTIZE or DEQUANTIZE belongs there; nothing else may touch a float.

    Raises:
        UserError: names the first operators left in float with the layers they come from, or the wrong type.
    """
    raw = read_raw(content, path)
    left = float_operators(raw)
    if left:
        left = [op for op in left if op.kind not in ("QUANTIZE", "DEQUANTIZE")] or left
        named = ", ".join(f"{op.kind} of '{layer_name(raw, op)}'" for op in left[:3])
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        raise UserError(f"{path.name}: not full int8, these operators stay float: {named}{more}")
    for what, indices, wanted in (
        ("input", raw.inputs, section.quantization_input_type),
        ("output", raw.outputs, section.quantization_output_type),
    ):
        for index in indices:
            got = raw.tensors[index].dtype
            if got != ("float32" if wanted == "float" else wanted):
                raise UserError(f"{path.name}: {what} '{raw.tensors[index].name}' is {got}, asked for {wanted}")


def float_operators(raw: RawGraph) -> list[RawOp]:
    """Operators that read or write float activations, apart from the conversions at float inputs and outputs."""
    edges = {index for index in (*raw.inputs, *raw.outputs) if raw.tensors[index].dtype in FLOATS}
    left = []
    for op in raw.ops:
        touched = [index for index in (*op.inputs, *op.outputs) if index >= 0 and raw.tensors[index].dtype in FLOATS]
        conversion = op.kind in ("QUANTIZE", "DEQUANTIZE") and set(touched) <= edges
        if touched and not conversion:
            left.append(op)
    return left


def layer_name(raw: RawGraph, op: RawOp) -> str:
    """The part of an operator's output name that tells its Keras layer: the second of `model/layer/...`."""
    name = raw.tensors[op.outputs[0]].name.split(";")[0]
    parts = [part for part in name.split("/") if part]
    return parts[-2] if len(parts) > 1 else name

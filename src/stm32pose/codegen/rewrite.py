"""The network made simpler before it becomes calls: constants computed, pads folded, casts joined, reshapes aliased."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from stm32pose.codegen.network import Network, Operator, Tensor, refuse

MOST_FOLDED = 1 << 26
"""Bytes of constants that may be computed: more is damage, and would only fill this computer's memory."""
SAME_BYTES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")

FOLDED: dict[str, Callable[[list[np.ndarray], Operator, Tensor], np.ndarray]] = {
    "RESHAPE": lambda data, op, out: data[0].reshape(out.shape),
    "SQUEEZE": lambda data, op, out: data[0].reshape(out.shape),
    "EXPAND_DIMS": lambda data, op, out: data[0].reshape(out.shape),
    "TILE": lambda data, op, out: np.tile(data[0], [n // m for n, m in zip(out.shape, data[0].shape, strict=True)]),
    "TRANSPOSE": lambda data, op, out: data[0].transpose(op.options["perm"]),
    "PACK": lambda data, op, out: np.stack(data, op.options["axis"]),
    "CONCATENATION": lambda data, op, out: np.concatenate(data, op.options["axis"]),
    "BROADCAST_TO": lambda data, op, out: np.broadcast_to(data[0], out.shape),
}
"""Operators that are computed here where all their operands are constants: those that only move numbers."""


def _dequantized(given: Tensor, out: Tensor) -> np.ndarray | None:
    """What DEQUANTIZE makes of a constant, in float32 as both runtimes do; None where that is not known."""
    if given.data is None or given.dtype not in ("int8", "uint8") or len(given.scales) != 1 or out.dtype != "float32":
        return None
    return (given.data.astype(np.float32) - np.float32(given.zero_point)) * given.scales[0]


def simplify(network: Network) -> Network:
    """A simpler network that computes the same outputs."""
    network = _fold_constants(network)
    network = _copy_constant_outputs(network)
    network = _fold_pads(network)
    return _join_casts(network)


def readers_of(network: Network) -> dict[int, list[Operator]]:
    """Tensor -> the operators that read it."""
    readers: dict[int, list[Operator]] = {}
    for op in network.operators:
        for index in op.inputs:
            readers.setdefault(index, []).append(op)
    return readers


def _fold_constants(network: Network) -> Network:
    tensors = list(network.tensors)
    kept, room = [], MOST_FOLDED
    for op in network.operators:
        data = [tensors[index].data for index in op.inputs if index >= 0]
        if op.kind in FOLDED and data and all(item is not None for item in data):
            out = tensors[op.outputs[0]]
            room -= out.bytes
            if room < 0:
                raise refuse(network, op, f"constants computed from constants take over {MOST_FOLDED} bytes")
            values = FOLDED[op.kind]([item for item in data if item is not None], op, out)
            tensors[op.outputs[0]] = replace(out, data=np.ascontiguousarray(values).reshape(out.shape))
        elif (
            op.kind == "DEQUANTIZE"
            and (values := _dequantized(tensors[op.inputs[0]], tensors[op.outputs[0]])) is not None
        ):
            tensors[op.outputs[0]] = replace(tensors[op.outputs[0]], data=values.reshape(tensors[op.outputs[0]].shape))
        else:
            kept.append(op)
    return replace(network, tensors=tuple(tensors), operators=tuple(kept))


def _copy_constant_outputs(network: Network) -> Network:
    """An output that depends on no input (the anchors of a detector) is copied from a constant at each run."""
    tensors, operators = list(network.tensors), list(network.operators)
    for index in dict.fromkeys(network.outputs):
        made = tensors[index]
        if made.data is None:
            continue
        tensors.append(replace(made, name=f"{made.name} (constant)"))
        tensors[index] = replace(made, data=None)
        constant = len(tensors) - 1
        operators = [
            replace(op, inputs=tuple(constant if given == index else given for given in op.inputs)) for op in operators
        ]
        operators.append(Operator("RESHAPE", made.name.split(";")[0], (constant,), (index,)))
    return replace(network, tensors=tuple(tensors), operators=tuple(operators))


def _fold_pads(network: Network) -> Network:
    """A PAD of rows and columns becomes the padding of what alone reads it.

    Of convolutions where it stands for zero, of maximum pools where it is the lowest value.
    """
    readers = readers_of(network)
    source: dict[int, tuple[int, tuple[int, ...]]] = {}
    for op in network.operators:
        after = readers.get(op.outputs[0], []) if op.outputs else []
        if op.kind not in ("PAD", "PADV2") or op.outputs[0] in network.outputs or not after:
            continue
        given, made = network.tensors[op.inputs[0]], network.tensors[op.outputs[0]]
        pairs = op.options["paddings"]
        plain = (
            len(pairs) == 4
            and pairs[0] == pairs[3] == (0, 0)
            and given.dtype == "int8"
            and not given.constant
            and _same_steps(given, made)
        )
        takers = () if not plain else ("MAX_POOL_2D",) if op.options["value"] == -128 else ()
        if plain and op.options["value"] == given.zero_point:
            takers = (*takers, "CONV_2D", "DEPTHWISE_CONV_2D")
        more = (pairs[1][0], pairs[2][0], pairs[1][1], pairs[2][1]) if plain else ()
        if all(_takes(reader, op.outputs[0], takers, more) for reader in after):
            source[op.outputs[0]] = (op.inputs[0], more)
    kept = []
    for op in network.operators:
        if op.outputs[0] in source:
            continue
        if op.inputs and op.inputs[0] in source:
            index, more = source[op.inputs[0]]
            pads = tuple(a + b for a, b in zip(op.options["pads"], more, strict=True))
            op = replace(op, inputs=(index, *op.inputs[1:]), options={**op.options, "pads": pads})
        kept.append(op)
    return replace(network, operators=tuple(kept))


def _takes(reader: Operator, index: int, takers: Sequence[str], more: tuple[int, ...]) -> bool:
    """Whether an operator can pad tensor `index` by itself; windows of pools have to reach the input."""
    if reader.kind not in takers or reader.inputs[0] != index:
        return False
    if reader.kind != "MAX_POOL_2D":
        return True
    rows, columns = reader.options["kernel"]
    pads = [a + b for a, b in zip(reader.options["pads"], more, strict=True)]
    return all(pad < size for pad, size in zip(pads, (rows, columns, rows, columns), strict=True))


def _join_casts(network: Network) -> Network:
    """8-bit to float to 8-bit, as preprocessing inside a network does it, becomes one table of 256 entries."""
    readers = readers_of(network)
    maker = {op.outputs[0]: op for op in network.operators}
    kept: list[Operator] = []
    gone: set[int] = set()
    for op in network.operators:
        before = maker.get(op.inputs[0]) if op.inputs else None
        if (
            op.kind == "QUANTIZE"
            and before is not None
            and before.kind in ("CAST", "DEQUANTIZE")
            and network.tensors[op.inputs[0]].dtype == "float32"
            and network.tensors[before.inputs[0]].dtype in ("int8", "uint8")
            and network.tensors[op.outputs[0]].dtype in ("int8", "uint8")
            and network.rounding == "tflite"
        ):
            given, made = network.tensors[before.inputs[0]], network.tensors[op.outputs[0]]
            kept.append(
                Operator("LOOK_UP", op.name, before.inputs, op.outputs, {"values": _through_float(given, made, before)})
            )
            if len(readers[op.inputs[0]]) == 1 and op.inputs[0] not in network.outputs:
                gone.add(op.inputs[0])
        else:
            kept.append(op)
    return replace(network, operators=tuple(op for op in kept if op.outputs[0] not in gone))


def _through_float(given: Tensor, made: Tensor, op: Operator) -> np.ndarray:
    """[256], what CAST or DEQUANTIZE and then QUANTIZE make of each stored value, in the order of its byte."""
    stored = np.arange(256, dtype=np.uint8).view(given.dtype).astype(np.float32)
    if op.kind == "DEQUANTIZE":
        stored = (stored - np.float32(given.zero_point)) * np.float32(given.scale)
    steps = stored / np.float32(made.scale)
    rounded = np.trunc(steps + np.copysign(np.float32(0.5), steps)).astype(np.int64) + made.zero_point
    limits = np.iinfo(made.dtype)
    return np.clip(rounded, limits.min, limits.max).astype(made.dtype)


def alias(network: Network) -> tuple[Network, dict[int, int]]:
    """(the network without reshapes and quantizations that change nothing, tensor -> the tensor whose bytes it is)."""
    aliases: dict[int, int] = {}
    kept = []

    def root(index: int) -> int:
        while index in aliases:
            index = aliases[index]
        return index

    for op in network.operators:
        if op.kind not in (*SAME_BYTES, "QUANTIZE") or network.tensors[op.inputs[0]].constant:
            kept.append(op)
            continue
        before, after = network.tensors[op.inputs[0]], network.tensors[op.outputs[0]]
        same = before.bytes == after.bytes and before.dtype == after.dtype
        if op.kind == "QUANTIZE":
            same = same and before.dtype in ("int8", "uint8") and _same_steps(before, after)
        straight = op.outputs[0] in network.outputs and root(op.inputs[0]) in network.inputs
        if same and not straight:
            aliases[op.outputs[0]] = op.inputs[0]
        else:
            kept.append(op)
    return replace(network, operators=tuple(kept)), aliases


def _same_steps(before: Tensor, after: Tensor) -> bool:
    return before.quantized and np.array_equal(before.scales, after.scales) and before.zero_point == after.zero_point

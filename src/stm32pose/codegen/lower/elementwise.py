"""Operators of two operands, element by element: sums, products, differences, maxima, PRELU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from stm32pose.codegen.lower.rounding import activation_range, quantize_multiplier, scale_by
from stm32pose.codegen.network import Network, Operator, Tensor, refuse
from stm32pose.codegen.program import Array, Call, Field
from stm32pose.codegen.targets import Target

Loops = dict[str, int | tuple[int, ...]]

DIMS = 4
"""Loops around the innermost one, ELEMENTWISE_DIMS in kernels_elementwise.h."""

BYTES = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int64)
"""The int8 that each byte is."""

FLOAT_OPERATIONS = {
    "ADD": 0,
    "SUB": 1,
    "MUL": 2,
    "DIV": 3,
    "MAXIMUM": 4,
    "MINIMUM": 5,
    "SQUARED_DIFFERENCE": 6,
    "PRELU": 7,
}
"""Kind -> `operation` of elementwise_float, kernels_elementwise.h."""


def broadcast_loops(
    shape: tuple[int, ...], shape0: tuple[int, ...], shape1: tuple[int, ...], dims: int = DIMS
) -> Loops:
    """Members of a kernel's struct that say how both operands are walked for an output of `shape`.

    Dimensions that both operands run along, or that the same one is broadcast along, are joined.

    Raises:
        ValueError: not to be broadcast to that shape, or more loops than `dims` + 1.
    """
    rank = len(shape)
    padded = [(1,) * (rank - len(given)) + tuple(given) for given in (shape0, shape1)]
    if any(len(given) > rank for given in (shape0, shape1)):
        raise ValueError("operands of more dimensions than the result")
    joined: list[list[int]] = []  # [size, whether operand 0 runs along, operand 1]
    for size, size0, size1 in zip(shape, *padded, strict=True):
        if size0 not in (1, size) or size1 not in (1, size):
            raise ValueError(f"shapes {list(shape0)} and {list(shape1)} that do not make {list(shape)}")
        runs = [int(size0 == size), int(size1 == size)]
        if size == 1:
            continue
        if joined and joined[-1][1:] == runs:
            joined[-1][0] *= size
        else:
            joined.append([size, *runs])
    if not joined:
        joined = [[1, 1, 1]]
    if len(joined) > dims + 1:
        raise ValueError(f"shapes {list(shape0)} and {list(shape1)}: broadcast in too many turns")
    strides = []
    for operand in (1, 2):
        steps, distance = [], 1
        for dim in reversed(joined):
            steps.append(distance if dim[operand] else 0)
            distance *= dim[0] if dim[operand] else 1
        strides.append(steps[::-1])
    fill = dims + 1 - len(joined)
    return {
        "length": joined[-1][0],
        "step0": strides[0][-1],
        "step1": strides[1][-1],
        "count": (1,) * fill + tuple(dim[0] for dim in joined[:-1]),
        "steps0": (0,) * fill + tuple(strides[0][:-1]),
        "steps1": (0,) * fill + tuple(strides[1][:-1]),
    }


def broadcast_leads(fields: Loops) -> tuple[int | None, int | None]:
    """Leads of both operands: in place for one that is as large as the output, none for one that is read again."""
    leads: list[int | None] = []
    for operand in ("0", "1"):
        steps = np.append(np.array(fields["steps" + operand]), fields["step" + operand])
        sizes = np.append(np.array(fields["count"]), fields["length"])
        whole = all(step != 0 or size == 1 for step, size in zip(steps, sizes, strict=True))
        leads.append(0 if whole else None)
    return leads[0], leads[1]


def lower_elementwise(operator: Operator, network: Network, target: Target) -> list[Call]:
    """ADD, SUB, MUL, DIV, MAXIMUM, MINIMUM, SQUARED_DIFFERENCE and PRELU of two operands, either of them constant."""
    from stm32pose.codegen.lower.float_arithmetic import lower_arithmetic
    from stm32pose.codegen.lower.table import lower_table

    if len(operator.inputs) != 2 or min(operator.inputs) < 0:
        raise refuse(network, operator, f"it has {len(operator.inputs)} operands; two are known")
    tensors = [network.tensors[index] for index in operator.inputs]
    output = network.tensors[operator.outputs[0]]
    types = {tensor.dtype for tensor in (*tensors, output)}
    if types in ({"float32"}, {"int32"}):
        return lower_arithmetic(operator, network, target)
    if types != {"int8"}:
        raise refuse(network, operator, f"operands of type {', '.join(sorted(types))}; int8, float32, int32 are known")
    if not all(tensor.quantized for tensor in (*tensors, output)):
        raise refuse(network, operator, "int8 operands without a scale")
    if any(len(tensor.scales) > 1 for tensor in (*tensors, output)):
        raise refuse(network, operator, "an operand with more than one scale")
    try:
        check_scales(operator, tensors, output)
    except ValueError as error:
        raise refuse(network, operator, str(error)) from error
    for position, tensor in enumerate(tensors):
        other = tensors[1 - position]
        if tensor.data is not None and other.shape == output.shape and np.unique(tensor.data).size == 1:
            return lower_table(operator, network, target)
    if all(tensor.constant for tensor in tensors):
        raise refuse(network, operator, "both operands are constant")
    if network.rounding == "onnx":
        return [_float(operator, network, tensors, output)]
    if operator.kind not in RULES:
        raise refuse(network, operator, "int8; float32 and int32 are known, or one operand that is one number")
    try:
        return [RULES[operator.kind](operator, network, tensors, output)]
    except ValueError as error:
        raise refuse(network, operator, str(error)) from error


def _call(
    name: str,
    operator: Operator,
    tensors: list[Tensor],
    order: tuple[int, int],
    output: Tensor,
    fields: dict[str, Field],
    network: Network,
) -> Call:
    """The call with operands in `order`; the struct's operand 0 is `order[0]` of the operator's."""
    first, second = (tensors[i] for i in order)
    try:
        loops = broadcast_loops(output.shape, first.shape, second.shape)
    except ValueError as error:
        raise refuse(network, operator, str(error)) from error
    leads = broadcast_leads(loops)
    low, high = activation_range(operator.options.get("activation", "NONE"), output, network, operator)
    fields = {**loops, "low": low, "high": high, "zero": output.zero_point, **fields}
    inputs, kept = [], []
    for position, tensor in enumerate((first, second)):
        if tensor.data is not None:
            fields["constant"] = Array(tensor.data.reshape(-1).astype(np.int8))
            name += f"_constant{position}"
        else:
            inputs.append(operator.inputs[order[position]])
            kept.append(leads[position])
    return Call(
        function=name,
        source="kernels_elementwise",
        struct="elementwise_params",
        fields=fields,
        inputs=tuple(inputs),
        outputs=operator.outputs,
        kind=operator.kind,
        name=operator.name,
        leads=tuple(kept),
    )


def _sum(operator: Operator, network: Network, tensors: list[Tensor], output: Tensor) -> Call:
    """Both operands in units of 2^-20 of twice the larger scale.

    The one with that scale is then exactly its steps times 2^19; the other is looked up. The kernel wants the
    sum doubled.
    """
    order, twice = _by_scale(tensors)
    signs = (1, -1 if operator.kind == "SUB" else 1)
    wide, narrow = (tensors[i] for i in order)
    multiplier, shift = quantize_multiplier(_output_ratio(operator.kind, twice, output))
    scaled = _narrow(narrow, twice, 20) * signs[order[1]]
    factor = signs[order[0]] << 20
    table = 2 * scaled - factor * wide.zero_point
    fields: dict[str, Field] = {
        "factor": factor,
        "table": Array(table.astype(np.int32), "table"),
        "multiplier": multiplier,
        "shift": shift,
    }
    return _call("add_int8", operator, tensors, order, output, fields, network)


def _squared_difference(operator: Operator, network: Network, tensors: list[Tensor], output: Tensor) -> Call:
    order, twice = _by_scale(tensors)
    multiplier, shift = quantize_multiplier(_output_ratio(operator.kind, twice, output))
    scaled = _narrow(tensors[order[1]], twice, 7)
    factor = 1 << 6
    table = -scaled - factor * tensors[order[0]].zero_point
    fields: dict[str, Field] = {
        "factor": factor,
        "table": Array(table.astype(np.int32), "table"),
        "multiplier": multiplier,
        "shift": shift,
    }
    return _call("squared_difference_int8", operator, tensors, order, output, fields, network)


def _output_ratio(kind: str, twice: float, output: Tensor) -> float:
    """From the common unit of both operands, squared for squares, to steps of the output."""
    if kind == "SQUARED_DIFFERENCE":
        return twice * twice / ((1 << 14) * output.scale)
    return twice / ((1 << 20) * output.scale)


def check_scales(operator: Operator, tensors: Sequence[Tensor], output: Tensor) -> None:
    """ValueError: scales so far apart that LiteRT's arithmetic does not hold them (it would end the process)."""
    if operator.kind in ("ADD", "SUB", "SQUARED_DIFFERENCE"):
        ratio = _output_ratio(operator.kind, _by_scale(tensors)[1], output)
        if not 2.0**-31 < ratio < 1.0:
            scales = " and ".join(f"{tensor.scale:g}" for tensor in tensors)
            raise ValueError(f"operands of scales {scales} do not fit a result of {output.scale:g}")


def _by_scale(tensors: Sequence[Tensor]) -> tuple[tuple[int, int], float]:
    """Operands with the larger scale first, and twice that scale."""
    order = (0, 1) if tensors[0].scale >= tensors[1].scale else (1, 0)
    return order, 2.0 * tensors[order[0]].scale


def _narrow(tensor: Tensor, twice: float, left: int) -> np.ndarray:
    """[256], the operand with the smaller scale, by its byte, in units of 2^-left of `twice`."""
    return scale_by((BYTES - tensor.zero_point) << left, *quantize_multiplier(tensor.scale / twice))


def _product(operator: Operator, network: Network, tensors: list[Tensor], output: Tensor) -> Call:
    order = (1, 0) if tensors[0].constant else (0, 1)
    real = np.float32(tensors[0].scale) * np.float32(tensors[1].scale) / np.float32(output.scale)
    multiplier, shift = quantize_multiplier(float(real))
    fields: dict[str, Field] = {
        "zero0": tensors[order[0]].zero_point,
        "zero1": tensors[order[1]].zero_point,
        "multiplier": multiplier,
        "shift": shift,
    }
    return _call("mul_int8", operator, tensors, order, output, fields, network)


def _extreme(operator: Operator, network: Network, tensors: list[Tensor], output: Tensor) -> Call:
    """LiteRT compares what is stored; scales that differ would be a damaged file."""
    order = (1, 0) if tensors[0].constant else (0, 1)
    same = {(tensor.scale, tensor.zero_point) for tensor in (*tensors, output)}
    if len(same) > 1:
        raise ValueError("operands and result of different scales")
    return _call(operator.kind.lower() + "_int8", operator, tensors, order, output, {}, network)


def _prelu(operator: Operator, network: Network, tensors: list[Tensor], output: Tensor) -> Call:
    data, slope = tensors
    if data.constant:
        raise ValueError("of a constant")
    positive = quantize_multiplier(float(np.float32(data.scale) / np.float32(output.scale)))
    negative = np.float32(data.scale) * np.float32(slope.scale) / np.float32(output.scale)
    multiplier, shift = quantize_multiplier(float(negative))
    fields: dict[str, Field] = {
        "zero0": data.zero_point,
        "zero1": slope.zero_point,
        "multiplier": multiplier,
        "shift": shift,
        "multiplier_positive": positive[0],
        "shift_positive": positive[1],
    }
    return _call("prelu_int8", operator, tensors, (0, 1), output, fields, network)


def real_values(tensor: Tensor) -> np.ndarray:
    """[256] float32: what each byte of an int8 or uint8 tensor stands for."""
    stored = BYTES if tensor.dtype == "int8" else np.arange(256)
    return (stored - tensor.zero_point).astype(np.float32) * np.float32(tensor.scale)


def _float(operator: Operator, network: Network, tensors: list[Tensor], output: Tensor) -> Call:
    fields: dict[str, Field] = {
        "values0": Array(real_values(tensors[0]), "table"),
        "values1": Array(real_values(tensors[1]), "table"),
        "scale": output.scale,
        "operation": FLOAT_OPERATIONS[operator.kind],
    }
    return _call("elementwise_float", operator, tensors, (0, 1), output, fields, network)


RULES: dict[str, Callable[[Operator, Network, list[Tensor], Tensor], Call]] = {
    "ADD": _sum,
    "SUB": _sum,
    "MUL": _product,
    "MAXIMUM": _extreme,
    "MINIMUM": _extreme,
    "SQUARED_DIFFERENCE": _squared_difference,
    "PRELU": _prelu,
}

"""QUANTIZE, DEQUANTIZE, CAST, and arithmetic of float32 and int32 tensors."""

from __future__ import annotations

import numpy as np

from stm32pose.codegen.lower.elementwise import broadcast_leads, broadcast_loops
from stm32pose.codegen.lower.onnx import lower_float_table
from stm32pose.codegen.lower.table import EIGHT_BITS, lower_table
from stm32pose.codegen.network import Network, Operator, refuse
from stm32pose.codegen.overlap import lead
from stm32pose.codegen.program import Array, Call, Field
from stm32pose.codegen.targets import Target

TYPES = {"int8": 0, "uint8": 1, "int32": 2, "int64": 3, "float32": 4, "bool": 5}
"""TYPE_... of kernels_float.h."""

OPERATIONS = {
    "ADD": 0,
    "SUB": 1,
    "MUL": 2,
    "DIV": 3,
    "MAXIMUM": 4,
    "MINIMUM": 5,
    "SQUARED_DIFFERENCE": 6,
    "FLOOR_DIV": 7,
}
"""OPERATION_... of kernels_float.h."""

UNARY = {
    "SQRT": 0,
    "RSQRT": 1,
    "ABS": 2,
    "NEG": 3,
    "SQUARE": 4,
    "RELU": 5,
    "RELU6": 6,
    "RELU_N1_TO_1": 7,
    "FLOOR": 8,
}
"""UNARY_... of kernels_float.h."""

BOUNDS = {"NONE": (-np.inf, np.inf), "RELU": (0.0, np.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}
LARGEST = float(np.finfo(np.float32).max)


def lower_quantize(operator: Operator, network: Network, target: Target) -> list[Call]:
    """QUANTIZE: float32 to 8 bits, and 8 bits to others by a table."""
    given, made = network.tensors[operator.inputs[0]], network.tensors[operator.outputs[0]]
    if given.dtype in EIGHT_BITS and made.dtype in EIGHT_BITS:
        return lower_table(operator, network, target)
    if given.dtype != "float32" or made.dtype not in EIGHT_BITS or len(made.scales) != 1:
        raise refuse(network, operator, f"{given.dtype} to {made.dtype}; float32 and 8-bit types are known")
    fields: dict[str, Field] = {"elements": given.elements, "scale": made.scale, "zero": made.zero_point}
    return [_call(f"quantize_{made.dtype}", "quantize_params", operator, fields, 0)]


def lower_dequantize(operator: Operator, network: Network, target: Target) -> list[Call]:
    given, made = network.tensors[operator.inputs[0]], network.tensors[operator.outputs[0]]
    if "values" in operator.options:
        return lower_float_table(operator, network, target)
    if given.dtype not in EIGHT_BITS or made.dtype != "float32" or len(given.scales) != 1:
        raise refuse(network, operator, f"{given.dtype} to {made.dtype}; 8-bit types with one scale are known")
    fields: dict[str, Field] = {"elements": given.elements, "scale": given.scale, "zero": given.zero_point}
    return [_call(f"dequantize_{given.dtype}", "quantize_params", operator, fields, _growth(given.elements, 1, 4))]


def lower_cast(operator: Operator, network: Network, target: Target) -> list[Call]:
    given, made = network.tensors[operator.inputs[0]], network.tensors[operator.outputs[0]]
    if given.dtype not in TYPES or made.dtype not in TYPES:
        raise refuse(network, operator, f"{given.dtype} to {made.dtype}; known: {', '.join(TYPES)}")
    if given.dtype in EIGHT_BITS and made.dtype in EIGHT_BITS:
        values = np.arange(256, dtype=np.uint8)
        from stm32pose.codegen.lower.table import table_call

        return [table_call(operator, operator.inputs[0], network, values.view(made.dtype))]
    function = "cast"
    if given.dtype in EIGHT_BITS:
        function = f"cast_{given.dtype}"
    elif made.dtype in EIGHT_BITS:
        function = f"cast_to_{made.dtype}"
    fields: dict[str, Field] = {
        "elements": given.elements,
        "from": TYPES[given.dtype],
        "to": TYPES[made.dtype],
    }
    sizes = [np.dtype(tensor.dtype).itemsize for tensor in (given, made)]
    return [_call(function, "cast_params", operator, fields, _growth(given.elements, *sizes))]


def lower_arithmetic(operator: Operator, network: Network, target: Target) -> list[Call]:
    """ADD, SUB, MUL, DIV, MAXIMUM, MINIMUM, SQUARED_DIFFERENCE, FLOOR_DIV of float32 or int32 tensors."""
    tensors = [network.tensors[index] for index in operator.inputs]
    made = network.tensors[operator.outputs[0]]
    types = {tensor.dtype for tensor in (*tensors, made)}
    if len(tensors) != 2 or len(types) != 1 or made.dtype not in ("float32", "int32"):
        raise refuse(network, operator, f"operands of type {', '.join(sorted(types))}; float32 or int32 are known")
    if operator.kind not in OPERATIONS:
        raise refuse(network, operator, f"of {made.dtype}")
    if all(tensor.constant for tensor in tensors):
        raise refuse(network, operator, "both operands are constant")
    activation = operator.options.get("activation", "NONE")
    if activation not in BOUNDS:
        raise refuse(network, operator, f"fused activation {activation}; known: {', '.join(BOUNDS)}")
    try:
        loops = broadcast_loops(made.shape, tensors[0].shape, tensors[1].shape)
    except ValueError as error:
        raise refuse(network, operator, str(error)) from error
    leads = broadcast_leads(loops)
    fields: dict[str, Field] = {**loops}
    low, high = BOUNDS[activation]
    fields["operation"] = OPERATIONS[operator.kind]
    fields["bounded"] = int(activation != "NONE")
    fields |= {"low": max(low, -LARGEST), "high": min(high, LARGEST)}
    fields["whole_low"] = int(max(low, -(2**31)))
    fields["whole_high"] = int(min(high, 2**31 - 1))
    name, inputs, kept = f"arithmetic_{made.dtype}", [], []
    for position, tensor in enumerate(tensors):
        if tensor.data is None:
            inputs.append(operator.inputs[position])
            kept.append(leads[position])
            continue
        name += f"_constant{position}"
        member = "constant" if made.dtype == "float32" else "whole"
        fields[member] = Array(tensor.data.reshape(-1).astype(made.dtype))
    return [
        Call(
            function=name,
            source="kernels_float",
            struct="arithmetic_params",
            fields=fields,
            inputs=tuple(inputs),
            outputs=operator.outputs,
            kind=operator.kind,
            name=operator.name,
            leads=tuple(kept),
        )
    ]


def lower_unary(operator: Operator, network: Network, target: Target) -> list[Call]:
    """SQRT, RSQRT, ABS, NEG, SQUARE, FLOOR and the RELUs of a float32 tensor."""
    given, made = network.tensors[operator.inputs[0]], network.tensors[operator.outputs[0]]
    if given.dtype != "float32" or made.dtype != "float32" or operator.kind not in UNARY:
        raise refuse(network, operator, f"of {given.dtype}; of float32 are known: {', '.join(UNARY)}")
    fields: dict[str, Field] = {"elements": given.elements, "operation": UNARY[operator.kind]}
    return [_call("unary_float32", "unary_params", operator, fields, 0)]


def _growth(elements: int, before: int, after: int) -> int:
    """Lead of a kernel that makes elements of `after` bytes of elements of `before` bytes, one by one."""
    index = np.array([1, elements])
    return lead(index * after, index * before)


def _call(function: str, struct: str, operator: Operator, fields: dict[str, Field], distance: int) -> Call:
    return Call(
        function=function,
        source="kernels_float",
        struct=struct,
        fields=fields,
        inputs=operator.inputs[:1],
        outputs=operator.outputs,
        kind=operator.kind,
        name=operator.name,
        leads=(distance,),
    )

"""Operators whose 8-bit result depends on one stored value alone: 256-entry tables, filled by LiteRT's own kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import sqrt

import numpy as np

from stm32pose.codegen.lower.elementwise import check_scales
from stm32pose.codegen.lower.one_operator import one_operator_file
from stm32pose.codegen.network import Network, Operator, Tensor, refuse
from stm32pose.codegen.program import Array, Call, Field
from stm32pose.codegen.reference import run_reference
from stm32pose.codegen.targets import Target
from stm32pose.errors import UserError

EIGHT_BITS = ("int8", "uint8")
POSITIVE = ("SQRT", "RSQRT")
TFLITE_ACTIVATIONS = {"NONE": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}

BOUNDS = {"RELU": (0.0, np.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}
"""Real values that a fused activation lets through."""

Function = Callable[[np.ndarray, Operator], np.ndarray]


def _gelu(x: np.ndarray) -> np.ndarray:
    from math import erf

    return np.array([0.5 * v * (1.0 + erf(v / sqrt(2.0))) for v in x.tolist()])


FUNCTIONS: dict[str, Function] = {
    "LOGISTIC": lambda x, op: 1.0 / (1.0 + np.exp(-x)),
    "TANH": lambda x, op: np.tanh(x),
    "RELU": lambda x, op: np.maximum(x, 0.0),
    "RELU6": lambda x, op: np.clip(x, 0.0, 6.0),
    "RELU_N1_TO_1": lambda x, op: np.clip(x, -1.0, 1.0),
    "LEAKY_RELU": lambda x, op: np.where(x >= 0.0, x, x * np.float32(op.options.get("alpha", 0.01))),
    "HARD_SWISH": lambda x, op: x * np.clip(x + 3.0, 0.0, 6.0) / 6.0,
    "HARD_SIGMOID": lambda x, op: np.clip(
        x * np.float32(op.options.get("alpha", 0.2)) + np.float32(op.options.get("beta", 0.5)), 0.0, 1.0
    ),
    "ELU": lambda x, op: np.where(x >= 0.0, x, op.options.get("alpha", 1.0) * np.expm1(np.minimum(x, 0.0))),
    "GELU": lambda x, op: _gelu(x),
    "SOFTPLUS": lambda x, op: np.logaddexp(x, 0.0),
    "ABS": lambda x, op: np.abs(x),
    "NEG": lambda x, op: -x,
    "SQRT": lambda x, op: np.sqrt(np.maximum(x, 0.0)),
    "RSQRT": lambda x, op: 1.0 / np.sqrt(np.maximum(x, 1e-30)),
    "EXP": lambda x, op: np.exp(x),
    "LOG": lambda x, op: np.log(np.maximum(x, 1e-30)),
    "SQUARE": lambda x, op: x * x,
    "CLIP": lambda x, op: np.clip(x, op.options.get("minimum", -np.inf), op.options.get("maximum", np.inf)),
    "QUANTIZE": lambda x, op: x,
}
"""Kind -> the function of real values, for networks with ONNX Runtime's rounding."""

OPERATIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": np.divide,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
    "SQUARED_DIFFERENCE": lambda a, b: (a - b) * (a - b),
    "PRELU": lambda a, b: np.where(a < 0, a * b, a),
}
"""The same of operators with a second operand that is one number."""


def stored_values(dtype: str) -> np.ndarray:
    """[256], the int8 or uint8 that each byte is, in the order of the bytes."""
    return np.arange(256, dtype=np.uint8).view(dtype)


def real(stored: np.ndarray, tensor: Tensor) -> np.ndarray:
    """float32 that stored values stand for, as ONNX's DequantizeLinear computes it."""
    return (stored.astype(np.int32) - tensor.zero_point).astype(np.float32) * np.float32(tensor.scale)


def quantized(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Real values as stored ones, as ONNX's QuantizeLinear computes it: in float32, halves to even, saturated."""
    limits = np.iinfo(tensor.dtype)
    with np.errstate(over="ignore"):
        steps = values.astype(np.float32) / np.float32(tensor.scale)
    steps = np.clip(np.nan_to_num(steps), limits.min - tensor.zero_point, limits.max - tensor.zero_point)
    return (np.rint(steps).astype(np.int64) + tensor.zero_point).astype(tensor.dtype)


def lower_table(operator: Operator, network: Network, target: Target) -> list[Call]:
    """An operator of one 8-bit activation, its other operand (if any) one constant number."""
    active = [index for index in operator.inputs if index >= 0 and not network.tensors[index].constant]
    if len(active) != 1:
        raise refuse(network, operator, f"it has {len(active)} operands that are no constants; one is known")
    given, made = network.tensors[active[0]], network.tensors[operator.outputs[0]]
    if given.dtype == made.dtype == "float32":
        from stm32pose.codegen.lower.float_arithmetic import lower_unary

        return lower_unary(operator, network, target)
    if given.dtype not in EIGHT_BITS or made.dtype not in EIGHT_BITS:
        raise refuse(network, operator, f"{given.dtype} to {made.dtype}; 8-bit types are known")
    if len(given.scales) > 1 or len(made.scales) > 1:
        raise refuse(network, operator, "a tensor with more than one scale")
    if given.elements != made.elements:
        raise refuse(network, operator, f"shapes {list(given.shape)} and {list(made.shape)}; they must have one size")
    return [table_call(operator, active[0], network, table_values(operator, network))]


def table_values(operator: Operator, network: Network) -> np.ndarray:
    """[256], the stored results for each stored value of the one 8-bit activation, in the order of its bytes.

    Raises:
        NotExportable: the runtime's kernels do not know the operator so.
    """
    if "values" in operator.options:
        return np.asarray(operator.options["values"])
    active = next(index for index in operator.inputs if index >= 0 and not network.tensors[index].constant)
    given, made = network.tensors[active], network.tensors[operator.outputs[0]]
    if network.rounding == "onnx":
        return _by_function(operator, network, given, made)
    return _by_litert(operator, network, given, made)


def pair_values(
    operator: Operator, network: Network, active: Sequence[int], operands: Sequence[np.ndarray]
) -> np.ndarray:
    """[256], the stored results of an operator of two 8-bit activations for 256 pairs of stored operands.

    Raises:
        NotExportable: the runtime's kernels do not know the operator so.
    """
    made = network.tensors[operator.outputs[0]]
    tensors = [network.tensors[index] for index in active]
    if network.rounding == "onnx":
        low, high = BOUNDS.get(operator.options.get("activation", "NONE"), (-np.inf, np.inf))
        with np.errstate(all="ignore"):
            y = OPERATIONS[operator.kind](*(real(a, t) for a, t in zip(operands, tensors, strict=True)))
        return quantized(np.clip(y, low, high), made)
    shape = (1, 1, 1, 256)
    inputs = [replace(tensor, name=f"x{place}", shape=shape) for place, tensor in enumerate(tensors)]
    content = one_operator_file(
        operator.kind, inputs, replace(made, name="y", shape=shape), _members(operator, network)
    )
    return _run(operator, network, content, [values.reshape(shape) for values in operands]).reshape(-1)


def table_call(operator: Operator, index: int, network: Network, table: np.ndarray) -> Call:
    """The call that replaces every byte of tensor `index` by its entry in a table of 256."""
    given, made = network.tensors[index], network.tensors[operator.outputs[0]]
    values = table.reshape(-1).astype(made.dtype).view(np.uint8)
    function, struct = f"table_{given.dtype}_{made.dtype}", "table_params"
    fields: dict[str, Field] = {"elements": given.elements}
    if given.dtype != made.dtype and np.array_equal(values, np.arange(256) ^ 0x80):
        function, struct = f"flip_{given.dtype}", "flip_params"
    else:
        fields["table"] = Array(values, "table")
    return Call(
        function=function,
        source="kernels_table",
        struct=struct,
        fields=fields,
        inputs=(index,),
        outputs=operator.outputs,
        kind=operator.kind,
        name=operator.name,
        leads=(0,),
    )


def _by_function(operator: Operator, network: Network, given: Tensor, made: Tensor) -> np.ndarray:
    x = real(stored_values(given.dtype), given)
    low, high = BOUNDS.get(operator.options.get("activation", "NONE"), (-np.inf, np.inf))
    with np.errstate(all="ignore"):
        if len(operator.inputs) == 2 and operator.kind in OPERATIONS:
            operands = []
            for index in operator.inputs:
                tensor = network.tensors[index]
                operands.append(x if tensor.data is None else real(tensor.data.reshape(-1)[:1], tensor))
            y = OPERATIONS[operator.kind](operands[0], operands[1])
        elif operator.kind in FUNCTIONS:
            y = FUNCTIONS[operator.kind](x, operator)
        else:
            raise refuse(network, operator, "not known of ONNX networks")
    return quantized(np.clip(y, low, high), made)


def _by_litert(operator: Operator, network: Network, given: Tensor, made: Tensor) -> np.ndarray:
    """[256] results of LiteRT's reference kernel. It must be one operator alone that has the scales of this one."""
    shape = (1, 1, 1, 256)
    operands = []
    for index in operator.inputs:
        tensor = network.tensors[index]
        if tensor.data is None:
            operands.append(replace(tensor, name="x", shape=shape))
        else:
            operands.append(replace(tensor, name="constant", shape=(1,) * 4, data=tensor.data.reshape(-1)[:1]))
    if operator.kind == "PRELU":  # LiteRT wants its slopes without the batch
        operands[1] = replace(operands[1], shape=(1, 1, 1))
    content = one_operator_file(
        operator.kind, operands, replace(made, name="y", shape=shape), _members(operator, network)
    )
    values = stored_values(given.dtype)
    if operator.kind in POSITIVE:  # LiteRT stops at what is below zero
        values = np.maximum(values.astype(np.int32), given.zero_point).astype(given.dtype)
    return _run(operator, network, content, [values.reshape(shape)])


def _run(operator: Operator, network: Network, content: bytes, values: Sequence[np.ndarray]) -> np.ndarray:
    """What LiteRT makes of the operator alone. Scales that it would end the process at do not reach it."""
    tensors = [network.tensors[index] for index in operator.inputs]
    try:
        check_scales(operator, tensors, network.tensors[operator.outputs[0]])
        return run_reference(content, values)[0]
    except ValueError as error:
        raise refuse(network, operator, str(error)) from error
    except UserError as error:
        raise refuse(network, operator, f"LiteRT's reference kernels do not know it so: {error}") from error


def _members(operator: Operator, network: Network) -> dict[str, object]:
    """Options by their names in TFLite's schema."""
    members: dict[str, object] = {}
    if "activation" in operator.options:
        members["fusedActivationFunction"] = TFLITE_ACTIVATIONS.get(operator.options["activation"], -1)
        if members["fusedActivationFunction"] == -1:
            raise refuse(network, operator, f"fused activation {operator.options['activation']}")
    if "alpha" in operator.options:
        members["alpha"] = operator.options["alpha"]
    return members

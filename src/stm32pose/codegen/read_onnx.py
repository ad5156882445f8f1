"""`Network` of an int8 .onnx file: the QuantizeLinear and DequantizeLinear nodes become the scales of operators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stm32pose.codegen import onnx_movement as movement
from stm32pose.codegen import onnx_pointwise as pointwise
from stm32pose.codegen import onnx_weighted as weighted
from stm32pose.codegen import onnx_windows as windows
from stm32pose.codegen.check import SCALES
from stm32pose.codegen.network import Network, NotExportable
from stm32pose.codegen.onnx_border import channels_first, open_model
from stm32pose.codegen.onnx_builder import Builder
from stm32pose.codegen.onnx_ends import add_input, add_output, set_steps
from stm32pose.codegen.onnx_fold import folded
from stm32pose.codegen.onnx_values import Constant, Integers, Steps, Stored, Value
from stm32pose.errors import UserError, did_you_mean, first_line

NODES: dict[str, Callable[[Builder], Value | list[Value]]] = {
    "Conv": weighted.conv,
    "ConvTranspose": weighted.conv_transpose,
    "Gemm": weighted.gemm,
    "MatMul": weighted.matmul,
    **dict.fromkeys(pointwise.FUNCTIONS, pointwise.function),
    **dict.fromkeys(pointwise.ARITHMETIC, pointwise.arithmetic),
    "Clip": pointwise.clip,
    "PRelu": pointwise.prelu,
    "Transpose": movement.transpose,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), movement.reshape),
    "Split": movement.split,
    "Slice": movement.cut,
    "Gather": movement.gather,
    "Concat": movement.concat,
    "Pad": movement.pad,
    "MaxPool": movement.max_pool,
    **dict.fromkeys(("ReduceMax", "ReduceMin", "GlobalMaxPool"), movement.extreme_reduction),
    "DepthToSpace": movement.depth_to_space,
    "SpaceToDepth": movement.space_to_depth,
    **dict.fromkeys(("ArgMax", "ArgMin"), movement.arg_max),
    "AveragePool": windows.average_pool,
    **dict.fromkeys(("ReduceMean", "ReduceSum", "GlobalAveragePool"), windows.mean),
    "Softmax": windows.softmax,
    "Resize": windows.resize,
}
"""ONNX's operator -> what reads a node of it."""
PASSING = ("Identity", "Dropout")
DAMAGE = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, ArithmeticError, StopIteration)
"""What the contents of a damaged file make Python raise."""


def read_onnx_network(path: Path) -> Network:
    """The network of a file, channels last, batch 1.

    Raises:
        UserError: damaged, or ONNX is not installed.
        NotExportable: not an int8 network, or a node that cannot become C, with its tensor and its layer.
    """
    try:
        return build(open_model(path), path)
    except UserError as error:
        if str(error).isprintable():
            raise
        raise type(error)("".join(letter if letter.isprintable() else "?" for letter in str(error))) from error
    except RecursionError as error:
        raise UserError(f"{path}: not an ONNX file that can be read: its nodes nest too deeply") from error
    except DAMAGE as error:
        raise UserError(f"{path}: not an ONNX file that can be read: {first_line(error)}") from error


def build(model: Any, path: Path) -> Network:
    """The network of a model that `open_model` gave."""
    import onnx
    from onnx import numpy_helper

    b = Builder(path, channels_first(model))
    for item in model.graph.initializer:
        b.values[item.name] = Constant(numpy_helper.to_array(item))
    makers: dict[str, Any] = {}
    for value in model.graph.input:
        if value.name not in b.values:
            _add_input(b, value)
    for node in model.graph.node:
        b.node = node
        made = read_node(b)
        if len(made) < len([name for name in node.output if name]) and len(made) != 1:
            raise b.damaged(f"'{b.title}' has {len(node.output)} outputs")
        for name, value in zip(node.output, made, strict=False):
            b.values[name] = value
            makers[name] = node
    for value in model.graph.output:
        if value.name not in makers:
            raise b.damaged(f"the output '{value.name}' is made by no node")
        b.node = makers[value.name]
        kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        add_output(b, value.name, np.dtype(kind).name)
    return b.network()


def read_node(b: Builder) -> list[Value]:
    """What the node's outputs are."""
    node = b.node
    kind = node.op_type
    if kind == "Constant":
        return [_constant(b)]
    if kind == "QuantizeLinear":
        return [_quantize(b)]
    if kind == "DequantizeLinear":
        return [_dequantize(b)]
    values = [b.value(place) for place in range(len(node.input)) if b.has(place)]
    if kind in PASSING:
        return values[:1]
    if kind == "Shape" and not isinstance(values[0], Constant):
        attributes = b.attributes()
        shape = values[0].shape[attributes.get("start", 0) : attributes.get("end")]
        return [Constant(np.array(shape, np.int64))]
    constants = [value for value in values if isinstance(value, Constant)]
    if len(constants) == len(values):
        found = folded(kind, constants, b.attributes())
        if found is None:
            raise b.refuse("an operator on constants that is not computed while reading; simplify the model")
        return [found]
    if kind == "Cast":
        return [_cast(b)]
    if node.domain not in ("", "ai.onnx") or kind not in NODES:
        raise b.refuse(f"this operator has no C kernel; docs/c_code.md lists those known{did_you_mean(kind, NODES)}")
    made = NODES[kind](b)
    return made if isinstance(made, list) else [made]


def _add_input(b: Builder, value: Any) -> None:
    import onnx

    kind = value.type.tensor_type
    shape = tuple(dim.dim_value for dim in kind.shape.dim)
    shape = ((shape[0] or 1), *shape[1:]) if shape else shape
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)).name if kind.elem_type else "nothing"
    if dtype not in ("float32", "int8", "uint8"):
        raise NotExportable(f"{b.path}: its input '{value.name}' is {dtype}; C code takes float32, int8 and uint8")
    if not shape or any(size < 1 for size in shape):
        raise NotExportable(
            f"{b.path}: its input '{value.name}' has an open shape {[size or '?' for size in shape]}; only the first "
            "dimension, the batch, may be open"
        )
    if shape[0] != 1 and len(shape) > 1:
        raise NotExportable(f"{b.path}: its input '{value.name}' takes {shape[0]} images at once; C code takes one")
    add_input(b, value.name, shape, dtype)


def _constant(b: Builder) -> Constant:
    from onnx import numpy_helper

    for item in b.node.attribute:
        if item.name == "value":
            return Constant(numpy_helper.to_array(item.t))
    found = b.attributes()
    for name, dtype in (
        ("value_int", np.int64),
        ("value_ints", np.int64),
        ("value_float", np.float32),
        ("value_floats", np.float32),
    ):
        if name in found:
            return Constant(np.array(found[name], dtype))
    raise b.refuse("a constant that is no array of numbers")


def steps_of(b: Builder, otherwise: str = "uint8") -> tuple[np.ndarray, np.ndarray, str, int]:
    """(scales float32, zero points, type, axis) of a QuantizeLinear or DequantizeLinear.

    `otherwise`: the type where no zero point tells it.

    Raises:
        NotExportable: computed, blocked, or scales that are no numbers above 0.
    """
    import onnx

    attributes = b.attributes()
    scales = b.array(1)
    if attributes.get("block_size", 0):
        raise b.refuse("scales by blocks are not known")
    if scales.dtype != np.float32 or not np.all((scales > 0) & (scales <= SCALES[1])):
        raise b.refuse(f"scales of type {scales.dtype.name} that are not all numbers above 0 and below 1e24")
    if b.has(2):
        zero_points = b.array(2)
    else:
        wanted = int(attributes.get("output_dtype", 0)) if b.node.op_type == "QuantizeLinear" else 0
        kind = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(wanted)) if wanted else np.dtype(otherwise)
        zero_points = np.zeros(scales.shape, kind)
    if zero_points.size != scales.size or scales.ndim > 1 or scales.size < 1:
        raise b.damaged(f"'{b.title}' has {scales.size} scales and {zero_points.size} zero points")
    return scales.reshape(-1), zero_points.reshape(-1), zero_points.dtype.name, int(attributes.get("axis", 1))


def stored_type(b: Builder, value: Value) -> str:
    """The type, in the file, of what a DequantizeLinear without a zero point reads."""
    if isinstance(value, Constant):
        return value.values.dtype.name
    if not isinstance(value, Stored):
        return "uint8"
    tensor = b.tensors[value.index]
    unsigned = tensor.zero_point == -128 if tensor.quantized else value.index in b.borders
    return "uint8" if unsigned else "int8"


def int8_steps(b: Builder, scales: np.ndarray, zero_points: np.ndarray, dtype: str) -> Steps:
    """The quantization of an activation. NotExportable: not 8 bits, or a scale a channel."""
    if dtype not in ("int8", "uint8"):
        raise b.refuse(f"'{b.node.input[0]}' is {dtype}; kernels take activations of 8 bits")
    if len(scales) != 1:
        raise b.refuse(f"'{b.node.input[0]}' has {len(scales)} scales; an activation has one")
    return Steps(float(scales[0]), int(zero_points[0]) - (128 if dtype == "uint8" else 0))


def _quantize(b: Builder) -> Value:
    value = b.value(0)
    scales, zero_points, dtype, axis = steps_of(b)
    if isinstance(value, Constant):
        return _quantized_constant(b, value, Integers(np.zeros(0), scales, zero_points, axis), dtype)
    return b.quantized(value, int8_steps(b, scales, zero_points, dtype), b.node.output[0])


def _quantized_constant(b: Builder, value: Constant, like: Integers, dtype: str) -> Constant:
    limits = np.iinfo(dtype)
    axis = like.axis + value.values.ndim if like.axis < 0 else like.axis
    shape = [1] * value.values.ndim
    if len(like.scales) > 1:
        shape[axis] = len(like.scales)
    scales, zeros = (item.reshape(shape if len(item) > 1 else ()) for item in (like.scales, like.zero_points))
    steps = np.rint(value.values.astype(np.float32) / scales).astype(np.float64) + zeros
    return Constant(np.clip(steps, limits.min, limits.max).astype(dtype))


def _dequantize(b: Builder) -> Value:
    value = b.value(0)
    scales, zero_points, dtype, axis = steps_of(b, stored_type(b, value))
    if isinstance(value, Constant):
        axis += value.values.ndim if axis < 0 else 0
        if len(scales) > 1 and not (0 <= axis < value.values.ndim and value.values.shape[axis] == len(scales)):
            raise b.damaged(f"'{b.title}' has {len(scales)} scales for {list(value.shape)} along axis {axis}")
        stored = Integers(value.values, scales, zero_points, axis if len(scales) > 1 else 0)
        if value.values.dtype.kind not in "iu":
            raise b.refuse(f"its constant '{b.node.input[0]}' is {value.values.dtype.name}; kernels take 8 bits")
        return Constant(stored.real(), stored)
    if not isinstance(value, Stored) or not value.integer:
        raise b.damaged(f"'{b.title}' reads '{b.node.input[0]}', which is not stored integers")
    return _as_real(b, value, int8_steps(b, scales, zero_points, dtype))


def _as_real(b: Builder, value: Stored, steps: Steps) -> Stored:
    """Stored integers seen as real numbers; an input learns its quantization here."""
    tensor = b.tensors[value.index]
    if not tensor.quantized:
        set_steps(b, value, steps)
    elif (tensor.scale, tensor.zero_point) != (steps.scale, steps.zero_point):
        raise b.refuse(
            f"'{b.node.input[0]}' is dequantized with scale {steps.scale:g} and zero point {steps.zero_point}, but "
            f"quantized with {tensor.scale:g} and {tensor.zero_point}"
        )
    return Stored(value.index, value.base, value.order, value.shape, False)


def _cast(b: Builder) -> Value:
    """Cast of stored integers to float32 (steps of 1), of indices to int32, and to the type that is there."""
    import onnx

    value = b.value(0)
    wanted = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(int(b.attributes()["to"]))).name
    if isinstance(value, Stored) and value.integer:
        tensor = b.tensors[value.index]
        if wanted == "float32" and tensor.dtype == "int8":
            return _as_real(b, value, Steps(1.0, -128 if value.index in b.borders else 0))
        if tensor.dtype == "int64" and wanted in ("int32", "int64", "float32"):
            if wanted == "int64":
                return value
            index = b.tensor(b.node.output[0], tensor.shape, wanted)
            b.operator("CAST", [value.index], index, {}, b.title)
            return Stored(index, value.base, value.order, value.shape, wanted != "float32")
    elif wanted == "float32":
        return value
    raise b.refuse(f"to {wanted}")

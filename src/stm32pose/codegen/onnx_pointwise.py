"""Nodes that work element by element: functions of one tensor, and arithmetic of two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import erf, inf
from typing import Any

import numpy as np

from stm32pose.codegen.onnx_builder import Builder
from stm32pose.codegen.onnx_values import CHANNELS_LAST, Constant, Pending, Pointwise, Steps, Stored, Value, identity

Function = Callable[[np.ndarray, dict[str, Any]], np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def hard_sigmoid(x: np.ndarray, alpha: float = 0.2, beta: float = 0.5) -> np.ndarray:
    return np.clip(np.float32(alpha) * x + np.float32(beta), 0, 1)


FUNCTIONS: dict[str, tuple[str, Function]] = {
    "Relu": ("RELU", lambda x, a: np.maximum(x, 0)),
    "LeakyRelu": ("LEAKY_RELU", lambda x, a: np.where(x < 0, x * np.float32(a.get("alpha", 0.01)), x)),
    "ThresholdedRelu": ("RELU", lambda x, a: np.where(x > np.float32(a.get("alpha", 1.0)), x, 0)),
    "Elu": ("ELU", lambda x, a: np.where(x < 0, np.float32(a.get("alpha", 1.0)) * np.expm1(np.minimum(x, 0)), x)),
    "Sigmoid": ("LOGISTIC", lambda x, a: sigmoid(x)),
    "HardSigmoid": ("HARD_SIGMOID", lambda x, a: hard_sigmoid(x, a.get("alpha", 0.2), a.get("beta", 0.5))),
    "HardSwish": ("HARD_SWISH", lambda x, a: x * hard_sigmoid(x, 1 / 6, 0.5)),
    "Tanh": ("TANH", lambda x, a: np.tanh(x)),
    "Softplus": ("SOFTPLUS", lambda x, a: np.logaddexp(x, np.float32(0))),
    "Softsign": ("SOFTSIGN", lambda x, a: x / (1 + np.abs(x))),
    "Mish": ("MISH", lambda x, a: x * np.tanh(np.logaddexp(x, np.float32(0)))),
    "Erf": ("ERF", lambda x, a: np.array([erf(float(item)) for item in x.reshape(-1)]).reshape(x.shape)),
    "Neg": ("NEG", lambda x, a: -x),
    "Abs": ("ABS", lambda x, a: np.abs(x)),
    "Exp": ("EXP", lambda x, a: np.exp(x)),
    "Log": ("LOG", lambda x, a: np.log(x)),
    "Sqrt": ("SQRT", lambda x, a: np.sqrt(x)),
    "Reciprocal": ("DIV", lambda x, a: 1 / x),
    "Floor": ("FLOOR", lambda x, a: np.floor(x)),
    "Ceil": ("CEIL", lambda x, a: np.ceil(x)),
    "Round": ("ROUND", lambda x, a: np.rint(x)),
    "Sign": ("SIGN", lambda x, a: np.sign(x)),
}
"""ONNX's operator -> TFLite's name, or one like it, and the function, float32 to float32."""

ARITHMETIC: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "Add": ("ADD", np.add),
    "Sub": ("SUB", np.subtract),
    "Mul": ("MUL", np.multiply),
    "Div": ("DIV", np.divide),
    "Pow": ("POW", np.power),
    "Max": ("MAXIMUM", np.maximum),
    "Min": ("MINIMUM", np.minimum),
}
KERNELS = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM")
"""Those that have a kernel for two tensors."""


def function(b: Builder) -> Value:
    """A function of one tensor; Relu and Clip after an operator that is not quantized yet become its limits."""
    kind, compute = FUNCTIONS[b.node.op_type]
    value = b.value(0)
    if b.node.op_type == "Relu" and isinstance(value, Pending):
        return limited(value, 0.0, inf)
    attributes = b.attributes()
    return apply(b, value, kind, lambda x: compute(x, attributes))


def clip(b: Builder) -> Value:
    """Clip; Clip(0, 6) goes by TFLite's name."""
    low, high = (float(b.array(place).reshape(())) if b.has(place) else end for place, end in ((1, -inf), (2, inf)))
    high = max(low, high)
    value = b.value(0)
    if isinstance(value, Pending):
        return limited(value, low, high)
    kind = {(0.0, 6.0): "RELU6", (0.0, inf): "RELU", (-1.0, 1.0): "RELU_N1_TO_1"}.get((low, high), "CLIP")
    return apply(b, value, kind, lambda x: np.clip(x, np.float32(low), np.float32(high)))


def limited(value: Pending, low: float, high: float) -> Pending:
    """A pending value with limits after those it has."""
    low = min(max(low, value.low), high)
    return replace(value, low=low, high=max(min(high, value.high), low), made={})


def prelu(b: Builder) -> Value:
    """PRelu with one slope, or one a channel."""
    slope = b.value(1)
    if not isinstance(slope, Constant):
        raise b.refuse("its slopes are computed; they must be constant")
    value = b.value(0)
    source, factor = operand(b, value, slope)
    if factor is None:
        raise b.refuse(f"slopes {list(slope.shape)} for {list(value.shape)}; one, or one a channel, is known")
    return apply(b, source, "PRELU", lambda x: np.where(x < 0, x * factor, x))


def apply(b: Builder, value: Value, kind: str, compute: Callable[[np.ndarray], np.ndarray]) -> Pointwise:
    """A function of a stored tensor, or of a function of one."""
    if not isinstance(value, Pointwise):
        value = b.stored(value)
        value = Pointwise(value, b.steps(value).real(), kind, b.title)
    with np.errstate(all="ignore"):
        values = np.asarray(compute(value.values), np.float32)
    return Pointwise(value.source, values, kind, b.title)


def arithmetic(b: Builder) -> Value:
    """Add, Sub, Mul, Div, Pow, Max, Min of two operands."""
    if b.node.op_type in ("Max", "Min") and len(b.node.input) == 1:
        return b.value(0)
    if len(b.node.input) != 2:
        raise b.refuse(f"{len(b.node.input)} operands; two are known")
    kind, compute = ARITHMETIC[b.node.op_type]
    one, two = b.value(0), b.value(1)
    if isinstance(one, Constant) or isinstance(two, Constant):
        given, constant = (two, one) if isinstance(one, Constant) else (one, two)
        if not isinstance(constant, Constant):
            raise b.refuse("no constant")
        source, factor = operand(b, given, constant)
        if factor is not None:
            if isinstance(one, Constant):
                return apply(b, source, kind, lambda x: compute(factor, x))
            return apply(b, source, kind, lambda x: compute(x, factor))
    joined = same_source(b, one, two)
    if joined is not None:
        with np.errstate(all="ignore"):
            return Pointwise(joined[0], np.asarray(compute(joined[1], joined[2]), np.float32), kind, b.title)
    if kind not in KERNELS:
        raise b.refuse("of two tensors; one of them must be constant")
    if kind in ("MAXIMUM", "MINIMUM"):
        return _extreme(b, kind, one, two)
    return _two_tensors(b, kind, one, two)


def operand(b: Builder, value: Value, constant: Constant) -> tuple[Value, np.ndarray | np.float32 | None]:
    """(the value, its channels in the last place where that matters; the constant for them).

    The constant is float32 [] or [C]; None where it is neither one number nor one a channel.
    """
    numbers = constant.values.astype(np.float32)
    shape = value.shape
    if numbers.size == 1 and numbers.ndim <= len(shape):
        return value, np.float32(numbers.reshape(()))
    if numbers.ndim > len(shape) or isinstance(value, Pending):
        return value, None
    wide = (1,) * (len(shape) - numbers.ndim) + numbers.shape
    axes = [axis for axis, size in enumerate(wide) if size != 1]
    if len(axes) != 1 or wide[axes[0]] != shape[axes[0]]:
        return value, None
    axis = axes[0]
    source = value.source if isinstance(value, Pointwise) else b.stored(value)
    if not source.plain or source.order[-1] != axis:
        if isinstance(value, Pointwise) and value.values.ndim != 1:
            return value, None
        last = CHANNELS_LAST if len(shape) == 4 and axis == 1 else None
        source = b.ordered(source, last or [*(place for place in range(len(shape)) if place != axis), axis])
        value = replace(value, source=source) if isinstance(value, Pointwise) else source
    if not isinstance(value, Pointwise):
        value = Pointwise(source, b.steps(source).real(), "QUANTIZE", b.title)
    if value.values.ndim == 1:
        value = replace(value, values=np.repeat(value.values[:, None], shape[axis], axis=1))
    return value, numbers.reshape(-1)


def same_source(b: Builder, one: Value, two: Value) -> tuple[Stored, np.ndarray, np.ndarray] | None:
    """(tensor, function, function) where both operands are functions of one tensor, as in x * Sigmoid(x)."""
    pair = []
    for value in (one, two):
        if isinstance(value, Stored) and not value.integer and b.tensors[value.index].dtype == "int8":
            value = Pointwise(value, b.steps(value).real(), "QUANTIZE", b.title)
        if not isinstance(value, Pointwise):
            return None
        pair.append(value)
    first, second = (value.source for value in pair)
    same = (first.index, first.base, first.order, first.shape) == (
        second.index,
        second.base,
        second.order,
        second.shape,
    )
    values = [value.values for value in pair]
    if not same:
        return None
    if values[0].ndim != values[1].ndim:
        values = [item if item.ndim == 2 else item[:, None] for item in values]
    return first, values[0], values[1]


def _two_tensors(b: Builder, kind: str, one: Value, two: Value) -> Pending:
    """Two tensors, broadcast where their shapes differ; one of them may be a quantized constant."""
    rank = max(len(one.shape), len(two.shape))
    shape = _broadcast(b, one, two)
    values = [value if isinstance(value, Constant) else b.stored(value) for value in (one, two)]

    def build(steps: Steps | None, activation: str) -> Stored:
        stored = [value for value in values if isinstance(value, Stored)]
        views = {(value.base, value.order, value.shape) for value in stored}
        if len(stored) == 2 and len(views) == 1:
            like, indices = stored[0], [value.index for value in stored]
        else:
            whole = next((value for value in stored if value.shape == shape and value.plain), None)
            order = whole.order if whole else CHANNELS_LAST if b.channels_first and rank == 4 else identity(rank)
            indices = [_operand_tensor(b, value, order) for value in values]
            like = Stored(-1, shape, order, shape, False)
        return b.result(kind, indices, like, steps, {"activation": activation})

    return b.waiting(kind, shape, build)


def _operand_tensor(b: Builder, value: Constant | Stored, order: tuple[int, ...]) -> int:
    """An operand with all axes of the result, in the order of the result."""
    shape = (1,) * (len(order) - len(value.shape)) + value.shape
    if isinstance(value, Stored):
        return b.ordered(b.reshaped(value, shape), order).index
    stored = value.stored
    if stored is None or stored.values.dtype.name not in ("int8", "uint8") or len(stored.scales) != 1:
        raise b.refuse(
            f"an operand {list(value.shape)} that is constant and not quantized with one scale to 8 bits; quantize it"
        )
    shift = 128 if stored.values.dtype == np.uint8 else 0
    data = (stored.values.astype(np.int16) - shift).astype(np.int8).reshape(shape).transpose(order)
    name = next(name for place, name in enumerate(b.node.input) if b.value(place) is value)
    return b.constant(name, data, stored.scales, stored.zero_points.astype(np.int32) - shift)


def _extreme(b: Builder, kind: str, one: Value, two: Value) -> Pending:
    """Max and Min commute with quantization: both operands come in the steps of the result."""
    shape = _broadcast(b, one, two)
    if isinstance(one, Constant) or isinstance(two, Constant):
        raise b.refuse("with a constant of several values; one number, or one a channel, is known")

    def build(steps: Steps | None, activation: str) -> Stored:
        if steps is None:
            raise b.refuse("its result is not quantized")
        inner = [
            b.in_steps(value, steps, value.name if not isinstance(value, Stored) else b.title) for value in (one, two)
        ]
        made = _two_tensors(b, kind, inner[0], inner[1])
        return made.make(steps, -inf, inf)

    return b.waiting(kind, shape, build)


def _broadcast(b: Builder, one: Value, two: Value) -> tuple[int, ...]:
    try:
        shape = np.broadcast_shapes(one.shape, two.shape)
    except ValueError as error:
        raise b.damaged(f"'{b.title}' joins {list(one.shape)} and {list(two.shape)}") from error
    return tuple(int(size) for size in shape)

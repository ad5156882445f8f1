"""The network that an ONNX graph becomes, while it is built: tensors, operators, and what each name stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf, prod
from pathlib import Path
from typing import Any

import numpy as np

from stm32pose.codegen.network import Network, NotExportable, Operator, Tensor
from stm32pose.codegen.onnx_slopes import slopes_of
from stm32pose.codegen.onnx_values import (
    Constant,
    Integers,
    Pending,
    Pointwise,
    Steps,
    Stored,
    Value,
    identity,
    live,
    reshaped_order,
)
from stm32pose.errors import UserError

MOST_ELEMENTS = 1 << 28
"""A tensor of more elements is damage: no microcontroller holds a thousandth of it."""
Build = Callable[["Steps | None", str], Stored]
LIMITS = {"RELU": (0.0, inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}
TABLED = (
    "QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "CLIP", "LEAKY_RELU", "ELU", "LOGISTIC", "HARD_SIGMOID", "HARD_SWISH",
    "TANH", "SOFTPLUS", "NEG", "ABS", "EXP", "LOG", "SQRT",
)  # fmt: skip
"""Functions of one tensor that keep their name; others are a LOOK_UP."""
MOST_TABLE = 1 << 16
"""Bytes of a table a channel that are still worth their flash."""


class Builder:
    """State of one pass over the nodes."""

    def __init__(self, path: Path, channels_first: bool) -> None:
        self.path = path
        self.channels_first = channels_first
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.values: dict[str, Value] = {}
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self.node: Any = None
        self.borders: dict[int, int] = {}  # int8 tensor -> the uint8 input that it is made of

    # Errors

    def refuse(self, problem: str) -> NotExportable:
        """The error for the node that is being read."""
        node = self.node
        made = next((name for name in node.output if name), node.name)
        layer = "" if node.name in ("", made) else f" (layer '{node.name}')"
        return NotExportable(f"{self.path}: {node.op_type} that makes tensor '{made}'{layer}: {problem}")

    def damaged(self, problem: str) -> UserError:
        return UserError(f"{self.path}: not an ONNX file that can be read: {problem}")

    # Tensors and operators

    def tensor(self, name: str, shape: Sequence[int], dtype: str = "int8", steps: Steps | None = None) -> int:
        """A new tensor. UserError: a size that cannot be."""
        shape = tuple(int(size) for size in shape)
        if any(size < 1 for size in shape) or prod(shape) > MOST_ELEMENTS:
            raise self.damaged(f"tensor '{name}' would have the shape {list(shape)}")
        scales = np.array([] if steps is None else [steps.scale], np.float32)
        zero_points = np.array([] if steps is None else [steps.zero_point], np.int32)
        self.tensors.append(Tensor(name, shape, dtype, scales, zero_points))
        return len(self.tensors) - 1

    def constant(self, name: str, data: np.ndarray, scales: np.ndarray, zero_points: np.ndarray, axis: int = 0) -> int:
        """A constant tensor, quantized where there are scales."""
        data = np.ascontiguousarray(data)
        scales, zero_points = np.asarray(scales, np.float32), np.asarray(zero_points, np.int32)
        self.tensors.append(Tensor(name, data.shape, data.dtype.name, scales, zero_points, axis, data))
        return len(self.tensors) - 1

    def operator(self, kind: str, inputs: Sequence[int], output: int, options: Mapping[str, Any], name: str) -> None:
        self.operators.append(Operator(kind, name, tuple(inputs), (output,), dict(options)))

    def steps(self, value: Stored) -> Steps:
        """The quantization of a tensor. NotExportable: it has none."""
        tensor = self.tensors[value.index]
        if tensor.dtype != "int8" or not tensor.quantized:
            raise self.refuse(f"its input '{tensor.name}' is not quantized to 8 bits")
        return Steps(tensor.scale, tensor.zero_point)

    def like(self, value: Stored, name: str, *, steps: Steps | None, dtype: str = "int8") -> Stored:
        """A new tensor of the same shape and order; the file sees real numbers in it."""
        index = self.tensor(name, self.tensors[value.index].shape, dtype, steps)
        return replace(value, index=index, integer=False)

    # What a node reads

    def value(self, place: int) -> Value:
        """Operand `place` of the node. UserError: nobody made it."""
        name = self.node.input[place] if place < len(self.node.input) else ""
        if name not in self.values:
            raise self.damaged(f"{self.node.op_type} '{self.node.name}' reads '{name}', which nothing makes before it")
        return self.values[name]

    def has(self, place: int) -> bool:
        return place < len(self.node.input) and bool(self.node.input[place])

    def array(self, place: int) -> np.ndarray:
        """Operand `place`, which must be constant. NotExportable: it is computed."""
        value = self.value(place)
        if not isinstance(value, Constant):
            raise self.refuse(f"its operand '{self.node.input[place]}' is computed; it must be constant")
        return value.values

    def ints(self, place: int) -> list[int]:
        return [int(number) for number in self.array(place).reshape(-1)]

    def stored(self, value: Value) -> Stored:
        """A tensor of int8 that the file sees as real numbers.

        Raises:
            NotExportable: it is not quantized, or it is not seen so.
        """
        if isinstance(value, Stored) and not value.integer:
            self.steps(value)
            return value
        if isinstance(value, Stored):
            raise self.refuse("it computes with stored integers that no DequantizeLinear made real numbers of")
        if isinstance(value, Constant):
            raise self.refuse("it computes with a constant in the place of a tensor")
        raise self.refuse(
            f"its input, made by {value.kind} '{value.name}', is not quantized; this node is left in float: "
            "quantize the whole network"
        )

    def attributes(self) -> dict[str, Any]:
        """The node's attributes, texts decoded."""
        import onnx

        found = {item.name: onnx.helper.get_attribute_value(item) for item in self.node.attribute}
        return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}

    @property
    def title(self) -> str:
        """The node's name, for people."""
        return self.node.name or self.node.output[0]

    def waiting(self, kind: str, shape: Sequence[int], build: Build, *, floats: bool = False) -> Pending:
        """A result that waits for its quantization.

        Args:
            kind: TFLite's name of the operator.
            shape: as the file sees it.
            build: adds the operator, from its steps (None: in float32) and its activation, and gives its result.
            floats: whether it can be in float32, as an output of the network.
        """
        node, title = self.node, self.title

        def make(steps: Steps | None, low: float, high: float) -> Stored:
            before, self.node = self.node, node
            try:
                if steps is None and not floats:
                    raise self.refuse("its result is not quantized; this node is left in float: quantize all of them")
                return build(steps, "NONE" if steps is None else self.activation(steps, low, high))
            finally:
                self.node = before

        return Pending(make, tuple(shape), kind, title)

    def result(self, kind: str, inputs: Sequence[int], like: Stored, steps: Steps | None, options: Any) -> Stored:
        """An operator of the node and its result: of the shapes and the order of `like`, whose index is not used."""
        shape = tuple(like.base[axis] for axis in like.order)
        index = self.tensor(self.node.output[0], shape, "float32" if steps is None else "int8", steps)
        self.operator(kind, inputs, index, options, self.title)
        return replace(like, index=index, integer=False)

    # Layout

    def plain(self, value: Stored) -> Stored:
        """The same values in a tensor whose axes are those that the file sees."""
        if value.plain:
            return value
        moved = self.ordered(replace(value, shape=value.base), identity(len(value.base)))
        return self.relabelled(moved, value.shape, identity(len(value.shape)))

    def ordered(self, value: Stored, order: Sequence[int]) -> Stored:
        """The same values with their axes stored in `order`: a TRANSPOSE, or a RESHAPE where that moves nothing."""
        value = self.plain(value)
        order = tuple(order)
        if value.order == order:
            return value
        if live(value.order, value.shape) == live(order, value.shape):
            return self.relabelled(value, value.shape, order)
        before = self.tensors[value.index]
        shape = tuple(value.shape[axis] for axis in order)
        index = self._follow(before, shape)
        perm = tuple(value.order.index(axis) for axis in order)
        self.operator("TRANSPOSE", [value.index], index, {"perm": perm}, self.node.name if self.node else before.name)
        return Stored(index, value.shape, order, value.shape, value.integer)

    def relabelled(self, value: Stored, shape: Sequence[int], order: Sequence[int]) -> Stored:
        """The same bytes as a tensor of another shape."""
        shape, order = tuple(shape), tuple(order)
        before = self.tensors[value.index]
        after = tuple(shape[axis] for axis in order)
        if after == before.shape:
            return Stored(value.index, shape, order, shape, value.integer)
        index = self._follow(before, after)
        self.operator("RESHAPE", [value.index], index, {}, self.node.name if self.node else before.name)
        return Stored(index, shape, order, shape, value.integer)

    def reshaped(self, value: Stored, shape: Sequence[int]) -> Stored:
        """As Reshape does; where elements would have to move, that waits until somebody needs it."""
        shape = tuple(shape)
        if prod(shape) != prod(value.shape) or any(size < 1 for size in shape):
            raise self.damaged(f"{self.node.op_type} '{self.node.name}' of {list(value.shape)} to {list(shape)}")
        if shape == value.shape:
            return value
        if shape == value.base:
            return replace(value, shape=shape)
        order = reshaped_order(value.base, value.order, shape)
        if order is None:
            return replace(value, shape=shape)
        return self.relabelled(value, shape, order)

    def _follow(self, before: Tensor, shape: Sequence[int]) -> int:
        """A tensor with the name, type and quantization of another."""
        self.tensors.append(replace(before, shape=tuple(shape)))
        return len(self.tensors) - 1

    # Quantization

    def quantized(self, value: Value, steps: Steps, name: str) -> Value:
        """What QuantizeLinear makes of a value; the file sees the stored integers."""
        if isinstance(value, Constant):
            stored = steps.store(value.values)
            integers = Integers(stored, np.array([steps.scale], np.float32), np.array([steps.zero_point]))
            return Constant(stored, integers)
        return replace(self.in_steps(value, steps, name), integer=True)

    def in_steps(self, value: Value, steps: Steps, name: str) -> Stored:
        """A tensor of int8 with these steps; the file sees real numbers."""
        if isinstance(value, Pending):
            if steps not in value.made:
                value.made[steps] = self._limited(value, steps)
            return value.made[steps]
        if isinstance(value, Constant):
            raise self.refuse("it quantizes a constant")
        if isinstance(value, Pointwise):
            return self.pointwise(value, steps)
        tensor = self.tensors[value.index]
        if value.integer:
            raise self.refuse("it quantizes stored integers")
        if tensor.dtype == "float32":
            made = self.like(value, name, steps=steps)
            self.operator("QUANTIZE", [value.index], made.index, {}, self.node.name or name)
            return made
        before = self.steps(value)
        if before == steps:
            return value
        return self.pointwise(Pointwise(value, before.real(), "QUANTIZE", self.node.name or name), steps, name)

    def pointwise(self, value: Pointwise, steps: Steps, name: str = "") -> Stored:
        """The operator for a function of one tensor, element by element: a table, or slopes a channel."""
        made = self.like(value.source, name or value.name, steps=steps)
        kind = value.kind if value.kind in TABLED else "LOOK_UP"
        if value.values.ndim == 1:
            options: dict[str, Any] = {"values": by_byte(steps.store(value.values))}
        else:
            source = self.steps(value.source)
            found = slopes_of(value.values, source, steps)
            if found is not None:
                kind, options = "CHANNEL_LINES", {"slopes": found}
            elif value.values.size <= MOST_TABLE:
                kind, options = "CHANNEL_TABLE", {"values": np.ascontiguousarray(by_byte(steps.store(value.values)).T)}
            else:
                raise self.refuse(f"a function of its own for each of {value.values.shape[1]} channels")
        self.operator(kind, [value.source.index], made.index, options, value.name)
        return made

    def _limited(self, value: Pending, steps: Steps) -> Stored:
        """The operator of a pending value, with its limits as its activation, or as a table after it."""
        wanted = levels(steps, value.low, value.high)
        if wanted == (-128, 127) or wanted in (levels(steps, *pair) for pair in LIMITS.values()):
            return value.make(steps, value.low, value.high)
        made = value.make(steps, -inf, inf)
        values = np.clip(steps.real(), np.float32(value.low), np.float32(value.high))
        return self.pointwise(Pointwise(made, values, "CLIP", value.name), steps)

    def activation(self, steps: Steps, low: float, high: float) -> str:
        """TFLite's name of the fused activation with the effect of these limits, which `_limited` made sure of."""
        wanted = levels(steps, low, high)
        if wanted == (-128, 127):
            return "NONE"
        return next(name for name, pair in LIMITS.items() if levels(steps, *pair) == wanted)

    # Movement: whatever gives values that its input has, in another order

    def moved(self, value: Value, move: Callable[[Stored], Stored]) -> Value:
        """`move` applied now, or as soon as the value is quantized."""
        if isinstance(value, Stored):
            return move(value)
        if isinstance(value, Constant):
            raise self.refuse("it computes with a constant in the place of a tensor")
        node, shape = self.node, self.shape_after(value.shape, move)

        def make(steps: Steps | None, low: float, high: float) -> Stored:
            if steps is None:
                raise self.refuse("its input is neither quantized nor the network's output")
            before, self.node = self.node, node
            try:
                return move(self.in_steps(replace_limits(value, low, high), steps, value.name))
            finally:
                self.node = before

        return Pending(make, shape, value.kind, value.name)

    def shape_after(self, shape: tuple[int, ...], move: Callable[[Stored], Stored]) -> tuple[int, ...]:
        """The shape that the file sees after a movement, tried on a tensor that is thrown away."""
        count, operators = len(self.tensors), len(self.operators)
        index = self.tensor("", shape, steps=Steps(1.0, 0))
        made = move(Stored(index, shape, identity(len(shape)), shape, False))
        del self.tensors[count:], self.operators[operators:]
        return made.shape

    def network(self) -> Network:
        return Network(
            self.path,
            "onnx",
            tuple(self.tensors),
            tuple(self.operators),
            tuple(self.inputs),
            tuple(self.outputs),
            self.channels_first,
        )


def emit(
    b: Builder,
    kind: str,
    value: Stored,
    shape: Sequence[int],
    order: Sequence[int],
    options: dict[str, Any],
    more: Sequence[int] = (),
) -> Stored:
    """An operator whose result has the type and the quantization of its input."""
    before = b.tensors[value.index]
    steps = Steps(before.scale, before.zero_point) if before.quantized else None
    shape, order = tuple(shape), tuple(order)
    index = b.tensor(b.node.output[0], [shape[axis] for axis in order], before.dtype, steps)
    b.operator(kind, (value.index, *more), index, options, b.title)
    return Stored(index, shape, order, shape, value.integer)


def by_byte(values: np.ndarray) -> np.ndarray:
    """Values for stored -128 to 127, along the first axis, in the order of the stored byte."""
    return np.concatenate([values[128:], values[:128]])


def levels(steps: Steps, low: float, high: float) -> tuple[int, int]:
    """The stored values that stand for limits."""
    return int(steps.store(low)), int(steps.store(high))


def replace_limits(value: Pending | Pointwise, low: float, high: float) -> Pending | Pointwise:
    """A value with limits after it."""
    if isinstance(value, Pointwise):
        return replace(value, values=np.clip(value.values, np.float32(low), np.float32(high)))
    return replace(value, low=max(low, value.low), high=min(high, value.high), made={})

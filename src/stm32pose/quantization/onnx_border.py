"""Inputs and outputs of a QDQ model in the types that were asked for: int8, uint8 or float."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stm32pose.config.target_sections import Quantization
from stm32pose.errors import UserError
from stm32pose.inference.onnx_graph import constants, opset_of, raise_opset, shape_of
from stm32pose.quantization.onnx_qdq import parameters
from stm32pose.quantization.onnx_ranges import Range, image_name

INTEGERS = {"int8": np.int8, "uint8": np.uint8}
SHIFT = 128
"""Between the stored values of int8 and uint8 for the same real value."""


@dataclass(frozen=True)
class Steps:
    """A tensor's quantization: real = scale * (stored - zero_point)."""

    dtype: str
    scale: float
    zero_point: int

    def stored_as(self, dtype: str) -> Steps:
        """The same real values in the other 8-bit type: the zero point moves by 128, nothing is rounded."""
        if dtype == self.dtype:
            return self
        return Steps(dtype, self.scale, self.zero_point + (SHIFT if dtype == "uint8" else -SHIFT))


def set_types(model: Any, section: Quantization, ranges: Mapping[str, Range], what: str) -> Any:
    """Give the model's input and outputs the types of the section, in place; returns it, its shapes inferred.

    Where the border is quantized to that type already, its QuantizeLinear or DequantizeLinear goes. Where it is
    quantized to the other 8-bit type, a pair that moves the zero point by 128 is put in: no value changes. Where it is
    float (the first or last layer is excluded) or of 16 bits, the pair has the range of the calibration.

    Raises:
        UserError: the model that results is not valid, or its types are not those of the section.
    """
    import onnx

    border = _Border(model, ranges)
    if section.quantization_input_type != "float":
        border.input(section.quantization_input_type)
    if section.quantization_output_type != "float":
        for value in list(model.graph.output):
            border.output(value, section.quantization_output_type)
    border.tidy()
    try:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise UserError(f"{what}: the quantized model is not valid: {str(error).splitlines()[0]}") from error
    model = raise_opset(model, opset_of(model), what)
    _check_types(model, section, what)
    return model


def dtype_of(value: Any) -> str:
    """NumPy's name of the type of an input or output."""
    import onnx

    return str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)).name)


class _Border:
    """Changes at the edges of one graph."""

    def __init__(self, model: Any, ranges: Mapping[str, Range]) -> None:
        self.graph: Any = model.graph
        self.image = image_name(model)
        self.ranges = ranges
        self.constants = constants(model)
        self.makers: dict[str, Any] = {name: node for node in self.graph.node for name in node.output}

    def input(self, dtype: str) -> None:
        name = self.image
        readers = [node for node in self.graph.node if name in node.input]
        first = next((node for node in readers if self.steps(node, "QuantizeLinear")), None)
        steps = self.steps(first, "QuantizeLinear") if first is not None else None
        if first is not None and steps is not None and len(readers) == 1 and steps.dtype == dtype:
            self.feed(first.output[0], name)
            self.graph.node.remove(first)
        else:
            steps = (steps or self.measured(name)).stored_as(dtype)
            real = f"{name}_real"
            for node in readers:
                _replace(node.input, name, real)
            self.graph.node.insert(0, self.node("DequantizeLinear", name, real, steps))
        self.retype(next(value for value in self.graph.input if value.name == name), dtype)

    def output(self, value: Any, dtype: str) -> None:
        name = value.name
        real = f"{name}_real"
        maker = self.makers[name]
        steps = self.steps(maker, "DequantizeLinear")
        _replace(maker.output, name, real)
        self.feed(name, real)
        if steps is not None and steps.dtype == dtype:
            stored = maker.input[0]
            quantize = self.makers[stored]
            _replace(quantize.output, stored, name)
            self.feed(stored, name)
            if not any(real in node.input for node in self.graph.node):
                self.graph.node.remove(maker)
        else:
            steps = (steps or self.measured(name)).stored_as(dtype)
            self.graph.node.append(self.node("QuantizeLinear", real, name, steps))
        self.retype(value, dtype)

    def steps(self, node: Any, kind: str) -> Steps | None:
        """The quantization of a (De)QuantizeLinear node of one 8-bit scale; None for anything else."""
        if node.op_type != kind or len(node.input) < 3 or (kind == "DequantizeLinear" and self.stray(node)):
            return None
        scale, zero = self.constants.get(node.input[1]), self.constants.get(node.input[2])
        if scale is None or zero is None or scale.size != 1 or zero.dtype.name not in INTEGERS:
            return None
        return Steps(zero.dtype.name, float(scale), int(zero))

    def stray(self, node: Any) -> bool:
        """A DequantizeLinear that does not read a QuantizeLinear."""
        maker = self.makers.get(node.input[0])
        return maker is None or maker.op_type != "QuantizeLinear"

    def measured(self, name: str) -> Steps:
        scale, zero_point = parameters(self.ranges[name], "Int8")
        return Steps("int8", scale, zero_point)

    def feed(self, old: str, new: str) -> None:
        """Whoever reads `old` reads `new`."""
        for node in self.graph.node:
            _replace(node.input, old, new)

    def node(self, kind: str, source: str, target: str, steps: Steps) -> Any:
        import onnx

        names = [f"{target}/{kind}_scale", f"{target}/{kind}_zero_point"]
        arrays = [np.array(steps.scale, np.float32), np.array(steps.zero_point, INTEGERS[steps.dtype])]
        for name, array in zip(names, arrays, strict=True):
            self.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        return onnx.helper.make_node(kind, [source, *names], [target], name=f"{target}/{kind}")

    def retype(self, value: Any, dtype: str) -> None:
        import onnx

        value.type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def tidy(self) -> None:
        """Drop what nobody reads any more, and shapes of tensors whose type or name changed."""
        used = {name for node in self.graph.node for name in node.input}
        for item in [item for item in self.graph.initializer if item.name not in used]:
            self.graph.initializer.remove(item)
        del self.graph.value_info[:]


def _replace(names: Any, old: str, new: str) -> None:
    for index, name in enumerate(names):
        if name == old:
            names[index] = new


def _check_types(model: Any, section: Quantization, what: str) -> None:
    known = {item.name for item in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in known]
    for values, wanted in (
        (inputs, section.quantization_input_type),
        (model.graph.output, section.quantization_output_type),
    ):
        for value in values:
            got = dtype_of(value)
            if got != ("float32" if wanted == "float" else wanted):
                raise UserError(f"{what}: '{value.name}' {list(shape_of(value))} is {got}, asked for {wanted}")

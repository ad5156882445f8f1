"""Graphs of .onnx files: reading, the operator set, the batch, folding, and what the graph says of itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stm32pose.errors import ConfigError, UserError, first_line

log = logging.getLogger(__name__)

LOWEST_IR = 8
"""IR version written at least: that of opset 15 to 18; 19 and 20 have 9, 21 has 10."""
QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")
PASSING = ("QuantizeLinear", "DequantizeLinear", "Reshape", "Transpose", "Identity", "Squeeze", "Unsqueeze", "Cast")
"""Nodes whose output has the values of their first input."""


def read_onnx_model(path: Path) -> Any:
    """The `ModelProto` of a file, weights included. UserError: ONNX is not installed, or no ONNX file."""
    try:
        import onnx
    except ImportError as error:
        raise UserError(f"{path.name}: ONNX files need the onnx package: pip install 'stm32pose[onnx]'") from error
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path))
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise UserError(f"{path}: not an ONNX file that can be read: {first_line(error)}") from error
    if not model.graph.node:
        raise UserError(f"{path}: not an ONNX file, or an empty one")
    return model


def opset_of(model: Any) -> int:
    """The version of ONNX's own operators."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def raise_opset(model: Any, opset: int, what: str) -> Any:
    """The model with operators of version `opset`, or itself where they are that new; its IR version suits them.

    Raises:
        ConfigError: ONNX knows no such version.
        UserError: the model cannot be brought to it.
    """
    import onnx

    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        raise ConfigError(f"quantization.target_opset: got {opset}; the onnx package here knows up to {newest}")
    if opset_of(model) < opset:
        try:
            model = onnx.version_converter.convert_version(model, opset)
        except Exception as error:
            raise UserError(f"{what}: cannot be brought to opset {opset}: {first_line(error)}") from error
    used = {node.domain for node in model.graph.node} | {"", "ai.onnx"}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    wanted = onnx.helper.make_opsetid("", opset_of(model))
    model.ir_version = max(LOWEST_IR, onnx.helper.find_min_ir_version_for([wanted], True))
    return model


def image_input(model: Any, what: str) -> Any:
    """The only input that is no constant. ConfigError: several, or not an image [B, ...] of fixed size."""
    constants = {item.name for item in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise ConfigError(f"{what}: got {len(inputs)} inputs; a pose model has one image input")
    shape = shape_of(inputs[0])
    if len(shape) != 4 or not all(shape[1:]):
        got = [size or "?" for size in shape]
        raise ConfigError(f"{what}: got an input of shape {got}; H, W and channels must be fixed")
    return inputs[0]


def shape_of(value: Any) -> tuple[int, ...]:
    """Sizes of an input or output; 0 where the file leaves one open."""
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def fix_batch(model: Any, what: str) -> Any:
    """The model with a batch of one, in place: what ST's tools want. Shapes stored inside are inferred again.

    Raises:
        ConfigError: the batch is fixed to another number.
    """
    import onnx

    value = image_input(model, what)
    batch = shape_of(value)[0]
    if batch not in (0, 1):
        raise ConfigError(f"{what}: takes {batch} images at once; ST's tools take one: export it with a batch of 1")
    if batch == 0:
        value.type.tensor_type.shape.dim[0].dim_value = 1
        del model.graph.value_info[:]
        for output in model.graph.output:
            for dim in output.type.tensor_type.shape.dim:
                if not dim.dim_value:
                    dim.ClearField("value")
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    return model


def folded(model: Any, what: str) -> Any:
    """The model after ONNX Runtime's basic optimisation, which any runtime can read, with its shapes inferred.

    Constants are computed, and what follows a convolution and is linear (batch normalisation, as Mul and Add) goes into
    its weights.

    Raises:
        UserError: ONNX Runtime cannot load the model.
    """
    import onnx
    import onnxruntime

    from stm32pose.inference.onnx_runner import runtime_errors

    with TemporaryDirectory() as folder:
        source, target = Path(folder, "given.onnx"), Path(folder, "folded.onnx")
        onnx.save(model, str(source))
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(target)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.log_severity_level = 4
        try:
            onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        except runtime_errors() as error:
            raise UserError(f"{what}: ONNX Runtime cannot load it: {first_line(error)}") from error
        result = onnx.load(str(target))
    del result.graph.value_info[:]  # some are of tensors that went
    result = onnx.shape_inference.infer_shapes(result, data_prop=True)
    return raise_opset(result, opset_of(result), what)


def is_quantized(model: Any) -> bool:
    """Whether the graph computes in integers already, or was made to be."""
    return any(node.op_type in QUANTIZED for node in model.graph.node)


def constants(model: Any) -> dict[str, Any]:
    """Name -> NumPy array of the initializers and of the constant nodes."""
    from onnx import numpy_helper

    found = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found |= {name: numpy_helper.to_array(node.attribute[0].t) for name in node.output}
    return found


def integer_borders(model: Any) -> dict[str, tuple[float, int]]:
    """Scale and zero point of the 8-bit inputs and outputs, from the (De)QuantizeLinear node next to them."""
    import onnx

    integers = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    values = (*model.graph.input, *model.graph.output)
    wanted = {value.name for value in values if value.type.tensor_type.elem_type in integers}
    if not wanted:
        return {}
    known = constants(model)
    found = {}
    for node in model.graph.node:
        name = {"DequantizeLinear": node.input[:1], "QuantizeLinear": node.output[:1]}.get(node.op_type, [""])[0]
        if name in wanted and node.input[1] in known:
            zero = known.get(node.input[2]) if len(node.input) > 2 else None
            found[name] = (float(known[node.input[1]]), 0 if zero is None else int(zero))
    return found


def image_steps(model: Any) -> tuple[str, float, int] | None:
    """Type, scale and zero point that the image input is stored in, also where the file's own input is a float.

    They are those of the (De)QuantizeLinear node that reads the input, or a tensor of the same values in another order;
    None where there is none, or it has a scale a channel.
    """
    known = constants(model)
    same = {value.name for value in model.graph.input} - set(known)
    for node in model.graph.node:
        if not node.input or node.input[0] not in same:
            continue
        if node.op_type in ("Transpose", "Reshape", "Identity"):
            same.add(node.output[0])
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scale, zero = known.get(node.input[1]), None
            if len(node.input) > 2 and node.input[2]:
                zero = known.get(node.input[2])
                if zero is None:
                    continue
            if scale is not None and scale.size == 1:
                dtype = "uint8" if zero is None else zero.dtype.name
                return dtype, float(scale.reshape(())), 0 if zero is None else int(zero.reshape(()))
    return None


def number_types(model: Any) -> str:
    """What a model computes with: `float`, `int8` or `int16` (activations); ` w4` is added for weights of 4 bits."""
    if not is_quantized(model):
        return "float"
    known = constants(model)
    kinds: dict[bool, list[str]] = {True: [], False: []}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 2 and node.input[2] in known:
            weight = node.input[0] in known
            kinds[weight].append(known[node.input[2]].dtype.name)
    wide = sum(name in ("int16", "uint16") for name in kinds[False])
    four = any(name in ("int4", "uint4") for name in kinds[True])
    return ("int16" if 2 * wide > len(kinds[False]) else "int8") + (" w4" if four else "")


def final_activation(model: Any) -> str | None:
    """`sigmoid` or `softmax` where the only output comes from one, seen through quantization; else None."""
    if len(model.graph.output) != 1:
        return None
    for node in _backwards(model, model.graph.output[0].name):
        if node.op_type in ("Sigmoid", "Softmax"):
            return node.op_type.lower()
        if node.op_type not in PASSING:
            return None
    return None


def _backwards(model: Any, name: str) -> Iterator[Any]:
    """The nodes that make `name`, along their first inputs."""
    makers = {output: node for node in model.graph.node for output in node.output}
    while name in makers:
        node = makers[name]
        yield node
        if not node.input:
            return
        name = node.input[0]

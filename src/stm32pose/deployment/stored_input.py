"""How a network stores its input in integers: what the file says, also where its input is a float that it quantizes."""

from __future__ import annotations

from pathlib import Path

from stm32pose.inference.tensors import TensorInfo


def stored_input(tensor: TensorInfo, path: Path) -> TensorInfo | None:
    """The input as integers: `tensor` itself, or what an .onnx file's first QuantizeLinear makes of it; None: neither.

    Args:
        tensor: the file's input.
        path: the file.
    """
    if tensor.scale or path.suffix.lower() != ".onnx" or not path.is_file():
        return tensor if tensor.scale else None
    import onnx

    graph = onnx.load(str(path)).graph
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    for node in graph.node:
        if node.op_type != "QuantizeLinear" or node.input[0] != tensor.name or node.input[1] not in constants:
            continue
        scale = constants[node.input[1]]
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        if scale.size == 1:
            dtype = "uint8" if zero is None else zero.dtype.name
            return TensorInfo(tensor.name, tensor.shape, dtype, float(scale), 0 if zero is None else int(zero))
    return None

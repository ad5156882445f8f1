"""ONNX files through ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from stm32pose.errors import ConfigError, UserError, first_line
from stm32pose.inference.runner import Layout, ModelIO, Runner
from stm32pose.inference.tensors import TensorInfo

DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}


class OnnxRunner(Runner):
    """An .onnx file, channels first or last; a dynamic batch runs whole, a fixed one in pieces of its size."""

    kind = "onnx"

    def __init__(self, path: Path, *, rescaling: tuple[float, float], threads: int = 1) -> None:
        self._session = _open(path, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1:
            raise ConfigError(f"{path}: got {len(inputs)} inputs; a pose model has one image input")
        self._input_name = inputs[0].name
        batch = inputs[0].shape[0] if inputs[0].shape else None
        scales = _integer_scales(path, [inputs[0], *outputs])
        tensor = _tensor_info(inputs[0], path, scales)
        io = ModelIO(
            input=tensor,
            outputs=_output_infos(self._session, inputs[0], outputs, path, scales),
            batch=batch if isinstance(batch, int) and batch > 0 else None,
            layout=_layout(tensor.shape),
            quantized=_is_quantized(path),
        )
        super().__init__(path, io, rescaling)

    def _invoke(self, inputs: np.ndarray) -> Sequence[np.ndarray]:
        try:
            return self._session.run(None, {self._input_name: inputs})
        except _errors() as error:
            raise UserError(f"{self.path}: ONNX Runtime cannot run it: {first_line(error)}") from error


def _open(path: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"{path.name}: ONNX files need ONNX Runtime: pip install 'stm32pose[onnx]'") from error

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _errors() as error:
        raise UserError(f"{path}: not an ONNX file that ONNX Runtime can load: {first_line(error)}") from error


def _errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: one class a status code, without a common base of its own."""
    state = import_module("onnxruntime.capi.onnxruntime_pybind11_state")

    names = (
        "Fail",
        "InvalidArgument",
        "InvalidGraph",
        "InvalidProtobuf",
        "NoModel",
        "NotImplemented",
        "RuntimeException",
    )
    return (*(getattr(state, name) for name in names if hasattr(state, name)), RuntimeError, ValueError)


def _tensor_info(node: Any, path: Path, scales: dict[str, tuple[float, int]]) -> TensorInfo:
    shape = tuple(node.shape[1:])
    if not all(isinstance(size, int) and size > 0 for size in shape):
        raise ConfigError(f"{path}: tensor '{node.name}' has shape {list(node.shape)}; only the batch may be open")
    return TensorInfo(node.name, shape, _dtype(node, path), *scales.get(node.name, (0.0, 0)))


def _dtype(node: Any, path: Path) -> str:
    if node.type not in DTYPES:
        raise ConfigError(f"{path}: tensor '{node.name}' is {node.type}; a pose model has numeric tensors")
    return DTYPES[node.type]


def _output_infos(
    session: Any, image: Any, outputs: list[Any], path: Path, scales: dict[str, tuple[float, int]]
) -> tuple[TensorInfo, ...]:
    """Shapes of the outputs; where the file leaves them open, one run on an empty image tells them."""
    if all(isinstance(size, int) and size > 0 for node in outputs for size in node.shape[1:]):
        return tuple(_tensor_info(node, path, scales) for node in outputs)
    batch = image.shape[0] if isinstance(image.shape[0], int) and image.shape[0] > 0 else 1
    blank = np.zeros((batch, *_tensor_info(image, path, scales).shape), _dtype(image, path))
    values = session.run(None, {image.name: blank})
    return tuple(
        TensorInfo(node.name, tuple(value.shape[1:]), value.dtype.name, *scales.get(node.name, (0.0, 0)))
        for node, value in zip(outputs, values, strict=True)
    )


def _layout(shape: tuple[int, ...]) -> Layout:
    return "NCHW" if len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3) else "NHWC"


def _is_quantized(path: Path) -> bool:
    content = path.read_bytes()
    return b"QuantizeLinear" in content or b"QLinear" in content


def _integer_scales(path: Path, nodes: list[Any]) -> dict[str, tuple[float, int]]:
    """Scale and zero point of integer inputs and outputs, from the (De)QuantizeLinear node next to them."""
    wanted = {node.name for node in nodes if node.type in ("tensor(uint8)", "tensor(int8)")}
    if not wanted:
        return {}
    import onnx

    graph = onnx.load(str(path)).graph
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    found = {}
    for node in graph.node:
        name = {"DequantizeLinear": node.input[:1], "QuantizeLinear": node.output[:1]}.get(node.op_type, [""])[0]
        if name in wanted and node.input[1] in constants:
            zero = constants.get(node.input[2]) if len(node.input) > 2 else None
            found[name] = (float(constants[node.input[1]]), 0 if zero is None else int(zero))
    return found

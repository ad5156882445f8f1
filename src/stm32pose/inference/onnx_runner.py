"""ONNX files through ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from stm32pose.errors import ConfigError, UserError, first_line
from stm32pose.inference.onnx_graph import (
    final_activation,
    integer_borders,
    is_quantized,
    number_types,
    read_onnx_model,
)
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
        self._session = open_session(path, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1:
            raise ConfigError(f"{path}: got {len(inputs)} inputs; a pose model has one image input")
        self._input_name = inputs[0].name
        batch = inputs[0].shape[0] if inputs[0].shape else None
        model = read_onnx_model(path)
        scales = integer_borders(model)
        tensor = _tensor_info(inputs[0], path, scales)
        io = ModelIO(
            input=tensor,
            outputs=_output_infos(self._session, inputs[0], outputs, path, scales),
            batch=batch if isinstance(batch, int) and batch > 0 else None,
            layout=layout_of(tensor.shape),
            quantized=is_quantized(model),
        )
        super().__init__(path, io, rescaling)
        self.activation = final_activation(model)
        self.number_types = number_types(model)

    def _invoke(self, inputs: np.ndarray) -> Sequence[np.ndarray]:
        try:
            return self._session.run(None, {self._input_name: inputs})
        except runtime_errors() as error:
            raise UserError(f"{self.path}: ONNX Runtime cannot run it: {first_line(error)}") from error


def open_session(path: Path, threads: int) -> Any:
    """An ONNX Runtime session on the CPU, silent. UserError: not installed, or a file that it cannot load."""
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
    except runtime_errors() as error:
        raise UserError(f"{path}: not an ONNX file that ONNX Runtime can load: {first_line(error)}") from error


def runtime_errors() -> tuple[type[Exception], ...]:
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


def layout_of(shape: tuple[int, ...]) -> Layout:
    """Where the channels of an image input are; `shape` without the batch."""
    return "NCHW" if len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3) else "NHWC"

"""TFLite files through LiteRT, with its default XNNPACK kernels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stm32pose.errors import ConfigError, UserError, first_line
from stm32pose.inference.quiet import quiet_streams
from stm32pose.inference.runner import ModelIO, Runner
from stm32pose.inference.tensors import TensorInfo


class TfliteRunner(Runner):
    """A .tflite file. Images run one by one, as on the board: LiteRT gains nothing from larger batches."""

    kind = "tflite"

    def __init__(self, path: Path, *, rescaling: tuple[float, float], threads: int = 1) -> None:
        self._interpreter = open_interpreter(path, threads)
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1:
            raise ConfigError(f"{path}: got {len(inputs)} inputs; a pose model has one image input")
        self._input_index = inputs[0]["index"]
        self._output_indices = [output["index"] for output in outputs]
        io = ModelIO(
            input=_tensor_info(inputs[0]),
            outputs=tuple(_tensor_info(output) for output in outputs),
            batch=int(inputs[0]["shape"][0]) if len(inputs[0]["shape"]) else 1,
            layout=_layout(_tensor_info(inputs[0]).shape),
            quantized=_is_quantized(self._interpreter),
        )
        super().__init__(path, io, rescaling)

    def _prepare(self, inputs: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input_index, inputs)
        return inputs

    def _invoke(self, inputs: np.ndarray) -> Sequence[np.ndarray]:
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{self.path}: LiteRT cannot run it: {first_line(error)}") from error
        return ()

    def _collect(self, outputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        return [self._interpreter.get_tensor(index) for index in self._output_indices]


def open_interpreter(path: Path, threads: int = 1) -> Any:
    """A LiteRT interpreter with its tensors allocated. UserError: unreadable, damaged, or an operator it lacks."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if content[4:8] != b"TFL3":
        raise UserError(f"{path}: not a TFLite file, or damaged (its identifier is missing)")
    try:
        with quiet_streams():
            interpreter = Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{path}: LiteRT cannot load it: {first_line(error)}") from error
    return interpreter


def _tensor_info(details: dict[str, Any]) -> TensorInfo:
    scale, zero_point = details["quantization"]
    return TensorInfo(
        name=str(details["name"]),
        shape=tuple(int(size) for size in details["shape"][1:]),
        dtype=np.dtype(details["dtype"]).name,
        scale=float(scale),
        zero_point=int(zero_point),
    )


def _layout(shape: tuple[int, ...]) -> Any:
    """Some converters keep PyTorch's channels first in TFLite files."""
    first = len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3)
    return "NCHW" if first else "NHWC"


def _is_quantized(interpreter: Any) -> bool:
    """Whether any activation or weight tensor holds 8-bit integers with a scale."""
    return any(
        np.dtype(tensor["dtype"]).name in ("int8", "uint8") and len(tensor["quantization_parameters"]["scales"])
        for tensor in interpreter.get_tensor_details()
        if tensor["dtype"] is not None
    )

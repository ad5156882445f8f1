"""ST's `AiRunner` as its callers see it, over LiteRT and ONNX Runtime: answers are real, faults can be had.

It converts between the types and channel positions asked of `generate` and those of the model file, as ST's generated
code does.
"""

# ruff: noqa: T201
from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

MILLISECONDS = 17.5


class Tensor(NamedTuple):
    """An input or output; scale and zero point are lists, as in version 3 of ST's package."""

    name: str
    shape: tuple[int, ...]
    dtype: Any
    scale: list[Any]
    zero_point: list[Any]


class FakeAiRunner:
    """Attributes set by the subclass: `board`, a file with the network that the board holds, and `faults`:

    refuse (text of the failed connection), silent (connecting hangs), mute (the first invoke hangs), die (the process
    ends at the first invoke), raises (text of an exception of invoke), noisy (prints to standard output), no_times,
    no_scale, padded (outputs in four dimensions), reverse (outputs in reverse order), prefix_ms.
    """

    board = ""
    faults: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        self._error = ""

    def __str__(self) -> str:
        return "fake runtime ['network']"

    def connect(self, descriptor: str) -> bool:
        if self.faults.get("noisy"):
            print("a progress bar on standard output")
            os.write(1, b"raw bytes on standard output\n")
        if self.faults.get("silent"):
            time.sleep(600)
        file = Path(self.board if descriptor.startswith("serial") else descriptor)
        if self.faults.get("refuse") or not file.is_file():
            self._error = self.faults.get("refuse") or f"E801(HwIOError): {descriptor} - No such device"
            return False
        self._open(json.loads(file.read_text()))
        return True

    def get_error(self) -> str:
        return self._error

    def _open(self, network: dict[str, Any]) -> None:
        path = network["model"]
        self._network = network
        if path.endswith(".tflite"):
            from ai_edge_litert.interpreter import Interpreter

            self._interpreter = Interpreter(model_path=path)
            self._interpreter.allocate_tensors()
            details = [self._interpreter.get_input_details()[0], *self._interpreter.get_output_details()]
            self._file = [(d["name"], tuple(map(int, d["shape"])), np.dtype(d["dtype"]), *d["quantization"])
                          for d in details]  # fmt: skip
        else:
            import onnxruntime

            self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            nodes = [self._session.get_inputs()[0], *self._session.get_outputs()]
            self._file = [(n.name, (1, *n.shape[1:]), np.dtype(np.float32), 0.0, 0) for n in nodes]

    def _tensor(self, index: int) -> Tensor:
        """What the generated network takes or gives: converted from the file's as asked."""
        name, shape, dtype, scale, zero_point = self._file[index]
        end = "input" if index == 0 else "output"
        wanted = np.dtype(self._network.get(f"{end}_data_type") or dtype)
        if wanted != dtype and dtype.kind in "iu" and wanted.kind in "iu":
            zero_point += 128 if wanted == np.uint8 else -128
        if wanted.kind == "f":
            scale, zero_point = 0.0, 0
        elif dtype.kind == "f":  # values of 0..1, as ST's tools find them below a Dequantize
            scale, zero_point = 1 / 255, -128 if wanted == np.int8 else 0
        if self.faults.get("no_scale"):
            scale, zero_point = 0.0, 0
        position = self._network.get(f"{end}s_ch_position")
        first = self._is_first(index)
        if len(shape) == 4 and position == "chfirst" and not first:
            shape = (shape[0], shape[3], shape[1], shape[2])
        elif len(shape) == 4 and position == "chlast" and first:
            shape = (shape[0], shape[2], shape[3], shape[1])
        if index and self.faults.get("padded"):
            shape = (shape[0], *[1] * (4 - len(shape)), *shape[1:])
        return Tensor(name, shape, wanted.type, [np.float32(scale)], [np.int32(zero_point)])

    def _is_first(self, index: int) -> bool:
        """Whether a tensor of the file has its channels first: ONNX files here, and maps of such."""
        return self._network["model"].endswith(".onnx") and len(self._file[index][1]) == 4

    def get_inputs(self) -> list[Tensor]:
        return [self._tensor(0)]

    def get_outputs(self) -> list[Tensor]:
        found = [self._tensor(index) for index in range(1, len(self._file))]
        return found[::-1] if self.faults.get("reverse") else found

    def invoke(self, inputs: list[np.ndarray], **options: Any) -> tuple[list[np.ndarray], dict[str, Any]]:
        assert set(options) <= {"disable_pb", "mode"}
        if self.faults.get("noisy"):
            print("STAI.IO: 100%")
        if self.faults.get("mute"):
            time.sleep(600)
        if self.faults.get("die"):
            os._exit(3)
        if self.faults.get("raises"):
            raise RuntimeError(self.faults["raises"])
        tensor = self.get_inputs()[0]
        (images,) = inputs
        assert images.dtype == np.dtype(tensor.dtype), f"got {images.dtype}, wanted {tensor.dtype}"
        assert images.shape[1:] == tensor.shape[1:], f"got {images.shape}, wanted {tensor.shape}"
        each = [self._run(image) for image in images]
        outputs = [np.concatenate([values[index] for values in each]) for index in range(len(each[0]))]
        times = [] if self.faults.get("no_times") else [MILLISECONDS] * len(images)
        return outputs[::-1] if self.faults.get("reverse") else outputs, {"c_durations": times, "debug": {}}

    def _run(self, image: np.ndarray) -> list[np.ndarray]:
        given, (_, shape, dtype, scale, zero_point) = self._tensor(0), self._file[0]
        value = image[None]
        if len(shape) == 4 and tuple(value.shape) != shape:
            value = value.transpose(0, 3, 1, 2) if self._is_first(0) else value.transpose(0, 2, 3, 1)
        if value.dtype != dtype and dtype.kind in "iu":
            if value.dtype.kind == "f":
                value = np.clip(np.round(value / scale) + zero_point, np.iinfo(dtype).min, np.iinfo(dtype).max)
            else:
                value = value.astype(np.int32) + (zero_point - int(given.zero_point[0]))
        value = np.ascontiguousarray(value).astype(dtype)
        if hasattr(self, "_interpreter"):
            self._interpreter.set_tensor(self._interpreter.get_input_details()[0]["index"], value)
            self._interpreter.invoke()
            raw = [self._interpreter.get_tensor(d["index"]) for d in self._interpreter.get_output_details()]
        else:
            raw = self._session.run(None, {self._session.get_inputs()[0].name: value})
        return [self._given(index, value) for index, value in enumerate(raw, start=1)]

    def _given(self, index: int, value: np.ndarray) -> np.ndarray:
        tensor, (_, shape, dtype, scale, zero_point) = self._tensor(index), self._file[index]
        wanted = np.dtype(tensor.dtype)
        if wanted != dtype and dtype.kind in "iu":
            if wanted.kind == "f":
                value = (value.astype(np.float32) - zero_point) * np.float32(scale)
            else:
                value = value.astype(np.int32) + (128 if wanted == np.uint8 else -128)
        elif wanted != dtype and wanted.kind in "iu":
            limits = np.iinfo(wanted)
            value = np.clip(np.round(value * 255) + int(tensor.zero_point[0]), limits.min, limits.max)
        value = value.astype(wanted)
        if len(shape) == 4 and value.shape != tensor.shape and not self.faults.get("padded"):
            value = value.transpose(0, 2, 3, 1) if self._is_first(index) else value.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(value).reshape(tensor.shape)

    def disconnect(self) -> None:
        print("disconnected", file=sys.stderr)

"""`Runner`: one way to run a Keras, TFLite or ONNX model on the host. Pixels in, float arrays out."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from stm32pose.codecs.select import recognise
from stm32pose.config.suffixes import MODEL_FILES, ModelKind, model_kind
from stm32pose.errors import ConfigError, UserError
from stm32pose.inference.tensors import TensorInfo, dequantize, input_table, look_up

Layout = Literal["NHWC", "NCHW"]


def load_runner(path: str | Path, *, rescaling: tuple[float, float], threads: int = 1) -> Runner:
    """Open a model file for inference on the host.

    Args:
        path: a .keras, .h5, .tflite or .onnx file with one image input.
        rescaling: (scale, offset) of `preprocessing.rescaling`: network input = scale * pixel + offset.
        threads: threads of LiteRT and ONNX Runtime; TensorFlow takes all cores whatever is asked.

    Raises:
        ConfigError: no such file, an unknown suffix, or rescaling that does not suit the file's integer input.
        UserError: a file that cannot be read or run.
    """
    path = Path(path)
    kind = model_kind(path)
    if kind is None:
        raise ConfigError(f"model.model_path: got '{path.name}'; a model is one of {', '.join(MODEL_FILES)}")
    if not path.is_file():
        raise ConfigError(f"model.model_path: no such file: {path}")
    if kind == "keras":
        from stm32pose.inference.keras_runner import KerasRunner

        return KerasRunner(path, rescaling=rescaling)
    if kind == "tflite":
        from stm32pose.inference.tflite_runner import TfliteRunner

        return TfliteRunner(path, rescaling=rescaling, threads=threads)
    from stm32pose.inference.onnx_runner import OnnxRunner

    return OnnxRunner(path, rescaling=rescaling, threads=threads)


@dataclass(frozen=True)
class ModelIO:
    """What a file says about itself: its tensors (shapes without batch, in the file's own layout), batch and kind.

    Attributes:
        input: the image input.
        outputs: the outputs, in the file's order.
        batch: images of one call, None where the file takes any number.
        layout: NHWC or NCHW of the input.
        quantized: whether the file computes in integers.
    """

    input: TensorInfo
    outputs: tuple[TensorInfo, ...]
    batch: int | None
    layout: Layout
    quantized: bool


class Runner(ABC):
    """One model file, ready to run.

    Attributes:
        path: the file.
        kind: keras, tflite or onnx.
        quantized: whether the file computes in integers.
        input: the input tensor as the file has it (its own layout and type, without batch).
        outputs: the outputs as `predict` returns them: shape without batch, NHWC; dtype, scale and zero point are the
            file's own.
        input_shape: (H, W, C).
        layout: NHWC or NCHW, of the file's input.
        activation: of the outputs (sigmoid, softmax), where the file tells; else None.
        number_types: `float`, `int8`, `int16` (activations), `int8 w4` (weights of 4 bits): its label in tables.
        invoke_seconds: time spent inside the library's own inference call so far, in seconds.
    """

    kind: ModelKind
    activation: str | None = None

    def __init__(self, path: Path, io: ModelIO, rescaling: tuple[float, float]) -> None:
        if len(io.input.shape) != 3:
            raise ConfigError(f"{path}: got an input of shape {list(io.input.shape)}; an image input is H x W x C")
        first, second, third = io.input.shape
        self.path = path
        self.quantized = io.quantized
        self.number_types = "int8" if io.quantized else "float"
        self.input = io.input
        self.layout: Layout = io.layout
        self.input_shape = (first, second, third) if io.layout == "NHWC" else (second, third, first)
        self._moved = [io.layout == "NCHW" and _is_map(output.shape, self.input_shape) for output in io.outputs]
        self.outputs = [
            _channels_last(output) if moved else output for output, moved in zip(io.outputs, self._moved, strict=True)
        ]
        self.invoke_seconds = 0.0
        self._batch = io.batch
        try:
            self._table = input_table(io.input, rescaling, path)
        except ConfigError as error:
            # A file of another kind is the likelier mistake, and only its outputs tell.
            kind, _ = recognise([output.shape for output in self.outputs], input_shape=self.input_shape)
            raise ConfigError(f"{error}; by its outputs it is of model_type: {kind}" if kind else str(error)) from error

    def predict(self, images: np.ndarray) -> list[np.ndarray]:
        """Run the network on uint8 images [B, H, W, C].

        Rescaling and the file's own input quantization are applied by one table of 256 entries; outputs come back as
        float32 [B, ...], dequantized, heat maps channels last.

        Raises:
            ConfigError: images of another size or another number of channels than the file takes.
            UserError: the library refuses to run the model.
        """
        inputs = self.inputs(images)
        step = self._batch or len(inputs)
        pieces = [self._call(inputs[start : start + step]) for start in range(0, len(inputs), step)]
        results = []
        for index, output in enumerate(self.outputs):
            raw = pieces[0][index] if len(pieces) == 1 else np.concatenate([piece[index] for piece in pieces])
            values = dequantize(raw, output)
            results.append(np.ascontiguousarray(values.transpose(0, 2, 3, 1)) if self._moved[index] else values)
        return results

    def inputs(self, images: np.ndarray) -> np.ndarray:
        """What the file is fed for uint8 images [B, H, W, C]: its own type, quantization and layout. As `predict`."""
        self._check(images)
        inputs = look_up(self._table, images)
        return np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)) if self.layout == "NCHW" else inputs

    def _call(self, inputs: np.ndarray) -> list[np.ndarray]:
        """One call of the library; a file of fixed batch gets its last call filled up with zeros."""
        wanted = len(inputs)
        if self._batch is not None and wanted < self._batch:
            inputs = np.concatenate([inputs, np.zeros((self._batch - wanted, *inputs.shape[1:]), inputs.dtype)])
        prepared = self._prepare(inputs)
        started = time.perf_counter()
        outputs = self._invoke(prepared)
        self.invoke_seconds += time.perf_counter() - started
        return [output[:wanted] for output in self._collect(outputs)]

    def _prepare(self, inputs: np.ndarray) -> np.ndarray:
        """Hand the inputs to the library, outside the time of inference."""
        return inputs

    @abstractmethod
    def _invoke(self, inputs: np.ndarray) -> Sequence[np.ndarray]:
        """The library's own call, nothing else."""

    def _collect(self, outputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """Fetch the outputs, outside the time of inference."""
        return outputs

    def _check(self, images: np.ndarray) -> None:
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ConfigError(
                f"{self.path.name}: got {images.dtype} {list(images.shape)}; images are uint8 [B, H, W, C]"
            )
        if not len(images):
            raise UserError(f"{self.path.name}: no image to run on")
        got, wanted = tuple(images.shape[1:]), self.input_shape
        if got[2] != wanted[2]:
            mode = "grayscale" if wanted[2] == 1 else "rgb"
            raise ConfigError(
                f"preprocessing.color_mode: gives {got[2]} channels, {self.path.name} takes {wanted[2]}; use '{mode}'"
            )
        if got != wanted:
            raise ConfigError(f"{self.path.name}: got images of {got[:2]} (H, W), the model takes {wanted[:2]}")


def _is_map(shape: tuple[int, ...], input_shape: tuple[int, int, int]) -> bool:
    """Whether an output (C, h, w) of a channels-first file is a map over the image: sides in the input's ratio."""
    if len(shape) != 3:
        return False
    _, rows, columns = shape
    return rows > 1 and columns > 1 and rows * input_shape[1] == columns * input_shape[0]


def _channels_last(tensor: TensorInfo) -> TensorInfo:
    channels, rows, columns = tensor.shape
    return TensorInfo(tensor.name, (rows, columns, channels), tensor.dtype, tensor.scale, tensor.zero_point)

"""`Network`: an int8 network whole, with its constants and every scale, as the code generator needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stm32pose.errors import UserError

Rounding = Literal["tflite", "onnx"]
NONE = np.zeros(0, np.float32)
NO_ZEROS = np.zeros(0, np.int32)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor: an activation, or a constant.

    Attributes:
        name: the file's name of it.
        shape: with the batch of 1; four dimensions are NHWC, whatever the file's layout.
        dtype: numpy's name.
        scales, zero_points: real = scale * (stored - zero_point); empty where it is not quantized, one entry where it
            has one scale, one a slice along `axis` otherwise. float32 and int32.
        axis: of several scales.
        data: values of a constant, of `shape`; None for an activation.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: np.ndarray = field(default_factory=lambda: NONE)
    zero_points: np.ndarray = field(default_factory=lambda: NO_ZEROS)
    axis: int = 0
    data: np.ndarray | None = None

    @property
    def constant(self) -> bool:
        return self.data is not None

    @property
    def quantized(self) -> bool:
        return len(self.scales) > 0

    @property
    def scale(self) -> float:
        """The scale, as the float32 of the file; 0.0 without one."""
        return float(self.scales[0]) if len(self.scales) else 0.0

    @property
    def zero_point(self) -> int:
        return int(self.zero_points[0]) if len(self.zero_points) else 0

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, eq=False)
class Operator:
    """One operator.

    Attributes:
        kind: TFLite's name, whatever the file's format.
        name: of the layer it comes from, for people.
        inputs: indices of tensors, constants among them; -1 for an operand left out.
        outputs: indices of tensors.
        options: what else there is to know, plain values by the names in docs/c_code.md. Convolutions and pools have
            `pads` (top, left, bottom, right), `stride`, `dilation`, `kernel` (rows, columns) and `activation`.
    """

    kind: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Network:
    """A whole network.

    Attributes:
        path: the file.
        rounding: whose arithmetic it is to reproduce: LiteRT's reference kernels, or ONNX Runtime.
        tensors, operators: operators in order of execution.
        inputs, outputs: indices into `tensors`.
        channels_first: whether the file itself has the channels before rows and columns; here they are last.
    """

    path: Path
    rounding: Rounding
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    channels_first: bool = False

    def tensor(self, index: int) -> Tensor:
        return self.tensors[index]


class NotExportable(UserError):
    """A network that cannot become C, with the operator, its tensor and the layer that made it."""


def refuse(network: Network, operator: Operator, problem: str) -> NotExportable:
    """The error for an operator that has no kernel; `problem` says what about it."""
    made = network.tensors[operator.outputs[0]].name if operator.outputs else operator.name
    tensor = made.split(";")[0]
    layer = "" if operator.name == tensor else f" (layer '{operator.name}')"
    return NotExportable(printable(f"{network.path}: {operator.kind} that makes tensor '{tensor}'{layer}: {problem}"))


def printable(text: str) -> str:
    """One line, whatever names a file has."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def read_network(path: Path) -> Network:
    """Read an int8 .tflite or QDQ .onnx file.

    Raises:
        ConfigError: no such file, or a kind of file that has no int8 form.
        UserError: damaged; NotExportable: not an int8 network.
    """
    try:
        return _read(path)
    except UserError as error:
        if str(error).isprintable():
            raise
        raise type(error)(printable(str(error))) from error


def _read(path: Path) -> Network:
    from stm32pose.config.suffixes import model_kind
    from stm32pose.errors import ConfigError

    if not path.is_file():
        raise ConfigError(f"model.model_path: no such file: {path}")
    kind = model_kind(path)
    if kind == "tflite":
        from stm32pose.codegen.read_tflite import read_tflite_network

        return read_tflite_network(path)
    if kind == "onnx":
        from stm32pose.codegen.check import check_network
        from stm32pose.codegen.read_onnx import read_onnx_network

        network = read_onnx_network(path)
        check_network(network)
        return network
    raise ConfigError(
        f"model.model_path: got '{path.name}'; C code is made of int8 files: .tflite, .onnx (quantize it first)"
    )

"""`Graph`: the operators of a network as an int8 runtime executes them, from a .tflite, .keras, .h5 or .onnx file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from stm32pose.config.suffixes import MODEL_FILES, model_kind
from stm32pose.errors import ConfigError

BYTES = {
    "float32": 4,
    "float16": 2,
    "float64": 8,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
}


@dataclass(frozen=True)
class Tensor:
    """An activation: shape with a batch of 1, dtype by numpy's name."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def bytes(self) -> int:
        return self.elements * BYTES.get(self.dtype, 4)


@dataclass(frozen=True)
class Op:
    """One operator.

    Attributes:
        kind: TFLite's name of it, such as `CONV_2D`, whatever the file's format.
        name: the layer it comes from, as far as the file tells.
        inputs, outputs: indices into `Graph.tensors`; constants are not among them.
        macs: multiply-accumulates of the weighted operators, 0 for all others.
        weights: number of weight elements; `biases`: number of bias elements.
        weight_bytes: bytes of the weight elements as stored: 1 each in int8.
        kernel: (rows, columns) of a convolution or pooling, (1, 1) otherwise.
        stride: (rows, columns).
    """

    kind: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    macs: int = 0
    weights: int = 0
    weight_bytes: int = 0
    biases: int = 0
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Graph:
    """A network ready to be planned and priced: padding folded into convolutions, reshapes without a copy of their own.

    Attributes:
        path: the file.
        source: tflite, keras or onnx.
        quantized: whether the file itself is int8; a float one is priced as if it were.
        per_tensor: whether the weights of a quantized file have one scale a tensor; false for float files.
        tensors: activations only.
        ops: in order of execution.
        inputs, outputs: indices into `tensors`.
        aliases: tensor -> the tensor whose memory it shares (reshapes).
        constant_outputs_bytes: of outputs that are the same for every input, such as the anchors of a detector: they
            lie in flash as the output's type.
    """

    path: Path
    source: str
    quantized: bool
    per_tensor: bool
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    aliases: dict[int, int] = field(default_factory=dict)
    constant_outputs_bytes: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(op.macs for op in self.ops)

    @property
    def weights_bytes(self) -> int:
        """Flash of the constants by ST's rule: weights as stored (int8: 1 byte each), 4 bytes a bias element, and
        outputs that are constant with their own type.

        Scales and zero points are not counted. Source: agrees with ST's published rows to 0.02 KiB
        (docs/benchmark.md).
        """
        return sum(op.weight_bytes + 4 * op.biases for op in self.ops) + self.constant_outputs_bytes

    @property
    def kinds(self) -> Counter[str]:
        """How many operators there are of each kind."""
        return Counter(op.kind for op in self.ops)


def read_graph(path: str | Path) -> Graph:
    """Read a model file. A float model is read as if quantized to int8.

    Raises:
        ConfigError: no such file or an unknown suffix.
        UserError: a damaged file, or one whose shapes are open.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"model.model_path: no such file: {path}")
    kind = model_kind(path)
    if kind == "tflite":
        from stm32pose.benchmark.graph_tflite import read_tflite

        return read_tflite(path.read_bytes(), path)
    if kind == "keras":
        from stm32pose.benchmark.graph_keras import read_keras

        return read_keras(path)
    if kind == "onnx":
        from stm32pose.benchmark.graph_onnx import read_onnx

        return read_onnx(path)
    raise ConfigError(f"model.model_path: got '{path.name}'; a model is one of {', '.join(MODEL_FILES)}")

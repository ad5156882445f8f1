"""Small QDQ networks of ONNX, made by hand: nodes between DequantizeLinear and QuantizeLinear."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TYPES = {"int8": TensorProto.INT8, "uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


class Qdq:
    """A graph that grows; names of real tensors are what nodes read and give."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def name(self, stem: str) -> str:
        return f"{stem}_{len(self.nodes)}_{len(self.constants)}"

    def array(self, values: Any, stem: str = "array") -> str:
        """An initializer."""
        name = self.name(stem)
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def steps(self, scale: Any, zero: Any, dtype: str) -> list[str]:
        zeros = np.broadcast_to(np.asarray(zero), np.shape(scale)).astype(dtype)
        return [self.array(np.asarray(scale, np.float32), "scale"), self.array(zeros, "zero")]

    def input(self, shape: Sequence[Any], scale: float, zero: int = 0, dtype: str = "int8", name: str = "x") -> str:
        """A graph input of this type; what is returned is real."""
        self.inputs.append(helper.make_tensor_value_info(name, TYPES[dtype], list(shape)))
        if dtype == "float32":
            return self.through(name, scale, zero, "int8")
        real = f"{name}_real"
        self.nodes.append(helper.make_node("DequantizeLinear", [name, *self.steps(scale, zero, dtype)], [real]))
        return real

    def constant(self, values: np.ndarray, scale: Any, zero: Any = 0, axis: int = 0) -> str:
        """A quantized constant, real."""
        stored, name = self.array(values, "stored"), self.name("constant")
        names = self.steps(scale, zero, values.dtype.name)
        self.nodes.append(helper.make_node("DequantizeLinear", [stored, *names], [name], axis=axis))
        return name

    def weights(self, shape: Sequence[int], axis: int | None = 0, dtype: str = "int8", zero: int = 0) -> str:
        """Random weights with a scale a channel, or one (axis None)."""
        limits = np.iinfo(dtype)
        values = self.random.integers(limits.min, limits.max + 1, shape).astype(dtype)
        scale = 0.01 if axis is None else self.random.uniform(0.002, 0.02, shape[axis])
        return self.constant(values, scale, zero, axis or 0)

    def node(self, kind: str, names: Sequence[str], **attributes: Any) -> str:
        made = self.name(kind)
        self.nodes.append(helper.make_node(kind, list(names), [made], name=f"{kind}_{len(self.nodes)}", **attributes))
        return made

    def quantize(self, real: str, scale: float, zero: int, dtype: str = "int8") -> str:
        name = self.name("quantized")
        self.nodes.append(helper.make_node("QuantizeLinear", [real, *self.steps(scale, zero, dtype)], [name]))
        return name

    def through(self, real: str, scale: float, zero: int = 0, dtype: str = "int8") -> str:
        """Quantized and dequantized."""
        name = self.name("real")
        stored = self.quantize(real, scale, zero, dtype)
        self.nodes.append(helper.make_node("DequantizeLinear", [stored, *self.steps(scale, zero, dtype)], [name]))
        return name

    def output(self, real: str, scale: float, zero: int = 0, dtype: str = "int8") -> None:
        """A graph output of this type, quantized here; scale 0: as it is."""
        name = real if not scale else self.quantize(real, scale, zero, dtype)
        self.outputs.append(helper.make_tensor_value_info(name, TYPES[dtype], None))

    def model(self, opset: int = 17) -> Any:
        graph = helper.make_graph(self.nodes, "made", self.inputs, self.outputs, self.constants)
        imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=9)

    def save(self, path: Path, opset: int = 17) -> Path:
        onnx.save(self.model(opset), str(path))
        return path


def run_onnx(path: Path, inputs: Sequence[np.ndarray], *, plain: bool = True) -> list[np.ndarray]:
    """Outputs of ONNX Runtime; `plain`: every node as it is written, none joined."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]
    return [np.asarray(made) for made in session.run(None, dict(zip(names, inputs, strict=True)))]


def channels_last(arrays: Sequence[np.ndarray], first: bool = True) -> list[np.ndarray]:
    """What a file gives or takes with channels first, as the generated code has it."""
    return [np.ascontiguousarray(a.transpose(0, 2, 3, 1)) if first and a.ndim == 4 else a for a in arrays]

"""`Graph` of an .onnx file, float or QDQ: quantization nodes vanish, batch normalisation folds, activations fuse."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from stm32pose.benchmark.graph import Graph, Op, Tensor
from stm32pose.errors import UserError, first_line

KINDS = {
    "ConvTranspose": "TRANSPOSE_CONV",
    "Gemm": "FULLY_CONNECTED",
    "MatMul": "FULLY_CONNECTED",
    "Add": "ADD",
    "Sub": "SUB",
    "Mul": "MUL",
    "Div": "DIV",
    "Max": "MAXIMUM",
    "Min": "MINIMUM",
    "MaxPool": "MAX_POOL_2D",
    "AveragePool": "AVERAGE_POOL_2D",
    "GlobalAveragePool": "MEAN",
    "ReduceMean": "MEAN",
    "Sigmoid": "LOGISTIC",
    "Tanh": "TANH",
    "HardSwish": "HARD_SWISH",
    "Softmax": "SOFTMAX",
    "Concat": "CONCATENATION",
    "Pad": "PAD",
    "Reshape": "RESHAPE",
    "Flatten": "RESHAPE",
    "Squeeze": "SQUEEZE",
    "Unsqueeze": "EXPAND_DIMS",
    "Transpose": "TRANSPOSE",
    "Split": "SPLIT",
    "Slice": "STRIDED_SLICE",
    "Gather": "GATHER",
    "LeakyRelu": "LEAKY_RELU",
    "PRelu": "PRELU",
    "Neg": "NEG",
    "Cast": "CAST",
    "ArgMax": "ARG_MAX",
}
VANISH = ("QuantizeLinear", "DequantizeLinear", "Identity", "Dropout")
"""Nodes whose output is their input as far as memory and work go."""
FUSED = ("Relu", "Clip", "BatchNormalization")
"""Nodes that disappear into the convolution or fully connected layer before them."""
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
TABLED = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "PRELU", "CONCATENATION")
SAME_MEMORY = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")


def read_onnx(path: Path) -> Graph:
    """The graph of an ONNX file, read as int8. UserError: damaged, ONNX is not installed, or shapes are open."""
    try:
        import onnx
    except ImportError as error:
        raise UserError(f"{path.name}: ONNX files need the onnx package: pip install 'stm32pose[onnx]'") from error
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path))
        _fix_batch(model)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
    except (DecodeError, onnx.shape_inference.InferenceError, onnx.checker.ValidationError, ValueError) as error:
        raise UserError(f"{path}: not an ONNX file that can be read: {first_line(error)}") from error
    if not model.graph.node:
        raise UserError(f"{path}: not an ONNX file, or an empty one")
    return _Builder(model, path).build()


def _fix_batch(model: Any) -> None:
    """An open first dimension of the inputs becomes 1, and shapes stored for it are forgotten."""
    opened = False
    for value in model.graph.input:
        shape = value.type.tensor_type.shape
        if shape.dim and not shape.dim[0].dim_value:
            shape.dim[0].dim_value = 1
            opened = True
    if opened:
        del model.graph.value_info[:]
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")


# Bits of a weight by ONNX's number of its type: INT16, UINT16, UINT4, INT4; all else is priced as int8.
BITS = {5: 16, 4: 16, 21: 4, 22: 4}


class _Builder:
    """State of one pass over the nodes: which name is which tensor, which is constant."""

    def __init__(self, model: Any, path: Path) -> None:
        self.graph: Any = model.graph
        self.path = path
        self.constants = {item.name: tuple(item.dims) for item in self.graph.initializer}
        self.bits = {item.name: BITS[item.data_type] for item in self.graph.initializer if item.data_type in BITS}
        values = [*self.graph.input, *self.graph.value_info, *self.graph.output]
        self.shapes = {value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in values}
        self.tensors: list[Tensor] = []
        self.number: dict[str, int] = {}
        self.ops: list[Op] = []
        self.producer: dict[int, int] = {}
        self.aliases: dict[int, int] = {}
        self.counted: set[str] = set()
        self.source: dict[str, str] = {}  # a name -> the name whose values it carries on
        self.readers: dict[str, int] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers[name] = self.readers.get(name, 0) + 1

    def build(self) -> Graph:
        inputs = [value.name for value in self.graph.input if value.name not in self.constants]
        quantized = any(node.op_type in ("QuantizeLinear", "QLinearConv") for node in self.graph.node)
        numbers = [self.tensor(name) for name in inputs]
        for node in self.graph.node:
            self.add(node)
        return Graph(
            path=self.path,
            source="onnx",
            quantized=quantized,
            per_tensor=quantized and self.per_tensor(),
            tensors=tuple(self.tensors),
            ops=tuple(self.ops),
            inputs=tuple(numbers),
            outputs=tuple(self.tensor(value.name) for value in self.graph.output),
            aliases=self.aliases,
        )

    def add(self, node: Any) -> None:
        """One node: skipped, fused into the operator before it, or an operator of its own."""
        live = [name for name in node.input if name and self.root(name) not in self.constants]
        if node.op_type == "Constant" or not live:
            self.constants.update(dict.fromkeys(node.output, self.constant_shape(node)))
            if node.input and node.input[0] in self.bits:
                self.bits.update(dict.fromkeys(node.output, self.bits[node.input[0]]))
            return
        if node.op_type in ("Shape", "Size"):
            self.constants.update(dict.fromkeys(node.output, ()))
            return
        if node.op_type in VANISH:
            self.source[node.output[0]] = live[0]
            return
        if node.op_type in FUSED and self.fuses(live[0]):
            self.source[node.output[0]] = live[0]
            return
        if node.op_type == "Pad" and self.feeds_convolutions(node.output[0]):
            self.source[node.output[0]] = live[0]
            return
        inputs = tuple(dict.fromkeys(self.tensor(name) for name in live))
        outputs = tuple(self.tensor(name) for name in node.output if name)
        op = self.operator(node, inputs, outputs)
        if op.kind in SAME_MEMORY and inputs and self.root(live[0]) not in {item.name for item in self.graph.input}:
            self.aliases[outputs[0]] = inputs[0]
        self.producer.update(dict.fromkeys(outputs, len(self.ops)))
        self.ops.append(op)

    def operator(self, node: Any, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Op:
        kind = self.kind(node)
        kernel = stride = (1, 1)
        macs = weights = biases = 0
        bits = 8
        if kind in WEIGHTED and len(node.input) > 1 and self.root(node.input[1]) in self.constants:
            shape = self.constants[self.root(node.input[1])]
            weights = prod(shape) if self.fresh(node.input[1]) else 0
            bits = self.bits.get(self.root(node.input[1]), 8)
            if len(node.input) > 2 and self.fresh(node.input[2]):
                biases = prod(self.constants.get(self.root(node.input[2]), ()))
            result = self.tensors[outputs[0]].elements
            if kind == "FULLY_CONNECTED":
                macs = result * self.tensors[inputs[0]].shape[-1]
            elif kind == "TRANSPOSE_CONV":
                macs, kernel = self.tensors[inputs[0]].elements * prod(shape[1:]), (shape[2], shape[-1])
            else:
                macs, kernel = result * prod(shape[1:]), (shape[2], shape[-1])
        elif kind in TABLED:
            for name in node.input:
                if self.root(name) in self.constants and self.fresh(name):
                    weights += prod(self.constants[self.root(name)])
        elif kind == "FULLY_CONNECTED":
            macs = self.tensors[outputs[0]].elements * self.tensors[inputs[0]].shape[-1]
        for attribute in node.attribute:
            if attribute.name == "strides" and len(attribute.ints) == 2:
                stride = (attribute.ints[0], attribute.ints[1])
            if attribute.name == "kernel_shape" and len(attribute.ints) == 2:
                kernel = (attribute.ints[0], attribute.ints[1])
        stored = (weights * bits + 7) // 8
        return Op(kind, node.name or node.output[0], inputs, outputs, macs, weights, stored, biases, kernel, stride)

    def kind(self, node: Any) -> str:
        """TFLite's name of a node's operator."""
        if node.op_type == "Conv":
            group = next((item.i for item in node.attribute if item.name == "group"), 1)
            shape = self.constants.get(self.root(node.input[1]), ())
            return "DEPTHWISE_CONV_2D" if group > 1 and len(shape) > 1 and shape[1] == 1 else "CONV_2D"
        if node.op_type in ("Resize", "Upsample"):
            mode = next((item.s for item in node.attribute if item.name == "mode"), b"nearest")
            return "RESIZE_NEAREST_NEIGHBOR" if mode == b"nearest" else "RESIZE_BILINEAR"
        return KINDS[node.op_type] if node.op_type in KINDS else str(node.op_type).upper()

    def tensor(self, name: str) -> int:
        """The number of an activation; all are int8, as the network will be."""
        root = self.root(name)
        if root not in self.number:
            shape = self.shapes.get(root) or self.shapes.get(name)
            if shape is None or any(size < 1 for size in shape):
                raise UserError(
                    f"{self.path}: tensor '{root}' has an open shape {list(shape or ())}; fix the input's shape"
                )
            self.number[root] = len(self.tensors)
            self.tensors.append(Tensor(root, shape, "int8"))
        return self.number[root]

    def root(self, name: str) -> str:
        """The name whose values `name` carries on, quantization nodes and fused activations looked through."""
        while name in self.source:
            name = self.source[name]
        return name

    def fresh(self, name: str) -> bool:
        """Whether a constant was not counted yet."""
        root = self.root(name)
        known = root in self.counted
        self.counted.add(root)
        return not known

    def fuses(self, name: str) -> bool:
        """Whether a tensor comes straight from a weighted or additive operator."""
        index = self.producer.get(self.number.get(self.root(name), -1))
        return index is not None and self.ops[index].kind in (*WEIGHTED, "ADD")

    def feeds_convolutions(self, name: str) -> bool:
        """Whether all readers, quantization nodes looked through, are convolutions."""
        names, convolutions = {name}, True
        for node in self.graph.node:
            if names & set(node.input):
                if node.op_type in VANISH:
                    names.update(node.output)
                else:
                    convolutions &= node.op_type == "Conv"
        return convolutions

    def constant_shape(self, node: Any) -> tuple[int, ...]:
        """Shape of what a node without live input makes: of its first constant input, or of its own value."""
        for attribute in node.attribute:
            if attribute.name == "value":
                return tuple(attribute.t.dims)
        for name in node.input:
            if self.root(name) in self.constants:
                return self.constants[self.root(name)]
        return ()

    def per_tensor(self) -> bool:
        """Whether no weight has a scale a channel."""
        scales = [
            self.constants.get(node.input[1], ())
            for node in self.graph.node
            if node.op_type == "DequantizeLinear" and len(self.constants.get(node.input[0], ())) > 1
        ]
        return bool(scales) and all(prod(shape) == 1 for shape in scales)

"""Damage for model files: bits, words, lost ends, and files that are well formed but say something absurd. Seeded."""

from __future__ import annotations

import random
from typing import Any

EXTREMES = (0, 1, -1, 2, 4, 7, 127, 255, 256, 65535, 1 << 24, (1 << 31) - 1, -(1 << 31))
SIZES = (0, 1, 2, 3, 5, 7, 16, 100, 257, 4096, 1 << 20, (1 << 31) - 1, -1, -5, -(1 << 31))
SCALES = (0.0, -1.0, float("nan"), float("inf"), 1e-38, 1e-45, 3e38, 1e-20, 1e20, 1.0)


def flip_bits(content: bytes, source: random.Random) -> bytes:
    """1 to 64 bits are turned; of a large file more often near its beginning or end, where the graph is."""
    made = bytearray(content)
    for _ in range(source.choice((1, 1, 2, 4, 16, 64))):
        place = source.randrange(len(made))
        if source.random() < 0.5:
            place = source.choice((place % 4096, -1 - place % 4096)) if len(made) > 4096 else place
        made[place] ^= 1 << source.randrange(8)
    return bytes(made)


def write_words(content: bytes, source: random.Random) -> bytes:
    """A few aligned 32-bit words, as offsets and counts are, become extreme or small numbers."""
    made = bytearray(content)
    for _ in range(source.choice((1, 1, 2, 4))):
        place = source.randrange(0, max(1, len(made) // 4)) * 4
        value = source.choice(EXTREMES) & 0xFFFFFFFF
        made[place : place + 4] = value.to_bytes(4, "little")
    return bytes(made[: len(content)])


def cut(content: bytes, source: random.Random) -> bytes:
    """The end, or a piece of the middle, is lost."""
    first = source.randrange(len(content))
    if source.random() < 0.6:
        return content[:first]
    return content[:first] + content[first + source.randrange(1, 2000) :]


def splice(content: bytes, source: random.Random) -> bytes:
    """A piece is written over another place."""
    made = bytearray(content)
    length = min(source.choice((4, 16, 64, 500)), len(made))
    one, two = (source.randrange(len(made) - length + 1) for _ in range(2))
    made[one : one + length] = content[two : two + length]
    return bytes(made)


PLAIN = (flip_bits, flip_bits, write_words, write_words, cut, splice)


def plain_damage(content: bytes, seed: int) -> bytes:
    """One of the ways above."""
    source = random.Random(seed)
    return source.choice(PLAIN)(content, source)


def absurd_tflite(content: bytes, seed: int) -> bytes:
    """A well-formed file in which one to three things are others: shapes, types, scales, operands, options, order."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    source = random.Random(seed)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for _ in range(source.choice((1, 1, 2, 3))):
        _change(model, source)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _change(model: Any, source: random.Random) -> None:
    graph = model.subgraphs[0]
    tensor, op = source.choice(graph.tensors), source.choice(graph.operators)
    count = len(graph.tensors)
    kind = source.randrange(13)
    if kind <= 1 and tensor.shape is not None and len(tensor.shape):
        shape = [int(size) for size in tensor.shape]
        place = source.randrange(len(shape))
        shape[place] = source.choice((*SIZES, shape[place] + 1, shape[place] - 1, shape[place] * 2))
        shape[place] = max(min(shape[place], (1 << 31) - 1), -(1 << 31))
        tensor.shape = shape
    elif kind == 2:
        tensor.shape = [source.choice((1, 2, 3, 8)) for _ in range(source.choice((0, 1, 2, 3, 4, 5, 9)))]
    elif kind == 3:
        tensor.type = source.choice((0, 1, 2, 3, 4, 6, 7, 9, 9, 17))
    elif kind == 4 and tensor.quantization is not None and tensor.quantization.scale is not None:
        scale = [float(value) for value in tensor.quantization.scale]
        scale[source.randrange(len(scale))] = source.choice(SCALES)
        tensor.quantization.scale = scale
    elif kind == 5 and tensor.quantization is not None and tensor.quantization.zeroPoint is not None:
        tensor.quantization.zeroPoint = [source.choice((0, 5, -128, 127, 128, -129, 300, 1 << 40))]
    elif kind == 6 and tensor.quantization is not None:
        tensor.quantization = None if source.random() < 0.5 else tensor.quantization
        if tensor.quantization is not None:
            tensor.quantization.quantizedDimension = source.choice((0, 1, 3, 7, -1))
    elif kind <= 8 and op.inputs is not None and len(op.inputs):
        inputs = [int(index) for index in op.inputs]
        inputs[source.randrange(len(inputs))] = source.choice((-1, 0, count - 1, count, source.randrange(count), -7))
        op.inputs = inputs if source.random() < 0.8 else inputs[:-1]
    elif kind == 9:
        outputs = source.choice(
            ([], [source.randrange(count)], [count + 5], [-1], list(op.inputs)[:1], list(op.outputs) * 2)
        )
        op.outputs = [int(index) for index in outputs]
    elif kind == 10:
        first, second = (source.randrange(len(graph.operators)) for _ in range(2))
        graph.operators[first], graph.operators[second] = graph.operators[second], graph.operators[first]
    elif kind == 11 and op.builtinOptions is not None:
        names = [
            name for name, value in vars(op.builtinOptions).items() if isinstance(value, int) and value is not None
        ]
        if names:
            try_value = source.choice((0, 1, 2, 3, 5, -1, 100, 30000))
            name = source.choice(names)
            small = isinstance(getattr(op.builtinOptions, name), bool) or "ctivation" in name or "adding" in name
            setattr(op.builtinOptions, name, try_value % 2 if small else try_value)
    elif kind == 12:
        choice = source.randrange(5)
        if choice == 0:
            model.operatorCodes[0].builtinCode = source.randrange(150)
        elif choice == 1:
            graph.inputs = [int(graph.outputs[0])]
        elif choice == 2:
            graph.outputs = [source.randrange(count)]
        elif choice == 3:
            graph.inputs = [*map(int, graph.inputs), source.randrange(count)]
        else:
            op.opcodeIndex = source.randrange(len(model.operatorCodes))


def absurd_onnx(content: bytes, seed: int) -> bytes:
    """As `absurd_tflite`, of an ONNX file."""
    import onnx

    source = random.Random(seed)
    model = onnx.ModelProto.FromString(content)
    for _ in range(source.choice((1, 1, 2, 3))):
        _change_onnx(model.graph, source)
    return model.SerializeToString()


def _change_onnx(graph: Any, source: random.Random) -> None:
    node = source.choice(graph.node)
    values = [value for value in (*graph.input, *graph.output) if value.type.tensor_type.shape.dim]
    names = [name for other in graph.node for name in (*other.input, *other.output) if name]
    kind = source.randrange(11)
    if kind == 0 and values:
        dimension = source.choice(source.choice(values).type.tensor_type.shape.dim)
        dimension.dim_value = source.choice((*SIZES, 1 << 40))
    elif kind == 1 and node.attribute:
        attribute = source.choice(node.attribute)
        if attribute.ints:
            attribute.ints[source.randrange(len(attribute.ints))] = source.choice((*SIZES, 1 << 40))
        elif attribute.type == attribute.INT:
            attribute.i = source.choice((*SIZES, 1 << 40))
        elif attribute.type == attribute.FLOAT:
            attribute.f = source.choice(SCALES)
        else:
            attribute.s = b"nonsense\xff\n"
    elif kind == 2 and node.attribute:
        del node.attribute[source.randrange(len(node.attribute))]
    elif kind == 3 and graph.initializer:
        constant = source.choice(graph.initializer)
        if constant.dims:
            constant.dims[source.randrange(len(constant.dims))] = source.choice((*SIZES, 1 << 40))
    elif kind == 4 and graph.initializer:
        source.choice(graph.initializer).data_type = source.choice((1, 2, 3, 5, 6, 7, 9, 10, 11, 0, 99))
    elif kind == 5 and graph.initializer:
        constant = source.choice(graph.initializer)
        if constant.raw_data:
            constant.raw_data = flip_bits(constant.raw_data, source)
    elif kind <= 7 and node.input:
        node.input[source.randrange(len(node.input))] = source.choice((*names, "", "nowhere"))
    elif kind == 8 and node.output:
        node.output[source.randrange(len(node.output))] = source.choice(names)
    elif kind == 9:
        node.op_type = source.choice(graph.node).op_type if source.random() < 0.8 else "Nonsense\n"
    elif len(graph.node) > 1:
        del graph.node[source.randrange(len(graph.node))]

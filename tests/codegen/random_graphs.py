"""Whole random int8 networks: what no test of one operator has, several of them next to each other.

A graph grows operator by operator from one to three inputs. Each takes tensors made before, recent ones more often, so
that it has branches, tensors that live long, the same operand twice and aliases (reshapes) of them; some of its inner
tensors are outputs too. A step whose draw does not fit the tensors there are adds nothing. All draws come from the
seed. Scales are within 2^-9 and 2: LiteRT ends the whole process at multipliers that it cannot represent.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from codegen.one_op import Model, Op, T

Shape = tuple[int, ...]
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17)
"""Of inputs: around the widths of the kernels' inner loops."""
WEIGHTED_VERSION, RESIZE_VERSION, TRANSPOSE_VERSION = 5, 3, 3
FIRST_VERSION = ("EXPAND_DIMS", "SQUEEZE", "RELU_N1_TO_1", "HARD_SWISH", "DEPTH_TO_SPACE", "RESHAPE", "CAST")
LARGEST_TENSOR = 20_000
"""Elements at which a graph stops growing."""
LARGEST_RANK = 5
FUSED = {"ADD": "AddOptions", "MUL": "MulOptions", "SUB": "SubOptions"}


def options(name: str, **members: Any) -> Any:
    """A schema options object, `options("PadOptions")`; a member that it lacks is an error."""
    made = getattr(schema, f"{name}T")()
    for member, value in members.items():
        assert hasattr(made, member), (name, member)
        setattr(made, member, value)
    return made


class Graph:
    """A network that grows: its tensors, operators and inputs, and the activations that the next operator may take."""

    def __init__(self, seed: int):
        self.draw = random.Random(seed)
        self.noise = np.random.default_rng(seed)
        self.tensors: list[T] = []
        self.ops: list[Op] = []
        self.inputs: list[int] = []
        self.live: list[int] = []
        """int8 activations."""
        self.others: list[int] = []
        """Activations of other types, only to be outputs."""

    def tensor(self, *members: Any, **more: Any) -> int:
        self.tensors.append(T(*members, **more))
        return len(self.tensors) - 1

    def constant(self, values: Any, dtype: str = "int32", **more: Any) -> int:
        data = np.asarray(values, dtype)
        return self.tensor(data.shape, dtype, data=data, **more)

    def scale(self, low: float = -6, high: float = 0) -> float:
        return float(np.float32(2.0 ** self.draw.uniform(low, high)))

    def zero(self) -> int:
        return self.draw.choice((-128, 127, 0, self.draw.randint(-128, 127)))

    def activation(self, shape: Sequence[int], scale: float | None = None, zero: int | None = None) -> int:
        """A new int8 activation, with a quantization of its own if none is given."""
        scale = self.scale() if scale is None else scale
        self.live.append(self.tensor(tuple(shape), "int8", scale, self.zero() if zero is None else zero))
        return self.live[-1]

    def like(self, shape: Sequence[int], other: int) -> int:
        """A new int8 activation with the quantization of another."""
        return self.activation(shape, self.tensors[other].scale, self.tensors[other].zero)

    def op(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], made: Any = None, version: int = 2) -> None:
        self.ops.append(Op(kind, list(inputs), list(outputs), made, 1 if kind in FIRST_VERSION else version))

    def pick(self, fits: Callable[[int], bool] = lambda index: True) -> int | None:
        """An int8 activation, most often one of the last; None if none fits."""
        fitting = [index for index in self.live if fits(index)]
        if not fitting:
            return None
        return self.draw.choice(fitting[-4:] if self.draw.random() < 0.6 else fitting)

    def image(self) -> int | None:
        return self.pick(lambda index: len(self.shape(index)) == 4 and self.shape(index)[0] == 1)

    def any(self, rank: int = LARGEST_RANK) -> int | None:
        return self.pick(lambda index: 1 <= len(self.shape(index)) <= rank)

    def shape(self, index: int) -> Shape:
        return self.tensors[index].shape

    def quantized_alike(self, index: int, other: int) -> bool:
        one, two = self.tensors[index], self.tensors[other]
        return (one.scale, one.zero) == (two.scale, two.zero)

    def fused(self) -> int:
        return self.draw.choice((0, 0, 1, 2, 3))


def _ceil(size: int, step: int) -> int:
    return -(-size // step)


def _input(g: Graph) -> None:
    """An int8 input, or one of another type that is quantized first."""
    d = g.draw
    shape = (1, d.randint(1, 7), d.randint(1, 7), d.choice(CHANNELS))
    if d.random() < 0.2:
        shape = d.choice(
            ((d.randint(1, 9),), (1, d.randint(1, 40)), (1, d.randint(1, 9), d.randint(1, 9)), (3, 3, 3, 4))
        )
    made = g.activation(shape)
    dtype = d.choice(("int8", "int8", "uint8", "float32"))
    if dtype == "int8":
        g.inputs.append(made)
        return
    if dtype == "uint8":
        same = d.random() < 0.5
        scale, zero = (g.tensors[made].scale, g.tensors[made].zero + 128) if same else (g.scale(), d.randint(0, 255))
        g.inputs.append(g.tensor(shape, dtype, scale, zero))
    else:
        g.inputs.append(g.tensor(shape, dtype))
    g.op("QUANTIZE", [g.inputs[-1]], [made])


def _convolution(g: Graph) -> None:
    x = g.image()
    if x is None:
        return
    d, (_, height, width, channels) = g.draw, g.shape(x)
    kind = d.choice(("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"))
    kh, kw = d.choice(((1, 1), (3, 3), (3, 3), (d.randint(1, 5), d.randint(1, 5))))
    sh, sw = d.choice(((1, 1), (1, 1), (2, 2), (d.randint(1, 3), d.randint(1, 3))))
    dh, dw = d.choice(((1, 1), (1, 1), (1, 1), (1, 1), (2, 2), (1, 3)))
    if kind == "TRANSPOSE_CONV":
        dh = dw = 1
    elif (dh, dw) != (1, 1):
        sh = sw = 1
    padding = d.choice((SAME, VALID))
    if kind == "TRANSPOSE_CONV":
        made_channels = d.randint(1, 9)
        same = padding == SAME
        rows, columns = (height * sh, width * sw) if same else ((height - 1) * sh + kh, (width - 1) * sw + kw)
    else:
        made_channels = d.randint(1, 12) if kind == "CONV_2D" else channels * d.choice((1, 1, 2, 3))
        cut_h, cut_w = (0, 0) if padding == SAME else ((kh - 1) * dh, (kw - 1) * dw)
        rows, columns = _ceil(height - cut_h, sh), _ceil(width - cut_w, sw)
    if rows < 1 or columns < 1 or rows * columns > 500 or made_channels > 60:
        return
    depthwise = kind == "DEPTHWISE_CONV_2D"
    values = g.noise.integers(-127, 128, (1, kh, kw, made_channels) if depthwise else (made_channels, kh, kw, channels))
    if d.random() < 0.2:
        values[:] = 127
    weights, bias = _weights(g, x, values, made_channels, 3 if depthwise else 0, may_lack=kind != "CONV_2D")
    made = g.activation((1, rows, columns, made_channels), g.scale(-5, 1))
    common = {"strideH": sh, "strideW": sw, "padding": padding}
    if kind == "TRANSPOSE_CONV":
        size = g.constant([1, rows, columns, made_channels])
        g.op(kind, [size, weights, x, *bias], [made], options("TransposeConvOptions", **common), TRANSPOSE_VERSION)
        return
    common |= {"dilationHFactor": dh, "dilationWFactor": dw, "fusedActivationFunction": g.fused()}
    if depthwise:
        made_options = options("DepthwiseConv2DOptions", depthMultiplier=made_channels // channels, **common)
    else:
        made_options = options("Conv2DOptions", **common)
    g.op(kind, [x, weights, *bias], [made], made_options, WEIGHTED_VERSION)


def _weights(
    g: Graph, x: int, values: np.ndarray, channels: int, axis: int, *, may_lack: bool = True
) -> tuple[int, list[int]]:
    """(weights with one scale or one for each channel, the bias or nothing)."""
    scales = np.exp2(g.noise.uniform(-9, -4, channels if g.draw.random() < 0.7 else 1)).astype(np.float32)
    weights = g.constant(values, "int8", scale=scales, axis=axis)
    if may_lack and g.draw.random() < 0.25:
        return weights, []
    largest = g.draw.choice((1000, 30_000, 1 << 28))
    bias = g.noise.integers(-largest, largest, channels)
    return weights, [g.constant(bias, scale=scales * np.float32(g.tensors[x].scale))]


def _fully_connected(g: Graph) -> None:
    x = g.any()
    if x is None:
        return
    d, shape = g.draw, g.shape(x)
    size = prod(shape)
    depth = shape[-1] if d.random() < 0.7 or size > 300 else size
    made_depth = d.randint(1, 9)
    weights, bias = _weights(g, x, g.noise.integers(-127, 128, (made_depth, depth)), made_depth, 0)
    keep = depth == shape[-1] and d.random() < 0.5
    made = g.activation((*shape[:-1], made_depth) if keep else (size // depth, made_depth), g.scale(-5, 1))
    made_options = options("FullyConnectedOptions", fusedActivationFunction=g.fused(), keepNumDims=keep)
    g.op("FULLY_CONNECTED", [x, weights, *bias], [made], made_options, WEIGHTED_VERSION)


def _binary(g: Graph) -> None:
    """With itself, a tensor of its shape, a constant, or a tensor to broadcast."""
    x = g.any()
    if x is None:
        return
    d, shape, own = g.draw, g.shape(x), g.tensors[x]
    kind = d.choice(("ADD", "ADD", "MUL", "SUB", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"))
    alike = kind in ("MAXIMUM", "MINIMUM")
    second = d.choice(("itself", "alike", "alike", "constant", "broadcast"))
    if second == "itself":
        y = x
    elif second == "constant":
        scale, zero = (own.scale, own.zero) if alike else (g.scale(), g.zero())
        small = tuple(size if d.random() < 0.5 else 1 for size in shape)
        y = g.constant(g.noise.integers(-128, 128, small), "int8", scale=scale, zero=zero)
    else:
        fitting = [index for index in g.live if not alike or g.quantized_alike(index, x)]
        broadcast = second == "broadcast"
        y = d.choice([i for i in fitting if g.shape(i) == shape or (broadcast and _broadcasts(g.shape(i), shape))])
    out = np.broadcast_shapes(shape, g.shape(y))
    if len(out) > (4 if kind in ("SUB", "SQUARED_DIFFERENCE") else LARGEST_RANK):
        return
    made = g.like(out, x) if alike else g.activation(out, g.scale(-4, 1))
    made_options = options(FUSED[kind], fusedActivationFunction=g.fused()) if kind in FUSED else None
    g.op(kind, d.choice(([x, y], [y, x])), [made], made_options)


def _broadcasts(one: Shape, two: Shape) -> bool:
    return all(a == b or 1 in (a, b) for a, b in zip(one[::-1], two[::-1], strict=False))


def _pool(g: Graph) -> None:
    x = g.image()
    if x is None:
        return
    d, (_, height, width, channels) = g.draw, g.shape(x)
    kh, kw, stride, padding = d.randint(1, 3), d.randint(1, 3), d.randint(1, 3), d.choice((SAME, VALID))
    cut_h, cut_w = (0, 0) if padding == SAME else (kh - 1, kw - 1)
    rows, columns = _ceil(height - cut_h, stride), _ceil(width - cut_w, stride)
    if rows < 1 or columns < 1:
        return
    sizes = {"filterHeight": kh, "filterWidth": kw, "strideH": stride, "strideW": stride}
    made_options = options("Pool2DOptions", padding=padding, fusedActivationFunction=g.fused(), **sizes)
    g.op(d.choice(("MAX_POOL_2D", "AVERAGE_POOL_2D")), [x], [g.like((1, rows, columns, channels), x)], made_options)


TABLES = ("LOGISTIC", "TANH", "RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "HARD_SWISH", "ABS", "GELU", "QUANTIZE")


def _table(g: Graph) -> None:
    """One to three operators of one value each, one after another."""
    x = g.any()
    for _ in range(g.draw.choice((1, 1, 2, 3))):
        if x is not None:
            x = _one_table(g, x, g.draw.choice(TABLES))


def _one_table(g: Graph, x: int, kind: str) -> int:
    if kind in ("LOGISTIC", "SOFTMAX"):
        made, made_options = g.activation(g.shape(x), 1 / 256, -128), None
    elif kind == "TANH":
        made, made_options = g.activation(g.shape(x), 1 / 128, 0), None
    elif kind == "QUANTIZE" and g.draw.random() < 0.5:
        made, made_options = g.like(g.shape(x), x), None
    else:
        made, made_options = g.activation(g.shape(x)), None
    if kind == "SOFTMAX":
        made_options = options("SoftmaxOptions", beta=1.0)
    elif kind == "LEAKY_RELU":
        made_options = options("LeakyReluOptions", alpha=float(np.float32(g.draw.uniform(-0.5, 1.5))))
    elif kind == "GELU":
        made_options = options("GeluOptions")
    g.op(kind, [x], [made], made_options)
    return made


def _softmax(g: Graph) -> None:
    x = g.any()
    if x is not None:
        _one_table(g, x, "SOFTMAX")


def _silu(g: Graph) -> None:
    x = g.any()
    if x is not None:
        gate = _one_table(g, x, "LOGISTIC")
        g.op("MUL", g.draw.choice(([x, gate], [gate, x])), [g.activation(g.shape(x))], options("MulOptions"))


def _tail(g: Graph) -> None:
    """An output of another type."""
    x = g.any()
    if x is None:
        return
    shape, kind = g.shape(x), g.draw.choice(("DEQUANTIZE", "ARG_MAX", "QUANTIZE"))
    if kind == "ARG_MAX":
        axis = g.draw.randrange(len(shape))
        dtype, number = g.draw.choice((("int32", schema.TensorType.INT32), ("int64", schema.TensorType.INT64)))
        made = g.tensor(shape[:axis] + shape[axis + 1 :], dtype)
        g.op(kind, [x, g.constant(axis)], [made], options("ArgMaxOptions", outputType=number))
    else:
        made = g.tensor(shape, "float32") if kind == "DEQUANTIZE" else g.tensor(shape, "uint8", g.scale(), 128)
        g.op(kind, [x], [made])
    g.others.append(made)


def _replaced(shape: Shape, axis: int, *sizes: int) -> Shape:
    """The shape with the size at an axis replaced by others, or by none."""
    return (*shape[:axis], *sizes, *shape[axis + 1 :])


def _move(g: Graph) -> None:
    """One operator that makes a tensor of an int8 tensor's own values."""
    kind = g.draw.choice(
        ("RESHAPE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "TILE")
    )
    x = g.any(LARGEST_RANK if kind in ("RESHAPE", "SQUEEZE", "TRANSPOSE", "TILE") else LARGEST_RANK - 1)
    if x is None:
        return
    d, shape, made_options = g.draw, g.shape(x), None
    if kind == "RESHAPE":
        made = d.choice(_reshapes(d, shape))
        more, made_options = [list(made)], options("ReshapeOptions", newShape=list(made))
    elif kind == "SQUEEZE":
        ones = [axis for axis, size in enumerate(shape) if size == 1]
        if not ones or len(shape) == 1:
            return
        axis = d.choice(ones)
        made, more, made_options = _replaced(shape, axis), [], options("SqueezeOptions", squeezeDims=[axis])
    elif kind == "EXPAND_DIMS":
        axis = d.randint(0, len(shape))
        made, more = (*shape[:axis], 1, *shape[axis:]), [axis]
    elif kind == "TRANSPOSE":
        order = d.sample(range(len(shape)), len(shape))
        made, more = tuple(shape[axis] for axis in order), [order]
    elif kind == "TILE":
        times = [d.choice((1, 1, 2)) for _ in shape]
        made, more = tuple(size * n for size, n in zip(shape, times, strict=True)), [times]
    else:
        begin = [d.randrange(size) for size in shape]
        made = tuple(d.randint(1, size - first) for first, size in zip(begin, shape, strict=True))
        more = [begin, list(made)]
        if kind == "STRIDED_SLICE":
            steps = [d.choice((1, 1, 2, -1)) for _ in shape]
            ends = [first + n if step > 0 else first - n for first, n, step in zip(begin, made, steps, strict=True)]
            ends = [end if end >= 0 else -size - 1 for end, size in zip(ends, shape, strict=True)]
            picks = [slice(*three).indices(n) for *three, n in zip(begin, ends, steps, shape, strict=True)]
            made = tuple(len(range(*pick)) for pick in picks)
            more, made_options = [begin, ends, steps], options("StridedSliceOptions")
    g.op(kind, [x, *map(g.constant, more)], [g.like(made, x)], made_options)


def _reshapes(d: random.Random, shape: Shape) -> list[Shape]:
    count = prod(shape)
    one = d.choice([n for n in range(1, count + 1) if count % n == 0])
    rest = count // one
    two = d.choice([n for n in range(1, rest + 1) if rest % n == 0])
    return [(count,), (1, count), (1, one, two, rest // two), (one, rest), (1, one, rest), shape[::-1]]


def _image_move(g: Graph) -> None:
    x = g.image()
    if x is None:
        return
    d, (_, height, width, channels) = g.draw, g.shape(x)
    kinds = ["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"]
    kinds += ["SPACE_TO_DEPTH"] * 2 if height % 2 == width % 2 == 0 else []
    kinds += ["DEPTH_TO_SPACE"] * 2 if channels % 4 == 0 else []
    kind = d.choice(kinds)
    if kind.startswith("RESIZE"):
        rows, columns = d.choice(((2 * height, 2 * width), (d.randint(1, 9), d.randint(1, 9))))
        corners, centers = d.choice(((False, False), (True, False), (False, True)))
        name = "ResizeBilinearOptions" if kind == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
        made_options = options(name, alignCorners=corners, halfPixelCenters=centers)
        made = g.like((1, rows, columns, channels), x)
        g.op(kind, [x, g.constant([rows, columns])], [made], made_options, RESIZE_VERSION)
    elif kind == "SPACE_TO_DEPTH":
        made = g.like((1, height // 2, width // 2, 4 * channels), x)
        g.op(kind, [x], [made], options("SpaceToDepthOptions", blockSize=2))
    else:
        made = g.like((1, 2 * height, 2 * width, channels // 4), x)
        g.op(kind, [x], [made], options("DepthToSpaceOptions", blockSize=2))


def _pad(g: Graph) -> None:
    """Alone, or of an image before the pool or convolution that alone reads it, mostly."""
    before = g.draw.random() < 0.5
    x = g.image() if before else g.any(4)
    if x is None:
        return
    d, shape = g.draw, g.shape(x)
    kind = "PAD" if before else d.choice(("PAD", "PADV2", "MIRROR_PAD"))
    mirror = d.choice((0, 1))
    most = [min(2, size - 1 + mirror) if kind == "MIRROR_PAD" else 2 for size in shape]
    pads = [(d.randint(0, size), d.randint(0, size)) for size in most]
    if before:
        pads[0] = pads[3] = (0, 0)
    made = g.like([size + sum(pad) for size, pad in zip(shape, pads, strict=True)], x)
    more = [g.constant(pads)]
    if kind == "PADV2":
        own = g.tensors[x]
        more.append(g.constant([d.choice((-128, 5, own.zero))], "int8", scale=own.scale, zero=own.zero))
    g.op(kind, [x, *more], [made], options("MirrorPadOptions", mode=mirror) if kind == "MIRROR_PAD" else None)
    if before:
        rest, g.live = g.live[:-1], [made]
        d.choice((_convolution, _convolution, _pool))(g)
        g.live = rest + (g.live[1:] if d.random() < 0.7 else g.live)


def _join(g: Graph) -> None:
    """One tensor of several, some of them perhaps the same one, or constant."""
    x = g.any(LARGEST_RANK - 1)
    if x is None:
        return
    d, shape = g.draw, g.shape(x)
    alike = [index for index in g.live if g.quantized_alike(index, x) and len(g.shape(index)) == len(shape)]
    if d.random() < 0.3:
        axis = d.randint(0, len(shape))
        parts = d.choices([index for index in alike if g.shape(index) == shape], k=d.randint(1, 3))
        made = g.like((*shape[:axis], len(parts), *shape[axis:]), x)
        g.op("PACK", parts, [made], options("PackOptions", axis=axis, valuesCount=len(parts)))
        return
    axis = d.randrange(len(shape))
    fitting = [index for index in alike if _replaced(g.shape(index), axis) == _replaced(shape, axis)]
    parts = d.choices(fitting, k=d.randint(1, 4))
    if d.random() < 0.2:
        own = g.tensors[x]
        values = g.noise.integers(-128, 128, shape)
        parts.insert(d.randint(0, len(parts)), g.constant(values, "int8", scale=own.scale, zero=own.zero))
    made = g.like(_replaced(shape, axis, sum(g.shape(index)[axis] for index in parts)), x)
    g.op("CONCATENATION", parts, [made], options("ConcatenationOptions", axis=d.choice((axis, axis - len(shape)))))


def _part(g: Graph) -> None:
    """Several tensors of one."""
    x = g.any()
    if x is None:
        return
    d, shape, kind = g.draw, g.shape(x), g.draw.choice(("SPLIT", "SPLIT_V", "UNPACK"))
    axis = d.randrange(len(shape))
    size = shape[axis]
    if kind == "UNPACK" and size <= 5 and len(shape) > 1:
        parts = [g.like(_replaced(shape, axis), x) for _ in range(size)]
        g.op(kind, [x], parts, options("UnpackOptions", axis=axis, num=size))
    elif kind == "SPLIT":
        count = d.choice([n for n in range(1, 5) if size % n == 0])
        parts = [g.like(_replaced(shape, axis, size // count), x) for _ in range(count)]
        g.op(kind, [g.constant(axis), x], parts, options("SplitOptions", numSplits=count))
    elif kind == "SPLIT_V" and size > 1:
        sizes = [first := d.randint(1, size - 1), size - first]
        parts = [g.like(_replaced(shape, axis, part), x) for part in sizes]
        g.op(kind, [x, g.constant(sizes), g.constant(axis)], parts, options("SplitVOptions", numSplits=2))


def _resized(g: Graph) -> None:
    """Fewer or more values along some axes: MEAN, REDUCE_MAX, GATHER or BROADCAST_TO."""
    x = g.any(LARGEST_RANK - 1)
    if x is None:
        return
    d, shape, kind = g.draw, g.shape(x), g.draw.choice(("MEAN", "REDUCE_MAX", "GATHER", "BROADCAST_TO"))
    axis, made_options = d.randrange(len(shape)), None
    if kind == "GATHER":
        more = [d.randrange(shape[axis]) for _ in range(d.randint(1, 4))]
        made, made_options = _replaced(shape, axis, len(more)), options("GatherOptions", axis=axis)
    elif kind == "BROADCAST_TO":
        more = [size if size > 1 else d.randint(1, 3) for size in shape]
        made = tuple(more)
    else:
        more, keep = d.sample(range(len(shape)), d.randint(1, len(shape))), d.random() < 0.5
        made = tuple(1 if at in more else n for at, n in enumerate(shape) if keep or at not in more)
        made_options = options("ReducerOptions", keepDims=keep)
    if made:
        own = kind == "MEAN" and d.random() < 0.5
        g.op(kind, [x, g.constant(more)], [g.activation(made) if own else g.like(made, x)], made_options)


STEPS = (
    *(_convolution, _convolution, _fully_connected, _binary, _binary, _pool, _table, _softmax, _silu),
    *(_move, _move, _image_move, _pad, _join, _part, _resized, _tail),
)


def random_graph(seed: int) -> Model:
    """A network of one to about 20 operators, always the same for one seed; its outputs are in any order."""
    g = Graph(seed)
    d = g.draw
    for _ in range(d.choice((1, 1, 1, 2, 3))):
        _input(g)
    steps = d.randint(1, 14)
    while steps > 0 or not g.ops:
        if max(prod(g.shape(index)) for index in g.live) > LARGEST_TENSOR:
            break
        d.choice(STEPS)(g)
        steps -= 1
    made = [index for op in g.ops for index in op.outputs]
    outputs = {d.choice(made[-3:]), *d.choices(made, k=d.choice((0, 0, 1, 2))), *g.others[:2]}
    if d.random() < 0.2:
        outputs.add(d.choice(g.inputs))
    return Model(g.tensors, g.ops, g.inputs, d.sample(sorted(outputs), len(outputs)))

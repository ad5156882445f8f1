"""Operators that move elements: parameters and C kernels against LiteRT's reference kernels, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from codegen.kernel_driver import Driver, run_calls, run_overlapped
from codegen.one_op import Model, Op, T, build
from codegen.run_c import needs_cc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stm32pose.codegen.lower import LOWERINGS
from stm32pose.codegen.network import NotExportable
from stm32pose.codegen.read_tflite import parse_tflite
from stm32pose.codegen.reference import run_reference
from stm32pose.codegen.targets import TARGETS

pytestmark = needs_cc
DTYPES = ("int8", "uint8", "int32", "float32", "int64", "bool")
QUANTIZED = {"int8": (0.5, 3), "uint8": (0.5, 3)}
VERSIONS = {"DEPTH_TO_SPACE": 1, "RESHAPE": 1, "EXPAND_DIMS": 1}
MARK = T((1,), "int8", 1.0, name="mark")
"""What makes a network of other types an int8 one for the reader."""


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver(("kernels_movement", "kernels_gather", "kernels_arg")) as made:
        yield made


def examples(count: int = 60):
    return settings(
        max_examples=count, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )


def noise(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    if dtype == "float32":
        return random.standard_normal(shape).astype(np.float32)
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def tensor(shape: tuple[int, ...], dtype: str, data: np.ndarray | None = None) -> T:
    scale, zero = QUANTIZED.get(dtype, (None, 0))
    return T(tuple(shape), dtype, scale, zero, data=data)


def whole(values: object) -> T:
    data = np.asarray(values, np.int32)
    return T(data.shape, "int32", data=data)


def check(driver: Driver, kind: str, inputs: list[T], outputs: list[T], options: object = None, seed: int = 0) -> None:
    """One operator: all outputs equal LiteRT's, with memory apart and with the overlaps that the leads allow.

    Inputs without data are the network's, filled with noise; `data` may come with `name` 'given' to be fed instead.
    """
    fed = {place: item.data for place, item in enumerate(inputs) if item.name == "given"}
    operands = [
        T(i.shape, i.dtype, i.scale, i.zero, i.axis, None if n in fed else i.data) for n, i in enumerate(inputs)
    ]
    active = [place for place, item in enumerate(operands) if item.data is None]
    for place in active:
        if place not in fed:
            fed[place] = noise(operands[place].shape, operands[place].dtype, seed + place)
    made = list(range(len(operands), len(operands) + len(outputs)))
    op = Op(kind, list(range(len(operands))), made, options, version=VERSIONS.get(kind, 2))
    content = build(Model([*operands, *outputs, MARK], [op], active, made))
    expected = run_reference(content, [fed[place] for place in active])
    network = parse_tflite(content, Path("one.tflite"))
    operator = network.operators[0]
    calls = LOWERINGS[operator.kind](operator, network, TARGETS["host"])
    memory = {place: np.ascontiguousarray(fed[place]).tobytes() for place in active}
    memory |= {place: bytes([0xA5]) * network.tensors[place].bytes for place in made}
    after = run_calls(driver, calls, memory)
    for place, values in zip(made, expected, strict=True):
        assert network.tensors[place].shape == values.shape
        assert after[place] == values.tobytes(), (kind, network.tensors[place])
    for call in calls:
        # a block that only part of is written by this call is compared where it is written
        alone = run_calls(driver, [call], memory)[call.outputs[0]]
        inverse = run_calls(driver, [call], memory | {call.outputs[0]: bytes([0x5A]) * len(alone)})[call.outputs[0]]
        for position, lead in enumerate(call.leads):
            if lead is not None:
                found = run_overlapped(driver, call, position, memory)
                assert all(f == a for f, a, i in zip(found, alone, inverse, strict=True) if a == i), (kind, lead)


shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)
dtypes = st.sampled_from(DTYPES)


@examples()
@given(shapes, dtypes, st.data())
def test_transpose(driver: Driver, shape, dtype, data) -> None:
    perm = data.draw(st.permutations(range(len(shape))))
    check(driver, "TRANSPOSE", [tensor(shape, dtype), whole(perm)], [tensor([shape[i] for i in perm], dtype)])


@examples()
@given(shapes, dtypes, st.data())
def test_slice(driver: Driver, shape, dtype, data) -> None:
    begin = [data.draw(st.integers(0, size - 1)) for size in shape]
    sizes = [data.draw(st.integers(1, size - first)) for size, first in zip(shape, begin, strict=True)]
    check(driver, "SLICE", [tensor(shape, dtype), whole(begin), whole(sizes)], [tensor(sizes, dtype)])


@examples(100)
@given(shapes, dtypes, st.data())
def test_strided_slice(driver: Driver, shape, dtype, data) -> None:
    begin, end, strides, made = [], [], [], []
    shrink = opened = 0
    for axis, size in enumerate(shape):
        kept = data.draw(st.permutations(range(size)))
        first, stride = kept[0], data.draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
        if data.draw(st.integers(0, 3)) == 0:
            shrink |= 1 << axis
            opened |= int(data.draw(st.booleans())) << axis
            begin, end, strides = [*begin, first], [*end, first + 1], [*strides, 1]
            continue
        count = data.draw(
            st.integers(1, max(1, (size - 1 - first) // stride + 1 if stride > 0 else first // -stride + 1))
        )
        last = first + count * stride
        begin, strides, made = [*begin, first], [*strides, stride], [*made, count]
        # a negative end counts from the back: one that stands before the first element is written as -size - 1
        end.append(last if last >= 0 else -size - 1)
    options = schema.StridedSliceOptionsT()
    options.shrinkAxisMask = shrink
    options.beginMask = opened
    operands = [tensor(shape, dtype), whole(begin), whole(end), whole(strides)]
    check(driver, "STRIDED_SLICE", operands, [tensor(made, dtype)], options)


@examples()
@given(shapes, dtypes, st.data())
def test_concatenation(driver: Driver, shape, dtype, data) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    constant = data.draw(st.integers(-1, len(lengths) - 1)) if len(lengths) > 1 else -1
    inputs = []
    for place, length in enumerate(lengths):
        part = list(shape)
        part[axis] = length
        inputs.append(tensor(tuple(part), dtype, noise(tuple(part), dtype, 9) if place == constant else None))
    joined = list(shape)
    joined[axis] = sum(lengths)
    options = schema.ConcatenationOptionsT()
    options.axis = axis
    check(driver, "CONCATENATION", inputs, [tensor(joined, dtype)], options)


@examples(80)
@given(
    st.lists(st.tuples(st.floats(0.00390625, 2.0, width=32), st.integers(0, 255)), min_size=2, max_size=4),
    st.integers(1, 4),
    st.booleans(),
)
def test_concatenation_of_uint8_rescales(driver: Driver, quantization, inner, constant) -> None:
    """uint8 of different scales; all 256 values of each operand, halves among the results."""
    shape = (256, inner)
    every = np.repeat(np.arange(256, dtype=np.uint8)[:, None], inner, axis=1)
    *parts, made = quantization
    inputs = [T(shape, "uint8", scale, zero, data=every, name="given") for scale, zero in parts]
    if constant and len(inputs) > 1:
        inputs[0] = T(shape, "uint8", *parts[0], data=every)
    options = schema.ConcatenationOptionsT()
    options.axis = 1
    output = T((256, inner * len(parts)), "uint8", *made)
    check(driver, "CONCATENATION", inputs, [output], options)


def test_concatenation_of_int8_of_other_scales_is_refused_as_litert_does(driver: Driver) -> None:
    options = schema.ConcatenationOptionsT()
    options.axis = 1
    tensors = [T((1, 2), "int8", 0.5, 0), T((1, 2), "int8", 0.25, 0), T((1, 4), "int8", 0.5, 0)]
    content = build(Model(tensors, [Op("CONCATENATION", [0, 1], [2], options)], [0, 1], [2]))
    network = parse_tflite(content, Path("one.tflite"))
    with pytest.raises(NotExportable, match="different scales"):
        LOWERINGS["CONCATENATION"](network.operators[0], network, TARGETS["host"])


@examples()
@given(shapes, st.sampled_from(("int8", "uint8", "int32", "float32", "int64")), st.data())
def test_pack_and_unpack(driver: Driver, shape, dtype, data) -> None:
    count = data.draw(st.integers(1, 5))
    axis = data.draw(st.integers(0, len(shape)))
    packed = (*shape[:axis], count, *shape[axis:])
    options = schema.PackOptionsT()
    options.axis, options.valuesCount = axis, count
    inputs = [tensor(shape, dtype, noise(shape, dtype, 5) if n == 1 else None) for n in range(count)]
    check(driver, "PACK", inputs, [tensor(packed, dtype)], options)
    if dtype == "int64":  # LiteRT's UNPACK does not know it
        return
    options = schema.UnpackOptionsT()
    options.axis, options.num = axis, count
    check(driver, "UNPACK", [tensor(packed, dtype)], [tensor(shape, dtype)] * count, options)


@examples()
@given(shapes, st.sampled_from(("int8", "uint8", "int32", "float32")), st.data())
def test_split(driver: Driver, shape, dtype, data) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    lengths = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))

    def part(length: int) -> tuple[int, ...]:
        return (*shape[:axis], length, *shape[axis + 1 :])

    options = schema.SplitVOptionsT()
    options.numSplits = len(lengths)
    operands = [tensor(part(sum(lengths)), dtype), whole(lengths), whole([axis])]
    check(driver, "SPLIT_V", operands, [tensor(part(length), dtype) for length in lengths], options)
    options = schema.SplitOptionsT()
    options.numSplits = len(lengths)
    operands = [whole([axis]), tensor(part(len(lengths) * lengths[0]), dtype)]
    check(driver, "SPLIT", operands, [tensor(part(lengths[0]), dtype) for _ in lengths], options)


@examples(80)
@given(shapes, st.sampled_from(("int8", "uint8", "int32", "float32", "int64")), st.booleans(), st.data())
def test_pad(driver: Driver, shape, dtype, given_value, data) -> None:
    pairs = [(data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))) for _ in shape]
    padded = [a + n + b for n, (a, b) in zip(shape, pairs, strict=True)]
    operands = [tensor(shape, dtype), whole(pairs)]
    if given_value:
        scale, zero = QUANTIZED.get(dtype, (None, 0))
        operands.append(T((1,), dtype, scale, zero, data=noise((1,), dtype, 3)))
    check(driver, "PADV2" if given_value else "PAD", operands, [tensor(padded, dtype)])


@examples(80)
@given(shapes, st.sampled_from(("int8", "uint8", "int32", "float32", "int64")), st.booleans(), st.data())
def test_mirror_pad(driver: Driver, shape, dtype, symmetric, data) -> None:
    most = [size - (0 if symmetric else 1) for size in shape]
    pairs = [(data.draw(st.integers(0, n)), data.draw(st.integers(0, n))) for n in most]
    padded = [a + n + b for n, (a, b) in zip(shape, pairs, strict=True)]
    options = schema.MirrorPadOptionsT()
    options.mode = int(symmetric)
    check(driver, "MIRROR_PAD", [tensor(shape, dtype), whole(pairs)], [tensor(padded, dtype)], options)


@examples()
@given(shapes, dtypes, st.data())
def test_tile_and_broadcast(driver: Driver, shape, dtype, data) -> None:
    times = [data.draw(st.integers(1, 3)) for _ in shape]
    made = [a * b for a, b in zip(shape, times, strict=True)]
    check(driver, "TILE", [tensor(shape, dtype), whole(times)], [tensor(made, dtype)])
    narrow = tuple(size if data.draw(st.booleans()) else 1 for size in shape)
    narrow = narrow[data.draw(st.integers(0, len(shape) - 1)) :]
    check(driver, "BROADCAST_TO", [tensor(narrow, dtype), whole(shape)], [tensor(shape, dtype)])


@examples()
@given(
    st.tuples(*[st.integers(1, 4)] * 4),
    st.integers(1, 3),
    st.sampled_from(("int8", "uint8", "int32", "float32", "int64")),
)
def test_blocks(driver: Driver, shape, block, dtype) -> None:
    batch, rows, columns, channels = shape
    wide = (batch, rows * block, columns * block, channels)
    deep = (batch, rows, columns, channels * block * block)
    options = schema.SpaceToDepthOptionsT()
    options.blockSize = block
    check(driver, "SPACE_TO_DEPTH", [tensor(wide, dtype)], [tensor(deep, dtype)], options)
    options = schema.DepthToSpaceOptionsT()
    options.blockSize = block
    check(driver, "DEPTH_TO_SPACE", [tensor(deep, dtype)], [tensor(wide, dtype)], options)


@examples(30)
@given(shapes, dtypes)
def test_copies(driver: Driver, shape, dtype) -> None:
    flat = (prod(shape),)
    check(driver, "RESHAPE", [tensor(shape, dtype), whole(flat)], [tensor(flat, dtype)])
    check(driver, "EXPAND_DIMS", [tensor(shape, dtype), whole([0])], [tensor((1, *shape), dtype)])


@examples(80)
@given(shapes, st.sampled_from(("int8", "uint8", "int32", "float32", "int64", "bool")), st.data())
def test_gather(driver: Driver, shape, dtype, data) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    batch_dims = data.draw(st.integers(0, axis))
    kind = data.draw(st.sampled_from(("int32", "int64")))
    picked = (*shape[:batch_dims], *data.draw(st.lists(st.integers(1, 4), max_size=2)))
    random = np.random.default_rng(prod(shape))
    indices = T(picked, kind, data=random.integers(0, shape[axis], picked).astype(kind))
    indices.name = "given" if data.draw(st.booleans()) else ""
    constant = bool(indices.name) and data.draw(st.booleans())
    options = schema.GatherOptionsT()
    options.axis, options.batchDims = axis, batch_dims
    made = (*shape[:axis], *picked[batch_dims:], *shape[axis + 1 :])
    source = tensor(shape, dtype, noise(shape, dtype, 4) if constant else None)
    check(driver, "GATHER", [source, indices], [tensor(made, dtype)], options)


@examples(80)
@given(shapes, st.sampled_from(("int8", "uint8", "int32", "float32", "int64", "bool")), st.data())
def test_gather_nd(driver: Driver, shape, dtype, data) -> None:
    depth = data.draw(st.integers(1, len(shape)))
    points = tuple(data.draw(st.lists(st.integers(1, 4), max_size=2)))
    kind = data.draw(st.sampled_from(("int32", "int64")))
    random = np.random.default_rng(prod(shape))
    values = np.stack([random.integers(0, shape[axis], points) for axis in range(depth)], axis=-1).astype(kind)
    indices = T(values.shape, kind, data=values, name="given" if data.draw(st.booleans()) else "")
    constant = bool(indices.name) and data.draw(st.booleans())
    source = tensor(shape, dtype, noise(shape, dtype, 4) if constant else None)
    check(driver, "GATHER_ND", [source, indices], [tensor((*points, *shape[depth:]), dtype)])


@examples(100)
@given(shapes, st.sampled_from(("int8", "uint8", "int32", "float32", "bool")), st.booleans(), st.booleans(), st.data())
def test_arg(driver: Driver, shape, dtype, smallest, wide, data) -> None:
    """Many equal values: the first of them counts."""
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    values = noise(shape, dtype, prod(shape))
    if dtype != "bool" and data.draw(st.booleans()):
        values = np.random.default_rng(1).integers(-1 if dtype != "uint8" else 0, 2, shape).astype(dtype)
    if dtype == "float32" and data.draw(st.booleans()):
        values[np.random.default_rng(2).random(shape) < 0.2] = np.nan
    source = tensor(shape, dtype, values)
    source.name = "given"
    kind = "ARG_MIN" if smallest else "ARG_MAX"
    made = [size for place, size in enumerate(shape) if place != axis % len(shape)]
    options = schema.ArgMinOptionsT() if smallest else schema.ArgMaxOptionsT()
    options.outputType = schema.TensorType.INT64 if wide else schema.TensorType.INT32
    check(driver, kind, [source, whole([axis])], [T(tuple(made), "int64" if wide else "int32")], options)

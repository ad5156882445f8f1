"""RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR against LiteRT's reference kernels, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from codegen.kernel_driver import Driver, run_calls
from codegen.one_op import T
from codegen.op_check import check, compare, examples, noise, onnx_calls, quantized, real, stored, zero_points
from codegen.run_c import needs_cc
from hypothesis import given
from hypothesis import strategies as st

pytestmark = needs_cc
MODES = {"plain": (False, False), "corners": (True, False), "centers": (False, True)}
sizes = st.integers(1, 9)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver(("kernels_resize",)) as made:
        yield made


def run(driver, kind, shape, out, mode, dtype="int8", zero=3, seed=0):
    name = "ResizeBilinearOptionsT" if kind == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptionsT"
    options = getattr(schema, name)()
    options.alignCorners, options.halfPixelCenters = MODES[mode]
    scale = 0.1 if dtype in ("int8", "uint8") else None
    inputs = [T(shape, dtype, scale, zero), T((2,), "int32", data=np.array(out, np.int32))]
    version = 3 if kind == "RESIZE_BILINEAR" else 2
    made = T((1, *out, shape[3]), dtype, scale, zero)
    return check(driver, kind, inputs, made, options, seed=seed, version=version)


@examples(100)
@given(sizes, sizes, sizes, sizes, st.sampled_from([1, 3, 4, 6, 9]), st.sampled_from(sorted(MODES)), zero_points)
def test_bilinear(driver, height, width, rows, columns, channels, mode, zero) -> None:
    run(driver, "RESIZE_BILINEAR", (1, height, width, channels), (rows, columns), mode, zero=zero)


@examples(40)
@given(sizes, sizes, st.sampled_from([1, 3, 4, 8, 13]), st.integers(0, 99))
def test_doubled(driver, height, width, channels, seed) -> None:
    """The kernel for twice the size, which works on corners where four pixels meet."""
    shape, out = (1, height, width, channels), (2 * height, 2 * width)
    (call,) = run(driver, "RESIZE_BILINEAR", shape, out, "centers", seed=seed)
    assert call.function == "resize_double_int8"


def test_doubled_of_all_halves(driver) -> None:
    """Sums that end in a half, above and below zero."""
    row = np.array([-128, 127, -2, -1, 0, 1, 2, 3, -5, 6, -7, 0, 0, 1], np.int8)
    values = (row[:, None] // 2 + row[None, :] // 2).astype(np.int8)[None, :, :, None].repeat(5, axis=3)
    options = schema.ResizeBilinearOptionsT()
    options.halfPixelCenters = True
    inputs = [T(values.shape, "int8", 0.1, 0), T((2,), "int32", data=np.array([28, 28], np.int32))]
    check(driver, "RESIZE_BILINEAR", inputs, T((1, 28, 28, 5), "int8", 0.1, 0), options, fed=[values], version=3)


@examples(60)
@given(
    sizes, sizes, sizes, sizes, st.sampled_from([1, 3, 4, 17, 32]), st.sampled_from(sorted(MODES)),
    st.sampled_from(["int8", "int8", "uint8", "float32"]),
)  # fmt: skip
def test_nearest(driver, height, width, rows, columns, channels, mode, dtype) -> None:
    run(driver, "RESIZE_NEAREST_NEIGHBOR", (1, height, width, channels), (rows, columns), mode, dtype)


def test_nearest_doubled(driver) -> None:
    for mode in MODES:
        run(driver, "RESIZE_NEAREST_NEIGHBOR", (1, 6, 5, 20), (12, 10), mode)


@examples(20)
@given(sizes, sizes, sizes, sizes, zero_points)
def test_bilinear_in_float(driver, height, width, rows, columns, zero) -> None:
    tensor, output = quantized((1, height, width, 3), 0.07, -5), quantized((1, rows, columns, 3), 0.05, zero)
    values = noise(tensor.shape, "int8", 4)
    calls = onnx_calls("RESIZE_BILINEAR", [tensor], output, {})
    x = real(values, tensor).astype(np.float64)
    for axis, size, out in ((1, height, rows), (2, width, columns)):
        places = np.clip((np.arange(out) + 0.5) * size / out - 0.5, 0, size - 1)
        first = np.minimum(places.astype(int), size - 1)
        second = np.minimum(first + 1, size - 1)
        shape = [1, 1, 1, 1]
        shape[axis] = out
        weight = (places - first).reshape(shape)
        x = np.take(x, first, axis) * (1 - weight) + np.take(x, second, axis) * weight
    memory = {0: values.tobytes(), 1: bytes(output.bytes)}
    found = np.frombuffer(run_calls(driver, calls, memory)[1], np.int8).reshape(output.shape)
    compare(driver, calls, memory, {1: found})
    assert np.abs(found.astype(int) - stored(x, output)).max() <= 1
    assert np.mean(found != stored(x, output)) < 0.1

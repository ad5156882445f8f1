"""One arithmetic operator at a time: its calls in C against LiteRT's reference kernels, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from codegen.kernel_driver import Driver, run_calls, run_overlapped
from codegen.one_op import Model, Op, T, build
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from stm32pose.codegen.lower import LOWERINGS
from stm32pose.codegen.network import Network, Operator, Tensor
from stm32pose.codegen.program import Call
from stm32pose.codegen.read_tflite import parse_tflite
from stm32pose.codegen.reference import run_reference
from stm32pose.codegen.targets import TARGETS

MARK = T((1,), "int8", 1.0, name="mark")
"""What makes a network of other types an int8 one for the reader."""

zero_points = st.sampled_from([-128, 127, 0, -3, 10, -127, 100])
scales = st.floats(-7.0, 2.0).map(lambda power: float(np.float32(2.0**power)))


def examples(count: int = 30):
    return settings(
        max_examples=count, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )


def noise(shape: Sequence[int], dtype: str, seed: int) -> np.ndarray:
    """Values of all the range of 8-bit types, the ends more often than others."""
    random = np.random.default_rng(seed)
    if dtype == "float32":
        return (random.standard_normal(shape) * 10.0 ** random.integers(-2, 3)).astype(np.float32)
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    if dtype in ("int32", "int64"):
        return random.integers(-1000, 1000, shape, dtype)
    limits = np.iinfo(dtype)
    values = random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    ends = random.choice(np.array([limits.min, limits.max], dtype), shape)
    return np.where(random.random(shape) < 0.05, ends, values)


def compare(driver: Driver, calls: list[Call], memory: Mapping[int, bytes], expected: Mapping[int, np.ndarray]) -> None:
    """What the calls make of memory is as expected; so it is where the output overlaps an input at the call's lead."""
    after = run_calls(driver, calls, memory)
    for place, values in expected.items():
        found = np.frombuffer(after[place], values.dtype).reshape(values.shape)
        np.testing.assert_array_equal(found.view(np.uint8), values.view(np.uint8), err_msg=str(calls))
    for call in calls:
        assert len(call.leads) == len(call.inputs)
        for position, lead in enumerate(call.leads):
            if lead is not None and call.inputs.count(call.inputs[position]) == 1:
                assert run_overlapped(driver, call, position, memory) == after[call.outputs[0]], (call, lead)


def check(
    driver: Driver,
    kind: str,
    inputs: Sequence[T],
    output: T,
    options: Any = None,
    *,
    seed: int = 0,
    version: int = 2,
    fed: Sequence[np.ndarray] | None = None,
) -> list[Call]:
    """One operator on noise, or on `fed` for its operands without data; its calls."""
    active = [place for place, item in enumerate(inputs) if item.data is None]
    values = [noise(inputs[place].shape, inputs[place].dtype, seed + place) for place in active] if fed is None else fed
    made = len(inputs)
    op = Op(kind, list(range(made)), [made], options, version)
    content = build(Model([*inputs, output, MARK], [op], active, [made]))
    expected = run_reference(content, values)[0]
    network = parse_tflite(content, Path("one.tflite"))
    calls = calls_of(network)
    memory = {place: array.tobytes() for place, array in zip(active, values, strict=True)}
    memory[made] = bytes([0xA5]) * network.tensors[made].bytes
    compare(driver, calls, memory, {made: np.ascontiguousarray(expected)})
    return calls


def calls_of(network: Network) -> list[Call]:
    operator = network.operators[0]
    return LOWERINGS[operator.kind](operator, network, TARGETS["host"])


def onnx_calls(
    kind: str, inputs: Sequence[Tensor], output: Tensor, options: Mapping[str, Any] | None = None
) -> list[Call]:
    """Calls of an operator with ONNX Runtime's rounding; tensors are numbered as given, the output last."""
    operator = Operator(kind, "layer", tuple(range(len(inputs))), (len(inputs),), options or {})
    tensors = (*inputs, output)
    return calls_of(Network(Path("x.onnx"), "onnx", tensors, (operator,), (0,), (len(inputs),)))


def quantized(shape: Sequence[int], scale: float, zero: int, data: np.ndarray | None = None) -> Tensor:
    return Tensor("t", tuple(shape), "int8", np.array([scale], np.float32), np.array([zero], np.int32), data=data)


def stored(real: np.ndarray, tensor: Tensor) -> np.ndarray:
    """As ONNX's QuantizeLinear."""
    steps = np.rint(real.astype(np.float32) / np.float32(tensor.scale)).astype(np.int64)
    return np.clip(steps + tensor.zero_point, -128, 127).astype(np.int8)


def real(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    return (values.astype(np.int32) - tensor.zero_point).astype(np.float32) * np.float32(tensor.scale)

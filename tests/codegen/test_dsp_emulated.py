"""The assembly of the kernels for Cortex-M4, M7 and M33 on emulated ones equals the portable kernels, at its leads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from codegen.dsp_layers import Chain, LayerSpec, build_chain
from codegen.kernel_driver import Driver, run_calls
from codegen.mve_batch import Case, check_cases, needs_emulator
from codegen.run_c import needs_cc

from stm32pose.codegen.lower.conv import conv_call, depthwise_call
from stm32pose.codegen.lower.dsp_conv import conv_dsp_call, fully_connected_dsp_call
from stm32pose.codegen.lower.dsp_depthwise import depthwise_dsp_call
from stm32pose.codegen.lower.dsp_pack import C_CODE
from stm32pose.codegen.lower.fully_connected import fully_connected_call
from stm32pose.codegen.lower.weighted import Weighted, weighted
from stm32pose.codegen.network import Operator
from stm32pose.codegen.program import Call
from stm32pose.codegen.read_tflite import read_tflite_network

pytestmark = [needs_cc, needs_emulator]
PORTABLE = ("kernels_conv", "kernels_depthwise", "kernels_fully_connected")
KERNELS = {
    f"{name}_{way}"
    for name in ("conv_dsp", "conv_1x1_dsp", "depthwise_dsp", "depthwise_3x3_dsp", "depthwise_3x3_stride_2_dsp")
    for way in ("relu", "plain", "general")
}


def chain_of(random: np.random.Generator, place: int) -> Chain:
    """A layer; which kernel takes it goes round with `place`."""
    kind, kernel, stride, dilation = [
        ("conv", (1, 1), (1, 1), (1, 1)),
        ("conv", (int(random.integers(1, 5)), int(random.integers(1, 5))), (1, 1), (1, 1)),
        ("conv", (3, 3), (2, 2), (1, 1)),
        ("conv", (2, 3), (1, 1), (2, 2)),
        ("depthwise", (3, 3), (1, 1), (1, 1)),
        ("depthwise", (3, 3), (2, 2), (1, 1)),
        ("depthwise", (int(random.integers(1, 6)), int(random.integers(1, 6))), (1, 1), (1, 2)),
        ("dense", (1, 1), (1, 1), (1, 1)),
    ][place % 8]
    plain = bool(random.random() < 0.4)
    spec = LayerSpec(
        kind,
        1 if kind == "depthwise" else int(random.integers(1, 14)),
        kernel,
        stride,
        dilation,
        same=kind == "dense" or bool(random.random() < 0.7),
        activation="NONE" if plain else str(random.choice(["NONE", "RELU", "RELU6"])),
        zero=int(random.choice([-128, -128, 0, 5, 127])),
        gain=1.0 if plain else float(random.choice([0.0, 1.0, 20.0])),
        per_channel=bool(random.random() < 0.7),
        tiny=0 if plain else int(random.choice([0, 2])),
        dead=int(random.choice([0, 0, 1])),
    )
    rows, columns = ((k - 1) * d + int(random.integers(1, 8)) for k, d in zip(kernel, dilation, strict=True))
    channels = int(random.choice([1, 2, 3, 4, 6, 8, 12, 16, 20, 33]))
    zero = int(random.choice([-128, 127, 0, -9]))
    return Chain((rows, columns, channels), [spec], zero, place, rows=int(random.integers(1, 7)))


def layer_of(chain: Chain, folder: Path, *, onnx: bool) -> tuple[Operator, Weighted]:
    path = folder / "layer.tflite"
    path.write_bytes(build_chain(chain))
    network = read_tflite_network(path)
    if onnx:
        network = dataclasses.replace(network, rounding="onnx")
    (op,) = network.operators
    return op, weighted(op, network, channel_axis=3 if op.kind == "DEPTHWISE_CONV_2D" else 0)


def with_pads(op: Operator, layer: Weighted, pads: tuple[int, ...]) -> tuple[Operator, Weighted]:
    """The same layer with as much padding more: a PAD before it became a part of it."""
    pads = tuple(a + b for a, b in zip(op.options["pads"], pads, strict=True))
    sizes = []
    for axis in (0, 1):
        reach = (op.options["kernel"][axis] - 1) * op.options["dilation"][axis] + 1
        room = layer.input.shape[1 + axis] + pads[axis] + pads[2 + axis] - reach
        sizes.append(room // op.options["stride"][axis] + 1)
    output = dataclasses.replace(layer.output, shape=(1, *sizes, layer.channels))
    options = {**op.options, "pads": pads}
    return dataclasses.replace(op, options=options), dataclasses.replace(layer, output=output)


def calls_of(op: Operator, layer: Weighted) -> tuple[Call, Call]:
    """The portable and the fast one."""
    if op.kind == "FULLY_CONNECTED":
        rows = layer.input.shape[0]
        return fully_connected_call(op, layer, rows), fully_connected_dsp_call(op, layer, rows)
    depthwise = op.kind == "DEPTHWISE_CONV_2D"
    portable = (depthwise_call if depthwise else conv_call)(op, layer, 0)
    fast = (depthwise_dsp_call if depthwise else conv_dsp_call)(op, layer, 0)
    assert fast
    return portable, fast


def cases_of(random: np.random.Generator, count: int, folder: Path, *, onnx: bool) -> list[Case]:
    made = []
    with Driver(PORTABLE, f"#define NETWORK_ROUNDING_FLOAT {int(onnx)}\n") as driver:
        for place in range(count):
            op, layer = layer_of(chain_of(random, place), folder, onnx=onnx)
            if op.kind != "FULLY_CONNECTED" and random.random() < 0.3:
                op, layer = with_pads(op, layer, tuple(int(pad) for pad in random.integers(0, 4, 4)))
            portable, fast = calls_of(op, layer)
            extremes = random.random() < 0.2
            values = random.choice([-128, 127], layer.input.shape) if extremes else None
            values = (random.integers(-128, 128, layer.input.shape) if values is None else values).astype(np.int8)
            memory = {op.inputs[0]: values.tobytes(), op.outputs[0]: bytes(layer.output.elements)}
            wanted = np.frombuffer(run_calls(driver, [portable], memory)[op.outputs[0]], np.int8)
            title = f"{fast.function} {layer.input.shape} to {layer.output.shape} {dict(op.options)} {fast.fields}"
            made.append(Case(fast, [values], wanted.reshape(layer.output.shape), title))
    return made


@pytest.fixture(scope="module", params=[False, True], ids=["tflite", "onnx"])
def layers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bool, list[Case]]:
    """Whether they are of an ONNX network, and the layers."""
    folder = tmp_path_factory.mktemp("layers")
    return request.param, cases_of(np.random.default_rng(11), 120, folder, onnx=request.param)


@pytest.mark.parametrize("target", ["cortex-m4", "cortex-m7", "cortex-m33"])
def test_equal_to_the_portable_kernels(tmp_path: Path, target: str, layers: tuple[bool, list[Case]]) -> None:
    onnx, cases = layers
    made = {case.call.function for case in cases}
    assert made >= ({f"{name.rpartition('_')[0]}_float" for name in KERNELS} if onnx else KERNELS)
    assert onnx or any(case.call.fields.get("scaling") == C_CODE for case in cases)
    good = check_cases(cases, tmp_path / "network", rounding_float=onnx, target=target)
    assert [case.title for case, exact in zip(cases, good, strict=True) if not exact] == []


def test_a_smaller_lead_is_noticed(tmp_path: Path) -> None:
    """The leads are no larger than they need be."""
    random = np.random.default_rng(12)
    cases = [case for case in cases_of(random, 80, tmp_path, onnx=False) if (case.call.leads[0] or 0) >= 4]
    good = check_cases(cases, tmp_path / "network", nearer=4, target="cortex-m7")
    exact = {}
    for case, same in zip(cases, good, strict=True):
        exact.setdefault(case.call.function.rpartition("_")[0], []).append(same)
    assert {function for function, same in exact.items() if not all(same)} == set(exact)
    assert len(exact) == len(KERNELS) / 3

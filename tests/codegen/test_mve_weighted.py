"""Convolutions and fully connected layers for Helium: bytes equal to LiteRT's, memory around them untouched."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from codegen.dsp_layers import Chain, LayerSpec, build_chain
from codegen.mve_batch import Case, check_cases, needs_emulator

from stm32pose.codegen.lower.mve_conv import conv_mve_call, depthwise_mve_call, fully_connected_mve_call
from stm32pose.codegen.lower.rounding import scale_by
from stm32pose.codegen.lower.weighted import Weighted, weighted
from stm32pose.codegen.network import Network, Operator
from stm32pose.codegen.program import Call
from stm32pose.codegen.read_tflite import read_tflite_network
from stm32pose.codegen.reference import run_reference

pytestmark = needs_emulator
ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


def spec(random: np.random.Generator, kind: str, channels: int, **options) -> LayerSpec:
    return LayerSpec(
        kind,
        channels,
        activation=str(random.choice(ACTIVATIONS)),
        zero=int(random.choice([-128, 127, 0, int(random.integers(-128, 128))])),
        gain=float(random.choice([0.3, 1.0, 4.0])),
        per_channel=bool(random.random() < 0.7),
        bias=bool(random.random() < 0.8),
        tiny=int(random.random() < 0.2) * 3,
        dead=int(random.random() < 0.1),
        **options,
    )


def pointwise_chains(random: np.random.Generator) -> list[Chain]:
    depths = [*range(1, 41), 48, 49, 63, 64, 65, 80, 100]
    made = []
    for depth in depths:
        height, width = random.integers(1, 6, 2)
        channels = int(random.integers(1, 11)) * 4 if random.random() < 0.6 else int(random.integers(1, 41))
        made.append(Chain((int(height), int(width), depth), [spec(random, "conv", channels)]))
    return made


def conv_chains(random: np.random.Generator, count: int) -> list[Chain]:
    made = []
    for _ in range(count):
        kernel = [(3, 3), (2, 2), (1, 5), (5, 1), (1, 1), (3, 2), (4, 4)][random.integers(0, 7)]
        stride = [(1, 1), (2, 2), (1, 2), (3, 1)][random.integers(0, 4)]
        dilation = (1, 1) if stride != (1, 1) or random.random() < 0.6 else (2, int(random.integers(1, 4)))
        height, width = ((k - 1) * d + int(random.integers(1, 8)) for k, d in zip(kernel, dilation, strict=True))
        channels = int(random.integers(1, 7)) * 4 if random.random() < 0.6 else int(random.integers(1, 25))
        options = {"kernel": kernel, "stride": stride, "dilation": dilation, "same": bool(random.random() < 0.6)}
        made.append(Chain((height, width, int(random.integers(1, 21))), [spec(random, "conv", channels, **options)]))
    return made


def depthwise_chains(random: np.random.Generator, count: int) -> list[Chain]:
    made = []
    for index in range(count):
        small = random.random() < 0.7
        kernel = (3, 3) if small else [(5, 5), (1, 3), (2, 4), (3, 3)][random.integers(0, 4)]
        square = bool(random.random() < 0.8)  # LiteRT refuses depthwise strides that differ
        stride = (2, 2) if square and random.random() < 0.5 else (1, 1)
        dilation = (1, 1) if small or stride != (1, 1) else (int(random.integers(1, 3)), int(random.integers(1, 3)))
        height, width = ((k - 1) * d + int(random.integers(1, 12)) for k, d in zip(kernel, dilation, strict=True))
        same = bool(random.random() < 0.6)
        if same and random.random() < 0.4:
            height, width = int(random.integers(1, 4)), int(random.integers(1, 4))
        options = {"kernel": kernel, "stride": stride, "dilation": dilation, "same": same}
        channels = 1 + index % 40
        made.append(Chain((height, width, channels), [spec(random, "depthwise", 1, **options)]))
    return made


def dense_chains(random: np.random.Generator, count: int) -> list[Chain]:
    return [
        Chain(
            (1, 1, int(random.integers(1, 90))),
            [spec(random, "dense", int(random.integers(1, 41)))],
            rows=int(random.integers(1, 4)),
        )
        for _ in range(count)
    ]


def layer_of(chain: Chain, folder: Path) -> tuple[Network, Operator, Weighted, bytes]:
    content = build_chain(chain)
    path = folder / "one.tflite"
    path.write_bytes(content)
    network = read_tflite_network(path)
    op = network.operators[0]
    return network, op, weighted(op, network, channel_axis=3 if op.kind == "DEPTHWISE_CONV_2D" else 0), content


def call_of(op: Operator, layer: Weighted) -> Call | None:
    if op.kind == "CONV_2D":
        return conv_mve_call(op, layer, 0)
    if op.kind == "DEPTHWISE_CONV_2D":
        return depthwise_mve_call(op, layer, 0)
    return fully_connected_mve_call(op, layer, layer.input.elements // layer.weights.shape[1])


def values_for(layer: Weighted, random: np.random.Generator) -> np.ndarray:
    """An input; sometimes of extremes alone."""
    if random.random() < 0.2:
        return random.choice(np.array([-128, 127], np.int8), layer.input.shape)
    return random.integers(-128, 128, layer.input.shape, np.int8)


def cases_of(chains: list[Chain], folder: Path, random: np.random.Generator) -> list[Case]:
    made = []
    for place, chain in enumerate(chains):
        chain.seed = place
        chain.zero = int(random.choice([-128, 127, 0, 3, -77]))
        _, op, layer, content = layer_of(chain, folder)
        call = call_of(op, layer)
        if call is None:
            continue
        values = values_for(layer, random)
        title = f"{call.function} {layer.input.shape} to {layer.output.shape} {dict(op.options)}"
        made.append(Case(call, [values], run_reference(content, [values])[0], title))
    return made


def reference_float(op: Operator, layer: Weighted, values: np.ndarray) -> np.ndarray:
    """The layer as ONNX Runtime computes it, from its definition."""
    return limited(layer, np.rint(sums_of(op, layer, values).astype(np.float32) * layer.multiplier).astype(np.int64))


def reference_fixed(op: Operator, layer: Weighted, values: np.ndarray) -> np.ndarray:
    """The layer as LiteRT computes it."""
    return limited(layer, scale_by(sums_of(op, layer, values), layer.multiplier, layer.shift))


def limited(layer: Weighted, scaled: np.ndarray) -> np.ndarray:
    return np.clip(scaled + layer.output.zero_point, layer.low, layer.high).astype(np.int8).reshape(layer.output.shape)


def sums_of(op: Operator, layer: Weighted, values: np.ndarray) -> np.ndarray:
    x = values.astype(np.int64) - layer.input.zero_point
    weights = layer.weights.astype(np.int64)
    if op.kind == "FULLY_CONNECTED":
        return x.reshape(-1, weights.shape[1]) @ weights.T + layer.bias
    (kh, kw), (sh, sw), (dh, dw), (top, left, *_) = (
        op.options[key] for key in ("kernel", "stride", "dilation", "pads")
    )
    _, rows, columns, made = layer.output.shape
    far = ((rows - 1) * sh + (kh - 1) * dh + 1, (columns - 1) * sw + (kw - 1) * dw + 1)
    padded = np.zeros((max(far[0], top + x.shape[1]), max(far[1], left + x.shape[2]), x.shape[3]), np.int64)
    padded[top : top + x.shape[1], left : left + x.shape[2]] = x[0]
    sums = np.zeros((rows, columns, made), np.int64) + layer.bias
    for i in range(kh):
        for j in range(kw):
            part = padded[i * dh :, j * dw :][: (rows - 1) * sh + 1 : sh, : (columns - 1) * sw + 1 : sw]
            sums += part * weights[0, i, j] if op.kind == "DEPTHWISE_CONV_2D" else part @ weights[:, i, j].T
    return sums


def failures(cases: list[Case], folder: Path, **options) -> list[str]:
    good = check_cases(cases, folder, **options)
    return [case.title for case, exact in zip(cases, good, strict=True) if not exact]


def test_equal_to_litert_at_the_lead(tmp_path):
    random = np.random.default_rng(5)
    chains = pointwise_chains(random) + conv_chains(random, 90) + depthwise_chains(random, 120)
    chains += dense_chains(random, 25)
    cases = cases_of(chains, tmp_path, random)
    assert len(cases) > 0.9 * len(chains)
    assert {case.call.function for case in cases} == {
        "conv_pointwise_mve",
        "conv_mve",
        "depthwise_mve",
        "depthwise_3x3_mve",
        "depthwise_3x3_stride_2_mve",
        "fully_connected_mve",
    }
    assert failures(cases, tmp_path / "network") == []


def with_pads(op: Operator, layer: Weighted, pads: tuple[int, ...]) -> tuple[Operator, Weighted] | None:
    """The same layer with other padding."""
    options = {**op.options, "pads": pads}
    sizes = []
    for axis in range(2):
        reach = (op.options["kernel"][axis] - 1) * op.options["dilation"][axis] + 1
        room = layer.input.shape[1 + axis] + pads[axis] + pads[2 + axis] - reach
        if room < 0:
            return None
        sizes.append(room // op.options["stride"][axis] + 1)
    output = dataclasses.replace(layer.output, shape=(1, *sizes, layer.channels))
    return dataclasses.replace(op, options=options), dataclasses.replace(layer, output=output)


def test_any_padding(tmp_path):
    """A PAD before a convolution becomes its padding: wide, on one side, none where LiteRT would have some."""
    random = np.random.default_rng(6)
    cases = []
    for place, chain in enumerate(conv_chains(random, 25) + depthwise_chains(random, 45)):
        chain.seed = place
        _, op, layer, _ = layer_of(chain, tmp_path)
        pads = tuple(int(pad) for pad in random.integers(0, 5 if random.random() < 0.3 else 3, 4))
        padded = with_pads(op, layer, pads)
        if padded is None:
            continue
        op, layer = padded
        call = call_of(op, layer)
        values = values_for(layer, random)
        if call is not None:
            title = f"{call.function} {layer.input.shape} to {layer.output.shape} {dict(op.options)}"
            cases.append(Case(call, [values], reference_fixed(op, layer, values), title))
    assert len(cases) > 50
    assert failures(cases, tmp_path / "network") == []


def test_float_rounding(tmp_path):
    """Networks of ONNX: sums scaled in float32, halves to even."""
    random = np.random.default_rng(7)
    chains = pointwise_chains(random)[::4] + conv_chains(random, 15) + depthwise_chains(random, 40)
    cases = []
    for place, chain in enumerate(chains + dense_chains(random, 10)):
        chain.seed = place
        chain.layers[0].dead = 0
        network, op, _, _ = layer_of(chain, tmp_path)
        network = dataclasses.replace(network, rounding="onnx")
        layer = weighted(op, network, channel_axis=3 if op.kind == "DEPTHWISE_CONV_2D" else 0)
        if place % 3 == 0:  # halves in plenty
            layer = dataclasses.replace(layer, multiplier=np.full_like(layer.multiplier, 1 / 512))
        call = call_of(op, layer)
        values = values_for(layer, random)
        assert call is not None
        title = f"{call.function} {layer.input.shape} to {layer.output.shape} {dict(op.options)}"
        cases.append(Case(call, [values], reference_float(op, layer, values), title))
    assert failures(cases, tmp_path / "network", rounding_float=True) == []


def test_a_smaller_lead_is_noticed(tmp_path):
    """The leads are no larger than they need be, and the test above would see one that is too small."""
    random = np.random.default_rng(8)
    chains = pointwise_chains(random) + conv_chains(random, 30) + depthwise_chains(random, 40)
    cases = [case for case in cases_of(chains, tmp_path, random) if (case.call.leads[0] or 0) >= 16]
    good = check_cases(cases, tmp_path / "network", nearer=16)
    for function in ("conv_pointwise_mve", "conv_mve", "depthwise_3x3_mve"):
        assert not all(exact for case, exact in zip(cases, good, strict=True) if case.call.function == function)

"""Small networks of weighted layers, with scales that use the whole range of the output, for tests of fast kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from codegen.one_op import Model, Op, T, build

ACTIVATIONS = {"NONE": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}


@dataclass
class LayerSpec:
    """One layer: `kind` conv, depthwise or dense; of dense ones kernel and stride mean nothing.

    `bias`: False leaves it out where the operator can do without. `gain` scales the outputs' spread: 1 uses about the
    whole range of int8, more saturates; 0: six is the top of the range. `per_channel` False: one scale. `tiny`:
    channels with multipliers near 1, whose shifts are small. `dead`: channels with biases near 2^30.
    """

    kind: str
    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    same: bool = True
    activation: str = "NONE"
    zero: int = 0
    gain: float = 1.0
    per_channel: bool = True
    bias: bool = True
    tiny: int = 0
    dead: int = 0


@dataclass
class Chain:
    """Layers one after another, from an input of shape (rows, columns, channels)."""

    shape: tuple[int, int, int]
    layers: list[LayerSpec]
    zero: int = 0
    seed: int = 0
    rows: int = 1


def build_chain(chain: Chain) -> bytes:
    """The .tflite file."""
    random = np.random.default_rng(chain.seed)
    dense = chain.layers[0].kind == "dense"
    shape: tuple[int, ...] = (chain.rows, chain.shape[2]) if dense else (1, *chain.shape)
    tensors, ops, scale = [T(shape, scale=0.05, zero=chain.zero)], [], 0.05
    for spec in chain.layers:
        shape, scale = _add_layer(spec, shape, scale, tensors, ops, random)
    return build(Model(tensors, ops, [0], [ops[-1].outputs[0]]))


def _add_layer(
    spec: LayerSpec, shape: tuple[int, ...], scale: float, tensors: list[T], ops: list[Op], random: np.random.Generator
) -> tuple[tuple[int, ...], float]:
    last, channels = shape[-1], spec.channels
    made = channels * last if spec.kind == "depthwise" else channels
    if spec.kind == "dense":
        weight_shape, axis, out = (made, last), 0, (shape[0], made)
    else:
        sizes = [_size(shape[1 + i], spec.kernel[i], spec.stride[i], spec.dilation[i], spec.same) for i in (0, 1)]
        out = (1, *sizes, made)
        weight_shape = (made, *spec.kernel, last) if spec.kind == "conv" else (1, *spec.kernel, made)
        axis = 0 if spec.kind == "conv" else 3
    weights = random.integers(-127, 128, weight_shape, np.int8, endpoint=False)
    count = weights.size // made
    scales = random.uniform(0.5, 2.0, made if spec.per_channel else 1).astype(np.float32) * np.float32(0.004)
    if spec.tiny and spec.per_channel:
        scales[: spec.tiny] = random.uniform(0.5, 8.0, len(scales[: spec.tiny])).astype(np.float32) * 4
    # Sums of `count` products spread by about 73 * 73 * sqrt(count).
    spread = 5300.0 * np.sqrt(count)
    out_scale = float(np.float32(spread * scale * 0.005 / 60 / spec.gain)) if spec.gain else 6.0 / 255
    bias = random.integers(-int(spread), int(spread) + 1, made).astype(np.int32)
    if spec.dead:
        bias[-spec.dead :] = random.choice([-(2**30), 2**30 - 1, 2**30 + 12345], spec.dead)
    tensors.append(T(weight_shape, scale=scales, zero=0, axis=axis, data=weights))
    given = [len(tensors) - 2, len(tensors) - 1]
    if spec.bias or spec.kind == "conv":
        tensors.append(T((made,), "int32", scale=scales * np.float32(scale), zero=0, data=bias))
        given.append(len(tensors) - 1)
    source = ops[-1].outputs[0] if ops else 0
    given[0] = source
    tensors.append(T(out, scale=out_scale, zero=spec.zero))
    kind = {"conv": "CONV_2D", "depthwise": "DEPTHWISE_CONV_2D", "dense": "FULLY_CONNECTED"}[spec.kind]
    ops.append(Op(kind, given, [len(tensors) - 1], _options(spec)))
    return out, out_scale


def _options(spec: LayerSpec) -> Any:
    if spec.kind == "dense":
        options = schema.FullyConnectedOptionsT()
    else:
        options: Any = schema.Conv2DOptionsT() if spec.kind == "conv" else schema.DepthwiseConv2DOptionsT()
        options.padding = 0 if spec.same else 1
        options.strideH, options.strideW = spec.stride
        options.dilationHFactor, options.dilationWFactor = spec.dilation
        if spec.kind == "depthwise":
            options.depthMultiplier = spec.channels
    options.fusedActivationFunction = ACTIVATIONS[spec.activation]
    return options


def _size(size: int, kernel: int, stride: int, dilation: int, same: bool) -> int:
    return -(-size // stride) if same else -(-(size - (kernel - 1) * dilation) // stride)

"""What each operator asks of the generated C, as a few sums that the instruction model weighs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from stm32pose.benchmark.features import FREE
from stm32pose.benchmark.graph import Graph, Op

WORK: dict[str, str] = {
    "conv_macs": "multiply-accumulates of convolutions larger than 1 x 1",
    "conv_outputs": "elements that they write",
    "conv_patch": "elements of the windows that they gather",
    "pointwise_macs": "multiply-accumulates of 1 x 1 convolutions",
    "pointwise_outputs": "elements that they write",
    "pointwise_inputs": "elements that they read",
    "depthwise_macs": "multiply-accumulates of depthwise convolutions",
    "depthwise_outputs": "elements that they write",
    "dense_macs": "multiply-accumulates of fully connected layers",
    "dense_outputs": "elements that they write",
    "upsample_macs": "multiply-accumulates of transposed convolutions",
    "bilinear_outputs": "elements that bilinear resizing writes",
    "arithmetic_outputs": "elements that additions and products of two tensors write",
    "pool_window": "elements of the windows of pooling, and those that a mean reads",
    "table_outputs": "elements that functions by table write",
    "softmax_outputs": "elements that softmax writes",
    "convert_outputs": "elements that change their type or scale",
    "moved_bytes": "bytes that are only copied",
    "calls": "1 an operator",
}
ARITHMETIC = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "FLOOR_DIV")
TABLE = ("LOGISTIC", "TANH", "HARD_SWISH", "LEAKY_RELU", "PRELU", "RELU", "RELU6", "RELU_N1_TO_1", "ELU", "ABS", "NEG")
CONVERT = ("QUANTIZE", "DEQUANTIZE", "CAST")
FAMILIES = {"CONV_2D": "conv", "DEPTHWISE_CONV_2D": "depthwise"}


def work(graph: Graph) -> Counter[str]:
    """The sums named in `WORK`, of one inference."""
    return sum((one for _, one in layers(graph)), Counter())


def layers(graph: Graph) -> Iterator[tuple[Op, Counter[str]]]:
    """Each operator that moves data with its own sums."""
    for op in graph.ops:
        if op.kind not in FREE or op.outputs[0] not in graph.aliases:
            yield op, work_of(op, graph)


def work_of(op: Op, graph: Graph) -> Counter[str]:
    """The sums of one operator."""
    sums: Counter[str] = Counter(calls=1)
    outputs = sum(graph.tensors[index].elements for index in op.outputs)
    inputs = sum(graph.tensors[index].elements for index in op.inputs)
    if op.kind == "CONV_2D":
        name = "pointwise" if op.kernel == (1, 1) else "conv"
        sums[f"{name}_macs"], sums[f"{name}_outputs"] = op.macs, outputs
        if name == "conv":
            channels = op.weights * outputs // op.macs if op.weights else graph.tensors[op.outputs[0]].shape[-1]
            sums["conv_patch"] = op.macs // max(1, channels)
        else:
            sums["pointwise_inputs"] = inputs
    elif op.kind == "DEPTHWISE_CONV_2D":
        sums["depthwise_macs"], sums["depthwise_outputs"] = op.macs, outputs
    elif op.kind in ("FULLY_CONNECTED", "BATCH_MATMUL"):
        sums["dense_macs"], sums["dense_outputs"] = op.macs, outputs
    elif op.kind == "TRANSPOSE_CONV":
        sums["upsample_macs"] = op.macs
    elif op.kind == "RESIZE_BILINEAR":
        sums["bilinear_outputs"] = outputs
    elif op.kind in ARITHMETIC:
        sums["arithmetic_outputs"] = outputs
    elif op.kind in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
        sums["pool_window"] = outputs * op.kernel[0] * op.kernel[1]
    elif op.kind in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "ARG_MAX", "ARG_MIN"):
        sums["pool_window"] = inputs
    elif op.kind in TABLE:
        sums["table_outputs"] = outputs
    elif op.kind == "SOFTMAX":
        sums["softmax_outputs"] = outputs
    elif op.kind in CONVERT:
        sums["convert_outputs"] = outputs
    else:
        sums["moved_bytes"] = sum(graph.tensors[index].bytes for index in op.outputs)
    return sums

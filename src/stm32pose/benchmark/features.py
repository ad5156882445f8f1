"""What a network asks of a processor, as a few sums that the cost model weighs."""

from __future__ import annotations

from collections.abc import Collection

from stm32pose.benchmark.graph import Graph, Op

FREE = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE")
"""Operators that move no data."""

FEATURES: dict[str, str] = {
    "conv_macs": "multiply-accumulates of convolutions larger than 1 x 1",
    "matrix_macs": "multiply-accumulates of 1 x 1 convolutions and fully connected layers, one matrix product each",
    "depthwise_macs": "multiply-accumulates of depthwise convolutions",
    "macs": "all multiply-accumulates",
    "weighted_outputs": "elements that convolutions and fully connected layers write",
    "other_bytes": "bytes of activations that all other operators read and write",
    "traffic_bytes": "bytes of activations that all operators read and write",
    "resize_bytes": "bytes of activations that bilinear resizing reads and writes",
    "software_bytes": "bytes of activations that operators outside the accelerator read and write",
    "weight_bytes": "constants",
    "inference": "1 an inference",
}


def features(graph: Graph, accelerated: Collection[str] = ()) -> dict[str, float]:
    """The sums named in `FEATURES`, of one inference.

    Args:
        graph: the network.
        accelerated: kinds of operators that an accelerator runs; empty where there is none.
    """
    sums = dict.fromkeys(FEATURES, 0.0)
    sums["inference"] = 1.0
    for op in graph.ops:
        sums["weight_bytes"] += op.weight_bytes + 4 * op.biases
        if op.kind in FREE:
            continue
        moved = traffic(op, graph)
        sums["traffic_bytes"] += moved
        if op.kind == "RESIZE_BILINEAR":
            sums["resize_bytes"] += moved
        if accelerated and op.kind not in accelerated:
            sums["software_bytes"] += moved
        if op.macs:
            sums["macs"] += op.macs
            sums[mac_class(op)] += op.macs
            sums["weighted_outputs"] += sum(graph.tensors[index].elements for index in op.outputs)
        else:
            sums["other_bytes"] += moved
    return sums


def mac_class(op: Op) -> str:
    """Which of the three sums of multiply-accumulates an operator adds to."""
    if op.kind == "DEPTHWISE_CONV_2D":
        return "depthwise_macs"
    large = op.kind in ("CONV_2D", "TRANSPOSE_CONV") and op.kernel != (1, 1)
    return "conv_macs" if large else "matrix_macs"


def traffic(op: Op, graph: Graph) -> int:
    """Bytes of activations that an operator reads and writes."""
    return sum(graph.tensors[index].bytes for index in (*op.inputs, *op.outputs))

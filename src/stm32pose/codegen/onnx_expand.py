"""ONNX Runtime's integer operators (QLinearConv and the like) as QuantizeLinear, operator and DequantizeLinear."""

from __future__ import annotations

from typing import Any

import numpy as np

# operator -> (plain operator, places of (tensor, scale, zero point) of each operand, place of the output's scale)
PAIRS = {
    "QLinearAdd": ("Add", ((0, 1, 2), (3, 4, 5)), 6),
    "QLinearMul": ("Mul", ((0, 1, 2), (3, 4, 5)), 6),
    "QLinearMatMul": ("MatMul", ((0, 1, 2), (3, 4, 5)), 6),
    "QLinearConv": ("Conv", ((0, 1, 2), (3, 4, 5)), 6),
    "QGemm": ("Gemm", ((0, 1, 2), (3, 4, 5)), 7),
    "QLinearSigmoid": ("Sigmoid", ((0, 1, 2),), 3),
    "QLinearLeakyRelu": ("LeakyRelu", ((0, 1, 2),), 3),
    "QLinearSoftmax": ("Softmax", ((0, 1, 2),), 3),
    "QLinearAveragePool": ("AveragePool", ((0, 1, 2),), 3),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", ((0, 1, 2),), 3),
    "QLinearReduceMean": ("ReduceMean", ((0, 1, 2),), 3),
}
BIAS = {"QLinearConv": 8, "QGemm": 6}
OWN = ("opset", "channels_last")
"""Attributes of the integer operators alone."""


def expand(model: Any) -> None:
    """Replace the integer operators of a model, in place."""
    if not any(node.op_type in (*PAIRS, "QLinearConcat") for node in model.graph.node):
        return
    from onnx import helper, numpy_helper

    known = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    nodes: list[Any] = []
    for place, node in enumerate(model.graph.node):
        if node.op_type not in (*PAIRS, "QLinearConcat") or _flag(node, "channels_last"):
            nodes.append(node)
            continue
        stem = f"{node.output[0]}/expanded_{place}"
        if node.op_type == "QLinearConcat":
            kind, output = "Concat", 0
            operands = tuple((first, first + 1, first + 2) for first in range(2, len(node.input) - 2, 3))
        else:
            kind, operands, output = PAIRS[node.op_type]
        reals = []
        for number, (tensor, scale, zero) in enumerate(operands):
            name = f"{stem}/operand_{number}"
            axis = 0 if kind == "Conv" else 1
            names = [node.input[i] for i in (tensor, scale, zero) if i < len(node.input)]
            nodes.append(helper.make_node("DequantizeLinear", names, [name], axis=axis))
            reals.append(name)
        bias = BIAS.get(node.op_type)
        if bias is not None and bias < len(node.input) and node.input[bias]:
            scales = [known.get(node.input[place]) for place in (1, 4)]
            if scales[0] is not None and scales[1] is not None:
                steps = (scales[0].reshape(-1) * scales[1].reshape(-1)).astype(np.float32)
                steps = steps.reshape(()) if steps.size == 1 else steps
                model.graph.initializer.append(numpy_helper.from_array(steps, f"{stem}/bias_scale"))
                name = f"{stem}/bias"
                nodes.append(
                    helper.make_node("DequantizeLinear", [node.input[bias], f"{stem}/bias_scale"], [name], axis=0)
                )
                reals.append(name)
        plain = helper.make_node(kind, reals, [f"{stem}/real"], name=node.name)
        plain.attribute.extend(item for item in node.attribute if item.name not in OWN)
        nodes.append(plain)
        names = [f"{stem}/real", *(node.input[i] for i in (output, output + 1) if i < len(node.input))]
        nodes.append(helper.make_node("QuantizeLinear", names, [node.output[0]]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _flag(node: Any, name: str) -> bool:
    return any(item.name == name and item.i for item in node.attribute)

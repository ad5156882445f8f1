"""Names of nodes and tensors that people can use: those of the Keras layers a graph was made from."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
OPERANDS = {1: "kernel", 2: "bias"}


def name_like_layers(model: Any, layers: Collection[str]) -> None:
    """Rename in place: a node as its Keras layer, its result likewise, weights `LAYER/kernel` and `LAYER/bias`.

    A converter numbers what it makes through the whole process; the same network would have other names each time, and
    no configuration could name a node. Inputs and outputs of the graph keep their names.
    """
    kept = {value.name for value in (*model.graph.input, *model.graph.output)}
    constants = {item.name for item in model.graph.initializer}
    taken: set[str] = set()
    names: dict[str, str] = {}
    for node in model.graph.node:
        layer = _layer(node, layers)
        node.name = _free(taken, [layer, f"{layer}/{node.op_type}"] if layer else [], node.op_type)
        for index, name in enumerate(node.input):
            if name in constants and name not in names:
                operand = OPERANDS.get(index) if node.op_type in WEIGHTED else None
                names[name] = f"{node.name}/{operand or f'constant_{index}'}"
        for index, name in enumerate(node.output):
            if name not in kept:
                names[name] = node.name + (f":{index}" if index else ":0")
    rename(model, names)


def rename(model: Any, names: dict[str, str]) -> None:
    """Give tensors other names, wherever they are met."""
    for values in (model.graph.initializer, model.graph.value_info, model.graph.output):
        for value in values:
            value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        for place in (node.input, node.output):
            for index, name in enumerate(place):
                place[index] = names.get(name, name)


def _layer(node: Any, layers: Collection[str]) -> str | None:
    """The layer that a node, or one of its tensors, is named after: `model/layer_1/op`, numbered by the tracing."""
    if node.op_type == "Transpose":  # put in by the converter
        return None
    for name in (node.name, *node.input[1:], *node.output):
        for part in name.split("/")[1:]:
            plain = re.sub(r"_\d+$", "", part.split(":")[0])
            if plain in layers:
                return plain
            if part in layers:
                return part
    return None


def _free(taken: set[str], wanted: Iterable[str], otherwise: str) -> str:
    """The first of the wanted names that nobody has, or a numbered one."""
    number = 0
    for name in wanted:
        if name not in taken:
            taken.add(name)
            return name
    while f"{otherwise}_{number}" in taken:
        number += 1
    taken.add(f"{otherwise}_{number}")
    return f"{otherwise}_{number}"

"""Operators whose results depend on one stored value become one table: LOGISTIC and MUL of SiLU, tables after tables.

Not one bit changes: a table of 256 entries is filled by the very kernels of the runtime that is reproduced. It spares
the tensors between, which set the peak of networks with SiLU.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stm32pose.codegen.lower.table import EIGHT_BITS, FUNCTIONS, OPERATIONS, pair_values, table_values
from stm32pose.codegen.network import Network, Operator
from stm32pose.codegen.rewrite import readers_of

TABLES = (*FUNCTIONS, "LOOK_UP")


def join_tables(network: Network) -> Network:
    """The network with joined tables as LOOK_UP operators; it computes the same outputs.

    Raises:
        NotExportable: an operator whose table cannot be made.
    """
    made_by: dict[int, Operator] = {}
    kept: list[Operator] = []
    shared = {index for index, readers in readers_of(network).items() if len(readers) > 1} | set(network.outputs)
    for op in network.operators:
        joined = _joined(op, made_by, shared, network)
        for index in joined.outputs:
            made_by[index] = joined
        kept.append(joined)
    return _without_unread(replace(network, operators=tuple(kept)))


def _joined(op: Operator, made_by: dict[int, Operator], shared: set[int], network: Network) -> Operator:
    """`shared`: tensors that stay, whoever reads them through a table: a table after them would spare nothing."""
    tensors = network.tensors
    active = [index for index in op.inputs if index >= 0 and not tensors[index].constant]
    eight = all(tensors[i].dtype in EIGHT_BITS and len(tensors[i].scales) <= 1 for i in (*active, *op.outputs))
    if not eight or len(op.outputs) != 1:
        return op
    if len(active) == 1 and _is_table(op, network):
        first = made_by.get(active[0])
        if first is not None and active[0] not in shared and _is_table(first, network):
            source = _source(first, network)
            values = _table(op, network).view(tensors[op.outputs[0]].dtype)
            return _look_up(op, source, values[_table(first, network).view(np.uint8)])
    if op.kind in OPERATIONS and len(active) == 2 and tensors[active[0]].shape == tensors[active[1]].shape:
        return _pair(op, active, made_by, network)
    return op


def _pair(op: Operator, active: list[int], made_by: dict[int, Operator], network: Network) -> Operator:
    """x and a table of x, or two tables of one x."""
    tensors = network.tensors
    sources, values = [], []
    for index in active:
        first = made_by.get(index)
        if first is not None and _is_table(first, network):
            sources.append(_source(first, network))
            values.append(_table(first, network))
        else:
            sources.append(index)
            values.append(None)
    if values[0] is None and values[1] is None:
        return op
    if sources[0] != sources[1]:
        # A table of x beside a table of another tensor: x itself may still be the other operand.
        if values[0] is not None and sources[0] == active[1]:
            sources[1], values[1] = active[1], None
        elif values[1] is not None and sources[1] == active[0]:
            sources[0], values[0] = active[0], None
        else:
            return op
    source = tensors[sources[0]]
    every = np.arange(256, dtype=np.uint8).view(source.dtype)
    operands = [every if table is None else table for table in values]
    return _look_up(op, sources[0], pair_values(op, network, active, operands))


def _is_table(op: Operator, network: Network) -> bool:
    active = [index for index in op.inputs if index >= 0 and not network.tensors[index].constant]
    ends = (*active, *op.outputs)
    numbers = [network.tensors[index].elements for index in op.inputs if index >= 0 and index not in active]
    return (
        (op.kind in TABLES or (op.kind in OPERATIONS and numbers == [1]))
        and len(active) == 1
        and all(network.tensors[i].dtype in EIGHT_BITS and len(network.tensors[i].scales) <= 1 for i in ends)
        and network.tensors[active[0]].shape == network.tensors[op.outputs[0]].shape
    )


def _source(op: Operator, network: Network) -> int:
    return next(index for index in op.inputs if index >= 0 and not network.tensors[index].constant)


def _table(op: Operator, network: Network) -> np.ndarray:
    """[256] in the type of the output, in the order of the input's bytes."""
    made = network.tensors[op.outputs[0]]
    return np.ascontiguousarray(table_values(op, network)).reshape(-1).astype(made.dtype)


def _look_up(op: Operator, source: int, values: np.ndarray) -> Operator:
    return Operator("LOOK_UP", op.name, (source,), op.outputs, {"values": values, "instead_of": op.kind})


def _without_unread(network: Network) -> Network:
    """Tables that nobody reads any more are gone."""
    operators = list(network.operators)
    while True:
        readers = readers_of(replace(network, operators=tuple(operators)))
        left = [
            op
            for op in operators
            if not _is_table(op, network) or any(index in readers or index in network.outputs for index in op.outputs)
        ]
        if len(left) == len(operators):
            return replace(network, operators=tuple(left))
        operators = left

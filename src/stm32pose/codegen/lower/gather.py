"""GATHER and GATHER_ND, with indices known now or when the network runs."""

from __future__ import annotations

from math import prod

import numpy as np

from stm32pose.codegen.lower.copies import as_bytes, check_moved, element_bytes, row_major
from stm32pose.codegen.lower.pad import indexed_call
from stm32pose.codegen.network import Network, Operator, Tensor, refuse
from stm32pose.codegen.overlap import lead
from stm32pose.codegen.program import Array, Call, Field
from stm32pose.codegen.targets import Target

GATHER_DIMS = 8
"""Dimensions that one index of GATHER_ND may have, as in kernels_gather.h."""


def lower_gather(op: Operator, network: Network, target: Target) -> list[Call]:
    """Slices along one axis. Indices outside the data are refused if constant, and moved to its ends otherwise."""
    data, indices = _operands(op, network)
    axis, batch_dims = op.options["axis"], op.options.get("batch_dims", 0)
    if batch_dims < 0:
        batch_dims += len(indices.shape)
    if not 0 <= batch_dims <= axis or data.shape[:batch_dims] != indices.shape[:batch_dims]:
        raise refuse(network, op, f"{batch_dims} batch dimensions of {list(data.shape)} and {list(indices.shape)}")
    shape = (*data.shape[:axis], *indices.shape[batch_dims:], *data.shape[axis + 1 :])
    check_moved(network, op, op.inputs[0], op.outputs[0], prod(shape))
    batches, outer = prod(data.shape[:batch_dims]), prod(data.shape[batch_dims:axis])
    count, run = prod(indices.shape[batch_dims:]), prod(data.shape[axis + 1 :]) * element_bytes(data)
    size = data.shape[axis]
    if indices.data is not None:
        _check_indices(op, network, indices.data, np.array(size))
        picks = indices.data.reshape(batches, count).astype(np.int64) * run
        if batches == 1:
            tables = [np.arange(outer) * size * run, picks[0]]
        else:
            starts = np.arange(batches * outer).reshape(batches, outer, 1) * size * run
            tables = [(starts + picks[:, None]).reshape(-1)]
        return indexed_call(op, network, op.inputs[0], op.outputs[0], tables, run)
    fields: dict[str, Field] = {
        "batches": batches,
        "outer": outer,
        "axis": size,
        "indices": count,
        "run": run,
        "index_bytes": element_bytes(indices),
    }
    return [_call(op, "gather", fields, data, indices, count, run, once=batches * outer == 1)]


def lower_gather_nd(op: Operator, network: Network, target: Target) -> list[Call]:
    """Slices picked by points. Indices outside the data are refused if constant, and moved to its ends otherwise."""
    data, indices = _operands(op, network)
    depth = indices.shape[-1] if indices.shape else 0
    if not 1 <= depth <= min(len(data.shape), GATHER_DIMS):
        raise refuse(network, op, f"indices of shape {list(indices.shape)} into {list(data.shape)}")
    check_moved(network, op, op.inputs[0], op.outputs[0], prod((*indices.shape[:-1], *data.shape[depth:])))
    size = element_bytes(data)
    steps = row_major(data.shape, size)[:depth]
    points, run = indices.elements // depth, prod(data.shape[depth:]) * size
    if indices.data is not None:
        _check_indices(op, network, indices.data, np.array(data.shape[:depth]))
        table = indices.data.reshape(points, depth).astype(np.int64) @ np.array(steps, np.int64)
        return indexed_call(op, network, op.inputs[0], op.outputs[0], [table], run)
    filler = (0,) * (GATHER_DIMS - depth)
    fields: dict[str, Field] = {
        "points": points,
        "depth": depth,
        "size": data.shape[:depth] + filler,
        "step": steps + filler,
        "run": run,
        "index_bytes": element_bytes(indices),
    }
    return [_call(op, "gather_nd", fields, data, indices, points, run, depth=depth)]


def _operands(op: Operator, network: Network) -> tuple[Tensor, Tensor]:
    if len(op.inputs) < 2 or min(op.inputs[:2]) < 0:
        raise refuse(network, op, "it has no indices")
    data, indices = (network.tensors[index] for index in op.inputs[:2])
    if indices.dtype not in ("int32", "int64"):
        raise refuse(network, op, f"indices of {indices.dtype}; int32 and int64 are known")
    return data, indices


def _check_indices(op: Operator, network: Network, values: np.ndarray, size: np.ndarray) -> None:
    if values.size and (np.any(values < 0) or np.any(values >= size)):
        raise refuse(network, op, f"an index outside {size.tolist()}")


def _call(
    op: Operator,
    function: str,
    fields: dict[str, Field],
    data: Tensor,
    indices: Tensor,
    picks: int,
    run: int,
    *,
    depth: int = 1,
    once: bool = True,
) -> Call:
    """The data must not be overlapped; indices that are read only `once` may be, as far as the runs allow."""
    order = np.arange(picks, dtype=np.int64)
    of_indices = lead((order + 1) * run, (order + 1) * depth * element_bytes(indices)) if once else None
    inputs, leads = op.inputs[:2], (None, of_indices)
    if data.data is not None:
        fields = {**fields, "values": Array(as_bytes(data.data), "table")}
        function, inputs, leads = f"{function}_constant", op.inputs[1:2], (of_indices,)
    return Call(
        function,
        "kernels_gather",
        f"{function.removesuffix('_constant')}_params",
        fields,
        inputs,
        (op.outputs[0],),
        kind=op.kind,
        name=op.name,
        leads=leads,
    )

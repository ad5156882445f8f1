"""ARG_MAX and ARG_MIN."""

from __future__ import annotations

from math import prod

import numpy as np

from stm32pose.codegen.lower.copies import MOST_RUNS, element_bytes
from stm32pose.codegen.network import Network, Operator, refuse
from stm32pose.codegen.overlap import lead
from stm32pose.codegen.program import Call
from stm32pose.codegen.targets import Target

KERNELS = {"int8": "arg_byte", "uint8": "arg_byte", "bool": "arg_byte", "int32": "arg_int32", "float32": "arg_float32"}


def lower_arg(op: Operator, network: Network, target: Target) -> list[Call]:
    """The index of the largest or smallest value along an axis, the first of equals; int32 or int64."""
    tensor, made = network.tensors[op.inputs[0]], network.tensors[op.outputs[0]]
    axis = op.options["axis"]
    if tensor.dtype not in KERNELS or made.dtype not in ("int32", "int64"):
        raise refuse(network, op, f"{made.dtype} of {tensor.dtype}; int32 and int64 of {', '.join(KERNELS)} are known")
    outer, count, inner = prod(tensor.shape[:axis]), tensor.shape[axis], prod(tensor.shape[axis + 1 :])
    if made.elements != outer * inner or count < 1:
        raise refuse(network, op, f"shape {list(made.shape)} of {list(tensor.shape)} along axis {axis}")
    smallest = op.kind == "ARG_MIN"
    size, width = element_bytes(tensor), element_bytes(made)
    return [
        Call(
            KERNELS[tensor.dtype],
            "kernels_arg",
            "arg_params",
            {
                "outer": outer,
                "axis": count,
                "inner": inner,
                "smallest": int(smallest),
                "flip": (0x80 if tensor.dtype == "int8" else 0) ^ (0xFF if smallest else 0),
                "output_bytes": width,
            },
            op.inputs[:1],
            op.outputs[:1],
            kind=op.kind,
            name=op.name,
            leads=(_lead(outer, count, inner, size, width),),
        )
    ]


def _lead(outer: int, count: int, inner: int, size: int, width: int) -> int | None:
    """A column is read whole before its index is written; those to its right are still needed, from their top."""
    if outer * inner > MOST_RUNS:
        return None
    place = np.arange(1, outer * inner + 1, dtype=np.int64)
    block, column = np.divmod(place, inner)
    return lead(place * width, (block * count * inner + column) * size)

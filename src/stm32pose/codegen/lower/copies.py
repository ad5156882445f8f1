"""Copies of strided blocks: loops joined to as few as there can be, and how far a copy may overlap what it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from stm32pose.codegen.network import Network, Operator, Tensor, refuse
from stm32pose.codegen.overlap import lead
from stm32pose.codegen.program import Array, Call, Field

MOVE_DIMS = 8
"""Loops that the kernels have, as in kernels_movement.h."""
MOST_RUNS = 1 << 22
"""A copy of more runs than these is held to need its whole input to the end."""


@dataclass(frozen=True)
class Copy:
    """A block to copy, by loops: how many, and how far apart in the input and in the output, outermost first. Bytes.

    The innermost loop is over elements; a step of 0 repeats, a negative one goes backwards.
    """

    count: tuple[int, ...]
    input_step: tuple[int, ...]
    output_step: tuple[int, ...]
    input_start: int = 0
    output_start: int = 0


def element_bytes(tensor: Tensor) -> int:
    """Bytes of one element."""
    return np.dtype(tensor.dtype).itemsize


def row_major(shape: Sequence[int], element: int) -> tuple[int, ...]:
    """Bytes between neighbours along each dimension of an array without gaps."""
    return tuple(element * prod(shape[axis + 1 :]) for axis in range(len(shape)))


def join_loops(copy: Copy, element: int) -> tuple[int, list[tuple[int, int, int]]]:
    """(bytes that lie together on both sides, the loops around them as (count, input step, output step))."""
    loops: list[tuple[int, int, int]] = []
    for count, source, target in zip(copy.count, copy.input_step, copy.output_step, strict=True):
        if count == 1:
            continue
        if loops and loops[-1][1] == count * source and loops[-1][2] == count * target:
            count *= loops.pop()[0]
        loops.append((count, source, target))
    run = element
    if loops and loops[-1][1:] == (element, element):
        run *= loops.pop()[0]
    return run, loops


def places(start: int, counts: Sequence[int], steps: Sequence[int]) -> np.ndarray:
    """[number of runs], where each begins, in the order in which loops pass them."""
    found = np.array([start], np.int64)
    for count, step in zip(counts, steps, strict=True):
        found = (found[:, None] + np.arange(count, dtype=np.int64) * step).reshape(-1)
    return found


def lead_of_runs(read: np.ndarray, written: np.ndarray, run: int) -> int:
    """Lead of a kernel that moves runs of bytes one after the other, each from its first byte to its last.

    Args:
        read, written: [N], where each run begins in the input and in the output.
        run: bytes.
    """
    later = np.minimum.accumulate(read[::-1])[::-1]
    return lead(np.concatenate([written, written[:-1] + run]), np.concatenate([read, later[1:]]))


def copy_call(
    network: Network,
    operator: Operator,
    source: int,
    target: int,
    copy: Copy,
    *,
    values: np.ndarray | None = None,
    table: np.ndarray | None = None,
    overlap: bool = True,
) -> Call:
    """A call that copies a block of one tensor, which may be a constant, into another.

    Args:
        source, target: indices of tensors whose elements have the same size.
        values: constant to copy in place of `source`.
        table: [256] uint8: what each byte becomes, for elements of one byte.
        overlap: whether the output may overlap the input as far as the order of the copy allows.

    Raises:
        NotExportable: more loops than the kernel has.
    """
    tensor = network.tensors[source]
    run, loops = join_loops(copy, element_bytes(tensor))
    if len(loops) > MOVE_DIMS:
        raise refuse(network, operator, f"it needs {len(loops)} loops; {MOVE_DIMS} are known")
    counts, steps, strides = (tuple(loop[i] for loop in loops) for i in range(3))
    filler = (0,) * (MOVE_DIMS - len(loops))
    fields: dict[str, Field] = {
        "run": run,
        "dims": len(loops),
        "count": counts + filler,
        "input_step": steps + filler,
        "output_step": strides + filler,
        "input_start": copy.input_start,
        "output_start": copy.output_start,
    }
    function, inputs, leads = "copy_strided", (source,), (None,)
    values = tensor.data if values is None else values
    if values is not None:
        values = as_bytes(values)
        fields["values"] = Array(values if table is None else table[values], "table")
        function, inputs, leads = "copy_constant", (), ()
    else:
        if table is not None:
            fields["table"] = Array(table, "table")
            function = "copy_mapped"
        if overlap and prod(counts) <= MOST_RUNS:
            read = places(copy.input_start, counts, steps)
            leads = (lead_of_runs(read, places(copy.output_start, counts, strides), run),)
    return Call(
        function,
        "kernels_movement",
        "copy_params",
        fields,
        inputs,
        (target,),
        kind=operator.kind,
        name=operator.name,
        leads=leads,
    )


def as_bytes(values: np.ndarray) -> np.ndarray:
    """[bytes] uint8: values as they lie in the memory of a little-endian processor."""
    little = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
    return np.frombuffer(little.tobytes(), np.uint8)


def check_moved(network: Network, operator: Operator, source: int, target: int, elements: int | None = None) -> None:
    """NotExportable unless two tensors are of one type, and the output has as many elements as the operator makes."""
    tensor, made = network.tensors[source], network.tensors[target]
    if tensor.dtype != made.dtype:
        raise refuse(network, operator, f"it makes {made.dtype} of {tensor.dtype}")
    expected = tensor.elements if elements is None else elements
    if made.elements != expected:
        raise refuse(network, operator, f"shape {list(made.shape)}, which should have {expected} elements")

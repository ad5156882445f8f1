"""PAD, PADV2 and MIRROR_PAD."""

from __future__ import annotations

from math import prod

import numpy as np

from stm32pose.codegen.lower.copies import (
    MOST_RUNS,
    MOVE_DIMS,
    Copy,
    as_bytes,
    check_moved,
    copy_call,
    element_bytes,
    lead_of_runs,
    places,
    row_major,
)
from stm32pose.codegen.network import Network, Operator, refuse
from stm32pose.codegen.overlap import lead
from stm32pose.codegen.program import Array, Call
from stm32pose.codegen.targets import Target


def lower_pad(op: Operator, network: Network, target: Target) -> list[Call]:
    """PAD and PADV2. In order from first to last: where nothing is put in front, the output may begin at the input."""
    source, made = op.inputs[0], op.outputs[0]
    tensor, output = network.tensors[source], network.tensors[made]
    paddings: tuple[tuple[int, int], ...] = op.options["paddings"]
    _check_paddings(op, network)
    value = _pattern(op, network)
    size = element_bytes(tensor)
    if tensor.data is not None:
        padded = np.full(output.shape, value, tensor.data.dtype)
        padded[tuple(slice(a, a + n) for (a, _), n in zip(paddings, tensor.shape, strict=True))] = tensor.data
        return [copy_call(network, op, source, made, _flat(output.elements, size), values=padded)]
    *outer, (run_before, run, run_after) = _axes(tensor.shape, paddings, size)
    if len(outer) > MOVE_DIMS:
        raise refuse(network, op, f"it needs {len(outer)} loops; {MOVE_DIMS} are known")
    filler = (0,) * (MOVE_DIMS - len(outer))
    before, inside, after = (tuple(axis[i] for axis in outer) + filler for i in range(3))
    element, pattern = _shortest(value)
    return [
        Call(
            "pad",
            "kernels_movement",
            "pad_params",
            {
                "dims": len(outer),
                "before": before,
                "inside": inside,
                "after": after,
                "run_before": run_before,
                "run": run,
                "run_after": run_after,
                "element": element,
                "pattern": pattern,
            },
            (source,),
            (made,),
            kind=op.kind,
            name=op.name,
            leads=(_lead(outer, (run_before, run, run_after)),),
        )
    ]


def lower_mirror_pad(op: Operator, network: Network, target: Target) -> list[Call]:
    """MIRROR_PAD: each place of the output reads the input at the sum of one offset a dimension."""
    source, made = op.inputs[0], op.outputs[0]
    tensor = network.tensors[source]
    paddings: tuple[tuple[int, int], ...] = op.options["paddings"]
    _check_paddings(op, network)
    skip = 1 if str(op.options["mode"]).lower() == "reflect" else 0
    size = element_bytes(tensor)
    tables = []
    for (before, after), count, step in zip(paddings, tensor.shape, row_major(tensor.shape, size), strict=True):
        if max(before, after) > count - skip:
            raise refuse(network, op, f"paddings {list(paddings)} of shape {list(tensor.shape)}")
        index = np.arange(-before, count + after)
        index = np.where(index < 0, -index - 1 + skip, index)
        tables.append(np.where(index >= count, 2 * count - 1 - skip - index, index) * step)
    return indexed_call(op, network, source, made, tables, size) if tables else _whole(op, network, source, made)


def indexed_call(
    op: Operator, network: Network, source: int, made: int, tables: list[np.ndarray], run: int
) -> list[Call]:
    """A call that makes the output in order; each run lies at the sum of one offset (bytes) from each table."""
    tensor = network.tensors[source]
    tables = [np.asarray(table, np.int64) for table in tables]
    while len(tables) > 1:
        inner, outer = tables[-1], tables[-2]
        if np.array_equal(inner, np.arange(len(inner)) * run):
            run *= len(inner)
            del tables[-1]
        elif len(outer) == 1:
            tables[-2:] = [inner + outer[0]]
        else:
            break
    read = np.zeros(1, np.int64)
    if prod(len(table) for table in tables) > MOST_RUNS and tensor.data is not None:
        raise refuse(network, op, "a constant of too many elements")
    if prod(len(table) for table in tables) <= MOST_RUNS:
        for table in tables:
            read = (read[:, None] + table).reshape(-1)
    if tensor.data is not None:
        picked = as_bytes(tensor.data)[(read[:, None] + np.arange(run)).reshape(-1)]
        return [copy_call(network, op, source, made, _flat(len(picked), 1), values=picked)]
    if len(tables) > MOVE_DIMS:
        raise refuse(network, op, f"it needs {len(tables)} loops; {MOVE_DIMS} are known")
    counts = tuple(len(table) for table in tables)
    leads = (lead_of_runs(read, np.arange(len(read)) * run, run),) if prod(counts) <= MOST_RUNS else (None,)
    fields = {
        "run": run,
        "dims": len(tables),
        "count": counts + (0,) * (MOVE_DIMS - len(tables)),
        "offsets": Array(np.concatenate(tables).astype(np.int32), "table"),
    }
    return [
        Call(
            "copy_indexed",
            "kernels_movement",
            "copy_indexed_params",
            fields,
            (source,),
            (made,),
            kind=op.kind,
            name=op.name,
            leads=leads,
        )
    ]


def _flat(count: int, size: int) -> Copy:
    return Copy((count,), (size,), (size,))


def _whole(op: Operator, network: Network, source: int, made: int) -> list[Call]:
    size = element_bytes(network.tensors[source])
    return [copy_call(network, op, source, made, _flat(network.tensors[source].elements, size))]


def _check_paddings(op: Operator, network: Network) -> None:
    tensor, output = network.tensors[op.inputs[0]], network.tensors[op.outputs[0]]
    shape = tuple(a + n + b for (a, b), n in zip(op.options["paddings"], tensor.shape, strict=True))
    check_moved(network, op, op.inputs[0], op.outputs[0], prod(shape))
    if output.shape != shape:
        raise refuse(network, op, f"shape {list(output.shape)}, which should be {list(shape)}")


def _axes(shape: tuple[int, ...], paddings: tuple[tuple[int, int], ...], size: int) -> list[tuple[int, int, int]]:
    """(before, inside, after) of as few dimensions as there can be; the last in bytes."""
    axes: list[tuple[int, int, int]] = []
    for (before, after), count in zip(paddings, shape, strict=True):
        if axes and not (before or after):
            axes[-1] = (axes[-1][0] * count, axes[-1][1] * count, axes[-1][2] * count)
        else:
            axes.append((before, count, after))
    first, inside, last = axes.pop() if axes else (0, 1, 0)
    return [axis for axis in axes if axis != (0, 1, 0)] + [(first * size, inside * size, last * size)]


def _lead(outer: list[tuple[int, int, int]], line: tuple[int, int, int]) -> int | None:
    """A run is read when all before it is written."""
    rows = prod(axis[1] for axis in outer)
    if rows > MOST_RUNS:
        return None
    step, steps = sum(line), []
    for before, inside, after in reversed(outer):
        steps.append((before, inside, step))
        step *= before + inside + after
    start = line[0] + sum(before * stride for before, _, stride in steps)
    written = places(start, [inside for _, inside, _ in reversed(steps)], [stride for *_, stride in reversed(steps)])
    return lead(written, np.arange(rows) * line[1])


def _pattern(op: Operator, network: Network) -> np.ndarray:
    """The value around the input, as one element of its type."""
    tensor, value = network.tensors[op.inputs[0]], op.options["value"]
    dtype = np.dtype(tensor.dtype)
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        raise refuse(network, op, f"the value {value} of {tensor.dtype}")
    return np.array(value, dtype)


def _shortest(value: np.ndarray) -> tuple[int, tuple[int, ...]]:
    """(bytes of the pattern, the pattern filled up to 8 bytes)."""
    content = value.tobytes()
    if len(set(content)) == 1:
        content = content[:1]
    return len(content), tuple(content) + (0,) * (8 - len(content))

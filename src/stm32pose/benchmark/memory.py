"""Activation memory: where every tensor lies while the network runs, and the RAM that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stm32pose.benchmark.graph import Graph
from stm32pose.codegen.plan_search import Block, Problem, search

ALIGNMENT = 8
IN_PLACE = (
    "QUANTIZE",
    "LOGISTIC",
    "RELU",
    "RELU6",
    "HARD_SWISH",
    "TANH",
    "ADD",
    "SUB",
    "MUL",
    "DIV",
    "MAXIMUM",
    "MINIMUM",
)
"""Operators that may write over an input of the same number of bytes that nobody reads later."""


@dataclass(frozen=True)
class Buffer:
    """A piece of memory that lives from operator `first` to operator `last`, both included.

    `tensors` are indices into `Graph.tensors`: more than one where a reshape or an in-place operator shares memory.
    """

    name: str
    size: int
    first: int
    last: int
    tensors: tuple[int, ...] = ()


@dataclass(frozen=True)
class Allocation:
    """A buffer and its offset in the arena, in bytes."""

    name: str
    offset: int
    size: int
    first: int
    last: int
    tensors: tuple[int, ...] = ()


@dataclass(frozen=True)
class MemoryPlan:
    """The arena.

    Attributes:
        allocations: every buffer with its offset, in order of first use.
        peak_bytes: size of the arena.
        lower_bound_bytes: the most bytes alive at once; no plan without overlap can be smaller.
        peak_op: index of the operator at which the most bytes are alive.
        live_bytes: bytes alive at each operator.
    """

    allocations: tuple[Allocation, ...]
    peak_bytes: int
    lower_bound_bytes: int
    peak_op: int
    live_bytes: tuple[int, ...]


def plan_memory(graph: Graph, *, in_place: bool = False) -> MemoryPlan:
    """Plan the activations of a graph. Inputs live from the start, outputs to the end.

    Args:
        graph: the network.
        in_place: let element-wise operators write over an input that nobody reads later.
    """
    return plan_buffers(lifetimes(graph, in_place=in_place), len(graph.ops))


def lifetimes(graph: Graph, *, in_place: bool = False) -> list[Buffer]:
    """Buffers of a graph's activations with the operators between which they live."""
    last_op = max(0, len(graph.ops) - 1)
    owner = {index: _root(index, graph.aliases) for index in range(len(graph.tensors))}
    first: dict[int, int] = {owner[index]: 0 for index in graph.inputs}
    last: dict[int, int] = {owner[index]: 0 for index in graph.inputs}
    for position, op in enumerate(graph.ops):
        for index in op.outputs:
            first.setdefault(owner[index], position)
            last[owner[index]] = max(position, last.get(owner[index], 0))
        for index in op.inputs:
            first.setdefault(owner[index], 0)
            last[owner[index]] = position
    for index in graph.outputs:
        first.setdefault(owner[index], last_op)
        last[owner[index]] = last_op
    if in_place:
        owner, first, last = _share(graph, owner, first, last)
    members: dict[int, list[int]] = {}
    for index, root in owner.items():
        members.setdefault(root, []).append(index)
    return [
        Buffer(
            graph.tensors[root].name,
            max(graph.tensors[index].bytes for index in members[root]),
            first[root],
            last[root],
            tuple(members[root]),
        )
        for root in sorted(first, key=lambda root: (first[root], root))
        if graph.tensors[root].bytes
    ]


def plan_buffers(buffers: Sequence[Buffer], steps: int) -> MemoryPlan:
    """Place buffers so that no two that live at once overlap, by the planner of generated code."""
    steps = max(steps, 1 + max((buffer.last for buffer in buffers), default=0))
    problem = Problem([Block(_aligned(buffer.size), buffer.first, buffer.last) for buffer in buffers], {})
    placing = search(problem, steps)
    live = tuple(problem.live(steps)[1 : steps + 1])
    allocations = [
        Allocation(buffer.name, offset, buffer.size, buffer.first, buffer.last, buffer.tensors)
        for buffer, offset in zip(buffers, placing.offsets, strict=True)
    ]
    allocations.sort(key=lambda item: (item.first, item.offset))
    return MemoryPlan(tuple(allocations), placing.peak, max(live), live.index(max(live)), live)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _root(index: int, aliases: dict[int, int]) -> int:
    while index in aliases:
        index = aliases[index]
    return index


def _share(
    graph: Graph, owner: dict[int, int], first: dict[int, int], last: dict[int, int]
) -> tuple[dict[int, int], dict[int, int], dict[int, int]]:
    """Join the output of an element-wise operator with an input of the same size that dies there."""
    joined: dict[int, int] = {}
    for position, op in enumerate(graph.ops):
        if op.kind not in IN_PLACE:
            continue
        target = _root(owner[op.outputs[0]], joined)
        for index in op.inputs:
            source = _root(owner[index], joined)
            same = graph.tensors[index].bytes == graph.tensors[op.outputs[0]].bytes
            if same and source != target and last[source] == position and first[target] == position:
                joined[target] = source
                last[source] = max(last[source], last.pop(target))
                first.pop(target)
                break
    return {index: _root(root, joined) for index, root in owner.items()}, first, last

"""Which memory of a board each tensor and each constant lies in: the hottest bytes in the fastest memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stm32pose.codegen.plan_search import Placing, Problem, aligned, search
from stm32pose.codegen.program import Array, Program
from stm32pose.errors import UserError

if TYPE_CHECKING:
    from stm32pose.boards.board import Board, Pool

EXTERNAL = 8.0
"""Cost of a byte touched outside the chip, against one inside it: only the order of plans depends on it."""


@dataclass(frozen=True)
class PoolSpace:
    """RAM, or flash, of a board that a program may use.

    Attributes:
        name: of the memory.
        bytes: free there.
        external: outside the chip.
    """

    name: str
    bytes: int
    external: bool = False


def ram_pools(board: Board) -> list[PoolSpace]:
    """The memories of a board where tensors may lie, the fastest first: the order of its YAML, external ones last."""
    return _spaces([pool for pool in board.ram if pool.activations])


def flash_pools(board: Board, *, reserved: int = 0) -> list[PoolSpace]:
    """The memories of a board where constants may lie, `reserved` bytes of the first one being kept for code."""
    first, *others = _spaces(board.flash)
    return [PoolSpace(first.name, max(0, first.bytes - reserved), first.external), *others]


def _spaces(pools: Sequence[Pool]) -> list[PoolSpace]:
    spaces = [PoolSpace(pool.name, int(pool.kib * 1024), pool.external) for pool in pools]
    return sorted(spaces, key=lambda space: space.external)


def place_blocks(
    problem: Problem, calls: int, touched: Sequence[float], pools: Sequence[PoolSpace]
) -> tuple[list[int], list[Placing]] | None:
    """Blocks to pools.

    If everything fits one pool inside the chip, the first such takes it. Otherwise whole blocks go to the first pool
    that still holds them, those with most bytes touched per byte held first; if that leaves something outside the
    chip or outside everything, the largest first are tried too, and the cheaper of both is taken.

    Args:
        touched: bytes read and written in each block during an inference.
        pools: the fastest first.

    Returns:
        pool of each block, and for each pool the placing of its blocks in their order; None: they do not fit.
    """
    every = range(len(problem.blocks))
    whole = search(problem, calls)
    nothing = Placing((), 0)
    for number, pool in enumerate(pools):
        if not pool.external and whole.peak <= pool.bytes:
            return [number] * len(every), [whole if other == number else nothing for other in range(len(pools))]
    size = [max(block.size, 1) for block in problem.blocks]
    orders = (
        sorted(every, key=lambda index: (-touched[index] / size[index], index)),
        sorted(every, key=lambda index: (-size[index], index)),
    )
    best, cheapest = None, 0.0
    for order in orders:
        if (chosen := _fill(problem, order, pools)) is None:
            continue
        cost = sum(
            touched[index] * (EXTERNAL if pools[pool].external else 1 + pool / 8) for index, pool in enumerate(chosen)
        )
        if best is None or cost < cheapest:
            best, cheapest = chosen, cost
    if best is None:
        return None
    placings = []
    for number in range(len(pools)):
        part = problem.part([index for index in every if best[index] == number])
        placings.append(search(part, calls))
    return best, placings


def _fill(problem: Problem, order: Sequence[int], pools: Sequence[PoolSpace]) -> list[int] | None:
    """Pool of each block, each taken in the order given by the first pool that still holds it; None: not all fit."""
    chosen = [-1] * len(problem.blocks)
    left = list(order)
    for number, pool in enumerate(pools):
        held: list[int] = []
        for index in left:
            if problem.blocks[index].size <= pool.bytes and _fits(problem, [*held, index], pool.bytes):
                held.append(index)
                chosen[index] = number
        left = [index for index in left if chosen[index] < 0]
    return None if left else chosen


def _fits(problem: Problem, held: Sequence[int], space: int) -> bool:
    blocks = problem.blocks
    if sum(blocks[index].size for index in held) <= space:
        return True
    for order in (
        sorted(held, key=lambda index: (-blocks[index].size, blocks[index].first)),
        sorted(held, key=lambda index: (blocks[index].first, -blocks[index].size)),
    ):
        for high in (False, True):
            if problem.place(order, [high] * len(blocks)).peak <= space:
                return True
    return False


@dataclass(frozen=True)
class FlashPlan:
    """Where constants lie.

    Attributes:
        pool: (call, field) -> memory, of every `Array`.
        pool_bytes: constants in each memory, each array rounded up to 16 bytes.
        pools: their names.
    """

    pool: Mapping[tuple[int, str], int]
    pool_bytes: tuple[int, ...]
    pools: tuple[str, ...]


def place_weights(program: Program, pools: Sequence[PoolSpace]) -> FlashPlan:
    """Constants to flash memories, the fastest first: whole arrays, those read most per byte held first.

    An array that several calls share is placed once.

    Raises:
        UserError: all memories together are too small.
    """
    places: dict[int, list[tuple[int, str]]] = {}
    arrays: dict[int, Array] = {}
    reads: dict[int, float] = {}
    for step, call in enumerate(program.calls):
        moved = sum(program.network.tensors[index].bytes for index in (*call.inputs, *call.outputs))
        for name, value in call.fields.items():
            if isinstance(value, Array):
                places.setdefault(id(value), []).append((step, name))
                arrays[id(value)] = value
                reads[id(value)] = reads.get(id(value), 0.0) + (call.macs if value.role == "weights" else moved)
    sizes = {key: aligned(array.values.nbytes) for key, array in arrays.items()}
    used = [0] * len(pools)
    pool: dict[tuple[int, str], int] = {}
    for key in sorted(arrays, key=lambda key: (-reads[key] / max(sizes[key], 1), places[key][0])):
        number = next((n for n, space in enumerate(pools) if used[n] + sizes[key] <= space.bytes), -1)
        if number < 0:
            total = sum(sizes.values()) / 1024
            known = ", ".join(f"{space.name} {space.bytes / 1024:.0f} KiB" for space in pools)
            raise UserError(f"flash: the constants take {total:.1f} KiB; free beside the code: {known}")
        used[number] += sizes[key]
        pool.update(dict.fromkeys(places[key], number))
    return FlashPlan(pool, tuple(used), tuple(space.name for space in pools))

"""Where blocks of memory lie, when some may overlap others by a lead: greedy placing and a bounded local search.

All bytes here are multiples of `ALIGNMENT`, but for leads, which are rounded up to one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

ALIGNMENT = 16
FAR = 1 << 62
WORK = 250_000
"""Blocks placed in one search: the limit of its time (about two seconds), the same on every machine."""


@dataclass(frozen=True)
class Block:
    """Memory that is held from call `first` to call `last`, both included.

    `size` is rounded up to `ALIGNMENT`. Before the first call is -1, after the last one the number of calls.
    """

    size: int
    first: int
    last: int


Leads = Mapping[tuple[int, int], int]
"""(block of an input, block of the output) -> lead: the output may begin at or below `input - lead`."""


def aligned(size: int) -> int:
    """`size` rounded up to `ALIGNMENT`."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Placing:
    """Offsets of blocks from 0, and the bytes that they take."""

    offsets: tuple[int, ...]
    peak: int


class Problem:
    """Blocks that may not overlap, but for leads.

    `neighbours[b]` lists (other, below, above): with the other at p, b may not begin within (p - below, p + above).
    """

    def __init__(self, blocks: Sequence[Block], leads: Leads):
        self.blocks = tuple(blocks)
        self.neighbours: list[list[tuple[int, int, int]]] = [[] for _ in blocks]
        ordered = sorted(range(len(blocks)), key=lambda index: blocks[index].first)
        alive: list[int] = []
        for index in ordered:
            block = blocks[index]
            alive = [other for other in alive if blocks[other].last >= block.first]
            for other in alive:
                self._join(other, index, leads)
            alive.append(index)

    def _join(self, one: int, two: int, leads: Leads) -> None:
        for source, made in ((one, two), (two, one)):
            if (lead := leads.get((source, made))) is not None:
                lead = min(aligned(lead), self.blocks[made].size)
                self.neighbours[made].append((source, lead, self.blocks[source].size))
                self.neighbours[source].append((made, self.blocks[source].size, lead))
                return
        self.neighbours[one].append((two, self.blocks[one].size, self.blocks[two].size))
        self.neighbours[two].append((one, self.blocks[two].size, self.blocks[one].size))

    def place(self, order: Sequence[int], high: Sequence[bool]) -> Placing:
        """Place blocks in an order, each where it makes the whole grow least.

        Args:
            order: all blocks.
            high: for each block, whether it takes the highest of the places that are equally good, or the lowest.
        """
        blocks, neighbours = self.blocks, self.neighbours
        offsets: list[int | None] = [None] * len(blocks)
        bottom, top = 0, 0
        for index in order:
            size = blocks[index].size
            taken = []
            for other, below, above in neighbours[index]:
                at = offsets[other]
                if at is not None:
                    taken.append((at - below, at + above))
            taken.sort()
            ideal = (bottom, top - size) if bottom <= top - size else (top - size, bottom)
            best, cost, start, upward = 0, -1, -FAR, high[index]
            for low, end in (*taken, (FAR, FAR)):
                if low >= start:  # free: [start, low]
                    first, last = max(start, ideal[0]), min(low, ideal[1])
                    at = (last if upward else first) if first <= last else (low if low < ideal[0] else start)
                    grows = max(0, bottom - at) + max(0, at + size - top)
                    if cost < 0 or grows < cost or (upward and grows == cost):
                        best, cost = at, grows
                start = max(start, end)
            offsets[index] = best
            bottom, top = min(bottom, best), max(top, best + size)
        return Placing(tuple(at - bottom for at in offsets if at is not None), top - bottom)


def search(blocks: Sequence[Block], leads: Leads, bound: int) -> Placing:
    """Offsets of few bytes in all. The same for the same arguments, on every machine.

    Orders by size, by time and from the peak outwards; then, where `bound` is not reached, changes of the best one
    that keep or better it, until `WORK` is done.
    """
    problem = Problem(blocks, leads)
    best, state = Placing((), 0), None
    for order in _orders(blocks):
        for high in (False, True):
            placing = problem.place(order, [high] * len(blocks))
            if state is None or placing.peak < best.peak:
                best, state = placing, (order, [high] * len(blocks))
            if best.peak <= bound:
                return best
    return best if state is None else _improve(problem, best, *state, bound)


def _orders(blocks: Sequence[Block]) -> Iterator[list[int]]:
    """Orders of placing, the best guess first."""
    every = range(len(blocks))
    if not blocks:
        return
    live = [0] * (max(block.last for block in blocks) + 2)
    for block in blocks:
        for step in range(block.first, block.last + 1):
            live[step] += block.size  # before the first call, -1, is the last entry
    fullest = live.index(max(live))
    yield sorted(every, key=lambda i: (-blocks[i].size, blocks[i].first))
    yield sorted(every, key=lambda i: (_distance(blocks[i], fullest), -blocks[i].size))
    yield sorted(every, key=lambda i: (blocks[i].first - blocks[i].last) * blocks[i].size)
    yield sorted(every, key=lambda i: (blocks[i].first, -blocks[i].size))
    yield sorted(every, key=lambda i: (-blocks[i].last, -blocks[i].size))
    yield sorted(every, key=lambda i: (blocks[i].first - blocks[i].last, -blocks[i].size))


def _distance(block: Block, step: int) -> int:
    return max(0, block.first - step, step - block.last)


def _improve(problem: Problem, best: Placing, order: list[int], high: list[bool], bound: int) -> Placing:
    """Local search: place a block of the lowest or highest addresses, or one of its neighbours, earlier or later."""
    random, count = Random(0), len(order)
    current = best
    for _ in range(WORK // count):
        changed, sides = list(order), list(high)
        edge = [
            index
            for index, at in enumerate(current.offsets)
            if at == 0 or at + problem.blocks[index].size == current.peak
        ]
        for _ in range(random.choice((1, 1, 2, 3))):
            index = random.choice(edge)
            if problem.neighbours[index] and random.random() < 0.5:
                index = random.choice(problem.neighbours[index])[0]
            if random.random() < 0.4:
                sides[index] = not sides[index]
            else:
                changed.remove(index)
                changed.insert(random.randrange(count), index)
        placing = problem.place(changed, sides)
        if placing.peak <= current.peak:
            current, order, high = placing, changed, sides
            if current.peak < best.peak:
                best = current
                if best.peak <= bound:
                    break
    return best

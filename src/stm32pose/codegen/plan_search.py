"""Where blocks of memory lie, when some may overlap others by a lead: greedy placing and a bounded local search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from random import Random

ALIGNMENT = 16
FAR = 1 << 62
WORK = 600_000
"""Blocks and pairs of neighbours looked at in one local search: the limit of its time, about two seconds, which is the
same work on every machine."""
MOST_TRIES = 2000
"""Changes that a search tries for a small network."""


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
    """Offsets of blocks from 0, the bytes that they take, and how few they could take at best."""

    offsets: tuple[int, ...]
    peak: int
    bound: int = 0


class Problem:
    """Blocks that may not overlap, but for leads.

    Attributes:
        leads: rounded up, and at most the size of the output: with more the output lies below the whole input.
        neighbours: for each block (other, below, above): with the other at p it may not begin within
            (p - below, p + above).
    """

    def __init__(self, blocks: Sequence[Block], leads: Leads):
        self.blocks = tuple(blocks)
        self.leads = {(one, two): min(aligned(lead), blocks[two].size) for (one, two), lead in leads.items()}
        self.neighbours: list[list[tuple[int, int, int]]] = [[] for _ in blocks]
        alive: list[int] = []
        for index in sorted(range(len(blocks)), key=lambda index: blocks[index].first):
            alive = [other for other in alive if blocks[other].last >= blocks[index].first]
            for other in alive:
                self._join(other, index)
            alive.append(index)

    def _join(self, one: int, two: int) -> None:
        if (two, one) in self.leads:
            one, two = two, one
        upper = self.blocks[one].size
        lower = self.leads.get((one, two), self.blocks[two].size)
        self.neighbours[one].append((two, upper, lower))
        self.neighbours[two].append((one, lower, upper))

    def part(self, kept: Sequence[int]) -> Problem:
        """The problem of some of the blocks, in the order given."""
        new = {old: number for number, old in enumerate(kept)}
        leads = {(new[a], new[b]): lead for (a, b), lead in self.leads.items() if a in new and b in new}
        return Problem([self.blocks[index] for index in kept], leads)

    def place(self, order: Sequence[int], high: Sequence[bool]) -> Placing:
        """Place blocks in an order, each where it makes the whole grow least.

        Args:
            order: all blocks, or some: then the offsets of those, by their numbers.
            high: for each block, whether it takes the highest of the places that are equally good, or the lowest.
        """
        offsets: list[int | None] = [None] * len(self.blocks)
        bottom, top = 0, 0
        for index in order:
            size = self.blocks[index].size
            taken = []
            for other, below, above in self.neighbours[index]:
                if (at := offsets[other]) is not None:
                    taken.append((at - below, at + above))
            taken.sort()
            least, most = (bottom, top - size) if bottom <= top - size else (top - size, bottom)
            best, cost, start, upward = 0, -1, -FAR, high[index]
            for low, end in (*taken, (FAR, FAR)):
                if low >= start:  # free: [start, low]
                    first, last = max(start, least), min(low, most)
                    at = (last if upward else first) if first <= last else (low if low < least else start)
                    grows = max(0, bottom - at) + max(0, at + size - top)
                    if cost < 0 or grows < cost or (upward and grows == cost):
                        best, cost = at, grows
                start = max(start, end)
            offsets[index] = best
            bottom, top = min(bottom, best), max(top, best + size)
        return Placing(tuple(at - bottom for at in offsets if at is not None), top - bottom)

    def live(self, calls: int) -> list[int]:
        """[calls + 2], the fewest bytes that what is live before, at each call, and after can take."""
        held = [0] * (calls + 3)
        for block in self.blocks:
            held[block.first + 1] += block.size
            held[block.last + 2] -= block.size
        for step in range(1, len(held)):
            held[step] += held[step - 1]
        shared: dict[int, list[int]] = {}
        for source, made in self.leads:
            shared.setdefault(made, []).append(source)
        for made, sources in shared.items():
            apart = self.blocks[made].size + sum(self.blocks[source].size for source in sources)
            held[self.blocks[made].first + 1] -= apart - self._together(made, sources)
        return held[:-1]

    def _together(self, made: int, sources: Sequence[int]) -> int:
        """The fewest bytes that an output and the inputs that it may overlap can take."""
        size, sizes = self.blocks[made].size, [self.blocks[source].size for source in sources]
        best = size + sum(sizes)
        if len(sources) > 5:  # too many orders: a bound that may be too low
            return max(size, sum(sizes))
        for ordered in permutations(sources):
            end = 0
            for source in ordered:
                end = max(end, self.leads[source, made]) + self.blocks[source].size
            best = min(best, max(size, end))
        return best

    def bound(self, least: int) -> int:
        """Bytes that no placing can do without, `least` being such a bound already.

        In an arena smaller than an input and its output together the output must begin a lead below the input, and
        so on along a chain of them.
        """
        order = sorted(self.leads, key=lambda pair: self.blocks[pair[1]].first)
        while True:
            depth: dict[int, int] = {}  # how far below the top of a chain each block must begin
            longest, unforced = 0, FAR
            for source, made in order:
                both = self.blocks[source].size + self.blocks[made].size
                if both <= least:
                    continue
                unforced = min(unforced, both)
                start = depth.get(source, self.blocks[source].size) + self.leads[source, made]
                depth[made] = max(depth.get(made, self.blocks[made].size), start)
                longest = max(longest, depth[made])
            if longest <= least:
                return least
            least = min(longest, unforced)


def search(problem: Problem, calls: int, *, work: int = WORK) -> Placing:
    """Offsets that take few bytes in all. The same for the same arguments, on every machine.

    Orders by size, by time and from the peak outwards; then, where the bound is not reached, changes of the best one
    that keep or better it, until `work` is done.
    """
    bound = problem.bound(max(problem.live(calls), default=0))
    best, state = Placing((), 0), None
    for order in _orders(problem.blocks):
        for high in (False, True):
            placing = problem.place(order, [high] * len(order))
            if state is None or placing.peak < best.peak:
                best, state = placing, (order, [high] * len(order))
        if best.peak <= bound:
            break
    if state is not None and best.peak > bound:
        once = sum(len(others) + 1 for others in problem.neighbours)
        best = _improve(problem, best, *state, bound=bound, tries=min(MOST_TRIES, work // once))
    return Placing(best.offsets, best.peak, bound)


def _orders(blocks: Sequence[Block]) -> Iterator[list[int]]:
    """Orders of placing, the best guess first."""
    if not blocks:
        return
    every = range(len(blocks))
    live = [0] * (max(block.last for block in blocks) + 2)
    for block in blocks:
        for step in range(block.first, block.last + 1):
            live[step + 1] += block.size
    fullest = live.index(max(live)) - 1

    def distance(block: Block) -> int:
        return max(0, block.first - fullest, fullest - block.last)

    yield sorted(every, key=lambda i: (-blocks[i].size, blocks[i].first))
    yield sorted(every, key=lambda i: (distance(blocks[i]), -blocks[i].size))
    yield sorted(every, key=lambda i: (blocks[i].first - blocks[i].last - 1) * blocks[i].size)
    yield sorted(every, key=lambda i: (blocks[i].first, -blocks[i].size))
    yield sorted(every, key=lambda i: (-blocks[i].last, -blocks[i].size))
    yield sorted(every, key=lambda i: (blocks[i].first - blocks[i].last, -blocks[i].size))


def _improve(problem: Problem, best: Placing, order: list[int], high: list[bool], *, bound: int, tries: int) -> Placing:
    """Orders by size and chance, then local search from the best state.

    A step of it places a block at the lowest or highest addresses, or a neighbour of it, earlier or later.
    """
    random, count = Random(0), len(order)
    for _ in range(tries // 4):
        keys = [block.size * random.uniform(0.5, 1.5) for block in problem.blocks]
        mixed = sorted(range(count), key=keys.__getitem__, reverse=True)
        sides = [random.random() < 0.2] * count
        placing = problem.place(mixed, sides)
        if placing.peak < best.peak:
            best, order, high = placing, mixed, sides
            if best.peak <= bound:
                return best
    current = best
    for _ in range(tries - tries // 4):
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

"""Where every tensor lies while a program runs: lifetimes, overlap of outputs with inputs, scratch, the arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stm32pose.codegen.placement import PoolSpace, place_blocks
from stm32pose.codegen.plan_limit import too_large, too_large_for_pools
from stm32pose.codegen.plan_search import Block, Placing, Problem, aligned, search
from stm32pose.codegen.program import Program


@dataclass(frozen=True)
class ArenaPlan:
    """Where everything lies. Bytes.

    Attributes:
        offsets: in its pool, of every tensor that has memory of its own (`Program.root`), multiples of 16.
        scratch: offset of each call's scratch; 0 where it takes none.
        pool: pool of each tensor.
        scratch_pool: pool of each call's scratch.
        pool_bytes: size of the arena in each pool.
        pools: their names; one unnamed pool where none were given.
        peak_bytes: of all pools together.
        bound_bytes: no plan can be smaller.
        live_bytes: for each call, the fewest bytes that what is live while it runs can take.
        plain_bytes: the most bytes that are live at once, without any overlap.
        lives: first and last call of each tensor: -1 for the inputs, the number of calls for the outputs.
    """

    offsets: Mapping[int, int]
    scratch: tuple[int, ...]
    pool: Mapping[int, int]
    scratch_pool: tuple[int, ...]
    pool_bytes: tuple[int, ...]
    pools: tuple[str, ...]
    peak_bytes: int
    bound_bytes: int
    live_bytes: tuple[int, ...]
    plain_bytes: int
    lives: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def peak_call(self) -> int:
        """The call with the most live bytes, the first of them; -1 without calls."""
        return self.live_bytes.index(max(self.live_bytes)) if self.live_bytes else -1


def lifetimes(program: Program) -> dict[int, tuple[int, int]]:
    """First and last call at which each tensor with memory of its own is in it.

    Inputs of the network are there from -1 on, before the first call, until they are last read; outputs stay to the
    end, the number of calls.
    """
    tensors, lives = program.network.tensors, {}

    def seen(index: int, step: int) -> None:
        root = program.root(index)
        if not tensors[root].constant:
            first, last = lives.get(root, (step, step))
            lives[root] = (min(first, step), max(last, step))

    for index in program.network.inputs:
        seen(index, -1)
    for step, call in enumerate(program.calls):
        for index in (*call.inputs, *call.outputs):
            seen(index, step)
    for index in program.network.outputs:
        seen(index, len(program.calls))
    return lives


def overlaps(program: Program, lives: Mapping[int, tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Pairs (input, output) of tensors that may overlap, with the lead: the input dies where the output is born."""
    leads: dict[tuple[int, int], int] = {}
    for step, call in enumerate(program.calls):
        if not call.outputs:
            continue
        made = program.root(call.outputs[0])
        if made not in lives or lives[made][0] != step:
            continue
        barred = {program.root(index) for index in call.outputs}
        found: dict[int, int] = {}
        for position, index in enumerate(call.inputs):
            root = program.root(index)
            lead = call.leads[position] if position < len(call.leads) else None
            if root not in lives or lives[root][1] != step or lead is None:
                barred.add(root)
            else:
                found[root] = max(lead, found.get(root, 0))
        leads.update({(root, made): lead for root, lead in found.items() if root not in barred})
    return leads


def plan_arena(program: Program, *, limit: int | None = None, pools: Sequence[PoolSpace] = ()) -> ArenaPlan:
    """Place every tensor and scratch of a program.

    Args:
        program: its calls stay in their order.
        limit: the most bytes that the arena may take.
        pools: memories, the fastest first; see `placement.place`. Empty: one, without an end.

    Raises:
        UserError: more than `limit`, or more than the pools hold: the calls at the peak and what would have to change.
    """
    lives = lifetimes(program)
    problem, roots, scratch_of = _problem(program, lives)
    calls = len(program.calls)
    chosen: tuple[list[int], list[Placing]] | None
    if pools:
        chosen = place_blocks(problem, calls, _touched(program, roots, scratch_of), pools)
    else:
        chosen = [0] * len(problem.blocks), [search(problem, calls)]
    if chosen is None:
        chosen, fits = ([0] * len(problem.blocks), [search(problem, calls)]), False
    else:
        fits = True
    plan = _arena_plan(program, lives, problem, roots, scratch_of, chosen, [pool.name for pool in pools] or [""])
    if not fits:
        raise too_large_for_pools(program, plan, pools)
    if limit is not None and plan.peak_bytes > limit:
        raise too_large(program, plan, limit)
    return plan


def _problem(program: Program, lives: Mapping[int, tuple[int, int]]) -> tuple[Problem, list[int], list[int]]:
    """The blocks of a program: those of its tensors (their roots), then those of its scratch (the calls)."""
    tensors = program.network.tensors
    roots = sorted(lives, key=lambda root: (lives[root], root))
    scratch_of = [step for step, call in enumerate(program.calls) if call.scratch_bytes]
    blocks = [Block(aligned(tensors[root].bytes), *lives[root]) for root in roots]
    blocks += [Block(aligned(program.calls[step].scratch_bytes), step, step) for step in scratch_of]
    number = {root: index for index, root in enumerate(roots)}
    leads = {(number[one], number[two]): lead for (one, two), lead in overlaps(program, lives).items()}
    return Problem(blocks, leads), roots, scratch_of


def _arena_plan(
    program: Program,
    lives: Mapping[int, tuple[int, int]],
    problem: Problem,
    roots: Sequence[int],
    scratch_of: Sequence[int],
    chosen: tuple[list[int], list[Placing]],
    names: Sequence[str],
) -> ArenaPlan:
    pool_of, placings = chosen
    calls = len(program.calls)
    left = [iter(placing.offsets) for placing in placings]
    offsets = [next(left[pool]) for pool in pool_of]
    scratch, scratch_pool = [0] * calls, [0] * calls
    for number, step in enumerate(scratch_of, len(roots)):
        scratch[step], scratch_pool[step] = offsets[number], pool_of[number]
    live = problem.live(calls)
    return ArenaPlan(
        offsets=dict(zip(roots, offsets, strict=False)),
        scratch=tuple(scratch),
        pool=dict(zip(roots, pool_of, strict=False)),
        scratch_pool=tuple(scratch_pool),
        pool_bytes=tuple(placing.peak for placing in placings),
        pools=tuple(names[: len(placings)]),
        peak_bytes=sum(placing.peak for placing in placings),
        bound_bytes=problem.bound(max(live)),
        live_bytes=tuple(live[1 : calls + 1]),
        plain_bytes=max(Problem(problem.blocks, {}).live(calls)),
        lives=lives,
    )


def _touched(program: Program, roots: Sequence[int], scratch_of: Sequence[int]) -> list[float]:
    """Bytes read and written in each block: tensors once a call, and one a multiply-accumulate where those read."""
    tensors = dict.fromkeys(roots, 0.0)
    scratch = dict.fromkeys(scratch_of, 0.0)
    for step, call in enumerate(program.calls):
        for index in (*call.inputs, *call.outputs):
            if (root := program.root(index)) in tensors:
                tensors[root] += program.network.tensors[root].bytes
        if step in scratch:
            scratch[step] += call.scratch_bytes + call.macs
        elif call.inputs and (root := program.root(call.inputs[0])) in tensors:
            tensors[root] += call.macs
    return [*tensors.values(), *scratch.values()]


def verify(program: Program, plan: ArenaPlan) -> None:
    """Run a program over a map of who owns each byte, as a last guard.

    Independent of how the plan was made: it knows no lifetimes. Before a call every byte of its inputs must still be
    theirs; an output may lie over one of them as far as its lead says; scratch over nothing of the call.

    Raises:
        AssertionError: a byte that is overwritten while it is needed, or outside its pool.
    """
    import numpy as np

    FREE, SCRATCH = -1, -2
    owner = [np.full(size, FREE, np.int32) for size in plan.pool_bytes]
    tensors = program.network.tensors

    def fail(what: str) -> None:
        raise AssertionError(f"memory plan: {what}")

    def span(root: int) -> tuple[int, int, int]:
        start, size, pool = plan.offsets[root], tensors[root].bytes, plan.pool[root]
        if start % 16 or start < 0 or start + size > len(owner[pool]):
            fail(f"tensor {root} lies at {start} of {len(owner[pool])} bytes")
        return pool, start, start + size

    def own(where: tuple[int, int, int], name: int) -> None:
        owner[where[0]][where[1] : where[2]] = name

    def roots(indices: Sequence[int]) -> list[int]:
        return [root for index in indices if not tensors[root := program.root(index)].constant]

    def intact(root: int, when: str) -> None:
        pool, start, end = span(root)
        if not (owner[pool][start:end] == root).all():
            fail(f"tensor {root} '{tensors[root].name}' is overwritten before {when}")

    begun = set(roots(program.network.inputs))
    for root in roots(program.network.inputs):
        own(span(root), root)
    for root in roots(program.network.inputs):
        intact(root, "the first call")
    for step, call in enumerate(program.calls):
        inputs, outputs = roots(call.inputs), roots(call.outputs)
        for root in (*inputs, *(made for made in outputs if made in begun)):  # several calls may fill one output
            intact(root, f"call {step}")
        spans = [span(root) for root in (*inputs, *outputs)]
        if call.scratch_bytes:
            pool, start = plan.scratch_pool[step], plan.scratch[step]
            scratch = (pool, start, start + call.scratch_bytes)
            if start % 16 or start < 0 or scratch[2] > len(owner[pool]) or any(_meet(scratch, one) for one in spans):
                fail(f"scratch of call {step} lies at {start} over its tensors or outside")
            own(scratch, SCRATCH)
        for number, made in enumerate(outputs):
            for other in outputs[:number]:
                if other != made and _meet(span(other), span(made)):
                    fail(f"outputs {other} and {made} of call {step} overlap")
            for position, index in enumerate(call.inputs):
                root = program.root(index)
                if tensors[root].constant or root == made or not _meet(span(root), span(made)):
                    continue
                lead = call.leads[position] if position < len(call.leads) and number == 0 else None
                if lead is None or plan.offsets[made] + lead > plan.offsets[root]:
                    fail(f"output {made} of call {step} overlaps input {root} by more than its lead {lead}")
            own(span(made), made)
        begun.update(outputs)
    for root in roots(program.network.outputs):
        intact(root, "the end")


def _meet(one: tuple[int, int, int], two: tuple[int, int, int]) -> bool:
    return one[0] == two[0] and max(one[1], two[1]) < min(one[2], two[2])

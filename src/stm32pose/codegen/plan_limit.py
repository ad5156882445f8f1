"""The error for an arena that is too large: where, what is live there, what would have to change."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING

from stm32pose.codegen.program import Program
from stm32pose.errors import ConfigError, UserError

if TYPE_CHECKING:
    from stm32pose.codegen.placement import PoolSpace
    from stm32pose.codegen.plan import ArenaPlan

LISTED = 3
"""Tensors and calls that an error names; the rest are counted."""
UNITS = {"": 1, "k": 1024, "m": 1 << 20}


def bytes_of(text: str, where: str) -> int:
    """`256K`, `1.5M`, `640 KiB` or a plain number, in bytes. ConfigError: none of these; `where` begins it."""
    spelling = text.strip().lower().removesuffix("b").removesuffix("i").strip()
    unit = spelling[-1:] if spelling[-1:] in ("k", "m") else ""
    try:
        value = float(spelling.removesuffix(unit)) * UNITS[unit]
        if not 1 <= value < 1 << 40:
            raise ValueError
    except ValueError:
        raise ConfigError(f"{where}: got '{text}'; allowed: bytes, as 262144, 256K or 1.5M") from None
    return int(value)


def too_large(program: Program, plan: ArenaPlan, limit: int) -> UserError:
    """The error for an arena of more than `limit` bytes."""
    return UserError(f"RAM: ram_limit is {kib(limit)}, {_explain(program, plan, limit)}")


def too_large_for_pools(program: Program, plan: ArenaPlan, pools: Sequence[PoolSpace]) -> UserError:
    """The error for a network that these memories do not hold; `plan` is that of one memory without an end."""
    known = ", ".join(f"{pool.name} {pool.bytes / 1024:.0f} KiB" for pool in pools)
    total = sum(pool.bytes for pool in pools)
    if plan.peak_bytes <= total:  # enough in all, but a tensor lies in one piece
        total = max(pool.bytes for pool in pools)
    return UserError(f"RAM of the board: {known}; {_explain(program, plan, total)}")


def _explain(program: Program, plan: ArenaPlan, limit: int) -> str:
    peak = plan.peak_bytes
    parts = [f"the arena takes {kib(peak)}"]
    if plan.peak_call >= 0:
        call = program.calls[plan.peak_call]
        parts[0] += f", most of it at call {plan.peak_call} of {len(program.calls)}, {call.kind} '{call.name}'"
        parts.append(f"live there: {_live(program, plan, plan.peak_call)}")
        over = [step for step, live in enumerate(plan.live_bytes) if live > limit and step != plan.peak_call]
        if over:
            named = ", ".join(f"{step} {program.calls[step].kind}" for step in over[:LISTED])
            more = f" and {len(over) - LISTED} more" if len(over) > LISTED else ""
            parts.append(f"over it too: call {named}{more}")
    changes = _changes(program, plan, limit)
    return "; ".join([*parts, *([f"to fit: {', or '.join(changes)}"] if changes else [])])


def _live(program: Program, plan: ArenaPlan, step: int) -> str:
    call, tensors = program.calls[step], program.network.tensors
    inputs = {program.root(index) for index in call.inputs}
    outputs = {program.root(index) for index in call.outputs}
    live = sorted(
        (root for root, (first, last) in plan.lives.items() if first <= step <= last),
        key=lambda root: (-tensors[root].bytes, root),
    )
    named = []
    for root in live[:LISTED]:
        role = "output" if root in outputs else "input" if root in inputs else "kept for later"
        shape = "x".join(str(size) for size in tensors[root].shape)
        named.append(f"{role} '{_short(tensors[root].name)}' {shape} {kib(tensors[root].bytes)}")
    if len(live) > LISTED:
        rest = sum(tensors[root].bytes for root in live[LISTED:])
        named.append(f"{len(live) - LISTED} more {kib(rest)}")
    if call.scratch_bytes:
        named.append(f"scratch {kib(call.scratch_bytes)}")
    return ", ".join(named)


def _changes(program: Program, plan: ArenaPlan, limit: int) -> list[str]:
    """What would have to change, from what is known without building another network: estimates."""
    tensors, share, step = program.network.tensors, limit / max(plan.peak_bytes, 1), plan.peak_call
    changes = []
    images = [tensors[index] for index in program.network.inputs if len(tensors[index].shape) == 4]
    if images and min(images[0].shape[1:3]) > 1:
        rows, columns = images[0].shape[1:3]
        smaller = tuple(_side(size, sqrt(share)) for size in (rows, columns))
        if min(smaller) > 0:
            changes.append(
                f"an input of about {smaller[0]}x{smaller[1]} instead of {rows}x{columns} (memory goes with its area)"
            )
    live = [root for root, (first, last) in plan.lives.items() if first <= step <= last]
    if live and not {program.root(index) for index in program.network.inputs} & set(live):
        changes.append(f"channels (alpha) times about {share:.2g}")
    if live:
        largest = max(live, key=lambda root: (tensors[root].bytes, -root))
        left = tensors[largest].bytes - (plan.peak_bytes - limit)
        if left > 0:
            changes.append(f"'{_short(tensors[largest].name)}' of at most about {kib(left)}")
    return changes


def _side(size: int, factor: float) -> int:
    """A smaller side: a multiple of 32 where it was one, as networks of strides want it, of 8 or any otherwise."""
    step = 32 if size % 32 == 0 and size * factor >= 32 else 8 if size * factor >= 16 else 1
    return int(size * factor) // step * step


def _short(name: str) -> str:
    """The first of the names that a converter has joined, its last 40 characters."""
    first = name.split(";")[0]
    return first if len(first) <= 40 else f"...{first[-37:]}"


def kib(size: float) -> str:
    """`7.5 KiB`; fewer than 1024 bytes as `640 B`."""
    return f"{size / 1024:.1f} KiB" if size >= 1024 else f"{size:.0f} B"

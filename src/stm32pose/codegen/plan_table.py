"""What each layer takes: a table of a plan, as rows and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stm32pose.codegen.plan import ArenaPlan
from stm32pose.codegen.program import Program


@dataclass(frozen=True)
class LayerRow:
    """One call. Bytes; constants are not among the inputs.

    Attributes:
        layer: its number, from 0.
        kernel: C name.
        kind, name: operator and layer it comes from.
        macs: multiply-accumulates.
        input_bytes, output_bytes, scratch_bytes: what it reads, makes, and needs while it runs.
        overlap_bytes: of the output, how many lie over an input that ends here.
        live_bytes: the fewest bytes that all that is live while it runs can take.
    """

    layer: int
    kernel: str
    kind: str
    name: str
    macs: int
    input_bytes: int
    output_bytes: int
    scratch_bytes: int
    overlap_bytes: int
    live_bytes: int


COLUMNS = ("layer", "kernel", "MACs", "input", "output", "scratch", "overlap", "live", "made by")


def layer_rows(program: Program, plan: ArenaPlan) -> list[LayerRow]:
    """A row for each call, in order."""
    tensors, rows = program.network.tensors, []
    for step, call in enumerate(program.calls):
        inputs = {root for index in call.inputs if (root := program.root(index)) in plan.offsets}
        outputs = {root for index in call.outputs if (root := program.root(index)) in plan.offsets}
        rows.append(
            LayerRow(
                step,
                call.function,
                call.kind,
                call.name,
                call.macs,
                sum(tensors[root].bytes for root in inputs),
                sum(tensors[root].bytes for root in outputs),
                call.scratch_bytes,
                sum(_common(program, plan, one, two) for one in inputs for two in outputs - inputs),
                plan.live_bytes[step],
            )
        )
    return rows


def _common(program: Program, plan: ArenaPlan, one: int, two: int) -> int:
    """Bytes in which two tensors lie over each other."""
    if plan.pool[one] != plan.pool[two]:
        return 0
    start = max(plan.offsets[one], plan.offsets[two])
    ends = (plan.offsets[root] + program.network.tensors[root].bytes for root in (one, two))
    return max(0, min(ends) - start)


def layer_table(rows: Sequence[LayerRow]) -> str:
    """Rows as text: a line each, columns aligned, sizes in bytes; the peak is marked with `<`."""
    peak = max((row.live_bytes for row in rows), default=0)
    cells: list[list[str]] = [list(COLUMNS)]
    for row in rows:
        sizes = (row.macs, row.input_bytes, row.output_bytes, row.scratch_bytes, row.overlap_bytes)
        live = f"{row.live_bytes:,}{' <' if row.live_bytes == peak else '  '}"
        cells.append([str(row.layer), row.kernel, *(f"{size:,}" for size in sizes), live, f"{row.kind} {row.name}"])
    cells[0][7] += "  "
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]
    lines = []
    for line in cells:
        parts = [
            text.ljust(width) if COLUMNS[column] in ("kernel", "made by") else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)

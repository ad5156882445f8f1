"""`Estimate`: what a network costs on a board, computed here without board or account, and whether it fits."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from stm32pose.benchmark.cost_model import memory_fit, st_activations_ratio
from stm32pose.benchmark.features import FREE
from stm32pose.benchmark.graph import Graph
from stm32pose.benchmark.latency import graph_latency
from stm32pose.benchmark.memory import plan_memory
from stm32pose.boards.board import Board

KIB = 1024


@dataclass(frozen=True)
class Estimate:
    """The cost of one network on one board. Sizes in bytes, times in milliseconds.

    Attributes:
        board: name of the board; `core` its processor and `mhz` the clock of `latency_ms`.
        activations_bytes: arena of all activations, inputs and outputs included, planned over their lifetimes.
        weights_bytes: constants: int8 weights and 4 bytes a bias.
        code_bytes, runtime_ram_bytes: flash and RAM of ST's runtime library, fitted on published rows; 0 on an MPU.
        total_ram_bytes, total_flash_bytes: the sums. Your application, its stack and camera frames come on top.
        ram_available_bytes, flash_available_bytes: the memory the verdict compares with: inside the chip, or with the
            memory of the board where the network needs that (`external_ram`, `external_flash`).
        macs: multiply-accumulates of one inference.
        latency_ms: time of one inference; None where no published row tells how fast that core is.
        latency_error: 90th percentile of the relative error on published rows whose architecture was left out of the
            fit: 0.15 means +-15 %. None with latency_ms.
        latency_rows: number of published rows behind the fit; latency_own_rows: those of this very board.
        latency_spread: to be shown as a range of latency_ms / (1 + error) to latency_ms * (1 + error).
        latency_how: what the time was computed from, in words.
        instructions: of one inference of the generated C, where the time was computed from them.
        st_ram_bytes: lowest and highest total RAM to expect of ST's runtime, whose planner cannot be reproduced: by
            the ratios of published rows to ours; None on an MPU.
        off_accelerator: operators that leave the neural accelerator, such as `RESIZE_BILINEAR x3`; empty without one.
        fits: whether RAM and flash suffice.
        external_ram, external_flash: whether memory outside the chip is needed.
        limits: one line for each memory that is too small, with what is missing.
        ram_margin, flash_margin: free share of the memory available; negative where it does not fit.
        how: always `estimated` here.
        note: what else to know, one line.
    """

    board: str
    core: str
    mhz: float
    activations_bytes: int
    weights_bytes: int
    code_bytes: int
    runtime_ram_bytes: int
    total_ram_bytes: int
    total_flash_bytes: int
    ram_available_bytes: int
    flash_available_bytes: int
    macs: int
    latency_ms: float | None
    latency_error: float | None
    latency_rows: int
    latency_own_rows: int = 0
    latency_spread: bool = False
    latency_how: str = ""
    instructions: float | None = None
    st_ram_bytes: tuple[int, int] | None = None
    off_accelerator: list[str] = field(default_factory=list)
    fits: bool = True
    external_ram: bool = False
    external_flash: bool = False
    limits: list[str] = field(default_factory=list)
    ram_margin: float = 0.0
    flash_margin: float = 0.0
    how: str = "estimated"
    note: str = ""


def estimate(graph: Graph, board: Board) -> Estimate:
    """What `graph` costs on `board`. A float graph is priced as if quantized to int8.

    Raises:
        UserError: the board's YAML names a latency family that the cost model does not have.
    """
    activations = plan_memory(graph).peak_bytes
    weights = graph.weights_bytes
    library = {"inference": 1.0, "operators": float(len(graph.ops))}
    linux = board.kind == "mpu"
    code = 0 if linux else round(memory_fit("code_flash").apply(library))
    runtime = 0 if linux else round(memory_fit("runtime_ram").apply(library))
    ram, flash = activations + runtime, weights + code
    notes, limits = [], []
    if not graph.quantized:
        notes.append("float model, priced as int8")
    ram_available, external_ram = _available(ram, board.internal_ram_kib, board.external_ram_kib)
    flash_available, external_flash = _available(flash, board.internal_flash_kib, board.external_flash_kib)
    for what, needed, available in (("RAM", ram, ram_available), ("flash", flash, flash_available)):
        if needed > available:
            missing = (needed - available) / KIB
            limits.append(
                f"{what}: needs {needed / KIB:,.0f} KiB, {board.name} has {available / KIB:,.0f} KiB, "
                f"{missing:,.0f} KiB short"
            )
    if not linux:
        if external_ram and ram <= ram_available:
            notes.append("needs external RAM: slower than estimated")
        if external_flash and flash <= flash_available and board.internal_flash_kib:
            notes.append("needs external flash: slower than estimated")
    latency = graph_latency(graph, board)
    if latency is None:
        notes.append(f"no latency: no published rows for {board.core}")
    off = off_accelerator(graph, board)
    if latency and latency.spread and board.accelerator:
        notes.append(
            f"a rough range: what ST's compiler makes of a network for the {board.accelerator.name} is not "
            "modelled; ask ST's tool (benchmarking.backend: stedgeai or cloud)"
        )
    if board.accelerator and board.accelerator.per_tensor_only and not graph.per_tensor:
        notes.append(f"per-channel: runs on the GPU; quantize per tensor for the {board.accelerator.name}")
    if board.note:
        notes.append(board.note)
    return Estimate(
        board=board.name,
        core=board.core,
        mhz=board.mhz,
        activations_bytes=activations,
        weights_bytes=weights,
        code_bytes=code,
        runtime_ram_bytes=runtime,
        total_ram_bytes=ram,
        total_flash_bytes=flash,
        ram_available_bytes=ram_available,
        flash_available_bytes=flash_available,
        macs=graph.macs,
        latency_ms=latency.milliseconds if latency else None,
        latency_error=latency.error if latency else None,
        latency_rows=latency.rows if latency else 0,
        latency_own_rows=latency.own_rows if latency else 0,
        latency_spread=bool(latency and latency.spread),
        latency_how=latency.how if latency else "",
        instructions=latency.instructions if latency else None,
        st_ram_bytes=None if linux else _of_st(activations, runtime, board),
        off_accelerator=off,
        fits=not limits,
        external_ram=external_ram,
        external_flash=external_flash,
        limits=limits,
        ram_margin=1 - ram / ram_available if ram_available else -1.0,
        flash_margin=1 - flash / flash_available if flash_available else -1.0,
        note="; ".join(notes),
    )


def off_accelerator(graph: Graph, board: Board) -> list[str]:
    """Operators that the board's accelerator does not run, by kind with their number, most frequent first."""
    if board.accelerator is None or not board.accelerator.operators:
        return []
    known = (*board.accelerator.operators, *FREE)
    outside = Counter(op.kind for op in graph.ops if op.kind not in known)
    return [f"{kind} x{number}" if number > 1 else kind for kind, number in outside.most_common()]


def _available(needed: int, internal_kib: float, external_kib: float) -> tuple[int, bool]:
    """The memory to compare with, and whether it is partly outside the chip: inside first, outside where it must."""
    internal, external = int(internal_kib * KIB), int(external_kib * KIB)
    if needed <= internal or not external:
        return internal, False
    return internal + external, True


def _of_st(activations: int, runtime: int, board: Board) -> tuple[int, int]:
    """RAM that ST's own runtime may take."""
    low, high = st_activations_ratio("neural-art-n6" if board.latency == "neural-art-n6" else "cortex-m")
    return round(activations * low) + runtime, round(activations * high) + runtime

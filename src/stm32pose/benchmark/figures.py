"""`Figures`: what a network costs on a board, whichever route told it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Route = Literal["cloud", "stedgeai", "emulate", "estimate"]


@dataclass(frozen=True)
class Figures:
    """The cost of one network on one board as one route tells it. Sizes in bytes, times in milliseconds.

    None stands for what the route does not tell: ST's local program knows no latency, a cloud benchmark of an STM32MP
    no MACs.

    Attributes:
        route: `cloud` (ST's Developer Cloud), `stedgeai` (ST's program on this machine), `emulate` (our generated C on
            an emulated processor) or `estimate` (ours).
        how: how the figures were obtained, for people: `measured on a STM32H747I-DISCO by ST's Developer Cloud`.
        board: ST's name of the board.
        tool: program and version behind the figures, `ST Edge AI Core 3.0.0`.
        activations_bytes, weights_bytes: of the network alone.
        runtime_ram_bytes, code_bytes: of the runtime library.
        total_ram_bytes, total_flash_bytes: the sums.
        internal_ram_bytes, external_ram_bytes, internal_flash_bytes, external_flash_bytes: where they lie.
        macs: multiply-accumulates of one inference.
        cycles: processor cycles of one inference.
        latency_ms: time of one inference.
        latency_error: where it is estimated, how far it may be off: 0.09 means +-9 %.
        latency_spread: to be shown as a range of latency_ms / (1 + error) to latency_ms * (1 + error).
        instructions: that an emulated processor executed in one inference.
        exact: whether every output byte of the emulated run was the one of the reference.
        layers: of the emulated run, in order: name, kind, macs, instructions.
        model_bytes, peak_ram_bytes, npu_percent, gpu_percent, cpu_percent: of a Linux board; shares in 0..100.
        validation: error metrics of the tool's own validation, one entry an output, as the tool names them.
        note: what else to know, one line.
    """

    route: Route
    how: str
    board: str
    tool: str = ""
    activations_bytes: int | None = None
    weights_bytes: int | None = None
    runtime_ram_bytes: int | None = None
    code_bytes: int | None = None
    total_ram_bytes: int | None = None
    total_flash_bytes: int | None = None
    internal_ram_bytes: int | None = None
    external_ram_bytes: int | None = None
    internal_flash_bytes: int | None = None
    external_flash_bytes: int | None = None
    macs: int | None = None
    cycles: int | None = None
    latency_ms: float | None = None
    latency_error: float | None = None
    latency_spread: bool = False
    instructions: int | None = None
    exact: bool | None = None
    layers: list[dict[str, Any]] = field(default_factory=list)
    model_bytes: int | None = None
    peak_ram_bytes: int | None = None
    npu_percent: float | None = None
    gpu_percent: float | None = None
    cpu_percent: float | None = None
    validation: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""

"""`benchmarking.backend: emulate`: what it needs, and its run in the form of the other routes."""

from __future__ import annotations

from pathlib import Path

from stm32pose.benchmark.emulate.model import EmulatedModel, emulate_model
from stm32pose.benchmark.emulate.toolchains import check_core, find_tools
from stm32pose.benchmark.figures import Figures
from stm32pose.benchmark.graph import Graph
from stm32pose.benchmark.latency import Latency, counted_latency
from stm32pose.boards.board import Board
from stm32pose.codegen.targets import Target, target_of_core
from stm32pose.errors import ConfigError

KEY = "benchmarking.backend: emulate"


def check_emulation(board: Board, kind: str | None) -> Target:
    """What the route can refuse before a chain begins; returns the processor that will be emulated.

    Args:
        board: where the network is to run.
        kind: of the file by then: `keras`, `tflite`, `onnx`; None: not known.

    Raises:
        ConfigError: no emulator of the board's processor, no tools, or a model that is not int8 by then.
    """
    if kind == "keras":
        raise ConfigError(
            f"{KEY}: got a Keras model; C code is made of int8 .tflite and .onnx files: quantize it first "
            "(operation_mode: chain_qb)"
        )
    target = target_of_core(board.core)
    check_core(target, board.core, where=KEY)
    find_tools(target, where=KEY)
    return target


def emulated_figures(path: Path, board: Board, folder: Path, *, graph: Graph) -> Figures:
    """Export a model for a board's processor, run it emulated, and tell what it costs.

    Args:
        path: an int8 .tflite or .onnx file.
        folder: for code, program, files and logs.
        graph: of the model, for the latency.

    Raises:
        ConfigError: as `check_emulation`. UserError: not exportable, too large, or the run failed.
    """
    target = check_emulation(board, None)
    return figures_of(emulate_model(path, target, folder), board, graph)


def figures_of(done: EmulatedModel, board: Board, graph: Graph) -> Figures:
    """An emulated run as `Figures`."""
    run, calls = done.emulation, done.built.program.calls
    measured = run.compiler.startswith("arm-none-eabi-gcc")  # the compiler that the cycles are fitted with
    latency = counted_latency(board, run.instructions, graph) if measured else None
    own_ram = run.data_bytes + run.stack_bytes
    return Figures(
        route="emulate",
        how=_how(done, latency),
        board=board.name,
        tool=f"{run.compiler}, {run.emulator}",
        activations_bytes=run.arena_bytes,
        weights_bytes=run.weights_bytes,
        runtime_ram_bytes=own_ram,
        code_bytes=run.code_bytes,
        total_ram_bytes=run.arena_bytes + own_ram,
        total_flash_bytes=run.weights_bytes + run.code_bytes,
        macs=sum(call.macs for call in calls),
        latency_ms=latency.milliseconds if latency else None,
        latency_error=latency.error if latency else None,
        latency_spread=bool(latency and latency.spread),
        instructions=run.instructions,
        exact=run.exact,
        layers=[
            {"name": call.name, "kind": call.kind, "macs": call.macs, "instructions": layer.instructions}
            for layer, call in zip(run.layers, calls, strict=True)
        ],
        note=_note(done, board, latency, measured),
    )


def _how(done: EmulatedModel, latency: Latency | None) -> str:
    run = done.emulation
    runtime = "LiteRT" if done.built.program.network.rounding == "tflite" else "ONNX Runtime"
    if run.exact:
        verdict = f"every output byte as {runtime} computes it"
    else:
        verdict = f"NOT exact: {run.mismatches:,} of {run.compared:,} output elements differ from {runtime}'s"
    time = f"; latency from them, ± {100 * latency.error:.0f} %" if latency and not latency.spread else ""
    time = "; latency from them, a rough range" if latency and latency.spread else time
    return f"emulated ({run.chip}, {run.machine}): {verdict}; {run.instructions / 1e6:.3f} M instructions counted{time}"


def _note(done: EmulatedModel, board: Board, latency: Latency | None, measured: bool) -> str:
    notes = ["our own generated C, not ST's runtime"]
    if board.accelerator:
        notes.append(f"on the {board.core} alone: the {board.accelerator.name} is not emulated")
    if not measured:
        notes.append(f"no latency: cycles are fitted on GCC's code, this is {done.emulation.compiler}'s")
    elif latency is None:
        notes.append(f"no latency: cycles of counted instructions are not fitted for the {board.core}")
    return "; ".join(notes)

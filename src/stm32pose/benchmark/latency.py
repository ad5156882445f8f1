"""How long a network takes on a board and how wrong that was: from its graph, or from counted instructions."""

from __future__ import annotations

from dataclasses import dataclass

from stm32pose.benchmark.cost_model import Fit, core_fits, has_core_fits, latency_fit
from stm32pose.benchmark.features import FREE, features, traffic
from stm32pose.benchmark.graph import Graph
from stm32pose.benchmark.work import work
from stm32pose.boards.board import Board


@dataclass(frozen=True)
class Latency:
    """A time and how far it may be off.

    Attributes:
        milliseconds: of one inference.
        error: 90th percentile of the relative error on published rows whose architecture had no part in the fit, nor
            in the choice of what it weighs where that was tried: 0.15 means +-15 %. Where none of the rows is of this
            board, as seen on boards that had no part in the fit, if that is more.
        rows: published rows behind the fit; `own_rows` those of this very board.
        spread: to be shown as a range of milliseconds / (1 + error) to milliseconds * (1 + error), since what the
            accelerator's compiler does is not modelled.
        instructions: of one inference, where that is how the time was found.
        how: in words.
    """

    milliseconds: float
    error: float
    rows: int
    own_rows: int
    spread: bool = False
    instructions: float | None = None
    how: str = ""


def calibration(board: Board, *, counted: bool = False, per_tensor: bool = False) -> Fit | None:
    """What is known of latencies on a board; None where nothing is.

    Args:
        board: the board.
        counted: of latencies from counted instructions, where the board's processor has such; else from the graph.
        per_tensor: of models with one scale a tensor.
    """
    family = board.latency_per_tensor if per_tensor and board.latency_per_tensor else board.latency
    if family is None:
        return None
    if has_core_fits(family):
        fits = core_fits(family)
        return fits.cycles if counted else fits.predicted
    return latency_fit(family)


NEAR_BYTES = 4096
"""What a layer reads again and again from close by: more than that comes from memory each time."""
CYCLE_TERMS = {
    "instructions": "counted on an emulated processor, or estimated from the graph",
    "far_bytes": "bytes of activations that layers read and write, of those that handle more than NEAR_BYTES",
    "far_macs": "multiply-accumulates of the layers with more weights than NEAR_BYTES",
}


def graph_latency(graph: Graph, board: Board) -> Latency | None:
    """The time that a network's graph lets expect; None where no published row tells how fast the processor is.

    Raises:
        UserError: the board's YAML names a family that the cost model does not have.
    """
    fit = calibration(board, per_tensor=graph.per_tensor)
    if fit is None or board.latency is None:
        return None
    if has_core_fits(board.latency):
        fits = core_fits(board.latency)
        instructions = fits.instructions.apply(work(graph))
        cycles = fits.cycles.apply(cycle_sums(instructions, graph))
        how = "instructions of the generated C estimated from the graph, times fitted cycles"
        return _latency(cycles / (board.mhz * 1e3), fit, board, instructions, how)
    accelerated = board.accelerator.operators if board.accelerator else ()
    amount = fit.apply(features(graph, accelerated))
    milliseconds = amount / (board.mhz * 1e3) if fit.unit == "cycles" else amount / 1e3
    return _latency(milliseconds, fit, board, None, "sums of work times fitted costs")


def counted_latency(board: Board, instructions: float, graph: Graph) -> Latency | None:
    """The time of a network whose instructions were counted on an emulated processor like the board's; None where no
    published row tells how many cycles such an instruction takes.

    Args:
        board: its processor must be the one that was emulated.
        instructions: of one inference.
        graph: of the network.
    """
    if board.latency is None or not has_core_fits(board.latency):
        return None
    fit = core_fits(board.latency).cycles
    cycles = fit.apply(cycle_sums(instructions, graph))
    return _latency(cycles / (board.mhz * 1e3), fit, board, instructions, "counted instructions times fitted cycles")


def cycle_sums(
    instructions: float, graph: Graph, near: int = NEAR_BYTES, near_weights: int = NEAR_BYTES
) -> dict[str, float]:
    """What the fitted cycles are a sum of, see `CYCLE_TERMS`."""
    sums = {"instructions": float(instructions), "far_bytes": 0.0, "far_macs": 0.0}
    for op in graph.ops:
        if op.kind not in FREE and (moved := traffic(op, graph)) > near:
            sums["far_bytes"] += moved
        if op.weight_bytes > near_weights:
            sums["far_macs"] += op.macs
    return sums


def _latency(milliseconds: float, fit: Fit, board: Board, instructions: float | None, how: str) -> Latency:
    spread = fit.range_error is not None
    error = fit.expected_on(board.name)
    own = fit.boards.get(board.name, 0)
    return Latency(milliseconds, error, fit.rows, own, spread, instructions, how)

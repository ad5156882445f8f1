"""Latency from counted instructions and from the graph: what is weighed, and that calibration met its bars."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmark_room.test_estimate import network

from stm32pose.benchmark.cost_model import core_fits
from stm32pose.benchmark.graph import read_graph
from stm32pose.benchmark.latency import NEAR_BYTES, calibration, counted_latency, cycle_sums, graph_latency
from stm32pose.benchmark.work import WORK, layers, work
from stm32pose.boards.board import load_board

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_work_names_every_sum() -> None:
    sums = work(network())
    assert set(sums) <= set(WORK)
    assert sums["calls"] == 3
    assert sums["conv_macs"] == 16 * 27 * 256
    assert sums["conv_patch"] == 27 * 256
    assert sums["pointwise_macs"] == 64 * 1024
    assert sums["pointwise_inputs"] == 16 * 1024
    assert sums["bilinear_outputs"] == 16 * 1024


def test_layers_add_up_to_the_whole() -> None:
    graph = network()
    assert sum((sums for _, sums in layers(graph)), type(work(graph))()) == work(graph)


def test_what_is_far() -> None:
    graph = network()
    sums = cycle_sums(1000, graph)
    assert sums["instructions"] == 1000
    moved = [3 * 1024 + 16 * 256, 16 * 256 + 16 * 1024, 16 * 1024 + 4 * 1024]
    assert sums["far_bytes"] == sum(bytes_ for bytes_ in moved if bytes_ > NEAR_BYTES)
    assert sums["far_macs"] == 0
    heavy = replace(graph, ops=(replace(graph.ops[0], weight_bytes=NEAR_BYTES + 1), *graph.ops[1:]))
    assert cycle_sums(1000, heavy)["far_macs"] == graph.ops[0].macs


def test_counted_and_estimated_instructions_cost_the_same() -> None:
    board, graph = load_board("STM32H747I-DISCO"), network()
    guess = graph_latency(graph, board)
    assert guess is not None
    assert guess.instructions is not None
    counted = counted_latency(board, guess.instructions, graph)
    assert counted is not None
    assert counted.milliseconds == pytest.approx(guess.milliseconds)
    assert counted.how != guess.how
    twice = counted_latency(board, 2 * guess.instructions, graph)
    assert twice is not None
    assert counted.milliseconds < twice.milliseconds < 2 * counted.milliseconds


@pytest.mark.parametrize("name", ["NUCLEO-G0B1RE", "STM32N6570-DK", "STM32MP157F-DK2"])
def test_no_counted_latency_where_no_cycles_are_known(name: str) -> None:
    assert counted_latency(load_board(name), 1e6, network()) is None


@pytest.mark.parametrize(
    ("core", "mean", "worst"), [("cortex-m7", 0.05, 0.13), ("cortex-m33", 0.08, 0.15), ("cortex-m4", 0.08, 0.15)]
)
def test_the_bars_of_calibration(core: str, mean: float, worst: float) -> None:
    fit = core_fits(core).cycles
    assert fit.mean_error <= mean
    assert fit.worst_error <= worst


def test_calibration_of_a_board() -> None:
    board = load_board("STM32H747I-DISCO")
    counted, guessed = calibration(board, counted=True), calibration(board)
    assert counted is core_fits("cortex-m7").cycles or counted == core_fits("cortex-m7").cycles
    assert guessed == core_fits("cortex-m7").predicted
    assert calibration(load_board("NUCLEO-G0B1RE")) is None


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy")
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_non_negative_fits(scripts: None) -> None:
    from fitting import left_out, non_negative  # type: ignore[import-not-found]

    random = np.random.default_rng(0)
    matrix = random.random((20, 3))
    assert non_negative(matrix, matrix @ [1.0, 0.0, 2.0]) == pytest.approx([1, 0, 2], abs=1e-9)
    assert (non_negative(matrix, -np.ones(20)) == 0).all()
    published = matrix @ [1.0, 0.5, 2.0]
    assert left_out(matrix, published, ["a"] * 10 + ["b"] * 10) == pytest.approx(np.zeros(20), abs=1e-9)
    assert np.isnan(left_out(matrix, published, ["a"] * 20)).all()


def test_published_rows(scripts: None, shared: Path) -> None:
    from published import read_rows  # type: ignore[import-not-found]

    rows = read_rows(shared / "facts/st_benchmarks.csv")
    keys = [(row.family, row.board, row.model_file, row.scale) for row in rows]
    assert len(keys) == len(set(keys))
    cores = [row for row in rows if row.family.startswith("cortex-m")]
    assert {row.family for row in cores} == {"cortex-m4", "cortex-m7", "cortex-m33"}
    assert all((shared / row.model_file).is_file() for row in rows)
    assert len([row for row in cores if row.board == "STM32H747I-DISCO"]) == 15
    kws = [row for row in cores if row.board == "NUCLEO-U575ZI-Q" and row.architecture == "kws"]
    assert [round(row.milliseconds, 2) for row in kws] == [29.03]  # two measurements with the same tool


def test_instructions_from_the_graph_are_near_those_counted(shared: Path) -> None:
    runs = json.loads((SCRIPTS / "emulated_runs.json").read_text())
    name = "flowers__mobilenet_v2_0.35_128_fft_int8__6521cbfb.tflite"
    guess = core_fits("cortex-m7").instructions.apply(work(read_graph(shared / "models/calibration" / name)))
    assert guess == pytest.approx(runs[name]["cortex-m7"]["instructions"], rel=0.1)

"""Estimates: verdicts, margins, what leaves the accelerator, and distance from published figures."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from stm32pose.benchmark.cost_model import core_fits, has_core_fits, latency_fit, memory_fit
from stm32pose.benchmark.estimate import estimate, off_accelerator
from stm32pose.benchmark.features import FEATURES, features
from stm32pose.benchmark.graph import Graph, Op, Tensor, read_graph
from stm32pose.benchmark.latency import CYCLE_TERMS, calibration
from stm32pose.benchmark.work import WORK
from stm32pose.boards.board import board_names, load_board
from stm32pose.errors import UserError


def network(side: int = 32, *, kind: str = "RESIZE_BILINEAR", per_tensor: bool = False) -> Graph:
    """A 3x3 convolution to 16 channels, a resize, a 1x1 convolution to 4 maps."""
    tensors = tuple(
        Tensor(name, shape, "int8")
        for name, shape in (
            ("image", (1, side, side, 3)),
            ("a", (1, side // 2, side // 2, 16)),
            ("b", (1, side, side, 16)),
            ("maps", (1, side, side, 4)),
        )
    )
    ops = (
        Op("CONV_2D", "a", (0,), (1,), 16 * 27 * side * side // 4, 432, 432, 16, (3, 3), (2, 2)),
        Op(kind, "b", (1,), (2,)),
        Op("CONV_2D", "maps", (2,), (3,), 64 * side * side, 64, 64, 4),
    )
    return Graph(Path("net.tflite"), "tflite", True, per_tensor, tensors, ops, (0,), (3,))


def test_features_are_sums() -> None:
    sums = features(network(), accelerated=["CONV_2D"])
    assert set(sums) == set(FEATURES)
    assert sums["conv_macs"] == 16 * 27 * 256
    assert sums["matrix_macs"] == 64 * 1024
    assert sums["macs"] == sums["conv_macs"] + sums["matrix_macs"]
    assert sums["resize_bytes"] == sums["software_bytes"] == 16 * 256 + 16 * 1024
    assert sums["weight_bytes"] == 432 + 64 + 80
    assert features(network())["software_bytes"] == 0


def test_fits_and_margins() -> None:
    found = estimate(network(), load_board("NUCLEO-H743ZI2"))
    assert found.fits
    assert found.limits == []
    assert found.activations_bytes == 16 * 1024 + 4 * 1024
    assert found.weights_bytes == 576
    assert found.total_ram_bytes == found.activations_bytes + found.runtime_ram_bytes
    assert found.total_flash_bytes == found.weights_bytes + found.code_bytes
    assert found.ram_margin == pytest.approx(1 - found.total_ram_bytes / (992 * 1024))
    assert found.latency_ms is not None
    assert found.latency_ms > 0
    fit = calibration(load_board("NUCLEO-H743ZI2"))
    assert fit is not None
    assert found.latency_error == fit.expected_on("NUCLEO-H743ZI2") >= fit.error
    assert (found.latency_rows, found.latency_own_rows) == (fit.rows, 0)
    assert found.instructions is not None
    assert found.st_ram_bytes is not None
    assert found.st_ram_bytes[0] < found.total_ram_bytes < found.st_ram_bytes[1]
    assert found.how == "estimated"
    json.dumps(asdict(found))


def test_too_large_says_by_how_much() -> None:
    board = load_board("NUCLEO-F401RE")
    found = estimate(network(128), board)
    assert not found.fits
    assert found.ram_margin < 0 < found.flash_margin
    short = (found.total_ram_bytes - 96 * 1024) / 1024
    assert found.limits == [
        f"RAM: needs {found.total_ram_bytes / 1024:,.0f} KiB, NUCLEO-F401RE has 96 KiB, {short:,.0f} KiB short"
    ]


def test_external_memory_is_used_where_it_must(shared: Path) -> None:
    graph = read_graph(shared / "models/pose/st_movenet_lightning_heatmaps_192_int8_pc.tflite")
    found = estimate(graph, load_board("STM32H747I-DISCO"))
    assert found.fits
    assert found.external_ram
    assert "needs external RAM" in found.note
    assert not estimate(graph, load_board("NUCLEO-H743ZI2")).fits
    n6 = estimate(graph, load_board("STM32N6570-DK"))
    assert n6.fits
    assert not n6.external_ram
    assert n6.off_accelerator == ["RESIZE_BILINEAR x3", "DEQUANTIZE"]


def test_faster_clock_is_faster() -> None:
    board = load_board("NUCLEO-H743ZI2")
    slow = estimate(network(), board).latency_ms
    fast = estimate(network(), replace(board, mhz=2 * board.mhz)).latency_ms
    assert slow is not None
    assert fast == pytest.approx(slow / 2)


def test_nearest_stays_on_the_accelerator() -> None:
    board = load_board("STM32N6570-DK")
    bilinear, nearest = network(64), network(64, kind="RESIZE_NEAREST_NEIGHBOR")
    assert off_accelerator(bilinear, board) == ["RESIZE_BILINEAR"]
    assert off_accelerator(nearest, board) == []
    slow, fast = estimate(bilinear, board).latency_ms, estimate(nearest, board).latency_ms
    assert slow is not None
    assert fast is not None
    assert slow > 1.5 * fast


def test_per_tensor_runs_on_the_mpu_accelerator() -> None:
    board = load_board("STM32MP257F-EV1")
    channel, tensor = estimate(network(), board), estimate(network(per_tensor=True), board)
    assert channel.latency_ms is not None
    assert tensor.latency_ms is not None
    assert tensor.latency_ms < channel.latency_ms
    assert "quantize per tensor" in channel.note
    assert "quantize per tensor" not in tensor.note


def test_the_accelerator_is_told_as_a_range() -> None:
    found = estimate(network(), load_board("STM32N6570-DK"))
    assert found.latency_spread
    assert "ask ST's tool" in found.note
    assert not estimate(network(), load_board("STM32H747I-DISCO")).latency_spread


def test_boards_without_rows_of_their_own_are_less_certain() -> None:
    own, other = (
        estimate(network(), load_board(name)).latency_error for name in ("STM32H747I-DISCO", "NUCLEO-H743ZI2")
    )
    assert own is not None
    assert other is not None
    assert own <= other


def test_no_latency_without_rows() -> None:
    found = estimate(network(), load_board("NUCLEO-G0B1RE"))
    assert (found.latency_ms, found.latency_error, found.latency_rows) == (None, None, 0)
    assert "no latency" in found.note


def test_unknown_family() -> None:
    with pytest.raises(UserError, match="latency 'cortex-m99' is no family of the cost model; known: "):
        estimate(network(), replace(load_board("NUCLEO-F401RE"), latency="cortex-m99"))


@pytest.mark.parametrize("name", board_names())
def test_every_board_has_an_estimate(name: str) -> None:
    row = estimate(network(), load_board(name))
    assert row.board == name
    assert row.total_ram_bytes > 0
    assert (row.latency_ms is None) == ("no latency" in row.note)


def test_cost_model_is_complete() -> None:
    for name in board_names():
        board = load_board(name)
        for family in (board.latency, board.latency_per_tensor):
            if family and has_core_fits(family):
                fits = core_fits(family)
                assert set(fits.instructions.weights) == set(WORK)
                assert set(fits.cycles.weights) == set(CYCLE_TERMS)
                checked = [fits.instructions, fits.cycles, fits.predicted]
            elif family:
                checked = [latency_fit(family)]
                assert set(checked[0].weights) <= set(FEATURES)
            else:
                checked = []
            for fit in checked:
                assert all(weight >= 0 for weight in fit.weights.values())
                assert any(fit.weights.values())
                # A core of few rows takes the M7's 90 % where its own is smaller: it may be above its worst row.
                assert 0 < fit.mean_error <= fit.error < 1
                assert fit.mean_error <= fit.worst_error < 1
    assert memory_fit("code_flash").unit == memory_fit("runtime_ram").unit == "bytes"


@pytest.mark.parametrize(
    ("board", "model", "milliseconds", "tolerance"),
    [
        ("STM32N6570-DK", "pose/st_movenet_lightning_heatmaps_192_int8_pc.tflite", 22.17, 0.1),
        ("STM32N6570-DK", "calibration/stm32-hotspot__yolov8n_256_quant_pc_uf_pose_coco-st.tflite", 35.79, 0.1),
        ("STM32H747I-DISCO", "calibration/flowers__mobilenet_v2_0.35_128_fft_int8__6521cbfb.tflite", 100.09, 0.1),
        ("STM32H747I-DISCO", "calibration/coco_2017_person__st_yolo_lc_v1_192_int8__c5ccb8d1.tflite", 179.01, 0.1),
        ("NUCLEO-L4R5ZI", "calibration/kws_ref_model.tflite", 43.42, 0.1),
        ("NUCLEO-U575ZI-Q", "calibration/kws_ref_model.tflite", 29.03, 0.1),
    ],
)
def test_published_latencies(shared: Path, board: str, model: str, milliseconds: float, tolerance: float) -> None:
    found = estimate(read_graph(shared / "models" / model), load_board(board))
    assert found.latency_ms == pytest.approx(milliseconds, rel=tolerance)

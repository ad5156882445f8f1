"""The table of boards: order, ranges, what is used of what there is."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from stm32pose.benchmark.estimate import Estimate
from stm32pose.reporting import boards
from stm32pose.reporting.units import used

KIB = 1024
ROW = Estimate(
    board="B",
    core="Cortex-M7",
    mhz=400,
    activations_bytes=1,
    weights_bytes=1,
    code_bytes=1,
    runtime_ram_bytes=1,
    total_ram_bytes=588 * KIB,
    total_flash_bytes=700 * KIB,
    ram_available_bytes=992 * KIB,
    flash_available_bytes=2048 * KIB,
    macs=5,
    latency_ms=94.04,
    latency_error=0.09,
    latency_rows=17,
    latency_own_rows=15,
    ram_margin=0.4,
    flash_margin=0.6,
)


def row(**changes) -> dict:
    return asdict(replace(ROW, **changes))


def test_cells() -> None:
    assert boards.cells(row()) == (
        *("B", "yes", "94.0 ms ± 9 %", "11", "588 of 992 KiB", "700 of 2,048 KiB", "15 of 17"),
    )
    assert len(boards.cells(row())) == len(boards.COLUMNS)


def test_a_rough_figure_is_a_range() -> None:
    rough = row(latency_ms=17.5, latency_error=0.25, latency_spread=True)
    assert boards.latency(rough) == "14..22 ms"
    assert boards.rate(rough) == "46..71"


def test_an_unknown_time() -> None:
    unknown = row(latency_ms=None, latency_error=None)
    assert (boards.latency(unknown), boards.rate(unknown), boards.calibrated(unknown)) == ("-", "-", "-")


@pytest.mark.parametrize(
    ("ram", "flash", "said"), [(-0.1, 0.5, "no: RAM"), (0.1, -1, "no: flash"), (-2, -1, "no: RAM and flash")]
)
def test_what_is_short(ram: float, flash: float, said: str) -> None:
    assert boards.verdict(row(fits=False, ram_margin=ram, flash_margin=flash)) == said


def test_memory_beside_the_chip_has_a_star_where_there_is_faster() -> None:
    assert boards.ram(row(external_ram=True)).endswith(" *")
    assert not boards.ram(row(external_ram=True, core="Cortex-A7")).endswith(" *")


def test_the_asked_board_then_the_fastest() -> None:
    rows = [
        row(board="asked", fits=False, ram_margin=-1),
        row(board="none", latency_ms=None),
        row(board="too small", latency_ms=1, fits=False, ram_margin=-0.5),
        row(board="far too small", latency_ms=1, fits=False, ram_margin=-5),
        row(board="slow", latency_ms=100),
        row(board="fast", latency_ms=10),
    ]
    names = [item["board"] for item in boards.by_rate(rows)]
    assert names == ["asked", "fast", "slow", "none", "too small", "far too small"]
    assert [item["board"] for item in boards.by_rate(rows, asked=0)][-2:] == ["asked", "far too small"]


def test_sizes() -> None:
    assert used(588 * KIB, None) == "588 KiB"
    assert used(2418 * KIB, 128 * 1024 * KIB) == "2.4 of 128 MiB"
    assert used(21 * KIB, 512 * 1024 * KIB) == "21 KiB of 512 MiB"

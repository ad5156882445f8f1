"""Boards: every shipped YAML is whole, names are forgiving, a user's own YAML is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from stm32pose.boards.board import Board, board_names, load_board
from stm32pose.errors import ConfigError

OWN = """
name: MY-BOARD
device: STM32H743
series: STM32H7
core: Cortex-M7
mhz: 480
ram:
  - {name: AXI SRAM, kib: 512}
  - {name: SDRAM, kib: 8192, external: true}
flash:
  - {name: internal flash, kib: 2048}
latency: cortex-m7
source: my own board
"""


@pytest.mark.parametrize(
    "name",
    [
        *("STM32N6570-DK", "STM32H747I-DISCO", "STM32H7B3I-DK", "STM32F469I-DISCO", "B-U585I-IOT02A", "NUCLEO-F401RE"),
        *("STM32L4R9I-DISCO", "NUCLEO-H743ZI2", "STM32H735G-DK", "STM32F769I-DISCO", "NUCLEO-G474RE", "NUCLEO-L4R5ZI"),
        *("STM32F746G-DISCO", "STM32MP257F-EV1", "STM32MP257F-DK2", "STM32MP157F-DK2", "STM32MP135F-DK"),
        *("NUCLEO_U3C5ZIT6_Q", "NUCLEO_L4R5ZI-P", "NUCLEO_H7A3ZI", "STM32L4R9", "STM32F401", "NUCLEO_G0B1RE"),
        *("STM32MP257F-DK", "STM32H7S78-DK", "STM32U5G9J-DK2", "B-L4S5I-IOT01A", "STM32F4DISCOVERY", "NUCLEO-WB55RG"),
        *("NUCLEO_U575ZI_Q", "NUCLEO_H7A3ZI_Q", "NUCLEO-N657X0-Q", "nucleo_u385rg_q", "DISCO_F746NG", "stm32n6570-dk"),
    ],
)
def test_names_of_st(name: str) -> None:
    assert isinstance(load_board(name), Board)


def test_shipped_boards_are_whole() -> None:
    names = board_names()
    assert len(names) == len(set(names)) >= 55
    for name in names:
        board = load_board(name)
        assert board.name == name
        assert len(board.source) > 20
        assert board.series.removeprefix("STM32") in board.device
        assert [pool.external for pool in board.ram] == sorted(pool.external for pool in board.ram)
        assert board.kind == "mpu" or board.internal_ram_kib > 0
        assert board.internal_flash_kib + board.external_flash_kib > 0
        assert board.max_mhz is None or board.max_mhz >= board.mhz
    spellings = [alias.upper() for name in names for alias in (name, *load_board(name).aliases)]
    assert len(spellings) == len(set(spellings))


@pytest.mark.parametrize(
    ("name", "core", "mhz", "ram", "flash"),
    [
        # Totals that the data sheets print on their first pages, less ITCM and backup RAM.
        ("NUCLEO-F411RE", "Cortex-M4", 100, 128, 512),
        ("NUCLEO-F722ZE", "Cortex-M7", 216, 256, 512),
        ("NUCLEO-F767ZI", "Cortex-M7", 216, 512, 2048),
        ("NUCLEO-H723ZG", "Cortex-M7", 550, 496, 1024),
        ("NUCLEO-H753ZI", "Cortex-M7", 480, 992, 2048),
        ("NUCLEO-H563ZI", "Cortex-M33", 250, 640, 2048),
        ("NUCLEO-U575ZI-Q", "Cortex-M33", 160, 784, 2048),
        ("NUCLEO-U5A5ZJ-Q", "Cortex-M33", 160, 2512, 4096),
        ("NUCLEO-U3C5ZI-Q", "Cortex-M33", 96, 640, 2048),
        ("NUCLEO-L4R5ZI", "Cortex-M4", 120, 640, 2048),
        ("NUCLEO-G474RE", "Cortex-M4", 170, 128, 512),
        ("NUCLEO-C071RB", "Cortex-M0+", 48, 24, 128),
        ("STM32H7S78-DK", "Cortex-M7", 600, 552, 64),
        ("STM32F746G-DISCO", "Cortex-M7", 216, 320, 1024),
    ],
)
def test_data_sheet_figures(name: str, core: str, mhz: int, ram: int, flash: int) -> None:
    board = load_board(name)
    assert (board.core, board.mhz) == (core, mhz)
    assert (board.internal_ram_kib, board.internal_flash_kib) == (ram, flash)


def test_the_neural_board() -> None:
    n6 = load_board("STM32N6570-DK")
    assert n6.internal_flash_kib == 0
    assert n6.accelerator is not None
    assert "RESIZE_BILINEAR" not in n6.accelerator.operators


def test_the_fastest_memory_comes_first() -> None:
    for name in board_names():
        pools = [pool.name for pool in load_board(name).ram]
        assert "DTCM" not in pools[1:]  # where there is one, nothing is faster


def test_unknown_board() -> None:
    with pytest.raises(ConfigError, match="did you mean 'STM32H747I-DISCO'"):
        load_board("STM32H747-DISCO")
    with pytest.raises(ConfigError, match="did you mean 'STM32N6570-DK'"):  # not its alias STM32N6570DK
        load_board("STM32N6570D")


def test_own_board(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    board = load_board(str(path))
    assert (board.internal_ram_kib, board.external_ram_kib) == (512, 8192)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("mhz: 480", "mhz: -1"), "mhz: input should be greater than 0, got -1"),
        (("device: STM32H743\n", ""), "device: missing"),
        (("latency:", "latencyy:"), "latencyy: unknown key; did you mean 'latency'?"),
        (("kib: 512", "kib: much"), "ram.0.kib"),
        (("name: MY-BOARD", "[oops"), "not valid YAML"),
    ],
)
def test_own_board_with_a_fault(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(OWN.replace(*change))
    with pytest.raises(ConfigError) as caught:
        load_board(str(path))
    assert complaint in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_or_empty_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_board(str(tmp_path / "none.yaml"))
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(ConfigError, match="got no mapping"):
        load_board(str(tmp_path / "empty.yaml"))

"""Which way a board is served, and what is said where there is none."""

from __future__ import annotations

from collections.abc import Callable

from stm32pose.boards.board import Board, board_names, load_board
from stm32pose.config.target_sections import HardwareSetup
from stm32pose.deployment.job import Job
from stm32pose.deployment.mcu import deploy_mcu
from stm32pose.deployment.mpu import deploy_mpu
from stm32pose.deployment.n6 import deploy_n6
from stm32pose.errors import ConfigError, did_you_mean

KEY = "deployment.hardware_setup"


def board_of(setup: HardwareSetup) -> Board:
    """The board to deploy on.

    Raises:
        ConfigError: it is not known, or it is of another series than `serie` says.
    """
    try:
        board = load_board(setup.board)
    except ConfigError as error:
        if setup.board.lower().endswith((".yaml", ".yml")):
            raise ConfigError(str(error).replace("benchmarking.board", f"{KEY}.board")) from error
        near = did_you_mean(setup.board, board_names())
        raise ConfigError(
            f"{KEY}.board: got '{setup.board}'; known: {', '.join(board_names())}, or a board's YAML "
            f"(docs/boards.md){near}"
        ) from error
    serie = setup.serie.upper()
    if not (serie.startswith(board.series.upper()) or board.series.upper().startswith(serie)):
        raise ConfigError(f"{KEY}.serie: got '{setup.serie}'; {board.name} is of {board.series}")
    return board


def service_of(board: Board) -> Callable[[Job], None]:
    """What deploys on a board: ST's N6 application, ST's Linux application, or our C sources."""
    if board.kind == "mpu":
        return deploy_mpu
    return deploy_n6 if board.series.upper() == "STM32N6" else deploy_mcu


def uses_cloud(board: Board) -> bool:
    """Whether `tools.stedgeai.on_cloud` changes anything for a board: code is generated, or a network converted."""
    return board.kind == "mcu" or board.series.upper() == "STM32MP2"

"""Which way a board is served, what is said where there is none, and what can be refused before anything runs."""

from __future__ import annotations

from collections.abc import Callable

from stm32pose.benchmark.stedgeai import check_profile
from stm32pose.boards.board import Board, board_names, load_board
from stm32pose.config.target_sections import Deployment, HardwareSetup, Tools
from stm32pose.deployment.job import Job, project_of
from stm32pose.deployment.mcu import check_mcu, deploy_mcu
from stm32pose.deployment.mpu import check_mpu, deploy_mpu, find_remote
from stm32pose.deployment.n6 import check_n6, deploy_n6
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


def check_deployment(
    section: Deployment, tools: Tools, model_kind: str | None, *, paths: bool = True, programs: bool = True
) -> None:
    """All that can be told of a deployment before any step runs. Nothing is started, nothing heavy imported.

    Args:
        section, tools: of the configuration.
        model_kind: `config.suffixes.model_kind` of the model that will be deployed; None: not known yet.
        paths: look at the project's folder, the profile's file and the private key.
        programs: look for the programs. A dry run needs neither programs nor project.

    Raises:
        ConfigError: in words that name the key.
        UserError: the board file of ST's project cannot be read.
    """
    board = board_of(section.hardware_setup)
    if section.IDE.upper() != "GCC":
        raise ConfigError(f"deployment.IDE: got '{section.IDE}'; allowed: GCC")
    if model_kind == "keras":
        raise ConfigError(
            "model.model_path: got a Keras model; a board runs .tflite and .onnx files: quantize it first "
            "(operation_mode: chain_qd)"
        )
    programs = programs and not section.dry_run
    if paths:
        project_of(section)
    if board.kind == "mpu":
        check_mpu(section, paths=paths)
        if programs:
            find_remote()
    elif board.series.upper() == "STM32N6":
        if paths and not section.dry_run:
            check_profile(tools.stedgeai.neural_art)
        check_n6(section, tools, board.name, paths=paths, programs=programs)
    elif programs:
        check_mcu(section, tools)


def service_of(board: Board) -> Callable[[Job], None]:
    """What deploys on a board: ST's N6 application, ST's Linux application, or our C sources."""
    if board.kind == "mpu":
        return deploy_mpu
    return deploy_n6 if board.series.upper() == "STM32N6" else deploy_mcu


def uses_cloud(board: Board) -> bool:
    """Whether `tools.stedgeai.on_cloud` changes anything for a board: code is generated, or a network converted."""
    return board.kind == "mcu" or board.series.upper() == "STM32MP2"

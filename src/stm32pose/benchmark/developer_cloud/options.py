"""What is asked of ST Edge AI Core for a board."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stm32pose.boards.board import Board
from stm32pose.errors import UserError

EPOCH_CONTROLLER = {"enable-epoch-controller": True}
COMMON = {
    "verbosity": 1,
    "allocateInputs": True,
    "allocateOutputs": True,
    # What ST's own client sends for every board; the board decides.
    "series": "stm32f4",
    "splitWeights": False,
    "noCFiles": False,
    "useCloud": False,
    "includeLibraryForIde": "gcc",
}


def mcu_options(
    board: Board | None, optimization: str, *, hsp: int, tag: str, memory_pools: Path | None = None
) -> dict[str, Any]:
    """Options for a microcontroller; None: a plain Cortex-M.

    Args:
        hsp: BRAM words for the HSP unit of an STM32U3C5.
        tag: free text that ST's service files the request under; empty: none is sent.
        memory_pools: ST's .mpool file (JSON), sent along.

    Raises:
        UserError: the memory pools are not JSON.
    """
    options: dict[str, Any] = dict(COMMON)
    device = "" if board is None else f"{board.name} {board.device} {board.series}".upper()
    if "STM32N6" in device:
        options |= {"target": "stm32n6", "stNeuralArt": "default", "atonnOptions": dict(EPOCH_CONTROLLER)}
    else:
        options["optimization"] = optimization
        if "U3C5" in device:
            options |= {"target": "stm32u3", "hsp": hsp}
    if tag:
        options["fromModel"] = tag
    if memory_pools is not None:
        options["mpool"] = _read_json(memory_pools)
    return options


def mpu_options(board: Board) -> dict[str, Any]:
    """Options for a Linux board: its accelerator where it has one, else its processor."""
    return {"engine": "hw_accelerator" if board.accelerator else "cpu", "nbCores": board.cores}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{path}: not a memory pool file (JSON): {error}") from error

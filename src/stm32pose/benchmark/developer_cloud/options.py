"""What is asked of ST Edge AI Core for a board."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from stm32pose.boards.board import Board
from stm32pose.errors import UserError

Position = Literal["chfirst", "chlast"]
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
        options["mpool"] = read_json(memory_pools, "a memory pool file")
    return options


def code_options(
    board: Board | None,
    *,
    input_type: str | None = None,
    output_type: str | None = None,
    inputs_position: Position | None = None,
    outputs_position: Position | None = None,
    c_api: str | None = None,
    compiler: Sequence[str] = (),
) -> dict[str, Any]:
    """Options that only generated code has, beside those of `mcu_options`.

    Args:
        board: its series' runtime library is sent with the code; None: no library.
        input_type, output_type: `uint8`, `int8` or `float32`; None: as in the model.
        inputs_position, outputs_position: place of the channels; None: as the tool likes.
        c_api: `st-ai` or `legacy`; None: the version's own.
        compiler: arguments of the Neural-ART compiler.
    """
    options: dict[str, Any] = {}
    if board is not None and board.kind == "mcu":
        options["includeLibraryForSerie"] = board.series.upper()
        if board.series.upper() == "STM32N6":
            # As ST's own deployment asks for it.
            options |= {"allocateInputs": False, "allocateOutputs": False}
    if input_type:
        options["inputDataType"] = input_type
    if output_type:
        options["outputDataType"] = output_type
    words = [
        *(["--inputs-ch-position", inputs_position] if inputs_position else []),
        *(["--outputs-ch-position", outputs_position] if outputs_position else []),
        *(["--c-api", c_api] if c_api else []),
        *compiler,
    ]
    if words:
        options["extraCommandLineArguments"] = shlex.join(words)
    return options


def mpu_options(board: Board) -> dict[str, Any]:
    """Options for a Linux board: its accelerator where it has one, else its processor."""
    return {"engine": "hw_accelerator" if board.accelerator else "cpu", "nbCores": board.cores}


def read_json(path: Path, what: str) -> Any:
    """The content of a JSON file of ST's. UserError: it cannot be read, or is not `what`."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{path}: not {what} (JSON): {error}") from error

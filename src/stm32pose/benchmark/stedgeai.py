"""ST Edge AI Core on this machine: analyze, generate, validate; no account needed, a board for `validate` alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stm32pose.benchmark.figures import Figures
from stm32pose.benchmark.stedgeai_program import (
    KEY,
    StEdgeAI,
    error_line,
    find_stedgeai,
    need_stedgeai,
    open_stedgeai,
    reason_of,
)
from stm32pose.benchmark.stedgeai_reports import NoReport, read_figures, read_validation
from stm32pose.boards.board import Board
from stm32pose.config.target_sections import Tool
from stm32pose.errors import ConfigError, UserError, first_line
from stm32pose.processes import Finished, run_program, show_command

__all__ = [
    "Generated",
    "StEdgeAI",
    "analyze",
    "check_profile",
    "check_route",
    "find_stedgeai",
    "generate",
    "open_stedgeai",
    "target_of",
    "validate",
    "whole_profile",
]

log = logging.getLogger(__name__)

TIMEOUT_S = 2500
WORKSPACE = "st_ai_ws"
"""Folder of the program's intermediate files, inside the folder of its output."""
LIBRARIES = (".so", ".dll", ".dylib")
GENERATED = ("network*.c", "network*.h", "network*.raw", "network*.bin", "network*.hex", "stai_network*")
"""What a run writes under the name that the program gives every network."""


@dataclass(frozen=True)
class Generated:
    """What `generate` wrote.

    Attributes:
        folder: where it lies.
        c_files, headers: C sources and headers.
        raw: weights and other memory images (.raw, .bin, .hex).
        library: the host library of `dll=True`; else None.
        report: the JSON report; None where the version writes none.
        log: the program's whole output.
        tool: what generated it, with its version.
        runtime: folder of the runtime library that the code needs (Inc, Lib); it may lack some.
    """

    folder: Path
    c_files: list[Path]
    headers: list[Path]
    raw: list[Path]
    library: Path | None
    report: Path | None
    log: Path
    tool: str
    runtime: Path


def target_of(board: Board, cli: StEdgeAI, *, neural_art: str | None = None, hsp: int = 4096) -> list[str]:
    """The options that tell the program its target.

    Args:
        board: series and accelerator decide.
        cli: STM32Cube.AI up to 8 knows no targets: no option then.
        neural_art: `PROFILE@FILE` or a profile's name for an STM32N6; None: the program's default profile.
        hsp: words of memory for the HSP unit of STM32U3C5 boards.

    Raises:
        ConfigError: a Linux board (its networks are converted on the cloud), or an STM32N6 and an old program.
    """
    series = board.series.lower()
    _check_board(board)
    if series == "stm32n6":
        if cli.old:
            raise ConfigError(f"{KEY}: {cli.path} is {cli.label}; {board.name} needs ST Edge AI Core 2.0 or newer")
        return ["--target", "stm32n6", "--st-neural-art", *([whole_profile(neural_art)] if neural_art else [])]
    if cli.old:
        return []
    extra = ["--hsp", str(hsp)] if "U3C5" in f"{board.name} {board.device}".upper() else []
    return ["--target", series, *extra]


def check_route(tool: Tool, board: Board) -> None:
    """What can be said of the route `stedgeai` before anything is run: nothing is started here.

    Args:
        tool: `tools.stedgeai`.
        board: of `benchmarking`.

    Raises:
        ConfigError: a Linux board; the program is not found, or the file given is another program; the file of
            `neural_art` does not exist.
    """
    _check_board(board)
    need_stedgeai(tool.path_to_stedgeai)
    if board.series.lower() == "stm32n6":
        check_profile(tool.neural_art)


def check_profile(neural_art: str | None) -> None:
    """ConfigError: the file of `PROFILE@FILE` does not exist."""
    file = (neural_art or "").partition("@")[2]
    if file and not Path(file).expanduser().is_file():
        raise ConfigError(f"tools.stedgeai.neural_art: {file} does not exist (looked in {Path.cwd()})")


def _check_board(board: Board) -> None:
    if board.kind == "mpu":
        raise ConfigError(
            f"benchmarking.backend: got 'stedgeai' for {board.name}; ST's program tells nothing of Linux boards; "
            "use cloud or estimate"
        )


def whole_profile(neural_art: str) -> str:
    """`PROFILE@FILE` with an absolute file: the program runs in another folder."""
    name, at, file = neural_art.partition("@")
    path = Path(file).expanduser()
    return f"{name}@{path.resolve()}" if at and path.is_file() else neural_art


def analyze(
    cli: StEdgeAI,
    model: Path,
    board: Board,
    *,
    folder: Path,
    optimization: str = "balanced",
    neural_art: str | None = None,
    hsp: int = 4096,
    timeout_s: float = TIMEOUT_S,
    on_line: Callable[[str], None] | None = None,
) -> Figures:
    """Footprint and MACs of a model on a board, without the board: no latency.

    Args:
        folder: receives the program's files and its log, `stedgeai_analyze.log`; made where it is missing.
        optimization: balanced, time or ram; not for an STM32N6, whose profile says it.
        timeout_s: longest wall time in seconds.
        on_line: called with each line of output.

    Raises:
        ConfigError: as `target_of`.
        UserError: the program fails, takes too long or writes no report that can be understood.
    """
    options = target_of(board, cli, neural_art=neural_art, hsp=hsp)
    if board.series.lower() != "stm32n6":
        options += ["--optimization", optimization]
    # Up to 8 only `generate` writes its figures as JSON, and only on demand inputs and outputs lie in the activations.
    commands = ("generate",) if cli.old else ("analyze", "generate")
    if cli.old:
        options += ["--allocate-inputs", "--allocate-outputs"]
    for command in commands:
        _remove_reports(folder)
        done = _run(cli, command, model, options, folder, timeout_s, on_line)
        try:
            return read_figures(folder, board=board.name, tool=cli.label)
        except NoReport as error:
            if command == commands[-1]:
                hint = error_line(done.output)
                said = f"; it says: {hint}" if hint else ""
                raise UserError(f"{cli.path.name} {command}: {first_line(error)}{said}; log: {done.log}") from error
            log.info("%s analyze writes no report; its generate does", cli.label)
    raise AssertionError(commands)


def generate(
    cli: StEdgeAI,
    model: Path,
    target: Sequence[str],
    *,
    folder: Path,
    extra: Sequence[str] = (),
    dll: bool = False,
    cwd: Path | None = None,
    timeout_s: float = TIMEOUT_S,
    on_line: Callable[[str], None] | None = None,
) -> Generated:
    """Write ST's C code of a model into `folder`. Code, libraries and reports that lie there are removed first.

    Args:
        target: what `target_of` gives, or other options that name the target.
        extra: further options, such as `--input-data-type uint8`.
        dll: make the library that runs the C code on this machine.
        cwd: working folder; absent: `folder`. ST's Neural-ART profiles name memory pools relative to it.

    Raises:
        UserError: the program fails, takes too long, or writes no C code (with `dll`: no library).
    """
    options = [*target, *(["--dll"] if dll else []), *extra]
    _remove([path for pattern in GENERATED for path in folder.glob(pattern)])
    _remove(_libraries(folder))
    _remove_reports(folder)
    done = _run(cli, "generate", model, options, folder, timeout_s, on_line, cwd=cwd)
    libraries = _libraries(folder) if dll else []
    made = Generated(
        folder=folder,
        c_files=sorted(folder.glob("*.c")),
        headers=sorted(folder.glob("*.h")),
        raw=sorted(path for path in folder.iterdir() if path.suffix in (".raw", ".bin", ".hex")),
        library=libraries[0] if libraries else None,
        report=next(iter([*sorted(folder.glob("*_c_info.json")), *sorted(folder.glob("*_report.json"))]), None),
        log=folder / "stedgeai_generate.log",
        tool=cli.label,
        runtime=cli.root / "Middlewares" / "ST" / "AI",
    )
    missing = "no host library" if dll and not libraries else "no C code" if not dll and not made.c_files else ""
    if missing:
        hint = error_line(done.output)
        said = f"; it says: {hint}" if hint else ""
        raise UserError(
            f"{cli.path.name} generate: ended well but wrote {missing} into {folder}{said}; log: {done.log}"
        )
    return made


def validate(
    cli: StEdgeAI,
    model: Path,
    *,
    folder: Path,
    mode: Literal["host", "target"] = "host",
    descriptor: str | None = None,
    target: Sequence[str] = ("--target", "stm32"),
    extra: Sequence[str] = (),
    timeout_s: float = TIMEOUT_S,
    on_line: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """ST's own comparison of its C code with the model, on random or given inputs.

    Args:
        mode: `host` runs the C code here, `target` on a connected board with ST's validation firmware.
        descriptor: how the board is reached, `serial:921600`; needed with `target`.

    Returns:
        One dictionary an output with what the version tells of acc, rmse, mae, l2r, mean, std, nse, cos; its name under
        `desc` or `ts_name`.

    Raises:
        UserError: the program fails, takes too long, or tells no metrics.
    """
    options = [*([] if cli.old else target), "--mode", mode, *(["--desc", descriptor] if descriptor else []), *extra]
    _remove_reports(folder)
    done = _run(cli, "validate", model, options, folder, timeout_s, on_line)
    metrics = read_validation(folder, done.output)
    if not metrics:
        raise UserError(f"{cli.path.name} validate: ended well but told no metrics; log: {done.log}")
    return metrics


def _run(
    cli: StEdgeAI,
    command: str,
    model: Path,
    options: Sequence[str],
    folder: Path,
    timeout_s: float,
    on_line: Callable[[str], None] | None,
    cwd: Path | None = None,
) -> Finished:
    """One run of the program, in `folder`. UserError: the model is missing, or the run fails."""
    if not model.is_file():
        raise UserError(f"{cli.path.name} {command}: no such file: {model}")
    folder.mkdir(parents=True, exist_ok=True)
    words = [cli.path, command, "--model", model.resolve(), *options]
    words += ["--output", folder.resolve(), "--workspace", folder.resolve() / WORKSPACE]
    log.info("%s", show_command(words))
    path = folder / f"stedgeai_{command}.log"
    done = run_program(words, log=path, cwd=cwd or folder, timeout_s=timeout_s, on_line=on_line)
    if done.returncode:
        raise UserError(f"{cli.path.name} {command}: {reason_of(done)}; log: {path}")
    return done


def _remove_reports(folder: Path) -> None:
    """Reports of an earlier run must not pass for this one's."""
    for pattern in ("network_c_info.json", "network_report.json"):
        _remove(list(folder.rglob(pattern)))


def _libraries(folder: Path) -> list[Path]:
    """Host libraries in `folder` and below."""
    return [path for path in sorted(folder.rglob("lib*")) if path.suffix in LIBRARIES]


def _remove(paths: Sequence[Path]) -> None:
    """Files of an earlier run, which may be another model's."""
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{path}: of an earlier run, cannot be removed ({error.strerror})") from error

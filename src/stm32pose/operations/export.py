"""The step `export`: C code of the newest int8 model, with its decoder, and the proof that it computes the same."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stm32pose.config.schema import Config
from stm32pose.config.target_sections import Export
from stm32pose.errors import ConfigError, UserError
from stm32pose.operations.artifacts import Artifacts
from stm32pose.reporting.run import Run

if TYPE_CHECKING:
    from stm32pose.boards.board import Board
    from stm32pose.codegen.export import Built
    from stm32pose.codegen.targets import Target
    from stm32pose.deployment.model import Deployable

log = logging.getLogger(__name__)

COMPILERS = ("cc", "gcc", "clang")
BUILD_S = 600
"""Longest that building for this computer may take."""


@dataclass(frozen=True, eq=False)
class Exported:
    """A folder of C.

    Attributes:
        built: program and plan of the memory.
        folder: where it lies; `files`: all of it.
        tested: what the self-test said on this computer; empty where it was not run.
    """

    built: Built
    folder: Path
    files: list[Path]
    tested: str = ""


def run_step(config: Config, run: Run, artifacts: Artifacts) -> Artifacts:
    """Export the newest model; the report has its memory over time and a table of its layers.

    Raises:
        ConfigError, UserError: as `export_code`.
    """
    from stm32pose.codegen.emit import constants
    from stm32pose.codegen.plan_limit import bytes_of
    from stm32pose.codegen.plan_table import layer_rows
    from stm32pose.operations.deploy import describe_model
    from stm32pose.reporting.arena_figure import arena_figure

    section, path = config.export, artifacts.latest
    board, target = where(config)
    model = describe_model(config, path, artifacts.skeleton)
    exported = export_code(
        path,
        run.path(section.folder, "x").parent,
        target=target,
        board=board,
        ram_limit=bytes_of(section.ram_limit, "export.ram_limit") if section.ram_limit else None,
        model=model,
    )
    program, plan = exported.built.program, exported.built.plan
    arena_figure(program, plan, run.figures / "arena.png")
    run.add(
        "export",
        {
            "model": run.relative(path),
            "target": target.name,
            "board": board.name if board else None,
            "folder": run.relative(exported.folder),
            "arena_bytes": plan.peak_bytes,
            "pools": dict(zip(plan.pools, plan.pool_bytes, strict=True)),
            "constants_bytes": constants(program),
            "macs": sum(call.macs for call in program.calls),
            "self_test": exported.tested,
            "layers": [vars(row) for row in layer_rows(program, plan)],
        },
        append=True,
    )
    proof = "backend: emulate proves it" if target.simd == "mve" else "make test proves it"
    log.info("C code for %s: %s; %s", target.name, exported.folder, exported.tested or proof)
    return artifacts


def where(config: Config) -> tuple[Board | None, Target]:
    """The board and the processor that a configuration exports for. ConfigError: the board is not known."""
    from stm32pose.boards.board import load_board
    from stm32pose.codegen.targets import TARGETS, target_of, target_of_core

    section: Export = config.export
    name = section.board
    if name is None and config.benchmarking is not None:
        name = config.benchmarking.board
    if name is None and config.deployment is not None:
        name = config.deployment.hardware_setup.board
    board = load_board(name) if name else None
    if section.target:
        return board, target_of(section.target)
    return board, target_of_core(board.core) if board else TARGETS["generic"]


def export_code(
    path: Path,
    folder: Path,
    *,
    target: Target,
    board: Board | None = None,
    ram_limit: int | None = None,
    model: Deployable | None = None,
) -> Exported:
    """Write the C code of an int8 model file into `folder`, whole or not at all; for `host` build it and test it.

    Args:
        path: .tflite or QDQ .onnx.
        folder: new, empty, or of an earlier export.
        target: the processor.
        board: whose memories tensors are placed in; None: one array.
        ram_limit: most bytes of RAM.
        model: how the outputs are to be read; None: the network alone is written, without decoder.

    Raises:
        ConfigError: no such file, no int8 file, no decoder in C.
        UserError: damaged, an operator without a kernel, too large, or the self-test fails.
    """
    from stm32pose.codegen.export import build, write_folder
    from stm32pose.codegen.project import project_files
    from stm32pose.deployment.c_application import application_files

    built = build(path, target, ram_limit=ram_limit, board=board)
    parts = application_files(built, model, board) if model is not None else None
    files = write_folder(project_files(built, parts=parts), folder)
    tested = test_here(folder, host=model is not None) if target.name == "host" else ""
    return Exported(built, folder, files, tested)


def test_here(folder: Path, *, host: bool) -> str:
    """Build and run the self-test of an export on this computer, and build `pose_run`; returns what the test said.

    Raises:
        ConfigError: no make or no C compiler.
        UserError: it does not compile, or computes something else than the model file's runtime.
    """
    from stm32pose.processes import run_program
    from stm32pose.programs import need_program

    make = need_program("make", where="--target host")
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise ConfigError(f"--target host: no C compiler on this computer (looked for {', '.join(COMPILERS)} on PATH)")
    done = run_program([make, "test", f"HOST_CC={Path(compiler).name}"], cwd=folder, timeout_s=BUILD_S)
    said = done.output.strip().splitlines()
    if done.returncode:
        wrong = next((line for line in said if "FAILED" in line or "error:" in line), said[-1] if said else "nothing")
        raise UserError(f"{folder}: make test: {wrong}")
    if host:
        built = run_program([make, "host", f"HOST_CC={Path(compiler).name}"], cwd=folder, timeout_s=BUILD_S)
        if built.returncode:
            wrong = next((line for line in built.output.splitlines() if "error:" in line), "it does not compile")
            raise UserError(f"{folder}: make host: {wrong}")
    return next((line for line in reversed(said) if line.startswith("passed")), "passed")

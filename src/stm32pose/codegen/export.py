"""An int8 model file as a folder of C: read, lowered, planned, written whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from stm32pose.codegen.emit import emit_network
from stm32pose.codegen.lower import lower
from stm32pose.codegen.network import NotExportable, read_network
from stm32pose.codegen.placement import FlashPlan, flash_pools, place_weights, ram_pools
from stm32pose.codegen.plan import ArenaPlan, plan_arena, verify
from stm32pose.codegen.program import Program
from stm32pose.codegen.targets import Target, cpu_flags
from stm32pose.errors import UserError

if TYPE_CHECKING:
    from stm32pose.boards.board import Board

KERNELS = Path(__file__).parent / "c"
CODE_BYTES = 32 * 1024
"""Flash that is kept for kernels and decoder: they take 10 to 20 KiB."""
MARKERS = ("network/network.h", "network.h")
"""What every export has, whole or the network alone."""
OWN = ("network*", "kernels_*", "pose", "test", "host", "cube", "Makefile", "CMakeLists.txt", "README.md", "build*")
"""What lies in the folder of an export: nothing beside these may be there for it to be replaced."""


@dataclass(frozen=True, eq=False)
class Built:
    """A model as a program with its memory, not written yet.

    Attributes:
        program, plan: what runs, and where its tensors lie.
        flash: where its constants lie; None: in one memory.
        board: it was made for; None: for any with the target's processor.
    """

    program: Program
    plan: ArenaPlan
    flash: FlashPlan | None = None
    board: Board | None = None

    @property
    def cpu(self) -> tuple[str, ...]:
        """GCC's flags for the processor; empty where it is none of a microcontroller that is known."""
        if self.board is None:
            return self.program.target.cpu
        return cpu_flags(self.board.core, self.board.fpu) if self.board.kind == "mcu" else ()


def build(path: Path, target: Target, *, ram_limit: int | None = None, board: Board | None = None) -> Built:
    """The program of a model file and the plan of its memory.

    Args:
        path: .tflite or .onnx.
        target: the processor.
        ram_limit: most bytes of RAM.
        board: a microcontroller's memories, for tensors and constants; None, or a board under Linux: one of any size.

    Raises:
        ConfigError: no such file or kind of file.
        UserError: damaged, not exportable (by the operator's name), or too large for `ram_limit` or the board.
    """
    network = read_network(path)
    program = lower(network, target)
    if not program.calls:
        raise NotExportable(f"{path}: nothing is computed in it")
    placed = board is not None and board.kind == "mcu"
    plan = plan_arena(program, limit=ram_limit, pools=ram_pools(board) if board and placed else ())
    verify(program, plan)
    flash = place_weights(program, flash_pools(board, reserved=CODE_BYTES)) if board and placed else None
    return Built(program, plan, flash, board)


def network_files(built: Built) -> dict[str, str]:
    """File name -> text: the network and the kernels it calls."""
    files = emit_network(built.program, built.plan, built.flash)
    for source in kernel_sources(built.program):
        files[source] = (KERNELS / source).read_text(encoding="utf-8")
    return files


def kernel_sources(program: Program) -> list[str]:
    """Names of the kernels' files that a program needs, headers that they include among them."""
    wanted = sorted({call.source for call in program.calls})
    names = {f"{source}{suffix}" for source in wanted for suffix in (".c", ".h")}
    pending = list(names)
    while pending:
        text = (KERNELS / pending.pop()).read_text(encoding="utf-8")
        for line in text.splitlines():
            name = line.removeprefix('#include "').removesuffix('"')
            if name != line and name not in names and (KERNELS / name).is_file():
                names.add(name)
                pending.append(name)
    return sorted(names)


def write_folder(files: Mapping[str, str | bytes], folder: Path) -> list[Path]:
    """Write a folder of files in one move; what an earlier export left there is replaced.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    folder = folder.resolve()
    if other := _of_others(folder):
        raise UserError(f"{folder} holds something else than an earlier export ({other}); give a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            new = Path(temporary) / "new"
            for name, content in files.items():
                path = new / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
            old = Path(temporary) / "old"
            if folder.exists():
                folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror})") from error
    return [folder / name for name in files]


def _of_others(folder: Path) -> str:
    """The first thing in a folder that no export put there; empty where all of it may be replaced."""
    if not folder.exists():
        return ""
    if not folder.is_dir():
        return "a file"
    names = sorted(path.name for path in folder.iterdir())
    if names and not any((folder / marker).is_file() for marker in MARKERS):
        return names[0]
    return next((name for name in names if not any(fnmatchcase(name, own) for own in OWN)), "")

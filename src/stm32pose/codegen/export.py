"""An int8 model file as a folder of C: read, lowered, planned, written whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from stm32pose.codegen.emit import emit_network
from stm32pose.codegen.lower import lower
from stm32pose.codegen.network import NotExportable, read_network
from stm32pose.codegen.plan import ArenaPlan, PoolSpace, plan_arena, verify
from stm32pose.codegen.program import Program
from stm32pose.codegen.targets import Target
from stm32pose.errors import UserError

KERNELS = Path(__file__).parent / "c"
MARKERS = ("network/network.h", "network.h")
"""What every export has, whole or the network alone."""
OWN = ("network*", "kernels_*", "pose", "test", "host", "cube", "Makefile", "CMakeLists.txt", "README.md", "build*")
"""What lies in the folder of an export: nothing beside these may be there for it to be replaced."""


@dataclass(frozen=True, eq=False)
class Built:
    """A model as a program with its arena, not written yet."""

    program: Program
    plan: ArenaPlan


def build(path: Path, target: Target, *, ram_limit: int | None = None, pools: Sequence[PoolSpace] = ()) -> Built:
    """The program of a model file and the plan of its memory.

    Raises:
        ConfigError: no such file or kind of file.
        UserError: damaged, not exportable (by the operator's name), or larger than `ram_limit` bytes.
    """
    network = read_network(path)
    program = lower(network, target)
    if not program.calls:
        raise NotExportable(f"{path}: nothing is computed in it")
    plan = plan_arena(program, limit=ram_limit, pools=pools)
    verify(program, plan)
    return Built(program, plan)


def network_files(built: Built) -> dict[str, str]:
    """File name -> text: the network and the kernels it calls."""
    files = emit_network(built.program, built.plan)
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
            if folder.exists():
                folder.rename(Path(temporary) / "old")
            new.rename(folder)
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

"""An int8 model file as a folder of C: read, lowered, planned, written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stm32pose.codegen.emit import emit_network
from stm32pose.codegen.lower import lower
from stm32pose.codegen.network import NotExportable, read_network
from stm32pose.codegen.plan import ArenaPlan, PoolSpace, plan_arena, verify
from stm32pose.codegen.program import Program
from stm32pose.codegen.targets import Target
from stm32pose.errors import UserError

KERNELS = Path(__file__).parent / "c"


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
    marker = "network.h"
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not list(folder.rglob(marker)))):
        raise UserError(f"--out: {folder} holds something else than an earlier export; give a new folder")
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
        raise UserError(f"--out: {folder} cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(folder.parent / f".{folder.name}", ignore_errors=True)
    return [folder / name for name in files]

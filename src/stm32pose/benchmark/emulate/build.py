"""From a folder of generated C to a program for an emulated machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stm32pose.benchmark.emulate.elf import Elf, read_elf
from stm32pose.benchmark.emulate.link import ARENA, KERNELS, NETWORK, RUN, DoesNotFit, Parts, linker_script, place
from stm32pose.benchmark.emulate.machines import Machine
from stm32pose.benchmark.emulate.toolchains import HEADERS, OPTIMIZE, SECTIONS, WARNINGS, Toolchain
from stm32pose.codegen.targets import Target
from stm32pose.errors import UserError
from stm32pose.processes import run_program

RUNTIME = Path(__file__).parents[2] / "codegen" / "c" / "emulated"
RUN_SOURCES = ("startup.c", "semihosting.c", "main_emulated.c")
TIMEOUT_S = 600.0
"""For one source file: those with megabytes of weights take a while."""


def sources_of(folder: Path) -> list[Path]:
    """The C files of a generated network: network*.c and kernels_*.c, in the folder or in `src` below it.

    Raises:
        UserError: there is no network.c.
    """
    for place_ in (folder, folder / "src"):
        if (place_ / "network.c").is_file():
            return sorted([*place_.glob("network*.c"), *place_.glob("kernels_*.c")])
    raise UserError(f"{folder}: holds no network.c; `stm32pose export` makes such a folder")


def compile_network(
    folder: Path,
    target: Target,
    toolchain: Toolchain,
    build: Path,
    *,
    stopwatch: str = "systick",
    defines: Sequence[str] = (),
) -> list[Path]:
    """Compile network, kernels and the run's own files into `build`, several at a time.

    Args:
        folder: of the generated network.
        stopwatch: `systick`, or `host` for an emulator that counts instructions itself.
        defines: `NAME=VALUE` for all files, for tests.

    Returns:
        the object files.

    Raises:
        UserError: the compiler's first error.
    """
    build.mkdir(parents=True, exist_ok=True)
    sources = sources_of(folder)
    include = ["-I", str(sources[0].parent)]
    common = [*toolchain.flags(target), OPTIMIZE, *WARNINGS, *SECTIONS, *(f"-D{define}" for define in defines)]
    own = [*RUN_SOURCES, f"stopwatch_{stopwatch}.c"]
    jobs = [(source, build / f"{source.stem}{_part(source)}", include) for source in sources]
    # -fno-builtin: the startup code must not become calls of memset, which is not there yet.
    jobs += [
        (RUNTIME / name, build / f"{Path(name).stem}{RUN}", [*include, "-I", str(RUNTIME), "-fno-builtin"])
        for name in own
    ]
    if toolchain.kind == "zig":  # there is no C library: two functions and their header are ours
        bare = ["-I", str(RUNTIME / "freestanding")]
        jobs = [(source, made, [*flags, *bare]) for source, made, flags in jobs]
        jobs.append((RUNTIME / "freestanding" / "string.c", build / f"string{KERNELS}", [*bare, "-fno-builtin"]))

    def one(job: tuple[Path, Path, list[str]]) -> Path:
        source, made, flags = job
        command = [*toolchain.command, *common, *flags, "-c", str(source), "-o", str(made)]
        done = run_program(command, log=made.with_suffix(".log"), timeout_s=TIMEOUT_S)
        if done.returncode != 0:
            raise UserError(f"{source.name}: {_reason(done.output)}; log: {done.log}")
        return made

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(one, jobs))


def _part(source: Path) -> str:
    """End of the object's name, which tells the linker script where it belongs, whatever its folder is called."""
    return NETWORK if source.stem.startswith("network") else KERNELS


def measure(objects: Sequence[Path]) -> Parts:
    """What compiled files need, in bytes; more than the program will, since the linker leaves out what nobody calls."""
    code = weights = variables = 0
    arenas: dict[str, int] = {}
    for path in objects:
        network = path.name.endswith(NETWORK)
        for section in read_elf(path).sections:
            if not section.allocated or not section.bytes:
                continue
            if not section.stored and network and section.name.startswith(ARENA):
                arenas[section.name] = arenas.get(section.name, 0) + section.bytes
            elif not section.stored:
                variables += section.bytes
            elif section.name.startswith(".data"):
                variables += section.bytes
                code += section.bytes
            elif network and section.name.startswith(".rodata"):
                weights += section.bytes + 16
            else:
                code += section.bytes + 16
    return Parts(code, weights, variables, arenas)


def link_network(
    objects: Sequence[Path],
    target: Target,
    toolchain: Toolchain,
    machines: Sequence[Machine],
    build: Path,
) -> tuple[Path, Elf, Machine]:
    """Link for the first machine that is large enough; returns the program, what it says of itself, and the machine.

    Raises:
        UserError: no machine has room, or the linker's error.
    """
    parts = measure(objects)
    machine, placed = None, None
    for number, candidate in enumerate(machines):
        try:
            machine, placed = candidate, place(parts, candidate)
            break
        except DoesNotFit:
            if number == len(machines) - 1:
                raise
    if machine is None or placed is None:
        raise UserError(f"no machine emulates {target.core or target.name}")
    script = build / "machine.ld"
    script.write_text(linker_script(machine, placed), encoding="ascii")
    made = build / "emulated.elf"
    flags = [*toolchain.flags(target), OPTIMIZE, "-nostartfiles", "-static", "-Wl,--gc-sections", "-T", str(script)]
    if toolchain.kind == "zig":
        flags += ["-nostdlib"]
    command = [*toolchain.command, *flags, *map(str, objects), "-o", str(made)]
    done = run_program(command, log=build / "link.log", timeout_s=TIMEOUT_S)
    if done.returncode != 0:
        raise UserError(f"the emulated program cannot be linked: {_reason(done.output)}; log: {done.log}")
    return made, read_elf(made), machine


def _reason(output: str) -> str:
    """The first error of a compiler, or its last line; with what to install where the C library's headers are not."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    found = next((line for line in lines if "error:" in line), lines[-1] if lines else "no message")
    hint = f" (the C library of the board is not installed: {HEADERS})" if "No such file" in found else ""
    return found + hint

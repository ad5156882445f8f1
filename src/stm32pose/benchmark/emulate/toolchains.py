"""The compilers of the emulated run: GCC for Arm, or Clang as it comes with the pip package `ziglang`."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from stm32pose.codegen.targets import Target
from stm32pose.errors import ConfigError, UserError
from stm32pose.processes import run_program
from stm32pose.programs import find_program

GCC = "arm-none-eabi-gcc"
QEMU = "qemu-system-arm"
DEBIAN = "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
PIP = "pip install 'stm32pose[emulator]'"
HEADERS = "libnewlib-arm-none-eabi"
WARNINGS = ("-std=c99", "-Wall", "-Wextra")
SECTIONS = ("-ffunction-sections", "-fdata-sections")
OPTIMIZE = "-O2"
_ZIG_CPU = {
    "cortex-m4": "cortex_m4+vfp4d16sp",
    "cortex-m7": "cortex_m7+fp_armv8d16",
    "cortex-m33": "cortex_m33+fp_armv8d16sp",
}


@dataclass(frozen=True)
class Toolchain:
    """A compiler.

    Attributes:
        kind: `gcc` or `zig`.
        command: the program and the first words of its arguments.
        version: name and version, for people.
    """

    kind: str
    command: tuple[str, ...]
    version: str

    def flags(self, target: Target) -> tuple[str, ...]:
        """The processor, as this compiler names it."""
        if self.kind == "gcc":
            return target.cpu
        # As GCC does: words are read unaligned, no frame pointers. Zig's sanitizer has no place here.
        alike = ("-munaligned-access", "-fomit-frame-pointer", "-fno-sanitize=undefined")
        return ("-target", "thumb-freestanding-eabihf", f"-mcpu={_ZIG_CPU[target.name]}", *alike)


@dataclass(frozen=True)
class Emulator:
    """An emulator: `qemu` with the program's path, or `unicorn`; its version as text, and QEMU's as numbers."""

    kind: str
    program: Path | None
    version: str
    numbers: tuple[int, ...] = ()


def find_tools(target: Target, *, where: str = "benchmarking.backend: emulate") -> tuple[Toolchain, Emulator]:
    """Compiler and emulator of this machine: GCC and QEMU, else zig and Unicorn.

    Raises:
        ConfigError: neither pair is here, with how to get each; or the processor is not one that they emulate.
    """
    check_core(target, target.core or target.name, where=where)
    gcc, looked_gcc = find_program(GCC)
    qemu, looked_qemu = find_program(QEMU)
    missing = missing_programs()
    if gcc is not None and qemu is not None and not missing:
        return gcc_toolchain(gcc), qemu_emulator(qemu)
    if has_pip_route() and target.name in _ZIG_CPU:
        return zig_toolchain(), unicorn_emulator()
    looked = dict.fromkeys(looked_gcc + looked_qemu)
    only = "" if target.name in _ZIG_CPU else f" (not for {target.core}: Unicorn has no such processor)"
    raise ConfigError(
        f"{where}: {' and '.join(missing)} not found (looked at {', '.join(looked)}); on Debian or Ubuntu: {DEBIAN}; "
        f"elsewhere, Windows too: {PIP}{only}"
    )


def check_core(target: Target, core: str, *, where: str) -> None:
    """ConfigError: there is no emulator of a processor, which people call `core`."""
    if not target.machine:
        raise ConfigError(f"{where}: no emulator of the {core} here; {_emulated()}")


def all_tools(target: Target) -> dict[str, tuple[Toolchain, Emulator]]:
    """Every pair that is here, by the emulator's kind; `qemu` first."""
    found: dict[str, tuple[Toolchain, Emulator]] = {}
    gcc, qemu = find_program(GCC)[0], find_program(QEMU)[0]
    if gcc is not None and qemu is not None and target.machine and has_c_library(gcc):
        found["qemu"] = gcc_toolchain(gcc), qemu_emulator(qemu)
    if has_pip_route() and target.name in _ZIG_CPU:
        found["unicorn"] = zig_toolchain(), unicorn_emulator()
    return found


def missing_programs() -> list[str]:
    """What the way by GCC and QEMU lacks on this machine: programs, and the C library of GCC."""
    gcc, qemu = find_program(GCC)[0], find_program(QEMU)[0]
    missing = [name for name, found in ((GCC, gcc), (QEMU, qemu)) if found is None]
    if gcc is not None and not has_c_library(gcc):
        missing.append(f"the C library of {gcc} (newlib)")
    return missing


def has_c_library(gcc: Path) -> bool:
    """Whether newlib is there: Debian has it in a package of its own. UserError: GCC does not run."""
    # GCC answers with the bare name where it finds no such file.
    return len(Path(_first_line([gcc, "-print-file-name=libc.a"])).parts) > 1


def has_pip_route() -> bool:
    """Whether the packages `ziglang` and `unicorn` are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("ziglang", "unicorn"))


def gcc_toolchain(program: Path) -> Toolchain:
    """GCC for Arm. UserError: it does not run."""
    first = _first_line([program, "--version"])
    number = re.search(r"(\d+\.\d+(\.\d+)?)(?= \d{8}|$)", first) or re.search(r"\d+\.\d+\.\d+", first)
    return Toolchain("gcc", (str(program),), f"{GCC} {number.group(0) if number else first} {OPTIMIZE}")


def zig_toolchain() -> Toolchain:
    """Clang out of the package `ziglang`."""
    return Toolchain("zig", (sys.executable, "-m", "ziglang", "cc"), f"zig cc {metadata.version('ziglang')} {OPTIMIZE}")


def qemu_emulator(program: Path) -> Emulator:
    """QEMU. UserError: it does not run."""
    first = _first_line([program, "--version"])
    found = re.search(r"(\d+)\.(\d+)(\.\d+)?", first)
    text = found.group(0) if found else first
    return Emulator("qemu", program, f"QEMU {text}", tuple(int(part) for part in text.split(".")) if found else ())


def unicorn_emulator() -> Emulator:
    """Unicorn, in this process."""
    return Emulator("unicorn", None, f"Unicorn {metadata.version('unicorn')}")


def _first_line(command: list[str | Path]) -> str:
    done = run_program(command, timeout_s=60)
    if done.returncode != 0:
        raise UserError(f"{command[0]}: does not run (exit status {done.returncode}): {done.output.strip()[-500:]}")
    return done.output.splitlines()[0] if done.output else ""


def _emulated() -> str:
    from stm32pose.codegen.targets import TARGETS

    return "there are those of " + ", ".join(target.core for target in TARGETS.values() if target.machine)

"""The processors that code is generated for: compiler flags, kernels, and the machine that emulates each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stm32pose.errors import ConfigError, did_you_mean

Simd = Literal["none", "dsp", "mve"]
Fpu = Literal["none", "single", "double"]


@dataclass(frozen=True)
class Target:
    """A processor.

    Attributes:
        name: as `--target` takes it.
        core: as the board files name it; empty for no particular one.
        simd: which kernels: portable C, the DSP instructions of Armv7E-M and Armv8-M, Helium.
        cpu: flags of GCC that choose it.
        machine: of qemu-system-arm; empty: not emulated.
    """

    name: str
    core: str
    simd: Simd
    cpu: tuple[str, ...] = ()
    machine: str = ""


USUAL_FPU: dict[str, Fpu] = {
    "Cortex-M4": "single",
    "Cortex-M7": "double",
    "Cortex-M33": "single",
    "Cortex-M55": "double",
}
"""The floating-point unit that chips with a core mostly have; others have none."""
FPU_FLAGS = {
    ("Cortex-M4", "single"): "-mfpu=fpv4-sp-d16",
    ("Cortex-M7", "single"): "-mfpu=fpv5-sp-d16",
    ("Cortex-M7", "double"): "-mfpu=fpv5-d16",
    ("Cortex-M33", "single"): "-mfpu=fpv5-sp-d16",
}


def cpu_flags(core: str, fpu: Fpu | None = None) -> tuple[str, ...]:
    """GCC's flags for a Cortex-M core; `fpu`: of the chip, None: as usual with that core."""
    fpu = fpu or USUAL_FPU.get(core, "none")
    unit = FPU_FLAGS.get((core, fpu))
    return (
        f"-mcpu={core.lower().replace('+', 'plus')}",
        "-mthumb",
        *([unit] if unit else []),
        f"-mfloat-abi={'soft' if fpu == 'none' else 'hard'}",
    )


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("generic", "", "none"),
        Target("host", "", "none"),
        Target("cortex-m4", "Cortex-M4", "dsp", cpu_flags("Cortex-M4"), "netduinoplus2"),
        Target("cortex-m7", "Cortex-M7", "dsp", cpu_flags("Cortex-M7"), "mps2-an500"),
        Target("cortex-m33", "Cortex-M33", "dsp", cpu_flags("Cortex-M33"), "mps2-an505"),
        Target("cortex-m55", "Cortex-M55", "mve", cpu_flags("Cortex-M55"), "mps3-an547"),
    )
}


def target_of(name: str) -> Target:
    """A target by its name. ConfigError: unknown, with those known."""
    if name not in TARGETS:
        raise ConfigError(f"--target: got '{name}'; known: {', '.join(TARGETS)}{did_you_mean(name, TARGETS)}")
    return TARGETS[name]


def target_of_core(core: str) -> Target:
    """The target of a board's processor; `generic` where none is special to it (Cortex-M0+, Cortex-M3)."""
    return next((target for target in TARGETS.values() if target.core == core), TARGETS["generic"])

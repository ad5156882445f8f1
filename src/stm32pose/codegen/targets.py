"""The processors that code is generated for: compiler flags, kernels, and the machine that emulates each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stm32pose.errors import ConfigError, did_you_mean

Simd = Literal["none", "dsp", "mve"]


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


_HARD = "-mfloat-abi=hard"
TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("generic", "", "none"),
        Target("host", "", "none"),
        Target(
            "cortex-m4",
            "Cortex-M4",
            "dsp",
            ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", _HARD),
            "netduinoplus2",
        ),
        Target("cortex-m7", "Cortex-M7", "dsp", ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-d16", _HARD), "mps2-an500"),
        Target(
            "cortex-m33",
            "Cortex-M33",
            "dsp",
            ("-mcpu=cortex-m33", "-mthumb", "-mfpu=fpv5-sp-d16", _HARD),
            "mps2-an505",
        ),
        Target("cortex-m55", "Cortex-M55", "mve", ("-mcpu=cortex-m55", "-mthumb", _HARD), "mps3-an547"),
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

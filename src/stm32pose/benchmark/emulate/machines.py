"""The machines that emulate each processor: QEMU's, with the memories that a network may lie in."""

from __future__ import annotations

from dataclasses import dataclass, replace

KIB = 1024
MIB = 1024 * 1024
STACK_BYTES = 16 * KIB
"""Of the emulated run; the most that was in use is reported."""


@dataclass(frozen=True)
class Region:
    """A memory: its name, first address and size in bytes."""

    name: str
    origin: int
    bytes: int


@dataclass(frozen=True)
class Machine:
    """An emulated machine.

    Attributes:
        name: as `qemu-system-arm -M` takes it.
        chip: what it is, for people.
        mhz: clock of SysTick; an instruction takes a nanosecond, hence 1000 / mhz instructions a tick.
        code: of the program.
        work: stack and variables.
        weights, arena: where they may lie, the first that has room.
        unicorn: name of the processor in Unicorn; empty: it has none.
        vectors: where the processor begins, if that is not the begin of `code`.
    """

    name: str
    chip: str
    mhz: float
    code: Region
    work: Region
    weights: tuple[Region, ...]
    arena: tuple[Region, ...]
    unicorn: str = ""
    vectors: Region | None = None

    @property
    def regions(self) -> tuple[Region, ...]:
        """Every memory once, that of the vector table first."""
        return tuple(dict.fromkeys((self.vectors or self.code, self.code, self.work, *self.weights, *self.arena)))


def _mps2(name: str, chip: str, mhz: float, code: int, ram: int, psram: int, unicorn: str) -> Machine:
    """One of Arm's MPS2 boards: 4 MiB + 4 MiB of static RAM, and 16 MiB beside them."""
    flash = Region("code", code, 4 * MIB)
    sram = Region("ram", ram, 4 * MIB)
    outer = Region("psram", psram, 16 * MIB)
    return Machine(name, chip, mhz, flash, sram, (flash, outer), (sram, outer), unicorn)


_AN386 = _mps2("mps2-an386", "Arm MPS2 with a Cortex-M4", 25.0, 0x0, 0x20000000, 0x21000000, "cortex-m4")
_AN500 = _mps2("mps2-an500", "Arm MPS2 with a Cortex-M7", 25.0, 0x0, 0x20000000, 0x60000000, "cortex-m7")
# Not mps2-an521: the first of its two Cortex-M33 has neither floating point nor DSP instructions.
_AN505 = _mps2("mps2-an505", "Arm MPS2+ with a Cortex-M33", 20.0, 0x10000000, 0x38000000, 0x80000000, "cortex-m33")


def _an547() -> Machine:
    code = Region("code", 0x11000000, 2 * MIB)
    sram = Region("ram", 0x31000000, 4 * MIB)
    outer = Region("ddr", 0x70000000, 16 * MIB)
    itcm = Region("itcm", 0x0, 512 * KIB)
    chip = "Arm MPS3 with a Cortex-M55"
    return Machine("mps3-an547", chip, 32.0, code, sram, (code, outer), (sram, outer), vectors=itcm)


def _stm32f405(qemu: tuple[int, ...]) -> Machine:
    flash = Region("flash", 0x08000000, MIB)
    sram = Region("sram", 0x20000000, 128 * KIB)
    # The chip has its 64 KiB of core-coupled RAM at 0x10000000; QEMU before 8.0 puts them behind the others.
    core = Region("ccm", 0x10000000 if qemu >= (8,) else 0x20020000, 64 * KIB)
    return Machine("netduinoplus2", "STM32F405", 168.0, flash, core, (flash,), (sram, core), "cortex-m4")


def machines(target: str, qemu: tuple[int, ...] = (8,)) -> tuple[Machine, ...]:
    """The machines of a target (`cortex-m7`), the preferred one first; none where it is not emulated.

    Args:
        target: name of a `codegen.targets.Target`.
        qemu: QEMU's version, which knows where a chip has its memories.
    """
    return {
        "cortex-m4": (_stm32f405(qemu), _AN386),
        "cortex-m7": (_AN500,),
        "cortex-m33": (_AN505,),
        "cortex-m55": (_an547(),),
    }.get(target, ())


def for_unicorn(target: str) -> tuple[Machine, ...]:
    """As `machines`, of those that Unicorn can stand in for."""
    return tuple(replace(machine, name=f"{machine.name} memories") for machine in machines(target) if machine.unicorn)

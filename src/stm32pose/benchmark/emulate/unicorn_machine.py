"""A run in Unicorn, inside this process: memories, the semihosting calls, and a count of every instruction."""

from __future__ import annotations

import struct
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from stm32pose.benchmark.emulate.elf import Elf
from stm32pose.benchmark.emulate.machines import Machine
from stm32pose.benchmark.emulate.qemu import what_happened
from stm32pose.errors import UserError

BREAKPOINT = 7
"""Unicorn's number of the exception that BKPT raises."""
SYSTEM_PAGE = 0xE000E000
"""Registers of the processor itself: plain memory here, nothing looks at them."""
PAGE = 4096
FILES = ("in.bin", "out.bin", "counts.bin", "layers.txt")
OPEN, CLOSE, WRITE0, WRITE, READ, EXIT, INSTRUCTIONS = 0x01, 0x02, 0x04, 0x05, 0x06, 0x20, 0x100


def run_unicorn(symbols: Elf, machine: Machine, folder: Path, *, timeout_s: float) -> None:
    """Run a program to its end; it reads and writes the files of a run in `folder`, and no others.

    Raises:
        UserError: a fault with the function it happened in, another failure, or no end within `timeout_s` seconds.
    """
    # By name: an extra that type checkers need not find.
    unicorn = import_module("unicorn")
    arm, uc = import_module("unicorn.arm_const"), import_module("unicorn.unicorn_const")
    engine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    engine.ctl_set_cpu_model(getattr(arm, f"UC_CPU_ARM_{machine.unicorn.upper().replace('-', '_')}"))
    for region in machine.regions:
        engine.mem_map(region.origin, region.bytes)
    engine.mem_map(SYSTEM_PAGE, PAGE)
    for address, data in symbols.loaded:
        engine.mem_write(address, data)
    host = Host(engine, folder, (arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_PC))
    engine.hook_add(uc.UC_HOOK_BLOCK, host.on_block)
    engine.hook_add(uc.UC_HOOK_INTR, host.on_interrupt)
    stack, reset = struct.unpack("<II", engine.mem_read(machine.regions[0].origin, 8))
    engine.reg_write(arm.UC_ARM_REG_SP, stack)
    where = f"{machine.chip} ({machine.name}, Unicorn)"
    try:
        engine.emu_start(reset | 1, 0xFFFFFFFE, timeout=int(timeout_s * 1e6))
    except unicorn.UcError as error:
        function = symbols.around(engine.reg_read(arm.UC_ARM_REG_PC))
        raise UserError(f"{where}: the program faulted in {function or 'no function'}(); {error}") from error
    finally:
        host.close()
    if host.error is not None:
        raise host.error
    if host.status is None:
        raise UserError(f"{where}: did not end within {timeout_s:g} s and was stopped")
    if host.status != 0:
        raise UserError(f"{where}: {what_happened(host.text, host.status, symbols)}")


class Host:
    """What the program calls: files, exit, the count of instructions.

    Attributes:
        count: instructions so far.
        status: of the program's end; None before.
        text: what it printed.
        error: what went wrong in here; it cannot be raised through Unicorn's C code.
    """

    def __init__(self, engine: Any, folder: Path, registers: tuple[int, int, int]):
        self.engine, self.folder = engine, folder
        self.r0, self.r1, self.pc = registers
        self.count, self.lengths = 0, {}
        self.status: int | None = None
        self.text, self.error, self.files = "", None, {}
        self.calls: dict[int, Callable[[int], int]] = {
            OPEN: self.open,
            CLOSE: lambda _: 0,
            WRITE0: self.print,
            WRITE: self.write,
            READ: self.read,
            EXIT: self.exit,
            INSTRUCTIONS: self.instructions,
        }

    def on_block(self, engine: Any, address: int, size: int, _: Any) -> None:
        """Add the instructions of a block that begins."""
        try:
            self.count += self.lengths[address, size]
        except KeyError:
            found = instructions_in(bytes(engine.mem_read(address, size)))
            self.lengths[address, size] = found
            self.count += found

    def on_interrupt(self, engine: Any, number: int, _: Any) -> None:
        """Serve a semihosting call; any other exception ends the run."""
        try:
            address = engine.reg_read(self.pc)
            if number != BREAKPOINT:
                raise UserError(f"exception {number} at {address:#x} in the emulated program")
            answer = self.calls[engine.reg_read(self.r0)](engine.reg_read(self.r1))
            engine.reg_write(self.r0, answer & 0xFFFFFFFF)
            engine.reg_write(self.pc, (address + 2) | 1)
        except Exception as error:  # noqa: BLE001 (Unicorn's C code calls this)
            self.error = error if isinstance(error, UserError) else UserError(f"the emulated program's call: {error!r}")
            engine.emu_stop()

    def words(self, address: int, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", self.engine.mem_read(address, 4 * count))

    def open(self, arguments: int) -> int:
        address, mode, length = self.words(arguments, 3)
        name = bytes(self.engine.mem_read(address, length)).decode("ascii")
        if name not in FILES:
            return -1
        number = len(self.files) + 1
        try:
            self.files[number] = (self.folder / name).open("wb" if mode >= 4 else "rb")
        except OSError:
            return -1
        return number

    def write(self, arguments: int) -> int:
        number, address, length = self.words(arguments, 3)
        self.files[number].write(self.engine.mem_read(address, length))
        return 0

    def read(self, arguments: int) -> int:
        number, address, length = self.words(arguments, 3)
        data = self.files[number].read(length)
        self.engine.mem_write(address, data)
        return length - len(data)

    def print(self, address: int) -> int:
        while byte := bytes(self.engine.mem_read(address, 1)):
            if byte == b"\0":
                return 0
            self.text += byte.decode("latin-1")
            address += 1
        return 0

    def exit(self, arguments: int) -> int:
        self.status = self.words(arguments, 2)[1]
        self.engine.emu_stop()
        return 0

    def instructions(self, arguments: int) -> int:
        self.engine.mem_write(arguments, struct.pack("<Q", self.count))
        return 0

    def close(self) -> None:
        for file in self.files.values():
            file.close()


def instructions_in(code: bytes) -> int:
    """Thumb instructions in a run of code: those whose first half-word is 0xE800 or more have two."""
    count, offset = 0, 0
    while offset + 1 < len(code):
        offset += 4 if code[offset + 1] >= 0xE8 else 2
        count += 1
    return count

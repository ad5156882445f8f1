"""A run in QEMU: the program, its files in one folder, and what went wrong if it did."""

from __future__ import annotations

import re
from pathlib import Path

from stm32pose.benchmark.emulate.elf import Elf
from stm32pose.benchmark.emulate.machines import Machine
from stm32pose.errors import UserError
from stm32pose.processes import run_program

FAULTED = 3


def run_qemu(program: Path, elf: Path, machine: Machine, folder: Path, *, symbols: Elf, timeout_s: float) -> None:
    """Run an ELF file to its end; it reads and writes files in `folder`.

    One instruction takes one nanosecond of the machine's time (`-icount shift=0`), so that its timer counts them.

    Raises:
        UserError: a fault with the function it happened in, another failure, or no end within `timeout_s` seconds.
    """
    command = [program, "-M", machine.name, "-display", "none", "-monitor", "none", "-serial", "none", "-nic", "none"]
    command += ["-no-reboot", "-icount", "shift=0", "-semihosting-config", "enable=on,target=native"]
    done = run_program(
        [*command, "-kernel", elf.resolve()], cwd=folder, log=folder / "emulator.log", timeout_s=timeout_s
    )
    if done.returncode != 0:
        raise UserError(f"{machine.chip} ({machine.name}): {what_happened(done.output, done.returncode, symbols)}")


def what_happened(output: str, returncode: int, symbols: Elf) -> str:
    """A failed run in one line, from what it wrote."""
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "")
    fault = re.search(r"fault: pc (0x[0-9a-f]{8}) .* cfsr (0x[0-9a-f]{8}) .* address (0x[0-9a-f]{8})", output)
    if returncode == FAULTED and fault:
        function = symbols.around(int(fault.group(1), 16))
        where = f"in {function}()" if function else f"at {fault.group(1)}"
        return f"the program faulted {where}; {last}"
    if "Lockup" in output:
        return "the program faulted twice (lockup); its stack may be too small"
    return f"the program ended with exit status {returncode}; {last or 'it wrote nothing'}"

"""Where the parts of a network go in the memories of a machine, and the linker script that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stm32pose.benchmark.emulate.machines import STACK_BYTES, Machine, Region
from stm32pose.errors import UserError

ALIGN = 16
ARENA = ".bss.arena_"
"""Begin of the name of an arena's section, one a static array `arena_N`."""
NETWORK, KERNELS, RUN = ".net.o", ".ker.o", ".run.o"
"""Ends of the names of object files: of the network, of its kernels, of the run itself."""
NAMES = ".rodata.names .rodata.str* .rodata.*.str*"
"""Sections of the layers' names, which only the emulated run needs."""
RUNTIME_BYTES = 1024
"""Variables of the run itself, beside its stack."""


@dataclass(frozen=True)
class Parts:
    """Sizes of what is to be placed, in bytes.

    Attributes:
        code: instructions and tables of the network, its kernels and the run.
        weights: constants of the network.
        variables: what is neither arena nor stack.
        arenas: the static arrays `arena_N` of network.c by the name of their section.
    """

    code: int
    weights: int
    variables: int
    arenas: Mapping[str, int]


@dataclass(frozen=True)
class Placed:
    """The region of the weights, and that of each arena by the name of its section."""

    weights: Region
    arenas: Mapping[str, Region]


class DoesNotFit(UserError):
    """A network is too large for a machine."""


def place(parts: Parts, machine: Machine) -> Placed:
    """Give each part the first of its regions that has room; arenas the largest first.

    Raises:
        DoesNotFit: what needs how much, and what the machine has.
    """
    left = {region: region.bytes for region in machine.regions}

    def take(what: str, size: int, regions: tuple[Region, ...]) -> Region:
        size = -(-size // ALIGN) * ALIGN
        for region in regions:
            if left[region] >= size:
                left[region] -= size
                return region
        room = ", ".join(f"{region.name} {left[region]:,} of {region.bytes:,}" for region in regions)
        raise DoesNotFit(
            f"the emulated {machine.chip} ({machine.name}) is too small: {what} {size:,} bytes, free: {room}"
        )

    take("code needs", parts.code, (machine.code,))
    take("stack and variables need", STACK_BYTES + RUNTIME_BYTES + parts.variables, (machine.work,))
    weights = take("the weights need", parts.weights, machine.weights)
    arenas = {
        name: take("the arena needs", size, machine.arena)
        for name, size in sorted(parts.arenas.items(), key=lambda item: -item[1])
    }
    return Placed(weights, arenas)


def linker_script(machine: Machine, placed: Placed) -> str:
    """The script, for GNU's linker and LLVM's.

    The network's own bytes lie in sections of their own, so that the ELF file tells their sizes:
    `network_weights`, `network_code`, `network_data`, `network_arena...`.
    """
    memory = "\n".join(
        f"  {region.name} (rwx) : ORIGIN = {region.origin:#x}, LENGTH = {region.bytes:#x}" for region in machine.regions
    )
    arenas = "\n".join(
        f"  network_arena_{number} (NOLOAD) : ALIGN({ALIGN}) {{ *{NETWORK}({name}) }} > {region.name}"
        for number, (name, region) in enumerate(placed.arenas.items())
    )
    code, work, weights = machine.code.name, machine.work.name, placed.weights.name
    return f"""/* Written by stm32pose for {machine.name}. */
ENTRY(reset_handler)
MEMORY
{{
{memory}
}}
SECTIONS
{{
  .vectors : {{ KEEP(*(.vectors)) }} > {machine.regions[0].name}
  run_code : ALIGN({ALIGN})
  {{
    *{RUN}(.text .text.* .rodata .rodata.*)
    *{NETWORK}({NAMES} .text.network_layer_name)
  }} > {code}
  network_weights : ALIGN({ALIGN}) {{ *{NETWORK}(.rodata .rodata.*) }} > {weights}
  network_code : ALIGN({ALIGN}) {{ *(.text .text.* .rodata .rodata.*) }} > {code}
  .ARM.exidx : {{ *(.ARM.exidx .ARM.exidx.*) }} > {code}
{arenas}
  stack (NOLOAD) : ALIGN({ALIGN})
  {{
    stack_limit = .;
    . = . + {STACK_BYTES:#x};
    stack_top = .;
  }} > {work}
  network_data : ALIGN({ALIGN})
  {{
    data_start = .;
    *(.data .data.*)
    . = ALIGN(4);
    data_end = .;
  }} > {work} AT > {code}
  data_load = LOADADDR(network_data);
  run_bss (NOLOAD) : ALIGN({ALIGN})
  {{
    bss_start = .;
    *{RUN}(.bss .bss.* COMMON)
    . = ALIGN(4);
  }} > {work}
  network_bss (NOLOAD) : ALIGN({ALIGN})
  {{
    *(.bss .bss.* COMMON)
    . = ALIGN(4);
    bss_end = .;
  }} > {work}
  /DISCARD/ : {{ *(.ARM.attributes) *(.comment) *(.note*) *(.eh_frame*) *(.debug*) }}
}}
"""

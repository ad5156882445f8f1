"""Parts of the emulated run that need no tools: placement, counts, ELF files, what is said where tools are missing."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from stm32pose.benchmark.emulate import toolchains
from stm32pose.benchmark.emulate.counts import HOST_CLOCK, MAGIC, Clock, read_counts, read_outputs, write_inputs
from stm32pose.benchmark.emulate.elf import Elf, Symbol, read_elf
from stm32pose.benchmark.emulate.link import DoesNotFit, Parts, linker_script, place
from stm32pose.benchmark.emulate.machines import MIB, machines
from stm32pose.benchmark.emulate.qemu import what_happened
from stm32pose.benchmark.emulate.toolchains import find_tools
from stm32pose.benchmark.emulate.unicorn_machine import instructions_in
from stm32pose.codegen.targets import TARGETS
from stm32pose.errors import ConfigError, UserError

M7 = machines("cortex-m7")[0]


def test_weights_that_do_not_fit_beside_the_code_go_outside():
    arenas = {".bss.arena_0": 3 * MIB, ".bss.arena_1": 2 * MIB}
    placed = place(Parts(code=MIB, weights=3 * MIB, variables=0, arenas=arenas), M7)
    assert placed.weights.name == "code"
    assert {name: region.name for name, region in placed.arenas.items()} == {
        ".bss.arena_0": "ram",
        ".bss.arena_1": "psram",
    }
    script = linker_script(M7, placed)
    assert "network_arena_0 (NOLOAD) : ALIGN(16) { *.net.o(.bss.arena_0) } > ram" in script
    assert place(Parts(MIB, 4 * MIB, 0, {}), M7).weights.name == "psram"
    with pytest.raises(DoesNotFit, match=r"mps2-an500\) is too small: the weights need 17,825,792 bytes, free: code"):
        place(Parts(0, 17 * MIB, 0, {}), M7)
    with pytest.raises(DoesNotFit, match=r"stack and variables need 5,2"):
        place(Parts(0, 0, 5 * MIB, {}), M7)
    with pytest.raises(DoesNotFit, match=r"code needs 5,242,880 bytes, free: code 4,194,304"):
        place(Parts(5 * MIB, 0, 0, {}), M7)


def test_regions_of_a_machine_do_not_overlap():
    for core in ("cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"):
        for version in ((7, 2), (8, 0), (10, 1)):
            for machine in machines(core, version):
                spans = sorted((region.origin, region.origin + region.bytes) for region in machine.regions)
                assert all(end <= begin for (_, end), (begin, _) in pairwise(spans)), machine


def test_the_core_coupled_memory_lies_where_this_qemu_has_it():
    assert machines("cortex-m4", (7, 2, 22))[0].work.origin == 0x20020000
    assert machines("cortex-m4", (8, 0))[0].work.origin == 0x10000000


def counts_file(path: Path, readings: list[tuple[int, int, int]], layers: int, stack: int = 400) -> Path:
    words = [MAGIC, layers, *(value for reading in readings for value in reading), stack]
    path.write_bytes(struct.pack(f"<{len(words)}I", *words))
    return path


def test_ticks_become_instructions(tmp_path):
    # 40 instructions a tick; each reading waits some turns of 4 instructions for its tick.
    readings = [(0, 100, 5), (0, 102, 15), (0, 5103, 15), (0, 5200, 3), (1, 99, 2), (1, 200, 1), (3, 200, 6)]
    found = read_counts(counts_file(tmp_path / "counts.bin", readings, layers=2), Clock(40.0, period=1 << 16))
    nothing = 2 * 40 - 60
    assert found.layers[0] == ((1 << 16) + 99 - 5200) * 40 - 8 - 5 - nothing
    assert found.layers[1] == 2 * (1 << 16) * 40 - 24 - 10 - nothing
    assert found.stack_bytes == 400


def test_a_count_of_64_bits(tmp_path):
    top = (1 << 32) - 1
    readings = [(0, 10, 0), (0, 30, 0), (0, 200_050, 0), (7, top, 0), (8, 1019, 0)]
    assert read_counts(counts_file(tmp_path / "counts.bin", readings, layers=1), HOST_CLOCK).layers == (1000,)


@pytest.mark.parametrize("size", [0, 3, 8, 50, 1000])
def test_a_run_that_broke_off(tmp_path, size):
    path = counts_file(tmp_path / "counts.bin", [(0, 0, 0)] * 5, layers=1)
    path.write_bytes(path.read_bytes().ljust(1000, b"\0")[:size])
    with pytest.raises(UserError, match="are not the readings of a run"):
        read_counts(path, HOST_CLOCK)
    with pytest.raises(UserError, match="the emulated run broke off"):
        read_outputs(path, 1, [size + 1])


def test_inputs_and_outputs(tmp_path):
    runs = [[np.arange(3, dtype=np.int8), np.float32([1.5])], [np.zeros(3, np.int8), np.float32([2.5])]]
    write_inputs(tmp_path / "in.bin", runs, [2, 4])
    data = (tmp_path / "in.bin").read_bytes()
    assert struct.unpack_from("<8I", data) == (MAGIC, 2, 2, 2, 3, 4, 2, 4)
    assert data[32:] == b"\0\1\2" + struct.pack("<f", 1.5) + bytes(3) + struct.pack("<f", 2.5)
    (tmp_path / "out.bin").write_bytes(bytes(range(12)))
    assert read_outputs(tmp_path / "out.bin", 2, [2, 4]) == [[b"\0\1", b"\2\3\4\5"], [b"\6\7", b"\x08\x09\x0a\x0b"]]


@pytest.mark.parametrize(
    "content", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(100), b"\x7fELF\x01\x01" + b"\xff" * 100]
)
def test_what_is_no_elf_file(tmp_path, content):
    path = tmp_path / "x.o"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not an ELF file of 32 bits"):
        read_elf(path)


def test_what_happened_in_words():
    elf = Elf((), (Symbol("before", 0x101, 16), Symbol("kernel", 0x201, 16)), ())
    fault = "fault: pc 0x00000204 lr 0x00000001 cfsr 0x00008200 hfsr 0x40000000 address 0x9f000000\n"
    assert "faulted in kernel(); fault: pc" in what_happened(fault, 3, elf)
    assert "faulted at 0x00000304" in what_happened(fault.replace("204", "304"), 3, elf)
    assert "lockup" in what_happened("qemu: fatal: Lockup: can't escalate 3 to HardFault", -6, elf)
    assert what_happened("", 5, elf) == "the program ended with exit status 5; it wrote nothing"
    assert what_happened("error: cannot open in.bin\n", 2, elf).endswith("status 2; error: cannot open in.bin")


def test_instructions_of_a_block():
    # movs r0, #1; bx lr; ldr.w r0, [r0]; bl; push.w
    assert instructions_in(bytes.fromhex("0120 7047 d0f80000 00f000f8 2de9f041")) == 5
    assert instructions_in(b"") == 0


@pytest.fixture
def nothing_here(monkeypatch):
    monkeypatch.setattr(toolchains, "find_program", lambda name: (None, ["PATH"]))
    monkeypatch.setattr(toolchains, "has_pip_route", lambda: False)


@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m55"])
def test_missing_tools_name_both_ways(nothing_here, core):
    with pytest.raises(ConfigError) as caught:
        find_tools(TARGETS[core])
    text = str(caught.value)
    assert text.startswith(
        "benchmarking.backend: emulate: arm-none-eabi-gcc and qemu-system-arm not found (looked at PATH)"
    )
    assert "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm" in text
    assert "pip install 'stm32pose[emulator]'" in text
    assert ("not for Cortex-M55" in text) == (core == "cortex-m55")
    assert "\n" not in text


def test_the_pip_way_is_taken_where_there_is_no_other(nothing_here, monkeypatch):
    monkeypatch.setattr(toolchains, "has_pip_route", lambda: True)
    monkeypatch.setattr(toolchains.metadata, "version", lambda name: "1.2")
    compiler, emulator = find_tools(TARGETS["cortex-m33"])
    assert (compiler.version, emulator.version) == ("zig cc 1.2 -O2", "Unicorn 1.2")
    with pytest.raises(ConfigError, match="not found"):
        find_tools(TARGETS["cortex-m55"])


@pytest.mark.parametrize("name", ["generic", "host"])
def test_a_processor_without_emulator(name):
    with pytest.raises(ConfigError, match=r"no emulator of the .* here; there are those of Cortex-M4, Cortex-M7"):
        find_tools(TARGETS[name])


def test_doctor_says_what_is_missing(nothing_here, monkeypatch):
    from stm32pose.commands import doctor

    assert doctor.emulated().startswith("arm-none-eabi-gcc, qemu-system-arm not found; apt-get install")
    monkeypatch.setattr(toolchains, "has_pip_route", lambda: True)
    assert doctor.emulated().startswith("by Unicorn")

"""The emulated run: exact on every core, counted alike every time, and an end to everything that goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stm32pose.benchmark.emulate import Emulation, emulate, machines
from stm32pose.benchmark.emulate.build import RUNTIME
from stm32pose.benchmark.emulate.link import DoesNotFit
from stm32pose.benchmark.emulate.toolchains import SECTIONS, WARNINGS, Emulator, Toolchain, all_tools, missing_programs
from stm32pose.codegen.targets import TARGETS
from stm32pose.errors import UserError
from stm32pose.processes import run_program

NETWORK = Path(__file__).resolve().parents[1] / "data" / "emulated_network"
CORES = ("cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")
INPUTS = [[np.array([1, 0, 2, 0, -3, 0, 4, 0], np.int8)], [np.full(8, 9, np.int8)]]
# By hand: 1 * 1 + 3 * 2 - 5 * 3 + 7 * 4 + 1 = 21, halved and cut to 10, with the sign changed; and so on. Twice 127.
OUTPUTS = [[np.array([-10, 10, -52, 50], np.int8)], [np.array([-63, 64, -63, 32], np.int8)]]


def tools_of(core: str, emulator: str) -> tuple[Toolchain, Emulator]:
    """Compiler and emulator, or the reason to skip."""
    found = all_tools(TARGETS[core])
    if emulator not in found:
        reason = f"no emulated boards by QEMU here: {', '.join(missing_programs())} not found"
        pytest.skip(reason if emulator == "qemu" else "the packages ziglang and unicorn are not installed")
    return found[emulator]


def run(
    core: str, *defines: str, emulator: str = "qemu", build: Path | None = None, timeout_s: float = 60
) -> Emulation:
    tools = tools_of(core, emulator)
    target = TARGETS[core]
    return emulate(NETWORK, target, INPUTS, OUTPUTS, tools=tools, defines=defines, build=build, timeout_s=timeout_s)


def counts(found: Emulation) -> list[int]:
    return [layer.instructions for layer in found.layers]


@pytest.mark.parametrize("core", CORES)
def test_exact_and_repeatable_on_every_core(core):
    first, second = run(core), run(core)
    assert first.exact
    assert (first.mismatches, first.compared) == (0, 8)
    assert [layer.name for layer in first.layers] == ["dense", "negate"]
    assert 200 < first.layers[0].instructions < 400  # 32 multiply-accumulates by loops of portable C
    assert first.instructions == sum(counts(first))
    assert counts(first) == counts(second)
    assert first.arena_bytes == 16
    assert first.constants == {"weights": 32, "bias": 16}
    assert first.weights_bytes == 48
    assert 100 < first.code_bytes < 1000
    assert 50 < first.stack_bytes < 1000
    assert "arm-none-eabi-gcc" in first.compiler
    assert "QEMU" in first.emulator
    assert np.array_equal(first.outputs[1][0], OUTPUTS[1][0])


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7", "cortex-m33"])
def test_exact_by_zig_and_unicorn(core):
    found = run(core, emulator="unicorn")
    assert found.exact
    assert found.arena_bytes == 16
    assert "zig" in found.compiler
    assert counts(found) == counts(run(core, emulator="unicorn"))


def test_unicorn_counts_what_qemu_counts():
    gcc, qemu = tools_of("cortex-m7", "qemu")
    _, unicorn = tools_of("cortex-m7", "unicorn")
    by = [
        counts(emulate(NETWORK, TARGETS["cortex-m7"], INPUTS, OUTPUTS, tools=(gcc, emulator), defines=["SPIN=10000"]))
        for emulator in (qemu, unicorn)
    ]
    assert np.abs(np.subtract(*by)).max() <= 8


@pytest.mark.parametrize("core", CORES)
def test_counts_are_instructions(core):
    """A loop more takes so many instructions more, each time: no tick of the timer is lost, whatever it wraps."""
    base, short = counts(run(core))[1], counts(run(core, "SPIN=1000"))[1]
    each = round((short - base) / 1000)
    assert 4 <= each <= 8
    for turns, period in ((300_000, "0x1000000UL"), (312_345, "0x4321UL")):
        found = counts(run(core, f"SPIN={turns}", f"STOPWATCH_PERIOD={period}"))[1]
        assert abs(found - short - each * (turns - 1000)) <= 16, (turns, period)


def test_the_timer_of_24_bits_wraps():
    """On the STM32F405 it does after 100 million instructions."""
    base, much = counts(run("cortex-m4", "SPIN=1000"))[1], counts(run("cortex-m4", "SPIN=40001000"))[1]
    assert much > 2 << 24
    assert (much - base) % 40_000_000 in {*range(17), *range(40_000_000 - 16, 40_000_000)}


def test_a_wrong_output_is_counted():
    tools = tools_of("cortex-m7", "qemu")
    wrong = [[OUTPUTS[0][0] + np.array([0, 1, 0, 1], np.int8)], OUTPUTS[1]]
    found = emulate(NETWORK, TARGETS["cortex-m7"], INPUTS, wrong, tools=tools)
    assert not found.exact
    assert (found.mismatches, found.compared) == (2, 8)


@pytest.mark.parametrize(
    ("core", "bytes_", "machine"),
    [
        ("cortex-m4", 120_000, "netduinoplus2"),
        ("cortex-m4", 140_000, "mps2-an386"),
        ("cortex-m4", 5_000_000, "mps2-an386"),
        ("cortex-m7", 16_000_000, "mps2-an500"),
        ("cortex-m33", 16_000_000, "mps2-an505"),
        ("cortex-m55", 16_000_000, "mps3-an547"),
    ],
)
def test_a_large_arena_goes_where_there_is_room(core, bytes_, machine):
    found = run(core, f"EXTRA_ARENA={bytes_}")
    assert found.exact
    assert found.machine == machine
    assert found.arena_bytes == bytes_ + 16


@pytest.mark.parametrize("core", CORES)
def test_what_is_too_large_is_said(core):
    with pytest.raises(DoesNotFit, match=r"is too small: the arena needs 50,000,016 bytes, free: ram .*4,194,304"):
        run(core, "EXTRA_ARENA=50000000")


@pytest.mark.parametrize("emulator", ["qemu", "unicorn"])
def test_a_fault_ends_the_run_and_names_the_function(emulator):
    with pytest.raises(UserError, match=r"the program faulted in negate\(\)"):
        run("cortex-m7", "FAULT", emulator=emulator)


@pytest.mark.parametrize("emulator", ["qemu", "unicorn"])
def test_a_run_without_end_is_stopped(emulator):
    with pytest.raises(UserError, match="did not end within 2 s and was stopped"):
        run("cortex-m7", "FOREVER", emulator=emulator, timeout_s=2)


def test_a_stack_that_is_too_small_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("stm32pose.benchmark.emulate.link.STACK_BYTES", 64)
    with pytest.raises(UserError, match=r"mps2-an500\): the program (faulted twice|ended with|faulted in)"):
        run("cortex-m7", build=tmp_path)


def test_a_compiler_s_error_is_told(tmp_path):
    with pytest.raises(UserError, match=r"network\.c: .*error: .*nonsense.*; log: .*network\.net\.log"):
        run("cortex-m7", "EXTRA_ARENA=nonsense", build=tmp_path)
    assert "-mcpu=cortex-m7" in (tmp_path / "network.net.log").read_text()


def test_another_clock_is_noticed(monkeypatch):
    (machine,) = machines.machines("cortex-m7")
    monkeypatch.setattr("stm32pose.benchmark.emulate.run.machines", lambda *_: (replace(machine, mhz=20.0),))
    with pytest.raises(UserError, match=r"the emulator's clock is off: 200000 instructions took 2[45]"):
        run("cortex-m7")


def test_files_of_another_network(tmp_path):
    tools = tools_of("cortex-m7", "qemu")
    with pytest.raises(UserError, match=r"the network's inputs have \[8\] bytes, got \[4\]"):
        emulate(NETWORK, TARGETS["cortex-m7"], [[np.zeros(4, np.int8)]], OUTPUTS[:1], tools=tools)
    with pytest.raises(UserError, match=r"the network's outputs have \[4\] bytes, got \[4, 4\]"):
        emulate(NETWORK, TARGETS["cortex-m7"], INPUTS[:1], [[OUTPUTS[0][0]] * 2], tools=tools)
    with pytest.raises(UserError, match="at least one inference"):
        emulate(NETWORK, TARGETS["cortex-m7"], [], [], tools=tools)
    with pytest.raises(UserError, match=r"holds no network\.c"):
        emulate(tmp_path, TARGETS["cortex-m7"], INPUTS, OUTPUTS, tools=tools)


@pytest.mark.parametrize("emulator", ["qemu", "unicorn"])
@pytest.mark.parametrize("core", CORES)
def test_the_runtime_compiles_without_a_warning(core, emulator, tmp_path):
    if (core, emulator) == ("cortex-m55", "unicorn"):
        pytest.skip("Unicorn has no Cortex-M55")
    toolchain, _ = tools_of(core, emulator)
    for source in sorted(RUNTIME.rglob("*.c")):
        folders = [source.parent, RUNTIME, NETWORK, *([RUNTIME / "freestanding"] if emulator == "unicorn" else [])]
        command: Sequence[str] = [*toolchain.command, *toolchain.flags(TARGETS[core]), *WARNINGS, *SECTIONS, "-O2"]
        command = [*command, "-Werror", *(f"-I{folder}" for folder in folders), "-c", str(source)]
        done = run_program([*command, "-o", str(tmp_path / "made.o")], timeout_s=120)
        assert done.returncode == 0, done.output

"""`emulate`: build a generated network, run it on an emulated Cortex-M, compare its outputs, count its instructions."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stm32pose.benchmark.emulate.build import compile_network, link_network, sources_of
from stm32pose.benchmark.emulate.counts import HOST_CLOCK, Clock, read_counts, read_outputs, write_inputs
from stm32pose.benchmark.emulate.elf import Elf
from stm32pose.benchmark.emulate.machines import for_unicorn, machines
from stm32pose.benchmark.emulate.qemu import run_qemu
from stm32pose.benchmark.emulate.toolchains import Emulator, Toolchain, find_tools
from stm32pose.codegen.targets import Target
from stm32pose.errors import UserError

TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class Layer:
    """A layer of the generated code: its name, and the instructions of one run of it."""

    name: str
    instructions: int


@dataclass(frozen=True)
class Emulation:
    """What an emulated run tells. Sizes in bytes, from the ELF file.

    Attributes:
        target: the processor, `cortex-m7`.
        machine: the machine that emulated it, `mps2-an500`.
        chip: what that is, for people.
        exact: every output byte is the one expected.
        mismatches: elements of outputs that differ, over all inferences.
        compared: elements compared.
        instructions: of one inference.
        layers: of that inference, in order; a layer's count is true to within 8 instructions.
        arena_bytes: memory of the activations, scratch included.
        weights_bytes: constants of the network: weights, biases, quantization data, tables.
        code_bytes: instructions of network, kernels and the functions of the C library they call.
        data_bytes: other variables of the network.
        stack_bytes: the most that was in use.
        constants: of them, bytes of tables by what they are to the kernels: `weights`, `bias`, `parameters` and so on.
        compiler, emulator: name and version.
        outputs: for each inference the outputs, as the arrays that were expected.
    """

    target: str
    machine: str
    chip: str
    exact: bool
    mismatches: int
    compared: int
    instructions: int
    layers: tuple[Layer, ...]
    arena_bytes: int
    weights_bytes: int
    code_bytes: int
    data_bytes: int
    stack_bytes: int
    constants: dict[str, int]
    compiler: str
    emulator: str
    outputs: tuple[tuple[np.ndarray, ...], ...] = field(default=(), repr=False)


def emulate(
    folder: Path,
    target: Target,
    inputs: Sequence[Sequence[np.ndarray]],
    expected: Sequence[Sequence[np.ndarray]],
    *,
    build: Path | None = None,
    tools: tuple[Toolchain, Emulator] | None = None,
    timeout_s: float = TIMEOUT_S,
    defines: Sequence[str] = (),
) -> Emulation:
    """Run a generated network on an emulated processor.

    Args:
        folder: as `stm32pose export` writes it for `target`.
        target: the processor.
        inputs: for each inference its inputs; of the types and sizes that the network takes, whatever their shapes.
        expected: for each inference the outputs to compare with, bit for bit.
        build: where objects, program, files and logs go; None: a temporary folder.
        tools: compiler and emulator; None: those that are found.
        timeout_s: longest time of the emulator.
        defines: for the compiler, `NAME=VALUE`.

    Raises:
        ConfigError: no tools.
        UserError: it does not compile, is too large for the machine, faults, or does not end.
    """
    toolchain, emulator = tools or find_tools(target)
    check_sizes(folder, inputs, expected)
    own = tempfile.TemporaryDirectory(prefix="stm32pose-emulate-") if build is None else nullcontext(str(build))
    with own as name:
        return _run(folder, target, inputs, expected, Path(name), toolchain, emulator, timeout_s, defines)


def _run(
    folder: Path,
    target: Target,
    inputs: Sequence[Sequence[np.ndarray]],
    expected: Sequence[Sequence[np.ndarray]],
    build: Path,
    toolchain: Toolchain,
    emulator: Emulator,
    timeout_s: float,
    defines: Sequence[str],
) -> Emulation:
    by_qemu = emulator.kind == "qemu"
    stopwatch = "systick" if by_qemu else "host"
    objects = compile_network(folder, target, toolchain, build, stopwatch=stopwatch, defines=defines)
    candidates = machines(target.name, emulator.numbers) if by_qemu else for_unicorn(target.name)
    program, elf, machine = link_network(objects, target, toolchain, candidates, build)
    sizes = [array.nbytes for array in expected[0]]
    for stale in ("out.bin", "counts.bin", "layers.txt"):
        (build / stale).unlink(missing_ok=True)
    write_inputs(build / "in.bin", inputs, sizes)
    if by_qemu and emulator.program is not None:
        run_qemu(emulator.program, program, machine, build, symbols=elf, timeout_s=timeout_s)
        clock = Clock(1000.0 / machine.mhz, _period(defines))
    else:
        from stm32pose.benchmark.emulate.unicorn_machine import run_unicorn

        run_unicorn(elf, machine, build, timeout_s=timeout_s)
        clock = HOST_CLOCK
    counts = read_counts(build / "counts.bin", clock)
    names = (build / "layers.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    got = read_outputs(build / "out.bin", len(inputs), sizes)
    outputs = tuple(
        tuple(np.frombuffer(data, wanted.dtype).reshape(wanted.shape) for data, wanted in zip(row, rows, strict=True))
        for row, rows in zip(got, expected, strict=True)
    )
    mismatches = sum(
        _differ(one, wanted)
        for row, rows in zip(outputs, expected, strict=True)
        for one, wanted in zip(row, rows, strict=True)
    )
    return Emulation(
        target=target.name,
        machine=machine.name,
        chip=machine.chip,
        exact=mismatches == 0,
        mismatches=mismatches,
        compared=sum(wanted.size for rows in expected for wanted in rows),
        instructions=sum(counts.layers),
        layers=tuple(Layer(name, count) for name, count in zip(names, counts.layers, strict=True)),
        arena_bytes=elf.section_bytes("network_arena"),
        weights_bytes=elf.section_bytes("network_weights"),
        code_bytes=elf.section_bytes("network_code"),
        data_bytes=elf.section_bytes("network_data") + elf.section_bytes("network_bss"),
        stack_bytes=counts.stack_bytes,
        constants=constants_of(elf),
        compiler=toolchain.version,
        emulator=emulator.version,
        outputs=outputs,
    )


def check_sizes(folder: Path, inputs: Sequence[Sequence[np.ndarray]], expected: Sequence[Sequence[np.ndarray]]) -> None:
    """UserError: inputs or outputs have other sizes than network.h says."""
    header = sources_of(folder)[0].parent / "network.h"
    text = header.read_text(encoding="utf-8") if header.is_file() else ""
    for kind, rows in (("INPUT", inputs), ("OUTPUT", expected)):
        found = re.findall(rf"#define NETWORK_{kind}_(\d+)_BYTES\s+\(?(\d+)", text)
        wanted = [int(size) for _, size in sorted(found, key=lambda pair: int(pair[0]))]
        if not rows:
            raise UserError(f"{folder}: emulate needs at least one inference")
        for row in rows:
            got = [array.nbytes for array in row]
            if got != wanted:
                raise UserError(f"{header}: the network's {kind.lower()}s have {wanted} bytes, got {got}")


def constants_of(elf: Elf) -> dict[str, int]:
    """Bytes of the network's tables by the member of the kernel's parameters that they are: weights, bias, ..."""
    found: dict[str, int] = {}
    for symbol in elf.symbols:
        if match := re.fullmatch(r"layer_\d+_(\w+)", symbol.name):
            found[match.group(1)] = found.get(match.group(1), 0) + symbol.bytes
    return found


def _differ(one: np.ndarray, wanted: np.ndarray) -> int:
    """Elements whose bytes differ."""
    raw = [np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(array.size, -1) for array in (one, wanted)]
    return int((raw[0] != raw[1]).any(axis=1).sum()) if wanted.size else 0


def _period(defines: Sequence[str]) -> int:
    given = [define.partition("=")[2] for define in defines if define.startswith("STOPWATCH_PERIOD=")]
    return int(given[0].rstrip("UL"), 0) if given else 1 << 24

"""A model file on an emulated processor: exported, built, run on random inputs, compared with its reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stm32pose.benchmark.emulate.run import TIMEOUT_S, Emulation, emulate
from stm32pose.benchmark.emulate.toolchains import Emulator, Toolchain, find_tools
from stm32pose.codegen.export import Built, network_files, write_folder
from stm32pose.codegen.export import build as build_program
from stm32pose.codegen.reference import expected_outputs, random_inputs
from stm32pose.codegen.targets import Target

INFERENCES = {"qemu": 2, "unicorn": 1}
"""The first is counted layer by layer, the second runs through network_run(); Unicorn is too slow for two."""


@dataclass(frozen=True)
class EmulatedModel:
    """An emulated run, and the program that ran."""

    emulation: Emulation
    built: Built


def emulate_model(
    path: Path,
    target: Target,
    folder: Path,
    *,
    inferences: int | None = None,
    seed: int = 0,
    tools: tuple[Toolchain, Emulator] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> EmulatedModel:
    """Export a model for a processor and run it there.

    Args:
        path: an int8 .tflite or .onnx file.
        folder: its C code goes to `code`, everything of the build and the run to `build` below it.
        inferences: on as many random inputs; None: as many as the emulator does in a short time.
        seed: of those.

    Raises:
        ConfigError: no such file, or no tools.
        UserError: not exportable, too large for the machine, or the run failed.
    """
    tools = tools or find_tools(target)
    built = build_program(path, target)
    code = folder / "code"
    write_folder(dict(network_files(built)), code)
    inputs = [
        random_inputs(built.program.network, seed + number) for number in range(inferences or INFERENCES[tools[1].kind])
    ]
    expected = [expected_outputs(built.program.network, values) for values in inputs]
    emulation = emulate(code, target, inputs, expected, build=folder / "build", tools=tools, timeout_s=timeout_s)
    return EmulatedModel(emulation, built)

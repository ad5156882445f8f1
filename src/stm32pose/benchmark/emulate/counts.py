"""The files between this process and an emulated run, and what its stopwatch's readings mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stm32pose.errors import UserError

MAGIC = 0x31504D45
LOOP = 4
"""Instructions of the waiting loop of stopwatch_read()."""
HANDLER = 5
"""Instructions of the interrupt at a wrap."""
SPIN = 200_000
"""Instructions between the second and the third reading."""
READING = 3


@dataclass(frozen=True)
class Clock:
    """What a tick is: instructions in it, and ticks until the timer starts again."""

    instructions: float
    period: int = 1 << 24
    handler: int = HANDLER


HOST_CLOCK = Clock(1.0, 1 << 32, 0)
"""Of an emulator that counts instructions itself."""


@dataclass(frozen=True)
class Counts:
    """Instructions of each layer in order, and the most bytes of stack in use."""

    layers: tuple[int, ...]
    stack_bytes: int


def write_inputs(path: Path, runs: Sequence[Sequence[np.ndarray]], outputs: Sequence[int]) -> None:
    """Write in.bin: header, bytes of each input and output, then the inputs of one inference after the other.

    Args:
        runs: for each inference its inputs.
        outputs: bytes of each output.
    """
    sizes = [array.nbytes for array in runs[0]]
    header = np.asarray([MAGIC, len(runs), len(sizes), len(outputs), *sizes, *outputs], "<u4")
    with path.open("wb") as file:
        file.write(header.tobytes())
        for run in runs:
            for array in run:
                file.write(np.ascontiguousarray(array).tobytes())


def read_outputs(path: Path, runs: int, outputs: Sequence[int]) -> list[list[bytes]]:
    """Read out.bin: for each inference the bytes of its outputs. UserError: it is too short."""
    data = path.read_bytes() if path.is_file() else b""
    if len(data) != runs * sum(outputs):
        raise UserError(f"{path}: {len(data)} bytes instead of {runs * sum(outputs)}; the emulated run broke off")
    found, offset = [], 0
    for _ in range(runs):
        row = []
        for size in outputs:
            row.append(data[offset : offset + size])
            offset += size
        found.append(row)
    return found


def read_counts(path: Path, clock: Clock) -> Counts:
    """Read counts.bin and turn ticks into instructions, to within 8 of them a layer.

    Raises:
        UserError: the file is too short, or the emulator's clock is not the one that is expected.
    """
    data = path.read_bytes() if path.is_file() else b""
    words = np.frombuffer(data[: len(data) // 4 * 4], "<u4").astype(np.int64)
    layers = int(words[1]) if len(words) > 1 and words[0] == MAGIC else -1
    if layers < 0 or len(words) != 2 + READING * (3 + 2 * layers) + 1:
        raise UserError(f"{path}: {len(data)} bytes are not the readings of a run; the emulated run broke off")
    readings = words[2:-1].reshape(-1, READING)

    def between(first: np.ndarray, second: np.ndarray) -> float:
        wraps = int(second[0] - first[0])
        ticks = wraps * clock.period + int(second[1] - first[1])
        return ticks * clock.instructions - LOOP * int(second[2]) - clock.handler * wraps

    nothing = between(readings[0], readings[1])
    spin = between(readings[1], readings[2]) - nothing
    if abs(spin - SPIN) > 100:
        raise UserError(f"the emulator's clock is off: {SPIN} instructions took {spin:.0f} of its nanoseconds")
    pairs = readings[3:].reshape(layers, 2, READING)
    found = tuple(max(0, round(between(before, after) - nothing)) for before, after in pairs)
    return Counts(found, int(words[-1]))

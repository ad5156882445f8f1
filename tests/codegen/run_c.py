"""Compiles generated C for this machine with sanitizers and runs it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from stm32pose.codegen.export import Built, build, network_files
from stm32pose.codegen.targets import target_of

CC = shutil.which("gcc") or shutil.which("clang")
FLAGS = [
    "-std=c99",
    "-O1",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffp-contract=off",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
]
needs_cc = pytest.mark.skipif(CC is None, reason="no C compiler (gcc or clang) on this machine")

MAIN = """#include <stdio.h>
#include "network.h"
int main(void)
{
  int32_t i;
  static const long in_bytes[] = {%(inputs)s};
  static const long out_bytes[] = {%(outputs)s};
  network_init();
  for (;;) {
    for (i = 0; i < NETWORK_INPUTS; i++) {
      if (fread(network_input(i), 1, (size_t)in_bytes[i], stdin) != (size_t)in_bytes[i]) {
        return 0;
      }
    }
    network_run();
    for (i = 0; i < NETWORK_OUTPUTS; i++) {
      fwrite(network_output(i), 1, (size_t)out_bytes[i], stdout);
    }
  }
}
"""


def compile_network(built: Built, folder: Path, flags: Sequence[str] = FLAGS) -> Path:
    """The program that reads inputs from stdin, again and again, and writes outputs to stdout."""
    assert CC
    folder.mkdir(parents=True, exist_ok=True)
    network = built.program.network
    for name, text in network_files(built).items():
        (folder / name).write_text(text)
    sizes = {
        "inputs": ", ".join(str(network.tensors[index].bytes) for index in network.inputs),
        "outputs": ", ".join(str(network.tensors[index].bytes) for index in network.outputs),
    }
    (folder / "main.c").write_text(MAIN % sizes)
    program = folder / "program"
    done = subprocess.run(
        [CC, *flags, *map(str, sorted(folder.glob("*.c"))), "-o", str(program)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[:4000]
    return program


def run_program(built: Built, program: Path, batches: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
    """Outputs of each batch of inputs."""
    network = built.program.network
    given = b"".join(np.ascontiguousarray(array).tobytes() for batch in batches for array in batch)
    done = subprocess.run([str(program)], input=given, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[:4000]
    results, place = [], 0
    for _ in batches:
        outputs = []
        for index in network.outputs:
            tensor = network.tensors[index]
            chunk = done.stdout[place : place + tensor.bytes]
            outputs.append(np.frombuffer(chunk, tensor.dtype).reshape(tensor.shape))
            place += tensor.bytes
        results.append(outputs)
    assert place == len(done.stdout)
    return results


def run_on_host(
    model: Path, batches: Sequence[Sequence[np.ndarray]], folder: Path, target: str = "host", flags=FLAGS
) -> list[list[np.ndarray]]:
    """Export a model for `target`, compile it for this machine and run it on every batch of inputs."""
    built = build(model, target_of(target))
    return run_program(built, compile_network(built, folder, flags), batches)

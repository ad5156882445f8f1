"""Kernels compiled once with sanitizers into a program that calls any of them, with any parameters, again and again.

So that a test can try hundreds of shapes without a compiler run for each.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import stm32pose.codegen
from stm32pose.codegen.program import Array, Call

SOURCES = Path(stm32pose.codegen.__file__).parent / "c"
FLAGS = ("-std=c99", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")

MAIN = """
#include <stdio.h>
#include <stdlib.h>

/* A request: kernel, parameters, tables (place of the pointer in the parameters, content), blocks of memory (content),
   arguments (block, offset in it). Everything is int32 but contents. The answer: the blocks. */
static int32_t number(void)
{
  int32_t value;
  if (fread(&value, sizeof value, 1, stdin) != 1) {
    exit(0);
  }
  return value;
}

static uint8_t *content(int32_t bytes)
{
  uint8_t *memory = malloc((size_t)bytes + (bytes == 0 ? 1u : 0u));
  if (memory == NULL || fread(memory, 1, (size_t)bytes, stdin) != (size_t)bytes) {
    exit(1);
  }
  return memory;
}

static void call(int32_t kernel, uint8_t **a, const void *p)
{
  switch (kernel) {
%(cases)s
  default:
    exit(2);
  }
}

static void layout(void)
{
%(layout)s
}

int main(int argc, char **argv)
{
  (void)argv;
  if (argc > 1) {
    layout();
    return 0;
  }
  for (;;) {
    int32_t i, tables, blocks, arguments;
    uint8_t *table[16], *block[32], *argument[32];
    int32_t size[32];
    const int32_t kernel = number();
    uint8_t *parameters = content(number());
    tables = number();
    for (i = 0; i < tables; i++) {
      const int32_t place = number();
      table[i] = content(number());
      memcpy(parameters + place, &table[i], sizeof table[i]);
    }
    blocks = number();
    for (i = 0; i < blocks; i++) {
      size[i] = number();
      block[i] = content(size[i]);
    }
    arguments = number();
    for (i = 0; i < arguments; i++) {
      const int32_t of = number();
      argument[i] = block[of] + number();
    }
    call(kernel, argument, parameters);
    for (i = 0; i < blocks; i++) {
      fwrite(block[i], 1, (size_t)size[i], stdout);
      free(block[i]);
    }
    fflush(stdout);
    for (i = 0; i < tables; i++) {
      free(table[i]);
    }
    free(parameters);
  }
}
"""


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


class Driver:
    """A running program that has the kernels of some sources. Close it, or use it in a `with`.

    Args:
        sources: names of files in codegen/c, `kernels_movement`.
        config: text of network_config.h.
    """

    def __init__(self, sources: Sequence[str], config: str = "#define NETWORK_ROUNDING_FLOAT 0\n"):
        self._folder = tempfile.TemporaryDirectory(prefix="kernels-")
        folder = Path(self._folder.name)
        for path in [*SOURCES.glob("kernels_*.h"), *(SOURCES / f"{name}.c" for name in sources)]:
            shutil.copy(path, folder)
        (folder / "network_config.h").write_text(config)
        headers = {name: _without_comments((folder / f"{name}.h").read_text()) for name in sources}
        self.kernels: dict[str, int] = {}
        cases, layout = [], []
        for text in headers.values():
            for name, arguments in re.findall(r"^void (\w+)\(([^)]*)\);", text, re.M):
                self.kernels[name] = len(self.kernels)
                given = ", ".join(f"(void *)a[{place}]" for place in range(arguments.count(",")))
                cases.append(f"  case {self.kernels[name]}:\n    {name}({given}, p);\n    break;")
            for body, name in re.findall(r"typedef struct \{([^}]*)\} (\w+);", text):
                layout.append(f'  printf("{name} * %d %d\\n", (int)sizeof({name}), 0);')
                for member in re.findall(r"(\w+)(?:\[\w+\])?\s*;", body):
                    place = f"(int)offsetof({name}, {member}), (int)sizeof((({name} *)0)->{member})"
                    layout.append(f'  printf("{name} {member} %d %d\\n", {place});')
        includes = "".join(f'#include "{name}.h"\n' for name in sources)
        main = MAIN % {"cases": "\n".join(cases), "layout": "\n".join(layout)}
        (folder / "main.c").write_text(f"#include <stddef.h>\n{includes}{main}")
        program = folder / "program"
        compiler = shutil.which("gcc") or shutil.which("clang")
        assert compiler
        files = [str(folder / f"{name}.c") for name in ("main", *sources)]
        done = subprocess.run(
            [compiler, *FLAGS, *SANITIZERS, *files, "-o", str(program)], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[:4000]
        shown = subprocess.run([str(program), "layout"], capture_output=True, text=True, timeout=60, check=True)
        rows = [line.split() for line in shown.stdout.splitlines()]
        self._places = {(row[0], row[1]): (int(row[2]), int(row[3])) for row in rows}
        self._process = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the program and remove its folder."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def run(self, call: Call, blocks: Sequence[bytes], arguments: Sequence[tuple[int, int]]) -> list[bytes]:
        """Blocks of memory after a call.

        Args:
            call: its parameters; its inputs and outputs are not looked at.
            blocks: memory, each allocated alone so that the sanitizer sees what lies outside.
            arguments: (block, offset in it) of each pointer that the kernel takes before its parameters.
        """
        parameters, tables = self._parameters(call)
        message = [struct.pack("<ii", self.kernels[call.function], len(parameters)), parameters]
        message.append(struct.pack("<i", len(tables)))
        for place, values in tables:
            message += [struct.pack("<ii", place, len(values)), values]
        message.append(struct.pack("<i", len(blocks)))
        for block in blocks:
            message += [struct.pack("<i", len(block)), block]
        message.append(
            struct.pack(f"<i{2 * len(arguments)}i", len(arguments), *[n for pair in arguments for n in pair])
        )
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(b"".join(message))
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        results = [self._process.stdout.read(len(block)) for block in blocks]
        if [len(result) for result in results] != [len(block) for block in blocks]:
            raise AssertionError(f"{call.function} failed: {self._errors()}")
        return results

    def _errors(self) -> str:
        assert self._process.stderr
        return self._process.stderr.read().decode(errors="replace")[:4000]

    def _parameters(self, call: Call) -> tuple[bytes, list[tuple[int, bytes]]]:
        """(the struct with its pointers open, place and content of what they point at)."""
        parameters = bytearray(self._places[call.struct, "*"][0])
        tables = []
        for name, value in call.fields.items():
            place, size = self._places[call.struct, name]
            if isinstance(value, Array):
                tables.append((place, np.ascontiguousarray(value.values).tobytes()))
                continue
            if isinstance(value, float):
                content = struct.pack("<f", value)
            else:
                numbers = value if isinstance(value, tuple) else (value,)
                width = size // len(numbers)
                content = b"".join(int(number).to_bytes(width, "little", signed=number < 0) for number in numbers)
            assert len(content) == size, (call.struct, name, value)
            parameters[place : place + size] = content
        return bytes(parameters), tables


def run_calls(driver: Driver, calls: Sequence[Call], memory: Mapping[int, bytes]) -> dict[int, bytes]:
    """Memory of tensors after calls, each tensor in a block of its own.

    Args:
        memory: content of every tensor that the calls touch, by its index; that of outputs may be anything.
    """
    memory = dict(memory)
    for call in calls:
        tensors = list(dict.fromkeys((*call.inputs, *call.outputs)))
        blocks = [memory[index] for index in tensors]
        if call.scratch_bytes:
            blocks.append(bytes([0xA5]) * call.scratch_bytes)
        arguments = [(tensors.index(index), 0) for index in (*call.inputs, *call.outputs)]
        if call.scratch_bytes:
            arguments.append((len(tensors), 0))
        after = driver.run(call, blocks, arguments)
        for index, before, block in zip(tensors, blocks, after, strict=False):
            if index not in call.outputs:
                assert block == before, f"{call.function} wrote to its input"
            memory[index] = block
    return memory


def run_overlapped(driver: Driver, call: Call, position: int, memory: Mapping[int, bytes], further: int = 0) -> bytes:
    """The first output of a call, placed so that it overlaps one input as far as the call's lead allows.

    Args:
        position: of the input whose lead is tried.
        memory: as in `run_calls`.
        further: bytes closer than the lead allows, to see that it is not larger than it must be.
    """
    lead = call.leads[position]
    assert lead is not None
    source, made = call.inputs[position], call.outputs[0]
    gap = min(lead, len(memory[made])) - further
    size = max(gap + len(memory[source]), len(memory[made]))
    whole = bytearray([0x5A]) * size
    whole[gap : gap + len(memory[source])] = memory[source]
    others = [index for index in dict.fromkeys((*call.inputs, *call.outputs)) if index not in (source, made)]
    blocks = [bytes(whole), *(memory[index] for index in others)]
    if call.scratch_bytes:
        blocks.append(bytes([0xA5]) * call.scratch_bytes)
    places = {source: (0, gap), made: (0, 0), **{index: (1 + n, 0) for n, index in enumerate(others)}}
    arguments = [places[index] for index in (*call.inputs, *call.outputs)]
    if call.scratch_bytes:
        arguments.append((len(blocks) - 1, 0))
    return driver.run(call, blocks, arguments)[0][: len(memory[made])]

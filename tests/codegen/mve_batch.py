"""Many calls of fast kernels in one emulated run, outputs as close to their inputs as the leads allow."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from stm32pose.benchmark.emulate import emulate
from stm32pose.codegen.c_text import C_TYPES, number, table
from stm32pose.codegen.export import KERNELS
from stm32pose.codegen.program import Array, Call
from stm32pose.codegen.targets import target_of

TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
needs_emulator = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS), reason=f"{' and '.join(TOOLS)} run the fast kernels"
)
GUARD = 32
"""Bytes around everything that a kernel may write; they must stay."""

HEADER = """#include <stdint.h>
#define NETWORK_LAYERS {layers}
#define NETWORK_INPUTS {inputs}
#define NETWORK_OUTPUTS 1
{sizes}
#define NETWORK_OUTPUT_0_BYTES {output}
void network_init(void);
void *network_input(int32_t index);
void network_run(void);
const void *network_output(int32_t index);
void network_run_layer(int32_t layer);
const char *network_layer_name(int32_t layer);
"""

SOURCE = """#include <string.h>
#include "network.h"
{includes}
#define ALIGNED __attribute__((aligned(16)))
static ALIGNED int8_t input[{input}];
static ALIGNED int8_t output[{output}];
static ALIGNED int8_t arena[{arena}];
static ALIGNED int8_t scratch[{scratch}];
{calls}
static void (*const layers[NETWORK_LAYERS])(void) = {{{layers}}};
void network_init(void) {{}}
void *network_input(int32_t index) {{ return input + index; }}
const void *network_output(int32_t index) {{ return output + index; }}
void network_run_layer(int32_t layer) {{ layers[layer](); }}
const char *network_layer_name(int32_t layer) {{ return layer < 0 ? "" : "call"; }}
void network_run(void) {{}}
"""


@dataclass
class Case:
    """A call, the bytes of its inputs and of its output, and what it is, for people."""

    call: Call
    inputs: list[np.ndarray]
    expected: np.ndarray
    title: str = ""


@dataclass
class _Layout:
    """Where a case lies in the arena: offsets of its inputs and its output, bytes in use."""

    inputs: list[int]
    output: int
    bytes: int


def check_cases(
    cases: Sequence[Case],
    folder: Path,
    *,
    rounding_float: bool = False,
    nearer: int = 0,
    target: str = "cortex-m55",
) -> list[bool]:
    """Run every case; returns whether each one's output is the expected and all other memory as it was.

    Args:
        folder: where the sources go.
        rounding_float: the kernels as they are for ONNX networks.
        nearer: bytes that outputs lie nearer to their inputs than the leads allow.
        target: the processor.
    """
    layouts = [_layout(case, nearer) for case in cases]
    images = [_images(case, layout) for case, layout in zip(cases, layouts, strict=True)]
    given = np.concatenate([before for before, _ in images])
    wanted = np.concatenate([after for _, after in images])
    text, place = [], 0
    for index, (case, layout) in enumerate(zip(cases, layouts, strict=True)):
        text.append(_call_text(index, case.call, layout, place))
        place += layout.bytes + GUARD
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted({case.call.source for case in cases})
    for source in sources:
        for suffix in (".c", ".h"):
            shutil.copy(KERNELS / f"{source}{suffix}", folder)
    for path in KERNELS.glob("*.h"):
        shutil.copy(path, folder)
    (folder / "network_config.h").write_text(f"#define NETWORK_ROUNDING_FLOAT {int(rounding_float)}\n")
    (folder / "network.h").write_text(
        HEADER.format(
            layers=len(cases), inputs=1, sizes=f"#define NETWORK_INPUT_0_BYTES {given.size}", output=wanted.size
        )
    )
    (folder / "network.c").write_text(
        SOURCE.format(
            includes="\n".join(f'#include "{source}.h"' for source in sources),
            input=given.size,
            output=wanted.size,
            arena=max(layout.bytes for layout in layouts) + GUARD,
            scratch=max(case.call.scratch_bytes for case in cases) + GUARD,
            calls="\n".join(text),
            layers=", ".join(f"layer_{index}" for index in range(len(cases))),
        )
    )
    result = emulate(folder, target_of(target), [[given]], [[wanted]], build=folder / "build")
    got = np.frombuffer(result.outputs[0][0].tobytes(), np.int8)
    ends = np.cumsum([after.size for _, after in images])
    return [
        bool(np.array_equal(part, after)) for part, (_, after) in zip(np.split(got, ends[:-1]), images, strict=True)
    ]


def _layout(case: Case, nearer: int) -> _Layout:
    """The first input after the output by its lead; words of four bytes stay words."""
    sizes = [-(-array.nbytes // 16) * 16 for array in case.inputs]
    leads = list(case.call.leads) or [None] * len(sizes)
    unit = 4 if case.expected.shape[-1] % 4 == 0 else 1
    output = GUARD
    if leads[0] is None:
        first = output + -(-case.expected.nbytes // 16) * 16
    else:
        wanted = max(0, leads[0] - nearer)
        lead = -(-wanted // unit) * unit
        first = output + -(-lead // 16) * 16
        output = first - lead
    inputs = [first]
    end = max(first + sizes[0], output + case.expected.nbytes)
    for size in sizes[1:]:
        inputs.append(-(-end // 16) * 16)
        end = inputs[-1] + size
    return _Layout(inputs, output, -(-(end + GUARD) // 16) * 16)


def _images(case: Case, layout: _Layout) -> tuple[np.ndarray, np.ndarray]:
    """The arena with the guard of the scratch, before and after the call."""
    before = np.full(layout.bytes + GUARD, 0x5A, np.int8)
    for offset, array in zip(layout.inputs, case.inputs, strict=True):
        before[offset : offset + array.nbytes] = np.frombuffer(array.tobytes(), np.int8)
    after = before.copy()
    after[layout.output : layout.output + case.expected.nbytes] = np.frombuffer(case.expected.tobytes(), np.int8)
    return before, after


def _call_text(index: int, call: Call, layout: _Layout, place: int) -> str:
    lines, members = [], []
    for name, value in call.fields.items():
        if isinstance(value, Array):
            kind = C_TYPES[value.values.dtype.name]
            # A table ends where others begin: what is read beyond must not matter.
            lines.append(f"static ALIGNED const {kind} t{index}_{name}[{value.values.size}] = {table(value.values)};")
            members.append(f".{name} = t{index}_{name}")
        elif isinstance(value, tuple):
            members.append(f".{name} = {{{', '.join(number(item) for item in value)}}}")
        else:
            members.append(f".{name} = {number(value)}")
    arguments = [f"arena + {offset}" for offset in (*layout.inputs, layout.output)]
    arguments += ["scratch"] if call.scratch_bytes else []
    lines += [
        f"static const {call.struct} p{index} = {{{', '.join(members)}}};",
        f"static void layer_{index}(void)\n{{",
        f"  memcpy(arena, input + {place}, {layout.bytes});",
        f"  memset(scratch + {call.scratch_bytes}, 0x5A, {GUARD});",
        f"  {call.function}({', '.join(arguments)}, &p{index});",
        f"  memcpy(output + {place}, arena, {layout.bytes});",
        f"  memcpy(output + {place + layout.bytes}, scratch + {call.scratch_bytes}, {GUARD});\n}}",
    ]
    return "\n".join(lines)

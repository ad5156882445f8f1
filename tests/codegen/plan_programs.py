"""Programs of made-up calls, for tests of the memory plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from stm32pose.codegen.network import Network, Tensor
from stm32pose.codegen.program import Call, Program
from stm32pose.codegen.targets import TARGETS


def program_of(
    sizes: Sequence[int],
    calls: Sequence[Call],
    *,
    inputs: Sequence[int],
    outputs: Sequence[int],
    aliases: dict[int, int] | None = None,
    constants: Sequence[int] = (),
    shapes: dict[int, tuple[int, ...]] | None = None,
) -> Program:
    """A program of int8 tensors t0, t1, ... of `sizes` bytes."""
    tensors = tuple(
        Tensor(
            f"t{index}",
            (shapes or {}).get(index, (size,)),
            "int8",
            data=np.zeros(size, np.int8) if index in constants else None,
        )
        for index, size in enumerate(sizes)
    )
    network = Network(Path("made.tflite"), "tflite", tensors, (), tuple(inputs), tuple(outputs))
    return Program(network, TARGETS["generic"], tuple(calls), aliases or {})


def call(inputs: Sequence[int], outputs: Sequence[int], *leads: int | None, scratch: int = 0, macs: int = 0) -> Call:
    """A call without leads, or with one an input."""
    name = f"layer{outputs[0]}"
    return Call(
        "kernel",
        "kernels",
        "params",
        {},
        tuple(inputs),
        tuple(outputs),
        kind="CONV_2D",
        name=name,
        macs=macs,
        scratch_bytes=scratch,
        leads=leads or (None,) * len(inputs),
    )


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Random graphs: several inputs, skips, reshapes, dead outputs, outputs read again, an output filled twice."""
    size = st.integers(0, 700)
    sizes = [draw(size) for _ in range(draw(st.integers(1, 2)))]
    inputs, calls, aliases = list(range(len(sizes))), [], {}
    for _ in range(draw(st.integers(1, 9))):
        taken = draw(st.lists(st.sampled_from(range(len(sizes))), min_size=1, max_size=3))
        made = [len(sizes) + number for number in range(draw(st.sampled_from((1, 1, 1, 2))))]
        sizes += [draw(size) for _ in made]
        leads = [draw(st.one_of(st.none(), st.just(0), st.integers(1, 300))) for _ in taken]
        calls.append(call(taken, made, *leads, scratch=draw(st.sampled_from((0, 0, 40, 400)))))
        if draw(st.integers(0, 4)) == 0:
            again = draw(st.lists(st.sampled_from(range(made[0])), min_size=1, max_size=2))
            calls.append(call(again, made[:1], *(draw(st.sampled_from((None, 0))) for _ in again)))
        if draw(st.integers(0, 4)) == 0:
            aliases[len(sizes)] = made[0]
            sizes.append(sizes[made[0]])
    outputs = draw(st.lists(st.sampled_from(range(len(sizes))), min_size=1, max_size=3, unique=True))
    return program_of(sizes, calls, inputs=inputs, outputs=outputs, aliases=aliases)

"""Whole random networks, each run call by call in the arena that the planner made for it, against LiteRT byte for byte.

Tests of one operator give every tensor memory of its own, or overlap two; here all tensors and scratch of a network
share one arena as on a microcontroller, so that a wrong lifetime, alias or lead shows as a wrong byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from codegen.kernel_driver import SOURCES, Driver
from codegen.one_op import build
from codegen.random_graphs import random_graph
from codegen.run_c import needs_cc

from stm32pose.codegen.lower import lower
from stm32pose.codegen.network import Network
from stm32pose.codegen.plan import ArenaPlan, plan_arena, verify
from stm32pose.codegen.program import Program
from stm32pose.codegen.read_tflite import parse_tflite
from stm32pose.codegen.reference import run_reference
from stm32pose.codegen.targets import TARGETS

GRAPHS = 150
CHOSEN = ("host", "cortex-m7")
"""Targets whose kernels the host can run: portable ones, and those with DSP instructions, emulated."""
KERNELS = sorted(path.stem for path in SOURCES.glob("kernels_*.c") if "mve" not in path.stem)


def _noise(network: Network, seed: int) -> list[np.ndarray]:
    noise = np.random.default_rng(seed)
    made = []
    for tensor in (network.tensors[index] for index in network.inputs):
        if tensor.dtype == "float32":
            made.append((4 * noise.standard_normal(tensor.shape)).astype(np.float32))
        else:
            made.append(noise.integers(0, 256, tensor.shape).astype(np.uint8).view(tensor.dtype))
    return made


def _run_in_arena(driver: Driver, program: Program, plan: ArenaPlan, inputs: Sequence[np.ndarray]) -> list[bytes]:
    """Outputs of a program whose whole memory is one arena, full of rubbish at first."""
    network = program.network
    place = {
        index: plan.offsets[program.root(index)] for call in program.calls for index in (*call.inputs, *call.outputs)
    }
    place |= {index: plan.offsets[program.root(index)] for index in (*network.inputs, *network.outputs)}
    arena = bytearray(b"\x5a" * plan.pool_bytes[0])
    for index, values in zip(network.inputs, inputs, strict=True):
        arena[place[index] : place[index] + values.nbytes] = values.tobytes()
    for call, scratch in zip(program.calls, plan.scratch, strict=True):
        arguments = [(0, place[index]) for index in (*call.inputs, *call.outputs)]
        if call.scratch_bytes:
            arguments.append((0, scratch))
        arena = bytearray(driver.run(call, [bytes(arena)], arguments)[0])
    return [bytes(arena[place[index] : place[index] + network.tensors[index].bytes]) for index in network.outputs]


def _overlapping(program: Program, plan: ArenaPlan) -> int:
    """Calls whose output lies on one of their inputs, in part or whole."""
    tensors, count = program.network.tensors, 0
    for call in program.calls:
        made = program.root(call.outputs[0])
        start, end = plan.offsets[made], plan.offsets[made] + tensors[made].bytes
        roots = {program.root(index) for index in call.inputs}
        count += any(start < plan.offsets[root] + tensors[root].bytes and plan.offsets[root] < end for root in roots)
    return count


@needs_cc
def test_random_graphs_in_their_planned_arena_equal_litert():
    calls = overlapping = 0
    with Driver(KERNELS) as driver:
        for seed in range(GRAPHS):
            content = build(random_graph(seed))
            network = parse_tflite(content, Path("random.tflite"))
            inputs = _noise(network, seed)
            expected = [np.ascontiguousarray(values).tobytes() for values in run_reference(content, inputs)]
            for target in CHOSEN:
                program = lower(network, TARGETS[target])
                plan = plan_arena(program)
                verify(program, plan)
                outputs = _run_in_arena(driver, program, plan, inputs)
                equal = [one == two for one, two in zip(outputs, expected, strict=True)]
                assert all(equal), f"seed {seed}, {target}: equal outputs {equal} of {random_graph(seed).ops}"
                calls += len(program.calls)
                overlapping += _overlapping(program, plan)
    assert overlapping > calls / 4, "the arenas have few overlaps: nothing is tested"


def test_the_graphs_have_what_they_are_for():
    graphs = [random_graph(seed) for seed in range(GRAPHS)]
    kinds = Counter(op.kind for graph in graphs for op in graph.ops)
    assert len(kinds) >= 40
    assert min(kinds.values()) >= 3, kinds
    ranks = {len(graph.tensors[index].shape) for graph in graphs for op in graph.ops for index in op.outputs}
    assert ranks >= {1, 2, 3, 4, 5}
    assert sum(len(graph.inputs) > 1 for graph in graphs) > 30
    assert sum(len(graph.outputs) > 1 for graph in graphs) > 60
    twice = [op for graph in graphs for op in graph.ops if len(set(op.inputs)) < len(op.inputs)]
    assert {"ADD", "MUL", "CONCATENATION"} <= {op.kind for op in twice}
    read = [{index for op in graph.ops for index in op.inputs} & set(graph.outputs) for graph in graphs]
    assert sum(map(bool, read)) > 30, "outputs that are read inside"
    assert build(random_graph(7)) == build(random_graph(7))

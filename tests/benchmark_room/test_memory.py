"""The planner: nothing that lives at once overlaps, and the arena is never below what must live."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.benchmark.graph import Graph, Op, Tensor, read_graph
from stm32pose.benchmark.memory import Buffer, MemoryPlan, lifetimes, plan_buffers, plan_memory

buffers = st.lists(
    st.tuples(st.integers(1, 5000), st.integers(0, 12), st.integers(0, 6)).map(
        lambda item: Buffer("t", item[0], item[1], item[1] + item[2])
    ),
    min_size=1,
    max_size=25,
)


def check(plan: MemoryPlan) -> None:
    for index, one in enumerate(plan.allocations):
        assert one.offset >= 0
        assert one.offset + one.size <= plan.peak_bytes
        for other in plan.allocations[index + 1 :]:
            if one.first <= other.last and other.first <= one.last:
                assert one.offset + one.size <= other.offset or other.offset + other.size <= one.offset
    assert plan.peak_bytes >= plan.lower_bound_bytes == max(plan.live_bytes)


@settings(max_examples=120, deadline=None)
@given(buffers)
def test_no_overlap(items: list[Buffer]) -> None:
    plan = plan_buffers(items, 20)
    check(plan)
    assert len(plan.allocations) == len(items)
    alive = [sum(-(-b.size // 8) * 8 for b in items if b.first <= step <= b.last) for step in range(20)]
    assert list(plan.live_bytes) == alive
    assert plan.peak_bytes <= 2 * plan.lower_bound_bytes


def test_plan_is_repeatable() -> None:
    items = [Buffer(str(i), 100 + 37 * i % 91, i % 7, i % 7 + i % 4) for i in range(30)]
    assert plan_buffers(items, 12) == plan_buffers(items, 12)


def chain(*sizes: int, kind: str = "CONV_2D") -> Graph:
    tensors = tuple(Tensor(str(i), (1, size), "int8") for i, size in enumerate(sizes))
    ops = tuple(Op(kind, str(i), (i,), (i + 1,)) for i in range(len(sizes) - 1))
    return Graph(Path("x.tflite"), "tflite", True, False, tensors, ops, (0,), (len(sizes) - 1,))


def test_chain_needs_its_two_largest_neighbours() -> None:
    plan = plan_memory(chain(80, 160, 800, 240, 8))
    assert plan.peak_bytes == plan.lower_bound_bytes == 800 + 240
    assert plan.peak_op == 2


def test_in_place_shares_memory() -> None:
    graph = chain(160, 160, 160, kind="LOGISTIC")
    assert plan_memory(graph).peak_bytes == 320
    assert plan_memory(graph, in_place=True).peak_bytes == 160


def test_skip_connection_lives_on() -> None:
    tensors = tuple(Tensor(str(i), (1, 800), "int8") for i in range(4))
    ops = (Op("CONV_2D", "a", (0,), (1,)), Op("CONV_2D", "b", (1,), (2,)), Op("ADD", "c", (0, 2), (3,)))
    graph = Graph(Path("x"), "tflite", True, False, tensors, ops, (0,), (3,))
    first = next(buffer for buffer in lifetimes(graph) if buffer.name == "0")
    assert (first.first, first.last) == (0, 2)
    assert plan_memory(graph).peak_bytes == 2400
    assert plan_memory(graph, in_place=True).peak_bytes == 2400  # the peak is at `b`, where nothing is in place


def test_reshape_takes_no_memory() -> None:
    tensors = (Tensor("a", (1, 800), "int8"), Tensor("b", (1, 400), "int8"), Tensor("c", (400,), "int8"))
    ops = (Op("CONV_2D", "x", (0,), (1,)), Op("RESHAPE", "y", (1,), (2,)))
    graph = Graph(Path("x"), "tflite", True, False, tensors, ops, (0,), (2,), {2: 1})
    assert plan_memory(graph).peak_bytes == 1200


@pytest.mark.parametrize(
    ("name", "kib"),  # the column `plain` of shared/facts/microcontrollers.md section 4
    [
        ("flowers__mobilenet_v2_0.35_128_fft_int8__6521cbfb", 240.0),
        ("flowers__mobilenet_v2_0.35_224_fft_int8__c1fedfee", 735.0),
        ("TitoNicolaDrugman__mobilenet_v2_1.0_224_int8", 1470.0),
        ("flowers__mobilenet_v1_0.25_96_fft_int8__ecf689ee", 54.0),
        ("flowers__mobilenet_v1_0.25_224_fft_int8__cc7c02c8", 294.0),
        ("flowers__mobilenet_v1_0.5_224_fft_int8__8132d2f5", 588.0),
    ],
)
def test_measured_arenas(shared: Path, name: str, kib: float) -> None:
    plan = plan_memory(read_graph(shared / f"models/calibration/{name}.tflite"))
    check(plan)
    assert plan.peak_bytes / 1024 == kib


def test_every_real_model_reaches_the_lower_bound(shared: Path) -> None:
    seen: dict[bool, list[Path]] = defaultdict(list)
    for path in sorted((shared / "models/calibration").glob("*.tflite")):
        for in_place in (False, True):
            plan = plan_memory(read_graph(path), in_place=in_place)
            seen[plan.peak_bytes == plan.lower_bound_bytes].append(path)
    assert not seen[False]
    assert len(seen[True]) > 40

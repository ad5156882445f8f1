"""The memory plan: no two live bytes in one place but as far as a lead allows, few bytes, the same every time."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

import numpy as np
import pytest
from codegen.plan_programs import call, program_of, programs
from hypothesis import given, settings

from stm32pose.codegen.overlap import lead, window_needs, window_starts
from stm32pose.codegen.plan import ArenaPlan, lifetimes, overlaps, plan_arena, verify
from stm32pose.codegen.program import Program

PROPERTY = settings(derandomize=True, deadline=None, max_examples=150)


@given(programs())
@PROPERTY
def test_no_live_bytes_overlap_but_by_a_lead(program: Program):
    plan = plan_arena(program)
    _check_pairs(program, plan)
    verify(program, plan)


@given(programs())
@PROPERTY
def test_the_peak_lies_between_its_bounds_and_is_the_same_again(program: Program):
    plan = plan_arena(program)
    assert plan.bound_bytes <= plan.peak_bytes
    assert plan.bound_bytes <= plan.plain_bytes
    assert plan == plan_arena(program)
    assert all(offset % 16 == 0 for offset in (*plan.offsets.values(), *plan.scratch))
    assert max(plan.live_bytes, default=0) <= plan.bound_bytes


@given(programs())
@PROPERTY
def test_the_check_finds_what_the_pairs_say(program: Program):
    """Everything moved to 0: the check and the rule of pairs agree on whether that is allowed."""
    plan = plan_arena(program)
    squeezed = replace(plan, offsets=dict.fromkeys(plan.offsets, 0), scratch=(0,) * len(plan.scratch))
    try:
        _check_pairs(program, squeezed)
    except AssertionError:
        with pytest.raises(AssertionError, match="memory plan"):
            verify(program, squeezed)
    else:
        verify(program, squeezed)


def _check_pairs(program: Program, plan: ArenaPlan) -> None:
    """The rule by pairs of lifetimes, in the plainest words."""
    lives, leads = lifetimes(program), overlaps(program, lifetimes(program))
    things = [(root, *lives[root], plan.offsets[root], program.network.tensors[root].bytes) for root in lives]
    things += [
        (-1 - step, step, step, plan.scratch[step], one.scratch_bytes)
        for step, one in enumerate(program.calls)
        if one.scratch_bytes
    ]
    for place, (one, first, last, start, size) in enumerate(things):
        assert start >= 0
        assert start + size <= plan.peak_bytes
        for other, from_, to, begin, length in things[:place]:
            if first > to or from_ > last or start + size <= begin or begin + length <= start or not size * length:
                continue
            allowed = (one, other) in leads and begin + leads[one, other] <= start
            allowed |= (other, one) in leads and start + leads[other, one] <= begin
            assert allowed, (one, other)


def test_a_chain_in_place_takes_one_tensor():
    program = program_of([100] * 4, [call([i], [i + 1], 0) for i in range(3)], inputs=[0], outputs=[3])
    plan = plan_arena(program)
    assert plan.peak_bytes == plan.bound_bytes == 112
    assert set(plan.offsets.values()) == {0}
    assert plan.plain_bytes == 224


def test_leads_of_a_chain_add_up_and_the_bound_knows_it():
    program = program_of([160] * 4, [call([i], [i + 1], 20) for i in range(3)], inputs=[0], outputs=[3])
    plan = plan_arena(program)
    assert [plan.offsets[i] for i in range(4)] == [96, 64, 32, 0]  # 20 is rounded up to 32
    assert plan.peak_bytes == plan.bound_bytes == 256


def test_a_lead_larger_than_the_output_puts_it_below():
    plan = plan_arena(program_of([160, 32], [call([0], [1], 1000)], inputs=[0], outputs=[1]))
    assert plan.peak_bytes == 192


def test_an_input_read_later_is_not_written_over():
    calls = [call([0], [1], 0), call([1], [2], 0), call([0, 2], [3], 0, 0)]
    program = program_of([64] * 4, calls, inputs=[0], outputs=[3])
    plan = plan_arena(program)
    assert plan.peak_bytes == 128
    assert plan.offsets[0] != plan.offsets[1]
    assert plan.offsets[3] in (plan.offsets[0], plan.offsets[2])  # the addition in place


def test_a_reshape_counts_as_a_reader():
    calls = [call([0], [1], 0), call([2], [3], 0)]
    program = program_of([64] * 4, calls, inputs=[0], outputs=[1, 3], aliases={2: 0})
    plan = plan_arena(program)
    assert set(plan.offsets) == {0, 1, 3}
    assert plan.offsets[0] != plan.offsets[1]


def test_an_output_of_the_network_is_not_written_over():
    program = program_of([64] * 3, [call([0], [1], 0), call([1], [2], 0)], inputs=[0], outputs=[1, 2])
    assert plan_arena(program).peak_bytes == 128


def test_an_input_twice_takes_the_larger_lead():
    program = program_of([64, 64], [call([0, 0], [1], 0, 16)], inputs=[0], outputs=[1])
    assert plan_arena(program).peak_bytes == 80
    program = program_of([64, 64], [call([0, 0], [1], 0, None)], inputs=[0], outputs=[1])
    assert plan_arena(program).peak_bytes == 128


def test_only_the_first_output_may_overlap():
    program = program_of([64, 64, 64], [call([0], [1, 2], 0)], inputs=[0], outputs=[1, 2])
    plan = plan_arena(program)
    assert plan.peak_bytes == 128
    assert plan.offsets[0] == plan.offsets[1]


def test_a_second_call_that_fills_an_output_may_not_overlap_it():
    program = program_of([64] * 3, [call([0], [2], 0), call([1], [2], 0)], inputs=[0, 1], outputs=[2])
    plan = plan_arena(program)
    assert plan.peak_bytes == 128
    assert plan.offsets[1] != plan.offsets[2]


def test_slices_side_by_side_join_in_place():
    """A concatenation along rows: each operand lies where it belongs in the result."""
    program = program_of(
        [64, 64, 32, 96], [call([0], [1], 0), call([0], [2]), call([1, 2], [3], 0, 64)], inputs=[0], outputs=[3]
    )
    plan = plan_arena(program_of([64, 32, 96], [call([0, 1], [2], 0, 64)], inputs=[0, 1], outputs=[2]))
    assert plan.peak_bytes == 96
    verify(program, plan_arena(program))


def test_scratch_lies_apart_and_counts():
    program = program_of([64, 64], [call([0], [1], 0, scratch=30)], inputs=[0], outputs=[1])
    plan = plan_arena(program)
    assert plan.peak_bytes == 96
    assert plan.live_bytes == (96,)
    assert plan.peak_call == 0


def test_constants_take_no_place():
    program = program_of([64, 64, 64], [call([0, 1], [2], 0, None)], inputs=[0], outputs=[2], constants=[1])
    assert set(plan_arena(program).offsets) == {0, 2}


def test_a_network_without_calls():
    plan = plan_arena(program_of([64, 30], [], inputs=[0, 1], outputs=[0]))
    assert (plan.peak_bytes, plan.peak_call, plan.live_bytes) == (96, -1, ())


def test_a_long_network_is_planned_quickly():
    random = np.random.default_rng(0)
    calls = [
        call([i, max(0, i - int(random.integers(1, 9)))], [i + 1], int(random.integers(0, 500)), 0, scratch=200)
        for i in range(250)
    ]
    program = program_of(random.integers(1, 100_000, 251).tolist(), calls, inputs=[0], outputs=[250])
    start = monotonic()
    plan = plan_arena(program)
    assert monotonic() - start < 10  # about 2 s on a free machine
    verify(program, plan)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("group", [1, 2, 4])
def test_a_kernel_that_really_runs_in_the_arena(stride: int, group: int):
    """A windowed kernel on the bytes of the arena: with the planned overlap it makes what it makes apart."""
    rows, columns, channels, made = 9, 7, 3, 3 if stride == 1 else 8
    out_rows, out_columns = -(-rows // stride), -(-columns // stride)
    needs = window_needs(
        window_starts(out_rows, stride=stride, pad=1, limit=rows),
        window_starts(out_columns, stride=stride, pad=1, limit=columns),
        row_bytes=columns * channels,
        pixel_bytes=channels,
    )
    pixels = out_rows * out_columns
    ends = np.minimum(np.arange(0, pixels, group) + group, pixels)
    later = np.append(needs[ends[:-1]], rows * columns * channels)
    needed = lead(ends * made, later)
    sizes = [rows * columns * channels, pixels * made]
    plan = plan_arena(program_of(sizes, [call([0], [1], needed)], inputs=[0], outputs=[1]))
    assert plan.peak_bytes < sum(sizes)
    image = np.random.default_rng(1).integers(-99, 99, sizes[0], np.int8)
    results = []
    for source, target, size in ((0, sizes[0], sum(sizes)), (plan.offsets[0], plan.offsets[1], plan.peak_bytes)):
        arena = np.zeros(size, np.int8)
        arena[source : source + sizes[0]] = image
        for first in range(0, pixels, group):
            group_pixels = range(first, min(first + group, pixels))
            values = [_window_sum(arena[source:], pixel, out_columns, stride) for pixel in group_pixels]
            for pixel, value in zip(group_pixels, values, strict=True):
                at = target + pixel * made
                arena[at : at + made] = (value + np.arange(made)).astype(np.int8)
        results.append(arena[target : target + sizes[1]].copy())
    assert (results[0] == results[1]).all()


def _window_sum(image: np.ndarray, pixel: int, out_columns: int, stride: int) -> int:
    rows, columns, channels = 9, 7, 3
    row, column = pixel // out_columns * stride - 1, pixel % out_columns * stride - 1
    total = 0
    for y in range(max(row, 0), min(row + 3, rows)):
        for x in range(max(column, 0), min(column + 3, columns)):
            at = (y * columns + x) * channels
            total += int(image[at : at + channels].astype(np.int32).sum()) * (y - row + 2 * (x - column) + 1)
    return total

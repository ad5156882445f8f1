"""Several memories: one where everything fits it, the hottest bytes in the fastest otherwise; constants likewise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from codegen.plan_programs import call, program_of, programs
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.boards.board import load_board
from stm32pose.codegen.placement import PoolSpace, flash_pools, place_weights, ram_pools
from stm32pose.codegen.plan import plan_arena, verify
from stm32pose.codegen.program import Array, Program
from stm32pose.errors import UserError

PROPERTY = settings(derandomize=True, deadline=None, max_examples=80)


@given(programs(), st.lists(st.integers(0, 1500), min_size=1, max_size=3))
@PROPERTY
def test_every_plan_over_pools_is_right_or_refused(program: Program, sizes: list[int]):
    pools = [PoolSpace(f"RAM{number}", size, external=number == 2) for number, size in enumerate(sizes)]
    try:
        plan = plan_arena(program, pools=pools)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert plan_arena(program).peak_bytes > max(pool.bytes for pool in pools if not pool.external)
        return
    verify(program, plan)
    assert all(used <= pool.bytes for used, pool in zip(plan.pool_bytes, pools, strict=True))
    assert plan.pools == tuple(pool.name for pool in pools)
    assert plan.peak_bytes == sum(plan.pool_bytes)
    assert plan == plan_arena(program, pools=pools)


def _two_layers() -> Program:
    """A hot input of 96 bytes that an output of 960 is made from, then a small result."""
    calls = [call([0], [1], macs=100_000), call([1], [2], macs=100)]
    return program_of([96, 960, 16], calls, inputs=[0], outputs=[2])


def test_the_first_pool_that_holds_everything_takes_it():
    pools = [PoolSpace("DTCM", 500), PoolSpace("AXI", 2000), PoolSpace("SRAM", 5000)]
    plan = plan_arena(_two_layers(), pools=pools)
    assert set(plan.pool.values()) == {1}
    assert plan.pool_bytes == (0, 1056, 0)


def test_the_hottest_tensor_lies_in_the_fastest_pool():
    pools = [PoolSpace("DTCM", 500), PoolSpace("SDRAM", 5000, external=True)]
    plan = plan_arena(_two_layers(), pools=pools)
    assert dict(plan.pool) == {0: 0, 1: 1, 2: 0}
    assert plan.pool_bytes == (96, 960)  # the result lies where the input was


def test_external_memory_is_the_last_resort():
    pools = [PoolSpace("SDRAM", 5000, external=True), PoolSpace("SRAM", 1056)]
    assert plan_arena(_two_layers(), pools=pools).pool_bytes == (0, 1056)


def test_what_fits_nowhere_is_refused_with_the_pools():
    pools = [PoolSpace("DTCM", 512), PoolSpace("AXI", 1024)]
    program = program_of([16, 1040], [call([0], [1])], inputs=[0], outputs=[1])
    with pytest.raises(UserError, match=r"RAM of the board: DTCM 0 KiB, AXI 1 KiB; the arena takes 1.0 KiB"):
        plan_arena(program, pools=pools)


def test_scratch_is_placed_too():
    program = program_of([480, 480], [call([0], [1], 0, scratch=64, macs=9)], inputs=[0], outputs=[1])
    pools = [PoolSpace("DTCM", 64), PoolSpace("SRAM", 480)]
    plan = plan_arena(program, pools=pools)
    assert plan.scratch_pool == (0,)
    assert dict(plan.pool) == {0: 1, 1: 1}


def test_pools_of_a_board():
    board = load_board("STM32H747I-DISCO")
    pools = ram_pools(board)
    assert sum(pool.bytes for pool in pools if not pool.external) == board.internal_ram_kib * 1024
    assert [pool.external for pool in pools] == sorted(pool.external for pool in pools)
    first = flash_pools(board, reserved=100_000)[0]
    assert first.bytes == flash_pools(board)[0].bytes - 100_000


def _weighted() -> Program:
    shared = Array(np.zeros(64, np.int8), "table")
    hot, cold = Array(np.zeros(1000, np.int8)), Array(np.zeros(4000, np.int8))
    first = replace(call([0], [1], macs=900_000), fields={"weights": hot, "table": shared, "rows": 3})
    second = replace(call([1], [2], macs=4_000), fields={"weights": cold, "table": shared})
    return program_of([100, 100, 100], [first, second], inputs=[0], outputs=[2])


def test_weights_of_hot_layers_lie_inside_the_chip():
    plan = place_weights(_weighted(), [PoolSpace("flash", 2000), PoolSpace("QSPI", 8000, external=True)])
    assert dict(plan.pool) == {(0, "weights"): 0, (0, "table"): 0, (1, "table"): 0, (1, "weights"): 1}
    assert plan.pool_bytes == (1008 + 64, 4000)


def test_constants_that_fit_no_flash_are_refused():
    with pytest.raises(UserError, match=r"flash: the constants take 5.0 KiB; free beside the code: flash 2 KiB"):
        place_weights(_weighted(), [PoolSpace("flash", 2048)])

"""The picture of a plan: it is drawn for one memory and for several, and every byte of ink has its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from codegen.plan_programs import call, program_of
from PIL import Image

from stm32pose.codegen.placement import PoolSpace
from stm32pose.codegen.plan import plan_arena
from stm32pose.codegen.program import Program
from stm32pose.reporting.arena_figure import arena_figure


def _chain(layers: int) -> Program:
    calls = [call([i], [i + 1], (None, 16)[i % 2], scratch=100 * (i % 3)) for i in range(layers)]
    return program_of([3000 + 500 * (i % 5) for i in range(layers + 1)], calls, inputs=[0], outputs=[layers])


@pytest.mark.parametrize("layers", [1, 12, 120])
def test_a_picture_of_one_memory(tmp_path: Path, layers: int):
    program = _chain(layers)
    path = arena_figure(program, plan_arena(program), tmp_path / "new" / "arena.png")
    assert path is not None
    with Image.open(path) as image:
        assert 900 < image.width < 2600
        assert 500 < image.height < 800
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 20


def test_a_row_for_each_memory_that_is_used(tmp_path: Path):
    program = _chain(20)
    pools = [PoolSpace("DTCM", 3072), PoolSpace("unused", 16), PoolSpace("SDRAM", 1 << 20, external=True)]
    plan = plan_arena(program, pools=pools)
    assert [size > 0 for size in plan.pool_bytes] == [True, False, True]
    path = arena_figure(program, plan, tmp_path / "arena.png")
    assert path is not None
    with Image.open(path) as image:
        assert image.height > 800


def test_nothing_to_draw(tmp_path: Path):
    program = program_of([0], [], inputs=[0], outputs=[0])
    assert arena_figure(program, plan_arena(program), tmp_path / "arena.png") is None
    assert not list(tmp_path.iterdir())

"""What a plan says: the error of an arena that is too large, sizes as people write them, the table a layer."""

from __future__ import annotations

import pytest
from codegen.plan_programs import call, program_of

from stm32pose.codegen.plan import plan_arena
from stm32pose.codegen.plan_limit import bytes_of
from stm32pose.codegen.plan_table import layer_rows, layer_table
from stm32pose.codegen.program import Program
from stm32pose.errors import ConfigError, UserError

K = 1024


def _camera() -> Program:
    """An input of 64x64x1, a wide layer, a narrow one, and a tensor kept beside them."""
    sizes = [4 * K, 4 * K, 64 * K, 8 * K, 8 * K]
    calls = [
        call([0], [1], 0),
        call([1], [2], None, scratch=512, macs=1000),
        call([2], [3], 0),
        call([1, 3], [4], None, 0),
    ]
    return program_of(sizes, calls, inputs=[0], outputs=[4], shapes={0: (1, 64, 64, 1), 2: (1, 64, 64, 16)})


def test_the_error_names_the_call_what_is_live_and_what_to_change():
    with pytest.raises(UserError) as caught:
        plan_arena(_camera(), limit=32 * K)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("RAM: ram_limit is 32.0 KiB, the arena takes 68.5 KiB, most of it at call 1 of 4")
    assert "CONV_2D 'layer2'" in text
    assert "output 't2' 1x64x64x16 64.0 KiB, input 't1' 4096 4.0 KiB, scratch 512 B" in text
    assert "over it too: call 2 CONV_2D" in text
    assert "an input of about 32x32 instead of 64x64" in text
    assert "channels (alpha) times about 0.47" in text
    assert "'t2' of at most about 27.5 KiB" in text


def test_a_limit_that_is_just_met_passes():
    assert plan_arena(_camera(), limit=68 * K + 512).peak_bytes == 68 * K + 512


def test_channels_do_not_help_where_the_input_is_the_trouble():
    program = program_of([1000, 10], [call([0], [1])], inputs=[0], outputs=[1])
    with pytest.raises(UserError, match=r"limit is 100 B, the arena takes 1\.0 KiB") as caught:
        plan_arena(program, limit=100)
    assert str(caught.value).endswith("to fit: 't0' of at most about 76 B")


@pytest.mark.parametrize(
    ("text", "size"),
    [("256K", 262144), ("262144", 262144), ("1.5M", 1572864), (" 640 KiB ", 655360), ("2mb", 2 * K * K), ("1", 1)],
)
def test_sizes_as_people_write_them(text: str, size: int):
    assert bytes_of(text, "--ram-limit") == size


@pytest.mark.parametrize("text", ["", "K", "-1K", "0", "nan", "inf", "256G", "1e300", "256 K K", "ten"])
def test_sizes_that_are_none(text: str):
    with pytest.raises(ConfigError, match=r"--ram-limit: got .*; allowed: bytes, as 262144, 256K or 1.5M"):
        bytes_of(text, "--ram-limit")


def test_a_row_for_each_layer():
    program = _camera()
    rows = layer_rows(program, plan_arena(program))
    assert [row.layer for row in rows] == [0, 1, 2, 3]
    assert [row.overlap_bytes for row in rows[1:]] == [0, 8 * K, 8 * K]
    one = rows[1]
    assert (one.input_bytes, one.output_bytes, one.scratch_bytes, one.macs) == (4 * K, 64 * K, 512, 1000)
    assert rows[1].live_bytes == 68 * K + 512
    lines = layer_table(rows).splitlines()
    assert len(lines) == 5
    assert lines[0].split() == [
        "layer",
        "kernel",
        "MACs",
        "input",
        "output",
        "scratch",
        "overlap",
        "live",
        "made",
        "by",
    ]
    assert [line for line in lines if "<" in line] == [lines[2]]
    assert lines[0].index("made by") == lines[2].index("CONV_2D layer2")

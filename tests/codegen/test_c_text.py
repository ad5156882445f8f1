"""C literals: read back by a compiler."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from deployment.deployed import GCC, STRICT, needs_gcc, run_checked
from hypothesis import given
from hypothesis import strategies as st

from stm32pose.codegen.c_text import c_comment, c_double, c_float, c_list, c_string

TEXTS = ['a"b', "back\\slash", "what??/", "ünïcode 骨", "line\nbreak", "%s\t", "*/ end", "\x01" + "9", "", "7\x7f7"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.15, "0.15f"),
        (1, "1.0f"),
        (0, "0.0f"),
        (-128, "-128.0f"),
        (1e-9, "1.0e-9f"),
        (3.4e38, "3.4e38f"),
        (1e7, "1.0e7f"),
    ],
)
def test_floats_as_written(value, text):
    assert c_float(value) == text


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_is_the_same_float(value):
    text = c_float(value)
    assert text.endswith("f")
    assert "." in text or "e" in text  # else the f would be a syntax error
    assert np.float32(text[:-1]) == np.float32(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_literal(value):
    with pytest.raises(ValueError, match="no C literal"):
        c_float(value)
    with pytest.raises(ValueError, match="no C literal"):
        c_double(value)


def test_a_comment_stays_one():
    assert "*/" not in c_comment("x*/ #include <y> /*")
    assert "\n" not in c_comment("a\nb")
    assert not c_comment("ends in \\").endswith("\\")  # it would swallow the next line


@needs_gcc
def test_a_compiler_reads_them_back(tmp_path: Path):
    floats = [0.15, 1e-9, 3.4e38, -128.0, 1 / 127.5, 0.0]
    doubles = [0.05399096651318806, 1.0, 1e-300]
    (tmp_path / "t.c").write_text(
        "#include <stdio.h>\n"
        f"static const char *texts[] = {c_list(map(c_string, TEXTS))};\n"
        f"static const float floats[] = {c_list(map(c_float, floats), width=20)};\n"
        f"static const double doubles[] = {c_list(map(c_double, doubles))};\n"
        "int main(void)\n{\n  int i;\n"
        f"  for (i = 0; i < {len(TEXTS)}; i++) {{ fputs(texts[i], stdout); putchar(0); }}\n"
        "  fwrite(floats, sizeof floats, 1, stdout);\n  fwrite(doubles, sizeof doubles, 1, stdout);\n  return 0;\n}\n",
        encoding="ascii",
    )
    run_checked([GCC, *STRICT, "-Wtrigraphs", tmp_path / "t.c", "-o", tmp_path / "t"])
    answer = run_checked([tmp_path / "t"]).stdout
    tail = struct.pack(f"{len(floats)}f{len(doubles)}d", *floats, *doubles)
    assert answer == b"".join(text.encode() + b"\0" for text in TEXTS) + tail

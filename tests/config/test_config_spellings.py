"""Values in ST's spellings, and nothing that is run."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.config.schema import Config
from stm32pose.config.spellings import convert, convert_section, parse_number, parse_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1/127.5", 1 / 127.5),
        ("1./255", 1 / 255),
        ("1/255.", 1 / 255),
        ("5.0e-4", 5e-4),
        ("1e-6", 1e-6),
        ("-1.", -1.0),
        ("+3", 3),
        (" 12 ", 12),
        ("2*(3+4)", 14),
        ("2**10", 1024),
        ("7//2", 3),
        ("-(2 - 5)", 3),
    ],
)
def test_numbers(text, value):
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9",
        "2**65",
        "1e7**2",
        "1e999",
        "1/0",
        "(-8)**0.5",
        "1" * 500,
        "(" * 250 + "1" + ")" * 250,
        "1+" * 199 + "1",
        "True",
        "__import__('os')",
        "1 if 1 else 2",
        "1j",
        "0x10",
        "(1, 2)",
        "1e400 - 1e400",
        "",
        "1/",
        "a",
        "1;2",
        "[1][0]",
        "1_",
    ],
)
def test_texts_that_are_no_number(text):
    with pytest.raises(ValueError, match=r"."):
        parse_number(text)


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="0123456789.eE+-*/()[], _", max_size=40))
def test_whatever_is_written_is_a_finite_number_or_text(text):
    value = parse_value(text)
    for number in value if isinstance(value, tuple | list) else [value]:
        if isinstance(number, int | float):
            assert math.isfinite(number)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(192, 192, 3)", (192, 192, 3)),
        ("(-0.1,0.1)", (-0.1, 0.1)),
        ("(2,)", (2,)),
        ("[1, 1/2]", [1, 0.5]),
        ("(0:154)", "(0:154)"),
        ("(7:13, 16, 20:28, -1)", "(7:13, 16, 20:28, -1)"),
        ("True", True),
        ("false", False),
        ("None", None),
        ("null", None),
        ("val_oks", "val_oks"),
        ("lambda e: 0.1", "lambda e: 0.1"),
        ("print(1)", "print(1)"),
        ("horizontal", "horizontal"),
        ("1/127.5", 1 / 127.5),
    ],
)
def test_open_values(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.parametrize(
    ("value", "expected", "result"),
    [
        ("10/2", str, "10/2"),
        ("10/2", float, 5.0),
        ("10/2", int, 5),
        ("2.5", int, 2.5),
        (2, str, "2"),
        ("True", bool, True),
        ("on", bool, True),
        ("No", bool, False),
        ("None", int | None, None),
        ("(1, 2)", list[int], [1, 2]),
        ("person", list[str], ["person"]),
        ("[person, hand]", list[str], ["person", "hand"]),
        ("(192, 192, 3)", tuple[int, int, int] | None, [192, 192, 3]),
        ({"Adam": None}, dict[str, dict[str, Any]], {"Adam": {}}),
        ({"a": ["1/2", {"b": "None"}]}, dict[str, Any], {"a": [0.5, {"b": None}]}),
        ("__import__('os').getpid()", str, "__import__('os').getpid()"),
        ("__import__('os').getpid()", float, "__import__('os').getpid()"),
    ],
)
def test_the_type_expected_decides(value, expected, result):
    assert convert(value, expected) == result


def test_true_is_no_number():
    assert convert(True, float) == "True"


def test_any_case_of_a_choice():
    converted = convert_section({"quantization": {"quantizer": "TFLITE_CONVERTER", "quantization_type": "ptq"}}, Config)
    assert converted["quantization"] == {"quantizer": "TFlite_converter", "quantization_type": "PTQ"}


def test_null_means_absent_where_null_is_no_value():
    converted = convert_section(
        {"general": {"logs_dir": "None", "global_seed": None, "num_threads_tflite": None}}, Config
    )
    assert converted == {"general": {"global_seed": None}}

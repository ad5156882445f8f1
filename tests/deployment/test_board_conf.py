"""Board files: read as ST ships them, and harmless whoever wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm32pose.deployment.board_conf import built_in, load_board_conf, parse_board_conf, read_json
from stm32pose.errors import ConfigError, UserError

PROJECT = Path("/work/a project; rm -rf")


def parse(content: dict[str, Any], *, wanted: str | None = None, output: str | None = None):
    return parse_board_conf(content, PROJECT, source="test.conf", wanted=wanted, output=output)


def content(**changes: Any) -> dict[str, Any]:
    return {**built_in("STM32N6570-DK", None), **changes}


def command(text: str, name: str = "sign_cmd") -> list[str]:
    return parse(content(configurations=[{"name": "x", name: text}])).commands[name]


SIMPLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), SIMPLE))
def test_plain_json_is_read_as_it_is(tmp_path_factory, value):
    """Comments, commas, braces and quotes inside strings are text."""
    path = tmp_path_factory.mktemp("json") / "a.conf"
    path.write_text(json.dumps(value), encoding="utf-8")
    assert read_json(path) == value


def test_comments_and_commas(tmp_path):
    path = tmp_path / "a.conf"
    path.write_text('{ // one\n "a": "http://x, }", "b": [1, 2, // two\n ],\n "c": {"d": 3 , } ,\n}\n// end')
    assert read_json(path) == {"a": "http://x, }", "b": [1, 2], "c": {"d": 3}}


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"a": 1,, }', r"a\.conf:1: not a"), ("[1]", "expected an object"), ('{\n"a" 1}', r"a\.conf:2")],
)
def test_what_is_no_board_file(tmp_path, text, message):
    path = tmp_path / "a.conf"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_json(path)


def test_words_are_cut_before_names_are_filled_in():
    """A project folder with spaces and semicolons stays one argument."""
    words = command("${STM32SigningTool} -bin ${ProjectFolder}/a.bin '-o' \"b c.bin\"")
    assert words == ["STM32SigningTool", "-bin", f"{PROJECT}/a.bin", "-o", "b c.bin"]


@pytest.mark.parametrize(
    "text",
    [
        "rm -rf ${ProjectFolder}",
        "sh -c 'make; curl x'",
        "${ProjectFolder}/tool",
        "python evil.py",
        "/bin/sh make",
        "env ${STM32SigningTool}",
    ],
)
def test_only_sts_programs_are_started(text):
    with pytest.raises(UserError, match="is not started; allowed: "):
        command(text)


def test_shell_signs_are_plain_arguments():
    assert command("${STM32Make} all; rm -rf / && x | y > z $(w) `v`")[1:] == (
        ["all;", "rm", "-rf", "/", "&&", "x", "|", "y", ">", "z", "$(w)", "`v`"]
    )


@pytest.mark.parametrize("destination", ["/etc/passwd", "../outside.c", "${ProjectFolder}/../../x"])
def test_nothing_is_copied_outside_the_project(destination):
    with pytest.raises(UserError, match="lies outside the project"):
        parse(content(templates=[["", destination, "copy"]]))


@pytest.mark.parametrize("key", ["cwd", "cproject_location"])
def test_nothing_runs_outside_the_project(key):
    with pytest.raises(UserError, match="lies outside the project"):
        parse(content(configurations=[{"name": "x", key: "/tmp"}]))  # noqa: S108


def test_an_unknown_name():
    with pytest.raises(UserError, match=r"\$\{HOME\} is not known"):
        command("${STM32SigningTool} ${HOME}/x")
    with pytest.raises(UserError, match="did you mean 'ProjectFolder'"):
        command("${STM32SigningTool} ${ProjectFoldr}/x")


def test_a_value_is_not_looked_at_again():
    conf = content(env={"a": "${ProjectFolder}", "b": "${a}"}, configurations=[{"name": "x", "cproject_name": "${b}"}])
    assert parse(conf).project == str(PROJECT)


def test_a_renderer_is_not_done():
    with pytest.raises(UserError, match=r"mode 'stm\.ai\.renderer'"):
        parse(content(templates=[["a.tmpl", "a.c", "stm.ai.renderer"]]))


@pytest.mark.parametrize(
    ("output", "name"), [("UVCL", "UVCL_ModelZoo"), ("SPI", "SPI_ModelZoo"), (None, "SPI_ModelZoo")]
)
def test_the_configuration_goes_by_the_output(output, name):
    conf = content(configurations=[{"name": "SPI_ModelZoo"}, {"name": "UVCL_ModelZoo"}])
    assert parse(conf, output=output).configuration == name


def test_an_output_that_no_configuration_has():
    with pytest.raises(ConfigError, match=r"hardware_setup\.output: got 'UVCL'; .*A, B"):
        parse(content(configurations=[{"name": "A"}, {"name": "B"}]), output="UVCL")


def test_a_board_without_file_and_unknown(tmp_path):
    with pytest.raises(ConfigError, match="allowed: STM32N6570-DK, NUCLEO-N657X0-Q"):
        load_board_conf(tmp_path, "STM32N6-OTHER", wanted=None, output=None)

"""MATLAB files as scipy writes them, read by our own reader; damaged ones end in one error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.io import savemat

from stm32pose.data.matlab import MatError, read_mat

KINDS = ("f8", "f4", "i4", "u2", "i1", "u8", "i8")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.sampled_from(KINDS).flatmap(
        lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=4))
    ),
    compressed=st.booleans(),
)
def test_numbers(tmp_path, value, compressed):
    savemat(tmp_path / "a.mat", {"other": 1, "value": value}, do_compression=compressed)
    found = read_mat(tmp_path / "a.mat", "value")
    if value.size == 1:
        assert found == float(value.ravel()[0]) or np.isnan(found)
    else:
        assert found.shape == value.shape
        assert np.array_equal(found, value, equal_nan=value.dtype.kind == "f")


@pytest.mark.parametrize("compressed", [False, True])
def test_structs_cells_and_text(tmp_path, compressed):
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = "b", np.arange(6.0).reshape(2, 3)
    table = np.array([[(1.5, "one"), (2.5, "two")]], dtype=[("number", object), ("name", object)])
    content = {"value": {"text": "Grüße", "cells": cells, "table": table, "inner": {"deep": [[1, 2]]}, "empty": []}}
    savemat(tmp_path / "a.mat", content, do_compression=compressed)
    (found,) = read_mat(tmp_path / "a.mat", "value")
    assert found["text"] == "Grüße"
    assert found["cells"][0] == "b"
    assert found["cells"][1].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["table"] == [{"number": 1.5, "name": "one"}, {"number": 2.5, "name": "two"}]
    assert found["inner"][0]["deep"].tolist() == [[1, 2]]
    assert found["empty"].size == 0
    assert read_mat(tmp_path / "a.mat", "absent") is None


def test_what_is_no_matlab_file(tmp_path):
    for content in (b"", b"x" * 4000, b"MATLAB 5.0".ljust(126) + b"IM" + b"\x0e\0\0\0\xff\xff\xff\x7f"):
        (tmp_path / "a.mat").write_bytes(content)
        with pytest.raises(MatError):
            read_mat(tmp_path / "a.mat", "value")
    (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"x" * 600)
    with pytest.raises(MatError, match=r"7\.3.*-v7"):
        read_mat(tmp_path / "a.mat", "value")


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("stm32pose.data.matlab.LARGEST", 100_000)
    savemat(tmp_path / "a.mat", {"value": np.zeros((1000, 1000))}, do_compression=True)
    assert (tmp_path / "a.mat").stat().st_size < 20_000
    with pytest.raises(MatError, match="more than 100000 bytes"):
        read_mat(tmp_path / "a.mat", "value")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=4), cut=st.booleans()
)
def test_damage_is_an_error_of_ours(tmp_path, changes, cut):
    path = tmp_path / "a.mat"
    if not path.exists():
        savemat(path, {"value": {"a": [{"x": 1, "name": "b"}], "c": np.arange(9), "d": {"e": {"f": "g"}}}})
    content = bytearray(path.read_bytes())
    for position, byte in changes:
        content[position % len(content)] = byte
    damaged = tmp_path / "damaged.mat"
    damaged.write_bytes(bytes(content[: changes[0][0]] if cut else content))
    try:
        read_mat(damaged, "value")
    except MatError as error:
        assert "\n" not in str(error)  # noqa: PT017

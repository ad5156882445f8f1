"""Calls of portable kernels made calls of those for Helium, where there is one that does the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from stm32pose.codegen.overlap import lead, window_needs, window_starts
from stm32pose.codegen.program import Call, Field


def for_mve(call: Call) -> Call:
    """The call itself, or that of its kernel for Helium."""
    suits = SUITS.get(call.function)
    if suits is None or not suits(call.fields):
        return call
    made = replace(call, function=f"{call.function}_mve", source=f"{call.source}_mve")
    return replace(made, leads=(_pool_lead(call.fields),)) if call.function == "max_pool_int8" else made


def _always(fields: Mapping[str, Field]) -> bool:
    return True


def _one_loop(fields: Mapping[str, Field]) -> bool:
    """Two operands of the output's shape, and no shift to the left."""
    counts = np.asarray(fields["count"])
    return bool(counts.max() == 1) and fields["step0"] == fields["step1"] == 1 and _whole("shift", fields) <= 0


def _neighbours(fields: Mapping[str, Field]) -> bool:
    """Outputs that follow each other do so in the input too."""
    steps = fields["kept_steps"]
    return isinstance(steps, tuple) and steps[-1] == 1 and _whole("shift", fields) <= 0


def _no_table(fields: Mapping[str, Field]) -> bool:
    return "table" not in fields


SUITS: dict[str, Callable[[Mapping[str, Field]], bool]] = {
    "add_int8": _one_loop,
    "mul_int8": _one_loop,
    "resize_bilinear_int8": _always,
    "resize_double_int8": _always,
    "max_pool_int8": _no_table,
    "reduce_int8": _neighbours,
    "table_int8_int8": _always,
}
"""Portable kernel -> whether the one for Helium takes a call with these parameters."""


def _pool_lead(fields: Mapping[str, Field]) -> int:
    """`Call.leads` of a kernel that makes pixel after pixel, some channels of it before it reads the others."""
    channels, width = _whole("channels", fields), _whole("input_width", fields)
    rows, columns = (
        window_starts(
            _whole(f"output_{size}", fields),
            stride=_whole(f"stride_{size}", fields),
            pad=_whole(pad, fields),
            limit=_whole(f"input_{size}", fields),
        )
        for size, pad in (("height", "pad_top"), ("width", "pad_left"))
    )
    needed = window_needs(rows, columns, row_bytes=width * channels, pixel_bytes=channels)
    return lead(np.arange(1, len(needed) + 1) * channels, needed)


def _whole(name: str, fields: Mapping[str, Field]) -> int:
    return int(np.asarray(fields[name]))

"""Values as C text: tables, numbers, comments and names that a file from a stranger cannot break out of."""

from __future__ import annotations

import re

import numpy as np

from stm32pose.errors import UserError

C_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
    "float32": "float",
}
LINE = 24
"""Values on a line of a table."""


def plain(text: str, longest: int = 80) -> str:
    """A name of a model file, fit for comments and string literals: letters, digits and ``_./:-`` alone."""
    return re.sub(r"[^A-Za-z0-9_./:\- ]", "_", text)[:longest] or "unnamed"


def number(value: int | float | np.generic) -> str:
    """A number as C reads it back exactly; floats as float32. UserError: not a finite one."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        whole = int(value)
        return "(-2147483647 - 1)" if whole == -(2**31) else str(whole)
    if not np.isfinite(np.float32(value)):
        raise UserError(f"a parameter of the network is {value}, which C cannot write down; is the file damaged?")
    text = f"{np.float32(value):.9g}"
    return f"{text}f" if any(mark in text for mark in ".en") else f"{text}.0f"


def table(values: np.ndarray) -> str:
    """`{1, 2, 3}`, several lines for long ones."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if flat.dtype.kind == "f" or flat.dtype == np.int32:
        texts = [number(value) for value in flat]
    else:
        texts = list(map(str, flat.tolist()))
    lines = [", ".join(texts[start : start + LINE]) for start in range(0, len(texts), LINE)]
    return "{" + lines[0] + "}" if len(lines) == 1 else "{\n  " + ",\n  ".join(lines) + "}"

"""Python values as C source text: numbers without a locale, tables, strings and comments that cannot end early."""

from __future__ import annotations

import re
from collections.abc import Iterable

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
# Two backslashes short of a disaster: `??/` is a backslash to an old C compiler, so question marks are escaped too.
_ESCAPES = {"\\": "\\\\", '"': '\\"', "?": "\\?", "\n": "\\n", "\t": "\\t"}


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
    return c_float(float(value))


def table(values: np.ndarray) -> str:
    """`{1, 2, 3}`, several lines for long ones."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if flat.dtype.kind == "f" or flat.dtype == np.int32:
        texts = [number(value) for value in flat]
    else:
        texts = list(map(str, flat.tolist()))
    lines = [", ".join(texts[start : start + LINE]) for start in range(0, len(texts), LINE)]
    return "{" + lines[0] + "}" if len(lines) == 1 else "{\n  " + ",\n  ".join(lines) + "}"


def c_float(value: float) -> str:
    """`0.15f`: the shortest text that is the same float32; always with a point or an exponent.

    Raises:
        ValueError: the value is not finite: C has no literal for it.
    """
    single = np.float32(value)
    if not np.isfinite(single):
        raise ValueError(f"{value} has no C literal")
    text = np.format_float_scientific(single, unique=True, trim="0", exp_digits=1)
    plain = repr(float(text)) if 1e-4 <= abs(single) < 1e7 or single == 0 else text
    return f"{plain}f" if "e" not in plain else f"{plain.replace('e+', 'e')}f"


def c_double(value: float) -> str:
    """`0.05399096651318806`: the shortest text that is the same float64. ValueError: not finite."""
    if not np.isfinite(value):
        raise ValueError(f"{value} has no C literal")
    text = repr(float(value))
    return text if any(mark in text for mark in ".e") else f"{text}.0"


def c_string(text: str) -> str:
    """A C string literal, quotes included; everything outside printable ASCII is written in octal, as UTF-8."""
    parts = []
    for byte in text.encode("utf-8", errors="replace"):
        letter = chr(byte)
        parts.append(_ESCAPES.get(letter) or (letter if 32 <= byte < 127 else f"\\{byte:03o}"))
    return '"' + "".join(parts) + '"'


def c_comment(text: str) -> str:
    """Text for inside a comment: one line of ASCII that does not end it."""
    plain = " ".join(text.encode("ascii", errors="replace").decode().split())
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/")


def c_list(items: Iterable[str], *, width: int = 100) -> str:
    """`{a, b, c}`, continued over several lines of a macro where it is long."""
    lines, line = [], ""
    for item in items:
        piece = f"{item}, "
        if len(line) + len(piece) > width and line:
            lines.append(line.rstrip())
            line = ""
        line += piece
    lines.append(line.rstrip().rstrip(","))
    return "{" + " \\\n    ".join(lines) + "}"


def c_define(name: str, value: str, why: str = "") -> str:
    """`#define NAME value /* why */`."""
    line = f"#define {name:<28} {value}"
    return f"{line}  /* {c_comment(why)} */" if why and "\n" not in value else line

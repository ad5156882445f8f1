"""Python values as C source text: numbers without a locale, strings that cannot end early, tables."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

# Two backslashes short of a disaster: `??/` is a backslash to an old C compiler, so question marks are escaped too.
_ESCAPES = {"\\": "\\\\", '"': '\\"', "?": "\\?", "\n": "\\n", "\t": "\\t"}


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

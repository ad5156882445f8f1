"""Single values of COCO's records: ids, sizes, boxes and crowds, as tools write them."""

from __future__ import annotations

from typing import Any

LARGEST_SIDE = 1_000_000
"""Pixels: what a file says is larger is asked of the image."""


def key_of(value: Any) -> int | str | None:
    """An id as a key, the same of 1, 1.0 and "1"; what is no id is no key."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    # "007" stays apart from 7: there may be both.
    if isinstance(value, str) and len(value) < 20 and value.isascii() and value.isdecimal():
        return int(value) if str(int(value)) == value else value
    return value


def size_of(item: dict[str, Any]) -> tuple[int, int] | None:
    height, width = item.get("height"), item.get("width")
    if type(height) is int and type(width) is int and min(height, width) > 0 and max(height, width) <= LARGEST_SIDE:
        return height, width
    return None


def is_box(value: Any) -> bool:
    """Four numbers, or nothing."""
    if not value:
        return value is None or value == []
    return isinstance(value, list) and len(value) == 4 and all(type(number) in (int, float) for number in value)


def is_crowd(value: Any) -> bool:
    """1, "1" or true; some tools write "0" for no."""
    return bool(value) and str(value).strip().lower() not in ("0", "0.0", "false", "")

"""Variables of MATLAB files of versions 5 to 7.2 ("MAT-File Format", MathWorks): numbers, text, cells, structs.

In Python, since files come from strangers: scipy's reader, in C, ends the process on some damaged ones.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

LARGEST = 2 * 1024**3
"""Bytes that a compressed variable may unpack to."""

DEEPEST = 32
"""Structs within structs; a file that goes further is no file of people."""

MOST = 50_000_000
"""Elements of one array of cells or structs."""

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {1: "utf-8", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _OBJECT, _CHAR = 1, 2, 3, 4
_NUMERIC = range(6, 16)


class MatError(ValueError):
    """The file is no MATLAB file, or a damaged one; one line."""


def read_mat(path: Path, name: str) -> Any:
    """The variable `name` of a .mat file; None where the file has none of that name.

    A number is a float; an array of numbers an ndarray; text a str; an array of cells or structs a list, in MATLAB's
    order, of values or of dicts; a single struct a list of one. What else MATLAB knows (functions, objects of classes,
    sparse matrices) is None.

    Raises:
        MatError: no MATLAB file, a damaged one, or one of version 7.3.
        OSError: it cannot be read.
    """
    content = memoryview(path.read_bytes())
    if len(content) < 128 or bytes(content[126:128]) not in (b"IM", b"MI"):
        raise MatError("not a MATLAB file")
    if bytes(content[:10]) == b"MATLAB 7.3":
        raise MatError("a MATLAB 7.3 file; save it with -v7")
    order = "<" if bytes(content[126:128]) == b"IM" else ">"
    position = 128
    while position < len(content):
        kind, start, end, following = _element(content, position, len(content), order)
        data, first, last = content, start, end
        if kind == _COMPRESSED:
            following = end  # not padded
            data = _unpacked(content[start:end])
            kind, first, last, _ = _element(data, 0, len(data), order)
        if kind == _MATRIX:
            reader = _Reader(data, order)
            if reader.name(first, last) == name:
                return reader.matrix(first, last, 0)
        position = following
    return None


def _element(data: memoryview, position: int, limit: int, order: str) -> tuple[int, int, int, int]:
    """(type, start and end of its bytes, where the next one starts) of the element at `position`."""
    if position + 8 > limit:
        raise MatError("damaged: it ends in the middle of an element")
    kind, size = struct.unpack_from(f"{order}II", data, position)
    if kind >> 16:  # both in one word, the bytes in the other
        kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
        if size > 4:
            raise MatError("damaged: a small element of more than 4 bytes")
        return kind, start, start + size, position + 8
    start = position + 8
    end = start + size
    if end > limit:
        raise MatError("damaged: an element is longer than what holds it")
    return kind, start, end, start + (size + 7) // 8 * 8


def _unpacked(data: memoryview) -> memoryview:
    unpacker = zlib.decompressobj()
    try:
        result = unpacker.decompress(data, LARGEST)
    except zlib.error as error:
        raise MatError(f"damaged: {error}") from error
    if unpacker.unconsumed_tail:
        raise MatError(f"a variable of more than {LARGEST} bytes")
    return memoryview(result)


class _Reader:
    """Values of one variable's bytes."""

    def __init__(self, data: memoryview, order: str) -> None:
        self._data = data
        self._order = order

    def name(self, start: int, limit: int) -> str:
        """Of the variable whose matrix starts there."""
        return self._head(start, limit)[2] if limit > start else ""

    def matrix(self, start: int, limit: int, depth: int) -> Any:
        """The value of a matrix between the two positions."""
        if start == limit:
            return np.zeros((0, 0))
        if depth > DEEPEST:
            raise MatError(f"damaged: more than {DEEPEST} structs within structs")
        kind, shape, _, position = self._head(start, limit)
        if kind in (_CELL, _STRUCT, _OBJECT):
            count = math.prod(shape)
            if count > MOST:
                raise MatError(f"damaged: an array of {count} structs")
            return self._structs(kind, count, position, limit, depth)
        if kind in _NUMERIC or kind == _CHAR:
            storage, first, last, _ = _element(self._data, position, limit, self._order)
            return self._text(storage, first, last) if kind == _CHAR else self._numbers(storage, first, last, shape)
        return None

    def _head(self, start: int, limit: int) -> tuple[int, tuple[int, ...], str, int]:
        """Class, shape, name, and where the content starts."""
        kind, first, last, position = _element(self._data, start, limit, self._order)
        if kind != 6 or last - first != 8:
            raise MatError("damaged: a matrix without flags")
        (flags,) = struct.unpack_from(f"{self._order}I", self._data, first)
        kind, first, last, position = _element(self._data, position, limit, self._order)
        if kind != 5 or (last - first) % 4 or last - first > 4 * DEEPEST:
            raise MatError("damaged: a matrix without dimensions")
        shape = struct.unpack_from(f"{self._order}{(last - first) // 4}i", self._data, first)
        if min(shape, default=0) < 0:
            raise MatError("damaged: a matrix of negative size")
        kind, first, last, position = _element(self._data, position, limit, self._order)
        return flags & 0xFF, shape, str(self._data[first:last], "latin-1"), position

    def _structs(self, kind: int, count: int, position: int, limit: int, depth: int) -> list[Any]:
        fields: list[str] = []
        if kind == _OBJECT:  # the name of its class first
            position = _element(self._data, position, limit, self._order)[3]
        if kind != _CELL:
            _, first, last, position = _element(self._data, position, limit, self._order)
            if last - first != 4:
                raise MatError("damaged: a struct without names")
            (length,) = struct.unpack_from(f"{self._order}i", self._data, first)
            _, first, last, position = _element(self._data, position, limit, self._order)
            if length < 1 or (last - first) % length:
                raise MatError("damaged: a struct without names")
            names = bytes(self._data[first:last])
            fields = [
                names[index : index + length].split(b"\0")[0].decode("latin-1")
                for index in range(0, len(names), length)
            ]
            if not fields:
                return [{} for _ in range(min(count, 1))]
        result: list[Any] = []
        for _ in range(count):
            values = []
            for _ in range(len(fields) if kind != _CELL else 1):
                storage, first, last, position = _element(self._data, position, limit, self._order)
                if storage != _MATRIX:
                    raise MatError("damaged: a field that is no matrix")
                values.append(self.matrix(first, last, depth + 1))
            result.append(values[0] if kind == _CELL else dict(zip(fields, values, strict=True)))
        return result

    def _numbers(self, storage: int, first: int, last: int, shape: tuple[int, ...]) -> float | np.ndarray:
        if storage not in _NUMBERS:
            raise MatError("damaged: numbers of no known kind")
        kind = np.dtype(self._order + _NUMBERS[storage])
        if last - first != math.prod(shape) * kind.itemsize:
            raise MatError("damaged: an array and its size differ")
        values = np.frombuffer(self._data[first:last], dtype=kind)
        return float(values[0]) if len(values) == 1 else values.reshape(shape, order="F")

    def _text(self, storage: int, first: int, last: int) -> str:
        if storage not in _TEXT:
            raise MatError("damaged: text of no known kind")
        encoding = _TEXT[storage]
        if encoding != "utf-8":
            encoding += "-le" if self._order == "<" else "-be"
        return str(self._data[first:last], encoding, errors="replace")

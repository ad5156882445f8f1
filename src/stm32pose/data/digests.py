"""Digests of image files and labels, and groups of samples that show the same picture."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np

from stm32pose.data.sample import Sample
from stm32pose.errors import UserError

WHOLE_FILES = 20_000
"""Up to that many images, digests are taken over whole files; above, over size, first and last 64 KiB."""

_EDGE = 64 * 1024


def file_digest(path: Path, *, whole: bool = True) -> str:
    """SHA-256 of a file's bytes, hexadecimal; `whole=False`: of its size and its first and last 64 KiB.

    Kept for the life of the process while size and time of change stay the same.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        status = path.stat()
        return _digest(str(path), status.st_size, status.st_mtime_ns, whole)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


@lru_cache(maxsize=500_000)
def _digest(path: str, size: int, modified: int, whole: bool) -> str:
    with open(path, "rb") as file:  # noqa: PTH123 (os-level speed for hundreds of thousands of files)
        if whole or size <= 2 * _EDGE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(f"{size}:".encode())
        digest.update(file.read(_EDGE))
        file.seek(-_EDGE, os.SEEK_END)
        digest.update(file.read(_EDGE))
        return digest.hexdigest()


def file_digests(paths: Sequence[Path], *, whole: bool | None = None) -> dict[Path, str]:
    """`file_digest` of each, in threads; `whole=None`: whole files up to `WHOLE_FILES` of them."""
    unique = list(dict.fromkeys(paths))
    whole = len(unique) <= WHOLE_FILES if whole is None else whole
    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip(unique, pool.map(lambda path: file_digest(path, whole=whole), unique), strict=True))


def same_content(paths: Sequence[Path]) -> dict[Path, Path]:
    """Each path -> the first (in the order given) of those that hold the same bytes; itself where it is alone.

    Only files that agree in size are read.

    Raises:
        UserError: a file cannot be read.
    """
    unique = list(dict.fromkeys(paths))
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in unique:
        try:
            by_size[path.stat().st_size].append(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    suspects = [path for group in by_size.values() if len(group) > 1 for path in group]
    digests = file_digests(suspects)
    first: dict[str, Path] = {}
    return {path: first.setdefault(digests[path], path) if path in digests else path for path in unique}


def label_digest(sample: Sample) -> str:
    """SHA-256 of everything labelled in `sample`: keypoints, boxes, areas, crowd, region, size, head sizes if any."""
    digest = hashlib.sha256()
    heads = () if sample.head_sizes is None else ((sample.head_sizes, "<f4"),)
    for array, kind in (
        (sample.keypoints, "<f4"),
        (sample.boxes, "<f4"),
        (sample.areas, "<f4"),
        (sample.crowd, "|b1"),
        (np.array(sample.region or ()), "<f8"),
        (np.array(sample.size), "<i8"),
        *heads,
    ):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array, dtype=np.dtype(kind)).tobytes())
    return digest.hexdigest()

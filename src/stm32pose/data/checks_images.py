"""Image files that cannot be read, have another size than their labels say, or are there twice."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from stm32pose.data.digests import same_content
from stm32pose.data.images import image_size, read_image
from stm32pose.data.problems import Problem
from stm32pose.data.sample import Sample
from stm32pose.errors import UserError

NEAR = 3
"""Pictures whose 64-bit difference hashes differ in at most that many bits look the same to the eye."""

_FLAT = 6  # hashes with fewer bits set (or unset) are of near-uniform pictures and say nothing


def check_images(
    samples: Sequence[Sample], *, decode: bool = True, progress: Callable[[int], None] | None = None
) -> list[Problem]:
    """Problems of the image files of `samples`: unreadable, of another size, duplicate, near duplicate.

    Args:
        samples: whose images are read, each image once.
        decode: read the pixels (finds files cut off, and near duplicates); else the headers alone.
        progress: called with the number of images done.
    """
    first_sample = {sample.image: sample for sample in reversed(samples)}
    paths = sorted(first_sample)
    problems: list[Problem] = []
    hashes: dict[Path, int] = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = pool.map(lambda path: _look(path, first_sample[path].size, decode), paths)
        for count, (path, (problem, value)) in enumerate(zip(paths, results, strict=True), start=1):
            if problem:
                problems.append(problem)
            if value is not None:
                hashes[path] = value
            if progress:
                progress(count)
    unreadable = {problem.where for problem in problems if problem.code == "unreadable_image"}
    originals = same_content([path for path in paths if str(path) not in unreadable])
    for path, original in originals.items():
        if original != path:
            problems.append(Problem("duplicate_image", "warning", str(path), f"the same file content as {original}"))
    distinct = {path: value for path, value in hashes.items() if originals.get(path) == path}
    for group in near_duplicates(distinct):
        text = f"looks almost the same as {len(group) - 1} other image{'s' * (len(group) > 2)}, e.g. {group[1].name}"
        problems.append(Problem("near_duplicate", "warning", str(group[0]), text))
    return problems


def difference_hash(image: np.ndarray) -> int:
    """64 bits, one for each of 8 x 8 neighbours left to right that grow darker; small changes of light keep it.

    Args:
        image: uint8 [H, W, 3] RGB.
    """
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(grey[:, :-1] > grey[:, 1:]).tobytes(), "big")


def near_duplicates(hashes: dict[Path, int]) -> list[list[Path]]:
    """Groups of two and more pictures that look the same, each sorted; pictures without structure are left out."""
    paths = [path for path, value in hashes.items() if _FLAT <= value.bit_count() <= 64 - _FLAT]
    values = np.array([hashes[path] for path in paths], dtype=np.uint64)
    parent = list(range(len(paths)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    # Hashes that differ in up to 3 of 64 bits agree in at least one of four 16-bit parts.
    for part in range(4):
        buckets: dict[int, list[int]] = defaultdict(list)
        for index, key in enumerate(((values >> np.uint64(16 * part)) & np.uint64(0xFFFF)).tolist()):
            buckets[key].append(index)
        for bucket in (bucket for bucket in buckets.values() if len(bucket) > 1):
            members = values[bucket]
            for position, index in enumerate(bucket[:-1]):
                close = np.bitwise_count(members[position + 1 :] ^ members[position]) <= NEAR
                for other in np.flatnonzero(close):
                    parent[root(bucket[position + 1 + int(other)])] = root(index)
    groups: dict[int, list[Path]] = defaultdict(list)
    for index, path in enumerate(paths):
        groups[root(index)].append(path)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def _look(path: Path, size: tuple[int, int], decode: bool) -> tuple[Problem | None, int | None]:
    try:
        found = image_size(path)
        # A JPEG at an eighth of its size is read to its end all the same, at a fraction of the time.
        image = read_image(path, reduce=8 if min(found) >= 128 else 1) if decode else None
    except UserError as error:
        return Problem("unreadable_image", "error", str(path), str(error).removeprefix(f"{path}: ")), None
    problem = None
    if found != tuple(size):
        text = f"the image is {found[1]} x {found[0]} pixels, its labels say {size[1]} x {size[0]}"
        problem = Problem("size_mismatch", "error", str(path), text)
    return problem, None if image is None else difference_hash(image)

"""Image files in a folder, the number of an image, and copies of images."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from stm32pose.errors import UserError
from stm32pose.files import replacing

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp")
"""Of image files, in any case."""


def list_images(folder: Path, *, where: str) -> list[Path]:
    """Image files directly inside `folder`, sorted by name (by code point: the same order on every system).

    Raises:
        UserError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise UserError(f"{where}: {folder} is not a folder (looked from {Path.cwd()})")
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.lower().endswith(EXTENSIONS) and entry.is_file()]
    if not names:
        inside = next((child.name for child in sorted(folder.iterdir()) if child.is_dir() and _has_image(child)), None)
        hint = f"; its sub-folder '{inside}' has some: name that one" if inside else ""
        raise UserError(f"{where}: no image in {folder} (looked for {' '.join(EXTENSIONS)}, in any case){hint}")
    return [folder / name for name in sorted(names)]


def is_there(path: Path) -> bool:
    """Whether there is such a file or folder; no for a name that no file can have (too long, with a NUL), too."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def image_ids(names: Sequence[str]) -> list[int]:
    """A 64-bit number an image: the digits that end its stem; where these are missing or not unique, its position."""
    found = [re.search(r"(\d+)$", Path(name).stem) for name in names]
    numbers = [int(match.group(1)) if match else -1 for match in found]
    usable = all(0 <= number < 2**63 for number in numbers) and len(set(numbers)) == len(numbers)
    return numbers if usable else list(range(len(names)))


def place_image(source: Path, destination: Path, *, link: bool = False) -> bool:
    """Copy an image (or hard-link it, where the file system can); False where it is there already.

    Contents are compared: pictures of a format that does not compress are all of one size.

    UserError: the disk refuses.
    """
    if destination.exists() and (destination.samefile(source) or filecmp.cmp(source, destination, shallow=False)):
        return False
    with replacing(destination, sync=False) as temporary:
        if link:
            try:
                os.link(source, temporary)
                return True
            except OSError:  # another disk, or a file system without links
                pass
        shutil.copyfile(source, temporary)
    return True


def _has_image(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.name.lower().endswith(EXTENSIONS) for entry in entries)

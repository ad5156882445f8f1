"""What an annotation file names, images and keypoints, and what is said of names that lead nowhere."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath

from stm32pose.data.files import is_there, list_images
from stm32pose.data.problems import Problem
from stm32pose.skeletons.joints import JointMap
from stm32pose.skeletons.skeleton import Skeleton


class Listed:
    """The images of a folder, asked for by the names that an annotation file gives them.

    Attributes:
        folder: of the images.
        asked: how many names were asked for.
        found: path -> name, of those that are there.
    """

    def __init__(self, folder: Path, *, where: str, flat: bool = True):
        """UserError: no folder, or no image in it (`flat`: directly in it)."""
        self.folder = folder
        self._flat = flat
        self._names = {path.name for path in list_images(folder, where=where)} if flat else set()
        self.asked = 0
        self.found: dict[Path, str] = {}
        self._absent: list[str] = []
        self._outside: list[str] = []
        self._twice: list[tuple[str, Path]] = []

    def find(self, name: str) -> Path | None:
        """The file of that name: inside the folder as written, or by its last parts; None where it is not there.

        None too where another name has led there: labels of two pictures must not meet on one (see `problems`).
        """
        self.asked += 1
        inside = plain_inside(name)
        if inside is None:
            base = name.replace("\\", "/").rsplit("/", 1)[-1]
            if base in self._names:
                return self._take(self.folder / base, name)
            self._outside.append(name)
            return None
        parts = inside.split("/")
        for start in range(len(parts)):
            rest = "/".join(parts[start:])
            if rest in self._names or (("/" in rest or not self._flat) and _is_file(self.folder / rest)):
                return self._take(self.folder / rest, name)
        self._absent.append(name)
        return None

    def unprefixed(self, name: str, prefix: str) -> str:
        """`name`, or without what the expression `prefix` matches at its start, where only that one is there."""
        base = name.rsplit("/", 1)[-1]
        bare = re.sub(f"^(?:{prefix})", "", base)
        return bare if base not in self._names and bare in self._names else name

    def problems(self, file: Path) -> list[Problem]:
        """What was asked for in vain, and what is in the folder and was not asked for."""
        problems = []
        if self._outside:
            message = f"the name '{self._outside[0]}' leads out of {self.folder}; names are relative to that folder"
            problems.append(Problem("outside_folder", "error", str(file), message))
        if self._twice:
            problems.append(duplicate_images(self._twice, self.found, file))
        if self._absent:
            message = f"{len(self._absent)} of {self.asked} listed images are not in {self.folder}, e.g. "
            severity = "warning" if self.found else "error"
            problems.append(Problem("missing_image", severity, str(file), message + self._absent[0]))
        unlisted = sorted(self._names - {path.name for path in self.found})
        if unlisted:
            message = f"{len(unlisted)} images of the folder are not in {file.name} and are left out, e.g. "
            problems.append(Problem("missing_label", "warning", str(self.folder), message + unlisted[0]))
        return problems

    def _take(self, path: Path, name: str) -> Path | None:
        if not same_name(self.found.setdefault(path, name), name):
            self._twice.append((name, path))
            return None
        return path


def same_name(first: str, second: str) -> bool:
    """Whether two names are the same one, however their slashes and dots are written."""
    return first == second or _plain(first) == _plain(second)


def duplicate_images(twice: Sequence[tuple[str, Path]], found: Mapping[Path, str], file: Path) -> Problem:
    """The fault of names that lead where another name has led already.

    Args:
        twice: these names, and where they lead.
        found: path -> the name that led there first.
        file: which names them.
    """
    names = dict(twice)
    name, path = next(iter(names.items()))
    message = (
        f"'{name}' and '{found[path]}' both lead to {path}, since one of them is not there as written"
        + (f", and so do {len(names) - 1} names more" if len(names) > 1 else "")
        + "; name the folder that the names start from"
    )
    return Problem("duplicate_image", "error", str(file), message)


def told_joints(
    joints: JointMap | None,
    names: Sequence[str],
    skeleton: Skeleton,
    file: Path,
    problems: list[Problem],
    *,
    tell_order: bool = True,
) -> JointMap | None:
    """`joints` as it is, with its faults added to `problems`.

    Args:
        joints: what `map_joints` made of `names`.
        names: the keypoints of the file.
        tell_order: whether going by order deserves a warning.
    """
    if joints is None:
        message = f"has {len(names)} keypoints and none is called as one of the skeleton {skeleton.name} "
        named = f": {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}"
        problems.append(Problem("no_common_joint", "error", str(file), f"{message}({skeleton.count} keypoints){named}"))
        return None
    if joints.by_order and tell_order:
        message = f"no keypoint name agrees with the skeleton {skeleton.name}; its order is taken"
        problems.append(Problem("joints_by_order", "warning", str(file), message))
    if joints.missing:
        message = f"the skeleton {skeleton.name} has keypoints that this file has not, never labelled: "
        problems.append(Problem("missing_joint", "warning", str(file), message + ", ".join(joints.missing)))
    return joints


def plain_inside(name: str) -> str | None:
    """`name` relative to the folder, without `.` and `..`; None where it leads out of that folder.

    `..` is taken out before the disk is asked: behind a symbolic link it would lead anywhere.
    """
    system = PureWindowsPath(name)  # knows roots and drives of every system
    path = _plain(name)
    return None if system.drive or system.root or path.split("/")[0] == ".." else path


def _plain(name: str) -> str:
    return posixpath.normpath(name.replace("\\", "/"))


def _is_file(path: Path) -> bool:
    return is_there(path) and path.is_file()

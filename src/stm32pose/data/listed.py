"""What an annotation file names, images and keypoints, and what is said of names that lead nowhere."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from stm32pose.data.files import list_images
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

    def find(self, name: str) -> Path | None:
        """The file of that name: inside the folder as written, or by its last parts; None where it is not there."""
        self.asked += 1
        inside = _inside(name)
        if inside is None:
            base = name.replace("\\", "/").rsplit("/", 1)[-1]
            if base in self._names:
                return self._take(self.folder / base, name)
            self._outside.append(name)
            return None
        parts = inside.split("/")
        for start in range(len(parts)):
            rest = "/".join(parts[start:])
            if rest in self._names or (("/" in rest or not self._flat) and (self.folder / rest).is_file()):
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
        if self._absent:
            message = f"{len(self._absent)} of {self.asked} listed images are not in {self.folder}, e.g. "
            severity = "warning" if self.found else "error"
            problems.append(Problem("missing_image", severity, str(file), message + self._absent[0]))
        unlisted = sorted(self._names - {path.name for path in self.found})
        if unlisted:
            message = f"{len(unlisted)} images of the folder are not in {file.name} and are left out, e.g. "
            problems.append(Problem("missing_label", "warning", str(self.folder), message + unlisted[0]))
        return problems

    def _take(self, path: Path, name: str) -> Path:
        self.found[path] = name
        return path


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


def _inside(name: str) -> str | None:
    """`name` relative to the folder, without `.` and `..`; None where it leads out of that folder."""
    system = PureWindowsPath(name)  # knows roots and drives of every system
    path = posixpath.normpath(name.replace("\\", "/"))
    return None if system.drive or system.root or path.split("/")[0] == ".." else path

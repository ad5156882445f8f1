"""Where MPII's images and labels lie, and of which kind the labels are."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from stm32pose.data.coco_layout import has_images
from stm32pose.data.files import list_images
from stm32pose.data.formats import Part, peek
from stm32pose.errors import UserError

NAMES: dict[Part, tuple[str, ...]] = {
    "train": ("annot/train.json", "annotations/mpii_train.json"),
    "val": ("annot/valid.json", "annotations/mpii_val.json"),
}
"""HRNet's and MMPose's lists, in the folder that holds `images`. Their test lists hold no joints."""

RELEASE = "mpii_human_pose_v1_u12_*.mat"


def kind_of(path: Path) -> Literal["mat", "list", "coco"]:
    """What the file is, by its first bytes; what is nothing of it is taken for a list, whose reader says so."""
    if path.suffix.lower() == ".mat":
        return "mat"
    return "coco" if peek(path, size=4096).lstrip()[:1] == "{" else "list"


def is_mpii(place: Path, annotations: Path | None = None) -> bool:
    """Whether the labels named, or those found for the place, are MPII's (a COCO-style file is COCO's to `auto`)."""
    if annotations is None:
        root = _root(place)
        return root is not None
    if annotations.suffix.lower() == ".mat":
        return b"MATLAB" in peek(annotations, size=128).encode()
    text = peek(annotations)
    return text.lstrip()[:1] == "[" and '"joints"' in text and '"image"' in text


def mpii_parts(place: Path) -> tuple[Part, ...]:
    """The sets whose lists lie beside the images."""
    root = _root(place)
    return () if root is None else tuple(part for part in NAMES if _list(root, part))


def find_mpii(
    place: Path, annotations: Path | None = None, part: Part = "train", *, where: str = "dataset.training_path"
) -> tuple[Path, Path]:
    """The folder of images and the file of labels.

    `place` is the folder of images or the one that holds it as `images`. Looked for, in the latter: the lists of the
    set `part` (`NAMES`), then the release `mpii_human_pose_v1_u12_*.mat`, there or one folder further down.

    Raises:
        UserError: no labels; the message says where was looked.
    """
    if annotations is not None:
        inside = place / "images"
        return (inside if not has_images(place) and has_images(inside) else place), annotations
    root = _root(place)
    if root is None:
        list_mpii(place, part, where=where)  # says so where there is no image either
        looked = ", ".join([*NAMES[part if part in NAMES else "train"], RELEASE])
        key = where.replace("_path", "_annotations")
        raise UserError(f"{where}: no labels of MPII for {place} (looked for {looked} beside it); name them in {key}")
    parts = mpii_parts(place)
    found = _list(root, part) if part in NAMES else None
    if found is None and parts:
        raise UserError(f"{where}: {root} holds no labels of the set '{part}'; it has: {', '.join(parts)}")
    return root / "images", found or _release(root) or root


def list_mpii(place: Path, part: Part = "train", *, where: str) -> list[Path]:
    """The images of a place, labels unread. UserError: none."""
    inside = place / "images"
    return list_images(inside if not has_images(place) and inside.is_dir() else place, where=where)


def _root(place: Path) -> Path | None:
    """The folder that holds `images` and labels of MPII, whichever of the two `place` is."""
    candidates = [place.resolve().parent] if place.name == "images" else []
    for root in (place, *candidates):
        if has_images(root / "images") and (any(_list(root, part) for part in NAMES) or _release(root)):
            return root
    return None


def _list(root: Path, part: Part) -> Path | None:
    files = [root / name for name in NAMES[part]]
    return next((file for file in files if file.is_file() and is_mpii(root, file)), None)


def _release(root: Path) -> Path | None:
    return next((file for pattern in (RELEASE, f"*/{RELEASE}") for file in sorted(root.glob(pattern))), None)

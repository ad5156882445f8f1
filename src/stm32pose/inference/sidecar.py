"""The JSON beside a model file: what it is, how it was made, how its inputs and outputs are to be read."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stm32pose.errors import UserError
from stm32pose.files import write_whole

FORMAT = 1
"""Version of the sidecar's layout."""
MARK = "stm32pose_sidecar"
"""The key that tells a sidecar from another program's JSON."""
PROGRAMS = (
    *("stm32pose", "tensorflow", "tensorflow-cpu", "keras", "numpy", "ai-edge-litert"),
    *("onnx", "onnxruntime", "tf2onnx"),
)


def sidecar_path(model: Path) -> Path:
    """`model.tflite` -> `model.json`."""
    return model.with_suffix(".json")


def read_sidecar(model: str | Path) -> dict[str, Any] | None:
    """The sidecar of a model file; None where there is none, or it is another program's JSON.

    Raises:
        UserError: a sidecar that cannot be read, or that belongs to another model (its digest differs).
    """
    path = sidecar_path(Path(model))
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict) or MARK not in content:
        return None
    if "sha256" in content and content["sha256"] != digest(Path(model).read_bytes()):
        raise UserError(f"{path}: describes another file than {Path(model).name} (digests differ); remove or remake it")
    return content


def told_rescaling(model: str | Path) -> tuple[float, float] | None:
    """The (scale, offset) that a file was trained or calibrated with, as its sidecar says; None where it does not.

    Raises:
        UserError: as `read_sidecar`.
    """
    told = (read_sidecar(model) or {}).get("rescaling")
    try:
        return (float(told["scale"]), float(told["offset"])) if told else None
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(f"{sidecar_path(Path(model))}: 'rescaling' is not {{scale, offset}}") from error


def write_sidecar(model: Path, content: dict[str, Any], *, bound: bool = True) -> Path:
    """Write the sidecar of `model`; `content` gets the layout's version and the versions of the tools.

    Args:
        model: the file described.
        content: JSON-able.
        bound: it holds for this very file: name, digest and size are added, and `read_sidecar` checks the digest.
            Unbound, it holds for every file of this stem, whatever its weights: `best_model.keras` and `best_model.h5`,
            of any epoch.

    Raises:
        UserError: the disk refuses.
    """
    file: dict[str, Any] = {}
    if bound:
        stored = model.read_bytes()
        file = {"file": model.name, "sha256": digest(stored), "size_bytes": len(stored)}
    whole = {MARK: FORMAT, **file, **content, "versions": tool_versions()}
    return write_whole(sidecar_path(model), json.dumps(whole, indent=2, sort_keys=False) + "\n")


def may_write_sidecar(model: Path) -> bool:
    """Whether the sidecar's place is free, or taken by a sidecar: JSON of another program is not to be overwritten."""
    path = sidecar_path(model)
    if not path.exists():
        return True
    try:
        return MARK in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def digest(content: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def tool_versions() -> dict[str, str]:
    """Versions of the programs that a model depends on."""
    found = {}
    for name in PROGRAMS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

"""The JSON beside a quantized model: what it is, how it was made, how its tensors are to be read."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stm32pose.errors import UserError

FORMAT = 1
"""Version of the sidecar's layout."""


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
    if not isinstance(content, dict) or "stm32pose_sidecar" not in content:
        return None
    if content.get("sha256") != digest(Path(model).read_bytes()):
        raise UserError(f"{path}: describes another file than {Path(model).name} (digests differ); remove or remake it")
    return content


def write_sidecar(model: Path, content: dict[str, Any]) -> Path:
    """Write the sidecar of `model`; `content` gets the layout's version, and digest and size of the file."""
    stored = model.read_bytes()
    whole = {
        "stm32pose_sidecar": FORMAT,
        "file": model.name,
        "sha256": digest(stored),
        "size_bytes": len(stored),
        **content,
        "versions": tool_versions(),
    }
    path = sidecar_path(model)
    write_whole(path, (json.dumps(whole, indent=2, sort_keys=False) + "\n").encode())
    return path


def digest(content: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is either whole or as it was before. UserError: the disk refuses."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def tool_versions() -> dict[str, str]:
    """Versions of the programs that a quantized model depends on."""
    found = {}
    for name in ("stm32pose", "tensorflow", "tensorflow-cpu", "keras", "numpy", "ai-edge-litert"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

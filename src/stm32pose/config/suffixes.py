"""What a model file is by its suffix, in any case: the one place that says so."""

from __future__ import annotations

from pathlib import PurePath, PurePosixPath
from typing import Literal

ModelKind = Literal["keras", "tflite", "onnx"]

KERAS = (".keras", ".h5")
KINDS: dict[str, ModelKind] = {".keras": "keras", ".h5": "keras", ".tflite": "tflite", ".onnx": "onnx"}
MODEL_FILES = tuple(KINDS)


def suffix_of(path: str | PurePath) -> str:
    """`.tflite` of a file or an address, in lower case."""
    return PurePosixPath(str(path).replace("\\", "/").split("?")[0]).suffix.lower()


def model_kind(path: str | PurePath) -> ModelKind | None:
    """`keras` (.keras and .h5), `tflite` or `onnx` of a file or an address; None where it is no model file."""
    return KINDS.get(suffix_of(path))

"""Files that are whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.errors import UserError

if TYPE_CHECKING:
    import keras


def write_atomically(path: Path, write: Callable[[Path], None]) -> Path:
    """Call `write` with a temporary path beside `path`, then put the result in its place.

    A process that dies on the way leaves the old file. Raises UserError where the disk is full or not writable.
    """
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # h5py raises RuntimeError where a full disk stops it
        partial.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written ({_reason(error)}); what was there before is untouched") from error
    return path


def write_json(path: Path, content: Any) -> Path:
    """`content` as JSON, atomically."""
    return write_atomically(path, lambda partial: _write_text(partial, json.dumps(content, indent=1)))


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Path:
    """Arrays and a JSON-able description in one .npz file, atomically."""
    text = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    return write_atomically(path, lambda partial: _save_arrays(partial, {**arrays, "meta": text}))


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `write_arrays` wrote; zipfile.BadZipFile, OSError, KeyError or ValueError for anything else."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    meta = json.loads(arrays.pop("meta").tobytes())
    return arrays, meta


def save_model(model: keras.Model, path: Path) -> Path:
    """Save a network as .keras or .h5, uncompiled, in float32, atomically."""
    plain = float32_model(model)
    return write_atomically(path, lambda partial: plain.save(partial))


def float32_model(model: keras.Model) -> keras.Model:
    """`model` itself, or a copy that computes in float32 where it computes in less."""
    import keras

    if all(layer.compute_dtype == "float32" for layer in model._flatten_layers(include_self=False)):
        return model

    def in_float32(layer):
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})

    copy = keras.models.clone_model(model, clone_function=in_float32)
    copy.set_weights(model.get_weights())
    return copy


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else " ".join(str(error).split())

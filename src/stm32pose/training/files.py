"""What a training writes: JSON, arrays and networks, whole or not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.errors import first_line
from stm32pose.files import replacing, write_whole

if TYPE_CHECKING:
    import keras


def write_json(path: Path, content: Any) -> Path:
    """`content` as JSON, atomically."""
    return write_whole(path, json.dumps(content, indent=1))


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Path:
    """Arrays and a JSON-able description in one .npz file, atomically."""
    text = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays, meta=text)  # pyright: ignore[reportArgumentType]
    return path


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `write_arrays` wrote; zipfile.BadZipFile, OSError, KeyError or ValueError for anything else."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    meta = json.loads(arrays.pop("meta").tobytes())
    return arrays, meta


def save_model(model: keras.Model, path: Path) -> Path:
    """Save a network as .keras or .h5, uncompiled, in float32, atomically."""
    return save_as_is(float32_model(model), path)


def save_as_is(model: keras.Model, path: Path) -> Path:
    """Save a network, compiled or not and in its own precision, atomically."""
    with replacing(path) as partial:
        try:
            model.save(partial)
        except RuntimeError as error:  # h5py raises it where a full disk stops it
            raise OSError(first_line(error)) from error
    return path


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

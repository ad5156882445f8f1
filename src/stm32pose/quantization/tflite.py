"""Post-training quantization of a Keras model to a full-int8 TFLite file."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.config.target_sections import Quantization
from stm32pose.errors import ConfigError, UserError
from stm32pose.files import write_whole
from stm32pose.inference.sidecar import write_sidecar
from stm32pose.quantization.operators import check_integer

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

BUILT = {"quantizer": "TFlite_converter", "quantization_type": "PTQ", "optimize": False, "operating_mode": "default"}
"""The choices that work today."""
AHEAD = 256
"""Calibration images read before the conversion starts."""
PARITY_IMAGES = 16
"""Calibration images on which float and int8 outputs are compared."""


@dataclass(frozen=True)
class QuantizedModel:
    """A quantized file, its sidecar, and its size in bytes."""

    path: Path
    sidecar: Path
    size_bytes: int


def quantize_tflite(
    model: keras.Model,
    calibration: Iterable[np.ndarray],
    *,
    section: Quantization,
    destination: Path,
    metadata: Mapping[str, Any],
) -> QuantizedModel:
    """Quantize weights and activations to int8 and write the file and its sidecar.

    Args:
        model: float model with one input [B, H, W, C].
        calibration: float32 batches [B, H, W, C] as the network gets them, rescaling included; read once.
        section: granularity and types of input and output.
        destination: the .tflite file to write; its input takes one image, [1, H, W, C].
        metadata: entries of the sidecar that the caller knows (codec, rescaling, skeleton, ...).

    Raises:
        ConfigError: no calibration image, images that do not suit the model, or a choice that is not built yet.
        UserError: the converter refuses the model, an operator stays float, or the disk refuses.
    """
    from stm32pose.inference.keras_export import convert, tflite_converter

    check_section(section)
    import tensorflow as tf

    images = Calibration(calibration, tuple(model.inputs[0].shape[1:]))
    converter = tflite_converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = images
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    types = {"int8": tf.int8, "uint8": tf.uint8, "float": tf.float32}
    converter.inference_input_type = types[section.quantization_input_type]
    converter.inference_output_type = types[section.quantization_output_type]
    # TensorFlow offers one scale a tensor for convolutions only under this name.
    converter._experimental_disable_per_channel = section.granularity == "per_tensor"
    content = convert(converter, f"{destination.name} from '{model.name}'")
    check_integer(content, destination, section)
    write_whole(destination, content)
    described = describe_tensors(destination)
    parity = compare_outputs(model, destination, images.kept, list(described["outputs"]))
    sidecar = write_sidecar(
        destination,
        {
            "granularity": section.granularity,
            **described,
            "calibration": {
                "images": images.count,
                "sha256": images.digest,
                "set": str(metadata.get("calibration_set", "")),
            },
            "parity": parity,
            **{name: value for name, value in metadata.items() if name != "calibration_set"},
        },
    )
    worst = max((entry["max_error"] for entry in parity), default=0.0)
    log.info("%s: %d calibration images, outputs differ from float by at most %.4g", destination, images.count, worst)
    return QuantizedModel(destination, sidecar, len(content))


def export_float(model: keras.Model, destination: Path) -> Path:
    """Write the model as a float TFLite file that takes one image."""
    from stm32pose.inference.keras_export import convert, tflite_converter

    write_whole(destination, convert(tflite_converter(model), f"{destination.name} from '{model.name}'"))
    return destination


def check_section(section: Quantization) -> None:
    """ConfigError: what the section asks for is not built yet."""
    for key, built in BUILT.items():
        got = getattr(section, key)
        if got != built:
            raise ConfigError(
                f"quantization.{key}: {got!r} is not built yet, a later release brings it; use {built!r}",
            )


class Calibration:
    """Calibration batches as TensorFlow wants them: one image at a time.

    The first images are read before the conversion starts, so that the caller's progress can be seen; the converter's
    output is silenced while it runs.

    Attributes:
        count: images read so far; `digest` is the SHA-256 of all of them.
        kept: the first images, [H, W, C] each, for comparing outputs.
    """

    def __init__(self, batches: Iterable[np.ndarray], shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._digest = hashlib.sha256()
        self.kept: list[np.ndarray] = []
        self.count = 0
        self._later = self._images(batches)
        self._first = list(islice(self._later, AHEAD))
        if not self._first:
            raise ConfigError("dataset: no image to calibrate with; int8 needs the ranges that real inputs give")
        self.kept = self._first[:: max(1, len(self._first) // PARITY_IMAGES)][:PARITY_IMAGES]

    def __call__(self) -> Iterator[list[np.ndarray]]:
        for image in chain(self._first, self._later):
            yield [image[None]]

    def _images(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for batch in batches:
            batch = np.ascontiguousarray(batch, dtype=np.float32)
            if batch.ndim != 4 or batch.shape[1:] != self._shape:
                raise ConfigError(
                    f"calibration: got images of shape {list(batch.shape)}, the model takes {list(self._shape)}"
                )
            if not np.isfinite(batch).all():
                raise UserError("calibration: an image holds values that are not finite")
            for image in batch:
                self._digest.update(image.tobytes())
                self.count += 1
                yield image

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()


def describe_tensors(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Name, shape, type, scale and zero point of the inputs and outputs of a .tflite file, as the file has them."""
    from stm32pose.inference.tflite_runner import open_interpreter

    interpreter = open_interpreter(path)

    def entry(details: Mapping[str, Any]) -> dict[str, Any]:
        scale, zero_point = details["quantization"]
        return {
            "name": str(details["name"]),
            "shape": [int(size) for size in details["shape"]],
            "dtype": np.dtype(details["dtype"]).name,
            "scale": float(scale),
            "zero_point": int(zero_point),
        }

    return {
        "inputs": [entry(details) for details in interpreter.get_input_details()],
        "outputs": [entry(details) for details in interpreter.get_output_details()],
    }


def compare_outputs(
    model: keras.Model, path: Path, images: list[np.ndarray], outputs: list[dict[str, Any]]
) -> list[dict[str, float]]:
    """How far the int8 outputs are from the float ones on calibration images, one entry an output.

    `max_error` and `mean_error` are absolute; `range` is the span of the float output on the same images.
    """
    from stm32pose.inference.tensors import quantize
    from stm32pose.inference.tflite_runner import open_interpreter

    if not images:
        return []
    batch = np.stack(images)
    interpreter = open_interpreter(path)
    details = interpreter.get_input_details()[0]
    scale, zero_point = details["quantization"]
    dtype = np.dtype(details["dtype"]).name
    stored = batch if dtype == "float32" else quantize(batch, scale, zero_point, dtype)
    found: list[list[np.ndarray]] = [[] for _ in outputs]
    for image in stored:
        interpreter.set_tensor(details["index"], image[None])
        interpreter.invoke()
        for place, item in zip(found, interpreter.get_output_details(), strict=True):
            raw = interpreter.get_tensor(item["index"]).astype(np.float32)
            step, zero = item["quantization"]
            place.append((raw - zero) * step if step else raw)
    wanted = model(batch, training=False)
    floats = [np.asarray(value) for value in (wanted if isinstance(wanted, list | tuple) else [wanted])]
    entries = []
    for got, reference in zip(found, floats, strict=True):
        error = np.abs(np.concatenate(got).reshape(reference.shape) - reference)
        entries.append(
            {
                "images": len(images),
                "max_error": float(error.max()),
                "mean_error": float(error.mean()),
                "range": float(reference.max() - reference.min()),
            }
        )
    return entries

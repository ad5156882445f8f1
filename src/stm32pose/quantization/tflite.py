"""Post-training quantization of a Keras model to a full-int8 TFLite file."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.config.target_sections import Quantization
from stm32pose.errors import ConfigError
from stm32pose.files import write_whole
from stm32pose.quantization.calibration import Calibration
from stm32pose.quantization.operators import check_integer
from stm32pose.quantization.parity import Decode, Reference, file_parity, keras_predict, parity_text
from stm32pose.quantization.result import QuantizedModel, describe

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

BUILT = {"quantization_type": "PTQ", "optimize": False}
"""The choices that work today."""


def quantize_tflite(
    model: keras.Model,
    images: Iterable[np.ndarray],
    *,
    section: Quantization,
    destination: Path,
    rescaling: tuple[float, float],
    metadata: Mapping[str, Any],
    decode: Decode | None = None,
    total: int | None = None,
) -> QuantizedModel:
    """Quantize weights and activations to int8 and write the file and its sidecar.

    Args:
        model: float model with one input [B, H, W, C].
        images: calibration batches, uint8 [B, H, W, C], pixels; read once.
        section: granularity and types of input and output.
        destination: the .tflite file to write; its input takes one image, [1, H, W, C].
        rescaling: (scale, offset): the network's input is scale * pixel + offset.
        metadata: entries of the sidecar that the caller knows (codec, rescaling, skeleton, ...).
        decode: outputs to poses, for the displacement of keypoints; None where the codec is not known.
        total: how many images will come, where that is known.

    Raises:
        ConfigError: no calibration image, images that do not suit the model, or a choice that is not built yet.
        UserError: the converter refuses the model, an operator stays float, or the disk refuses.
    """
    from stm32pose.inference.keras_export import convert, tflite_converter

    check_section(section)
    import tensorflow as tf

    calibration = Calibration(images, tuple(model.inputs[0].shape[1:]), rescaling, total=total)
    converter = tflite_converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    types = {"int8": tf.int8, "uint8": tf.uint8, "float": tf.float32}
    converter.inference_input_type = types[section.quantization_input_type]
    converter.inference_output_type = types[section.quantization_output_type]
    # TensorFlow offers one scale a tensor for convolutions only under this name.
    converter._experimental_disable_per_channel = section.granularity == "per_tensor"
    content = convert(converter, f"{destination.name} from '{model.name}'")
    check_integer(content, destination, section)
    write_whole(destination, content)
    reference = Reference(keras_predict(model, rescaling), decode)
    parity = file_parity(reference, destination, calibration.kept, rescaling)
    sidecar = describe(
        destination,
        tensors=describe_tensors(destination),
        calibration=calibration,
        parity=parity,
        metadata=metadata,
        granularity=section.granularity,
    )
    log.info("%s: %d calibration images, %s", destination, calibration.count, parity_text(parity))
    return QuantizedModel(destination, sidecar, len(content), parity, images=tuple(calibration.kept))


def check_section(section: Quantization) -> None:
    """ConfigError: what the section asks for is not built yet."""
    for key, built in BUILT.items():
        got = getattr(section, key)
        if got != built:
            raise ConfigError(
                f"quantization.{key}: {got!r} is not built yet, a later release brings it; use {built!r}",
            )
    if section.operating_mode != "default":
        raise ConfigError(
            f"quantization.operating_mode: got {section.operating_mode!r} with quantizer: {section.quantizer}; "
            "layers are told apart with quantizer: onnx_quantizer, or write operating_mode: default"
        )


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

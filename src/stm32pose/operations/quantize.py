"""The step `quantize`: the float model to int8."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from stm32pose.config.schema import Config
from stm32pose.operations.artifacts import Artifacts, input_shape, needed
from stm32pose.operations.codec import codec_of_model
from stm32pose.reporting import console
from stm32pose.reporting.run import Run

log = logging.getLogger(__name__)


def run_step(config: Config, run: Run, artifacts: Artifacts) -> Artifacts:
    """Quantize the newest Keras model; adds the .tflite file to the artifacts."""
    from stm32pose.data.pipeline import Pipeline
    from stm32pose.models.load import load_model
    from stm32pose.quantization.calibration import calibration_images
    from stm32pose.quantization.tflite import quantize_tflite

    section = needed(config.quantization, "quantization")
    skeleton, splits = artifacts.skeleton, artifacts.images()
    model = load_model(artifacts.float_model)
    shape = input_shape(model)
    keypoints = skeleton.count if skeleton else int(model.outputs[0].shape[-1])
    codec = codec_of_model(config, model, keypoints, shape, artifacts.float_model)
    samples = calibration_images(splits.quantization, config.dataset)
    pipeline = Pipeline(
        samples,
        input_shape=shape,
        preprocessing=config.preprocessing,
        batch_size=16,
        workers=config.general.num_workers,
    )
    rescaling = config.preprocessing.rescaling
    folder = section.export_dir
    with console.counting("calibration images", len(samples)) as advance:

        def images() -> Iterator[np.ndarray]:
            for batch in pipeline.epoch(0):
                yield batch.images.astype(np.float32) * np.float32(rescaling.scale) + np.float32(rescaling.offset)
                advance(len(batch.images))

        quantized = quantize_tflite(
            model,
            images(),
            section=section,
            destination=run.path(folder, "quantized_model.tflite"),
            metadata={
                "codec": codec.describe(),
                "skeleton": {"name": skeleton.name, "keypoints": list(skeleton.keypoints)} if skeleton else None,
                "rescaling": rescaling.model_dump(),
                "calibration_set": splits.sources.get("quantization", ""),
                "float_model": run.relative(artifacts.float_model),
            },
        )
    run.add(
        "quantization",
        {
            "label": "int8",
            "file": run.relative(quantized.path),
            "sidecar": run.relative(quantized.sidecar),
            "bytes": quantized.size_bytes,
            "granularity": section.granularity,
            "input_type": section.quantization_input_type,
            "output_type": section.quantization_output_type,
            "calibration_images": len(samples),
            "calibration_set": splits.sources.get("quantization", ""),
        },
        append=True,
    )
    log.info("quantized model: %s, %.1f KiB", quantized.path, quantized.size_bytes / 1024)
    return artifacts.with_model(quantized.path)

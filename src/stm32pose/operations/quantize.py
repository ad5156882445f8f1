"""The step `quantize`: the float model to int8."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.config.rules import calibrates_on_random_images
from stm32pose.config.schema import Config
from stm32pose.config.suffixes import model_kind
from stm32pose.config.target_sections import Quantization
from stm32pose.errors import ConfigError, UserError
from stm32pose.operations.artifacts import Artifacts, input_shape, needed
from stm32pose.operations.quantize_search import labelled_images, write_inspection
from stm32pose.reporting import console
from stm32pose.reporting.run import Run

if TYPE_CHECKING:
    import keras

    from stm32pose.codecs.select import Codec
    from stm32pose.data.sample import Sample
    from stm32pose.quantization.parity import Reference
    from stm32pose.quantization.result import QuantizedModel
    from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)

BATCH = 16
EXTRA = "'stm32pose[onnx]'"
FLOAT_ONNX = ("converted_model", "converted_model.onnx")
"""Where a Keras model exported to ONNX lies in the run folder: ST's place."""


@dataclass(frozen=True)
class Job:
    """One quantization: what is quantized, on which images, and what is known of both.

    Attributes:
        path: the float model's file; `keras_model` is its content, for Keras files.
        shape: (H, W, C) of the input.
        samples: calibration images; empty where they are made up.
        extra: entries for results.json that appear on the way.
    """

    config: Config
    run: Run
    section: Quantization
    path: Path
    keras_model: keras.Model | None
    shape: tuple[int, int, int]
    codec: Codec
    reference: Reference
    artifacts: Artifacts
    samples: list[Sample]
    metadata: dict[str, Any]
    rescaling: tuple[float, float]
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many calibration images there are."""
        from stm32pose.quantization.calibration import FAKE_IMAGES

        return len(self.samples) or FAKE_IMAGES

    def destination(self, name: str) -> Path:
        """Where a quantized file goes; its folder is made when it is written, not by a run that fails before."""
        return self.run.folder / self.section.export_dir / name

    def images(self, advance: Callable[[int], None]) -> Iterator[np.ndarray]:
        """Calibration batches, uint8 [B, H, W, C], resized as everywhere; `advance` is told how many more there are."""
        from stm32pose.data.pipeline import Pipeline
        from stm32pose.quantization.calibration import fake_images

        if not self.samples:
            yield fake_images(self.shape, seed=self.config.general.global_seed or 0)
            advance(self.total)
            return
        pipeline = Pipeline(
            self.samples,
            input_shape=self.shape,
            preprocessing=self.config.preprocessing,
            batch_size=BATCH,
            workers=self.config.general.num_workers,
        )
        for batch in pipeline.epoch(0):
            yield batch.images
            advance(len(batch.images))


def run_step(config: Config, run: Run, artifacts: Artifacts) -> Artifacts:
    """Quantize the newest float model; adds the quantized file to the artifacts.

    Raises:
        ConfigError: the quantizer does not take such a model, or an option does not suit it.
        UserError: a converter refuses the model, or its result is not what was asked for.
    """
    section = needed(config.quantization, "quantization")
    path = artifacts.float_model
    quantizer = chosen(path, section)
    job = make_job(config, run, artifacts, section, path)
    quantized = quantizer(job)
    entry = {
        "label": _label(quantized.path),
        "quantizer": section.quantizer,
        "file": run.relative(quantized.path),
        "sidecar": run.relative(quantized.sidecar),
        "bytes": quantized.size_bytes,
        "granularity": section.granularity,
        "input_type": section.quantization_input_type,
        "output_type": section.quantization_output_type,
        "calibration_images": job.total,
        "calibration_set": job.metadata["calibration_set"],
        "fake": bool(job.metadata.get("fake")),
        "parity": quantized.parity,
        **{name: value for name, value in quantized.details.items() if name not in ("granularity", "inspection")},
        **job.extra,
    }
    run.add("quantization", entry, append=True)
    log.info("quantized model: %s, %.1f KiB", quantized.path, quantized.size_bytes / 1024)
    return artifacts.with_model(quantized.path)


def _label(path: Path) -> str:
    """`int8`, `int16`, `int8 w4`: what a quantized file computes with, as the table of an evaluation calls it."""
    if model_kind(path) != "onnx":
        return "int8"
    from stm32pose.inference.onnx_graph import number_types, read_onnx_model

    return number_types(read_onnx_model(path))


def make_job(config: Config, run: Run, artifacts: Artifacts, section: Quantization, path: Path) -> Job:
    """Open the float model and choose the calibration images. ConfigError: either does not suit."""
    from stm32pose.quantization.calibration import FAKE_IMAGES, FAKE_SET, calibration_images
    from stm32pose.quantization.parity import Reference

    rescaling = (config.preprocessing.rescaling.scale, config.preprocessing.rescaling.offset)
    model, shape, codec, predict = open_float(config, path, artifacts.skeleton, rescaling)
    skeleton = artifacts.skeleton
    metadata: dict[str, Any] = {
        "codec": codec.describe(),
        "skeleton": {"name": skeleton.name, "keypoints": list(skeleton.keypoints)} if skeleton else None,
        "rescaling": config.preprocessing.rescaling.model_dump(),
        "float_model": run.relative(path),
    }
    if calibrates_on_random_images(config):
        if section.operating_mode == "full_auto":
            raise ConfigError(
                "quantization.operating_mode: full_auto measures accuracy, which random images have none of; give "
                "dataset.quantization_path or dataset.training_path, and leave quantization.fake out"
            )
        log.warning(
            "%s is calibrated on %d RANDOM IMAGES: its size and speed are real, its accuracy means NOTHING; give "
            "dataset.quantization_path or dataset.training_path for a model to use",
            *(path.name, FAKE_IMAGES),
        )
        samples: list[Sample] = []
        metadata |= {"calibration_set": FAKE_SET, "fake": True}
    else:
        splits = artifacts.images()
        samples = calibration_images(splits.quantization, config.dataset)
        metadata["calibration_set"] = splits.sources.get("quantization", "")
    return Job(
        config=config,
        run=run,
        section=section,
        path=path,
        keras_model=model,
        shape=shape,
        codec=codec,
        reference=Reference(predict, lambda outputs: [pose.keypoints for pose in codec.decode_poses(outputs)]),
        artifacts=artifacts,
        samples=samples,
        metadata=metadata,
        rescaling=rescaling,
    )


def open_float(
    config: Config, path: Path, skeleton: Skeleton | None, rescaling: tuple[float, float]
) -> tuple[keras.Model | None, tuple[int, int, int], Codec, Callable[[np.ndarray], list[np.ndarray]]]:
    """The Keras model (None of an .onnx file), (H, W, C), the codec, and how to run it. ConfigError: int8 already."""
    from stm32pose.codecs.select import recognise
    from stm32pose.operations.codec import codec_of, codec_of_model

    if model_kind(path) == "keras":
        from stm32pose.models.load import load_model
        from stm32pose.quantization.parity import keras_predict

        model = load_model(path)
        shape = input_shape(model)
        outputs = [tuple(output.shape[1:]) for output in model.outputs]
        found = recognise(outputs, input_shape=shape, model_type=config.model.model_type)[1]
        keypoints = skeleton.count if skeleton else found
        return model, shape, codec_of_model(config, model, keypoints, shape, path), keras_predict(model, rescaling)
    from types import SimpleNamespace

    from stm32pose.inference.runner import load_runner
    from stm32pose.quantization.onnx_model import already_quantized

    runner = load_runner(path, rescaling=rescaling, threads=config.general.num_threads_tflite)
    if runner.quantized:
        raise ConfigError(already_quantized(path))
    shapes = [output.shape for output in runner.outputs]
    named: Any = skeleton or SimpleNamespace(count=recognise(shapes, input_shape=runner.input_shape)[1])
    return None, runner.input_shape, codec_of(config, runner, named), runner.predict


def keras_to_tflite(job: Job) -> QuantizedModel:
    """Keras -> quantized_model.tflite."""
    from stm32pose.quantization.tflite import quantize_tflite

    assert job.keras_model is not None  # noqa: S101  the table sends Keras models here
    with console.counting("calibration images", job.total) as advance:
        return quantize_tflite(
            job.keras_model,
            job.images(advance),
            section=job.section,
            destination=job.destination("quantized_model.tflite"),
            rescaling=job.rescaling,
            metadata=job.metadata,
            decode=job.reference.decode,
            total=job.total,
        )


def keras_to_onnx(job: Job) -> QuantizedModel:
    """Keras -> converted_model.onnx (float) -> QDQ."""
    from stm32pose.inference.keras_onnx import export_onnx
    from stm32pose.inference.sidecar import write_sidecar
    from stm32pose.quantization.onnx_recipe import check_names, make_recipe
    from stm32pose.quantization.parity import file_parity, parity_text

    recipe = make_recipe(job.section)
    assert job.keras_model is not None  # noqa: S101  the table sends Keras models here
    exported = export_onnx(
        job.keras_model,
        job.run.folder.joinpath(*FLOAT_ONNX),
        opset=job.section.target_opset,
        layout=job.section.onnx_layout,
        check=lambda exported: check_names(recipe, job.section, exported),
    )
    quantized = onnx_to_onnx(job, exported)
    parity = file_parity(job.reference, exported, quantized.images, job.rescaling)
    known = {name: job.metadata[name] for name in ("codec", "skeleton", "rescaling", "float_model")}
    write_sidecar(exported, {**known, "parity": parity})
    job.extra["float_onnx"] = {
        "file": job.run.relative(exported),
        "bytes": exported.stat().st_size,
        "parity": parity,
    }
    log.info("%s: %s", exported, parity_text(parity))
    return quantized


def onnx_to_onnx(job: Job, source: Path | None = None) -> QuantizedModel:
    """ONNX -> QDQ; `source` where the file to quantize is not the one given."""
    from stm32pose.quantization.onnx_model import quantize_onnx, quantized_name

    quantized = quantize_onnx(
        source or job.path,
        job.images(lambda _count: None),
        total=job.total,
        section=job.section,
        destination=job.destination(quantized_name(job.path.stem, job.section)),
        rescaling=job.rescaling,
        metadata=job.metadata,
        reference=job.reference,
        labelled=labelled_images(job.config, job.section, job.artifacts, job.samples, job.shape),
        progress=console.counting,
    )
    if "inspection" in quantized.details:
        job.extra["inspection"] = write_inspection(job.run, quantized.details["inspection"])
    return quantized


Quantizer = Callable[[Job], "QuantizedModel"]

QUANTIZERS: dict[tuple[str, str], Quantizer] = {
    ("keras", "TFlite_converter"): keras_to_tflite,
    ("keras", "onnx_quantizer"): keras_to_onnx,
    ("onnx", "onnx_quantizer"): onnx_to_onnx,
}


def chosen(path: Path, section: Quantization) -> Quantizer:
    """The quantizer for a file, its options checked before anything long begins.

    Raises:
        ConfigError: there is none for such a file, or an option cannot be.
    """
    from stm32pose.quantization.onnx_recipe import check_quantization

    kind = model_kind(path) or path.suffix
    check_quantization(section, kind, name=path.name)
    if section.quantizer == "onnx_quantizer":
        packages = ("onnx", "onnxruntime", *(("tf2onnx",) if kind == "keras" else ()))
        missing = [name for name in packages if find_spec(name) is None]
        if missing:
            raise UserError(f"quantization.quantizer: onnx_quantizer needs {', '.join(missing)}: pip install {EXTRA}")
    return QUANTIZERS[kind, section.quantizer]

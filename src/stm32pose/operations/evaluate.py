"""The step `evaluate`: accuracy of every model not measured yet, float and int8 by the same code."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.config.schema import Config
from stm32pose.operations.artifacts import Artifacts, Measured
from stm32pose.operations.codec import codec_of
from stm32pose.reporting import console
from stm32pose.reporting.run import Run

if TYPE_CHECKING:
    from stm32pose.data.sample import Sample
    from stm32pose.inference.runner import Runner
    from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)

BATCH = 16


def run_step(config: Config, run: Run, artifacts: Artifacts) -> Artifacts:
    """Evaluate the models that are new on the test set, or the validation set where there is no test set."""
    from stm32pose.data.splits import evaluation_set
    from stm32pose.inference.runner import load_runner
    from stm32pose.reporting.figures import keypoint_chart
    from stm32pose.reporting.pictures import example_pictures

    skeleton, splits = artifacts.labelled()
    set_name, samples = evaluation_set(splits)
    rescaling = (config.preprocessing.rescaling.scale, config.preprocessing.rescaling.offset)
    known = {found.path for found in artifacts.measured}
    for path in artifacts.models:
        if path in known:
            continue
        runner = load_runner(path, rescaling=rescaling, threads=config.general.num_threads_tflite)
        found = measure(config, runner, samples, skeleton)
        artifacts = artifacts.with_measured(found)
        dump_arrays(config, run, runner, samples, found.label)
        run.write_json(f"per_image_{found.label}.json", found.results["per_image"])
        run.add("evaluation", _entry(found, run.relative(path), set_name, len(samples)), append=True)
        oks = found.results["metrics"].get("mean_oks_st")
        if oks is not None:
            prefix = {"float": "float", "int8": "quantized"}[found.label]
            log.info("%s_model_OKS : %.2f%%", prefix, 100 * oks)
    keypoint_chart(run.results["evaluation"], run.figures / "keypoints.png")
    example_pictures(samples, artifacts.measured, skeleton, run.figures, config)
    return artifacts


def measure(config: Config, runner: Runner, samples: list[Sample], skeleton: Skeleton) -> Measured:
    """Poses and figures of one model on `samples`; preparing images and the model's own work overlap."""
    from stm32pose.data.pipeline import Pipeline, unmap_poses
    from stm32pose.inference.ahead import predict_ahead
    from stm32pose.metrics.evaluate import evaluate_poses

    codec = codec_of(config, runner, skeleton)
    pipeline = Pipeline(
        samples,
        input_shape=runner.input_shape,
        preprocessing=config.preprocessing,
        batch_size=BATCH,
        workers=config.general.num_workers,
    )
    label = "int8" if runner.quantized else "float"
    poses: list[np.ndarray] = []
    started, before = time.perf_counter(), runner.invoke_seconds
    with console.counting(f"{label} on {len(samples)} images", len(samples)) as advance:
        for batch, outputs in predict_ahead(runner, pipeline.epoch(0), lambda batch: batch.images):
            poses.extend(unmap_poses(codec.decode(outputs), batch.matrices))
            advance(len(batch.images))
    seconds = time.perf_counter() - started
    results = evaluate_poses(samples, poses, skeleton)
    return Measured(runner.path, label, poses, results, seconds, runner.invoke_seconds - before)


def dump_arrays(config: Config, run: Run, runner: Runner, samples: list[Sample], label: str) -> None:
    """`gen_npy_input` and `gen_npy_output`: network inputs and outputs as arrays, one file a tensor."""
    section = config.evaluation
    if not (section.gen_npy_input or section.gen_npy_output):
        return
    from stm32pose.data.pipeline import Pipeline

    pipeline = Pipeline(
        samples, input_shape=runner.input_shape, preprocessing=config.preprocessing, batch_size=BATCH, workers=1
    )
    batches = [batch.images for batch in pipeline.epoch(0)]
    if section.gen_npy_input:
        inputs = np.concatenate([runner.inputs(images) for images in batches])
        np.save(run.path("arrays", f"{section.npy_in_name}_{label}.npy"), inputs, allow_pickle=False)
    if section.gen_npy_output:
        outputs = [runner.predict(images) for images in batches]
        for index in range(len(outputs[0])):
            name = f"{section.npy_out_name}_{label}" + (f"_{index}" if len(outputs[0]) > 1 else "")
            np.save(run.path("arrays", f"{name}.npy"), np.concatenate([o[index] for o in outputs]), allow_pickle=False)


def _entry(found: Measured, file: str, set_name: str, images: int) -> dict[str, Any]:
    kept = {name: found.results[name] for name in ("metrics", "per_keypoint", "by_size", "counts")}
    return {
        "label": found.label,
        "file": file,
        "set": set_name,
        "images": images,
        "seconds": round(found.seconds, 3),
        "ms_per_image": round(1000 * found.seconds / max(1, images), 3),
        "invoke_ms_per_image": round(1000 * found.invoke_seconds / max(1, images), 3),
        **kept,
    }

"""The step `evaluate`: accuracy of every model not measured yet, whatever its kind, by the same code."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stm32pose.codecs.yolo import CONFIDENCE
from stm32pose.config.schema import Config
from stm32pose.errors import UserError
from stm32pose.operations.array_files import ArrayFiles, open_arrays
from stm32pose.operations.artifacts import Artifacts, Measured
from stm32pose.operations.codec import codec_of
from stm32pose.operations.subjects import Subject, subjects_of
from stm32pose.reporting import console
from stm32pose.reporting.judged import own_entry
from stm32pose.reporting.run import Run

if TYPE_CHECKING:
    from stm32pose.codecs.poses import Poses
    from stm32pose.data.sample import Sample
    from stm32pose.inference.runner import Runner
    from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)

BATCH = 16
RECORDED = ("metrics", "per_keypoint", "pckh", "by_size", "counts")
"""Of the figures, what results.json keeps."""
CANDIDATES = 0.001
"""Score from which a pose counts for AP where `postprocessing.confidence_thresh` is absent."""
ST_PREFIX = {"float": "float", "int8": "quantized"}


def run_step(config: Config, run: Run, artifacts: Artifacts) -> Artifacts:
    """Evaluate the models that are new on the test set, or the validation set where there is no test set."""
    from stm32pose.data.splits import evaluation_set
    from stm32pose.reporting.figures import keypoint_chart, precision_recall_chart
    from stm32pose.reporting.pictures import example_pictures

    skeleton, splits = artifacts.labelled()
    set_name, samples = evaluation_set(splits)
    for subject in subjects_of(config, run, artifacts):
        name, where = subject.file, subject.where
        with _opened(run, subject) as runner, open_arrays(subject.config, run, name, len(samples)) as arrays:
            found = measure(subject.config, runner, samples, skeleton, label=subject.label, where=where, arrays=arrays)
            entry = _entry(subject, found, run.relative(subject.path), runner, set_name)
        artifacts = artifacts.with_measured(found)
        run.write_json(f"per_image_{name}.json", found.results["per_image"])
        if config.postprocessing.plot_metrics:
            run.write_json(f"precision_recall_{name}.json", found.results["precision_recall"])
        run.add("evaluation", entry, append=True)
        _log_as_st(subject, found.results["metrics"])
    keypoint_chart(run.results["evaluation"], run.figures / "keypoints.png")
    if config.postprocessing.plot_metrics:
        curves = [(found.label, found.results["precision_recall"]) for found in artifacts.measured]
        precision_recall_chart(curves, run.figures / "precision_recall.png")
    shown = own_entry(run.results["evaluation"]) or {}
    example_pictures(samples, artifacts.measured, skeleton, run.figures, config, ranked_by=shown.get("label"))
    return artifacts


def measure(
    config: Config,
    runner: Runner,
    samples: list[Sample],
    skeleton: Skeleton,
    *,
    label: str | None = None,
    where: str = "model.model_path",
    arrays: ArrayFiles | None = None,
) -> Measured:
    """Poses and figures of one model on `samples`; preparing images and the model's own work overlap.

    Args:
        config: preprocessing and how to decode.
        runner: the model, open.
        samples: the truth.
        skeleton: of the labels.
        label: of the result; None: "float" or "int8".
        where: the key that names the model, for messages.
        arrays: gets what the network is fed and gives.

    Raises:
        ConfigError: the model's outputs or its input do not fit to the configuration.
        UserError: an image cannot be read, or the library refuses to run the model.
    """
    from stm32pose.codecs.poses import poses_in_image
    from stm32pose.data.pipeline import Pipeline
    from stm32pose.inference.ahead import predict_ahead
    from stm32pose.metrics.evaluate import evaluate_poses

    codec = codec_of(config, runner, skeleton, confidence=CANDIDATES, where=where)
    pipeline = Pipeline(
        samples,
        input_shape=runner.input_shape,
        preprocessing=config.preprocessing,
        batch_size=BATCH,
        workers=config.general.num_workers,
    )
    label = label or runner.number_types
    poses: list[Poses] = []
    started, before, writing = time.perf_counter(), runner.invoke_seconds, 0.0
    with console.counting(f"{label} on {len(samples)} images", len(samples)) as advance:
        for batch, outputs in predict_ahead(runner, pipeline.epoch(0), lambda batch: batch.images):
            if arrays is not None:
                begun = time.perf_counter()
                arrays.add(runner, batch.images, outputs)
                writing += time.perf_counter() - begun
            found = codec.decode_poses(outputs)
            poses.extend(poses_in_image(pose, matrix) for pose, matrix in zip(found, batch.matrices, strict=True))
            advance(len(batch.images))
    seconds = time.perf_counter() - started - writing
    confidence = _sure_from(config, codec.several, label)
    results = evaluate_poses(
        samples,
        [pose.keypoints for pose in poses],
        skeleton,
        [pose.scores for pose in poses],
        several=codec.several,
        confidence=confidence,
    )
    return Measured(runner.path, label, poses, results, seconds, runner.invoke_seconds - before, confidence)


@contextmanager
def _opened(run: Run, subject: Subject) -> Iterator[Runner]:
    """The model where `evaluation.target` wants it; a connection to a board is given up at the end."""
    from stm32pose.operations.on_target import open_runner

    try:
        runner = open_runner(subject.config, run, subject.path, subject.config.evaluation)
    except UserError as error:
        if subject.own:
            raise
        raise type(error)(str(error).replace("model.model_path", subject.where, 1)) from error
    try:
        yield runner
    finally:
        close = getattr(runner, "close", None)
        if close is not None:
            close()


def _sure_from(config: Config, several: bool, label: str) -> float:
    """Score from which a pose counts as found, for every figure but AP and AR; a network for one person gives one."""
    if not several:
        return 0.0
    asked = config.postprocessing.confidence_thresh
    if asked is not None and asked > 10 * CANDIDATES:
        log.info(
            "postprocessing.confidence_thresh: %g hides weaker poses of %s from AP too; %g is usual for AP",
            *(asked, label, CANDIDATES),
        )
    return max(CONFIDENCE, asked or 0.0)


def _log_as_st(subject: Subject, metrics: dict[str, float | None]) -> None:
    """The lines that ST's services write into stm32ai_main.log."""
    prefix = ST_PREFIX[subject.precision]
    if subject.config.model.model_type == "yolo_mpe":
        for name, key in (("mAP@0.5       ", "AP50"), ("mAP@[0.5:0.95]", "AP")):
            value = metrics[key]
            if value is not None:
                log.info("%s_model_%s -> %.2f%%", prefix, name, 100 * value)
        return
    oks = metrics["mean_oks_st"]
    if oks is not None:
        log.info("%s_model_OKS : %.2f%%", prefix, 100 * oks)


def _entry(subject: Subject, found: Measured, file: str, runner: Runner, set_name: str) -> dict[str, Any]:
    kept = {name: found.results[name] for name in RECORDED if name in found.results}
    rescaling, images = subject.config.preprocessing.rescaling, len(found.poses)
    return {
        "label": subject.label,
        "precision": subject.precision,
        "own": subject.own,
        "kind": runner.kind,
        "target": subject.config.evaluation.target,
        "model_type": subject.config.model.model_type,
        "file": file,
        "size_bytes": subject.path.stat().st_size,
        "input_shape": list(runner.input_shape),
        "rescaling": {"scale": rescaling.scale, "offset": rescaling.offset},
        "set": set_name,
        "images": images,
        "seconds": round(found.seconds, 3),
        "ms_per_image": round(1000 * found.seconds / max(1, images), 3),
        "invoke_ms_per_image": round(1000 * found.invoke_seconds / max(1, images), 3),
        "invoke_clock": getattr(runner, "timing", "") or "this machine's clock",
        **kept,
    }

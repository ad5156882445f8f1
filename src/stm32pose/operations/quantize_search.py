"""What the step `quantize` adds to a search among layers: accuracy on labels, and the table of an inspection."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.config.schema import Config
from stm32pose.config.target_sections import Quantization
from stm32pose.operations.artifacts import Artifacts
from stm32pose.reporting.run import Run

if TYPE_CHECKING:
    from stm32pose.data.sample import Sample
    from stm32pose.quantization.mixed import Labelled, Score
    from stm32pose.skeletons.skeleton import Skeleton

BATCH = 16


def labelled_images(
    config: Config, section: Quantization, artifacts: Artifacts, samples: Sequence[Sample], shape: tuple[int, int, int]
) -> Labelled | None:
    """What `full_auto` measures accuracy on: calibration images with labels, else the validation set; None: neither.

    Never the test set: a file that was chosen on it would be judged by what chose it. `inspection_split` is a share of
    whichever it is.
    """
    from stm32pose.quantization.calibration import spread
    from stm32pose.quantization.mixed import Labelled
    from stm32pose.quantization.onnx_model import measured_images

    skeleton, splits = artifacts.skeleton, artifacts.splits
    if section.operating_mode != "full_auto" or skeleton is None or splits is None:
        return None
    for candidates in (samples, splits.validation):
        usable = [sample for sample in candidates if (sample.keypoints[..., 2] > 0).any()]
        if usable:
            chosen = [usable[index] for index in spread(len(usable), measured_images(section, len(usable)))]
            return Labelled(*_images_and_score(config, chosen, shape, skeleton))
    return None


def _images_and_score(
    config: Config, samples: list[Sample], shape: tuple[int, int, int], skeleton: Skeleton
) -> tuple[list[np.ndarray], Score]:
    from stm32pose.data.pipeline import Pipeline, unmap_poses
    from stm32pose.metrics.evaluate import quick_metrics

    pipeline = Pipeline(
        samples,
        input_shape=shape,
        preprocessing=config.preprocessing,
        batch_size=BATCH,
        workers=config.general.num_workers,
    )
    batches = list(pipeline.epoch(0))
    matrices = np.concatenate([batch.matrices for batch in batches])

    def score(poses: Sequence[np.ndarray]) -> float:
        found = [
            unmap_poses(np.asarray(pose)[None], matrix[None])[0] for pose, matrix in zip(poses, matrices, strict=True)
        ]
        return 100 * (quick_metrics(samples, found, skeleton)["mean_oks"] or 0.0)

    return [image for batch in batches for image in batch.images], score


def write_inspection(run: Run, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Write the table into the run folder, as JSON and CSV; returns what results.json says of it."""
    run.write_json("quantization_inspection.json", rows)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=["rank", "node", "op_type", "weights", "sqnr_db"])
    writer.writeheader()
    for rank, row in enumerate(rows, start=1):
        writer.writerow({"rank": rank, **row})
    run.write_text("quantization_inspection.csv", text.getvalue())
    return {"file": "quantization_inspection.csv", "layers": len(rows), "worst": rows[:10]}

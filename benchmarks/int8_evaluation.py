"""How much of an int8 evaluation is not LiteRT's own inference: decoding, warping, poses, metrics.

    python benchmarks/int8_evaluation.py [--shared ../shared] [--images 256]

Runs ST's MoveNet heat maps (192, int8) with one thread over Leeds Sports Pose images exactly as the step `evaluate`
does: pipeline, runner, codec, poses back in the image, metrics. Asked for: at most 15 % around LiteRT's own invoke.
The first pass decodes JPEGs; the second one has them in the cache, as in a chain that evaluates a second model.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from stm32pose.codecs.poses import poses_in_image
from stm32pose.codecs.select import make_codec
from stm32pose.config.data_sections import Preprocessing
from stm32pose.data.cache import cache_side, open_cache
from stm32pose.data.pipeline import Pipeline
from stm32pose.data.readers import read_samples
from stm32pose.inference.ahead import predict_ahead
from stm32pose.inference.runner import load_runner
from stm32pose.metrics.evaluate import evaluate_poses
from stm32pose.skeletons.skeleton import load_skeleton


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parent.parent
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("STM32POSE_SHARED", here.parent / "shared")))
    parser.add_argument("--images", type=int, default=256)
    arguments = parser.parse_args()
    skeleton = load_skeleton("person13")
    data = arguments.shared / "data/lspet_1200"
    samples = read_samples(data / "images", skeleton, annotations=data / "keypoints_coco.json")[: arguments.images]
    preprocessing = Preprocessing()
    rescaling = (preprocessing.rescaling.scale, preprocessing.rescaling.offset)
    model = arguments.shared / "models/pose/st_movenet_lightning_heatmaps_192_int8_pc.tflite"
    runner = load_runner(model, rescaling=rescaling, threads=1)
    codec = make_codec(
        "heatmaps_spe",
        input_shape=runner.input_shape,
        output_shapes=[output.shape for output in runner.outputs],
        keypoints=skeleton.count,
    )
    cache = open_cache(samples, side=cache_side(runner.input_shape[:2]), mode="memory")
    pipeline = Pipeline(
        samples, input_shape=runner.input_shape, preprocessing=preprocessing, cache=cache, batch_size=16
    )
    for name in ("JPEG", "cached"):
        started, before = time.perf_counter(), runner.invoke_seconds
        poses = []
        for batch, outputs in predict_ahead(runner, pipeline.epoch(0), lambda batch: batch.images):
            found = codec.decode_poses(outputs)
            poses.extend(poses_in_image(pose, matrix) for pose, matrix in zip(found, batch.matrices, strict=True))
        measuring = time.perf_counter()
        keypoints, scores = [pose.keypoints for pose in poses], [pose.scores for pose in poses]
        results = evaluate_poses(samples, keypoints, skeleton, scores, several=codec.several)
        metrics = time.perf_counter() - measuring
        wall, invoke = time.perf_counter() - started, runner.invoke_seconds - before
        print(
            f"{name:6} {len(samples)} images: wall {1000 * wall / len(samples):6.2f} ms/image, "
            f"invoke {1000 * invoke / len(samples):6.2f}, around it {wall / invoke - 1:.1%} (asked for: at most 15 %), "
            f"of that metrics {metrics / invoke:.1%}; "
            f"mean OKS {results['metrics']['mean_oks']:.3f}, PCK@0.2 {results['metrics']['pck@0.2']:.3f}"
        )


if __name__ == "__main__":
    main()

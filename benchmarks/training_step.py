"""Milliseconds an image of a training step: plain Keras against `fast_training`, in the same process.

    python benchmarks/training_step.py [--alpha 1.0 --side 192 --batch 32 --repetitions 7 --stages]

The two alternate step by step, so that other load on the machine meets both; medians, and the ratio of the medians. CPU
time is the sum over all threads: on a busy machine it is the steadier figure. `--stages` adds the stages in between.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from contextlib import ExitStack

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

STAGES = {"plain": 0, "fused batch norm": 1, "+ merged padding": 2, "+ fused Adam": 3}


def main() -> None:
    """Reads the arguments, runs, prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--keypoints", type=int, default=17)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--stages", action="store_true", help="also what each part brings")
    arguments = parser.parse_args()
    names = list(STAGES) if arguments.stages else ["plain", "+ fused Adam"]
    wall, cpu = measure(names, arguments)
    print(f"alpha {arguments.alpha}, {arguments.side}x{arguments.side}, batch {arguments.batch}, ms/image")
    print(f"{'':20s}{'wall':>8s}{'ratio':>8s}{'CPU':>8s}{'ratio':>8s}")
    for name in names:
        row = [statistics.median(times[name]) for times in (wall, cpu)]
        plain = [statistics.median(times["plain"]) for times in (wall, cpu)]
        label = name if arguments.stages or name == "plain" else "fast_training"
        print(f"{label:20s}{row[0]:8.2f}{row[0] / plain[0]:8.3f}{row[1]:8.2f}{row[1] / plain[1]:8.3f}")


def measure(names: list[str], arguments: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Wall and CPU milliseconds an image of each repetition, by name."""
    import keras
    import tensorflow as tf

    from stm32pose.models.fast_training import fused_adam, merged_padding
    from stm32pose.models.fused_batch_norm import fused_batch_norm
    from stm32pose.models.movenet_heatmaps import st_movenet_lightning_heatmaps

    side = arguments.side
    images = tf.random.uniform((arguments.batch, side, side, 3))
    maps = tf.random.uniform((arguments.batch, side // 4, side // 4, arguments.keypoints))
    wall: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    models = {}
    with ExitStack() as stack:
        for name in names:
            model = st_movenet_lightning_heatmaps((side, side, 3), arguments.keypoints, alpha=arguments.alpha)
            model.compile(keras.optimizers.Adam(1e-3), loss="mse", jit_compile=False)  # pyright: ignore[reportArgumentType]  (Keras types it as str)
            for part, switch in enumerate((fused_batch_norm, merged_padding), start=1):
                if STAGES[name] >= part:
                    stack.enter_context(switch(model))
            if STAGES[name] >= 3:
                stack.enter_context(fused_adam(model.optimizer))
            model.train_on_batch(images, maps)
            models[name] = model
        for _ in range(arguments.repetitions + 1):
            for name, model in models.items():
                start = time.perf_counter(), time.process_time()
                model.train_on_batch(images, maps)
                wall[name].append((time.perf_counter() - start[0]) / arguments.batch * 1e3)
                cpu[name].append((time.process_time() - start[1]) / arguments.batch * 1e3)
    return {name: times[1:] for name, times in wall.items()}, {name: times[1:] for name, times in cpu.items()}


if __name__ == "__main__":
    main()

"""Images per second of the input pipeline: 640x480 JPEGs to 192x192 with flip, rotation, zoom and colour.

    python benchmarks/pipeline.py [--images 300] [--workers 2] [--epochs 3] [--tensorflow]
    python benchmarks/pipeline.py --full [--rounds 9]

Beside our pipeline, in the same run: the same work done one image after the other (decode, resize, one operation at a
time, as ST's loader goes about it), and the bare OpenCV calls (decode only; warp only), which tell the machine's share.
With `--tensorflow` the sequential work is done by tf.data as well. About half a minute, and 10 s more for TensorFlow.
With `--full` the chain of a whole training (all of docs/augmentation.md's recommended one) runs beside that short chain
from the same cache, round after round in turn, and the ratio of their medians is printed: about a quarter of a minute.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from stm32pose.config.data_sections import Preprocessing
from stm32pose.data.cache import cache_side, open_cache
from stm32pose.data.images import read_image
from stm32pose.data.pipeline import Pipeline
from stm32pose.data.sample import Sample
from stm32pose.skeletons.skeleton import load_skeleton
from stm32pose.transforms.chain import build_chain

SIZE = (192, 192)
KEYPOINTS = 17
AUGMENTATION = {
    "random_flip": {"mode": "horizontal"},
    "random_rotation": {"factor": 0.08},
    "random_zoom": {"width_factor": 0.2},
    "random_contrast": {"factor": 0.3},
    "random_brightness": {"factor": 0.1},
}
FULL = {
    "random_flip": {"mode": "horizontal"},
    "random_half_body": {"change_rate": 0.3},
    "random_rotation": {"factor": 0.08},
    "random_zoom": {"width_factor": 0.2},
    "random_translation": {"width_factor": 0.1, "height_factor": 0.1},
    "random_shear": {"factor": 0.02, "fill_mode": "constant"},
    "random_contrast": {"factor": 0.3},
    "random_brightness": {"factor": 0.1},
    "random_gamma": {"gamma": [0.7, 1.4], "change_rate": 0.3},
    "random_hsv": {"hue_delta": 0.03, "saturation_delta": 0.15, "value_delta": 0.1, "change_rate": 0.3},
    "random_gaussian_noise": {"stddev": [0.0, 0.03], "change_rate": 0.3},
    "random_rectangle_erasing": {"area": [0.02, 0.15], "change_rate": 0.3},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3, help="epochs from the cache; the best is reported")
    parser.add_argument("--tensorflow", action="store_true", help="measure a sequential tf.data loader as well")
    parser.add_argument("--full", action="store_true", help="the full training chain beside the short one, and no more")
    parser.add_argument("--rounds", type=int, default=9, help="with --full: epochs of each chain")
    options = parser.parse_args()
    if options.full:
        with tempfile.TemporaryDirectory() as folder:
            compare_chains(make_images(Path(folder), options.images), options.workers, options.rounds)
        return
    with tempfile.TemporaryDirectory() as folder:
        samples = make_images(Path(folder), options.images)
        kilobytes = sum(sample.image.stat().st_size for sample in samples) / len(samples) / 1000
        print(f"{len(samples)} JPEGs of 640x480, {kilobytes:.0f} kB each; {options.workers} workers")
        figures = measure_pipeline(samples, options.workers, options.epochs)
        figures |= measure_bare(samples, options.workers)
        figures["one by one (OpenCV)"] = rate(lambda: one_by_one(samples), len(samples))
        if options.tensorflow:
            figures["one by one (tf.data)"] = rate_tensorflow(samples)
    for name, images_per_second in figures.items():
        print(f"{name:38s} {images_per_second:9.0f} images/s")
    warp_only, decode_only = figures["bare warp, threads"], figures["bare decode, threads"]
    print(f"cached epoch / bare warp               {figures['cached epoch'] / warp_only:9.2f}")
    print(f"first epoch / bare decode              {figures['first epoch'] / decode_only:9.2f}")
    print(f"cached epoch / one by one              {figures['cached epoch'] / figures['one by one (OpenCV)']:9.2f}")


def make_images(folder: Path, count: int) -> list[Sample]:
    """Textured JPEGs of about the size of photographs (60 to 90 kB), with a labelled person each."""
    rng = np.random.default_rng(0)
    samples = []
    for index in range(count):
        image = np.zeros((480, 640, 3), np.float32)
        for cells, strength in ((6, 90), (24, 45), (120, 22)):
            noise = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
            image += cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)
        image = np.clip(image + 128 + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
        path = folder / f"{index:05d}.jpg"
        path.write_bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
        # As tall as most of the picture, COCO's order: the first eleven above the waist.
        low = np.where(np.arange(KEYPOINTS)[:, None] < 11, (240, 60), (260, 240))
        places = low + rng.random((1, KEYPOINTS, 2)) * (160, 180)
        keypoints = np.concatenate([places, np.full((1, KEYPOINTS, 1), 2)], axis=2)
        box = np.array([[220, 40, 220, 400]], np.float32)
        area = np.array([50000], np.float32)
        samples.append(Sample(path, (480, 640), keypoints.astype(np.float32), box, area, np.zeros(1, bool), index))
    return samples


def measure_pipeline(samples: list[Sample], workers: int, epochs: int) -> dict[str, float]:
    """Our pipeline: first epoch, cached epochs, a cache on disk, and no cache."""
    chain = build_chain(AUGMENTATION, input_shape=(*SIZE, 3))
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for mode, first, later in (
            ("memory", "first epoch", "cached epoch"),
            ("disk", "first epoch, disk cache", "cached epoch, disk cache"),
            ("none", "no cache", None),
        ):
            with open_cache(samples, side=cache_side(SIZE), mode=mode, path=Path(folder)) as cache:
                pipeline = Pipeline(
                    samples,
                    input_shape=(*SIZE, 3),
                    preprocessing=Preprocessing(),
                    chain=chain,
                    flip=np.arange(KEYPOINTS),
                    cache=cache,
                    shuffle=True,
                    workers=workers,
                )
                if mode == "memory":
                    print(f"cached images take {cache.bytes / len(samples) / 1000:.0f} kB each")
                figures[first] = rate(lambda pipeline=pipeline: consume(pipeline, 0), len(samples))
                if later:
                    figures[later] = max(
                        rate(lambda pipeline=pipeline, n=n: consume(pipeline, n), len(samples))
                        for n in range(1, epochs + 1)
                    )
    return figures


def compare_chains(samples: list[Sample], workers: int, rounds: int) -> None:
    """Cached epochs of the short and the full chain in turn, so that a busy machine slows both."""
    skeleton = load_skeleton("coco17")
    with open_cache(samples, side=cache_side(SIZE), mode="memory") as cache:
        pipelines = {
            name: Pipeline(
                samples,
                input_shape=(*SIZE, 3),
                preprocessing=Preprocessing(),
                chain=build_chain(augmentation, input_shape=(*SIZE, 3), skeleton=skeleton),
                flip=skeleton.flip,
                cache=cache,
                shuffle=True,
                workers=workers,
            )
            for name, augmentation in (("short", AUGMENTATION), ("full", FULL))
        }
        rates: dict[str, list[float]] = {name: [] for name in pipelines}
        for n in range(rounds + 1):
            for name in ("short", "full") if n % 2 else ("full", "short"):
                figure = rate(lambda name=name, n=n: consume(pipelines[name], n), len(samples))
                if n:  # the first epoch fills the cache
                    rates[name].append(figure)
    for name, figures in rates.items():
        print(f"{name:6s} chain, cached epoch: median {np.median(figures):7.0f}, best {max(figures):7.0f} images/s")
    paired = np.array(rates["full"]) / np.array(rates["short"])
    print(f"full / short                 median {np.median(paired):7.2f}, best over best {best_ratio(rates):.2f}")


def best_ratio(rates: dict[str, list[float]]) -> float:
    return max(rates["full"]) / max(rates["short"])


def measure_bare(samples: list[Sample], workers: int) -> dict[str, float]:
    """OpenCV alone: what is left when everything around it costs nothing."""
    cv2.setNumThreads(0)
    small = [cv2.resize(read_image(sample.image), (320, 240)) for sample in samples[:64]]
    matrix = np.array([[0.55, 0.1, 3], [-0.1, 0.75, 4]])
    target = np.empty((64, *SIZE, 3), np.uint8)

    def warp(index: int) -> None:
        row = index % len(small)
        cv2.warpAffine(small[row], matrix, SIZE[::-1], dst=target[row], flags=cv2.INTER_LINEAR)

    def decode(index: int) -> None:
        cv2.imdecode(np.frombuffer(samples[index].image.read_bytes(), np.uint8), cv2.IMREAD_COLOR)

    figures = {}
    with ThreadPoolExecutor(workers) as executor:
        for name, work in (("bare decode, threads", decode), ("bare warp, threads", warp)):
            chunks = [range(low, min(low + 8, len(samples))) for low in range(0, len(samples), 8)]

            def run(work: Callable[[int], None] = work, chunks: list[range] = chunks) -> None:
                list(executor.map(lambda chunk: [work(index) for index in chunk], chunks))

            figures[name] = rate(run, len(samples))
    return figures


def one_by_one(samples: list[Sample]) -> None:
    """Decode, resize, rescale, flip, rotate, zoom, contrast, brightness: one image and one operation at a time."""
    rng = np.random.default_rng(0)
    height, width = SIZE
    for sample in samples:
        image = cv2.resize(read_image(sample.image), (width, height), interpolation=cv2.INTER_NEAREST)
        pixels = image.astype(np.float32) / 127.5 - 1
        if rng.random() < 0.5:
            pixels = cv2.flip(pixels, 1)
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-29, 29), 1)
        pixels = cv2.warpAffine(pixels, turn, (width, height))
        zoom = cv2.getRotationMatrix2D((width / 2, height / 2), 0, 1 / (1 + rng.uniform(-0.2, 0.2)))
        pixels = cv2.warpAffine(pixels, zoom, (width, height))
        mean = pixels.mean(axis=(0, 1))
        pixels = np.clip((pixels - mean) * rng.uniform(0.7, 1.3) + mean, -1, 1)
        np.clip(pixels + rng.uniform(-0.2, 0.2), -1, 1)


def rate_tensorflow(samples: list[Sample]) -> float:
    """The same by tf.data, mapped one after the other, each operation a projective transform of its own."""
    import tensorflow as tf

    def transform(pixels, row):
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=pixels[None],
            transforms=row[None],
            output_shape=SIZE,
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
        )[0]

    def load(path):
        image = tf.image.resize(tf.io.decode_jpeg(tf.io.read_file(path), channels=3), SIZE, method="nearest")
        pixels = tf.cast(image, tf.float32) / 127.5 - 1
        sign = tf.where(tf.random.uniform([]) < 0.5, -1.0, 1.0)
        zero, one = tf.constant(0.0), tf.constant(1.0)
        pixels = transform(pixels, tf.stack([sign, zero, (1 - sign) * 95.5, zero, one, zero, zero, zero]))
        angle = tf.random.uniform([], -0.5, 0.5)
        cos, sin = tf.cos(angle), tf.sin(angle)
        move_x, move_y = 95.5 * (1 - cos + sin), 95.5 * (1 - cos - sin)
        pixels = transform(pixels, tf.stack([cos, -sin, move_x, sin, cos, move_y, zero, zero]))
        zoom = tf.random.uniform([], 0.8, 1.2)
        move = 95.5 * (1 - zoom)
        pixels = transform(pixels, tf.stack([zoom, zero, move, zero, zoom, move, zero, zero]))
        mean = tf.reduce_mean(pixels, axis=(0, 1))
        pixels = tf.clip_by_value((pixels - mean) * tf.random.uniform([], 0.7, 1.3) + mean, -1, 1)
        return tf.clip_by_value(pixels + tf.random.uniform([], -0.2, 0.2), -1, 1)

    data = tf.data.Dataset.from_tensor_slices([str(sample.image) for sample in samples]).map(load).batch(32)
    for _ in data.take(1):
        pass

    def consume_all() -> None:
        for _ in data.prefetch(tf.data.AUTOTUNE):
            pass

    return rate(consume_all, len(samples))


def consume(pipeline: Pipeline, epoch: int) -> None:
    for _ in pipeline.epoch(epoch):
        pass


def rate(work: Callable[[], None], images: int) -> float:
    started = time.perf_counter()
    work()
    return images / (time.perf_counter() - started)


if __name__ == "__main__":
    main()

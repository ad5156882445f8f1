"""Accuracy and speed of the heat-map codec: `python benchmarks/decode.py` (no TensorFlow, about 20 seconds).

Mean distance between encoded and decoded point in input pixels (192x192 input, 48x48 maps: a cell is 4 pixels), for
maps as int8 networks give them (256 levels, peaks of 0.3 to 1) with more and more noise, then milliseconds a batch.
"""

from __future__ import annotations

import time

import numpy as np

from stm32pose.codecs.heatmap import HeatmapCodec

DECODINGS = ("argmax", "quarter", "dark")
POINTS = 1000


def damage(maps: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Float maps of a perfect network -> what a real one might give."""
    if kind == "float":
        return maps
    if kind == "saturated":
        return np.round(np.clip(1.3 * maps, 0, 1) * 255).astype(np.float32) / 255
    noise = float(kind.removeprefix("noise ")) if kind != "int8" else 0.0
    maps = maps * rng.uniform(0.3, 1, (len(maps), 1, 1, 1)) + rng.normal(0, noise, maps.shape)
    return np.round(np.clip(maps, 0, 1) * 255).astype(np.float32) / 255


def accuracy(sigma: float, margin: float) -> None:
    """Print the table of one blob size; `margin`: least distance from the border in pixels."""
    rng = np.random.default_rng(0)
    keypoints = np.full((POINTS, 1, 1, 3), 2, np.float32)
    keypoints[..., :2] = rng.uniform(margin, 192 - margin, (POINTS, 1, 1, 2))
    perfect, _ = HeatmapCodec((192, 192), (48, 48), 1, sigma=sigma).encode(keypoints)
    kinds = ("float", "int8", "noise 0.01", "noise 0.02", "noise 0.05", "noise 0.1", "saturated")
    print(f"\nsigma {sigma} cells, {margin:.0f} px or more from the border" + "".join(f"{kind:>12}" for kind in kinds))
    for decode in DECODINGS:
        codec = HeatmapCodec((192, 192), (48, 48), 1, sigma=sigma, decode=decode)
        errors = []
        for kind in kinds:
            poses = codec.decode([damage(perfect, kind, np.random.default_rng(1))])
            errors.append(np.linalg.norm(poses[:, 0, 0, :2] - keypoints[:, 0, 0, :2], axis=-1).mean())
        print(f"{decode:<46}" + "".join(f"{error:12.3f}" for error in errors))


def milliseconds(function, repeats: int = 20) -> float:
    """Median time of a call."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times[1:]))


def speed() -> None:
    """Print the time of a batch of 64 images with 17 keypoints."""
    keypoints = np.full((64, 1, 17, 3), 2, np.float32)
    keypoints[..., :2] = np.random.default_rng(0).uniform(0, 192, (64, 1, 17, 2))
    print("\nmilliseconds for 64 maps of 48x48x17")
    for activation in ("sigmoid", "softmax"):
        codec = HeatmapCodec((192, 192), (48, 48), 17, activation=activation)
        maps, _ = codec.encode(keypoints)
        print(f"encode {activation:<12}{milliseconds(lambda: codec.encode(keypoints)):8.1f}")  # noqa: B023
        for decode in DECODINGS:
            codec = HeatmapCodec((192, 192), (48, 48), 17, activation=activation, decode=decode)
            print(f"decode {activation} {decode:<8}{milliseconds(lambda: codec.decode([maps])):8.1f}")  # noqa: B023


if __name__ == "__main__":
    for blob in (1.0, 1.5, 2.0, 3.0):
        accuracy(blob, 20.0)
    accuracy(1.5, 0.0)
    speed()

"""How far an exported file is from the float model it was made from, on images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.quantization.calibration import rescale

if TYPE_CHECKING:
    import keras

Predict = Callable[[np.ndarray], list[np.ndarray]]
"""uint8 images [B, H, W, C] -> float32 outputs [B, ...], dequantized, maps channels last."""
Decode = Callable[[list[np.ndarray]], list[np.ndarray]]
"""Outputs -> one [M, K, 3] an image, (x, y, score) in input pixels."""

SEEN = 0.1
"""Keypoints that the float model is less sure of say nothing about displacement: their place is chance."""
CHUNK = 8


@dataclass(frozen=True)
class Reference:
    """The float model, how its outputs become poses (None: not known), and what it is called in reports."""

    predict: Predict
    decode: Decode | None = None
    name: str = "float"


def keras_predict(model: keras.Model, rescaling: tuple[float, float]) -> Predict:
    """A Keras model in memory as `Predict`."""

    def predict(images: np.ndarray) -> list[np.ndarray]:
        values = model(rescale(images, rescaling), training=False)
        return [np.asarray(value) for value in (values if isinstance(values, list | tuple) else [values])]

    return predict


def file_parity(
    reference: Reference, path: Path, images: Sequence[np.ndarray], rescaling: tuple[float, float]
) -> dict[str, Any]:
    """`compare` of a model file; it is read back from the disk and run as an evaluation would."""
    from stm32pose.inference.runner import load_runner

    runner = load_runner(path, rescaling=rescaling)
    return compare(reference, runner.predict, images, [output.name for output in runner.outputs])


def compare(
    reference: Reference, exported: Predict, images: Sequence[np.ndarray], names: Sequence[str] = ()
) -> dict[str, Any]:
    """Differences on `images`, uint8 [H, W, C] each; JSON-able.

    Returns:
        "images", "against" (the reference's name), "outputs": one entry an output with "output" (its name),
        "max_error", "mean_error" (absolute), "range" (span of the float output), "sqnr_db" (signal to error, in
        decibels; None where nothing differs); "keypoints": None, or "counted", "mean_px", "p95_px", "max_px": how far
        keypoints move, in input pixels, those that the float model gives a score of at least `SEEN`.
    """
    batch = np.stack(list(images))
    pieces = [batch[start : start + CHUNK] for start in range(0, len(batch), CHUNK)]
    wanted = _joined([reference.predict(piece) for piece in pieces])
    got = _joined([exported(piece) for piece in pieces])
    entries = []
    for index, (values, floats) in enumerate(zip(got, wanted, strict=True)):
        error = np.abs(values.reshape(floats.shape) - floats)
        entries.append(
            {
                "output": names[index] if index < len(names) else str(index),
                "max_error": float(error.max()),
                "mean_error": float(error.mean()),
                "range": float(floats.max() - floats.min()),
                "sqnr_db": sqnr_db(values, floats),
            }
        )
    keypoints = None
    if reference.decode is not None:
        keypoints = displacement(reference.decode(wanted), reference.decode(_like(got, wanted)))
    return {"images": len(batch), "against": reference.name, "outputs": entries, "keypoints": keypoints}


def sqnr_db(values: np.ndarray, reference: np.ndarray) -> float | None:
    """10 log10 of the power of `reference` over that of the difference; None where there is none."""
    reference = reference.astype(np.float64)
    noise = float(np.square(values.reshape(reference.shape) - reference).sum())
    power = float(np.square(reference).sum())
    if noise == 0:
        return None
    return float(10 * np.log10(max(power, np.finfo(np.float64).tiny) / noise))


def displacement(reference: Sequence[np.ndarray], poses: Sequence[np.ndarray]) -> dict[str, Any]:
    """How far keypoints move between two lists of poses of the same images; see `compare`.

    Every pose of the reference is compared with the nearest one of the other list. A pose that has no partner counts
    under "lost".
    """
    lengths: list[np.ndarray] = []
    lost = 0
    for wanted, got in zip(reference, poses, strict=True):
        for pose in np.asarray(wanted, np.float64):
            seen = pose[:, 2] >= SEEN
            if not seen.any():
                continue
            if not len(got):
                lost += 1
                continue
            gaps = np.linalg.norm(np.asarray(got, np.float64)[:, seen, :2] - pose[seen, :2], axis=-1)
            lengths.append(gaps[int(gaps.mean(axis=1).argmin())])
    found = np.concatenate(lengths) if lengths else np.zeros(0)
    figures = {"mean_px": None, "p95_px": None, "max_px": None}
    if len(found):
        figures = {
            "mean_px": float(found.mean()),
            "p95_px": float(np.percentile(found, 95)),
            "max_px": float(found.max()),
        }
    return {"counted": len(found), "lost": lost, **figures}


def parity_text(parity: dict[str, Any]) -> str:
    """One line for the log."""
    worst = max(parity["outputs"], key=lambda entry: entry["max_error"])
    sqnr = [entry["sqnr_db"] for entry in parity["outputs"] if entry["sqnr_db"] is not None]
    parts = [f"differs by at most {worst['max_error']:.4g} of a range of {worst['range']:.4g}"]
    parts.append(f"SQNR {min(sqnr):.1f} dB" if sqnr else "no difference")
    keypoints = parity["keypoints"]
    if keypoints and keypoints["mean_px"] is not None:
        parts.append(f"keypoints move by {keypoints['mean_px']:.2f} px on average")
    return f"{', '.join(parts)} ({parity['images']} images, against {parity['against']})"


def _joined(pieces: list[list[np.ndarray]]) -> list[np.ndarray]:
    return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]


def _like(values: list[np.ndarray], wanted: list[np.ndarray]) -> list[np.ndarray]:
    return [value.reshape(reference.shape) for value, reference in zip(values, wanted, strict=True)]

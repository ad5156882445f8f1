"""Samples to batches: threads decode, warp and recolour; labels follow the same matrices.

What comes out depends on the samples, the seed, the epoch and the position alone, not on the number of threads: all
random numbers of an epoch are drawn at its start, one row a sample.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from stm32pose.config.data_sections import Preprocessing
from stm32pose.data.cache import ImageCache, cache_side, open_cache
from stm32pose.data.labels import Labels
from stm32pose.data.sample import Sample
from stm32pose.errors import ConfigError
from stm32pose.transforms.chain import Chain
from stm32pose.transforms.colour import recolour
from stm32pose.transforms.draft import Draft, Join, Layer
from stm32pose.transforms.geometry import (
    Size,
    fit_matrix,
    interpolation_note,
    invert,
    transform_points,
    translation,
    warp,
)
from stm32pose.transforms.labels import MovingLabels

CHUNK = 8  # samples a task: small enough to share a batch among threads, large enough to hide the cost of a task
MAX_WORKERS = 16
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Batch:
    """Images as the network's input sees them, before rescaling, and their labels.

    Attributes:
        images: uint8 [B, H, W, C], channels in the order of `preprocessing.color_mode`.
        keypoints_input: float32 [B, N, K, 3], (x, y, visibility) in input pixels; (0, 0, 0) where not labelled or
            outside the input. N is the largest count of instances in the batch; rows of zeros fill up.
        boxes_input: float32 [B, N, 4], (left, top, width, height), cut at the input's edge.
        areas_input: float32 [B, N], square input pixels.
        matrices: float64 [B, 3, 3], original image to input.
        indices: int64 [B], which samples these are.
    """

    images: np.ndarray
    keypoints_input: np.ndarray
    boxes_input: np.ndarray
    areas_input: np.ndarray
    matrices: np.ndarray
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


class Pipeline:
    """Batches of samples, epoch after epoch.

    Args:
        samples: what to read. None is lost: the last batch is smaller unless `drop_last`.
        input_shape: (H, W, C) of the network's input.
        preprocessing: fit, interpolation and colour mode; rescaling is left to who takes the batch.
        chain: augmentations; None or an empty chain for evaluation.
        flip: int64 [K], the keypoint that takes each one's place in a mirrored image (`Skeleton.flip`).
        cache: decoded images of these samples; None decodes each time, to the same pixels.
        batch_size, shuffle, drop_last: as their names say; the order depends on seed and epoch.
        seed: of order and augmentation.
        workers: threads; None for the processors at hand, at most 16.

    Raises:
        ConfigError: the input's channels and the colour mode disagree.
        ValueError: the chain mirrors and `flip` is absent, or `cache` is of other samples.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        input_shape: Sequence[int],
        preprocessing: Preprocessing,
        chain: Chain | None = None,
        flip: np.ndarray | None = None,
        cache: ImageCache | None = None,
        batch_size: int = 32,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        workers: int | None = None,
    ):
        height, width, channels = (int(side) for side in input_shape)
        wanted = 1 if preprocessing.color_mode == "grayscale" else 3
        if channels != wanted:
            raise ConfigError(
                f"preprocessing.color_mode: got {preprocessing.color_mode}, which gives {wanted} channel(s), but the "
                f"network's input has {channels}; allowed {'grayscale' if channels == 1 else 'rgb, bgr'}"
            )
        if chain is not None and chain.mirrors and flip is None:
            raise ValueError("the chain mirrors images: `flip` of the skeleton is needed")
        if cache is not None and len(cache) != len(samples):
            raise ValueError(f"a cache of {len(cache)} images for {len(samples)} samples")
        self.samples = list(samples)
        self.size: Size = (height, width)
        self.channels = channels
        self.batch_size = batch_size
        self.workers = workers or min(available_processors(), MAX_WORKERS)
        self._preprocessing = preprocessing
        self._chain, self._flip, self._seed = chain, flip, seed
        self._shuffle, self._drop_last = shuffle, drop_last
        self._labels = Labels(self.samples)
        largest = max([self.size, *(chain.sizes if chain else ())], key=lambda size: size[0] * size[1])
        self._cache = cache if cache is not None else open_cache(self.samples, side=cache_side(largest), mode="none")
        self._from_cached = invert(self._cache.matrices)
        self._fits: dict[Size, np.ndarray] = {}
        resizing = preprocessing.resizing
        self._interpolation = (chain.interpolation if chain else None) or resizing.interpolation
        note = interpolation_note(self._interpolation)
        if note:
            _log.info("%s", note)
        self._fill_mode, self._fill = self._outside()

    def __len__(self) -> int:
        """Batches an epoch."""
        whole, rest = divmod(len(self.samples), self.batch_size)
        return whole + bool(rest and not self._drop_last)

    def epoch(self, n: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch `n` from position `start` on. Closing the iterator stops the threads.

        OpenCV's own threads are switched off in this process (they and ours would wait for each other).

        Raises:
            UserError: an image cannot be read; the text names its file.
        """
        cv2.setNumThreads(0)
        order = np.arange(len(self.samples))
        if self._shuffle:
            self._generator(n, 0).shuffle(order)
        uniform = None
        if self._chain and self._chain.draws:
            uniform = self._generator(n, 1).random((len(order), self._chain.draws))
        tasks = -(-min(self.batch_size, max(1, len(order))) // CHUNK)
        depth = min(max(2, -(-2 * self.workers // tasks)), 8)
        pending: deque[tuple[Batch, list[Future[None]]]] = deque()
        executor = ThreadPoolExecutor(self.workers, thread_name_prefix="stm32pose-pipeline")
        try:
            for position in range(start, len(self)):
                indices = order[position * self.batch_size : (position + 1) * self.batch_size]
                drawn = None if uniform is None else uniform[indices]
                pending.append(self._begin(executor, indices, drawn, n * len(self) + position))
                if len(pending) > depth:
                    yield _finished(*pending.popleft())
            while pending:
                yield _finished(*pending.popleft())
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def _begin(
        self, executor: ThreadPoolExecutor, indices: np.ndarray, uniform: np.ndarray | None, number: int
    ) -> tuple[Batch, list[Future[None]]]:
        """Labels and matrices of a batch, and the tasks that fill in its images."""
        chain = self._chain
        size = (chain.input_size(number) if chain else None) or self.size
        fits = self._fit(size)
        labels = self._labels.of(indices, fits[indices], self._flip)
        if chain and uniform is not None:
            layers, matrices = chain.draw(uniform, labels, size, self._picker(indices, fits))
        else:
            layers, matrices = Draft(labels, size).finish()
        images = np.empty((len(indices), *size, self.channels), dtype=np.uint8)
        from_cached = np.stack([drawn[0].matrix for drawn in layers]) @ self._from_cached[indices]
        futures = [
            executor.submit(
                self._draw, images, indices, from_cached, layers, range(low, min(low + CHUNK, len(indices)))
            )
            for low in range(0, len(indices), CHUNK)
        ]
        return Batch(images, *labels.padded(), matrices, indices), futures

    def _picker(self, indices: np.ndarray, fits: np.ndarray):
        """For `Draft`: other samples than those of the batch's rows, each as likely as any."""
        most = len(self.samples)

        def pick(rows: np.ndarray, uniform: np.ndarray) -> tuple[np.ndarray, MovingLabels]:
            beside = (indices[rows] + 1 + (uniform * max(1, most - 1)).astype(np.int64)) % most
            return beside, self._labels.of(beside, fits[beside], self._flip)

        return pick

    def _draw(
        self,
        images: np.ndarray,
        indices: np.ndarray,
        from_cached: np.ndarray,
        layers: list[list[Layer]],
        rows: range,
    ) -> None:
        """Fill some rows of `images`; `from_cached` [B, 3, 3] are the matrices of the first layers."""
        for row in rows:
            index, target = int(indices[row]), images[row]
            first, *others = layers[row]
            self._warp(index, from_cached[row], target)
            self._finish_layer(target, first)
            for layer in others:
                drawn = target.copy()
                warp(
                    drawn if self.channels > 1 else drawn[..., 0],
                    layer.matrix,
                    target.shape[:2],
                    self._interpolation,
                    self._fill,
                    fill_mode=self._shown_outside(index),
                    dst=target if self.channels > 1 else target[..., 0],
                )
                self._finish_layer(target, layer)
            if self._preprocessing.color_mode == "bgr":
                cv2.cvtColor(target, cv2.COLOR_RGB2BGR, dst=target)

    def _finish_layer(self, target: np.ndarray, layer: Layer) -> None:
        if layer.steps:
            recolour(target, layer.steps)
        if layer.join:
            self._draw_beside(target, layer.join)

    def _draw_beside(self, target: np.ndarray, join: Join) -> None:
        """Draw another sample over a part of the input."""
        left, top, right, bottom = join.window
        part = np.empty((bottom - top, right - left, self.channels), dtype=np.uint8)
        matrix = translation(-left, -top) @ join.matrix @ self._from_cached[join.sample]
        self._warp(join.sample, matrix, part)
        target[top:bottom, left:right] = part

    def _warp(self, index: int, matrix: np.ndarray, target: np.ndarray) -> None:
        """Draw a cached image, uint8 [h, w, C], RGB or grey."""
        image, size = self._cache.get(index)[0], (target.shape[0], target.shape[1])
        if self.channels == 1:
            image, target = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), target[..., 0]
        fill_mode = self._shown_outside(index)
        warp(image, matrix, size, self._interpolation, self._fill, fill_mode=fill_mode, dst=target)

    def _shown_outside(self, index: int) -> str:
        """How the outside of a sample's image looks."""
        return self._fill_mode or ("nearest" if self.samples[index].region is None else "constant")

    def _outside(self) -> tuple[str | None, float]:
        """How the outside of the image looks; None: no outside is seen, edge pixels count fully where images grow."""
        asked = self._chain.fill_mode if self._chain else None
        if self._preprocessing.resizing.aspect_ratio == "padding":
            if self._chain and self._chain.fill_written:
                _log.info("resizing.aspect_ratio padding: the bars stay black, fill_mode and fill_value have no effect")
            return "constant", 0.0
        return asked, self._chain.fill if self._chain and asked else 0.0

    def _fit(self, size: Size) -> np.ndarray:
        """Matrices image to input of all samples, float64 [n, 3, 3]."""
        if size not in self._fits:
            ratio = self._preprocessing.resizing.aspect_ratio
            fits = [fit_matrix(sample.size, size, ratio, sample.region) for sample in self.samples]
            self._fits[size] = np.stack(fits) if fits else np.zeros((0, 3, 3))
        return self._fits[size]

    def _generator(self, epoch: int, purpose: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([abs(self._seed), epoch, purpose])))


def unmap_poses(poses_input: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Poses back in the original image.

    Args:
        poses_input: [B, M, K, 3], (x, y, score) in input pixels.
        matrices: float64 [B, 3, 3], original image to input, as `Batch` has them.

    Returns:
        float32 [B, M, K, 3], (x, y, score) in image pixels.
    """
    points = transform_points(invert(matrices)[:, None, None], np.asarray(poses_input[..., :2], dtype=np.float64))
    return np.concatenate([points, poses_input[..., 2:]], axis=-1).astype(np.float32)


def available_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _finished(batch: Batch, futures: list[Future[None]]) -> Batch:
    for future in futures:
        future.result()
    return batch

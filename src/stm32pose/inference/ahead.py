"""Inference one batch ahead of whoever uses its outputs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from stm32pose.inference.runner import Runner

T = TypeVar("T")


def predict_ahead(
    runner: Runner, batches: Iterable[T], images: Callable[[T], np.ndarray]
) -> Iterator[tuple[T, list[np.ndarray]]]:
    """Pairs of a batch and `runner.predict(images(batch))`, in order.

    The runner works in a thread of its own, so that decoding poses of one batch overlaps with inference on the next:
    the libraries release Python's lock while they compute. Closing the iterator stops the thread.

    Raises:
        Whatever `batches` and `predict` raise, at the batch where it happens.
    """
    waiting: deque[tuple[T, Future[list[np.ndarray]]]] = deque()
    executor = ThreadPoolExecutor(1, thread_name_prefix="stm32pose-inference")
    try:
        for batch in batches:
            waiting.append((batch, executor.submit(runner.predict, images(batch))))
            if len(waiting) > 2:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)

"""The bridge from pipeline to tf.data: order, end, errors, threads."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import training_dots as dots

from stm32pose.codecs.heatmap import HeatmapCodec
from stm32pose.data.pipeline import Pipeline
from stm32pose.data.sample import Sample
from stm32pose.errors import UserError
from stm32pose.training.feed import Feed

SHAPES = ((64, 64, 3), [(16, 16, 3)], 3)


def make_feed(samples: list[Sample], first: int = 0, last: int = 2, steps: int | None = None) -> Feed:
    config = dots.dots_config()
    pipeline = Pipeline(
        samples, input_shape=(64, 64, 3), preprocessing=config.preprocessing, batch_size=4, shuffle=True, seed=3
    )
    codec = HeatmapCodec((64, 64), (16, 16), 3)
    return Feed(pipeline, lambda _: codec, config.preprocessing.rescaling, first=first, last=last, steps=steps)


def drawn(feed: Feed) -> list[tuple[np.ndarray, ...]]:
    batches = [tuple(part.numpy() for part in batch) for batch in feed.dataset(*SHAPES)]
    feed.close()
    return batches


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return dots.dots_samples(tmp_path_factory.mktemp("dots"), 10, 1)


def test_epochs_follow_each_other_and_lose_nothing(samples: list[Sample]) -> None:
    batches = drawn(make_feed(samples))
    assert [len(images) for images, _, _ in batches] == [4, 4, 2] * 2
    images, targets, weights = batches[0]
    assert (images.dtype, images.shape) == (np.float32, (4, 64, 64, 3))
    assert -1 <= images.min() < 0 < images.max() <= 1
    assert targets.shape == (4, 16, 16, 3)
    np.testing.assert_array_equal(weights, np.ones((4, 3)))


def test_an_epoch_is_the_same_whenever_it_is_drawn(samples: list[Sample]) -> None:
    both, second = drawn(make_feed(samples)), drawn(make_feed(samples, first=1))
    for got, wanted in zip(second, both[3:], strict=True):
        for ours, theirs in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(both[0][0], both[3][0])


def test_steps_cut_an_epoch(samples: list[Sample]) -> None:
    assert [len(batch[0]) for batch in drawn(make_feed(samples, steps=1))] == [4, 4]


def test_close_stops_the_threads(samples: list[Sample]) -> None:
    feed = make_feed(samples, last=100)
    iterator = iter(feed.dataset(*SHAPES))
    next(iterator)
    feed.close()
    feed.close()
    assert [thread for thread in threading.enumerate() if "stm32pose-pipeline" in thread.name] == []
    assert len(list(iterator)) <= 3


def test_a_users_error_is_kept(tmp_path: Path) -> None:
    import tensorflow as tf

    samples = dots.dots_samples(tmp_path, 10, 1)
    samples[7].image.write_bytes(b"no image")
    feed = make_feed(samples)
    with pytest.raises(tf.errors.OpError):
        drawn(feed)
    assert isinstance(feed.error, UserError)
    assert samples[7].image.name in str(feed.error)

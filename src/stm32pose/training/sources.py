"""The three streams of a training: training images, validation images, and a probe of training images unchanged."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stm32pose.errors import ConfigError
from stm32pose.training.validation import probe_samples

if TYPE_CHECKING:
    from stm32pose.config.schema import Config
    from stm32pose.data.pipeline import Pipeline
    from stm32pose.data.sample import Sample
    from stm32pose.data.splits import Splits
    from stm32pose.skeletons.skeleton import Skeleton
    from stm32pose.transforms.chain import Chain

log = logging.getLogger(__name__)

OVERFIT_STEPS = 10  # an epoch of `training.overfit` shows its few images that many times


@dataclass(frozen=True, eq=False)
class Source:
    """Images and the pipeline over them."""

    samples: list[Sample]
    pipeline: Pipeline


@dataclass(frozen=True, eq=False)
class Sources:
    """What a training reads.

    Attributes:
        training: shuffled, changed at random.
        validation: None where there are no labelled validation images.
        probe: a few training images, unchanged; None where the validation images are the training images.
        chain: the random changes, None without any.
        steps: batches an epoch.
    """

    training: Source
    validation: Source | None
    probe: Source | None
    chain: Chain | None
    steps: int


def open_sources(
    config: Config, splits: Splits, skeleton: Skeleton, input_shape: tuple[int, int, int], seed: int
) -> Sources:
    """The streams for `config.training`.

    Raises:
        ConfigError: there is no training image; an augmentation is wrong.
    """
    from stm32pose.transforms.chain import build_chain

    settings = config.training
    if settings is None:
        raise ConfigError("training: missing; it takes batch_size, epochs and optimizer")
    if not splits.training:
        raise ConfigError("dataset.training_path: there is no labelled training image")
    training, validation = list(splits.training), list(splits.validation)
    chain = None
    if settings.overfit:
        validation = training[: settings.overfit]
        repeats = max(1, -(-OVERFIT_STEPS * settings.batch_size // len(validation)))
        training = validation * repeats
        log.info("training.overfit: %d images, %d times an epoch, no augmentation", len(validation), repeats)
    elif config.data_augmentation:
        chain = build_chain(
            config.data_augmentation,
            input_shape=input_shape,
            rescaling=config.preprocessing.rescaling,
            skeleton=skeleton,
        )
    probe = [] if settings.overfit else probe_samples(training, seed)
    if settings.dryrun:
        most = settings.dryrun * settings.batch_size
        validation, probe = validation[:most], probe[:most]
    source = _Opener(config, skeleton, input_shape, chain, seed, len(training) + len(validation) + len(probe))
    train = source(training, shuffle=True)
    steps = min(settings.dryrun or len(train.pipeline), len(train.pipeline))
    return Sources(
        train,
        source(validation) if validation else None,
        source(probe) if probe else None,
        chain,
        steps,
    )


@dataclass(frozen=True, eq=False)
class _Opener:
    """Makes pipelines that share all settings."""

    config: Config
    skeleton: Skeleton
    input_shape: tuple[int, int, int]
    chain: Chain | None
    seed: int
    images: int

    def __call__(self, samples: list[Sample], *, shuffle: bool = False) -> Source:
        from stm32pose.data.cache import cache_side, open_cache
        from stm32pose.data.pipeline import Pipeline

        dataset, settings = self.config.dataset, self.config.training
        sizes = [self.input_shape[:2], *(self.chain.sizes if self.chain else ())]
        cache = open_cache(
            samples,
            side=max(cache_side(size) for size in sizes),
            mode=dataset.cache,
            memory_gb=dataset.cache_memory_gb * len(samples) / self.images,
            path=Path(dataset.cache_path) if dataset.cache_path else None,
        )
        pipeline = Pipeline(
            samples,
            input_shape=self.input_shape,
            preprocessing=self.config.preprocessing,
            chain=self.chain if shuffle else None,
            flip=self.skeleton.flip,
            cache=cache,
            batch_size=settings.batch_size if settings else 32,
            shuffle=shuffle,
            seed=self.seed,
            workers=self.config.general.num_workers,
        )
        return Source(samples, pipeline)

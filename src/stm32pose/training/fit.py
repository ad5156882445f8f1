"""`train`: fit a network as the configuration says, and keep what comes out."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.errors import ConfigError, UserError
from stm32pose.training.callbacks import Monitor, UserCallbacks, build_callbacks
from stm32pose.training.checkpoint import BEST, LAST, RESUME, Keeper
from stm32pose.training.distillation import load_teacher
from stm32pose.training.feed import Feed
from stm32pose.training.loop import Loop
from stm32pose.training.network import accept_sizes, prepare_network
from stm32pose.training.optimizers import build_optimizer, has_schedule
from stm32pose.training.resume import (
    Resume,
    begin_run,
    carried_settings,
    check_network,
    check_settings,
    restore_variables,
    resumed_splits,
    settings_of,
)
from stm32pose.training.runtime import draw_seed, gpus, resolve_jit
from stm32pose.training.sources import Source, Sources, open_sources
from stm32pose.training.tensorboard import Curves
from stm32pose.training.validation import Forward, averaged_weights
from stm32pose.training.weights import joint_weights

if TYPE_CHECKING:
    import keras

    from stm32pose.codecs.select import Codec
    from stm32pose.config.model_sections import Training
    from stm32pose.config.schema import Config
    from stm32pose.data.splits import Splits
    from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves.

    Attributes:
        best: the network of the best epoch (`.h5` beside it).
        last: the network of the last epoch (`.h5` beside it).
        history: a row an epoch: epoch from 1, loss, oks, val_loss, val_oks, val_pck, val_epe, learning_rate, seconds,
            images_per_second; figures that the labels do not allow are left out.
        best_epoch: number of the best epoch, from 1.
        seconds: time of training, that before a resume included.
    """

    best: Path
    last: Path
    history: list[dict[str, float]]
    best_epoch: int
    seconds: float


def train(
    config: Config,
    *,
    model: keras.Model,
    codec: Codec,
    splits: Splits,
    skeleton: Skeleton,
    folder: Path,
    logs: Path,
    figures: Path | None = None,
    resume: Resume | None = None,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> TrainingResult:
    """Train `model` in place.

    Every epoch is validated through `codec` and the metrics of evaluation. Best and last network, and all that
    `load_resume` needs, are written to `folder` while training goes on, each file whole at any time; TensorBoard files
    and `metrics/train_metrics.csv` to `logs`. Call `prepare_runtime` before the network is built.

    Args:
        config: with a `training` section.
        model: an uncompiled network; float32 [B, H, W, C] in, one output.
        codec: of that network.
        splits: sets of images.
        skeleton: of their labels.
        folder: for models.
        logs: for logs.
        figures: for pictures of what the network sees and makes of it; None: to TensorBoard only.
        resume: continue this training; `model` is then its network.
        on_epoch: called with every row of the history, and `oks_joint/NAME` of each keypoint.
        progress: called with events: see `stm32pose.training.loop`.

    Raises:
        ConfigError: the configuration cannot be run.
        UserError: the loss is no longer a number, an image cannot be read, memory or disk is full.
        KeyboardInterrupt: passed on, after the last whole epoch was written.
    """
    settings = config.training
    if settings is None:
        raise ConfigError("training: missing; it takes batch_size, epochs and optimizer")
    user = build_callbacks(settings.callbacks, schedule=has_schedule(settings.optimizer))
    build_optimizer(settings.optimizer, steps=1)  # a misspelt argument is said before images are decoded
    weights = joint_weights(settings, skeleton)
    teacher = None
    if settings.distillation is not None:
        teacher = load_teacher(settings.distillation, codec, model.input_shape[1:], config.preprocessing.rescaling)
    if resume is not None:
        splits = resumed_splits(resume, splits)
    seed = resume.seed if resume is not None else draw_seed(config.general.global_seed)
    height, width, channels = model.input_shape[1:]
    sources = open_sources(config, splits, skeleton, (height, width, channels), seed)
    monitor = best_monitor(user, sources)
    loss = _loss(settings, codec)
    trainer = prepare_network(model, settings, sources.steps, loss, teacher)
    codecs = accept_sizes(trainer, codec, sources.chain)
    wanted = settings_of(config, model, skeleton)
    if resume is not None:
        check_network(resume, config.model)
        check_settings(resume, wanted)
        wanted = carried_settings(resume, wanted)
    trainer.compile(
        optimizer=build_optimizer(
            settings.optimizer,
            steps=settings.epochs * sources.steps,
            epochs=settings.epochs,
            dry=settings.dryrun is not None,
        ),
        jit_compile=resolve_jit(settings.jit_compile) and len(codecs) == 1,  # pyright: ignore[reportArgumentType]
    )
    keeper = Keeper(folder, model, trainer, monitor, user.callbacks, description(config, codec, skeleton))
    if resume is not None:
        restore_variables(resume, trainer)
        with averaged_weights(trainer, trainer.optimizer):
            keeper.restore(resume.arrays, resume.meta)
        log.info("continuing after epoch %d of %s", resume.epoch, resume.folder)
    if resume is None or resume.folder.resolve() != (folder / RESUME).resolve():
        begin_run(folder, model, seed, splits, wanted)
    keeper.write()
    curves = Curves(logs)
    loop = Loop(
        trainer=trainer,
        forward=Forward(trainer, loss, config.preprocessing.rescaling, weights),
        codec=codec,
        sources=sources,
        skeleton=skeleton,
        keeper=keeper,
        curves=curves,
        monitor=monitor,
        logs=logs,
        figures=figures,
        health=settings.health,
        bgr=config.preprocessing.color_mode == "bgr",
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        seed=seed,
        on_epoch=on_epoch,
        progress=progress,
        resume=resume,
    )
    try:
        with _rescued(keeper, run_folder(folder, config)):
            _run(config, loop, codecs, user)
            keeper.finish()
    finally:
        curves.close()
        gc.collect()  # compiled functions and the network refer to each other
    if settings.trained_model_path:
        keeper.save_best(Path(settings.trained_model_path).resolve())
    best, last = folder / f"{BEST}.keras", folder / f"{LAST}.keras"
    return TrainingResult(best, last, loop.history, keeper.best_epoch, loop.seconds)


def description(config: Config, codec: Codec, skeleton: Skeleton) -> dict[str, Any]:
    """What the sidecar of a trained network says: how to prepare its input and to read its output."""
    return {
        "codec": codec.describe(),
        "skeleton": {"name": skeleton.name, "keypoints": list(skeleton.keypoints)},
        "rescaling": config.preprocessing.rescaling.model_dump(),
    }


def run_folder(folder: Path, config: Config) -> Path:
    """The run folder that `folder`, for models, belongs to; itself where it has another name."""
    return folder.parent if folder.name == config.general.saved_models_dir else folder


def best_monitor(user: UserCallbacks, sources: Sources) -> Monitor:
    """The figure that decides on the best model: `ModelCheckpoint`'s, else OKS of validation.

    Raises:
        ConfigError: a callback looks at a figure that these images do not give.
    """
    available = {"loss"}
    if _labelled(sources.probe) or (sources.probe is None and _labelled(sources.validation)):
        available.add("oks")
    if _labelled(sources.validation):
        available |= {"val_loss", "val_oks", "val_pck", "val_epe"}
    for where, name in user.monitors.items():
        if name not in available:
            raise ConfigError(
                f"{where}: {name} needs labelled validation images, and there are none; "
                f"available: {', '.join(sorted(available))}"
            )
    if user.best is not None:
        return user.best
    for monitor in (Monitor("val_oks", "max"), Monitor("oks", "max")):
        if monitor.name in available:
            return monitor
    return Monitor("loss", "min")


def _loss(settings: Training, codec: Codec) -> keras.Loss:
    """The loss for the network's own outputs, which a loaded file may have other than the configuration."""
    from stm32pose.losses import make_loss

    name, arguments = next(iter(settings.loss.items()))
    order = getattr(codec, "order", ())
    if list(order) != sorted(order):
        raise ConfigError(
            f"model.model_path: its outputs are in the order {list(order)}; a network to train gives centre, heat "
            "maps, regression and offsets in this order"
        )
    return make_loss(
        name,
        kind=codec.describe()["kind"],
        activation=getattr(codec, "activation", "sigmoid"),
        arguments=arguments,
        keypoints=codec.keypoints,
        input_shape=codec.input_shape,
    )


def _run(config: Config, loop: Loop, codecs: dict[tuple[int, int], Codec], user: UserCallbacks) -> None:
    """Call `fit` for the epochs that are left."""
    import tensorflow as tf

    from stm32pose.models.fast_training import fast_training

    settings, sources, trainer = config.training, loop.sources, loop.trainer
    done = len(loop.history)
    if settings is None or done >= settings.epochs:
        log.info("all %d epochs are done already; nothing is left to train", done)
        return
    fused = settings.fused_batch_norm if settings.fused_batch_norm is not None else not gpus()
    feed = Feed(
        sources.training.pipeline,
        codecs.__getitem__,
        config.preprocessing.rescaling,
        first=done,
        last=settings.epochs,
        steps=sources.steps,
        weights=loop.forward.weights,
    )
    loop.picture_training(codecs, done)
    image_shape, targets = trainer.input_shape[1:], target_shapes(loop.codec)
    if len(codecs) > 1:
        image_shape, targets = (None, None, image_shape[-1]), [(None, None, targets[0][-1])]
    try:
        with fast_training(trainer, fused):
            trainer.fit(
                feed.dataset(image_shape, targets, loop.codec.keypoints),
                epochs=settings.epochs,
                initial_epoch=done,
                steps_per_epoch=sources.steps,
                callbacks=loop.callbacks(user.callbacks),
                shuffle=False,
                verbose=0,
            )
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"training.batch_size: {settings.batch_size} images a step do not fit into memory; take fewer"
        ) from error
    except tf.errors.OpError as error:
        if feed.error is not None:
            raise feed.error from error
        raise
    finally:
        feed.close()


def target_shapes(codec: Codec) -> list[tuple[int, ...]]:
    """The shape of each target of `codec`, without batch."""
    targets, _ = codec.encode(np.zeros((1, 1, codec.keypoints, 3), np.float32))
    return [target.shape[1:] for target in (targets if isinstance(targets, tuple) else (targets,))]


def _labelled(source: Source | None) -> bool:
    return source is not None and any((sample.keypoints[..., 2] > 0).any() for sample in source.samples)


@contextmanager
def _rescued(keeper: Keeper, folder: Path):
    """Whatever ends a training early, its last whole epoch is written first; `folder` is what to resume from."""
    try:
        yield
    except BaseException as error:
        if keeper.epoch == 0:
            log.warning("training ended before its first epoch was whole; no model was kept")
            raise
        try:
            keeper.finish()
        except UserError as second:
            log.warning("%s", second)
        else:
            stopped = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
            log.warning(
                "training %s; epoch %d is kept; to go on, add training.resume_training_from=%s",
                stopped,
                keeper.epoch,
                folder,
            )
        raise

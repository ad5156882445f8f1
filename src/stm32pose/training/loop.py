"""What happens around the steps of `model.fit`: figures, logs, pictures, files, progress."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.errors import UserError
from stm32pose.training.checkpoint import Keeper, ordered, restore_callback
from stm32pose.training.feed import batches_of
from stm32pose.training.history import make_row, write_history
from stm32pose.training.runtime import seed_epoch
from stm32pose.training.tensorboard import PICTURES, Curves, pose_picture
from stm32pose.training.validation import Forward, averaged_weights, validate

if TYPE_CHECKING:
    import keras

    from stm32pose.codecs.select import Codec
    from stm32pose.skeletons.skeleton import Skeleton
    from stm32pose.training.callbacks import Monitor
    from stm32pose.training.resume import Resume
    from stm32pose.training.sources import Sources

log = logging.getLogger(__name__)

HISTORY_FILE = Path("metrics") / "train_metrics.csv"
PROGRESS_SECONDS = 0.2
PICTURED_EPOCHS = 10  # how many epochs of a training are pictured

Report = Callable[[dict[str, Any]], None]


@dataclass(eq=False)
class Loop:
    """The state of one training; its methods are hung into `fit` by `callbacks`."""

    trainer: keras.Model
    forward: Forward
    codec: Codec
    sources: Sources
    skeleton: Skeleton
    keeper: Keeper
    curves: Curves
    monitor: Monitor
    logs: Path
    epochs: int
    batch_size: int
    seed: int
    on_epoch: Report | None = None
    progress: Report | None = None
    resume: Resume | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    earlier_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._began = self._epoch_began = self._reported = time.perf_counter()
        self._trained = 0.0
        if self.resume is not None:
            self.history = self.resume.history
            self.earlier_seconds = float(self.resume.meta["seconds"])
            self._replay()

    @property
    def seconds(self) -> float:
        """Seconds of training, those before a resume included."""
        return self.earlier_seconds + time.perf_counter() - self._began

    def callbacks(self, user: dict[str, keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
        """Callbacks for `fit`: figures first, then the user's, then everything that records what came out."""
        from keras.callbacks import LambdaCallback

        def restore(_logs=None) -> None:
            if self.resume is not None:
                for name, state in self.resume.meta["callbacks"].items():
                    if name in user:
                        restore_callback(user[name], state, self._callback_weights(name))

        first = LambdaCallback(
            on_epoch_begin=self.epoch_begin, on_train_batch_end=self.batch_end, on_epoch_end=self.measure
        )
        return [first, *user.values(), LambdaCallback(on_train_begin=restore, on_epoch_end=self.record)]

    def epoch_begin(self, epoch: int, _logs: dict | None = None) -> None:
        """Keras counts epochs from 0, everything that a user sees from 1."""
        seed_epoch(self.seed, epoch)
        self._epoch_began = time.perf_counter()
        self._tell({"kind": "epoch_begin", "epoch": epoch + 1, "epochs": self.epochs, "steps": self.sources.steps})

    def batch_end(self, step: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the loss and tell the progress, a few times a second: reading the loss waits for the device.

        Raises:
            UserError: the loss is no longer a number.
        """
        now = time.perf_counter()
        last = step + 1 >= self.sources.steps
        if not logs or (now - self._reported < PROGRESS_SECONDS and not last):
            return
        self._reported = now
        loss = float(logs["loss"])
        self._check(loss)
        self._tell(
            {
                "kind": "step",
                "epoch": len(self.history) + 1,
                "epochs": self.epochs,
                "step": step + 1,
                "steps": self.sources.steps,
                "logs": {"loss": loss},
                "images_per_second": self._epoch_images(step + 1) / max(now - self._epoch_began, 1e-9),
            }
        )

    def measure(self, epoch: int, logs: dict[str, Any]) -> None:
        """Add learning rate and figures of validation to the logs of an epoch.

        Raises:
            UserError: the loss is no longer a number.
        """
        self._trained = time.perf_counter() - self._epoch_began
        self._check(float(logs["loss"]))
        logs["learning_rate"] = self._learning_rate()
        sources = self.sources
        with averaged_weights(self.trainer, self.trainer.optimizer):
            self.keeper.take_weights()
            if sources.validation is not None:
                figures = self._validate(sources.validation)
                logs.update({f"val_{name}": value for name, value in figures.items()})
                if sources.probe is None and "oks" in figures:
                    logs["oks"] = figures["oks"]
            if sources.probe is not None:
                figures = self._validate(sources.probe)
                if "oks" in figures:
                    logs["oks"] = figures["oks"]
            every = max(1, round(self.epochs / PICTURED_EPOCHS))
            if epoch == 0 or (epoch + 1) % every == 0 or epoch + 1 == self.epochs:
                self._picture(epoch + 1)

    def record(self, epoch: int, logs: dict[str, Any]) -> None:
        """Keep the epoch: table, curves, models; tell whoever asked."""
        seconds = time.perf_counter() - self._epoch_began
        speed = self._epoch_images(self.sources.steps) / max(self._trained, 1e-9)
        row = make_row(epoch + 1, logs, seconds, speed)
        self.history.append(row)
        write_history(self.logs / HISTORY_FILE, self.history)
        self.curves.epoch(row)
        self.curves.flush()
        self.keeper.keep(epoch + 1, row.get(self.monitor.name), self.history, self.seconds)
        if self.on_epoch is not None:
            self.on_epoch(row)
        self._tell(
            {
                "kind": "epoch_end",
                "epoch": epoch + 1,
                "epochs": self.epochs,
                "logs": row,
                "images_per_second": speed,
                "eta_seconds": self._seconds_left(epoch + 1),
            }
        )

    def picture_training(self, codecs: dict[tuple[int, int], Codec], epoch: int) -> None:
        """Before the first step: what the network will see and what it is asked for."""
        with batches_of(self.sources.training.pipeline, epoch) as batches:
            batch = next(iter(batches))
        height, width = batch.images.shape[1:3]
        targets, _ = codecs[height, width].encode(batch.keypoints_input[:PICTURES])
        images, truth = batch.images[:PICTURES], batch.keypoints_input[:PICTURES, 0]
        picture = pose_picture(images, truth, targets, self.skeleton)
        self.curves.picture("training_inputs_and_targets", picture, epoch, where="train")
        self.curves.flush()

    def _check(self, loss: float) -> None:
        if math.isfinite(loss):
            return
        kept = f"the models of epoch {self.keeper.epoch} are kept" if self.keeper.epoch else "no model was kept"
        raise UserError(
            f"training: the loss became {loss} in epoch {len(self.history) + 1}; lower the learning rate of "
            f"training.optimizer (it was {self._learning_rate():.3g}); {kept}"
        )

    def _learning_rate(self) -> float:
        return float(np.asarray(self.trainer.optimizer.learning_rate))

    def _validate(self, source: Any) -> dict[str, float]:
        return validate(self.forward, self.codec, source.pipeline, source.samples, self.skeleton)

    def _picture(self, epoch: int) -> None:
        source = self.sources.validation or self.sources.probe
        if source is None:
            return
        with batches_of(source.pipeline, 0) as batches:
            batch = next(iter(batches))
        images, keypoints = batch.images[:PICTURES], batch.keypoints_input[:PICTURES]
        targets, _ = self.codec.encode(keypoints)
        outputs, _ = self.forward(images, targets)
        poses = self.codec.decode(outputs)[:, 0]
        picture = pose_picture(images, keypoints[:, 0], targets, self.skeleton, outputs=outputs[0], poses=poses)
        self.curves.picture("inputs_targets_predictions", picture, epoch)

    def _epoch_images(self, steps: int) -> int:
        return min(steps * self.batch_size, len(self.sources.training.samples))

    def _seconds_left(self, epoch: int) -> float:
        # The first epoch compiles the network and decodes the images: it says little of the others.
        recent = [row["seconds"] for row in self.history[1:][-5:]] or [self.history[-1]["seconds"]]
        return (self.epochs - epoch) * sum(recent) / len(recent)

    def _tell(self, event: dict[str, Any]) -> None:
        if self.progress is not None:
            self.progress(event)

    def _replay(self) -> None:
        """Curves and table of the new run begin with the epochs of the old one."""
        for row in self.history:
            self.curves.epoch(row)
        write_history(self.logs / HISTORY_FILE, self.history)

    def _callback_weights(self, name: str) -> list[np.ndarray]:
        return ordered(f"{name}_best_weights", self.resume.arrays) if self.resume is not None else []

"""What happens around the steps of `model.fit`: figures, logs, pictures, files, progress.

Progress is told as events, dicts with a "kind" (epochs count from 1):

- resumed: "history" and "joints" of the epochs before;
- epoch_begin: "epoch", "epochs", "steps";
- step, a few times a second: "epoch", "epochs", "step", "steps", "logs" {"loss"}, "images_per_second";
- validating: "epoch", "epochs";
- epoch_end: "epoch", "epochs", "logs" (a row of the history), "images_per_second", "eta_seconds", "monitor" (the figure
  that decides on the best epoch), "best" (whether this one is, so far), "best_epoch", "joints" (OKS of each joint or
  None), "joints_of" ("validation" or "training", the images they are of), "health" (rows of `LayerHealth` or None),
  "hints" (what stands out in them).
"""

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
from stm32pose.training.history import make_row, write_health, write_history, write_joints
from stm32pose.training.optimizers import used_learning_rate
from stm32pose.training.pictures import Pictures, pictured
from stm32pose.training.runtime import seed_epoch
from stm32pose.training.tensorboard import Curves
from stm32pose.training.validation import Forward, averaged_weights, validate

if TYPE_CHECKING:
    import keras

    from stm32pose.codecs.select import Codec
    from stm32pose.data.pipeline import Batch
    from stm32pose.skeletons.skeleton import Skeleton
    from stm32pose.training.callbacks import Monitor
    from stm32pose.training.resume import Resume
    from stm32pose.training.sources import Sources

log = logging.getLogger(__name__)

METRICS = Path("metrics")
HISTORY_FILE = METRICS / "train_metrics.csv"
JOINTS_FILE = METRICS / "joints.csv"
HEALTH_FILE = METRICS / "health.csv"
PROGRESS_SECONDS = 0.2
TRACED_IMAGES = 4  # on which a network that gives no numbers is looked at

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
    figures: Path | None = None
    health: bool = False
    bgr: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    joints: list[dict[str, Any]] = field(default_factory=list)
    earlier_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._began = self._epoch_began = self._reported = time.perf_counter()
        self._trained = 0.0
        self._pictures = Pictures(self.skeleton, self.curves, self.figures, self.bgr)
        self._joints_of = "validation" if self.sources.validation is not None else "training"
        self._batch: tuple[Batch, Codec] | None = None
        self._healths: list[dict[str, Any]] = []
        self._silent_before: dict[str, np.ndarray] | None = None
        self._hints: list[str] = []
        if self.resume is not None:
            self.history = self.resume.history
            self.joints = list(self.resume.meta.get("joints", []))
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
            UserError: the loss, or that of the images it is validated on, is no longer a number. The epoch is then not
                kept: a network that gives no numbers is never the best.
        """
        self._trained = time.perf_counter() - self._epoch_began
        self._check(float(logs["loss"]))
        logs["learning_rate"] = self._learning_rate()
        self._tell({"kind": "validating", "epoch": epoch + 1, "epochs": self.epochs})
        sources, joints = self.sources, None
        followed = sources.validation or sources.probe
        with averaged_weights(self.trainer, self.trainer.optimizer):
            self.keeper.take_weights()
            if sources.validation is not None:
                figures, joints = self._validate(sources.validation)
                self._check(figures.get("loss", 0.0), "val_loss")
                logs.update({f"val_{name}": value for name, value in figures.items()})
                if sources.probe is None and "oks" in figures:
                    logs["oks"] = figures["oks"]
            if sources.probe is not None:
                figures, others = self._validate(sources.probe)
                self._check(figures.get("loss", 0.0), "the loss after the epoch's last step")
                joints = others if joints is None else joints
                if "oks" in figures:
                    logs["oks"] = figures["oks"]
            if followed is not None and pictured(epoch + 1, self.epochs):
                self._pictures.epoch(epoch + 1, followed.pipeline, self.codec, self.forward)
        if joints is not None:
            self.joints.append({"epoch": epoch + 1, "oks": joints})
        if self.health:
            self._measure_health(epoch + 1)

    def record(self, epoch: int, logs: dict[str, Any]) -> None:
        """Keep the epoch: table, curves, models; tell whoever asked."""
        seconds = time.perf_counter() - self._epoch_began
        speed = self._epoch_images(self.sources.steps) / max(self._trained, 1e-9)
        row = make_row(epoch + 1, logs, seconds, speed)
        self.history.append(row)
        joints = self._joints_at(epoch + 1)
        named = dict(zip(self.skeleton.keypoints, joints or (), strict=False))
        write_history(self.logs / HISTORY_FILE, self.history)
        self.curves.epoch(row)
        if joints is not None:
            write_joints(self.logs / JOINTS_FILE, self.skeleton.keypoints, self.joints)
            self._curve_joints(epoch + 1, named)
        self.curves.flush()
        best = self.keeper.keep(epoch + 1, row.get(self.monitor.name), self.history, self.seconds, self.joints)
        log.debug("epoch %d: %s", epoch + 1, ", ".join(f"{name} {value:.6g}" for name, value in row.items()))
        if self.on_epoch is not None:
            known = {f"oks_joint/{name}": value for name, value in named.items() if value is not None}
            self.on_epoch(row | known)
        self._tell(
            {
                "kind": "epoch_end",
                "epoch": epoch + 1,
                "epochs": self.epochs,
                "logs": row,
                "images_per_second": speed,
                "eta_seconds": self._seconds_left(epoch + 1),
                "monitor": self.monitor.name,
                "best": best,
                "best_epoch": self.keeper.best_epoch,
                "joints": joints,
                "joints_of": self._joints_of,
                "health": self._healths[-1]["layers"] if self._healths else None,
                "hints": self._hints,
            }
        )

    def picture_training(self, codecs: dict[tuple[int, int], Codec], epoch: int) -> None:
        """Before the first step: what the network will see and what it is asked for."""
        with batches_of(self.sources.training.pipeline, epoch) as batches:
            batch = next(iter(batches))
        height, width = batch.images.shape[1:3]
        self._batch = batch, codecs[height, width]
        self._pictures.before(batch, codecs[height, width], epoch)
        self.curves.flush()
        if self.health:
            from stm32pose.training.health import silent_channels

            self._silent_before = silent_channels(self.trainer, *self._health_batch(batch, codecs[height, width]))

    def _check(self, loss: float, what: str = "the loss") -> None:
        """UserError where `loss`, called `what`, is not finite: with the cause as far as it can be seen."""
        if math.isfinite(loss):
            return
        try:
            where = f"{self._where_not_finite()}; "
        except Exception as error:  # whatever fails while looking must not hide that the loss is lost
            log.debug("the network could not be looked at", exc_info=error)
            where = ""
        kept = f"the models of epoch {self.keeper.epoch} are kept" if self.keeper.epoch else "no model was kept"
        raise UserError(
            f"training: {what} became {loss} in epoch {len(self.history) + 1}; lower the learning rate of "
            f"training.optimizer (it was {self._learning_rate():.3g}); {where}{kept}"
        )

    def _learning_rate(self) -> float:
        return used_learning_rate(self.trainer.optimizer)

    def _validate(self, source: Any) -> tuple[dict[str, float], list[float | None]]:
        return validate(self.forward, self.codec, source.pipeline, source.samples, self.skeleton)

    def _where_not_finite(self) -> str:
        from stm32pose.training.health import not_finite

        if self._batch is None:
            raise RuntimeError("no batch was drawn")
        return not_finite(self.trainer, self._pixels(self._batch[0].images[:TRACED_IMAGES]))

    def _measure_health(self, epoch: int) -> None:
        """One batch, the same after every epoch, so that epochs compare."""
        from stm32pose.training.health import hints, measure_health

        if self._batch is None:
            return
        health = measure_health(self.trainer, *self._health_batch(*self._batch), before=self._silent_before)
        self._healths.append({"epoch": epoch, "layers": [layer.row() for layer in health.layers]})
        self._hints = hints(self._healths)
        write_health(self.logs / HEALTH_FILE, self._healths)
        for name in ("gradient", "update", "silent"):
            values = {layer.layer: getattr(layer, name) for layer in health.layers}
            self.curves.scalars(f"health_{name}", values, epoch, where="train")
        if pictured(epoch, self.epochs):
            # Of what is multiplied alone: a histogram takes longer than all three figures of a layer.
            kernels = [layer.layer for layer in health.layers if "Normalization" not in layer.kind]
            self.curves.histograms("weights", {name: health.weights[name] for name in kernels}, epoch)
            self.curves.histograms("gradients", {name: health.gradients[name] for name in kernels}, epoch)

    def _health_batch(self, batch: Batch, codec: Codec) -> tuple[np.ndarray, Any, np.ndarray]:
        """Images, targets and weights of a batch as a step of the training takes them."""
        targets, weights = codec.encode(batch.keypoints_input)
        if self.forward.weights is not None:
            weights = self.forward.weights(weights, batch.keypoints_input)
        return self._pixels(batch.images), targets, weights

    def _pixels(self, images: np.ndarray) -> np.ndarray:
        """float32, as the network takes them."""
        rescaling = self.forward.rescaling
        return images.astype(np.float32) * np.float32(rescaling.scale) + np.float32(rescaling.offset)

    def _joints_at(self, epoch: int) -> list[float | None] | None:
        """OKS of each joint in that epoch; None where nothing is labelled."""
        if not self.joints or self.joints[-1]["epoch"] != epoch:
            return None
        return self.joints[-1]["oks"]

    def _curve_joints(self, epoch: int, named: dict[str, float | None]) -> None:
        where = "validation" if self._joints_of == "validation" else "train"
        self.curves.scalars("oks_joint", named, epoch, where=where)

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
        for row in self.joints:
            self._curve_joints(row["epoch"], dict(zip(self.skeleton.keypoints, row["oks"], strict=True)))
        if self.joints:
            write_joints(self.logs / JOINTS_FILE, self.skeleton.keypoints, self.joints)
        self._tell({"kind": "resumed", "history": list(self.history), "joints": list(self.joints)})

    def _callback_weights(self, name: str) -> list[np.ndarray]:
        return ordered(f"{name}_best_weights", self.resume.arrays) if self.resume is not None else []

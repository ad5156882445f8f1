"""What is kept of a training: the best model, the last one, and all that a resumed run needs."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.inference.sidecar import may_write_sidecar, write_sidecar
from stm32pose.training.callbacks import CALLBACK_STATE, Monitor
from stm32pose.training.files import save_model, write_arrays

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

BEST, LAST = "best_model", "last_model"
RESUME = "resume"
STATE, PREVIOUS, NEXT = "state.npz", "previous.npz", "next.npz"
# Writing may take this share of the time; short epochs are therefore not all written, the last one always is.
WRITING_SHARE = 0.1


class Keeper:
    """Copies every finished epoch in memory, and to disk as often as that is cheap.

    What is on disk is always one consistent epoch: `best_model.keras`, `last_model.keras` and `resume/state.npz`,
    each replaced whole, the state last. Beside the models lies a sidecar that says how their outputs are to be read.

    Attributes:
        best: value of the monitored figure of the best epoch, None before there is one.
        best_epoch: number of that epoch, from 1.
    """

    def __init__(
        self,
        folder: Path,
        model: keras.Model,
        trainer: keras.Model,
        monitor: Monitor,
        callbacks: dict,
        described: dict[str, Any] | None = None,
    ):
        self.best: float | None = None
        self.best_epoch = 0
        self._folder = folder
        self._model = model
        self._trainer = trainer
        self._monitor = monitor
        self._callbacks = callbacks
        self._described = described
        self._arrays: dict[str, np.ndarray] = {}
        self._meta: dict[str, Any] = {}
        self._best_weights: list[np.ndarray] = []
        self._last_weights: list[np.ndarray] = []
        self._best_pending = self._last_pending = False
        self._written, self._cost = 0.0, 0.0
        self._beside: set[Path] = set()

    @property
    def epoch(self) -> int:
        """The last whole epoch, from 1; 0 before there is one."""
        return int(self._meta.get("epoch", 0))

    def take_weights(self) -> None:
        """Copy the weights that count as this epoch's result (averaged ones where the optimizer averages)."""
        self._last_weights = self._model.get_weights()

    def keep(
        self,
        epoch: int,
        value: float | None,
        history: list[dict[str, float]],
        seconds: float,
        joints: Sequence[dict[str, Any]] = (),
    ) -> bool:
        """Copy a finished epoch; write it if the last writing was long enough ago. True: it is the best so far."""
        improved = self._monitor.improves(value, self.best) or self.best_epoch == 0
        if improved:
            self.best, self.best_epoch = value, epoch
            self._best_weights, self._best_pending = self._last_weights, True
        self._last_pending = True
        self._arrays = {
            **_numbered("model", [variable.numpy() for variable in self._trainer.variables]),
            **_numbered("optimizer", [variable.numpy() for variable in self._trainer.optimizer.variables]),
            **_numbered("best", self._best_weights),
            **{
                f"{name}_{key}": weights
                for name, callback in self._callbacks.items()
                for key, weights in _numbered("best_weights", getattr(callback, "best_weights", None) or []).items()
            },
        }
        self._meta = {
            "epoch": epoch,
            "history": list(history),
            "joints": list(joints),
            "seconds": seconds,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "callbacks": {name: callback_state(callback) for name, callback in self._callbacks.items()},
        }
        if time.perf_counter() - self._written > self._cost / WRITING_SHARE:
            self.write()
        return improved

    def write(self) -> None:
        """Write the last whole epoch to disk. UserError: the disk is full; the files there stay whole."""
        if not self._last_pending:
            return
        started = time.perf_counter()
        if self._best_pending:
            self._save(self._best_weights, f"{BEST}.keras")
            self._best_pending = False
        self._save(self._last_weights, f"{LAST}.keras")
        folder = self._folder / RESUME
        new = write_arrays(folder / NEXT, self._arrays, self._meta)
        if (folder / STATE).exists():
            (folder / STATE).replace(folder / PREVIOUS)
        new.replace(folder / STATE)
        self._last_pending = False
        self._written = time.perf_counter()
        self._cost = self._written - started

    def finish(self) -> None:
        """Write what is pending, and both models as .h5 too. UserError as in `write`."""
        self.write()
        if self._last_weights:
            self._save(self._best_weights, f"{BEST}.h5")
            self._save(self._last_weights, f"{LAST}.h5")

    def save_best(self, path: Path) -> None:
        """Save the best model to another file, and its sidecar where no JSON of another program is in its place."""
        self._save(self._best_weights, path)

    def restore(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Take up what an earlier run kept, with the network as it was; both models are then written anew."""
        self.take_weights()
        self.best, self.best_epoch = meta["best"], meta["best_epoch"]
        self._best_weights = ordered("best", arrays)
        self._arrays, self._meta = arrays, meta
        self._best_pending = self._last_pending = True

    def _save(self, weights: list[np.ndarray], name: str | Path) -> None:
        """Save the network with `weights`, and give it back its own; the sidecar first."""
        path = self._folder / name
        if self._described is not None and path not in self._beside and may_write_sidecar(path):
            write_sidecar(path, self._described, bound=False)
            self._beside.add(path)
        own = self._model.get_weights()
        self._model.set_weights(weights)
        try:
            save_model(self._model, path)
        finally:
            self._model.set_weights(own)


def callback_state(callback: Any) -> dict[str, float | None]:
    """What a stock callback remembers between epochs, as plain numbers."""
    names = CALLBACK_STATE.get(type(callback).__name__, ())
    values = {name: getattr(callback, name) for name in names}
    return {name: None if value is None else float(value) for name, value in values.items()}


def restore_callback(callback: Any, state: dict[str, float | None], weights: list[np.ndarray]) -> None:
    """The reverse of `callback_state`; after `on_train_begin`, which resets these callbacks."""
    for name in CALLBACK_STATE.get(type(callback).__name__, ()):
        value = state.get(name)
        if name != "best" and value is not None:
            value = int(value)
        setattr(callback, name, value)
    if weights:
        callback.best_weights = weights


def ordered(prefix: str, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Those arrays that `prefix` and a number name, in the order of the numbers."""
    count = 0
    while f"{prefix}_{count}" in arrays:
        count += 1
    return [arrays[f"{prefix}_{index}"] for index in range(count)]


def _numbered(prefix: str, values: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}_{index}": value for index, value in enumerate(values)}

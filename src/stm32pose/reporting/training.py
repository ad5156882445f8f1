"""What a training leaves in its run folder, however it ends: section `training` of results.json, and its charts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stm32pose.reporting.figures import health_chart, joint_curves, training_curves

if TYPE_CHECKING:
    from stm32pose.reporting.run import Run

PICTURED = "epoch_*.jpg"


class TrainingRecord:
    """Told the events of `stm32pose.training.loop`, writes what they say.

    Attributes:
        history: a row an epoch.
        joints: {"epoch", "oks": K values, None where a joint is labelled nowhere}, one an epoch.
        health: {"epoch", "layers"}, one an epoch that was measured.
        hints: what stands out in it, a line each.
    """

    def __init__(self, run: Run, names: Sequence[str]):
        self.history: list[dict[str, Any]] = []
        self.joints: list[dict[str, Any]] = []
        self.health: list[dict[str, Any]] = []
        self.hints: list[str] = []
        self._run, self._names = run, tuple(names)
        self._joints_of = "validation"
        self._best = 0

    def __call__(self, event: dict[str, Any]) -> None:
        if event["kind"] == "resumed":
            self.history, self.joints = list(event["history"]), list(event["joints"])
        elif event["kind"] == "epoch_end":
            self.history.append(event["logs"])
            self._best, self._joints_of = event["best_epoch"], event["joints_of"]
            if event["joints"] is not None:
                self.joints.append({"epoch": event["epoch"], "oks": event["joints"]})
            if event["health"] is not None:
                self.health.append({"epoch": event["epoch"], "layers": event["health"]})
                self.hints = event["hints"]

    def write(self, *, best_epoch: int | None = None, **more: Any) -> None:
        """The section and the charts; nothing where no epoch was whole.

        Args:
            best_epoch: from 1; None: as the events told.
            more: for the section: what only a training that came to its end knows.

        Raises:
            UserError, OSError: a file cannot be written.
        """
        if not self.history:
            return
        best = best_epoch or self._best or len(self.history)
        section: dict[str, Any] = {
            "epochs": len(self.history),
            "best_epoch": best,
            "seconds": round(sum(row.get("seconds", 0.0) for row in self.history), 1),
            "history": [{name: _finite(value) for name, value in row.items()} for row in self.history],
        }
        training_curves(self.history, best, self._run.figures / "training.png")
        if self.joints:
            at = next((row for row in self.joints if row["epoch"] == best), self.joints[-1])
            section["joints"] = {
                "set": self._joints_of,
                "epoch": at["epoch"],
                "oks": dict(zip(self._names, at["oks"], strict=True)),
            }
            joint_curves(self._names, self.joints, at["epoch"], self._run.figures / "joints.png")
        if self.health:
            section["health"] = {"hints": self.hints, **self.health[-1]}
            health_chart(self.health, self._run.figures / "health.png")
        self._run.add("training", section | more)


def shown_epochs(folder: Path) -> list[tuple[int, Path]]:
    """(epoch, picture) of the first, the middle and the last pictured epoch in a folder of figures; fewer at first."""
    found = sorted((int(path.stem.partition("_")[2]), path) for path in (folder / "training").glob(PICTURED))
    if len(found) < 3:
        return found
    return [found[0], found[len(found) // 2], found[-1]]


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if value == value and abs(value) != float("inf") else None

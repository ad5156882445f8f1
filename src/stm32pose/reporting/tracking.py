"""`Tracker`: where a run sends figures to be compared with other runs. MLflow, ClearML, both or none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stm32pose.config.schema import Config

SMALL_FILE_BYTES = 2_000_000
PREDICTIONS = re.compile(r"predictions(_\d+)?")
"""Folders of predictions: a drawing an image, which would be a request each."""
TABLES = (".json", ".csv", ".html")


@dataclass(frozen=True)
class TrackedSet:
    """One set of images of a run.

    Attributes:
        name: training, validation, test or quantization.
        digest: hexadecimal, over names, bytes and labels of its images.
        source: the key that its images come from, and their folder.
        samples: how many.
    """

    name: str
    digest: str
    source: str
    samples: int


class Tracker:
    """What every tracker takes; this one does nothing. A tracker that fails on the way never ends the run."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """A step of the chain, named as in `Config.steps`; an exception inside marks it as failed and goes on."""
        return nullcontext()

    def params(self, values: Mapping[str, Any]) -> None:
        """Settings of the run; None is left out, the first value of a name stays."""

    def metrics(self, values: Mapping[str, float | None], step: int | None = None) -> None:
        """Figures; None and non-finite ones are left out.

        With `step` (an epoch) they are points of a curve of the whole run; without it they are figures of the whole run
        and of the step that is under way.
        """

    def tags(self, values: Mapping[str, str]) -> None:
        """Free text about the run."""

    def dataset(self, name: str, sets: Sequence[TrackedSet]) -> None:
        """The images that the run uses."""

    def artifacts(self, folder: Path) -> None:
        """The small files below `folder` (models stay in the run folder, once)."""

    def model(self, files: Sequence[Path], tags: Mapping[str, str]) -> None:
        """The run's last model: its file first, then what belongs to it. Kept where the configuration asks for it."""


class Trackers(Tracker):
    """Several at once, in the order given."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._all = tuple(trackers)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        with ExitStack() as stack:
            for tracker in self._all:
                stack.enter_context(tracker.step(name))
            yield

    def params(self, values: Mapping[str, Any]) -> None:
        for tracker in self._all:
            tracker.params(values)

    def metrics(self, values: Mapping[str, float | None], step: int | None = None) -> None:
        for tracker in self._all:
            tracker.metrics(values, step)

    def tags(self, values: Mapping[str, str]) -> None:
        for tracker in self._all:
            tracker.tags(values)

    def dataset(self, name: str, sets: Sequence[TrackedSet]) -> None:
        for tracker in self._all:
            tracker.dataset(name, sets)

    def artifacts(self, folder: Path) -> None:
        for tracker in self._all:
            tracker.artifacts(folder)

    def model(self, files: Sequence[Path], tags: Mapping[str, str]) -> None:
        for tracker in self._all:
            tracker.model(files, tags)


@contextmanager
def track(config: Config, *, name: str) -> Iterator[Tracker]:
    """The trackers of one run, as the sections `mlflow` and `clearml` ask for.

    An exception inside closes the run as failed (killed or aborted for Ctrl-C) and goes on.

    Args:
        config: the whole configuration; its settings are sent at once.
        name: of the run: its folder's.

    Raises:
        ConfigError: a section is given and what it needs is not installed.
        UserError: the store or server cannot be reached or written.
    """
    from stm32pose.reporting.tracked import config_params

    with ExitStack() as stack:
        trackers: list[Tracker] = []
        if config.clearml is not None:
            from stm32pose.reporting.clearml import clearml_task

            trackers.append(stack.enter_context(clearml_task(config.clearml, config, name=name)))
        if config.mlflow is not None:
            from stm32pose.reporting.mlflow import mlflow_run

            trackers.append(
                stack.enter_context(mlflow_run(config.mlflow, experiment=config.general.project_name, name=name))
            )
        tracker = trackers[0] if len(trackers) == 1 else Trackers(trackers)
        if trackers:
            tracker.params(config_params(config))
        yield tracker


def small_files(folder: Path) -> list[tuple[Path, str]]:
    """(file, its name below `folder`) of what a tracker keeps: reports, tables and figures, no models.

    The drawings of a prediction, arrays, and what deployment and ST's tools keep for themselves stay in the folder.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if _kept(inside) and path.is_file() and path.stat().st_size <= SMALL_FILE_BYTES:
            found.append((path, inside.as_posix()))
    return found


def _kept(inside: Path) -> bool:
    """Whether a tracker keeps a file of that path below the run folder."""
    if "resume" in inside.parts or "tfevents" in inside.name:  # TensorBoard's stay where TensorBoard looks for them
        return False
    if inside.parts[0] in ("arrays", "st_ai_ws") or inside.parts[:2] == ("deployment", "replaced"):
        return False
    if PREDICTIONS.fullmatch(inside.parts[0]):
        return len(inside.parts) == 2 and inside.suffix in TABLES
    return True

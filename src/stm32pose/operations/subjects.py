"""Which files an evaluation measures, under which names, and with which preprocessing."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stm32pose.config.schema import Config
from stm32pose.config.suffixes import model_kind
from stm32pose.errors import UserError
from stm32pose.operations.artifacts import Artifacts
from stm32pose.operations.prepare import model_file
from stm32pose.reporting.run import Run

log = logging.getLogger(__name__)

Precision = Literal["float", "int8"]
LONGEST = 150
"""Bytes of a label in a file name; file systems take 255 for the whole."""


@dataclass(frozen=True)
class Subject:
    """One file to measure.

    Attributes:
        path: the file.
        label: its name in tables, unique in a run.
        file: its name in the names of files, unique in a run.
        precision: "float" or "int8", which stands for every integer type.
        config: how it is run: the run's own, or with the file's model type and rescaling.
        where: the key that names the file.
    """

    path: Path
    label: str
    file: str
    precision: Precision
    config: Config
    where: str

    @property
    def own(self) -> bool:
        """Whether it is a model of the run, not one to compare with."""
        return self.where != "evaluation.models"


def subjects_of(config: Config, run: Run, artifacts: Artifacts) -> list[Subject]:
    """The models that no earlier step has measured, the run's own first, then those of `evaluation.models`.

    A further file brings its own model type, and the rescaling that its input quantization was made for: files of
    different makers stand in one table. The log says so.

    Raises:
        ConfigError: a file is missing, of no known kind, or does not suit the preprocessing.
        UserError: a file cannot be read.
    """
    known = {found.path.resolve() for found in artifacts.measured}
    candidates = [(path, "model.model_path") for path in artifacts.models]
    if _all_own_are_here(config, run):
        candidates += [(model_file(str(path), run), "evaluation.models") for path in config.evaluation.models]
    rows: list[tuple[Path, str, Config, str, Precision]] = []
    for path, where in candidates:
        if path.resolve() not in known:
            known.add(path.resolve())
            suited = _with_rescaling(config, path) if where == "evaluation.models" else config
            types, precision, suited = _probe(suited, path, where)
            rows.append((path, where, suited, types, precision))
    files = [(path, types) for path, _, _, types, _ in rows]
    before = [found.label for found in artifacts.measured]
    labels = unique_labels(files, before)
    names = file_names([*before, *labels])[len(before) :]
    return [
        Subject(path, label, name, precision, suited, where)
        for label, name, (path, where, suited, _, precision) in zip(labels, names, rows, strict=True)
    ]


def unique_labels(files: Sequence[tuple[Path, str]], taken: Iterable[str] = ()) -> list[str]:
    """`float`, `int8`, `int16`... where one file alone is of that kind, else with the stem: `int8 yolov8n_256`.

    Files of the same stem are told apart by their folder, at last by a number.
    """
    used, labels = set(taken), []
    for path, precision in files:
        alone = sum(kind == precision for _, kind in files) == 1
        longer = [f"{precision} {path.stem}", f"{precision} {path.parent.name}/{path.stem}"]
        names = [precision, *longer] if alone else longer
        names += [f"{longer[1]} ({number})" for number in range(2, len(files) + len(used) + 2)]
        label = next(name for name in names if name not in used)
        used.add(label)
        labels.append(label)
    return labels


def file_names(labels: Iterable[str]) -> list[str]:
    """A part of a file name for each label, in their order; equal ones get a number, on systems that ignore case too.

    A name depends on its label and those before it alone: what an earlier step wrote keeps its name.
    """
    names: list[str] = []
    taken: set[str] = set()
    for label in labels:
        stem = name = file_safe(label)
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def file_safe(label: str) -> str:
    """A label as a part of a file name: letters of any script, digits and `._-`; at most `LONGEST` bytes."""
    kept = re.sub(r"[^\w.-]+", "_", label).strip("_")
    return kept.encode()[:LONGEST].decode(errors="ignore") or "model"


def _all_own_are_here(config: Config, run: Run) -> bool:
    """Whether the run's own models are all made: the table starts with them, others follow to be compared."""
    steps = config.steps
    if "quantize" not in steps or "quantization" in run.results:
        return True
    return "evaluate" not in steps[steps.index("quantize") :]


def _with_rescaling(config: Config, path: Path) -> Config:
    """The configuration with the rescaling that the file was made for, where its sidecar or its input tells.

    Raises:
        UserError: the file cannot be read.
    """
    from stm32pose.inference.input_range import own_rescaling, rescaling_text, same_rescaling
    from stm32pose.inference.sidecar import told_rescaling

    rescaling = config.preprocessing.rescaling
    try:
        told, why = told_rescaling(path), "the JSON beside it says"
        if told is None:
            told, why = own_rescaling(path), "its input is quantized"
    except UserError as error:
        raise type(error)(f"evaluation.models: {error}") from error
    if told is None or same_rescaling(told, (rescaling.scale, rescaling.offset)):
        return config
    log.info("evaluation.models: %s takes rescaling %s, as %s", path, rescaling_text(told), why)
    rescaling = rescaling.model_copy(update={"scale": told[0], "offset": told[1]})
    return config.model_copy(update={"preprocessing": config.preprocessing.model_copy(update={"rescaling": rescaling})})


def _probe(config: Config, path: Path, where: str) -> tuple[str, Precision, Config]:
    """The file's number types, its precision, and the configuration with the model type of a further file."""
    if model_kind(path) == "keras":
        return "float", "float", _on_host(config, path)
    from stm32pose.codecs.select import recognise
    from stm32pose.inference.runner import load_runner

    rescaling = (config.preprocessing.rescaling.scale, config.preprocessing.rescaling.offset)
    runner = load_runner(path, rescaling=rescaling)
    kind, _ = recognise([output.shape for output in runner.outputs], input_shape=runner.input_shape)
    if where == "evaluation.models" and kind and kind != config.model.model_type:
        log.info("evaluation.models: %s is evaluated as %s, by its outputs", path, kind)
        config = config.model_copy(update={"model": config.model.model_copy(update={"model_type": kind})})
    return runner.number_types, ("int8" if runner.quantized else "float"), config


def _on_host(config: Config, path: Path) -> Config:
    """A Keras file beside its int8 form: the board runs the one, this machine the other, and the results say which."""
    if config.evaluation.target == "host":
        return config
    log.info("evaluation.target: %s is a Keras file and runs on the host, not on %s", path, config.evaluation.target)
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"target": "host"})})

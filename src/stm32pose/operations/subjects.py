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
from stm32pose.operations.artifacts import Artifacts
from stm32pose.operations.prepare import model_file
from stm32pose.reporting.run import Run

log = logging.getLogger(__name__)

Precision = Literal["float", "int8"]


@dataclass(frozen=True)
class Subject:
    """One file to measure.

    Attributes:
        path: the file.
        label: its name in tables and files, unique in a run.
        precision: "float" or "int8".
        config: how it is run: the run's own, or with the file's model type and rescaling.
        where: the key that names the file.
    """

    path: Path
    label: str
    precision: Precision
    config: Config
    where: str


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
    rows: list[tuple[Path, str, Config, Precision]] = []
    for path, where in candidates:
        if path.resolve() not in known:
            known.add(path.resolve())
            suited = _with_rescaling(config, path) if where == "evaluation.models" else config
            precision, suited = _probe(suited, path, where)
            rows.append((path, where, suited, precision))
    labels = unique_labels([(path, kind) for path, _, _, kind in rows], [found.label for found in artifacts.measured])
    return [
        Subject(path, label, precision, suited, where)
        for label, (path, where, suited, precision) in zip(labels, rows, strict=True)
    ]


def unique_labels(files: Sequence[tuple[Path, str]], taken: Iterable[str] = ()) -> list[str]:
    """`float` or `int8` where one file alone is of that precision, else with the stem: `int8 yolov8n_256`.

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


def file_safe(label: str) -> str:
    """A label as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", label).strip("_")


def _all_own_are_here(config: Config, run: Run) -> bool:
    """Whether the run's own models are all made: the table starts with them, others follow to be compared."""
    steps = config.steps
    if "quantize" not in steps or "quantization" in run.results:
        return True
    return "evaluate" not in steps[steps.index("quantize") :]


def _with_rescaling(config: Config, path: Path) -> Config:
    """The configuration with the rescaling that the file's input was quantized for, where the file tells."""
    from stm32pose.inference.input_range import own_rescaling

    rescaling = config.preprocessing.rescaling
    told = own_rescaling(path)
    if told is None or _close(told, (rescaling.scale, rescaling.offset)):
        return config
    log.info("evaluation.models: %s takes rescaling scale %.6g, offset %g, as its input is quantized", path, *told)
    rescaling = rescaling.model_copy(update={"scale": told[0], "offset": told[1]})
    return config.model_copy(update={"preprocessing": config.preprocessing.model_copy(update={"rescaling": rescaling})})


def _probe(config: Config, path: Path, where: str) -> tuple[Precision, Config]:
    """The file's precision, and the configuration with the model type of a further file."""
    if model_kind(path) == "keras":
        return "float", _on_host(config, path)
    from stm32pose.codecs.select import recognise
    from stm32pose.inference.input_range import own_rescaling
    from stm32pose.inference.runner import load_runner

    rescaling = (config.preprocessing.rescaling.scale, config.preprocessing.rescaling.offset)
    runner = load_runner(path, rescaling=rescaling)
    told = own_rescaling(path) if runner.kind == "onnx" else None
    if told is not None and not _close(told, rescaling):
        log.warning(
            "preprocessing.rescaling: scale %.6g, offset %g, but the input of %s was quantized for scale %.6g, "
            "offset %g; is it the rescaling of its training?",
            *(*rescaling, path.name, *told),
        )
    kind, _ = recognise([output.shape for output in runner.outputs])
    if where == "evaluation.models" and kind and kind != config.model.model_type:
        log.info("evaluation.models: %s is evaluated as %s, by its outputs", path, kind)
        config = config.model_copy(update={"model": config.model.model_copy(update={"model_type": kind})})
    return ("int8" if runner.quantized else "float"), config


def _on_host(config: Config, path: Path) -> Config:
    """A Keras file beside its int8 form: the board runs the one, this machine the other, and the results say which."""
    if config.evaluation.target == "host":
        return config
    log.info("evaluation.target: %s is a Keras file and runs on the host, not on %s", path, config.evaluation.target)
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"target": "host"})})


def _close(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Whether two rescalings take pixels to the same range within two steps of 255."""
    step = max(abs(first[0]), abs(second[0]))
    ends = [(offset, 255 * scale + offset) for scale, offset in (first, second)]
    return all(abs(one - other) <= 2 * step for one, other in zip(*ends, strict=True))

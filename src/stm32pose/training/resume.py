"""Continue a training that was stopped, as if it had not been."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.errors import ConfigError
from stm32pose.training.checkpoint import NEXT, PREVIOUS, RESUME, STATE, ordered
from stm32pose.training.files import read_arrays, save_as_is, write_json
from stm32pose.training.schedules import SCHEDULERS

if TYPE_CHECKING:
    import keras

    from stm32pose.config.model_sections import Model
    from stm32pose.config.schema import Config
    from stm32pose.data.splits import Splits
    from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)

RUN, MODEL = "run.json", "model.keras"
WHERE = "training.resume_training_from"
MOST_NAMED = 3
# Of section `model`: what a network is built from.
BUILT_FROM = (
    *("model_type", "model_name", "backbone", "neck", "alpha", "input_shape", "upsampling", "output_stride"),
    "final_activation",
)


@dataclass(frozen=True, eq=False)
class Resume:
    """A stopped training.

    Attributes:
        folder: where its state lies.
        model: the network as it began (its weights are in `arrays`).
        epoch: the last whole epoch, from 1.
        seed: of order and augmentation.
        manifest: which image was in which set.
        settings: what must be the same to continue, key of the configuration -> value.
        arrays: weights, optimizer variables, best weights.
        meta: history, best value, state of callbacks.
    """

    folder: Path
    model: Path
    epoch: int
    seed: int
    manifest: dict[str, Any]
    settings: dict[str, Any]
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]

    @property
    def history(self) -> list[dict[str, float]]:
        return list(self.meta["history"])


def load_resume(path: Path) -> Resume:
    """The stopped training in a run folder (or in its folder of models).

    Raises:
        ConfigError: nothing to continue is there, or it is damaged.
    """
    folder = _find(Path(path))
    try:
        run = json.loads((folder / RUN).read_text(encoding="utf-8"))
        seed, manifest, settings = run["seed"], run["manifest"], run["settings"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{WHERE}: {folder / RUN} is damaged ({error}); start anew") from error
    found = [state for state in (_read(folder / name) for name in (NEXT, STATE, PREVIOUS)) if state is not None]
    if not found:
        raise ConfigError(f"{WHERE}: {path} was stopped before its first epoch ended; there is nothing to continue")
    arrays, meta = max(found, key=lambda state: state[1]["epoch"])
    return Resume(folder, folder / MODEL, meta["epoch"], seed, manifest, settings, arrays, meta)


def resumed_splits(resume: Resume, splits: Splits) -> Splits:
    """The sets of the stopped training. ConfigError or UserError: the images or labels have changed since."""
    from stm32pose.data.splits import apply_manifest

    return apply_manifest(splits, resume.manifest)


def begin_run(folder: Path, model: keras.Model, seed: int, splits: Splits, settings: dict[str, Any]) -> None:
    """Write what stays the same during a training: network, seed, sets of images, settings."""
    from stm32pose.data.splits import splits_manifest

    target = folder / RESUME
    for name in (NEXT, STATE, PREVIOUS):  # of another training in the same folder
        (target / name).unlink(missing_ok=True)
    save_as_is(model, target / MODEL)
    write_json(target / RUN, {"seed": seed, "settings": settings, "manifest": splits_manifest(splits)})


def settings_of(config: Config, model: keras.Model, skeleton: Skeleton) -> dict[str, Any]:
    """What must be the same for a training to continue, JSON-able: key of the configuration -> value."""
    settings = {
        "model": _digest(model),
        **network_settings(config.model),
        "dataset.skeleton": list(skeleton.keypoints),
        "preprocessing": config.preprocessing.model_dump(mode="json"),
        "data_augmentation": config.data_augmentation,
        "general.global_seed": config.general.global_seed,
    }
    for name in (
        *("batch_size", "optimizer", "loss", "visibility_weights", "joint_weights", "distillation"),
        *("heatmap", "dropout", "frozen_layers", "dryrun", "overfit"),
    ):
        value = getattr(config.training, name)
        settings[f"training.{name}"] = value.model_dump(mode="json") if hasattr(value, "model_dump") else value
    callbacks = config.training.callbacks if config.training else {}
    settings["training.callbacks"] = {name: given for name, given in callbacks.items() if name in SCHEDULERS}
    return json.loads(json.dumps(settings))


def network_settings(model: Model) -> dict[str, Any]:
    """What the network is built from, JSON-able: `model.KEY` -> value.

    Where section `model` names no network to build (a file, a resumed training) the other keys say nothing, and only
    that there is no name is told.
    """
    named = bool(model.model_name or model.backbone)
    values = model.model_dump(mode="json", include=set(BUILT_FROM if named else ("model_name", "backbone")))
    if named and model.model_name and ".py:" in model.model_name:
        values["model_name"] = Path(model.model_name).name  # from another folder the path is another
    return {f"model.{key}": values[key] for key in BUILT_FROM if key in values}


def check_network(resume: Resume, model: Model) -> None:
    """ConfigError, one line, where section `model` names another network than the stopped training has."""
    given = network_settings(model)
    if not (given["model.model_name"] or given["model.backbone"]):
        return
    # A folder of an earlier release does not tell what its network was built from.
    found = [
        line for name, new in given.items() if name in resume.settings for line in _changes(name, resume.settings, new)
    ]
    if found:
        raise ConfigError(
            f"{WHERE}: {resume.folder}: {_first(found)}; the network of a stopped training cannot be changed: set it "
            f"back to continue, or leave out {WHERE} to start anew"
        )


def check_settings(resume: Resume, settings: dict[str, Any]) -> None:
    """ConfigError, one line, where the configuration is not that of the stopped training; see `check_network` too."""
    old, new = resume.settings.get("model"), settings.get("model")
    if old != new:
        raise ConfigError(f"{WHERE}: {resume.folder} holds another network ({old}; this configuration: {new})")
    found = [
        line
        for name in resume.settings
        if not name.startswith("model.")
        for line in _changes(name, resume.settings, settings.get(name))
    ]
    if found:
        raise ConfigError(
            f"{WHERE}: {resume.folder}: {_first(found)}; set it back to continue, or start a new training from its "
            "best_model.keras with model.model_path"
        )


def carried_settings(resume: Resume, settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` for the new run folder: what its network was built from is what the stopped training says."""
    told = {name: value for name, value in resume.settings.items() if name.startswith("model.")}
    return {name: value for name, value in settings.items() if not name.startswith("model.")} | told


def restore_variables(resume: Resume, trainer: keras.Model) -> None:
    """Give network and optimizer the values of the stopped training.

    `trainer` is compiled. ConfigError: the variables are not the same.
    """
    trainer.optimizer.build(trainer.trainable_variables)
    for what, variables in (("model", trainer.variables), ("optimizer", trainer.optimizer.variables)):
        values = ordered(what, resume.arrays)
        shapes = [tuple(variable.shape) for variable in variables]
        if shapes != [value.shape for value in values]:
            raise ConfigError(
                f"{WHERE}: the {what} of {resume.folder} has {len(values)} variables, this one {len(shapes)} or of "
                "other shapes"
            )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _find(path: Path) -> Path:
    candidates = [path, path / RESUME, *sorted(path.glob(f"*/{RESUME}"))]
    for folder in candidates:
        if (folder / RUN).is_file():
            return folder
    if not path.exists():
        raise ConfigError(f"{WHERE}: {path} does not exist; the run folder of a stopped training is needed")
    raise ConfigError(
        f"{WHERE}: {path} holds no training to continue (no {RESUME}/{RUN} in it); "
        "the run folder of a stopped training is needed"
    )


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """A state, or None where it is missing or not whole."""
    if not path.is_file():
        return None
    try:
        arrays, meta = read_arrays(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("%s is damaged (%s); the state before it is used", path, error)
        return None
    return arrays, meta


def _digest(model: keras.Model) -> str:
    """Kinds of layers and shapes of weights in one line; names are left out, Keras numbers them anew."""
    layers = [
        (type(layer).__name__, [tuple(weight.shape) for weight in layer.weights])
        for layer in model._flatten_layers(include_self=False)
    ]
    digest = hashlib.sha256(json.dumps([model.input_shape, layers], default=list).encode()).hexdigest()[:12]
    return f"{len(layers)} layers, {model.count_params():,} parameters, input {model.input_shape[1:]}, {digest}"


def _changes(name: str, settings: dict[str, Any], new: Any) -> list[str]:
    """`KEY: OLD in the run, now NEW` of every nested key of `settings[name]` that differs from `new`."""
    lines = []
    pending = [(name, settings[name], new)]
    while pending:
        where, old, now = pending.pop(0)
        if old == now:
            continue
        # Without a common key they are different things, such as two optimizers, and said as a whole.
        if isinstance(old, dict) and isinstance(now, dict) and old.keys() & now.keys():
            keys = dict.fromkeys((*old, *now))
            pending = [(f"{where}.{key}", old.get(key, _ABSENT), now.get(key, _ABSENT)) for key in keys] + pending
        else:
            lines.append(f"{where}: {_short(old)} in the run, now {_short(now)}")
    return lines


def _first(lines: list[str]) -> str:
    more = len(lines) - MOST_NAMED
    return "; ".join(lines[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


_ABSENT = object()


def _short(value: Any) -> str:
    if value is _ABSENT:
        return "not set"
    text = json.dumps(value)
    if isinstance(value, float):
        text = text.removesuffix(".0")
    return text if len(text) <= 120 else text[:117] + "..."

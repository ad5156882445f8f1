"""The step `train`: build or load a network, fit it, keep the best."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stm32pose.config.schema import Config
from stm32pose.config.suffixes import model_kind
from stm32pose.errors import ConfigError, UserError
from stm32pose.operations.artifacts import Artifacts, input_shape, needed
from stm32pose.operations.codec import codec_of_model
from stm32pose.operations.prepare import model_file
from stm32pose.reporting.run import Run

if TYPE_CHECKING:
    import keras

    from stm32pose.reporting.training import TrainingRecord
    from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)


def run_step(config: Config, run: Run, artifacts: Artifacts) -> Artifacts:
    """Train as `config.training` says; adds the best model to the artifacts."""
    from stm32pose.reporting.pictures import labelled_mosaic
    from stm32pose.reporting.training import TrainingRecord
    from stm32pose.reporting.training_table import training_table
    from stm32pose.training.fit import train
    from stm32pose.training.resume import check_network, load_resume, network_settings
    from stm32pose.training.runtime import set_precision

    section = needed(config.training, "training")
    skeleton, splits = artifacts.labelled()
    resume = load_resume(Path(section.resume_training_from)) if section.resume_training_from else None
    if resume is not None:
        check_network(resume, config.model)  # before codec and images, which another network does not fit
    model = start_model(config, run, skeleton, resume)
    built = network_settings(config.model) if resume is None else resume.settings
    shape = input_shape(model)
    codec = codec_of_model(config, model, skeleton.count, shape)
    run.add(
        "model",
        {
            "name": built.get("model.model_name")
            or built.get("model.backbone")
            or (section.resume_training_from if resume is not None else config.model.model_path),
            "alpha": built.get("model.alpha"),
            "type": config.model.model_type,
            "input_shape": list(shape),
            "parameters": int(model.count_params()),
            "upsampling": built.get("model.upsampling", config.model.upsampling),
            "activation": codec.describe().get("activation"),
            "pretrained": config.model.pretrained,
            "distillation": section.distillation.model_dump(mode="json") if section.distillation else None,
        },
    )
    if splits.training:
        labelled_mosaic(splits.training, skeleton, run.figures / "labels.jpg")
    record = TrainingRecord(run, skeleton.keypoints)
    try:
        with training_table(section.epochs) as table:
            result = train(
                config,
                model=model,
                codec=codec,
                splits=splits,
                skeleton=skeleton,
                folder=run.saved_models,
                logs=run.logs,
                figures=run.figures,
                resume=resume,
                on_epoch=lambda logs: run.tracker.metrics(logs, step=int(logs["epoch"])),
                progress=lambda event: _tell(event, table, record),
            )
    except BaseException:
        _write_early(record)
        raise
    set_precision(False)  # what later steps build is float32
    record.write(
        best_epoch=result.best_epoch,
        seconds=round(result.seconds, 1),
        best=run.relative(result.best),
        last=run.relative(result.last),
    )
    log.info("Training runtime : %d s", result.seconds)
    for hint in record.hints:
        log.warning("training.health: %s", hint)
    return artifacts.with_model(result.best)


def _tell(event: dict[str, Any], *listeners: Callable[[dict[str, Any]], None]) -> None:
    for listener in listeners:
        listener(event)


def _write_early(record: TrainingRecord) -> None:
    """The curves of a training that was stopped. What fails here is logged: it must not hide why it was."""
    try:
        record.write()
    except (UserError, OSError) as error:
        log.warning("%s", error)


def start_model(config: Config, run: Run, skeleton: Skeleton, resume) -> keras.Model:
    """The network to train: of the resumed run, of a file, or built by name."""
    from stm32pose.models.adapt import adapt_keypoints
    from stm32pose.models.build import build_model
    from stm32pose.models.load import load_model

    if resume is not None:
        return load_model(resume.model)
    if config.model.model_path:
        path = model_file(config.model.model_path, run)
        if model_kind(path) != "keras":
            raise ConfigError(f"model.model_path: got {path}; training starts from a .keras or .h5 file")
        model = load_model(path)
        adapted = adapt_keypoints(model, skeleton.count, model_type=config.model.model_type)
        if adapted is not model:
            log.warning(
                "%s has other than the %d keypoints of %s: its last layers are replaced and start anew",
                path,
                skeleton.count,
                skeleton.name,
            )
        return adapted
    return build_model(config.model, keypoints=skeleton.count)

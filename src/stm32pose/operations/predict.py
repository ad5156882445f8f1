"""The step `predict`: poses of images without labels, drawn and written for people and for programs."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stm32pose.config.schema import Config
from stm32pose.errors import ConfigError, UserError
from stm32pose.operations.artifacts import Artifacts
from stm32pose.operations.codec import codec_of
from stm32pose.operations.skeletons import skeleton_of
from stm32pose.reporting import console
from stm32pose.reporting.run import Run

if TYPE_CHECKING:
    from stm32pose.data.frames import Source
    from stm32pose.operations.predict_images import Pass

log = logging.getLogger(__name__)

FOLDER = "predictions"


def check(config: Config) -> None:
    """What can be known before the first step: are there images, and a window where one is wanted.

    Raises:
        ConfigError: `dataset.prediction_path` is missing, or names what is not there or cannot be read.
        UserError: a folder without images, or no window can be opened.
    """
    _sources(config)
    if config.prediction.show:
        from stm32pose.reporting.window import check_window

        check_window()


def run_step(config: Config, run: Run, artifacts: Artifacts) -> Artifacts:
    """Predict the images of `dataset.prediction_path` with the newest model; results.json gets `prediction`.

    Ctrl-C ends a camera: what was reached is written and the chain goes on. While files are predicted it is written as
    well, but the run ends as interrupted. A second prediction of a chain goes to `predictions_2`; results.json then
    keeps the first under `earlier`.

    Raises:
        ConfigError: the model, its skeleton or the images do not go with the configuration.
        UserError: none of the images can be read, or a camera or a window cannot be opened.
    """
    from stm32pose.data.network_input import NetworkInput
    from stm32pose.operations.on_target import open_runner
    from stm32pose.operations.predict_images import Model, Outputs, Pass
    from stm32pose.reporting.annotated import open_drawings
    from stm32pose.reporting.gallery import FILE, Gallery
    from stm32pose.reporting.predictions import open_files, print_prediction
    from stm32pose.reporting.window import open_window

    section, sources, path = config.prediction, _sources(config), artifacts.latest
    earlier = run.results.get("prediction")
    name = f"{FOLDER}_{2 + len(earlier['earlier'])}" if earlier else FOLDER
    folder = run.folder / name
    try:
        with open_window(section.show) as window:
            runner = open_runner(config, run, path, section)
            skeleton = skeleton_of(config, artifacts.skeleton, runner)
            codec = codec_of(config, runner, skeleton)
            model = Model(runner, codec, skeleton, NetworkInput(runner.input_shape, config.preprocessing))
            gallery = Gallery(section.gallery_images)
            limit = f", at most {section.max_images}" if section.max_images else ""
            log.info("predicting %s%s with %s", _told(sources), limit, run.relative(path))
            with open_files(folder, skeleton.keypoints) as files, open_drawings(folder) as drawings:
                images = Pass(config, model, sources, Outputs(files, drawings, gallery, window))
                interrupted = images.predict()
                _check_any(images)
    except BaseException:
        _drop_empty(folder)
        raise
    entry = {
        "model": run.relative(path),
        "label": runner.number_types,
        "skeleton": skeleton.name,
        "target": section.target,
        "folder": name,
        **images.entry(),
        "files": {
            "results": f"{name}/predictions.json",
            "images": f"{name}/images.json",
            "table": f"{name}/predictions.csv",
            "gallery": f"{name}/{FILE}",
        },
        "earlier": [*earlier["earlier"], {**earlier, "earlier": []}] if earlier else [],
    }
    page = gallery.write(folder / FILE, entry)
    run.add("prediction", entry)
    print_prediction(entry)
    console.say(f"gallery: {page}")
    if interrupted:
        raise KeyboardInterrupt
    return artifacts


def _check_any(images: Pass) -> None:
    """UserError: there was no image that could be read."""
    if images.failed and not images.count:
        first = images.failed[0]
        raise UserError(
            f"dataset.prediction_path: none of {len(images.failed)} files can be read; the first: {first['file']}: "
            f"{first['reason']}"
        )


def _drop_empty(folder: Path) -> None:
    """Leave no folder behind in which nothing was written."""
    with suppress(OSError):  # it holds something, or was never made
        folder.rmdir()


def _sources(config: Config) -> list[Source]:
    from stm32pose.data.frames import find_sources

    given = config.dataset.prediction_path
    if not given:
        raise ConfigError(
            "dataset.prediction_path: missing; prediction needs an image, a folder, a pattern, a video file or camera:0"
        )
    return find_sources(given)


def _told(sources: list[Source]) -> str:
    """`12 images, 1 video`."""
    kinds = [source.kind for source in sources]
    counts = [(kind, kinds.count(kind)) for kind in ("image", "video", "camera")]
    return ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in counts if count)

"""One pass of a model over images: a thread reads and fits them, this one predicts, draws and writes."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.codecs.poses import Poses, poses_in_image
from stm32pose.config.schema import Config
from stm32pose.data.ahead import read_ahead
from stm32pose.data.files import image_ids
from stm32pose.data.frames import Frame, Source, Unreadable, read_frames
from stm32pose.data.network_input import NetworkInput
from stm32pose.drawing import draw_found
from stm32pose.errors import UserError
from stm32pose.reporting.annotated import Drawings
from stm32pose.reporting.gallery import Gallery
from stm32pose.reporting.predictions import PredictionFiles, Timing
from stm32pose.reporting.window import Window

if TYPE_CHECKING:
    from stm32pose.codecs.select import Codec
    from stm32pose.inference.runner import Runner
    from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)

TOLD = 20
"""Unreadable files that get a line of the log each; results.json has all."""
ALL = "all images were predicted"
WARM_UP = "a first inference on a black image, for warm-up, is not counted"


@dataclass(frozen=True, eq=False)
class Model:
    """What turns an image into poses."""

    runner: Runner
    codec: Codec
    skeleton: Skeleton
    fit: NetworkInput


@dataclass(frozen=True, eq=False)
class Outputs:
    """Where the poses go."""

    files: PredictionFiles
    drawings: Drawings
    gallery: Gallery
    window: Window | None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A frame, the network's input of it [H, W, C], the matrix between them, and the seconds both took."""

    frame: Frame
    pixels: np.ndarray
    matrix: np.ndarray
    seconds: float


class Pass:
    """One pass over `sources`, and what is counted on the way.

    Attributes:
        count: images predicted so far.
        failed: `{"file", "reason"}` of every image or video that could not be read.
    """

    def __init__(self, config: Config, model: Model, sources: list[Source], outputs: Outputs):
        self.count = 0
        self.failed: list[dict[str, str]] = []
        self._config, self._model, self._sources, self._outputs = config, model, sources, outputs
        self._poses = self._empty = 0
        self._ended = ALL
        self._timing, self._seconds = Timing(), 0.0
        names = [source.name for source in sources]
        # As the readers of labelled sets number images, so that results go with COCO's annotations of the same folder.
        stills = all(source.kind == "image" for source in sources)
        self._ids: Iterator[int] = iter(image_ids(names)) if stills else itertools.count()
        self._names_differ = len(set(names)) == len(names)

    def predict(self) -> bool:
        """Predict until images, limit or user end it; True where Ctrl-C is to end the run as well.

        Raises:
            ConfigError: the network takes another number of channels than the colour mode gives.
            UserError: a camera cannot be opened, the library refuses to run the model, or the disk to write.
        """
        section = self._config.prediction
        self._model.runner.predict(self._model.fit.black)
        frames = read_frames(self._sources, every=section.every, limit=section.max_images)
        camera = self._sources[0].kind == "camera"
        started = time.perf_counter()
        try:
            with closing(read_ahead(prepared(frames, self._model.fit))) as items:
                for item in items:
                    camera = (item.frame if isinstance(item, Prepared) else item).source.kind == "camera"
                    if not self._take(item):
                        self._ended = "ended in the window"
                        return False
            if self.count == section.max_images:
                self._ended = f"ended after prediction.max_images: {self.count}"
        except KeyboardInterrupt:
            self._ended = "ended by Ctrl-C"
            return not camera
        finally:
            self._seconds = time.perf_counter() - started
        return False

    def entry(self) -> dict[str, Any]:
        """Counts and timing as results.json has them."""
        target = self._config.prediction.target
        return {
            "images": self.count,
            "poses": self._poses,
            "images_without_pose": self._empty,
            "kpts_conf_thresh": self._config.postprocessing.kpts_conf_thresh,
            "ended": "every image that could be read was predicted"
            if self.failed and self._ended == ALL
            else self._ended,
            "failed": self.failed,
            "videos": self._outputs.drawings.videos,
            "timing": {
                **self._timing.figures(),
                "images_per_second": round(self.count / max(self._seconds, 1e-9), 2),
                "seconds": round(self._seconds, 3),
                "how": f"measured on {'this computer' if target == 'host' else target}, one image a call",
                "warm_up": WARM_UP,
            },
        }

    def _take(self, item: Prepared | Unreadable) -> bool:
        """Predict, draw and write one image; False when the user ended it in the window."""
        number = next(self._ids)
        if isinstance(item, Unreadable):
            self._miss(item)
            return True
        runner, skeleton = self._model.runner, self._model.skeleton
        started, before = time.perf_counter(), runner.invoke_seconds
        outputs = runner.predict(item.pixels[None])
        run = runner.invoke_seconds - before
        poses = poses_in_image(self._model.codec.decode_poses(outputs)[0], item.matrix)
        self._timing.add(pre=item.seconds, run=run, post=time.perf_counter() - started - run)
        drawn = draw_found(
            item.frame.image,
            poses.keypoints,
            skeleton,
            threshold=self._config.postprocessing.kpts_conf_thresh,
            boxes=poses.boxes,
            labels=pose_labels(poses, skeleton.category),
        )
        self._write(number, item.frame, poses, drawn)
        self.count += 1
        self._poses += len(poses)
        self._empty += not len(poses)
        window = self._outputs.window
        return window is None or window.show(drawn)

    def _write(self, number: int, frame: Frame, poses: Poses, drawn: np.ndarray) -> None:
        source, drawings = frame.source, self._outputs.drawings
        height, width = frame.image.shape[:2]
        image: dict[str, Any] = {"id": number, "file_name": source.name, "width": width, "height": height}
        title = source.name
        if source.kind == "image":
            if not self._names_differ and source.path is not None:
                image["file_name"] = title = source.path.as_posix()
            file = drawings.image(drawn, source.name)
        else:
            title = f"{source.name}, frame {frame.index}"
            image |= {"file_name": f"{source.name}#{frame.index}", "frame": frame.index}
            image["time_s"] = None if frame.time_s is None else round(frame.time_s, 4)
            file = drawings.frame(drawn, source.name, frame.index, frame.rate)
        self._outputs.files.add({**image, "drawing": file}, poses)
        self._outputs.gallery.offer(lambda: drawn, title=title, scores=poses.scores, file=file)

    def _miss(self, item: Unreadable) -> None:
        file = str(item.source.path or item.source.name)
        self.failed.append({"file": file, "reason": item.reason})
        if len(self.failed) <= TOLD:
            log.warning("%s: %s; left out", file, item.reason)
        if len(self.failed) == TOLD:
            log.warning("further files that cannot be read are told in results.json alone")


def prepared(frames: Generator[Frame | Unreadable], fit: NetworkInput) -> Generator[Prepared | Unreadable]:
    """Every frame with the network's input of it; closing it closes `frames`, and with them a camera."""
    with closing(frames):
        for frame in frames:
            if isinstance(frame, Unreadable):
                yield frame
                continue
            source, started = frame.source, time.perf_counter()
            try:
                pixels, matrix = fit.fit(frame.image, source.path if source.kind == "image" else None)
            except UserError as error:
                yield Unreadable(source, str(error).removeprefix(f"{source.path}: "))
                continue
            yield Prepared(frame, pixels, matrix, frame.seconds + time.perf_counter() - started)


def pose_labels(poses: Poses, category: str) -> list[str]:
    """`person 0.87` a pose where the network gives boxes or classes; a lone pose of an image needs no label."""
    if poses.boxes is None and not poses.names:
        return []
    names = poses.names or (category,) * len(poses)
    return [f"{name} {score:.2f}" for name, score in zip(names, poses.scores, strict=True)]

"""Images to predict, one after the other: files, folders, patterns, video files, cameras.

Nothing is held but the image at hand, so that a long video needs no more memory than a short one.
"""

from __future__ import annotations

import glob
import logging
import os
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from stm32pose.data.files import EXTENSIONS, list_images
from stm32pose.data.images import read_image
from stm32pose.errors import ConfigError, UserError

log = logging.getLogger(__name__)

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
"""Suffixes of video files, in any case."""
CAMERA = "camera:"
Kind = Literal["image", "video", "camera"]


@dataclass(frozen=True)
class Source:
    """Where images come from: an image file, a video file or a camera.

    Attributes:
        kind: which of these.
        name: file name, or `camera:0`.
        path: the file; None for a camera.
        number: of the camera, as the system counts them.
    """

    kind: Kind
    name: str
    path: Path | None = None
    number: int = 0


@dataclass(frozen=True, eq=False)
class Frame:
    """One image.

    Attributes:
        image: uint8 [H, W, 3] RGB, as it is seen (EXIF orientation and a video's turn applied).
        source: where it comes from.
        index: position in the video or since the camera was opened, counted from 0; 0 for an image file.
        time_s: seconds since the start of the video or since the camera was opened; None for an image file.
        rate: frames a second of the video or camera that are handed out (`every` counted in), 0 where unknown.
        seconds: what reading and decoding took. The wait for a camera's next frame is not in it.
    """

    image: np.ndarray
    source: Source
    index: int = 0
    time_s: float | None = None
    rate: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Unreadable:
    """An image or a video that gave nothing, and why, in one line."""

    source: Source
    reason: str


def find_sources(given: str | Sequence[str], *, where: str = "dataset.prediction_path") -> list[Source]:
    """What `given` names, in that order; a file that is named twice is taken once.

    Args:
        given: each an image file, a folder (the images directly inside it, sorted by name), a pattern with `*`, `?`,
            `[...]` or `**` (images and videos, sorted by path), a video file, or `camera:N`.
        where: the configuration's key, for messages.

    Raises:
        ConfigError: no such file, a file of another kind, a pattern that fits none, or no camera's number.
        UserError: a folder without an image.
    """
    found: dict[object, Source] = {}
    for text in [given] if isinstance(given, str) else given:
        for source in _sources(str(text), where):
            found.setdefault(source.path.resolve() if source.path else source.name, source)
    if not found:
        raise ConfigError(f"{where}: names nothing; {_readable()}")
    return list(found.values())


def read_frames(
    sources: Sequence[Source], *, every: int = 1, limit: int | None = None
) -> Generator[Frame | Unreadable]:
    """The images of `sources`; one that cannot be read is told and does not end the rest.

    Args:
        sources: as `find_sources` gives them.
        every: of a video or a camera only the first of so many frames.
        limit: end after so many images; unreadable ones do not count.

    Raises:
        UserError: a camera cannot be opened.
    """
    left = limit
    for source in sources:
        frames = _still(source) if source.kind == "image" else _moving(source, every)
        for frame in frames:
            yield frame
            if isinstance(frame, Frame) and left is not None:
                left -= 1
                if left <= 0:
                    frames.close()
                    return


def _sources(text: str, where: str) -> Iterator[Source]:
    if text.lower().startswith(CAMERA):
        number = text[len(CAMERA) :].strip()
        if not number.isdecimal():
            raise ConfigError(f"{where}: got '{text}'; a camera is camera:0, camera:1, ...")
        yield Source("camera", f"{CAMERA}{int(number)}", number=int(number))
        return
    path = Path(text)
    if path.is_dir():
        for image in list_images(path, where=where):
            yield Source("image", image.name, image)
    elif path.is_file():
        kind = _kind(path)
        if kind is None:
            raise ConfigError(f"{where}: {path} is neither image nor video; {_readable()}")
        yield Source(kind, path.name, path)
    elif glob.has_magic(text):
        yield from _matching(text, where)
    else:
        raise ConfigError(f"{where}: {path} does not exist (looked from {Path.cwd()})")


def _matching(pattern: str, where: str) -> Iterator[Source]:
    # glob.glob, since Path.glob wants the fixed part of a pattern apart.
    paths = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207
    files = [path for path in paths if path.is_file()]
    fitting = [Source(kind, path.name, path) for path in files if (kind := _kind(path)) is not None]
    if not fitting:
        got = f"{len(files)} files fit it, none of them an image or a video" if files else "no file fits it"
        raise ConfigError(f"{where}: {pattern}: {got} (looked from {Path.cwd()}); {_readable()}")
    if len(fitting) < len(files):
        log.info("%s: %s: files that are no images are left out: %d", where, pattern, len(files) - len(fitting))
    yield from fitting


def _kind(path: Path) -> Kind | None:
    suffix = path.suffix.lower()
    return "image" if suffix in EXTENSIONS else "video" if suffix in VIDEOS else None


def _readable() -> str:
    return f"images are {' '.join(EXTENSIONS)}, videos {' '.join(VIDEOS)}, in any case"


def _still(source: Source) -> Generator[Frame | Unreadable]:
    assert source.path is not None  # noqa: S101
    started = time.perf_counter()
    try:
        image = read_image(source.path)
    except UserError as error:
        yield Unreadable(source, str(error).removeprefix(f"{source.path}: "))
        return
    yield Frame(image, source, seconds=time.perf_counter() - started)


def _moving(source: Source, every: int) -> Generator[Frame | Unreadable]:
    """Frames of a video or a camera; it is closed when the iterator ends or is closed."""
    capture = _opened(source)
    try:
        if not capture.isOpened():
            if source.kind == "camera":
                raise UserError(f"{source.name}: the camera cannot be opened (is it plugged in, or in use elsewhere?)")
            yield Unreadable(source, "the video cannot be opened (damaged, or of a codec that is not known here)")
            return
        rate = capture.get(cv2.CAP_PROP_FPS)
        rate = rate if 0 < rate < 1000 else 0.0
        yield from _frames(source, capture, every, rate)
    finally:
        capture.release()


def _opened(source: Source) -> cv2.VideoCapture:
    """The video or camera, open or not; OpenCV and FFmpeg write no lines of their own about it."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.VideoCapture(source.number if source.path is None else str(source.path))
    finally:
        cv2.utils.logging.setLogLevel(before)


def _frames(source: Source, capture: cv2.VideoCapture, every: int, rate: float) -> Generator[Frame | Unreadable]:
    opened, index = time.perf_counter(), 0
    camera = source.kind == "camera"
    while True:
        started = time.perf_counter()
        if not capture.grab():
            break
        if camera:  # what went before was waiting
            started = time.perf_counter()
        if index % every == 0:
            good, image = capture.retrieve()
            if not good or image is None:
                break
            if image.ndim == 2:
                image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            now = started - opened if camera else index / rate if rate else None
            yield Frame(image, source, index, now, rate / every, time.perf_counter() - started)
        index += 1
    expected = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    if index == 0:
        yield Unreadable(source, "it gives no frame")
    elif camera:
        log.warning("%s: the camera stopped after %d frames", source.name, index)
    elif 0 < index < 0.9 * expected:  # containers often promise a frame or two too many
        log.warning("%s: the video ends after %d of %d frames; is it cut off?", source.name, index, int(expected))

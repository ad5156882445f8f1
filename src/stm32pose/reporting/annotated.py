"""Drawn images and videos of a prediction, one file a source, under names that do not clash."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stm32pose.drawing import write_image
from stm32pose.files import replacing

log = logging.getLogger(__name__)

VIDEO_CODEC = "mp4v"
"""MPEG-4 part 2 in .mp4: the one that every build of OpenCV can write. VLC and ffmpeg play it, web browsers do not."""
FALLBACK_RATE = 25.0


class Drawings:
    """Writes drawn frames into a folder; `open_drawings` makes one.

    Attributes:
        videos: names of the videos so far, or of the folders that stand for them.
    """

    def __init__(self, folder: Path):
        self.videos: list[str] = []
        self._folder = folder
        self._taken: set[str] = set()
        self._video: _Video | None = None

    def image(self, image: np.ndarray, file: str) -> str:
        """Write a drawn image file under the stem of `file`; returns its name. A JPEG stays one, others become PNG."""
        self.end_video()
        suffix = ".jpg" if Path(file).suffix.lower() in (".jpg", ".jpeg") else ".png"
        name = self._name(Path(file).stem) + suffix
        write_image(self._folder / name, image)
        return name

    def frame(self, image: np.ndarray, source: str, index: int, rate: float) -> str:
        """Write a frame of the video or camera `source`; returns the name of the drawn video, or of the image where
        OpenCV can write no video.

        Args:
            image: uint8 [H, W, 3] RGB.
            source: name of the video file or camera; another one than before begins another video.
            index: of the frame, for the names of images.
            rate: frames a second, 0 where unknown.
        """
        if self._video is None or self._video.source != source:
            self.end_video()
            stem = self._name(Path(source).stem.replace(":", ""))
            self._video = _Video(self._folder, stem, source, image.shape[:2], rate or FALLBACK_RATE)
            self.videos.append(self._video.name)
        return self._video.add(image, index)

    def end_video(self) -> None:
        """Finish the video at hand, if there is one."""
        video, self._video = self._video, None
        if video is not None:
            video.close()

    def drop_video(self, error: BaseException) -> None:
        """Give up the video at hand; half a file is of no use."""
        video, self._video = self._video, None
        if video is not None:
            video.close(error)

    def _name(self, stem: str) -> str:
        """`stem`, `stem_2`, ...: the first that is free, on file systems that ignore case as well."""
        name, count = stem, 1
        while name.lower() in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name.lower())
        return name


@contextmanager
def open_drawings(folder: Path) -> Iterator[Drawings]:
    """Drawings of `folder`; a video is whole when the block ends well, and gone when it does not."""
    drawings = Drawings(folder)
    try:
        yield drawings
    except BaseException as error:
        drawings.drop_video(error)
        raise
    drawings.end_video()


class _Video:
    """One drawn video: an .mp4, or a folder of images where OpenCV cannot write one."""

    def __init__(self, folder: Path, stem: str, source: str, size: tuple[int, ...], rate: float):
        self.source, self.name = source, f"{stem}.mp4"
        self._stack = ExitStack()
        self._size = (int(size[1]), int(size[0]))
        temporary = self._stack.enter_context(replacing(folder / self.name, sync=False))
        writer: Any = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*VIDEO_CODEC), rate, self._size)
        self._writer = writer if writer.isOpened() else None
        if self._writer is not None:
            self._stack.callback(writer.release)
        else:
            self._abandon()
            self.name = stem
            log.warning("%s: OpenCV can write no %s video here; numbered images go to %s", source, VIDEO_CODEC, stem)
        self._folder = folder

    def add(self, image: np.ndarray, index: int) -> str:
        if self._writer is None:
            name = f"{self.name}/{index:06d}.jpg"
            write_image(self._folder / name, image)
            return name
        if image.shape[1::-1] != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        return self.name

    def close(self, error: BaseException | None = None) -> None:
        if error is None:
            self._stack.close()
        else:
            self._abandon()

    def _abandon(self) -> None:
        """Leave the block of `replacing` by an error of our own, so that no file takes the place."""
        try:
            with self._stack:
                raise _Abandoned
        except _Abandoned:
            pass


class _Abandoned(Exception):
    pass

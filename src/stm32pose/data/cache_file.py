"""The file behind a cache on disk: written once as its parts arrive, published whole, read through a memory map.

`KEY.bin` holds the images one after the other, `KEY.json` is written last and says how many bytes there are and the
CRC-32 of each image. While it fills, the file bears a name of its own (`KEY.XXXX.tmp`), locked where the system has
locks: two runs at once each fill their own, the first one done publishes, and what a killed run leaves is removed by
the next. Bytes are written by `write`, not through the map: a full disk is then an error, not the death of the process.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import shutil
import tempfile
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stm32pose.errors import UserError

try:
    import fcntl
except ImportError:  # Windows refuses to remove a file that is open, which serves as well
    fcntl = None

_UNUSED_DAYS = 30
_ABANDONED_DAYS = 2
_log = logging.getLogger(__name__)


class CacheFile:
    """Byte arrays of known lengths in one file. Use `open`."""

    def __init__(self, folder: Path, key: str, lengths: Sequence[int], *, temporary: bool):
        self.path = folder / f"{key}.bin"
        self._index = folder / f"{key}.json"
        self._temporary = folder if temporary else None
        self._offsets = [0, *itertools.accumulate(lengths)]
        self._lock = threading.Lock()
        self._own: Path | None = None
        self._handle = None
        published = self._published()
        self._crcs = published or [0] * len(lengths)
        self._complete = published is not None
        self._unchecked = np.full(len(lengths), self._complete)
        self._filled = np.full(len(lengths), self._complete)
        if not self._complete:
            handle, name = tempfile.mkstemp(prefix=f"{key}.", suffix=".tmp", dir=folder)
            self._own, self._handle = Path(name), os.fdopen(handle, "r+b", buffering=0)
            if fcntl:
                with contextlib.suppress(OSError):  # some network drives have no locks; age decides there
                    fcntl.flock(self._handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self._handle.truncate(self._offsets[-1])
        else:
            with contextlib.suppress(OSError):
                os.utime(self._index)  # used: not to be removed for its age
        self._map: np.ndarray | None = np.memmap(self._own or self.path, dtype=np.uint8, mode="r")

    @classmethod
    def open(cls, folder: Path, key: str, lengths: Sequence[int], *, chosen: bool) -> CacheFile | None:
        """The file of that key in `folder`, complete or new.

        Where `folder` cannot be written, a temporary folder serves for this run and the log says so; where the disk
        lacks room, None, and the log says that too.

        Args:
            folder: made where absent.
            key: digest of the contents.
            lengths: bytes of each part.
            chosen: the user chose `folder`: it has to be usable.

        Raises:
            UserError: a chosen folder cannot be written.
        """
        temporary = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            if not (folder / f"{key}.json").exists():
                with tempfile.TemporaryFile(dir=folder):
                    pass
        except OSError as error:
            if chosen:
                raise UserError(f"dataset.cache_path: {folder} cannot be written: {error.strerror or error}") from error
            _log.warning(
                "the image cache cannot be written to %s (%s): a temporary folder serves for this run",
                folder,
                error.strerror or error,
            )
            folder, temporary = Path(tempfile.mkdtemp(prefix="stm32pose_cache_")), True
        need, free = sum(lengths), shutil.disk_usage(folder).free
        try:
            if not (folder / f"{key}.json").exists() and need * 1.02 > free:
                raise OSError(f"{need / 1e9:.2f} GB needed, {free / 1e9:.2f} GB free")
            return cls(folder, key, lengths, temporary=temporary)
        except OSError as error:
            _log.warning(
                "no image cache in %s: %s. Images will be decoded anew in every epoch", folder, error.strerror or error
            )
            if temporary:
                shutil.rmtree(folder, ignore_errors=True)
            return None

    def read(self, index: int) -> np.ndarray | None:
        """uint8 [length] of a part, read-only; None while it has not been written, or where the file is damaged."""
        data = self._map
        if data is None or not self._filled[index]:
            return None
        part = data[self._offsets[index] : self._offsets[index + 1]]
        if self._unchecked[index]:
            if zlib.crc32(part.data) != self._crcs[index]:
                _log.warning("%s is damaged and partly of no use; remove it to have it made anew", self.path)
                self._filled[index] = False
                return None
            self._unchecked[index] = False
        return part

    def write(self, index: int, part: np.ndarray) -> None:
        """Keep a part; the last one publishes the file. A disk that fills up ends the caching, not the run."""
        data = part.data.cast("B")
        with self._lock:
            if self._handle is None or self._filled[index] or self._complete:
                return
            try:
                self._handle.seek(self._offsets[index])
                rest = data
                while rest:
                    rest = rest[self._handle.write(rest) :]
                if np.count_nonzero(self._filled) + 1 == len(self._filled):
                    os.fsync(self._handle.fileno())
            except OSError as error:
                _log.warning(
                    "the image cache %s cannot be written on (%s): images not in it will be decoded in every epoch",
                    self.path.parent,
                    error.strerror or error,
                )
                self._handle.close()
                self._handle = None
                return
            self._crcs[index] = zlib.crc32(data)
            self._filled[index] = True
            if self._filled.all():
                self._complete = True
                self._publish()

    def close(self) -> None:
        """Close the file; a part of a file is removed."""
        with self._lock:
            self._map = None
            if self._handle is not None:
                self._handle.close()
                self._handle = None
            if self._own:
                if self._complete:
                    self._publish()
                with contextlib.suppress(OSError):
                    self._own.unlink()
                self._own = None
            if self._temporary:
                shutil.rmtree(self._temporary, ignore_errors=True)

    def _published(self) -> list[int] | None:
        """CRCs of a complete file, or None where there is none, or it is not what its index says."""
        try:
            index = json.loads(self._index.read_text(encoding="utf-8"))
            crcs = index["crc32"]
            whole = self.path.stat().st_size == index["bytes"] == self._offsets[-1]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            whole, crcs = False, []
        if whole and isinstance(crcs, list) and len(crcs) == len(self._offsets) - 1:
            return crcs
        _log.warning("%s is cut off or damaged: it is made anew", self.path)
        return None

    def _publish(self) -> None:
        """Give the complete file its name, index last. What cannot be done now is tried again on closing."""
        if self._own is None:
            return
        try:
            self._own.replace(self.path)
            text = json.dumps({"bytes": self._offsets[-1], "crc32": self._crcs})
            handle, name = tempfile.mkstemp(prefix=f"{self.path.stem}.", suffix=".new", dir=self.path.parent)
            with os.fdopen(handle, "w", encoding="utf-8") as index:
                index.write(text)
                index.flush()
                os.fsync(index.fileno())
            Path(name).replace(self._index)
            self._own = None
        except OSError as error:
            _log.info("the image cache %s is not published yet: %s", self.path, error.strerror or error)


def _sweep(folder: Path) -> None:
    """Remove what killed runs left, and caches that nobody has used for a month."""
    now = time.time()
    for path in folder.glob("*.tmp"):
        with contextlib.suppress(OSError):
            if _abandoned(path, now):
                path.unlink()
    for path in itertools.chain(folder.glob("*.new"), folder.glob("*.bin")):
        with contextlib.suppress(OSError):
            unfinished = len(path.name.partition(".")[0]) == 32 and not path.with_suffix(".json").exists()
            if unfinished and now - path.stat().st_mtime > _ABANDONED_DAYS * 86400:
                path.unlink()
    for path in folder.glob("*.json"):
        with contextlib.suppress(OSError):
            if len(path.stem) == 32 and now - path.stat().st_mtime > _UNUSED_DAYS * 86400:
                _log.info("removing the image cache %s: not used for %d days", path.with_suffix(".bin"), _UNUSED_DAYS)
                path.unlink()
                path.with_suffix(".bin").unlink(missing_ok=True)


def _abandoned(path: Path, now: float) -> bool:
    """Whether no process holds a file of an unfinished cache."""
    if len(path.name.partition(".")[0]) != 32:
        return False
    if fcntl is None or now - path.stat().st_mtime > _ABANDONED_DAYS * 86400:
        return True
    with path.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True

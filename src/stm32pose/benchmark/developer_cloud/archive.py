"""Unpacking a server's archive into a folder, and nowhere else."""

from __future__ import annotations

import errno
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from stm32pose.benchmark.developer_cloud.errors import ServerBroken
from stm32pose.errors import UserError

try:
    from lzma import LZMAError
except ImportError:  # a Python without it: such an entry is then a RuntimeError
    LZMAError = zlib.error

DAMAGED = (
    zipfile.BadZipFile, zlib.error, LZMAError, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError
)  # fmt: skip
"""What zipfile raises for a damaged archive, an unknown method or a password."""
MOST_FILES = 20_000
MOST_BYTES = 2 << 30


def unpack(archive: Path, folder: Path) -> list[Path]:
    """Unpack a zip; returns the files written, sorted. All or nothing is unpacked before any file takes its place.

    Raises:
        ServerBroken: no zip, a damaged one, one too large, or one that would write outside `folder`.
        UserError: the disk refuses.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            entries = [entry for entry in content.infolist() if not entry.is_dir()]
            _check(entries)
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=".partial-", dir=folder, ignore_cleanup_errors=True) as temporary:
                names = [_write(content, entry, Path(temporary)) for entry in entries]
                return sorted(_place(Path(temporary) / name, folder, name) for name in names)
    except DAMAGED as error:
        raise _damaged(error) from error
    except OSError as error:
        # bzip2 gives no number; a place before the archive's beginning is an invalid argument.
        if error.errno in (None, errno.EINVAL):
            raise _damaged(error) from error
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from error


def _check(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise ServerBroken(f"generated code: the archive holds more than {MOST_FILES} files or {MOST_BYTES >> 30} GiB")
    for entry in entries:
        _inside(entry)


def _inside(entry: zipfile.ZipInfo) -> PurePosixPath:
    """The relative path of an entry. ServerBroken: it leads outside, or is a link."""
    text = entry.filename.replace("\\", "/")
    path = PurePosixPath(text)
    drive = ":" in path.parts[0] if path.parts else True
    if path.is_absolute() or drive or ".." in path.parts or stat.S_ISLNK(entry.external_attr >> 16):
        raise ServerBroken(f"generated code: the archive would write outside its folder ({entry.filename!r}): refused")
    return path


def _write(content: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> PurePosixPath:
    name = _inside(entry)
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with content.open(entry) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
    return name


def _damaged(error: Exception) -> ServerBroken:
    return ServerBroken(f"generated code: the server sent a damaged archive ({error or type(error).__name__})")


def _place(source: Path, folder: Path, name: PurePosixPath) -> Path:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    # A link that lies there already must not lead the file elsewhere.
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise ServerBroken(f"generated code: {target.parent} leads outside {folder}: refused")
    return source.replace(target)

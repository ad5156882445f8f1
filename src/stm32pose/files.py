"""Files that are whole, or as they were before: written beside their place, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from stm32pose.errors import UserError, first_line


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """A temporary path of the same name, whose file takes the place of `path` when the block ends well.

    It lies in a folder of its own beside `path`, on the same disk, and goes when the block fails: no listing ever shows
    half a file. The folder of `path` is made where it is missing.

    Args:
        path: the file to write.
        sync: wait until the disk has the content, so that a power cut does not leave an empty file either. Leave it
            out for thousands of small files that can be made again.

    Raises:
        UserError: the disk refuses, one line.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".partial-", dir=path.parent, ignore_cleanup_errors=True) as folder:
            temporary = Path(folder) / path.name
            yield temporary
            if sync:
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
            temporary.replace(path)
    except OSError as error:
        kept = "; what was there before is untouched" if path.exists() else ""
        raise UserError(f"{path}: cannot be written ({_reason(error, path)}){kept}") from error


def write_whole(path: Path, content: bytes | str, *, sync: bool = True) -> Path:
    """Write `content` (text as UTF-8, line ends as they are) by `replacing`; returns `path`. UserError as there."""
    with replacing(path, sync=sync) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _reason(error: OSError, path: Path) -> str:
    """What the system says, and of which file where that is another one."""
    text = os.strerror(error.errno) if error.errno else error.strerror or first_line(error)
    other = str(error.filename or "")
    return text if not other or Path(other).name == path.name or ".partial-" in other else f"{text}: {other}"

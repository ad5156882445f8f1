"""`FormBody`: a multipart form read while it is sent, so that a model is never held in memory whole."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from stm32pose.errors import UserError

BLOCK = 1 << 16


class FormBody:
    """Body of one POST: text fields, then files. A context manager; used once, a repeated request makes another.

    A body of a file's size in one piece would have to be sent within one socket timeout; read in blocks, each block has
    its own.
    """

    def __init__(self, fields: Mapping[str, str], files: Mapping[str, tuple[str, Path]]) -> None:
        """`files`: field -> (name for the server, local file). UserError: a file cannot be read."""
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._parts: list[BinaryIO] = []
        self._length = 0
        for name, value in fields.items():
            self._add_text(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n')
        for name, (filename, path) in files.items():
            self._add_text(
                f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n"
            )
            self._add_file(path)
            self._add_text("\r\n")
        self._add_text(f"--{boundary}--\r\n")

    def __enter__(self) -> FormBody:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(BLOCK):
            yield block

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes at most; empty at the end."""
        for part in self._parts:
            if block := part.read(size):
                return block
        return b""

    def close(self) -> None:
        """Close the files."""
        for part in self._parts:
            part.close()

    def _add_text(self, text: str) -> None:
        content = text.encode()
        self._parts.append(BytesIO(content))
        self._length += len(content)

    def _add_file(self, path: Path) -> None:
        try:
            file = path.open("rb")
            self._length += path.stat().st_size
        except OSError as error:
            self.close()
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error
        self._parts.append(file)

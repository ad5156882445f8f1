"""Files on the service: uploads under names of their own, downloads that are files, deletions."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from stm32pose.benchmark.developer_cloud.api import Api
from stm32pose.benchmark.developer_cloud.errors import CloudError, ModelNotFound, ServerBroken, UploadFailed
from stm32pose.benchmark.developer_cloud.http import Call, fail
from stm32pose.benchmark.developer_cloud.multipart import FormBody
from stm32pose.errors import UserError

log = logging.getLogger(__name__)

MODELS = "models"
INPUTS, OUTPUTS = "validation/inputs", "validation/outputs"
LONGEST_STEM = 48
CLEANING_S = 15.0
"""Deleting is a courtesy: it must not hold up the result, or a Ctrl-C, any longer."""


@dataclass(frozen=True)
class Files:
    """The file service."""

    api: Api

    def names(self, kind: str = MODELS) -> list[str]:
        """Names of the account's files. ServerBroken: the list cannot be understood."""
        what = "list of models"
        content = self.api.call(Call("GET", self._url(kind), what, as_json=True, follow=True)).json()
        if not isinstance(content, list):
            raise ServerBroken(f"{what}: the server answers {type(content).__name__}, not a list")
        names = [item.get("name") if isinstance(item, dict) else item for item in content]
        if not all(isinstance(name, str) for name in names):
            raise ServerBroken(f"{what}: an entry has no field 'name'")
        return names  # pyright: ignore[reportReturnType]

    def upload(self, path: Path, name: str | None = None, kind: str = MODELS) -> str:
        """Send a file; returns its name there. A name of its own unless one is given, so that runs do not meet.

        Raises:
            UserError: no such file, or it is empty.
            UploadFailed: the server did not take it.
        """
        check_file(path)
        name = name or unique_name(path)
        what = f"upload of {path.name}"

        def body() -> FormBody:
            return FormBody({}, {"file": (name, path)})

        reply = self.api.call(Call("POST", self._url(kind), what, body=body, as_json=True), UploadFailed)
        if reply.json_object().get("upload") is not True:
            raise UploadFailed(f"{what}: the server did not keep the file: {reply.words}")
        return name

    def download(self, name: str, output: Path, kind: str = MODELS) -> Path:
        """Fetch a file into `output`, whole or not at all; returns `output`.

        Raises:
            ModelNotFound: the service has no such file.
            ServerBroken: it sent something else than a file.
        """
        what = f"download of {name}"
        reply = self.api.send(Call("GET", self._url(kind, name), what, into=output, follow=True))
        if reply.status == 404:
            raise ModelNotFound(f"{what}: the service has no such file: {reply.words}")
        if reply.status != 200:
            raise fail(CloudError, reply)
        if reply.body:
            raise ServerBroken(f"{what}: the server sent no file: {reply.words}")
        return output

    def delete(self, name: str, kind: str = MODELS) -> None:
        """Remove a file. ModelNotFound: the service has no such file. CloudError: it does not confirm."""
        what = f"deletion of {name}"
        call = Call("DELETE", self._url(kind, name), what, as_json=True, deadline=time.monotonic() + CLEANING_S)
        reply = self.api.send(call)
        if reply.status == 404:
            raise ModelNotFound(f"{what}: the service has no such file: {reply.words}")
        if reply.status == 204:
            return
        if reply.status != 200 or reply.json_object().get("deleted") is not True:
            raise fail(CloudError, reply)

    @contextmanager
    def uploaded(self, path: Path, kind: str = MODELS) -> Iterator[str]:
        """The name of an uploaded file, which is removed when the block ends, however it ends."""
        check_file(path)
        name = unique_name(path)
        try:
            yield self.upload(path, name, kind)
        finally:
            # Also after a failed upload: the server may have kept it.
            self.discard(name, kind)

    def discard(self, name: str, kind: str = MODELS) -> None:
        """Remove a file; that it cannot be removed is only logged."""
        try:
            self.delete(name, kind)
        except ModelNotFound:
            pass
        except CloudError as error:
            log.warning("%s stays on the service: %s", name, str(error))

    def discard_made_of(self, name: str) -> None:
        """Remove what the service made of an uploaded model under a name we were not told."""
        stem = name.rpartition(".")[0] or name
        try:
            for made in self.names():
                if made != name and made.startswith(stem):
                    self.discard(made)
        except CloudError as error:
            log.warning("what was made of %s stays on the service: %s", name, str(error))

    def _url(self, kind: str, name: str | None = None) -> str:
        return f"{self.api.addresses.files}/files/{kind}" + (f"/{quote(name, safe='')}" if name else "")


def check_file(path: Path) -> None:
    """UserError: no such file, or it is empty."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")


def unique_name(path: Path) -> str:
    """A name for the server: letters, digits, `-` and `_` of the file's, eight random digits, the suffix."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", path.stem).strip("_")[:LONGEST_STEM] or "model"
    suffix = re.sub(r"[^a-z0-9.]", "", path.suffix.lower())
    return f"{stem}_{secrets.token_hex(4)}{suffix}"

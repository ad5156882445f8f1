"""Names and passwords of addresses stay out of what a run writes and shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from stm32pose.files import write_whole

# Up to the last @ before the path: a password may hold one, and quotes or # that should have been escaped.
_USERINFO = re.compile(r"(?<=://)[^/\s\"<>]*@")
HIDDEN = "***@"


def redact(text: str) -> str:
    """`text` with `***` for the `user:password` of every address in it: `https://***@host/path`."""
    return _USERINFO.sub(HIDDEN, text)


def redact_folder(folder: Path) -> None:
    """Redact the YAML files of a folder in place: what Hydra wrote before the run. UserError: the disk refuses."""
    for path in folder.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        if redact(text) != text:
            write_whole(path, redact(text), sync=False)


def redacted(value: Any) -> Any:
    """A JSON-able value with every text in it redacted; a copy."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: redacted(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(entry) for entry in value]
    return value

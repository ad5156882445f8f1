"""What an answer of the server says to people."""

from __future__ import annotations

import json
import math
from typing import Any

from stm32pose.benchmark.developer_cloud.pages import read_page
from stm32pose.benchmark.developer_cloud.redaction import Redactor

WORD_KEYS = ("error_description", "errors", "error", "message", "detail", "reason")


def server_words(body: bytes, content_type: str, redactor: Redactor) -> str:
    """What an answer says to people: the error fields of JSON, the error or the title of a page, or its text."""
    text = body[:100_000].decode("utf-8", errors="replace").strip()
    if not text:
        return ""
    if "html" in content_type or text[:1] == "<":
        return redactor.clean(read_page(text).words)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return redactor.clean(text)
    return redactor.clean(words_of(content))


def words_of(content: Any) -> str:
    """The message in a JSON answer: its error fields, lists and objects joined."""
    if isinstance(content, dict):
        found = [words_of(content[key]) for key in WORD_KEYS if content.get(key)]
        if found:
            return "; ".join(dict.fromkeys(found))
        return "; ".join(f"{key}: {words_of(value)}" for key, value in content.items())
    if isinstance(content, list):
        return "; ".join(words_of(item) for item in content)
    if isinstance(content, float) and not math.isfinite(content):
        return ""
    return "" if content is None else str(content)

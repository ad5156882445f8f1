"""`Redactor`: takes passwords and tokens out of texts before anyone sees them."""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus

from stm32pose.errors import LONGEST

HIDDEN = "***"
SHORTEST = 4
"""Shorter words would turn innocent texts into stars."""
PATTERNS = (
    (re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]+"), rf"\1{HIDDEN}"),
    (re.compile(r"""(?i)\b((?:access_token|refresh_token|id_token|password|ticket|code)(?:=|["']\s*:\s*["']))[^\s"'&]+"""),
     rf"\1{HIDDEN}"),
    (re.compile(r"(//)[^/@\s]+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"), HIDDEN),
)  # fmt: skip


class Redactor:
    """Knows the secrets of one connection."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"

    def add(self, *secrets: str | None) -> None:
        """From now on these words are hidden, also as they stand in addresses."""
        for secret in secrets:
            if secret and len(secret) >= SHORTEST:
                self._secrets |= {secret, quote(secret, safe=""), quote_plus(secret)}

    def clean(self, text: str, longest: int = LONGEST) -> str:
        """`text` on one line, without secrets and control characters, at most `longest` characters."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        for pattern, instead in PATTERNS:
            text = pattern.sub(instead, text)
        line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return line if len(line) <= longest else line[: longest - 3] + "..."

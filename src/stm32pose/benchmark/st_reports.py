"""What ST's reports of a network have in common, written by the program here or sent by the Developer Cloud.

That is `network_c_info.json` (`memory_pools`, `validation`) and the older `network_report.json`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

EXTERNAL_FROM = 0x6000_0000
"""Addresses from here on lie outside the chip of every STM32."""
METRICS = ("acc", "rmse", "mae", "l2r", "mean", "std", "nse", "cos")
"""Error metrics of a validation."""
METRIC_FIELDS = ("desc", "ts_name", *METRICS)
"""Those with the name of the comparison and of the tensor."""


def holds_data(pool: Mapping[str, Any]) -> bool:
    """Whether a memory pool counts: virtual ones and those made of others hold nothing of their own."""
    return not pool.get("virtual") and not pool.get("subpools")


def is_flash(pool: Mapping[str, Any]) -> bool:
    """Whether a pool lies in flash: called so, or read-only."""
    rights = str(pool.get("rights") or "").upper()
    return "flash" in str(pool.get("name") or "").lower() or ("READ" in rights and "WRITE" not in rights)


def is_external(pool: Mapping[str, Any]) -> bool | None:
    """Whether a pool lies outside the chip; None: not told, as where its address is a symbol of the linker.

    Older reports have no addresses: there the name tells.
    """
    if "EXTERNAL" in str(pool.get("name") or "").upper():
        return True
    value = pool.get("address")
    if value is None:
        return False
    address = address_of(value)
    return None if address is None else address >= EXTERNAL_FROM


def address_of(value: Any) -> int | None:
    """A number, `0x24000000` or `1000`; None for anything else, such as `NULL` or a symbol."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = value.strip() if isinstance(value, str) else ""
    return int(text, 0) if re.fullmatch(r"0[xX][0-9a-fA-F]+|0|[1-9][0-9]*", text) else None

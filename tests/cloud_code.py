"""What the in-suite Developer Cloud takes for generated code, and what it refuses."""

from __future__ import annotations

import shlex
from typing import Any

KEYS = {"inputDataType", "outputDataType", "includeLibraryForSerie", "extraCommandLineArguments"}
TYPES = ("uint8", "int8", "float32")
SERIES = ("H7", "F7", "F4", "L4", "G4", "F3", "U5", "U3", "L5", "N6", "F0", "L0", "G0", "C0", "WL", "MP1")
EXTRA = {
    "--inputs-ch-position": ("chfirst", "chlast"),
    "--outputs-ch-position": ("chfirst", "chlast"),
    "--c-api": ("st-ai", "legacy"),
}
"""What of the program's options has no field of its own; the Neural-ART compiler's are spelled --atonnOptions.NAME."""


def wrong_code(content: dict[str, Any]) -> str:
    """What is wrong with the fields of a request; empty where nothing is."""
    if any(content[key] not in TYPES for key in ("inputDataType", "outputDataType") if key in content):
        return "inputDataType or outputDataType"
    if content.get("includeLibraryForSerie", "STM32H7").removeprefix("STM32") not in SERIES:
        return "includeLibraryForSerie"
    profile = content.get("stNeuralArt")
    if profile is not None and ("@" in profile or content.get("target") != "stm32n6"):
        return "stNeuralArt"
    words = shlex.split(content.get("extraCommandLineArguments", ""))
    while words:
        word = words.pop(0)
        if word in EXTRA and (not words or words.pop(0) not in EXTRA[word]):
            return f"value of {word}"
        if word.startswith("--") and word not in EXTRA and not word.startswith("--atonnOptions."):
            return f"argument {word}"
    return ""

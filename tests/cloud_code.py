"""Which options the in-suite Developer Cloud takes, and which it refuses."""

from __future__ import annotations

import shlex
from typing import Any

MCU_KEYS = {
    "verbosity", "allocateInputs", "allocateOutputs", "series", "splitWeights", "noCFiles", "useCloud",
    "includeLibraryForIde", "optimization", "target", "stNeuralArt", "atonnOptions", "hsp", "fromModel", "mpool",
    "version", "model", "valinput", "valoutput", "statsType",
}  # fmt: skip
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
    """What is wrong with the fields that only generated code has; empty where nothing is."""
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


def wrong_mpu(content: dict[str, Any]) -> str:
    """What is wrong with a benchmark on a Linux board; empty where nothing is."""
    if set(content) != {"engine", "nbCores", "version", "model"}:
        return f"fields {sorted(content)}"
    if content["engine"] not in ("cpu", "hw_accelerator") or not isinstance(content["nbCores"], int):
        return "engine or nbCores"
    return ""


def wrong_mcu(content: dict[str, Any], board: str) -> str:
    """What is wrong with a benchmark on a microcontroller; empty where nothing is."""
    if unknown := set(content) - MCU_KEYS - {"extraCommandLineArguments"}:
        return f"unknown fields {sorted(unknown)}"
    if "N6" in board:
        fine = content.get("target") == "stm32n6" and isinstance(content.get("stNeuralArt"), str)
        compiler = content.get("atonnOptions") == {"enable-epoch-controller": True}
        # A file's profile sends its own options beside the service's profile.
        fine = fine and not wrong_code(content) and compiler != ("extraCommandLineArguments" in content)
        return "" if fine and "optimization" not in content else "options for the N6"
    if "U3C5" in board and (content.get("target") != "stm32u3" or not isinstance(content.get("hsp"), int)):
        return "options for the U3C5"
    return "" if content.get("optimization") in ("balanced", "time", "ram") else "optimization"

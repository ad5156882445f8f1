"""ST-LINKs plugged into this machine, and the options that make STM32CubeProgrammer flash through one of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stm32pose.errors import ConfigError, UserError, did_you_mean

KEY = "deployment.hardware_setup.stlink_serial_number"
ALIGN_SINCE = (2, 21)
"""From this version of STM32CubeProgrammer on, a signed binary of the STM32N6 does not start without `--align`."""


@dataclass(frozen=True)
class Probe:
    """An ST-LINK: its serial number, and the board it sits on as it tells itself (may be empty)."""

    serial: str
    board: str = ""

    def __str__(self) -> str:
        return f"{self.serial} ({self.board})" if self.board else self.serial


def read_probes(output: str) -> list[Probe]:
    """The ST-LINKs in the output of `STM32_Programmer_CLI --list`, each once.

    The same serial number is told again among serial ports; what is no plain serial number is a driver's error.
    """
    found: dict[str, Probe] = {}
    serial = ""
    for line in output.splitlines():
        if match := re.search(r"ST-?LINK SN\s*:\s*(\S+)", line, re.IGNORECASE):
            serial = match[1] if re.fullmatch(r"[0-9A-Za-z]{8,}", match[1]) else ""
            if serial:
                found.setdefault(serial, Probe(serial))
        elif serial and (match := re.search(r"Board(?: Name)?\s*:\s*([A-Za-z0-9][\w-]*)\s*$", line)):
            found[serial] = Probe(serial, match[1])
    return list(found.values())


def choose_probe(probes: Sequence[Probe], board: str, wanted: str | None) -> Probe:
    """The ST-LINK to flash through.

    The one of the given serial number; else the only one that sits on such a board, or that does not tell its board.

    Raises:
        ConfigError: several suit and none is chosen, or the chosen one is not there; the message lists what is.
        UserError: there is none, or none on such a board.
    """
    listed = ", ".join(map(str, probes))
    if not probes:
        raise UserError(
            f"no ST-LINK is found: connect {board}'s ST-LINK socket by a data cable and set its boot switches to "
            "development mode (Linux: are ST's udev rules installed?)"
        )
    if wanted is not None:
        for probe in probes:
            if probe.serial.lower() == wanted.lower():
                return probe
        near = did_you_mean(wanted, [probe.serial for probe in probes])
        raise ConfigError(f"{KEY}: got '{wanted}'; plugged in: {listed}{near}")
    suited = [probe for probe in probes if probe.board.upper() == board.upper()]
    suited = suited or [probe for probe in probes if not probe.board]
    if not suited:
        raise UserError(f"no ST-LINK sits on a {board}; plugged in: {listed}; to flash it anyway, name it in {KEY}")
    if len(suited) > 1:
        raise ConfigError(f"{KEY}: missing; several boards are plugged in: {', '.join(map(str, suited))}")
    return suited[0]


def connected(arguments: Sequence[str], *, serial: str | None, loader: Path | None) -> list[str]:
    """Arguments of STM32_Programmer_CLI with the ST-LINK, HOTPLUG and the external loader put in.

    Args:
        arguments: `-c port=swd ... -w FILE ADDRESS`, without the program.
        serial: of the ST-LINK; None: not chosen yet (a dry run).
        loader: file of the external loader; None: no external memory.
    """
    words = list(arguments)
    start = next((index for index, word in enumerate(words) if word in ("-c", "--connect")), None)
    if start is None:
        words[:0] = ["-c", "port=swd"]
        start = 0
    end = start + 1
    while end < len(words) and "=" in words[end] and not words[end].startswith("-"):
        end += 1
    options = [word for word in words[start + 1 : end] if not word.lower().startswith(("sn=", "index="))]
    if not any(word.lower().startswith("mode=") for word in options):
        options.append("mode=HOTPLUG")
    if serial:
        options.append(f"sn={serial}")
    loaders = ["-el", str(loader)] if loader and not {"-el", "--extload"} & set(words) else []
    return [*words[: start + 1], *options, *loaders, *words[end:]]


def programmer_version(output: str) -> tuple[int, ...]:
    """Version out of the banner `STM32CubeProgrammer v2.21.0`, or of `version: 2.21.0`; empty where it tells none."""
    match = re.search(r"(?:STM32CubeProgrammer|version)[^\d\n]{0,12}(\d+(?:\.\d+)+)", output, re.IGNORECASE)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def aligned(arguments: Sequence[str], version: tuple[int, ...]) -> list[str]:
    """Arguments of the signing tool; newer ones must be told to align the header."""
    words = list(arguments)
    if version >= ALIGN_SINCE and not {"-align", "--align"} & set(words):
        place = next((index for index, word in enumerate(words) if word in ("-o", "--output")), len(words))
        words.insert(place, "--align")
    return words

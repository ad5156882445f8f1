"""ST Edge AI Core's program: where it is, which version, and what its errors look like."""

from __future__ import annotations

import logging
import re
import signal
from dataclasses import dataclass, field
from pathlib import Path

from stm32pose.errors import ConfigError, UserError
from stm32pose.processes import Finished, run_program
from stm32pose.programs import PROGRAMS, check_name, find_program, is_called, is_placeholder

log = logging.getLogger(__name__)

KEY = "tools.stedgeai.path_to_stedgeai"
NAMES = ("stedgeai", "stm32ai")
CORE, CUBE_AI = "ST Edge AI Core", "STM32Cube.AI"
VERSION_S = 120
"""Longest that `--version` may take: the program unpacks itself first."""

_CODED = re.compile(r"^\s*(E\d{2,4}\b.*)")
_PLAIN = re.compile(r"^\s*((?:[A-Z][A-Z ]*)?ERROR\b.*|(?:INVALID|NOT IMPLEMENTED|INTERNAL)\b.*|.*\b[Ee]rror:.*)")


@dataclass(frozen=True)
class StEdgeAI:
    """The program.

    Attributes:
        path: the file.
        version: as it tells itself, such as `2.1.0`; its first line where that has no version.
        name: `ST Edge AI Core`, or `STM32Cube.AI` for releases up to 8.
        components: versions of its parts by name, such as {"STM32CubeAI": "10.2.0"}.
    """

    path: Path
    version: str
    name: str
    components: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """`ST Edge AI Core 2.1.0`."""
        return f"{self.name} {self.version}"

    @property
    def old(self) -> bool:
        """Whether it is STM32Cube.AI up to 8: no `--target`, inputs and outputs outside the activations unless told."""
        return self.name == CUBE_AI and (_number(self.version) or 9) < 9

    @property
    def root(self) -> Path:
        """Folder of the installation: the program lies in its Utilities/<system>."""
        folder = self.path.resolve().parent
        return folder.parent.parent if folder.parent.name == "Utilities" else folder


def find_stedgeai(given: str | None) -> tuple[Path | None, list[str]]:
    """(path of `stedgeai`, or of its older form `stm32ai`, or None; where it was looked for).

    Raises:
        ConfigError: `given` is a file of another name: a configuration may come from a stranger.
    """
    if given and not is_placeholder(Path(given)):
        path = Path(given).expanduser()
        older = is_called(NAMES[1], path) and not path.is_dir()
        if not older:
            check_name(NAMES[0], path, where=KEY)
        found, tried = find_program(NAMES[older], path)
        if found is None and path.is_dir():
            found, _ = find_program(NAMES[1], path)
        return found, tried
    tried = [f"{given} (a placeholder)"] if given else []
    for name in NAMES:
        found, places = find_program(name)
        tried += [place for place in places if place not in tried]
        if found is not None:
            return found, tried
    return None, tried


def need_stedgeai(given: str | None) -> Path:
    """As `find_stedgeai`, for who cannot go on without it. ConfigError: not found, with the places tried."""
    path, tried = find_stedgeai(given)
    if path is None:
        use = PROGRAMS[NAMES[0]].use
        raise ConfigError(f"{KEY}: stedgeai is not found ({use}); looked at {', '.join(tried)}")
    return path


def open_stedgeai(given: str | None, *, wanted_version: str | None = None) -> StEdgeAI:
    """Find the program and ask its version.

    Args:
        given: `tools.stedgeai.path_to_stedgeai`: the program or the folder of its installation; None: looked for.
        wanted_version: `tools.stedgeai.version`, of ST Edge AI Core or of STM32Cube.AI inside it; another one found is
            a warning, since only one is installed at a time.

    Raises:
        ConfigError: it is not found, with the places tried; or `given` is another program.
        UserError: it does not start, or does not answer.
    """
    path = need_stedgeai(given)
    done = run_program([path, "--version"], timeout_s=VERSION_S)
    if done.returncode:
        raise UserError(f"{path} --version: {reason_of(done)}")
    cli = _describe(path, done.output)
    if wanted_version and not _is_version(cli, wanted_version):
        log.warning("tools.stedgeai.version: got '%s', %s is %s; it is used", wanted_version, path, cli.label)
    return cli


def reason_of(done: Finished) -> str:
    """Why a run that did not end with status 0 failed: its own error line, or the signal that ended it."""
    if done.returncode < 0:
        try:
            name = signal.Signals(-done.returncode).name
        except ValueError:
            name = str(-done.returncode)
        return f"crashed ({name})"
    lines = [line.strip() for line in done.output.splitlines() if line.strip()]
    said = error_line(done.output) or (lines[-1] if lines else "said nothing")
    return f"failed with status {done.returncode}: {said}"[:400]


def error_line(output: str) -> str:
    """The line that says what is wrong: one with ST's error number first, else any error; empty where there is none."""
    lines = output.splitlines()
    for pattern in (_CODED, _PLAIN):
        for line in lines:
            if found := pattern.match(line):
                return found[1].strip()[:300]
    return ""


def _describe(path: Path, output: str) -> StEdgeAI:
    """Name and version out of `--version`: `ST Edge AI Core v2.0.0-20049` and its parts, or
    `Neural Network Tools for STM32 family v1.7.0 (stm.ai v8.1.0-19520)`."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    head = next((line for line in lines if re.search(r"\bv\d", line)), lines[0] if lines else "of unknown version")
    versions = re.findall(r"\bv(\d+(?:\.\w+)*)", head)
    core = re.search(r"st ?edge ?ai", head, re.IGNORECASE) is not None or (
        not versions and path.name.lower().startswith(NAMES[0])
    )
    parts = {}
    for line in lines:
        if found := re.fullmatch(r"([A-Za-z][\w .]*?)\s+v?(\d+(?:\.\w+)*)\S*", line):
            parts[found[1]] = found[2]
    return StEdgeAI(path, versions[-1] if versions else head[:80], CORE if core else CUBE_AI, parts)


def _is_version(cli: StEdgeAI, wanted: str) -> bool:
    """Whether the program, or STM32Cube.AI inside it, is the wanted version: `2.1` stands for every 2.1.x."""
    parts = wanted.strip().lower().removeprefix("v").split(".")
    return any(version.lower().split(".")[: len(parts)] == parts for version in (cli.version, *cli.components.values()))


def _number(version: str) -> int | None:
    found = re.match(r"\d+", version)
    return int(found[0]) if found else None

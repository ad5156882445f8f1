"""A Neural-ART profile of a user's file, in the form the service takes it: it cannot read files of this machine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stm32pose.benchmark.developer_cloud.files import check_file
from stm32pose.benchmark.developer_cloud.options import read_json
from stm32pose.errors import UserError, did_you_mean

SERVED = "default"
"""The service's own profile; the options of a file's profile are sent beside it."""


@dataclass(frozen=True)
class Profile:
    """A profile of the Neural-ART compiler.

    Attributes:
        name: as the service knows it.
        options: of the compiler, as arguments in the service's spelling; None: those of the service's profile.
        memory_pools: the .mpool file that it names.
        label: for people: `profile_O3 of user_neuralart.json`.
    """

    name: str
    options: list[str] | None = None
    memory_pools: Path | None = None
    label: str = SERVED


def takes_profile(options: Mapping[str, Any]) -> bool:
    """Whether these options are for a chip with the Neural-ART accelerator."""
    return "stNeuralArt" in options


def put_profile(options: dict[str, Any], neural_art: str | None) -> Profile:
    """The profile of `neural_art`, put into the options of `mcu_options`; None: they stay, with the service's default.

    The compiler's options go as arguments (`options.code_options`). UserError: as `read_profile`.
    """
    profile = read_profile(neural_art) if neural_art else Profile(SERVED)
    if neural_art:
        options["stNeuralArt"] = profile.name
    if profile.options is not None:
        options.pop("atonnOptions", None)
    return profile


def read_profile(neural_art: str) -> Profile:
    """What `PROFILE@FILE` says, or the name of a profile of the service.

    Raises:
        UserError: the file cannot be read, has no such profile, or names memory pools that are not there.
    """
    name, at, place = neural_art.partition("@")
    if not at:
        return Profile(name or SERVED, label=name or SERVED)
    file = Path(place).expanduser()
    profiles = _object(read_json(file, "a file of Neural-ART profiles"), "Profiles", file)
    if name not in profiles:
        raise UserError(
            f"{file}: got no profile '{name}'; there: {', '.join(profiles) or 'none'}{did_you_mean(name, profiles)}"
        )
    where = f"Profiles.{name}"
    profile = _object(profiles, name, file, where)
    try:
        words = shlex.split(_text(profile, "options", file, where))
    except ValueError as error:
        raise UserError(f"{file}: {where}.options: {error}") from error
    pools = _text(profile, "memory_pool", file, where)
    path = file.parent / pools if pools else None
    if path is not None and not path.is_file():
        raise UserError(f"{file}: {where}.memory_pool: {path} does not exist")
    return Profile(SERVED, [_served(word) for word in words], path, f"{name} of {file.name}")


def checked_pools(path: Path) -> Path:
    """The path of a .mpool file that can be sent. UserError: it is missing or not JSON."""
    check_file(path)
    read_json(path, "a memory pool file")
    return path


def _served(word: str) -> str:
    """The service's spelling of a compiler's option: --Os is --atonnOptions.Os."""
    return f"--atonnOptions.{word[2:]}" if word.startswith("--") else word


def _object(content: Any, key: str, file: Path, where: str = "") -> dict[str, Any]:
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, dict):
        raise UserError(f"{file}: {where or key}: got {type(value).__name__}, expected an object")
    return value


def _text(content: dict[str, Any], key: str, file: Path, where: str) -> str:
    value = content.get(key, "")
    if not isinstance(value, str):
        raise UserError(f"{file}: {where}.{key}: got {type(value).__name__}, expected text")
    return value

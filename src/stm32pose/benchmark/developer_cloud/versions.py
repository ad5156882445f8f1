"""The versions of ST Edge AI Core that the service offers."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from stm32pose.benchmark.developer_cloud.addresses import Addresses
from stm32pose.benchmark.developer_cloud.errors import RouteNotFound, ServerBroken, VersionNotFound
from stm32pose.benchmark.developer_cloud.http import Call, Http, fail
from stm32pose.errors import did_you_mean

log = logging.getLogger(__name__)
WHAT = "list of versions"


@dataclass(frozen=True)
class Version:
    """One version: its name, the older X-CUBE-AI name of its STM32 part, and whether it is the newest."""

    name: str
    stm32: str = ""
    newest: bool = False


def read_versions(http: Http, addresses: Addresses) -> list[Version]:
    """All versions, as the server lists them; no login is needed. ServerBroken: the list cannot be understood."""
    reply = http.send(Call("GET", addresses.versions, WHAT, as_json=True, follow=True))
    if reply.status != 200:
        raise fail(RouteNotFound if reply.status == 404 else ServerBroken, reply)
    content = reply.json()
    if not isinstance(content, list):
        raise ServerBroken(f"{WHAT}: the server answers {type(content).__name__}, not a list")
    versions = []
    for item in content:
        name = item.get("version") if isinstance(item, dict) else None
        # The name becomes part of an address.
        if not isinstance(name, str) or not re.fullmatch(r"[\w.+-]+", name):
            raise ServerBroken(f"{WHAT}: an entry has no usable field 'version'")
        platform = item.get("platform")
        stm32 = platform.get("stm32") if isinstance(platform, dict) else None
        versions.append(Version(name, str(stm32 or ""), item.get("isLatest") is True))
    if not versions:
        raise ServerBroken(f"{WHAT}: the list is empty")
    return versions


def choose_version(versions: list[Version], wanted: str | None) -> str:
    """The name of the wanted version; None: the newest. VersionNotFound: lists those there are."""
    if wanted is None:
        newest = next((version for version in versions if version.newest), None)
        return (newest or max(versions, key=lambda version: _numbers(version.name))).name
    for version in versions:
        if version.name == wanted:
            return version.name
    for version in versions:
        if _numbers(version.name) and _numbers(version.name) == _numbers(wanted):
            return version.name
    names = [version.name for version in versions]
    there = ", ".join(f"{one.name} (STM32: {one.stm32})" if one.stm32 else one.name for one in versions)
    raise VersionNotFound(
        f"tools.stedgeai.version: got '{wanted}'{did_you_mean(wanted, names)}; versions there: {there}; "
        "leave it out for the newest"
    )


def _numbers(name: str) -> tuple[int, ...]:
    """`v3.0.0` and `3.0` are the same: (3,). Anything that is not dots and digits is unlike all others."""
    if not re.fullmatch(r"v?\d+(\.\d+)*", name):
        return ()
    numbers = [int(part) for part in name.lstrip("v").split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)

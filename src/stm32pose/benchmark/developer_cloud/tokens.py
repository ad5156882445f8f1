"""`Token`, and where it is kept: the keyring of the operating system, or a file that only the user can read."""

from __future__ import annotations

import json
import logging
import os
import secrets
import stat
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stm32pose.benchmark.developer_cloud.errors import CloudError, ServerBroken, TokenFileUnsafe

log = logging.getLogger(__name__)

SERVICE = "stm32pose"
IN_CLEAR = ("keyrings.alt",)
"""Packages of keyrings that write in clear: our own file is better."""


@dataclass(frozen=True)
class Token:
    """What the sign-in gives.

    Attributes:
        access: goes with every request.
        refresh: gets the next one; None where the server gives none.
        expires_at: seconds since 1970 by this machine's clock; for people, the server's 401 is what counts.
        login: the user name it was obtained with.
    """

    access: str = field(repr=False)
    refresh: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    login: str = ""

    @classmethod
    def from_reply(cls, content: Mapping[str, Any], what: str, before: Token | None = None, login: str = "") -> Token:
        """The token in a server's answer; what is missing there stays as it was `before`. ServerBroken: no token."""
        access = content.get("access_token")
        if not isinstance(access, str) or not access or not access.isascii() or any(c.isspace() for c in access):
            raise ServerBroken(f"{what}: the server's answer has no usable field 'access_token'")
        refresh = content.get("refresh_token")
        lasts, until = content.get("expires_in"), content.get("expires_at")
        if isinstance(lasts, (int, float)):
            until = time.time() + lasts
        return cls(
            access=access,
            refresh=refresh if isinstance(refresh, str) and refresh else before.refresh if before else None,
            expires_at=float(until) if isinstance(until, (int, float)) else None,
            login=login or (before.login if before else ""),
        )


class TokenStore:
    """The token of one site, in the keyring or a file."""

    def __init__(self, host: str, folder: Path | None = None) -> None:
        self._host = host
        self._file = (folder or config_folder()) / f"token-{host.replace(':', '_')}.json"
        self.where = ""

    def load(self) -> Token | None:
        """The stored token. TokenFileUnsafe: its file can be read by others."""
        text = self._from_keyring()
        if text:
            self.where = "the keyring"
        elif text := _read_private(self._file):
            self.where = str(self._file)
        return _parse(text, self.where) if text else None

    def save(self, token: Token) -> None:
        """Keep a token; says in the log where. CloudError: neither keyring nor file takes it."""
        text = json.dumps(asdict(token))
        reason = self._to_keyring(text)
        if reason is None:
            self.where = "the keyring"
            self._file.unlink(missing_ok=True)
        else:
            _write_private(self._file, text)
            self.where = f"{self._file} (mode 0600; {reason})"
        log.info("token of the Developer Cloud kept in %s", self.where)

    def delete(self) -> bool:
        """Forget the token; whether there was one. CloudError: the keyring does not let it go."""
        there = self._file.is_file()
        self._file.unlink(missing_ok=True)
        if self._from_keyring():
            import keyring

            try:
                keyring.delete_password(SERVICE, self._host)
            except Exception as error:  # noqa: BLE001 - backends raise what their system raises
                raise CloudError(f"the keyring does not forget the token ({type(error).__name__})") from None
            there = True
        return there

    def _from_keyring(self) -> str | None:
        if _keyring_refused() is not None:
            return None
        import keyring

        try:
            return keyring.get_password(SERVICE, self._host)
        except Exception as error:  # noqa: BLE001 - backends raise what their system raises
            log.debug("the keyring cannot be read: %s", type(error).__name__)
            return None

    def _to_keyring(self, text: str) -> str | None:
        """None where the keyring has it, else the reason."""
        if (refused := _keyring_refused()) is not None:
            return refused
        import keyring

        try:
            keyring.set_password(SERVICE, self._host, text)
            # Some take anything and keep nothing.
            if keyring.get_password(SERVICE, self._host) == text:
                return None
            return "the keyring keeps nothing"
        except Exception as error:  # noqa: BLE001 - backends raise what their system raises
            return f"the keyring refuses: {type(error).__name__}"


def config_folder() -> Path:
    """The user's folder for our settings."""
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "stm32pose"


def _keyring_refused() -> str | None:
    """Why the keyring is not used; None where it is."""
    import keyring

    try:
        backend = keyring.get_keyring()
        priority = getattr(backend, "priority", 0)
    except Exception as error:  # noqa: BLE001 - backends raise what their system raises
        return f"no keyring: {type(error).__name__}"
    if priority <= 0:
        return "no keyring works here"
    if type(backend).__module__.startswith(IN_CLEAR):
        return "the keyring would keep it in clear"
    return None


def _parse(text: str, where: str) -> Token | None:
    try:
        content = json.loads(text)
        token = Token(
            access=content["access"],
            refresh=content.get("refresh"),
            expires_at=content.get("expires_at"),
            login=content.get("login", ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        log.warning("the token in %s cannot be read and is not used", where)
        return None
    return token if isinstance(token.access, str) and token.access else None


def _read_private(path: Path) -> str | None:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TokenFileUnsafe(f"{path}: cannot be read ({error.strerror}); remove it and log in again") from error
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
        found = os.fstat(descriptor)
        if os.name == "posix":
            mode = stat.S_IMODE(found.st_mode)
            if found.st_uid != os.getuid():
                raise TokenFileUnsafe(f"{path}: belongs to another user; remove it and log in again")
            if mode & 0o077:
                raise TokenFileUnsafe(
                    f"{path}: others can read it (mode {mode:04o}, allowed: 0600); the token in it may be known: "
                    "`stm32pose logout`, then log in again"
                )
        return file.read()


def _write_private(path: Path, text: str) -> None:
    """Write beside and rename; the file never exists with another mode than 0600."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CloudError(f"{path}: the token cannot be kept ({error.strerror})") from error

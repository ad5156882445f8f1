"""A Linux board over ssh: what may stand in its address and paths, and the arguments of ssh and scp.

Local programs get argument lists; the far side of ssh is a shell, so that every word sent there is quoted. Host keys
are checked: an unknown board is an error, never a question and never accepted silently.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stm32pose.errors import ConfigError

ADDRESS = "deployment.hardware_setup.ip_address"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_OPTIONS = ("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10")


@dataclass(frozen=True)
class Remote:
    """A board that is reached by ssh.

    Attributes:
        ssh, scp: the programs.
        user, host: account and address, both checked.
        key: private key; None: those that ssh tries.
    """

    ssh: Path
    scp: Path
    user: str
    host: str
    key: Path | None = None

    @property
    def options(self) -> list[str]:
        """No question, no unknown host, no endless wait."""
        return [*_OPTIONS, *(["-o", "IdentitiesOnly=yes", "-i", str(self.key)] if self.key else [])]

    def run(self, *words: str) -> list[str]:
        """The command line that runs `words` on the board."""
        return [str(self.ssh), *self.options, f"{self.user}@{self.host}", shlex.join(words)]

    def shell(self, line: str) -> list[str]:
        """The command line that has the board's shell read `line`: the caller has quoted what is in it."""
        return [str(self.ssh), *self.options, f"{self.user}@{self.host}", line]

    def copy(self, sources: Sequence[Path], folder: str) -> list[str]:
        """The command line that copies files and folders into a folder of the board."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        # Absolute: `a:b` would be a host named a, `-x` an option.
        paths = [str(source.absolute()) for source in sources]
        return [str(self.scp), *self.options, "-r", *paths, f"{self.user}@{host}:{folder}/"]


def checked_host(text: str | None) -> str:
    """An IP address or host name. ConfigError: it is none."""
    given = (text or "").strip()
    try:
        return str(ipaddress.ip_address(given))
    except ValueError:
        pass
    numeric = re.fullmatch(r"[0-9.]+", given) is not None
    if (
        numeric
        or is_address_placeholder(given)
        or len(given) > 253
        or not re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})*\.?", given)
    ):
        raise ConfigError(f"{ADDRESS}: got {text!r}; expected the board's IP address or host name, such as 192.168.7.1")
    return given


def is_address_placeholder(text: str | None) -> bool:
    """Whether an address is still ST's `X.X.X.X`."""
    return re.fullmatch(r"[xX]+(\.[xX]+)*", (text or "").strip()) is not None


def checked_user(text: str) -> str:
    """An account's name. ConfigError: it is none."""
    if not re.fullmatch(r"[a-z_][a-z0-9_.-]{0,31}", text):
        raise ConfigError(f"deployment.user: got {text!r}; expected the name of an account, such as root")
    return text


def checked_folder(text: str | None) -> str:
    """An absolute folder of the board made of plain characters. ConfigError: it is none."""
    path = PurePosixPath(text or "")
    if not re.fullmatch(r"(?:/[A-Za-z0-9_+][A-Za-z0-9_.+-]*)+/?", text or "") or ".." in path.parts:
        raise ConfigError(
            f"deployment.board_deploy_path: got {text!r}; expected an absolute folder of letters, digits and _ . + -, "
            "such as /usr/local/pose"
        )
    return str(path)


def checked_key(text: str | None) -> Path | None:
    """The private key. ConfigError: no such file."""
    if text is None:
        return None
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise ConfigError(f"deployment.ssh_key: no such file: {path}")
    return path


def plain_name(name: str) -> str:
    """A file's name that no shell and no script of the board trips over."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip("-.")
    return plain or "model"

"""Where the Developer Cloud is. From the environment only: a stranger's YAML must not send a password anywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from stm32pose.errors import ConfigError

BASE = "https://stedgeai-dc.st.com"
SSO = "https://sso.st.com"
CLIENT_ID = "oidc_prod_client_app_stm32ai"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Addresses:
    """Addresses of the services, without a slash at the end.

    Attributes:
        base: the site; its host is also the name under which a token is stored.
        sso: ST's sign-in; `client_id` and `callback` are what it knows this application by.
        user, files, nbg, benchmark: the services.
        stm32ai: analyse, generate, validate; `{version}` in it stands for the tool's version.
        versions: the list of versions.
        sign_in_hosts: more hosts that the sign-in may lead to (and that may see the password), beside those above
            and, where the SSO is ST's, ST's own.
    """

    base: str = BASE
    sso: str = SSO
    client_id: str = CLIENT_ID
    callback: str = f"{BASE}/callback"
    user: str = f"{BASE}/api/user_service"
    files: str = f"{BASE}/api/file"
    nbg: str = f"{BASE}/api/generate_nbg"
    benchmark: str = f"{BASE}/api/benchmark"
    stm32ai: str = f"{BASE}/api/{{version}}/stm32ai"
    versions: str = f"{BASE}/assets/versions.json"
    sign_in_hosts: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Addresses:
        """ST's addresses, changed by BASE_URL_DEVCLOUD and the variables of the single services.

        Raises:
            ConfigError: an address that is none, or not https (this machine's own addresses excepted).
        """
        given = os.environ if environment is None else environment
        base = _address(given, "BASE_URL_DEVCLOUD", BASE)
        return cls(
            base=base,
            sso=_address(given, "SSO_URL", SSO),
            client_id=given.get("CLIENTID", "").strip() or CLIENT_ID,
            callback=_address(given, "CALLBACK_URL", f"{base}/callback"),
            user=_address(given, "USER_SERVICE_URL", f"{base}/api/user_service"),
            files=_address(given, "FILE_SERVICE_URL", f"{base}/api/file"),
            nbg=_address(given, "GENERATE_NBG_SERVICE_URL", f"{base}/api/generate_nbg"),
            benchmark=_address(given, "BENCHMARK_SERVICE_URL", f"{base}/api/benchmark"),
            stm32ai=_address(given, "STM32AI_SERVICE_URL", f"{base}/api/{{version}}/stm32ai"),
            versions=_address(given, "VERSIONS_URL", f"{base}/assets/versions.json"),
            sign_in_hosts=tuple(host.strip().lower() for host in given.get("SSO_HOSTS", "").split(",") if host.strip()),
        )

    @property
    def host(self) -> str:
        """Host and port of the site."""
        return urlsplit(self.base).netloc.lower()

    def trusts(self, url: str) -> bool:
        """Whether the sign-in may go on at `url`: https (or this machine), a host of ours or of ST's sign-in."""
        host = (urlsplit(url).hostname or "").lower()
        if not host or not is_secure(url):
            return False
        sso = (urlsplit(self.sso).hostname or "").lower()
        ours = {(urlsplit(one).hostname or "").lower() for one in (self.sso, self.callback, self.user, self.base)}
        # ST's sign-in goes from sso.st.com over my.st.com.
        of_st = sso.endswith(".st.com") and host.endswith(".st.com")
        return host in ours or host in self.sign_in_hosts or of_st


def is_secure(url: str) -> bool:
    """https, or http on this very machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def same_origin(one: str, other: str) -> bool:
    """Whether two addresses share scheme, host and port."""
    return urlsplit(one)[:2] == urlsplit(other)[:2]


def without_query(url: str) -> str:
    """The address for a log: queries hold codes and tickets."""
    return url.partition("?")[0].partition("#")[0]


def _address(environment: Mapping[str, str], name: str, default: str) -> str:
    text = environment.get(name, "").strip() or default
    parts = urlsplit(text)
    try:
        sound = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound or parts.username or parts.query or parts.fragment:
        raise ConfigError(f"environment variable {name}: not an address (https://host/path, nothing after it)")
    if not is_secure(text):
        raise ConfigError(f"environment variable {name}: {parts.scheme}://{parts.hostname} is not https")
    path = "/".join(part for part in parts.path.split("/") if part)
    return f"{parts.scheme}://{parts.netloc}" + (f"/{path}" if path else "")

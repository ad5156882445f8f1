"""The in-suite Developer Cloud, and a client that asks it without waiting long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import keyring
import pytest
from cloud_server import PASSWORD, USER, CloudServer
from cloud_timing import FAST
from keyring.backends.fail import Keyring as NoKeyring

from stm32pose.benchmark.developer_cloud.client import CloudClient, connect

VARIABLES = (
    "BASE_URL_DEVCLOUD", "SSO_URL", "CLIENTID", "CALLBACK_URL", "USER_SERVICE_URL", "FILE_SERVICE_URL",
    "GENERATE_NBG_SERVICE_URL", "BENCHMARK_SERVICE_URL", "STM32AI_SERVICE_URL", "VERSIONS_URL", "SSO_HOSTS",
    "STM32AI_USERNAME", "STM32AI_PASSWORD", "stmai_username", "stmai_password", "STM32POSE_CLOUD_TOKEN",
    "STM32POSE_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NO_SSL_VERIFY", "STATS_TYPE",
    "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable, token or keyring of whoever runs the tests."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())
    yield
    keyring.set_keyring(before)


@pytest.fixture
def developer_cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudServer]:
    """The server; the environment sends every client there."""
    with CloudServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def log_in(developer_cloud: CloudServer) -> Iterator[Callable[..., CloudClient]]:
    """Makes a client that is logged in; closed after the test."""
    clients: list[CloudClient] = []

    def make(**given) -> CloudClient:
        arguments = {"ask": lambda: (USER, PASSWORD), "timing": FAST, **given}
        clients.append(connect(**arguments))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file of 3000 bytes, among them line ends and what looks like a boundary."""
    path = tmp_path / "mein Modell (1).tflite"
    path.write_bytes((b"\r\n--\x00\xff" + bytes(range(244))) * 12)
    return path

"""`stm32pose login` and `stm32pose logout`."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace

import pytest
from cloud_server import PASSWORD, USER

from stm32pose.benchmark.developer_cloud.errors import LoginNeeded
from stm32pose.commands.account import login, logout


def test_login_keeps_the_token_and_logout_forgets_it(developer_cloud, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("stm32pose.benchmark.developer_cloud.client.interactive_credentials", lambda: (USER, PASSWORD))
    assert login(Namespace()) == 0
    said = capsys.readouterr()
    assert f"logged in to ST Edge AI Developer Cloud as {USER}" in said.out
    (file,) = tmp_path.rglob("token-*.json")
    assert str(file) in said.out
    assert PASSWORD not in said.out + said.err
    assert login(Namespace()) == 0
    assert developer_cloud.requests["login"] == 1, "a good token is kept"
    assert logout() == 0
    assert "is forgotten" in capsys.readouterr().out
    assert not file.exists()
    assert logout() == 0
    assert "there was no token" in capsys.readouterr().out


def test_login_without_terminal(developer_cloud, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(LoginNeeded):
        login(Namespace())


def test_client_brings_nothing_heavy():
    code = (
        "import sys, stm32pose.benchmark.developer_cloud.client as c, stm32pose.commands.account as a; "
        "print([name for name in ('tensorflow', 'keyring', 'mlflow', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

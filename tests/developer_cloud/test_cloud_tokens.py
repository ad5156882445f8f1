"""Where tokens are kept."""

from __future__ import annotations

import os
import stat

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from stm32pose.benchmark.developer_cloud.errors import TokenFileUnsafe
from stm32pose.benchmark.developer_cloud.tokens import Token, TokenStore, config_folder

TOKEN = Token(access="the-access-token", refresh="the-refresh-token", expires_at=1.0, login="ada@example.com")
HOST = "stedgeai-dc.st.com"


class Drawer(KeyringBackend):
    """A keyring that works."""

    priority = 5  # pyright: ignore[reportAssignmentType]

    def __init__(self):
        super().__init__()
        self.entries = {}

    def get_password(self, service, username):
        return self.entries.get((service, username))

    def set_password(self, service, username, password):
        self.entries[service, username] = password

    def delete_password(self, service, username):
        del self.entries[service, username]


class Locked(Drawer):
    def get_password(self, service, username):
        raise KeyringLocked("locked")

    def set_password(self, service, username, password):
        raise KeyringLocked("locked")


class Sieve(Drawer):
    def set_password(self, service, username, password):
        pass


class Strange(Drawer):
    def set_password(self, service, username, password):
        raise ZeroDivisionError


def files(tmp_path):
    return list(tmp_path.rglob("token-*"))


def test_keyring_is_first(tmp_path, caplog):
    caplog.set_level("INFO")
    drawer = Drawer()
    keyring.set_keyring(drawer)
    TokenStore(HOST).save(TOKEN)
    assert list(drawer.entries) == [("stm32pose", HOST)]
    assert not files(tmp_path)
    assert "kept in the keyring" in caplog.text
    store = TokenStore(HOST)
    assert store.load() == TOKEN
    assert store.where == "the keyring"
    assert TokenStore("other.example").load() is None, "a token goes to its own site only"
    assert store.delete()
    assert not store.delete()
    assert store.load() is None


@pytest.mark.parametrize("backend", [Locked, Sieve, Strange])
def test_file_where_the_keyring_does_not_work(tmp_path, caplog, backend):
    caplog.set_level("INFO")
    keyring.set_keyring(backend())
    TokenStore(HOST).save(TOKEN)
    (file,) = files(tmp_path)
    assert str(file) in caplog.text
    assert "mode 0600" in caplog.text
    assert TokenStore(HOST).load() == TOKEN
    assert TokenStore(HOST).delete()
    assert not files(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_file_is_private_from_the_first_moment(tmp_path, monkeypatch):
    opened = []
    real = os.open

    def watched(path, flags, mode=0o777, **more):
        opened.append((flags, mode))
        return real(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", watched)
    before = os.umask(0)
    try:
        TokenStore(HOST).save(TOKEN)
    finally:
        os.umask(before)
    (file,) = files(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    writing = [(flags, mode) for flags, mode in opened if flags & os.O_WRONLY]
    assert writing
    assert all(mode == 0o600 and flags & os.O_EXCL for flags, mode in writing)
    TokenStore(HOST).save(Token(access="another"))
    assert TokenStore(HOST).load() == Token(access="another")
    assert files(tmp_path) == [file], "nothing is left beside it"


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_file_that_others_can_read_is_refused(tmp_path):
    TokenStore(HOST).save(TOKEN)
    (file,) = files(tmp_path)
    for mode in (0o640, 0o604, 0o620):
        file.chmod(mode)
        with pytest.raises(TokenFileUnsafe, match=r"others can read it \(mode 0\d+, allowed: 0600\)"):
            TokenStore(HOST).load()
    file.unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("{}")
    elsewhere.chmod(0o600)
    file.symlink_to(elsewhere)
    with pytest.raises(TokenFileUnsafe):
        TokenStore(HOST).load()


def test_keyring_takes_the_place_of_the_file(tmp_path):
    TokenStore(HOST).save(TOKEN)
    keyring.set_keyring(Drawer())
    assert TokenStore(HOST).load() == TOKEN, "still read from the file"
    TokenStore(HOST).save(TOKEN)
    assert not files(tmp_path)


def test_secrets_are_not_in_the_repr():
    assert "access-token" not in repr(TOKEN)
    assert "refresh-token" not in repr(TOKEN)


def test_config_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.platform", "linux")
    assert config_folder() == tmp_path / "settings" / "stm32pose"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("APPDATA", str(tmp_path / "roaming"))
    assert config_folder() == tmp_path / "roaming" / "stm32pose"

"""The sign-in, the renewal of tokens, and what is never sent."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
from cloud_faults import Fault, status
from cloud_server import PASSWORD, USER
from cloud_timing import FAST

from stm32pose.benchmark.developer_cloud.credentials import environment_credentials, interactive_credentials
from stm32pose.benchmark.developer_cloud.errors import (
    AccountBlocked,
    CloudError,
    LoginFailed,
    LoginNeeded,
    ServerBroken,
    TokenExpired,
    WrongCredentials,
)
from stm32pose.benchmark.developer_cloud.pages import read_page

PAIR = (USER, PASSWORD)


class Person:
    """Gives these pairs, one a question."""

    def __init__(self, *pairs):
        self.pairs = list(pairs)
        self.asked = 0

    def __call__(self):
        self.asked += 1
        return self.pairs.pop(0) if self.pairs else None


def nobody():
    pytest.fail("nobody may be asked")


def test_login_goes_through_all_hops_and_sends_every_hidden_field(developer_cloud, log_in):
    developer_cloud.hops = 6
    person = Person(PAIR)
    client = log_in(ask=person)
    assert client.user == USER
    assert person.asked == 1
    assert developer_cloud.requests["hop"] == developer_cloud.requests["after"] == 6
    assert developer_cloud.sent["login"]["csrf"] == 'c"1'
    assert "remember" not in developer_cloud.sent["login"], "a box that is not ticked is not sent"
    assert "q" not in developer_cloud.sent["login"], "the search form is another one"
    assert not developer_cloud.complaints


def test_stored_token_needs_no_password(developer_cloud, log_in):
    log_in()
    log_in(ask=nobody)
    log_in(ask=None)
    assert developer_cloud.requests["login"] == 1


def test_expired_token_is_refreshed_and_the_new_one_kept(developer_cloud, log_in):
    log_in()
    developer_cloud.revoke_tokens()
    log_in(ask=None)
    log_in(ask=None)
    assert developer_cloud.requests["refresh"] == 1
    assert developer_cloud.requests["login"] == 1


def test_expired_refresh_token_leads_to_a_login(developer_cloud, log_in):
    log_in()
    developer_cloud.revoke_tokens(refresh=True)
    person = Person(PAIR)
    log_in(ask=person)
    assert person.asked == 1
    assert developer_cloud.requests["login"] == 2


def test_token_that_expires_in_the_middle_is_refreshed(developer_cloud, log_in):
    client = log_in()
    developer_cloud.revoke_tokens()
    assert "STM32N6570-DK" in client.boards()
    assert developer_cloud.requests["refresh"] == 1


def test_what_was_typed_logs_in_again_in_the_middle_and_nobody_is_asked_twice(developer_cloud, log_in):
    person = Person(PAIR, PAIR)
    client = log_in(ask=person)
    developer_cloud.revoke_tokens(refresh=True)
    assert client.boards()
    assert person.asked == 1
    assert developer_cloud.requests["login"] == 2
    developer_cloud.users[USER] = "changed meanwhile"
    developer_cloud.revoke_tokens(refresh=True)
    with pytest.raises(WrongCredentials):
        client.boards()
    assert person.asked == 1
    assert developer_cloud.wrong[USER] == 1


def test_the_pair_that_was_accepted_comes_before_a_wrong_one_of_the_environment(developer_cloud, log_in, monkeypatch):
    monkeypatch.setenv("STM32AI_USERNAME", USER)
    monkeypatch.setenv("STM32AI_PASSWORD", "wrong in the environment")
    client = log_in(ask=Person(PAIR))
    developer_cloud.revoke_tokens(refresh=True)
    assert client.boards()
    assert developer_cloud.wrong[USER] == 1


def test_a_stored_token_that_dies_in_the_middle_asks_nobody(developer_cloud, log_in, monkeypatch):
    log_in()
    person = Person(PAIR)
    client = log_in(ask=person)
    developer_cloud.revoke_tokens(refresh=True)
    with pytest.raises(TokenExpired, match="stm32pose login"):
        client.boards()
    assert person.asked == 0, "it may be the middle of the night"
    monkeypatch.setenv("STM32AI_USERNAME", USER)
    monkeypatch.setenv("STM32AI_PASSWORD", PASSWORD)
    assert client.boards()
    assert person.asked == 0


def test_a_token_that_cannot_be_kept_serves_this_run(developer_cloud, log_in, monkeypatch, tmp_path, caplog):
    (tmp_path / "settings").write_text("a file where the folder should be")
    monkeypatch.setenv("STM32AI_USERNAME", USER)
    monkeypatch.setenv("STM32AI_PASSWORD", PASSWORD)
    # As a home that nobody may write to: reading finds nothing, writing fails.
    monkeypatch.setattr("stm32pose.benchmark.developer_cloud.tokens._read_private", lambda path: None)
    client = log_in(ask=None)
    assert "cannot be kept" in caplog.text
    assert "the token is used for this run alone" in caplog.text
    assert client.token_place.startswith("this run alone (")
    developer_cloud.revoke_tokens()
    assert client.boards(), "refreshed, and not kept either"
    developer_cloud.revoke_tokens(refresh=True)
    assert client.boards(), "logged in again"
    assert (developer_cloud.requests["refresh"], developer_cloud.requests["login"]) == (2, 2)


def test_a_store_that_cannot_be_read_does_not_stop_a_refresh(developer_cloud, log_in, monkeypatch, tmp_path):
    client = log_in()
    (file,) = tmp_path.rglob("token-*.json")
    file.chmod(0o644)
    developer_cloud.revoke_tokens()
    assert client.boards()
    assert developer_cloud.requests["refresh"] == 1


def test_an_older_token_on_the_disk_takes_no_place_of_one_that_cannot_be_kept(developer_cloud, log_in, monkeypatch):
    from stm32pose.benchmark.developer_cloud.errors import CloudError
    from stm32pose.benchmark.developer_cloud.tokens import TokenStore

    client = log_in()

    def refuse(self, token):
        raise CloudError("the token cannot be kept")

    monkeypatch.setattr(TokenStore, "save", refuse)
    for _ in range(3):
        developer_cloud.revoke_tokens()
        assert client.boards()
    assert (developer_cloud.requests["refresh"], developer_cloud.requests["login"]) == (3, 1)


def test_another_process_was_faster_with_the_refresh_token(developer_cloud, log_in):
    slow, fast = log_in(), log_in()
    developer_cloud.revoke_tokens()
    fast.boards()
    slow.boards()
    assert developer_cloud.requests["refresh"] == 1
    assert developer_cloud.requests["login"] == 1


@pytest.mark.parametrize("shift", [-1e9, 1e9])
@pytest.mark.parametrize("expires_in", [None, -1e9, 1e9])
def test_clocks_do_not_matter(developer_cloud, log_in, shift, expires_in):
    developer_cloud.expires_at_shift, developer_cloud.expires_in = shift, expires_in
    log_in()
    log_in(ask=None)
    assert developer_cloud.requests["refresh"] == 0, "the token is good whatever the clock says"
    developer_cloud.revoke_tokens()
    log_in(ask=None)
    assert developer_cloud.requests["refresh"] == 1, "the server's 401 counts"


def test_wrong_password_once_then_right(developer_cloud, log_in, caplog):
    person = Person((USER, "not it at all"), PAIR)
    assert log_in(ask=person).user == USER
    assert developer_cloud.wrong[USER] == 1
    assert "You have 4 attempts left" in caplog.text


def test_three_wrong_passwords_end_it_in_the_servers_words(developer_cloud, log_in):
    person = Person(*[(USER, f"wrong number {index}") for index in range(9)])
    with pytest.raises(WrongCredentials, match="You have 2 attempts left"):
        log_in(ask=person)
    assert person.asked == 3
    assert developer_cloud.wrong[USER] == 3


def test_the_same_wrong_pair_is_sent_once(developer_cloud, log_in, monkeypatch):
    monkeypatch.setenv("STM32AI_USERNAME", USER)
    monkeypatch.setenv("STM32AI_PASSWORD", "wrong in the environment")
    with pytest.raises(WrongCredentials):
        log_in(ask=None)
    assert developer_cloud.wrong[USER] == 1
    with pytest.raises(WrongCredentials):
        log_in(ask=lambda: (USER, "wrong in the environment"))
    assert developer_cloud.wrong[USER] == 2, "asked twice more, sent no more"


def test_blocked_account_is_not_tried_again(developer_cloud, log_in):
    developer_cloud.wrong[USER] = 5
    person = Person(PAIR, PAIR)
    with pytest.raises(AccountBlocked, match="exceeded 5 login attempts"):
        log_in(ask=person)
    assert person.asked == developer_cloud.requests["login"] == 1


def test_licence_page_is_told(developer_cloud, log_in):
    developer_cloud.licence = False
    with pytest.raises(LoginFailed, match=r"/my/cas/login \(HTTP 200\): Licence agreement: Accept the licence"):
        log_in()


def test_password_goes_to_no_strangers_host(developer_cloud, log_in):
    developer_cloud.foreign_hop = "https://stranger.example/my/cas/login"
    with pytest.raises(LoginFailed, match=r"stranger\.example.*nothing was sent"):
        log_in()
    assert developer_cloud.requests["login"] == 0


def test_a_page_without_form_is_told(developer_cloud, log_in):
    developer_cloud.faults.add("login_page", Fault("page"))
    with pytest.raises(LoginFailed, match="Maintenance: Back soon, where the form"):
        log_in()


@pytest.mark.parametrize(
    "fault", [Fault("drop_late"), Fault("drop"), status(500), status(502), Fault("hang", seconds=2)]
)
def test_password_is_not_sent_again_where_it_may_have_arrived(developer_cloud, log_in, fault):
    developer_cloud.faults.add("login", fault)
    with pytest.raises(CloudError):
        log_in()
    assert developer_cloud.requests["login"] == 1


@pytest.mark.parametrize("route", ["authorize", "hop", "login_page", "after"])
def test_pages_are_fetched_again(developer_cloud, log_in, route):
    developer_cloud.faults.add(route, status(500), Fault("drop"))
    assert log_in().user == USER


def test_foreign_state_is_refused(developer_cloud, log_in, monkeypatch):
    monkeypatch.setattr("cloud_sign_in.urlencode", lambda query: "code=abcdef&state=foreign")
    with pytest.raises(LoginFailed, match="foreign 'state'"):
        log_in()
    assert developer_cloud.requests["callback"] == 0


def test_refused_code_keeps_the_servers_words(developer_cloud, log_in, monkeypatch):
    monkeypatch.setattr("cloud_sign_in.urlencode", lambda query: "code=unknowncode")
    with pytest.raises(LoginFailed, match="unknown code"):
        log_in()


@pytest.mark.parametrize("body", [{}, [], {"access_token": None}, {"access_token": "with space"}, {"access_token": 7}])
def test_garbled_token_answer(developer_cloud, log_in, body):
    developer_cloud.faults.add("callback", Fault("body", body=body))
    with pytest.raises(ServerBroken, match=r"access_token|not an object"):
        log_in()


def test_nobody_to_ask(developer_cloud, log_in, capsys, monkeypatch):
    with pytest.raises(LoginNeeded, match=r"stm32pose login.*STM32AI_USERNAME.*STM32AI_PASSWORD"):
        log_in(ask=None)
    with pytest.raises(LoginNeeded):
        log_in(ask=lambda: None)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert interactive_credentials() is None
    assert developer_cloud.requests["login"] == 0


def test_environment_credentials(developer_cloud, log_in, monkeypatch):
    monkeypatch.setenv("stmai_username", USER)
    monkeypatch.setenv("stmai_password", PASSWORD)
    assert log_in(ask=nobody).user == USER
    assert environment_credentials({"STM32AI_USERNAME": "a", "STM32AI_PASSWORD": "b", "stmai_username": "c"}) == (
        "a",
        "b",
    )
    assert environment_credentials({}) is None
    with pytest.raises(CloudError, match="STM32AI_PASSWORD is set but STM32AI_USERNAME is not"):
        environment_credentials({"STM32AI_PASSWORD": "b"})


def test_another_users_stored_token_is_not_used(developer_cloud, log_in, monkeypatch):
    log_in()
    developer_cloud.users["bob@example.com"] = "another-password"
    monkeypatch.setenv("STM32AI_USERNAME", "bob@example.com")
    monkeypatch.setenv("STM32AI_PASSWORD", "another-password")
    assert log_in(ask=None).user == "bob@example.com"


def test_token_of_the_environment(developer_cloud, log_in, monkeypatch, tmp_path):
    token = developer_cloud.new_token("ci@example.com")["access_token"]
    monkeypatch.setenv("STM32POSE_CLOUD_TOKEN", token)
    client = log_in(ask=nobody)
    assert client.user == "ci@example.com"
    assert not list(tmp_path.rglob("token-*.json")), "it is not kept"
    developer_cloud.revoke_tokens()
    with pytest.raises(TokenExpired):
        client.boards()
    with pytest.raises(TokenExpired, match="STM32POSE_CLOUD_TOKEN is not accepted"):
        log_in(ask=nobody)


def test_interactive_credentials(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: " ada@example.com \n", raising=False)
    monkeypatch.setattr("getpass.getpass", lambda *args, **kwargs: "secret word")
    assert interactive_credentials() == ("ada@example.com", "secret word")
    assert capsys.readouterr().out == "", "standard output belongs to the results"


def test_no_secret_in_logs_errors_or_reprs(developer_cloud, log_in, caplog, model):
    caplog.set_level(logging.DEBUG)
    developer_cloud.echo_token = True
    client = log_in(ask=Person((USER, "wrong-password-1"), PAIR))
    texts = [repr(client), repr(vars(client)), repr(client._api.account._token), repr(client._api.http.redactor)]
    developer_cloud.revoke_tokens()
    developer_cloud.faults.add("boards", *[status(500)] * FAST.attempts)
    with pytest.raises(ServerBroken) as broken:
        client.boards()
    assert "***" in str(broken.value), "the server did say the token"
    developer_cloud.faults.add("upload", status(422))
    with pytest.raises(CloudError) as refused:
        client.upload(model)
    with_a_token_alone = log_in(ask=None)
    developer_cloud.faults.add("refresh", status(418))
    developer_cloud.revoke_tokens()
    with pytest.raises(TokenExpired) as expired:
        with_a_token_alone.boards()
    developer_cloud.revoke_tokens(refresh=True)
    developer_cloud.faults.add("callback", status(400))
    with pytest.raises(LoginFailed) as failed:
        log_in(ask=Person(PAIR))
    developer_cloud.faults.add("login", status(418))
    with pytest.raises(LoginFailed, match=r"HTTP 418.*\*\*\*") as echoed:
        log_in(ask=Person(PAIR))
    for error in (broken, refused, expired, failed, echoed):
        link = error.value
        while link is not None:
            texts.append(f"{link} {link!r}")
            link = link.__cause__ or link.__context__
    everything = caplog.text + "".join(texts)
    assert "urllib3" in caplog.text, "the debug lines of the libraries are looked at too"
    for secret in (PASSWORD, "wrong-password-1", *developer_cloud.secrets_given):
        assert secret not in everything
    assert "ticket=" not in everything
    assert not re.search(r"\bcode=(?!\*\*\*)", everything)


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"refresh": "only"}), json.dumps({"access": 5})])
def test_damaged_token_file_means_a_new_login(developer_cloud, log_in, tmp_path: Path, content):
    log_in()
    (file,) = tmp_path.rglob("token-*.json")
    file.write_text(content)
    log_in()
    assert developer_cloud.requests["login"] == 2


def test_broken_page_is_read_as_far_as_it_goes():
    page = read_page("</div><form action=x><input type=hidden name=a value=1><input type=password name=p><b>Hi")
    assert page.sign_in is not None
    assert page.sign_in.fields == {"a": "1"}
    assert page.words == "Hi"
    assert read_page("").forms == []

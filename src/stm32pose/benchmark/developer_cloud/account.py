"""`Account`: the token of this session, its renewal, and whoever it belongs to."""

from __future__ import annotations

import logging
import os

from stm32pose.benchmark.developer_cloud.addresses import Addresses
from stm32pose.benchmark.developer_cloud.credentials import Ask, Credentials, environment_credentials
from stm32pose.benchmark.developer_cloud.errors import CloudError, LoginNeeded, TokenExpired, WrongCredentials
from stm32pose.benchmark.developer_cloud.http import Call, Http, fail
from stm32pose.benchmark.developer_cloud.login import log_in
from stm32pose.benchmark.developer_cloud.tokens import Token, TokenStore

log = logging.getLogger(__name__)

TOKEN_VARIABLE = "STM32POSE_CLOUD_TOKEN"  # noqa: S105 - a name
MOST_PASSWORDS = 3
"""ST locks an account after five wrong ones."""
HOW_TO = (
    "log in with `stm32pose login`, or set STM32AI_USERNAME and STM32AI_PASSWORD, or STM32POSE_CLOUD_TOKEN "
    "(docs/developer_cloud.md)"
)


class Account:
    """The token and how to get the next. Whether one is valid the server decides, not a clock.

    A person is asked in `open` alone. What a sign-in accepted is remembered as long as this object lives, so that a job
    of hours goes on when its tokens die; it is written nowhere.
    """

    def __init__(self, http: Http, addresses: Addresses, store: TokenStore, ask: Ask | None) -> None:
        self._http = http
        self._addresses = addresses
        self._store = store
        self._ask = ask
        self._accepted: Credentials | None = None
        self._token: Token | None = None
        self._unkept = ""
        self._from_variable = False
        self.user = ""

    @property
    def access(self) -> str:
        """The token that goes with a request. LoginNeeded: there is none."""
        if self._token is None:
            raise LoginNeeded(f"not logged in: {HOW_TO}")
        return self._token.access

    @property
    def where(self) -> str:
        """Where the token is kept, or why it is not."""
        if self._unkept:
            return f"this run alone ({self._unkept})"
        return f"the environment variable {TOKEN_VARIABLE}" if self._from_variable else self._store.where

    def open(self) -> None:
        """Get a token that the server takes: the given, the stored, the refreshed one, or a new one.

        A token alone may die while nobody is there: where its refresh then fails too, only credentials of the
        environment or those just given get a new one.

        Raises:
            LoginNeeded: there is none, and nobody to ask.
            TokenExpired: the token of the environment is not taken.
            WrongCredentials, AccountBlocked, LoginFailed: the sign-in failed.
        """
        try:
            self._open()
        finally:
            self._ask = None

    def _open(self) -> None:
        if given := os.environ.get(TOKEN_VARIABLE, "").strip():
            self._from_variable = True
            self._take(Token(access=given))
            if not self._known():
                raise TokenExpired(f"the token in {TOKEN_VARIABLE} is not accepted; make a new one")
            return
        stored = self._stored()
        if stored is not None:
            self._take(stored)
            if self._known() or (self.refresh() and self._known()):
                return
            log.info("the stored token is no longer accepted: logging in again")
        if not self.log_in():
            raise LoginNeeded(f"not logged in: {HOW_TO}")
        if not self._known():
            raise TokenExpired("the service does not accept the token that the sign-in just gave")

    def refresh(self) -> bool:
        """Trade the refresh token for a new token; whether there is a new one."""
        old = self._token
        if old is None or self._from_variable:
            return False
        try:
            # What lies there is older than a token that could not be kept.
            stored = None if self._unkept else self._stored()
        except CloudError as error:
            log.warning("%s; the token in use is renewed all the same", str(error))
            stored = None
        if stored is not None and stored.access != old.access:
            # Another process was faster, and a refresh token works once.
            self._take(stored)
            return True
        if not old.refresh:
            return False
        what = "refreshing the token"
        url = f"{self._addresses.user}/login/refresh"
        try:
            reply = self._http.send(
                Call("POST", url, what, repeat="unserved", form={"refresh_token": old.refresh}, attempts=3)
            )
            if reply.status != 200:
                raise fail(TokenExpired, reply)
            new = Token.from_reply(reply.json_object(), what, before=old)
        except CloudError as error:
            log.info("%s", str(error))
            return False
        self._keep(new)
        return True

    def log_in(self) -> bool:
        """Sign in with the pair accepted before, else the environment's, else a person's, at most three passwords.

        Returns:
            Whether there is a new token; False: nobody has credentials.

        Raises:
            WrongCredentials: no pair was right; the server's last words.
            AccountBlocked, LoginFailed: see `login.log_in`.
        """
        if self._from_variable:
            return False
        tried: set[Credentials] = set()
        refused: WrongCredentials | None = None
        for number in range(MOST_PASSWORDS):
            pair = (self._accepted or environment_credentials()) if number == 0 else None
            pair = pair or (self._ask() if self._ask is not None else None)
            if pair is None:
                break
            if pair in tried:
                log.warning("the same user name and password again: not sent, it would count as a wrong one")
                continue
            tried.add(pair)
            try:
                token = log_in(self._addresses, self._http.timing, self._http.redactor, *pair)
            except WrongCredentials as error:
                refused = error
                if self._ask is not None and number < MOST_PASSWORDS - 1:
                    log.warning("%s", str(error))
                continue
            self._accepted = pair
            self._keep(token)
            return True
        if refused is not None:
            raise refused
        return False

    def _stored(self) -> Token | None:
        token = self._store.load()
        wanted = environment_credentials()
        if token is not None and wanted is not None and token.login and token.login != wanted[0]:
            log.info("the stored token is another user's than the environment names: logging in")
            return None
        return token

    def _known(self) -> bool:
        """Whether the server takes the token; who it belongs to goes into `user`."""
        what = "checking the token"
        url = f"{self._addresses.user}/login/authenticate"
        reply = self._http.send(Call("POST", url, what, form={"access_token": self.access}, as_json=True))
        if reply.status in (400, 401, 403):
            log.debug("%s: HTTP %d: %s", what, reply.status, reply.words)
            return False
        if reply.status != 200:
            raise fail(CloudError, reply)
        self.user = str(reply.field("sub"))
        return True

    def _take(self, token: Token) -> None:
        self._http.redactor.add(token.access, token.refresh)
        self._token = token

    def _keep(self, token: Token) -> None:
        """Take a token and store it. That it cannot be stored is no reason to lose it."""
        self._take(token)
        try:
            self._store.save(token)
        except (CloudError, OSError) as error:
            self._unkept = str(error)
            log.warning("%s; the token is used for this run alone", self._unkept)
        else:
            self._unkept = ""

"""What can go wrong with ST's Developer Cloud, one class a cause; the text keeps the server's own words."""

from __future__ import annotations

from collections.abc import Iterable

from stm32pose.errors import UserError, did_you_mean


class CloudError(UserError):
    """Something about the Developer Cloud. One line: what was done, what came back, what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Developer Cloud: {text}")


class LoginNeeded(CloudError):
    """No token and no credentials."""


class WrongCredentials(CloudError):
    """The user name or the password is wrong."""


class AccountBlocked(CloudError):
    """ST has locked the account after too many wrong passwords."""


class LoginFailed(CloudError):
    """The sign-in ended on another page than expected: a licence to accept, a changed form, a stranger's host."""


class TokenExpired(CloudError):
    """The token is no longer accepted and no new one can be had."""


class TokenFileUnsafe(CloudError):
    """The token's file can be read by others, or is not ours."""


class Refused(CloudError):
    """HTTP 403: the account may not do this."""


class RouteNotFound(CloudError):
    """HTTP 404 where the service should be: the address is wrong or the service has moved."""


class VersionNotFound(CloudError):
    """The version of ST Edge AI Core is not one the service offers."""


class BoardNotFound(CloudError):
    """The service does not have the board (now)."""

    def __init__(self, board: str, known: Iterable[str], words: str = "") -> None:
        names = sorted(known)
        there = ", ".join(names) or "none"
        said = f" ({words})" if words else ""
        super().__init__(f"benchmarking.board: got '{board}'{said}{did_you_mean(board, names)}; boards there: {there}")
        self.board = board


class QueueTimeout(CloudError):
    """A job was not done in time."""


class BenchmarkFailed(CloudError):
    """The service could not run the benchmark."""

    def __init__(self, board: str, message: str) -> None:
        super().__init__(f"benchmark on {board} failed: {message}")
        self.board = board
        self.message = message


class AnalyzeFailed(CloudError):
    """The service could not analyse the model."""


class GenerateFailed(CloudError):
    """The service could not generate code."""


class ValidateFailed(CloudError):
    """The service could not validate the model."""


class NbgFailed(CloudError):
    """The service could not convert the model to a network binary graph."""


class UploadFailed(CloudError):
    """The service did not take a file."""


class ModelNotFound(CloudError):
    """The service does not have the file."""


class RateLimited(CloudError):
    """HTTP 429, again and again."""


class ServerBroken(CloudError):
    """The server fails (HTTP 5xx) or answers what cannot be understood."""


class ConnectionLost(CloudError):
    """The server cannot be reached, or the connection dropped."""


class TlsFailed(CloudError):
    """The server's certificate is not trusted."""

"""What may be tried again, and after how long."""

from __future__ import annotations

import email.utils
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, stop_before_delay

from stm32pose.benchmark.developer_cloud.errors import CloudError, ConnectionLost, RateLimited, ServerBroken, TlsFailed
from stm32pose.benchmark.developer_cloud.redaction import Redactor

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Repeat = Literal["always", "unserved", "never"]
"""`always`: done twice is as good as once (GET, DELETE, upload under a name). `unserved`: only where the server surely
did not take it (connection refused, 429, 503). `never`: a password, which counts towards the lock of the account."""

PASSING = (429, 500, 502, 503, 504)
"""HTTP statuses that may pass."""


@dataclass(frozen=True)
class Timing:
    """How long to wait for what, in seconds, and how often to try.

    Attributes:
        connect_s, read_s: for a connection, and for the next bytes of an answer.
        answer_s, transfer_s: for a whole answer, and for a whole file.
        attempts, patient_attempts: most tries of a request; of one that asks how a long job goes.
        first_wait_s, longest_wait_s: back-off, doubled each time, with jitter.
        longest_retry_after_s: most that a server's Retry-After is obeyed.
        poll_s: between two questions how a job goes.
    """

    connect_s: float = 10.0
    read_s: float = 60.0
    answer_s: float = 120.0
    transfer_s: float = 900.0
    attempts: int = 5
    patient_attempts: int = 10
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    longest_retry_after_s: float = 60.0
    poll_s: float = 2.0


class Again(Exception):
    """One attempt failed in a way that may pass.

    Attributes:
        error: what to raise when it does not pass.
        unserved: the server surely did not take the request.
        wait_s: what the server asks to wait.
    """

    def __init__(self, error: CloudError, *, unserved: bool, wait_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.unserved = unserved
        self.wait_s = wait_s


def attempt(
    action: Callable[[], Answer], repeat: Repeat, timing: Timing, *, count: int, deadline: float | None = None
) -> Answer:
    """Do `action`, again after each `Again` that `repeat` allows to repeat, `count` times at most.

    Args:
        deadline: on the monotonic clock; no attempt begins after it.

    Raises:
        CloudError: that of the last attempt.
    """

    def once() -> Answer:
        try:
            return action()
        except Again as again:
            if repeat == "always" or (repeat == "unserved" and again.unserved):
                raise
            raise again.error from None

    stop = stop_after_attempt(count)
    if deadline is not None:
        stop = stop | stop_before_delay(max(0.0, deadline - time.monotonic()))

    def wait(state: RetryCallState) -> float:
        asked = _again(state).wait_s
        if asked is not None:
            return min(asked, timing.longest_retry_after_s)
        return min(timing.longest_wait_s, timing.first_wait_s * 2 ** (state.attempt_number - 1 + random.random()))

    def tell(state: RetryCallState) -> None:
        log.debug("%s; again in %.1f s", str(_again(state)), state.upcoming_sleep)

    retrying = Retrying(
        retry=retry_if_exception_type(Again), stop=stop, wait=wait, before_sleep=tell, reraise=True, sleep=time.sleep
    )
    try:
        return retrying(once)
    except Again as again:
        raise again.error from None


def _again(state: RetryCallState) -> Again:
    error = state.outcome.exception() if state.outcome is not None else None
    if not isinstance(error, Again):
        raise TypeError("only an Again is tried again")
    return error


def from_status(status: int, headers: Mapping[str, str], what: str, words: str) -> Again:
    """What a status of PASSING means."""
    said = f": {words}" if words else ""
    if status == 429:
        error: CloudError = RateLimited(f"{what}: too many requests (HTTP 429){said}")
    else:
        error = ServerBroken(f"{what}: the server fails (HTTP {status}){said}")
    return Again(error, unserved=status in (429, 503), wait_s=retry_after(headers))


def from_exception(error: requests.RequestException, what: str, url: str, redactor: Redactor) -> Again:
    """What a failed exchange means. CloudError where trying again does not help."""
    host = urlsplit(url).hostname
    text = redactor.clean(str(error), longest=2000)
    if isinstance(error, requests.exceptions.SSLError) and "EOF" not in text:
        reason = text.rpartition("SSLError(")[2].strip("()") or text
        raise TlsFailed(
            f"{what}: the certificate of {host} is not trusted ({redactor.clean(reason)}); behind a company's proxy "
            "give the proxy's CA file in STM32POSE_CA_BUNDLE or REQUESTS_CA_BUNDLE"
        ) from None
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema)):
        raise ConnectionLost(
            f"{what}: not an address that can be asked, or a malformed http_proxy/https_proxy"
        ) from None
    if isinstance(error, requests.exceptions.ProxyError):
        if "407" in text:
            raise ConnectionLost(f"{what}: the proxy wants a login (HTTP 407); see http_proxy, https_proxy") from None
        return Again(
            ConnectionLost(f"{what}: the proxy does not let us through to {host} (http_proxy, https_proxy, no_proxy)"),
            unserved=True,
        )
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return Again(ConnectionLost(f"{what}: {host} does not answer (timed out connecting)"), unserved=True)
    if isinstance(error, requests.exceptions.Timeout) or "Read timed out" in text:
        return Again(ConnectionLost(f"{what}: {host} took the request but did not answer in time"), unserved=False)
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        reason = "its name is not known" if "resol" in str(cause).lower() else "connection refused"
        return Again(ConnectionLost(f"{what}: {host} cannot be reached ({reason})"), unserved=True)
    return Again(ConnectionLost(f"{what}: the connection to {host} dropped"), unserved=False)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header, as a number or a date; None where there is none to be understood."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isdigit():
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    # The server's own clock, where it tells it: ours may be wrong.
    try:
        now = email.utils.parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except ValueError:
        now = time.time()
    return max(0.0, until.timestamp() - now)

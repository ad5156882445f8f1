"""`Http`: one session with timeouts, retries and TLS that stays on. Answers are read whole, so nothing is left open."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

import stm32pose
from stm32pose.benchmark.developer_cloud.addresses import is_secure, same_origin, without_query
from stm32pose.benchmark.developer_cloud.errors import CloudError, ConnectionLost, LoginFailed, ServerBroken
from stm32pose.benchmark.developer_cloud.multipart import BLOCK, FormBody
from stm32pose.benchmark.developer_cloud.redaction import Redactor
from stm32pose.benchmark.developer_cloud.retries import (
    PASSING,
    Again,
    Repeat,
    Timing,
    attempt,
    from_exception,
    from_status,
)
from stm32pose.benchmark.developer_cloud.words import server_words
from stm32pose.errors import UserError
from stm32pose.files import replacing

log = logging.getLogger(__name__)

MOST_BYTES = 64 << 20
"""Longest answer that is kept in memory."""
MOST_FILE_BYTES = 4 << 30
SERVICES = "application/json, */*;q=0.5"
PAGES = "text/html, application/xhtml+xml, */*;q=0.8"
REDIRECTS = (301, 302, 303, 307, 308)
MOST_REDIRECTS = 10


@dataclass(frozen=True)
class Reply:
    """An answer of the server.

    Attributes:
        status, headers, body: as they came; `body` is empty where it went into a file.
        url: where it came from, after redirects.
        what: what was asked, for messages.
        words: what the server says, on one line, without secrets.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = field(repr=False)
    what: str
    words: str = ""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The body's JSON. ServerBroken: it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            said = f": {self.words}" if self.words else ""
            raise ServerBroken(f"{self.what}: the server's answer is not JSON{said}") from None

    def json_object(self) -> dict[str, Any]:
        """The body's JSON object. ServerBroken: it is something else."""
        content = self.json()
        if not isinstance(content, dict):
            raise ServerBroken(f"{self.what}: the server answers {type(content).__name__}, not an object")
        return content

    def field(self, name: str) -> Any:
        """A field of the body's JSON object. ServerBroken: it is missing or null."""
        value = self.json_object().get(name)
        if value is None:
            said = f": {self.words}" if self.words else ""
            raise ServerBroken(f"{self.what}: the server's answer has no field '{name}'{said}")
        return value


@dataclass(frozen=True)
class Call:
    """One request, as often as it must be sent."""

    method: str
    url: str
    what: str
    repeat: Repeat = "always"
    bearer: str | None = field(default=None, repr=False)
    params: Mapping[str, str] | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    content: Any = field(default=None, repr=False)
    body: Callable[[], FormBody] | None = None
    into: Path | None = None
    as_json: bool = False
    follow: bool = False
    deadline: float | None = None
    attempts: int | None = None
    limit_s: float | None = None


class Http:
    """A session of requests. Not for several threads at once."""

    def __init__(self, timing: Timing, redactor: Redactor, accept: str = SERVICES) -> None:
        """`accept`: what kinds of answers are welcome, SERVICES or PAGES."""
        self.timing = timing
        self.redactor = redactor
        self._verify = _ca_bundle()
        self._session = requests.Session()
        # Who we are, in the form that filters in front of web sites let through.
        agent = f"Mozilla/5.0 (compatible; stm32pose/{stm32pose.__version__})"
        self._session.headers.update({"Accept": accept, "User-Agent": agent})
        _hide_queries_in_logs()

    def close(self) -> None:
        """Close all connections."""
        _close_pools(self._session)
        self._session.close()

    def send(self, call: Call) -> Reply:
        """Send a request, again where it may be repeated; any status but 429 and 5xx is the caller's to judge.

        Raises:
            RateLimited, ServerBroken, ConnectionLost, TlsFailed: no answer worth reading, after all attempts.
            UserError: a local file cannot be read or written.
        """
        if call.repeat == "unserved":
            # On a kept connection a drop may mean that the server closed it long ago: then nobody knows what it took.
            _close_pools(self._session)
        count = call.attempts or self.timing.attempts
        return attempt(lambda: self._once(call), call.repeat, self.timing, count=count, deadline=call.deadline)

    def _once(self, call: Call) -> Reply:
        limit = call.limit_s or (self.timing.transfer_s if call.body or call.into else self.timing.answer_s)
        until = time.monotonic() + limit
        if call.deadline is not None:
            until = min(until, call.deadline)
        url, params = call.url, call.params
        started = time.monotonic()
        for _ in range(MOST_REDIRECTS):
            bearer = call.bearer if same_origin(url, call.url) else None
            reply = self._exchange(call, url, params, bearer, until)
            if not (call.follow and call.method == "GET" and reply.status in REDIRECTS):
                break
            url, params = urljoin(url, reply.headers.get("Location", "")), None
            if not is_secure(url):
                raise ServerBroken(f"{call.what}: the server redirects to {without_query(url)}, which is not https")
        log.debug("%s %s: %d, %.2f s", call.method, without_query(url), reply.status, time.monotonic() - started)
        if reply.status in PASSING:
            raise from_status(reply.status, reply.headers, call.what, reply.words)
        if call.as_json and reply.status == 200:
            try:
                reply.json()
            except ServerBroken as error:
                # Often a proxy's page, or half an answer: gone the next time.
                raise Again(error, unserved=False) from None
        return reply

    def _exchange(
        self, call: Call, url: str, params: Mapping[str, str] | None, bearer: str | None, until: float
    ) -> Reply:
        left = max(0.05, until - time.monotonic())
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        with ExitStack() as stack:
            data: Any = call.form
            if call.content is not None:
                data = json.dumps(call.content).encode()
                headers["Content-Type"] = "application/json"
            elif call.body is not None:
                data = stack.enter_context(call.body())
                headers["Content-Type"] = data.content_type
            try:
                response = self._session.request(
                    call.method,
                    url,
                    params=params,
                    data=data,
                    headers=headers,
                    # A callable keeps requests from putting ~/.netrc in the place of our header.
                    auth=_as_it_is,
                    timeout=(min(self.timing.connect_s, left), min(self.timing.read_s, left)),
                    allow_redirects=False,
                    stream=True,
                    verify=self._verify,
                )
            except requests.RequestException as error:
                raise from_exception(error, call.what, url, self.redactor) from None
            except OSError as error:
                raise Again(ConnectionLost(f"{call.what}: {self.redactor.clean(str(error))}"), unserved=False) from None
            stack.enter_context(response)
            chunks = _chunks(response, call.what, until)
            body = b""
            if call.into is not None and response.status_code == 200 and not _is_text(response):
                _write(call.into, chunks, call.what)
            else:
                body = _collect(chunks, MOST_BYTES, call.what)
            return Reply(
                status=response.status_code,
                headers=response.headers,
                body=body,
                url=url,
                what=call.what,
                words=server_words(body, response.headers.get("Content-Type", ""), self.redactor),
            )


def _chunks(response: requests.Response, what: str, until: float) -> Iterator[bytes]:
    """The body as it arrives: a server that drips must not hold us beyond `until`, which a full block would."""
    host = urlsplit(response.url).hostname
    try:
        while chunk := response.raw.read1(BLOCK, decode_content=True):
            yield chunk
            if time.monotonic() > until:
                raise Again(ConnectionLost(f"{what}: the answer takes too long"), unserved=False)
    except urllib3.exceptions.ReadTimeoutError:
        raise Again(ConnectionLost(f"{what}: {host} stopped in the middle of its answer"), unserved=False) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        reason = f"the connection to {host} dropped in the middle of the answer ({type(error).__name__})"
        raise Again(ConnectionLost(f"{what}: {reason}"), unserved=False) from None


def _collect(chunks: Iterator[bytes], most: int, what: str) -> bytes:
    parts, size = [], 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size > most:
            raise ServerBroken(f"{what}: the answer is longer than {most >> 20} MiB")
    return b"".join(parts)


def _write(path: Path, chunks: Iterator[bytes], what: str) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        size = 0
        for chunk in chunks:
            if size == 0 and chunk.lstrip()[:5].lower() in (b"<html", b"<!doc"):
                raise ServerBroken(f"{what}: the server sent a web page where a file was expected")
            file.write(chunk)
            size += len(chunk)
            if size > MOST_FILE_BYTES:
                raise ServerBroken(f"{what}: the file is longer than {MOST_FILE_BYTES >> 30} GiB")
        if size == 0:
            raise Again(ServerBroken(f"{what}: the server sent an empty file"), unserved=False)


def _is_text(response: requests.Response) -> bool:
    kind = response.headers.get("Content-Type", "").lower()
    return "html" in kind or "application/json" in kind


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _ca_bundle() -> str | bool:
    """What certificates are checked against. UserError: a variable names a file that is not there."""
    if os.environ.get("NO_SSL_VERIFY"):
        log.warning(
            "NO_SSL_VERIFY is set and ignored: certificates are always checked; a proxy's CA goes into "
            "STM32POSE_CA_BUNDLE"
        )
    for name in ("STM32POSE_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if value := os.environ.get(name):
            if not Path(value).exists():
                raise UserError(f"environment variable {name}: no file or folder of certificates at {value}")
            return value
    return True


class _NoQueries(logging.Filter):
    """Takes queries out of urllib3's debug lines: a sign-in's hold tickets and codes."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(without_query(arg) if isinstance(arg, str) else arg for arg in record.args)
        return True


def _hide_queries_in_logs() -> None:
    logger = logging.getLogger("urllib3.connectionpool")
    if not any(isinstance(one, _NoQueries) for one in logger.filters):
        logger.addFilter(_NoQueries())


def _close_pools(session: requests.Session) -> None:
    """Close what is kept open. Closing the session only lets go of it, and a stack trace may hold it much longer."""
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            for manager in (adapter.poolmanager, *adapter.proxy_manager.values()):
                for key in manager.pools.keys():  # noqa: SIM118 - it cannot be iterated
                    if (pool := manager.pools.get(key)) is not None:
                        pool.close()
                manager.clear()


def check_redirect(url: str, trusted: Callable[[str], bool]) -> None:
    """LoginFailed: the sign-in leads to a host that must not see the password."""
    if not trusted(url):
        raise LoginFailed(
            f"the sign-in leads to {urlsplit(url).scheme}://{urlsplit(url).hostname}, which is neither ST's nor "
            "named in SSO_URL, CALLBACK_URL or SSO_HOSTS; nothing was sent there"
        )


def fail(error: type[CloudError], reply: Reply) -> CloudError:
    """The error of a refused request, in the server's words."""
    return error(f"{reply.what}: HTTP {reply.status}" + (f": {reply.words}" if reply.words else ""))

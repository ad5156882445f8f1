"""The sign-in: ST's authorization-code flow, followed by hand so that the password goes nowhere else."""

from __future__ import annotations

import secrets
from dataclasses import replace
from urllib.parse import parse_qs, urljoin, urlsplit

from stm32pose.benchmark.developer_cloud.addresses import Addresses, without_query
from stm32pose.benchmark.developer_cloud.errors import AccountBlocked, LoginFailed, WrongCredentials
from stm32pose.benchmark.developer_cloud.http import PAGES, REDIRECTS, Call, Http, Reply, check_redirect
from stm32pose.benchmark.developer_cloud.pages import Form, Page, read_page
from stm32pose.benchmark.developer_cloud.redaction import Redactor
from stm32pose.benchmark.developer_cloud.retries import Timing
from stm32pose.benchmark.developer_cloud.tokens import Token

WHAT = "sign-in"
MOST_HOPS = 20
LOCKED = ("exceeded", "too many", "blocked", "locked", "suspended")


def log_in(addresses: Addresses, timing: Timing, redactor: Redactor, user: str, password: str) -> Token:
    """A token for a user name and a password, which is sent once.

    Raises:
        WrongCredentials, AccountBlocked: as the page says.
        LoginFailed: the sign-in ended elsewhere: a licence to accept, a changed page, a host that is not trusted.
        ConnectionLost, TlsFailed, ServerBroken, RateLimited: see `Http.send`.
    """
    redactor.add(password)
    http = Http(timing, redactor, PAGES)  # cookies of its own, thrown away with it
    try:
        state = secrets.token_urlsafe(24)
        code = _code(http, addresses, user, password, state)
        redactor.add(code)
        form = {"redirect_url": addresses.callback, "code": code}
        reply = http.send(
            Call("POST", f"{addresses.user}/login/callback", "sign-in, last step", repeat="unserved", form=form)
        )
        if reply.status != 200:
            raise LoginFailed(f"the code of the sign-in was not taken (HTTP {reply.status}): {reply.words}")
        content = reply.json_object()
        token = Token.from_reply(content, reply.what, login=user)
        redactor.add(token.access, token.refresh)
        return token
    finally:
        http.close()


def _code(http: Http, addresses: Addresses, user: str, password: str, state: str) -> str:
    query = {
        "response_type": "code",
        "client_id": addresses.client_id,
        "scope": "openid",
        "redirect_uri": addresses.callback,
        "response_mode": "query",
        "state": state,
    }
    first = Call("GET", f"{addresses.sso}/as/authorization.oauth2", WHAT, params=query)
    reply = http.send(first)
    reply, callback = _follow(http, addresses, reply)
    if callback is None:
        page = read_page(reply.text) if reply.status == 200 else Page()
        form = page.sign_in
        if form is None:
            raise LoginFailed(f"{_met(reply)}, where the form for user name and password should be")
        action = urljoin(reply.url, form.action)
        check_redirect(action, addresses.trusts)
        filled = _fill(form, user, password)
        # Sent again only where it was surely not taken: wrong passwords are counted.
        reply = http.send(Call("POST", action, WHAT, repeat="unserved", form=filled))
        if reply.status not in REDIRECTS:
            raise _refusal(reply)
        reply, callback = _follow(http, addresses, reply)
    if callback is None:
        raise LoginFailed(f"{_met(reply)} after the password was accepted; finish the sign-in in a browser once")
    return _code_of(http, callback, state)


def _follow(http: Http, addresses: Addresses, reply: Reply) -> tuple[Reply, str | None]:
    """Go where the pages lead. Returns the last page, and the callback's address once it is reached (not opened)."""
    for _ in range(MOST_HOPS):
        if reply.status not in REDIRECTS:
            return reply, None
        target = urljoin(reply.url, reply.headers.get("Location", ""))
        if urlsplit(target)[:3] == urlsplit(addresses.callback)[:3]:
            return reply, target
        check_redirect(target, addresses.trusts)
        reply = http.send(Call("GET", target, WHAT))
        reply = replace(reply, url=target)
    raise LoginFailed(f"more than {MOST_HOPS} redirects, the last to {without_query(reply.url)}")


def _fill(form: Form, user: str, password: str) -> dict[str, str]:
    """What a browser would send: all hidden fields, the button, user name and password."""
    fields = dict(form.fields)
    if form.button is not None:
        fields.setdefault(*form.button)
    fields.setdefault("_eventId", "Login")
    name = next((name for name in form.texts if "user" in name.lower() or "mail" in name.lower()), None)
    fields[name or (form.texts[0] if form.texts else "username")] = user
    fields[form.passwords[0]] = password
    return fields


def _refusal(reply: Reply) -> Exception:
    """What a page that comes back instead of a redirect means: its words tell the lock, its form a wrong password."""
    page = read_page(reply.text)
    words = reply.words or f"HTTP {reply.status}"
    if any(word in words.lower() for word in LOCKED):
        return AccountBlocked(f"ST has locked this account: {words}")
    if reply.status in (200, 401, 403) and (page.sign_in is not None or reply.status == 401):
        return WrongCredentials(f"user name or password refused: {words}")
    return LoginFailed(_met(reply))


def _code_of(http: Http, callback: str, state: str) -> str:
    query = {name: values[0] for name, values in parse_qs(urlsplit(callback).query).items()}
    if "error" in query:
        said = http.redactor.clean(": ".join(query[name] for name in ("error", "error_description") if name in query))
        raise LoginFailed(f"the sign-in was refused: {said}")
    if query.get("state", state) != state:
        raise LoginFailed("the sign-in came back with a foreign 'state'; nothing was taken from it")
    if not query.get("code"):
        raise LoginFailed("the sign-in came back without a code")
    return query["code"]


def _met(reply: Reply) -> str:
    said = f": {reply.words}" if reply.words else ""
    return f"the sign-in met {without_query(reply.url)} (HTTP {reply.status}){said}"

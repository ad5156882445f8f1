"""The sign-in pages and tokens of the in-suite Developer Cloud: several hops, a form with hidden fields, a lock."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import cloud_replies as replies


@dataclass
class Answer:
    """What goes back."""

    content: Any = None
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()


class SignIn:
    """Part of the request handler; `cloud` is the server."""

    cloud: Any
    path: str
    headers: Any

    def _bad(self, text: str, code: int = 400) -> Answer:
        self.cloud.complaints.append(text)
        return Answer({"errors": [text]}, code)

    def _form(self, body: bytes) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}

    def _versions(self, body: bytes) -> Answer:
        return Answer(replies.VERSIONS)

    def _authorize(self, body: bytes) -> Answer:
        query = self._form(urlsplit(self.path).query.encode())
        wanted = {"response_type": "code", "scope": "openid", "response_mode": "query"}
        if any(query.get(name) != value for name, value in wanted.items()) or not query.get("client_id"):
            return self._bad("authorize: wrong query")
        if query.get("redirect_uri") != f"{self.cloud.url}/callback":
            return self._bad("authorize: wrong redirect_uri")
        session = secrets.token_hex(8)
        self.cloud.sessions[session] = {"state": query.get("state", "")}
        return self._to("/sso/hop/1", cookie=f"SID={session}; Path=/")

    def _session(self) -> dict[str, str]:
        found = re.search(r"SID=(\w+)", self.headers.get("Cookie", ""))
        return self.cloud.sessions.get(found[1] if found else "", {})

    def _hop(self, number: str, body: bytes) -> Answer:
        if self.cloud.foreign_hop:
            return self._to(self.cloud.foreign_hop)
        if int(number) < self.cloud.hops:
            return self._to(f"/sso/hop/{int(number) + 1}")
        return self._to("/my/cas/login?service=sso", cookie="JSESSIONID=abc; Path=/my")

    def _login_page(self, body: bytes, message: str = "") -> Answer:
        lt = secrets.token_hex(8)
        self.cloud.codes[f"lt-{lt}"] = "lt"
        page = f"""<!DOCTYPE html><html><head><title>my.ST</title>
            <script>var x = '<form action="evil">';</script></head>
            <body><form action="/search"><input name="q"></form>
            <form method="post" id="fm1"
                  action="/my/cas/login?service=sso&amp;execution=e1s1">
            <div class="alert alert-error">{message}</div>
            <input id="username" name="username" type="text" value=""/><INPUT type='password' name='password'>
            <input value="{lt}" type="hidden" name="lt" /><input type="hidden" name="execution" value="e1&amp;s1">
            <input type="hidden" name="csrf" value="c&quot;1"/>
            <input type="checkbox" name="remember"><button type="submit" name="_eventId" value="Login">Go</button>
            </form></body></html>"""
        return Answer(page.encode(), kind="text/html; charset=utf-8")

    def _login(self, body: bytes) -> Answer:
        form = self._form(body)
        self.cloud.sent["login"] = {name: value for name, value in form.items() if name != "password"}
        user, cookie = form.get("username", ""), self.headers.get("Cookie", "")
        if (
            "JSESSIONID=abc" not in cookie
            or not self._session()
            or self.cloud.codes.pop(f"lt-{form.get('lt')}", None) is None
        ):
            return self._bad("login: no session")
        if form.get("execution") != "e1&s1" or form.get("csrf") != 'c"1' or form.get("_eventId") != "Login":
            return self._bad("login: a hidden field was lost")
        if self.cloud.wrong[user] >= 5:
            page = "<p class='error'>You have exceeded 5 login attempts. Please set a new password.</p>"
            return Answer(f"<html><title>my.ST</title><body>{page}</body></html>".encode(), kind="text/html")
        if self.cloud.users.get(user) != form.get("password"):
            self.cloud.wrong[user] += 1
            left = 5 - self.cloud.wrong[user]
            return self._login_page(b"", f"You have provided the wrong password. You have {left} attempts left.")
        if not self.cloud.licence:
            page = "<html><title>Licence agreement</title><body>Accept the licence to go on.</body></html>"
            return Answer(page.encode(), kind="text/html")
        self._session()["user"] = user
        return self._to("/sso/after/1")

    def _after(self, number: str, body: bytes) -> Answer:
        if int(number) < self.cloud.hops:
            return self._to(f"/sso/after/{int(number) + 1}?ticket=ST-{secrets.token_hex(8)}")
        code = secrets.token_urlsafe(16)
        self.cloud.codes[code] = self._session()["user"]
        query = urlencode({"code": code, "state": self._session()["state"]})
        return self._to(f"{self.cloud.url}/callback?{query}")

    def _callback(self, body: bytes) -> Answer:
        form = self._form(body)
        user = self.cloud.codes.pop(form.get("code", ""), None)
        if user is None or form.get("redirect_url") != f"{self.cloud.url}/callback":
            return Answer({"error": "invalid_grant", "error_description": "unknown code"}, 400)
        return Answer(self.cloud.new_token(user))

    def _refresh(self, body: bytes) -> Answer:
        user = self.cloud.refresh_tokens.pop(self._form(body).get("refresh_token", ""), None)
        if user is None:
            return Answer({"error": "invalid_grant"}, 400)
        return Answer(self.cloud.new_token(user))

    def _authenticate(self, body: bytes) -> Answer:
        user = self.cloud.tokens.get(self._form(body).get("access_token", ""))
        return Answer({"sub": user}) if user else Answer({"message": "Unauthorized"}, 401)

    def _to(self, path: str, cookie: str = "") -> Answer:
        headers = {"Location": path if "://" in path or path.startswith("/") else f"/{path}"}
        return Answer(b"", 302, "text/html", headers | ({"Set-Cookie": cookie} if cookie else {}))

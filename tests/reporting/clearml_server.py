"""A ClearML server that keeps what it is told: as much of its REST interface as the real package needs for a task."""

from __future__ import annotations

import base64
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

EMPTY_TASK = {"project": "p1", "user": "u", "company": "c"} | {
    name: {} for name in ("output", "execution", "script", "hyperparams", "configuration", "runtime")
}


class ClearmlServer(ThreadingHTTPServer):
    """Serves on a free port of this machine from the start.

    Attributes:
        calls: (endpoint such as `tasks.edit`, body) in the order they came.
        status: of the task, as the server has it.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[tuple[str, Any]] = []
        self.task: dict[str, Any] = {}
        self.gone = False
        Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def status(self) -> str:
        return self.task["status"]

    def bodies(self, endpoint: str) -> list[Any]:
        return [body for name, body in self.calls if name == endpoint]

    def answer(self, endpoint: str, body: Any) -> dict[str, Any]:
        self.calls.append((endpoint, body))
        if endpoint == "auth.login":
            return {"token": token()}
        if endpoint == "projects.get_all":
            return {"projects": [{"id": "p1", "name": "p"}]}
        if endpoint == "tasks.create":
            # ClearML locks a file of this name: two tests at once may not have the same.
            self.task = {**EMPTY_TASK, **body, "id": uuid4().hex, "status": "created"}
            return {"id": self.task["id"]}
        if endpoint == "tasks.get_by_id":
            return {"task": self.task}
        if endpoint in ("tasks.started", "tasks.completed", "tasks.stopped", "tasks.failed"):
            status = endpoint.removeprefix("tasks.")
            self.task["status"] = {"started": "in_progress"}.get(status, status)
        return {"updated": 1, "fields": {}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ClearmlServer

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def _do(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.gone:
            self.close_connection = True
            return
        try:
            body = [json.loads(line) for line in raw.splitlines()] if b"\n" in raw else json.loads(raw or "{}")
        except ValueError:
            body = raw
        endpoint = self.path.strip("/").split("/")[-1]
        data = self.server.answer(endpoint, body)
        meta = {"id": "x", "trx": "x", "result_code": 200, "result_subcode": 0, "result_msg": "OK", "error_data": {}}
        meta["endpoint"] = {"name": endpoint, "requested_version": "2.20", "actual_version": "2.20"}
        text = json.dumps({"meta": meta, "data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def token() -> str:
    """A JSON web token that says until when it is good; nobody checks its signature here."""
    now = int(time.time())
    claims = {"exp": now + 9999, "iat": now, "api_version": "2.20", "server_version": "1.9", "identity": {"user": "u"}}
    parts = [json.dumps({"alg": "HS256", "typ": "JWT"}).encode(), json.dumps(claims).encode(), bytes(32)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)

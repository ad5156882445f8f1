"""ST Edge AI Developer Cloud as an HTTP server of this machine: the contract of st_services.md 10.2-10.4, with faults.

It checks what it is sent and answers 4xx where that is wrong, so that a client which passes here says what it should.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import cloud_replies as replies
from cloud_code import KEYS, MCU_KEYS, wrong_code, wrong_mcu, wrong_mpu
from cloud_faults import Fault, Faults
from cloud_sign_in import Answer, SignIn

USER, PASSWORD = "ada@example.com", "right-horse-battery"
STATES = ("waiting_for_build", "in_queue", "building", "flashing", "validation")
ROUTES = (
    ("GET", r"/assets/versions\.json", "versions"),
    ("GET", r"/sso/as/authorization\.oauth2", "authorize"),
    ("GET", r"/sso/hop/(\d+)", "hop"),
    ("GET", r"/my/cas/login", "login_page"),
    ("POST", r"/my/cas/login", "login"),
    ("GET", r"/sso/after/(\d+)", "after"),
    ("POST", r"/api/user_service/login/callback", "callback"),
    ("POST", r"/api/user_service/login/refresh", "refresh"),
    ("POST", r"/api/user_service/login/authenticate", "authenticate"),
    ("GET", r"/api/file/files/(models|validation/inputs|validation/outputs)", "models"),
    ("POST", r"/api/file/files/(models|validation/inputs|validation/outputs)", "upload"),
    ("GET", r"/api/file/files/(models|validation/inputs|validation/outputs)/([^/]+)", "download"),
    ("DELETE", r"/api/file/files/(models|validation/inputs|validation/outputs)/([^/]+)", "delete"),
    ("GET", r"/api/file/files/generated/([^/]+)", "generated"),
    ("GET", r"/api/benchmark/boards", "boards"),
    ("GET", r"/api/benchmark/api", "api"),
    ("GET", r"/api/benchmark/messagesCount/([^/]+)", "messages"),
    ("POST", r"/api/benchmark/benchmark/(?:(mpu)/)?([^/]+)", "submit"),
    ("GET", r"/api/benchmark/benchmark/([^/]+)", "poll"),
    ("DELETE", r"/api/benchmark/benchmark/([^/]+)", "cancel"),
    ("POST", r"/api/generate_nbg/optimize", "nbg"),
    ("GET", r"/api/generate_nbg/run/([^/]+)", "nbg_poll"),
    ("POST", r"/api/([\w.]+)/stm32ai/(analyze|generate|validate)", "core"),
    ("GET", r"/api/([\w.]+)/stm32ai/run/([^/]+)", "core_poll"),
)
OPEN = ("versions", "authorize", "hop", "login_page", "login", "after", "callback", "refresh", "authenticate", "api")


@dataclass
class Job:
    """A job: how often it was asked about, and what it ends with."""

    answer: dict[str, Any]
    asked: int = 0
    cancelled: bool = False


class Stop(Exception):
    """The connection ends here, without an answer."""


class CloudServer:
    """The server and all it remembers; a context manager. Tests change its attributes as they need."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.users = {USER: PASSWORD}
        self.wrong: Counter[str] = Counter()
        self.licence = True
        self.hops = 3
        self.polls = 2
        self.form = "new"
        self.old_options = False
        self.expires_in: float | None = 3600
        self.expires_at_shift = 0.0
        self.foreign_hop = ""
        self.echo_token = False
        self.boards = {name: dict(board) for name, board in replies.BOARDS.items()}
        self.archive = replies.archive()
        self.generate_at_once = False
        self.stored: dict[str, dict[str, bytes]] = {
            "models": {}, "validation/inputs": {}, "validation/outputs": {}, "generated": {}
        }  # fmt: skip
        self.jobs: dict[str, Job] = {}
        self.tokens: dict[str, str] = {}
        self.refresh_tokens: dict[str, str] = {}
        self.codes: dict[str, str] = {}
        self.sessions: dict[str, dict[str, str]] = {}
        self.secrets_given: list[str] = []
        self.requests: Counter[str] = Counter()
        self.sent: dict[str, Any] = {}
        self.complaints: list[str] = []
        self.lock = threading.RLock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.cloud = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> CloudServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def environment(self) -> dict[str, str]:
        """Variables that send a client here."""
        return {"BASE_URL_DEVCLOUD": f"{self.url}/", "SSO_URL": f"{self.url}/sso"}

    def revoke_tokens(self, *, refresh: bool = False) -> None:
        """No token is known any more; with `refresh` no refresh token either."""
        with self.lock:
            self.tokens.clear()
            if refresh:
                self.refresh_tokens.clear()

    def new_token(self, user: str) -> dict[str, Any]:
        access = f"eyJ{secrets.token_hex(24)}.{secrets.token_hex(8)}.{secrets.token_hex(8)}"
        refresh = secrets.token_urlsafe(40)
        with self.lock:
            self.tokens[access], self.refresh_tokens[refresh] = user, user
            self.secrets_given += [access, refresh]
        content: dict[str, Any] = {"access_token": access, "refresh_token": refresh, "token_type": "Bearer"}
        if self.expires_in is not None:
            content["expires_in"] = self.expires_in
        return content | {"expires_at": time.time() + 3600 + self.expires_at_shift}

    @property
    def running(self) -> list[Job]:
        """Jobs that are neither done nor cancelled."""
        return [job for job in self.jobs.values() if not job.cancelled and job.asked <= self.polls]


class _Handler(SignIn, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 10

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass

    @property
    def cloud(self) -> CloudServer:
        return self.server.cloud  # type: ignore[attr-defined]

    def _handle(self) -> None:
        path = urlsplit(self.path).path
        name, groups = "unknown", ()
        for method, pattern, route in ROUTES:
            if method == self.command and (found := re.fullmatch(pattern, path)):
                name, groups = route, found.groups()
                break
        with self.cloud.lock:
            self.cloud.requests[name] += 1
        fault = self.cloud.faults.next(name, with_body=int(self.headers.get("Content-Length") or 0) > 1)
        try:
            answer = self._answer(name, groups, fault)
            self._write(answer, fault)
        except (Stop, ConnectionError, TimeoutError):
            self.close_connection = True

    def _answer(self, name: str, groups: tuple, fault: Fault | None) -> Answer:
        length = int(self.headers.get("Content-Length") or 0)
        kind = fault.kind if fault else ""
        if kind == "cut_upload" and length > 1:
            self.rfile.read(length // 2)
            raise Stop
        body = self.rfile.read(length)
        if fault is not None and kind == "drop":
            raise Stop
        if fault is not None and kind == "hang":
            time.sleep(fault.seconds)
            raise Stop
        if fault is not None and kind == "status":
            text = {"error": f"fault {fault.status}"}
            if self.cloud.echo_token:
                values = re.split(r"[&=]", body[:300].decode(errors="replace"))
                text["error"] += f" for {self.headers.get('Authorization', '')} {' / '.join(values)}"
            return Answer(text, fault.status, headers=fault.headers)
        if kind == "expired":
            self.cloud.tokens.pop(self._token(), None)
            if name in OPEN:
                return Answer({"error": "token expired"}, 401)
        if kind == "garbage":
            return Answer(b"\x00<<< not JSON {", headers={})
        if kind == "page":
            return Answer(
                b"<html><head><title>Maintenance</title></head><body>Back soon</body></html>", kind="text/html"
            )
        if fault is not None and kind == "body":
            return Answer(fault.body)
        if name == "unknown":
            self.cloud.complaints.append(f"{self.command} {self.path}")
            return Answer({"message": f"Cannot {self.command} {urlsplit(self.path).path}"}, 404)
        if name not in OPEN and self._token() not in self.cloud.tokens:
            return Answer({"message": "Unauthorized"}, 401)
        if kind == "job_error" and name in ("poll", "nbg_poll", "core_poll"):
            return Answer({"state": "error", "board": "b", "message": "the board does not answer"})
        with self.cloud.lock:
            return getattr(self, f"_{name}")(*groups, body=body)

    def _write(self, answer: Answer, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        if kind == "drop_late":
            raise Stop
        body = answer.body()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if fault is not None and kind == "drip":
            end = time.monotonic() + fault.seconds
            while time.monotonic() < end:
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.05)
            raise Stop
        if kind == "cut_answer":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            raise Stop
        self.wfile.write(body)

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _complain(self, text: str) -> None:
        self.cloud.complaints.append(text)

    # -- files

    def _models(self, kind: str, body: bytes) -> Answer:
        return Answer([{"name": name, "size": len(content)} for name, content in self.cloud.stored[kind].items()])

    def _upload(self, kind: str, body: bytes) -> Answer:
        fields = replies.read_multipart(self.headers.get("Content-Type", ""), body)
        if fields is None or set(fields) != {"file"} or not fields["file"][0]:
            return self._bad("upload: one field 'file' with a name is wanted")
        name, content = fields["file"]
        if not re.fullmatch(r"[\w.-]+", name):
            return self._bad(f"upload: bad name {name!r}")
        self.cloud.stored[kind][name] = content
        return Answer({"upload": True})

    def _download(self, kind: str, name: str, body: bytes) -> Answer:
        content = self.cloud.stored[kind].get(unquote(name))
        if content is None:
            return Answer({"message": "no such file"}, 404)
        return Answer(content, kind="application/octet-stream")

    def _delete(self, kind: str, name: str, body: bytes) -> Answer:
        if self.cloud.stored[kind].pop(unquote(name), None) is None:
            return Answer({"message": "no such file"}, 404)
        return Answer({"deleted": True})

    def _generated(self, name: str, body: bytes) -> Answer:
        content = self.cloud.stored["generated"].get(name)
        return Answer(content, kind="application/zip") if content is not None else Answer({"message": "gone"}, 404)

    # -- jobs

    def _boards(self, body: bytes) -> Answer:
        return Answer(self.cloud.boards)

    def _api(self, body: bytes) -> Answer:
        names = ("model", "args") if self.cloud.old_options else ("model", "version", "optimization", "series")
        schema = {"properties": {name: {"type": "string"} for name in names}}
        content = {"application/json": {"schema": schema}}
        return Answer({"paths": {"/benchmark/{queue}": {"post": {"requestBody": {"content": content}}}}})

    def _messages(self, queue: str, body: bytes) -> Answer:
        return Answer({"count": 3})

    def _submit(self, mpu: str | None, board: str, body: bytes) -> Answer:
        if board != board.lower():
            return self._bad(f"submit: board {board!r} is not in lower case")
        names = {name.lower(): name for name in self.cloud.boards}
        if board not in names or self.cloud.boards[names[board]]["boardCount"] == 0:
            return Answer({"errors": [f"no board {board}"]}, 400)
        if self.headers.get("Content-Type") != "application/json":
            return self._bad("submit: not JSON")
        content = json.loads(body)
        if self.cloud.old_options and not mpu:
            if set(content) != {"model", "args"}:
                return self._bad("submit: old service, wants model and args")
            content = json.loads(content["args"]) | {"model": content["model"]}
        self.cloud.sent["submit"] = content
        size = len(self.cloud.stored["models"].get(content.get("model"), b""))
        if not size:
            return Answer({"errors": [f"model {content.get('model')} is not known"]}, 400)
        if content.get("version") not in {version["version"] for version in replies.VERSIONS}:
            return self._bad("submit: unknown version")
        name = names[board]
        if bool(mpu) != ("MP" in name):
            return self._bad("submit: wrong route for this board")
        wrong = wrong_mpu(content) if mpu else wrong_mcu(content, name)
        if wrong:
            return self._bad(f"submit: {wrong}")
        answer = (
            replies.mpu_benchmark(size, name, content["model"])
            if mpu
            else replies.mcu_benchmark(size, name, content["version"], self.cloud.form)
        )
        return Answer({"benchmarkId": self._new_job(answer), "model": content["model"], "args": content})

    def _new_job(self, answer: dict[str, Any]) -> str:
        name = secrets.token_hex(6)
        self.cloud.jobs[name] = Job(answer)
        return name

    def _progress(self, name: str) -> Answer:
        job = self.cloud.jobs.get(name)
        if job is None or job.cancelled:
            return Answer({"message": f"no run {name}"}, 404)
        job.asked += 1
        if job.asked <= self.cloud.polls:
            index = min(job.asked, len(STATES)) - 1
            return Answer({"state": STATES[index], "step": index + 1, "totalStep": len(STATES), "result": None})
        return Answer(job.answer)

    def _poll(self, name: str, body: bytes) -> Answer:
        return self._progress(name)

    _nbg_poll = _poll

    def _cancel(self, name: str, body: bytes) -> Answer:
        if name not in self.cloud.jobs:
            return Answer({"message": "no such run"}, 404)
        self.cloud.jobs[name].cancelled = True
        return Answer({"deleted": True})

    def _nbg(self, body: bytes) -> Answer:
        model = json.loads(body).get("model", "")
        if model not in self.cloud.stored["models"]:
            return Answer({"errors": ["no such model"]}, 400)
        blob = f"{model.rpartition('.')[0]}.nb"
        self.cloud.stored["models"][blob] = b"VPMN" + self.cloud.stored["models"][model]
        return Answer({"runtimeId": self._new_job({"state": "done", "blobName": blob}), "model": model})

    def _core(self, version: str, action: str, body: bytes) -> Answer:
        fields = replies.read_multipart(self.headers.get("Content-Type", ""), body)
        if fields is None or "args" not in fields:
            return self._bad("core: no field 'args'")
        content = json.loads(fields["args"][1])
        self.cloud.sent[action] = content
        keys = MCU_KEYS - {"mpool"} | (KEYS if action == "generate" else set())
        if version not in {one["version"] for one in replies.VERSIONS} or set(content) - keys:
            return self._bad("core: version or fields")
        if set(fields) - {"args", "mpool"}:
            return self._bad(f"core: form fields {sorted(fields)}")
        if "mpool" in fields:
            self.cloud.sent["mpool"] = json.loads(fields["mpool"][1])
        if wrong := wrong_code(content):
            return self._bad(f"core: {wrong}")
        size = len(self.cloud.stored["models"].get(content.get("model"), b""))
        if not size:
            return Answer({"status": "ko", "error": "model not found"})
        for key, kind in (("valinput", "validation/inputs"), ("valoutput", "validation/outputs")):
            if key in content and content[key] not in self.cloud.stored[kind]:
                return self._bad(f"core: {key} was not uploaded")
        if action == "generate":
            if self.cloud.generate_at_once:
                return Answer(self.cloud.archive, kind="application/zip")
            self.cloud.stored["generated"]["network.zip"] = self.cloud.archive
        result = replies.core_result(action, size, version, self.cloud.form)
        return Answer({"runtimeId": self._new_job({"state": "done", "result": result})})

    def _core_poll(self, version: str, name: str, body: bytes) -> Answer:
        return self._progress(name)

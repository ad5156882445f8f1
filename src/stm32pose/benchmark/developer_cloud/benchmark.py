"""Benchmarks on the boards of ST's farm."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from stm32pose.benchmark.developer_cloud.api import Api
from stm32pose.benchmark.developer_cloud.errors import (
    BenchmarkFailed,
    BoardNotFound,
    CloudError,
    ModelNotFound,
    ServerBroken,
)
from stm32pose.benchmark.developer_cloud.http import Call, Reply
from stm32pose.benchmark.developer_cloud.jobs import Job, Progress, wait_for
from stm32pose.benchmark.developer_cloud.results import Node
from stm32pose.boards.board import Board

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CloudBoard:
    """A board of the farm.

    Attributes:
        name: the service's spelling.
        count: how many there are; None: not told.
        flash, cpu, device: as the service words them.
    """

    name: str
    count: int | None = None
    flash: str = ""
    cpu: str = ""
    device: str = ""


def read_boards(api: Api) -> dict[str, CloudBoard]:
    """The boards there are, by name."""
    what = "list of boards"
    content = api.call(Call("GET", f"{api.addresses.benchmark}/boards", what, as_json=True, follow=True)).json_object()
    boards = {}
    for name, item in content.items():
        about = Node(item, f"{what}: {name}").object()
        count = about["boardCount"].value
        boards[name] = CloudBoard(
            name,
            count=count if isinstance(count, int) and count >= 0 else None,
            flash=about["flashSize"].text(),
            cpu=about["deviceCpu"].text(),
            device=about["deviceId"].text(),
        )
    return boards


def find_board(boards: dict[str, CloudBoard], board: Board) -> CloudBoard:
    """The farm's board of that name or alias. BoardNotFound: lists those there are."""
    spellings = {name.upper(): found for name, found in boards.items()}
    for name in (board.name, *board.aliases):
        found = spellings.get(name.upper())
        if found is not None and found.count == 0:
            raise BoardNotFound(board.name, _available(boards), "known, but none is in service now")
        if found is not None:
            return found
    raise BoardNotFound(board.name, _available(boards))


def run_benchmark(
    api: Api,
    board: Board,
    place: CloudBoard,
    model: str,
    options: dict[str, Any],
    *,
    timeout_s: float,
    progress: Progress | None,
) -> dict[str, Any]:
    """The service's last answer for an uploaded model.

    Raises:
        BenchmarkFailed: in the server's words.
        BoardNotFound: the board has gone meanwhile.
        ModelNotFound: the model has gone.
        QueueTimeout: not done within `timeout_s`.
    """
    what = f"benchmark on {board.name}"
    root = f"{api.addresses.benchmark}/benchmark"
    queue = quote(place.name.lower(), safe="")
    mpu = board.kind == "mpu"
    content: dict[str, Any] = {**options, "model": model}
    if not mpu and _wants_text(api):
        content = {"args": json.dumps(options), "model": model}
    url = f"{root}/mpu/{queue}" if mpu else f"{root}/{queue}"
    reply = api.send(Call("POST", url, f"submission of the {what}", repeat="unserved", content=content))
    if reply.status not in (200, 201, 202):
        raise _refusal(api, board, model, reply)
    name = str(reply.field("benchmarkId"))
    job = Job(
        what,
        url=f"{root}/{quote(name, safe='')}",
        failed=lambda words: BenchmarkFailed(board.name, words),
        cancel_url=f"{root}/{quote(name, safe='')}",
        waiting=lambda: _waiting(api, queue),
    )
    return wait_for(api, job, timeout_s, progress, lambda answer: str(answer.get("state", "")).lower() == "done")


def _refusal(api: Api, board: Board, model: str, reply: Reply) -> CloudError:
    """Why a submission was refused: the board or the model may have gone since we looked."""
    words = f"HTTP {reply.status}: {reply.words}" if reply.words else f"HTTP {reply.status}"
    try:
        find_board(read_boards(api), board)
    except BoardNotFound as error:
        return error
    except CloudError as error:
        log.debug("%s", str(error))
    if model in reply.words:
        return ModelNotFound(f"benchmark on {board.name}: {words}")
    return BenchmarkFailed(board.name, words)


def _wants_text(api: Api) -> bool:
    """Whether the service is of the old kind that takes its options as one text, by its own description."""
    call = Call("GET", f"{api.addresses.benchmark}/api", "description of the benchmark service", attempts=2)
    try:
        reply = api.http.send(call)
        described = Node(reply.json(), "")["paths"]["/benchmark/{queue}"]["post"]["requestBody"]["content"]
    except CloudError as error:
        log.debug("%s", str(error))
        return False
    properties = described["application/json"]["schema"]["properties"].value
    return isinstance(properties, dict) and set(properties) == {"model", "args"}


def _waiting(api: Api, queue: str) -> int | None:
    """How many wait for such a board; None where the service does not tell."""
    url = f"{api.addresses.benchmark}/messagesCount/{queue}"
    call = Call("GET", url, "length of the queue", bearer=api.account.access, attempts=1, limit_s=5.0)
    try:
        content = api.http.send(call).json()
    except CloudError as error:
        log.debug("%s", str(error))
        return None
    if isinstance(content, dict):
        content = next((value for value in content.values() if isinstance(value, int)), None)
    return content if isinstance(content, int) and not isinstance(content, bool) else None


def _available(boards: dict[str, CloudBoard]) -> list[str]:
    return [board.name for board in boards.values() if board.count != 0]


def job_id(reply: Reply, failed: type[CloudError]) -> str:
    """`runtimeId` of an accepted job. `failed`: the server says no (`status: ko`). ServerBroken: it says neither."""
    content = reply.json_object()
    name = content.get("runtimeId")
    if isinstance(name, (str, int)) and str(name):
        return quote(str(name), safe="")
    if content.get("status") == "ko" or content.get("error"):
        raise failed(f"{reply.what}: {reply.words}")
    raise ServerBroken(f"{reply.what}: the server's answer has no field 'runtimeId': {reply.words}")

"""Waiting for a job on the service: asked every two seconds, within one deadline, cancelled on Ctrl-C."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stm32pose.benchmark.developer_cloud.api import Api
from stm32pose.benchmark.developer_cloud.errors import CloudError, QueueTimeout, ServerBroken
from stm32pose.benchmark.developer_cloud.http import Call
from stm32pose.benchmark.developer_cloud.words import words_of

log = logging.getLogger(__name__)

Progress = Callable[[str], None]
LONGEST_REASON = 500
CANCEL_S = 5.0
QUEUED = ("waiting_for_build", "in_queue")
PLACES = ("position", "queuePosition", "positionInQueue")


@dataclass(frozen=True)
class Job:
    """A job that was accepted.

    Attributes:
        what: for messages: `benchmark on STM32H747I-DISCO`.
        url: where to ask how it goes.
        failed: makes the error of a job that failed, from the server's words.
        cancel_url: DELETE on it gives the job up; None where the service has no such thing.
        waiting: tells how many wait before a board, where that is known.
    """

    what: str
    url: str
    failed: Callable[[str], CloudError]
    cancel_url: str | None = None
    waiting: Callable[[], int | None] | None = None


def wait_for(
    api: Api, job: Job, timeout_s: float, progress: Progress | None, is_done: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """The last answer of a job that ended well.

    Args:
        timeout_s: from now until the job must be done; then it is cancelled.
        progress: told one line at each change.

    Raises:
        QueueTimeout: not done in time.
        CloudError: `job.failed` where the service says so; else as `Api.call`. The job is cancelled then.
        KeyboardInterrupt: passed on, after the job was cancelled.
    """
    deadline = time.monotonic() + timeout_s
    told = state = ""
    try:
        while True:
            call = Call(
                "GET", job.url, job.what, as_json=True, deadline=deadline, attempts=api.http.timing.patient_attempts
            )
            try:
                answer = api.call(call).json_object()
            except CloudError as error:
                if time.monotonic() >= deadline:
                    raise _late(job, state, timeout_s, f"; the last word: {error}") from None
                raise
            state = _state(answer, job.what)
            if state == "error":
                raise job.failed(api.http.redactor.clean(_message(answer), LONGEST_REASON))
            line = f"{job.what}: {_line(answer, state)}"
            if progress is not None and line != told:
                waiting = job.waiting() if job.waiting and state == "in_queue" and not told.endswith(state) else None
                progress(line + (f" ({waiting} waiting)" if waiting is not None else ""))
                told = line
            if is_done(answer):
                return answer
            if state == "done":
                raise ServerBroken(
                    f"{job.what}: the server says done but sends no result: {api.http.redactor.clean(_message(answer))}"
                )
            left = deadline - time.monotonic()
            if left <= 0:
                raise _late(job, state, timeout_s)
            time.sleep(min(api.http.timing.poll_s, left))
    except BaseException as error:
        if not isinstance(error, CloudError) or state != "error":
            _cancel(api, job)
        raise


def _late(job: Job, state: str, timeout_s: float, more: str = "") -> QueueTimeout:
    return QueueTimeout(
        f"{job.what}: not done after {timeout_s:g} s, last state: {state or 'unknown'}; given up "
        f"(tools.stedgeai.timeout_s){more}"
    )


def _cancel(api: Api, job: Job) -> None:
    if job.cancel_url is None:
        return
    call = Call("DELETE", job.cancel_url, f"{job.what}: cancelling", deadline=time.monotonic() + CANCEL_S)
    try:
        api.call(call)
    except CloudError as error:
        log.info("%s: could not be cancelled: %s", job.what, str(error))
    else:
        log.info("%s: cancelled", job.what)


def _state(answer: dict[str, Any], what: str) -> str:
    state = answer.get("state")
    if state is None and answer.get("result") is not None:
        return "done"
    if not isinstance(state, str) or not state:
        raise ServerBroken(f"{what}: the server's answer has no field 'state'")
    return state.lower()


def _line(answer: dict[str, Any], state: str) -> str:
    parts = [state]
    step, total = answer.get("step"), answer.get("totalStep")
    if isinstance(step, int) and isinstance(total, int) and total > 0:
        parts.append(f"step {step} of {total}")
    if isinstance(percent := answer.get("progress"), (int, float)) and percent:
        parts.append(f"{percent:.0f} %")
    place = next((answer[name] for name in PLACES if isinstance(answer.get(name), int)), None)
    if place is not None and state in QUEUED:
        parts.append(f"place {place} in the queue")
    return ", ".join(parts)


def _message(answer: dict[str, Any]) -> str:
    inner = answer.get("result")
    for source in (answer, inner if isinstance(inner, dict) else {}):
        said = {key: source[key] for key in ("message", "error", "errors") if source.get(key)}
        if said:
            return " ".join(words_of(list(said.values())).split())
    return "the server gives no reason"

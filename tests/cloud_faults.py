"""Faults that the in-suite Developer Cloud can have, named or at random."""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """One fault.

    kind:
        `status`: answer `status` instead (with `headers`). `body`: answer `body` as JSON. `garbage`: 200, no JSON.
        `page`: 200, a web page. `drop`: close before doing anything. `drop_late`: do it, then close without an answer.
        `cut_answer`: do it, send half the answer. `cut_upload`: close in the middle of the request's body. `hang`: wait
        `seconds`, then close. `drip`: a byte each 50 ms for `seconds`. `expired`: the token in use is no longer known.
        `job_error`: the job ends with an error.
    """

    kind: str
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    body: object = None


def status(code: int, **headers: str) -> Fault:
    return Fault("status", status=code, headers={name.replace("_", "-"): value for name, value in headers.items()})


RANDOM = (
    Fault("expired"),
    status(429),
    status(429, Retry_After="0"),
    status(500),
    status(502),
    status(503),
    status(504),
    Fault("drop"),
    Fault("drop_late"),
    Fault("cut_answer"),
    Fault("cut_upload"),
    Fault("hang", seconds=1.0),
    Fault("garbage"),
    Fault("page"),
    Fault("job_error"),
)


def _matters(fault: Fault, route: str, with_body: bool) -> bool:
    """Whether a fault can do anything to such a request."""
    if fault.kind == "job_error":
        return route in ("poll", "nbg_poll", "core_poll")
    return with_body or fault.kind != "cut_upload"


class Faults:
    """Which request meets which fault: a queue for each route, then chance."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queued: dict[str, deque[Fault]] = {}
        self._rate = 0.0
        self._random = random.Random(0)
        self._kinds: Sequence[Fault] = RANDOM
        self.injected: Counter[str] = Counter()

    def add(self, route: str, *faults: Fault) -> None:
        """The next requests to `route` meet these, one each."""
        with self._lock:
            self._queued.setdefault(route, deque()).extend(faults)

    def at_random(self, rate: float, seed: int, kinds: Sequence[Fault] = RANDOM) -> None:
        """From now on a request meets a fault with this probability."""
        with self._lock:
            self._rate, self._random, self._kinds = rate, random.Random(seed), kinds

    def next(self, route: str, with_body: bool = True) -> Fault | None:
        with self._lock:
            fault = None
            if self._queued.get(route):
                fault = self._queued[route].popleft()
            elif self._rate and self._random.random() < self._rate:
                fault = self._random.choice([kind for kind in self._kinds if _matters(kind, route, with_body)])
            if fault is not None:
                self.injected[fault.kind if fault.kind != "status" else str(fault.status)] += 1
            return fault

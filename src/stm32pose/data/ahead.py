"""Items made by a thread of their own, a few ahead of whoever uses them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.1


def read_ahead(items: Iterable[T], *, depth: int = 2) -> Generator[T]:
    """The items in their order, made by a thread that is at most `depth` of them ahead.

    Closing the iterator stops the thread after the item it is at, and closes `items` where that is a generator.

    Raises:
        Whatever making an item raises, at that item.
    """
    waiting: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(maxsize=max(1, depth))
    stop = threading.Event()

    def put(item: T | None, error: BaseException | None, last: bool) -> None:
        while not stop.is_set():
            try:
                waiting.put((item, error, last), timeout=_POLL_S)
                return
            except queue.Full:
                continue

    def make() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                put(item, None, False)
                if stop.is_set():
                    break
        except BaseException as error:  # noqa: BLE001  (it is raised again, by the thread that asked)
            put(None, error, True)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        put(None, None, True)

    thread = threading.Thread(target=make, name="stm32pose-reading", daemon=True)
    thread.start()
    try:
        while True:
            try:
                # With a timeout, so that Ctrl-C comes through on every system.
                item, error, last = waiting.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if error is not None:
                raise error
            if last:
                return
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()

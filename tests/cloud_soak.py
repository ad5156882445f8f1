"""Many benchmarks against the in-suite Developer Cloud while it misbehaves at random: what came of them, what leaked.

`python benchmarks/cloud_faults.py` runs this file; `tests/developer_cloud/test_cloud_soak.py` a small one.
"""

from __future__ import annotations

import argparse
import gc
import io
import logging
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import keyring
import psutil
from cloud_server import PASSWORD, USER, CloudServer
from keyring.backends.fail import Keyring as NoKeyring

from stm32pose.benchmark.developer_cloud.client import CloudClient, connect
from stm32pose.benchmark.developer_cloud.errors import CloudError
from stm32pose.benchmark.developer_cloud.retries import Timing
from stm32pose.boards.board import load_board

BOARDS = ("STM32H747I-DISCO", "STM32N6570-DK", "STM32MP257F-EV1", "STM32MP135F-DK")
TIMEOUT_S = 15.0
TIMING = Timing(
    connect_s=2.0,
    read_s=0.5,
    answer_s=2.0,
    transfer_s=3.0,
    first_wait_s=0.02,
    longest_wait_s=0.2,
    longest_retry_after_s=0.5,
    poll_s=0.02,
)


@dataclass
class Report:
    """What a soak found."""

    requests: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    started: int = 0
    completed: int = 0
    wrong: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    seconds: float = 0.0
    secrets: int = 0
    secrets_seen: int = 0
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    files_left: int = 0
    files_named: int = 0
    jobs_left: int = 0
    recovered: bool = False
    complaints: list[str] = field(default_factory=list)
    example: dict[str, str] = field(default_factory=dict)

    @property
    def fine(self) -> bool:
        """No hang, no leak, no secret, no error without a name, no wrong figure, none lost, and well afterwards."""
        # Fewer: what tests before this one left to end by itself.
        same = not _more(self.after, self.before)
        bound = TIMEOUT_S + TIMING.answer_s
        clean = not (self.unexpected or self.wrong or self.secrets_seen or self.complaints)
        told = self.started == self.completed + self.failed.total() + len(self.unexpected)
        clean = clean and told and self.recovered
        return clean and same and self.slowest_s < bound and self.files_left <= self.files_named

    def lines(self) -> list[str]:
        """The report for people."""
        failed = ", ".join(f"{name} {count}" for name, count in self.failed.most_common()) or "none"
        return [
            f"requests: {self.requests} in {self.seconds:.1f} s",
            f"faults: {self.faults.total()} ({100 * self.faults.total() / max(1, self.requests):.1f} %): "
            + ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items())),
            f"benchmarks started: {self.started}, completed: {self.completed} (wrong figures: {self.wrong}), "
            f"failed: {self.failed.total()}",
            f"failed by error: {failed}",
            *(f"  {name}: {text}" for name, text in sorted(self.example.items())),
            f"errors without a class of their own: {len(self.unexpected)} {self.unexpected[:3]}",
            f"slowest benchmark: {self.slowest_s:.2f} s (its timeout: {TIMEOUT_S:g} s)",
            f"before: {self.before}; after: {self.after}",
            f"files left on the server: {self.files_left} (the log names {self.files_named}); "
            f"jobs whose submission was not answered: {self.jobs_left}",
            f"a benchmark after the faults: {'completed' if self.recovered else 'FAILED'}",
            f"token in logs: {'YES' if self.secrets_seen else 'no'} ({self.secrets} secrets looked for)",
            f"requests the server finds wrong: {self.complaints[:3] or 'none'}",
            f"verdict: {'fine' if self.fine else 'NOT FINE'}",
        ]


def soak(requests: int, rate: float, seed: int, threads: int, folder: Path) -> Report:
    """Run benchmarks until the server has had `requests` requests, `rate` of them with a fault."""
    report = Report()
    logged = io.StringIO()
    handler = logging.StreamHandler(logged)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    gc.collect()
    report.before = _open_things()
    started = time.monotonic()
    saved = dict(os.environ)
    try:
        with CloudServer() as server:
            os.environ.update(server.environment(), XDG_CONFIG_HOME=str(folder))
            os.environ.update(STM32AI_USERNAME=USER, STM32AI_PASSWORD=PASSWORD)
            connect(timing=TIMING).close()
            server.faults.at_random(rate, seed)
            lock = threading.Lock()
            workers = [
                threading.Thread(target=_work, args=(server, requests, folder, number, report, lock))
                for number in range(threads)
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            report.requests = server.requests.total()
            report.faults = server.faults.injected
            server.faults.at_random(0.0, seed)
            report.recovered = _recovers(folder)
            report.files_left = sum(len(files) for kind, files in server.stored.items() if kind != "generated")
            report.jobs_left = len(server.running)
            report.complaints = server.complaints
    finally:
        os.environ.clear()
        os.environ.update(saved)
        root.removeHandler(handler)
        root.setLevel(level)
    report.seconds = time.monotonic() - started
    text = logged.getvalue() + "".join(report.example.values()) + "".join(report.unexpected)
    secrets = {PASSWORD, *server.secrets_given}
    report.secrets = len(secrets)
    report.secrets_seen = sum(secret in text for secret in secrets)
    # What the client could not remove it says; what a lost answer hid from it, it cannot know.
    report.files_named = text.count("stays on the service")
    gc.collect()
    _settle(report)
    return report


def _work(server: CloudServer, requests: int, folder: Path, number: int, report: Report, lock: threading.Lock) -> None:
    client: CloudClient | None = None
    turn = 0
    while server.requests.total() < requests:
        turn += 1
        size = 500 + 37 * turn + 1000 * number
        model = folder / f"model_{number}.tflite"
        model.write_bytes(bytes(size))
        board = load_board(BOARDS[turn % len(BOARDS)])
        started = time.monotonic()
        with lock:
            report.started += 1
        try:
            if client is None:
                client = connect(timing=TIMING)
            started = time.monotonic()
            figures = client.benchmark(model, board, timeout_s=TIMEOUT_S)
        except CloudError as error:
            name = type(error).__name__
            with lock:
                report.failed[name] += 1
                report.example.setdefault(name, str(error))
        except BaseException as error:  # noqa: BLE001 - it is what we look for
            with lock:
                report.unexpected.append(f"{type(error).__name__}: {error}")
        else:
            # A converted model has four bytes more here.
            expected = {size / 1000, size / 500, (size + 4) / 500}
            with lock:
                report.completed += 1
                report.wrong += figures.latency_ms not in expected
        with lock:
            report.slowest_s = max(report.slowest_s, time.monotonic() - started)
        if client is not None and turn % 5 == 0:
            client.close()
            client = None
    if client is not None:
        client.close()


def _recovers(folder: Path) -> bool:
    """Whether a benchmark completes, with whatever token the faults have left."""
    model = folder / "after.tflite"
    model.write_bytes(bytes(1234))
    try:
        with connect(timing=TIMING) as client:
            return client.benchmark(model, load_board(BOARDS[0]), timeout_s=TIMEOUT_S).latency_ms == 1.234
    except CloudError:
        return False


def _open_things() -> dict[str, int]:
    process = psutil.Process()
    sockets = [one for one in process.net_connections() if one.status != psutil.CONN_TIME_WAIT]
    files = process.num_fds() if hasattr(process, "num_fds") else len(process.open_files())
    return {"sockets": len(sockets), "threads": threading.active_count(), "file descriptors": files}


def _more(now: dict[str, int], before: dict[str, int]) -> bool:
    return any(now[name] > before[name] for name in before)


def _settle(report: Report) -> None:
    """The server's threads need a moment to see that their connections are closed."""
    until = time.monotonic() + 5.0
    while _more(now := _open_things(), report.before) and time.monotonic() < until:
        time.sleep(0.05)
    report.after = now


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=4)
    given = parser.parse_args()
    keyring.set_keyring(NoKeyring())
    logging.getLogger().addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory() as folder:
        report = soak(given.requests, given.rate, given.seed, given.threads, Path(folder))
    sys.stdout.write("\n".join(report.lines()) + "\n")
    return 0 if report.fine else 1


if __name__ == "__main__":
    sys.exit(main())

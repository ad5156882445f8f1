"""Damaged model files through the exporter, in a process that may be lost: what came of each, and what it took.

    python tests/codegen/hostile.py --files MODEL... [--count 2000] [--seed 0]

`benchmarks/fuzz_export.py` runs this file over thousands; `tests/codegen/test_hostile.py` over some hundred.
Exit code 0: every file was exported, or refused with one line, in time, without a half folder and without gigabytes.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
LONGEST_S = 20.0
"""One file may take so long before it counts as a hang (a sound one takes under a second)."""
SPACE = 6 << 30
"""Bytes of address space of the process that exports; libraries alone reserve much of it."""
MOST_RSS = 1 << 30
WHOLE = ("network/network.c", "network/network.h", "README.md", "Makefile", "test/main.c")


@dataclass
class Tally:
    """What came of many files.

    Attributes:
        exported, refused: how many.
        wrong: what should not have happened, a line each.
        reasons: problems by kind, with numbers and names taken out.
        slowest_s: of one file.
        rss: most memory of the exporting process, bytes.
    """

    exported: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    rss: int = 0


class Hang(BaseException):
    """A file took longer than it may."""


def _late(*_: object) -> None:
    raise Hang


def export_one(content: bytes, suffix: str, folder: Path, *, whole: bool) -> dict[str, Any]:
    """Export a file from `folder`; what came of it. `whole`: with test vector and build files, as users do it."""
    from stm32pose.codegen.export import build, network_files, write_folder
    from stm32pose.codegen.project import project_files
    from stm32pose.codegen.targets import target_of
    from stm32pose.errors import UserError

    path, out = folder / f"model{suffix}", folder / "out" / "code"
    path.write_bytes(content)
    signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    started = time.monotonic()
    try:
        built = build(path, target_of("cortex-m7"))
        files: dict[str, str | bytes] = (
            project_files(built) if whole else {f"network/{k}": v for k, v in network_files(built).items()}
        )
        write_folder(files, out)
        result = {"state": "exported"}
    except UserError as error:
        result = {"state": "refused", "why": str(error)}
        if "\n" in str(error) or not str(error).strip() or not str(error).isprintable():
            result = {"state": "wrong", "why": f"not one line: {error!r}"}
    except Hang:
        result = {"state": "wrong", "why": f"took over {LONGEST_S:g} s: {traceback.format_exc()[-600:]}"}
    except BaseException:  # noqa: BLE001 - whatever it is, it should not have come out
        result = {"state": "wrong", "why": traceback.format_exc()[-1200:]}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    result["seconds"] = time.monotonic() - started
    left = sorted(p.name for p in out.parent.iterdir()) if out.parent.is_dir() else []
    if result["state"] == "exported":
        missing = [name for name in (WHOLE if whole else WHOLE[:2]) if not (out / name).is_file()]
        if missing or left != ["code"]:
            result |= {"state": "wrong", "why": f"half a folder: missing {missing}, beside it {left}"}
        _remove(out)
    elif left:
        result |= {"state": "wrong", "why": f"a folder of a refused file: {left}; {result['why']}"}
    result["rss"] = _peak_memory()
    return result


def _peak_memory() -> int:
    """Bytes of this program. Not of getrusage: that one is inherited from whoever started the process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def damaged_file(content: bytes, suffix: str, seed: int) -> bytes:
    """The file of a seed: plain damage for even ones, a well-formed absurd file for odd ones."""
    sys.path.insert(0, str(HERE.parent.parent))
    from codegen.mutations import absurd_onnx, absurd_tflite, plain_damage

    sys.path.pop(0)
    if seed % 2 == 0:
        return plain_damage(content, seed)
    return (absurd_tflite if suffix == ".tflite" else absurd_onnx)(content, seed)


def _work() -> None:
    """The process that exports: a line of JSON for each request."""
    resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with tempfile.TemporaryDirectory(prefix="hostile-") as temporary:
        for line in sys.stdin:
            request = json.loads(line)
            source = Path(request["file"])
            try:
                content = damaged_file(source.read_bytes(), source.suffix, request["seed"])
            except Exception:  # noqa: BLE001 - a change that the format cannot express
                print(json.dumps({"state": "skipped", "seconds": 0, "rss": 0}), file=answers, flush=True)
                continue
            result = export_one(content, source.suffix, Path(temporary), whole=request["whole"])
            print(json.dumps(result), file=answers, flush=True)


class Worker:
    """The exporting process, started again when it is lost."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE), "--work"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, args=(self._process, self._answers), daemon=True).start()
        self._said: list[str] = []
        threading.Thread(target=self._hear, args=(self._process, self._said), daemon=True).start()

    @staticmethod
    def _listen(process: Any, answers: queue.Queue[str]) -> None:
        for line in process.stdout:
            answers.put(line)
        answers.put("")

    @staticmethod
    def _hear(process: Any, said: list[str]) -> None:
        for line in process.stderr:
            said.append(line)
            del said[:-20]

    def ask(self, file: Path, seed: int, *, whole: bool) -> dict[str, Any]:
        """What came of one damaged file; a crash or a hang of the process itself is `wrong`."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"file": str(file), "seed": seed, "whole": whole}) + "\n")
        self._process.stdin.flush()
        try:
            answer = self._answers.get(timeout=3 * LONGEST_S)
        except queue.Empty:
            answer = ""
        if answer:
            return json.loads(answer)
        self.close()
        why = f"the process ended with status {self._process.returncode}: {''.join(self._said)[-600:]}"
        self._start()
        return {"state": "wrong", "why": why, "seconds": 0.0, "rss": 0}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def damage_many(files: Sequence[Path], count: int, seed: int = 0, *, whole_every: int = 20) -> Tally:
    """Export `count` damaged files, made of `files` in turn.

    Args:
        whole_every: each that many a whole export, reference runtime and all, which takes longer.
    """
    tally, worker = Tally(), Worker()
    try:
        for place in range(count):
            file, number = files[place % len(files)], seed + place // len(files)
            result = worker.ask(file, number, whole=place % whole_every == 0)
            name = f"{file.name} seed {number}"
            tally.slowest_s = max(tally.slowest_s, result["seconds"])
            tally.rss = max(tally.rss, result["rss"])
            if result["state"] == "exported":
                tally.exported += 1
            elif result["state"] == "refused":
                tally.refused += 1
                tally.reasons[_kind(result["why"])] += 1
            elif result["state"] == "wrong":
                tally.wrong.append(f"{name}: {result['why']}")
    finally:
        worker.close()
    if tally.rss > MOST_RSS:
        tally.wrong.append(f"{tally.rss / 1e9:.1f} GB of memory")
    return tally


def _kind(why: str) -> str:
    import re

    text = why.split(": ", 1)[-1]
    return re.sub(r"'[^']*'", "'..'", re.sub(r"-?\d[\d.e+-]*", "#", text))[:90]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--files", nargs="*", type=Path, default=[])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.work:
        _work()
        return 0
    started = time.monotonic()
    tally = damage_many(given.files, given.count, given.seed)
    for why, times in tally.reasons.most_common(40):
        print(f"{times:6} {why}")  # noqa: T201
    for line in tally.wrong:
        print(f"WRONG {line}")  # noqa: T201
    print(  # noqa: T201
        f"{given.count} damaged files of {len(given.files)} models: {tally.exported} exported, {tally.refused} "
        f"refused, {len(tally.wrong)} wrong; slowest {tally.slowest_s:.2f} s, memory {tally.rss / 1e6:.0f} MB, "
        f"{time.monotonic() - started:.0f} s"
    )
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Other programs, with real ones: status, output, log, timeouts and what they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stm32pose.errors import UserError
from stm32pose.processes import KEPT, run_program, show_command

FAMILY = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal, time\\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\\n"
                          "print('grandchild', flush=True)\\ntime.sleep(60)"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
{ending}
"""


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def gone(pid: int) -> bool:
    for _ in range(50):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        state = Path(f"/proc/{pid}/stat")
        if state.exists() and state.read_text().split(")")[-1].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_status_output_and_log(tmp_path):
    log = tmp_path / "deep/run.log"
    code = "import sys; print('out'); sys.stdout.flush(); print('err é', file=sys.stderr); sys.exit(3)"
    lines: list[str] = []
    done = run_program(python(code, "a b"), log=log, on_line=lines.append)
    assert (done.returncode, done.output, done.log) == (3, "out\nerr é\n", log)
    assert lines == ["out", "err é"]
    assert 0 < done.seconds < 20
    first, *rest = log.read_text().splitlines()
    assert first == f"$ {show_command(done.command)}"
    assert first.endswith("'a b'")
    assert rest == ["out", "err é"]


def test_standard_input_is_closed():
    done = run_program(python("input('licence? ')"), timeout_s=20)
    assert done.returncode == 1
    assert "EOFError" in done.output


def test_environment_is_added_and_folder_entered(tmp_path, monkeypatch):
    monkeypatch.setenv("KEPT", "yes")
    code = "import os; print(os.getcwd(), os.environ['KEPT'], os.environ['MORE'])"
    done = run_program(python(code), cwd=tmp_path, env={"MORE": "too"})
    assert done.output.split() == [str(tmp_path), "yes", "too"]


def test_a_relative_program_does_not_move_with_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho here\n")
    tool.chmod(0o755)
    (tmp_path / "elsewhere").mkdir()
    assert run_program(["./tool"], cwd=tmp_path / "elsewhere").output == "here\n"


def test_carriage_returns_end_lines():
    lines: list[str] = []
    run_program(python(r"print('10 %\r20 %\rdone')"), on_line=lines.append)
    assert lines == ["10 %", "20 %", "done"]


def test_a_lot_of_output(tmp_path):
    code = "import sys\nfor i in range(120000): print(i, 'x' * 60)\nsys.stdout.write('y' * 200000 + 'end')"
    done = run_program(python(code), log=tmp_path / "run.log")
    assert done.returncode == 0
    assert len(done.output) <= KEPT
    assert done.output.endswith("yend")
    text = (tmp_path / "run.log").read_text()
    assert "\n0 xxx" in text
    assert len(text) > 7_000_000


@pytest.mark.skipif(sys.platform == "win32", reason="groups of processes are POSIX's")
def test_a_timeout_ends_the_whole_family(tmp_path):
    file, log = tmp_path / "pids", tmp_path / "run.log"
    started = time.monotonic()
    with pytest.raises(UserError, match=r"did not end within 1.5 s and was stopped; log: .*run\.log"):
        run_program(python(FAMILY.replace("{ending}", "time.sleep(60)"), file), timeout_s=1.5, log=log)
    assert time.monotonic() - started < 8
    assert "grandchild" in log.read_text()
    assert all(gone(int(pid)) for pid in file.read_text().split())


@pytest.mark.skipif(sys.platform == "win32", reason="groups of processes are POSIX's")
def test_children_left_behind_end_with_the_program(tmp_path):
    file = tmp_path / "pids"
    started = time.monotonic()
    done = run_program(python(FAMILY.replace("{ending}", "sys.exit(0)"), file), timeout_s=30)
    assert done.returncode == 0
    assert time.monotonic() - started < 10
    assert all(gone(int(pid)) for pid in file.read_text().split())


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_ctrl_c_ends_the_whole_family(tmp_path):
    file = tmp_path / "pids"
    outer = (
        "import sys\nfrom stm32pose.processes import run_program\n"
        "try:\n    run_program(sys.argv[1:], on_line=lambda line: print(line, flush=True))\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    inner = python(FAMILY.replace("{ending}", "time.sleep(60)"), file)
    with subprocess.Popen(python(outer, *inner), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "grandchild\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "interrupted\n"
    assert all(gone(int(pid)) for pid in file.read_text().split())


def test_an_error_of_the_listener_ends_the_program():
    started = time.monotonic()
    code = "import time\nprint('first', flush=True)\ntime.sleep(60)"
    with pytest.raises(ZeroDivisionError):
        run_program(python(code), on_line=lambda line: 1 // 0)  # type: ignore[arg-type, return-value]
    assert time.monotonic() - started < 10


def test_an_output_closed_early_is_not_the_end():
    code = "import os, time\nos.close(1)\nos.close(2)\ntime.sleep(0.5)\nos._exit(5)"
    assert run_program(python(code), timeout_s=20).returncode == 5
    with pytest.raises(UserError, match="did not end within"):
        run_program(python(code.replace("0.5", "60")), timeout_s=1)


def test_a_crash_is_a_negative_status():
    assert run_program(python("import os; os.abort()")).returncode == -signal.SIGABRT


def test_programs_that_cannot_be_started(tmp_path):
    with pytest.raises(UserError, match=r"nowhere/tool: cannot be started \(No such file"):
        run_program([tmp_path / "nowhere/tool"])
    plain = tmp_path / "plain"
    plain.write_text("text")
    with pytest.raises(UserError, match=r"plain: cannot be started \(Permission denied"):
        run_program([plain])
    with pytest.raises(UserError, match=r"its working folder .* does not exist"):
        run_program([sys.executable], cwd=tmp_path / "nowhere")
    with pytest.raises(UserError, match="the log cannot be written"):
        run_program([sys.executable], log=plain / "run.log")

"""However a run ends, its folder says so: log, results.json, report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stm32pose.config.load import load_config
from stm32pose.errors import UserError
from stm32pose.operations import chain
from stm32pose.operations.chain import run_chain

LIMITED = """
import resource, sys
from pathlib import Path
from stm32pose.config.load import load_config
from stm32pose.errors import UserError
from stm32pose.operations.chain import run_chain
config = load_config({"operation_mode": "benchmarking", "model": {"model_path": sys.argv[1]},
                      "benchmarking": {"board": "STM32H747I-DISCO"}})
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    run_chain(config, Path(sys.argv[2]))
except UserError as error:
    sys.exit(f"told: {error}")
"""


@pytest.fixture
def broken(tmp_path: Path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"no model")
    return load_config(
        {
            "operation_mode": "benchmarking",
            "model": {"model_path": str(path)},
            "benchmarking": {"board": "STM32H747I-DISCO"},
        }
    )


def test_a_failed_run_tells_why_in_log_results_and_report(broken, tmp_path: Path):
    with pytest.raises(UserError, match=r"broken\.tflite"):
        run_chain(broken, tmp_path / "run")
    results = json.loads((tmp_path / "run" / "results.json").read_text())["run"]
    assert results["status"] == "failed"
    assert "broken.tflite" in results["error"]
    assert "broken.tflite" in (tmp_path / "run" / "stm32ai_main.log").read_text()
    assert "This run is failed" in (tmp_path / "run" / "report.html").read_text()


def test_a_fault_of_ours_is_kept_with_its_trace(broken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fault(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setitem(chain.STEPS, "benchmark", fault)
    with pytest.raises(ZeroDivisionError):
        run_chain(broken, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "results.json").read_text())["run"]["error"] == "a bug"
    assert "Traceback" in (tmp_path / "run" / "stm32ai_main.log").read_text()


def test_what_fails_while_closing_does_not_hide_the_reason(broken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(chain, "track_summary", full)
    with pytest.raises(UserError, match=r"broken\.tflite"):
        run_chain(broken, tmp_path / "run")


@pytest.mark.skipif(sys.platform == "win32", reason="file-size limits are POSIX")
def test_a_full_disk_is_one_line(shared: Path, tmp_path: Path):
    model = shared / "models" / "pose" / "st_movenet_lightning_heatmaps_192_int8_pc.tflite"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(model), str(tmp_path / "run")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("told: ")
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr.splitlines()[-1]


def test_a_null_seed_is_drawn_once_and_kept(broken, tmp_path: Path):
    general = broken.general.model_copy(update={"global_seed": None})
    with pytest.raises(UserError):
        run_chain(broken.model_copy(update={"general": general}), tmp_path / "run")
    assert "global_seed: null" not in (tmp_path / "run" / "config.yaml").read_text()

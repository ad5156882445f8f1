"""The run folder: what it holds, and what happens when it cannot be written."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml

from stm32pose.benchmark.figures import Figures
from stm32pose.config.schema import Config
from stm32pose.errors import UserError
from stm32pose.reporting.report import verdict, write_report
from stm32pose.reporting.run import Run, result_rows

BOARD = {
    "board": "BOARD-A",
    "activations_bytes": 100_000,
    "weights_bytes": 500_000,
    "code_bytes": 60_000,
    "runtime_ram_bytes": 10_000,
    "total_ram_bytes": 110_000,
    "total_flash_bytes": 560_000,
    "macs": 25_000_000,
    "latency_ms": 94.0,
    "latency_error": 0.09,
    "off_accelerator": [],
    "fits": True,
    "limits": [],
    "ram_margin": 0.4,
    "flash_margin": 0.3,
    "how": "estimated",
    "note": "",
}

ROUTES = [
    {
        **asdict(
            Figures(route="cloud", how="measured on a BOARD-A", board="BOARD-A", latency_ms=80.5, macs=25_000_000)
        ),
        "fits": True,
    },
    {
        **asdict(Figures(route="estimate", how="estimated here", board="BOARD-A", latency_ms=94.0, macs=25_000_000)),
        "fits": False,
    },
]
BENCHMARK = {
    "label": "int8",
    "file": "m",
    "board": "BOARD-A",
    "route": "cloud",
    "why": "asked for",
    "routes": ROUTES,
    "boards": [BOARD, {**BOARD, "board": "BOARD-B"}],
}


def entry(label: str, oks: float) -> dict:
    return {
        "label": label,
        "file": "m",
        "set": "test",
        "images": 3,
        "seconds": 1.0,
        "ms_per_image": 2.0,
        "invoke_ms_per_image": 1.0,
        "metrics": {"mean_oks": oks, "pck@0.2": 0.5, "epe_px": 3.0, "AP": None},
        "per_keypoint": [{"keypoint": "nose", "labelled": 3, "oks": oks, "pck@0.2": 0.5, "epe_px": 3.0}],
        "by_size": [],
    }


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Config(operation_mode="chain_eqeb"), tmp_path / "run", overrides=["a=1"])


def test_folder_tells_config_environment_and_results(run: Run):
    run.add("evaluation", entry("float", 0.9), append=True)
    run.add("benchmark", BENCHMARK, append=True)
    run.finish("finished")
    results = json.loads((run.folder / "results.json").read_text())
    assert results["run"]["status"] == "finished"
    assert results["run"]["steps"] == ["evaluate", "quantize", "evaluate", "benchmark"]
    assert yaml.safe_load((run.folder / "config.yaml").read_text())["operation_mode"] == "chain_eqeb"
    assert json.loads((run.folder / "environment.json").read_text())["packages"]["numpy"] == np.__version__
    with (run.folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    figures = {(row["step"], row["keypoint"], row["metric"]): row for row in rows}
    assert float(figures["evaluate", "", "mean_oks"]["value"]) == 0.9
    assert figures["evaluate", "nose", "epe_px"]["unit"] == "px"
    costs = [(row["model"], row["value"], row["how"]) for row in rows if row["metric"] == "latency_ms"]
    assert costs == [
        ("int8", "80.5", "measured on a BOARD-A"),
        ("int8", "94.0", "estimated here"),
        ("int8", "94.0", "estimated"),
    ]
    assert not list(run.folder.glob(".*.tmp"))


def test_numpy_figures_are_json_and_nan_is_refused(run: Run):
    run.add("x", {"a": np.float32(0.5), "b": np.arange(2), "c": Path("f")})
    assert json.loads((run.folder / "results.json").read_text())["x"] == {"a": 0.5, "b": [0, 1], "c": "f"}
    with pytest.raises(ValueError, match="JSON compliant"):
        run.add("x", float("nan"))
    assert json.loads((run.folder / "results.json").read_text())["x"]["a"] == 0.5


def test_unwritable_folder_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="the run folder cannot be made"):
        Run(Config(operation_mode="evaluation"), tmp_path / "file" / "run")


def test_verdict_names_loss_of_int8(run: Run):
    run.add("evaluation", entry("float", 0.90), append=True)
    run.add("evaluation", entry("int8", 0.88), append=True)
    run.add("benchmark", BENCHMARK, append=True)
    top = verdict(run.results)
    assert top["label"] == "int8"
    assert top["lost"] == pytest.approx(0.02)
    page = write_report(run).read_text()
    for words in (
        "Fits",
        "BOARD-A",
        "-2.0",
        "measured on a BOARD-A",
        "80.5 ms",
        "estimated here",
        "94.0 ms",
        "BOARD-B",
    ):
        assert words in page
    assert "random images" not in page


def test_report_shouts_random_calibration_and_shows_the_other_services(run: Run):
    quantized = {
        "label": "int8",
        "file": "q.tflite",
        "bytes": 10,
        "granularity": "per_channel",
        "input_type": "uint8",
        "output_type": "int8",
        "calibration_images": 16,
        "calibration_set": "RANDOM IMAGES (fake)",
        "fake": True,
    }
    run.add("quantization", quantized, append=True)
    run.add("prediction", {"images": 3, "poses": 4, "model": "m<b>", "failed": ["x.jpg"], "timing": {}})
    commands = [{"shown": "make all", "status": "done", "log": "build.log"}]
    deployed = {"board": "BOARD-C", "model": "q.tflite", "status": "dry run", "commands": commands, "notes": ["n1"]}
    run.add("deployment", {**deployed, "files": ["a.h"], "next": "reset it"}, append=True)
    page = write_report(run).read_text()
    for words in ("Calibrated on random images", "3 images, 4 poses by m&lt;b&gt;", "1 could not be read", "BOARD-C"):
        assert words in page
    assert "dry run: nothing was built" in page
    assert "make all" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "src=" not in page or "data:image" in page


def test_report_of_a_failed_run_says_so_and_escapes(run: Run):
    run.results["run"]["error"] = "<script>alert(1)</script>"
    run.finish("failed")
    page = write_report(run).read_text()
    assert "This run is failed" in page
    assert "<script>" not in page


def test_rows_have_every_column(run: Run):
    run.add("evaluation", entry("int8", 0.8), append=True)
    assert all(len(row) == 8 for row in result_rows(run.results))

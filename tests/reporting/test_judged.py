"""What a run is judged by: its own models, and the route that was asked for; where both were measured."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from stm32pose.benchmark.figures import Figures
from stm32pose.config.schema import Config
from stm32pose.reporting.judged import chosen_row, own_entries, own_entry
from stm32pose.reporting.report import title, verdict, write_report
from stm32pose.reporting.run import Run
from stm32pose.reporting.summary import print_summary

BOARD = {
    **asdict(Figures(route="estimate", how="estimated", board="BOARD-A", macs=9, latency_ms=877.0)),
    **{"fits": True, "limits": [], "latency_error": 0.2, "ram_margin": 0.5, "flash_margin": 0.5},
    **{"off_accelerator": [], "note": ""},
}


def entry(label: str, oks: float, **more: Any) -> dict[str, Any]:
    size = {"size": f"size of {label}", "instances": 1, "mean_oks": oks, "pck@0.2": 0.5}
    metrics = {"mean_oks": oks, "pck@0.2": 0.5}
    return {
        **{"label": label, "precision": label.split(" ")[0], "kind": "tflite", "target": "host", "set": "test"},
        **{"images": 3, "ms_per_image": 20.0, "invoke_ms_per_image": 1.5, "metrics": metrics, "by_size": [size]},
        **{"per_keypoint": [{"keypoint": "nose", "labelled": 3, "oks": oks}], "own": True, **more},
    }


def bench(route: str, *routes: str) -> dict[str, Any]:
    rows = [{**asdict(Figures(route=name, how=f"by {name}", board="BOARD-A", latency_ms=877.0))} for name in routes]  # type: ignore[arg-type]
    return {
        **{"label": "int8", "file": "m", "board": "BOARD-A", "route": route, "why": "asked for"},
        **{"routes": [{**row, "fits": True} for row in rows], "boards": [BOARD] * 8},
    }


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Config(operation_mode="chain_eb"), tmp_path / "run")


def test_a_file_to_compare_with_does_not_take_the_verdict(run: Run):
    own, other = entry("float", 0.5), entry("int8 other", 0.9, own=False)
    assert own_entry([own, other]) is own
    assert list(own_entries([own, other])) == ["float"]
    assert own_entry([other]) is other
    assert own_entry([]) is None
    run.add("evaluation", [own, other])
    top = verdict(run.results)
    assert (top["label"], top["score"]) == ("float", 0.5)
    assert "lost" not in top
    page = write_report(run).read_text()
    assert page.index("size of float") < page.index("size of int8 other")


def test_the_report_says_where_a_model_ran(run: Run):
    board = entry("int8", 0.8, target="stedgeai_n6", invoke_clock="told by the board")
    run.add("evaluation", [entry("float", 0.9), board])
    page = write_report(run).read_text()
    table = page.split("How accurate is it?")[1].split("</table>")[0]
    assert "tflite on host" in table
    assert "tflite on stedgeai_n6" in table
    first, second = table.split("<tr>")[2:]
    assert "20.0<br>" in first
    assert ">here<" in first
    assert "1.5<br>" in second
    assert "told by the board" in second
    assert "20.0" not in second
    assert "measured, stedgeai_n6" in page.split("How accurate")[0]
    with (run.folder / "results.csv").open() as file:
        hows = {(row["model"], row["how"]) for row in csv.DictReader(file)}
    assert hows == {("float", "measured"), ("int8", "measured, stedgeai_n6")}


def test_the_terminal_says_where_a_model_ran(run: Run, capsys: pytest.CaptureFixture[str]):
    run.add("evaluation", [entry("float", 0.9), entry("int8", 0.8, target="stedgeai_n6")])
    print_summary(run)
    lines = capsys.readouterr().out.splitlines()
    assert any("int8 on test, tflite on stedgeai_n6" in line for line in lines)
    assert any("float on test " in line for line in lines)


def test_a_route_that_failed_has_no_card(run: Run):
    failed = bench("stedgeai", "estimate")
    assert chosen_row(failed) is None
    run.add("benchmark", [failed])
    run.finish("failed")
    page = write_report(run).read_text()
    cards = page.split('class="cards"')[1].split("</div>\n\n")[0]
    assert "benchmark by stedgeai failed" in cards
    assert "Fits" not in cards
    assert "877" not in cards
    assert 'class="chosen"><td>estimate' not in page
    assert "Which boards run it" in page


def test_the_route_that_was_asked_for_is_marked(run: Run, capsys: pytest.CaptureFixture[str]):
    both = bench("cloud", "estimate", "cloud")
    row = chosen_row(both)
    assert row is not None
    assert row["route"] == "cloud"
    run.add("benchmark", [both])
    page = write_report(run).read_text()
    assert 'class="chosen"><td>cloud' in page
    assert 'class="chosen"><td>estimate' not in page
    assert "by cloud" in page.split('class="cards"')[1].split("</div>")[0]
    print_summary(run)
    told = capsys.readouterr().out
    assert "cloud (asked for)" in told
    assert "8 of 8 boards run it, the report has them all" in told


def test_the_title_of_a_project_without_a_name():
    config = Config.model_validate({"operation_mode": "chain_eb", "model": {"model_path": "a/pose.tflite"}})
    assert title(config, {"run": {"project": config.general.project_name}}) == "chain_eb of pose.tflite"
    assert title(config, {"run": {"project": "mine"}}) == "mine"


def test_sets_without_labels_have_no_instances(run: Run):
    calibration = {"images": 60, "instances": 0, "source": "q"}
    data = {"name": "n", "skeleton": None, "sets": {"quantization": calibration}}
    run.add("dataset", data)
    assert "<th>instances</th>" not in write_report(run).read_text()
    run.add("dataset", {**data, "sets": {"test": {"images": 3, "instances": 5, "source": "t"}, "q": calibration}})
    page = write_report(run).read_text()
    assert "<td>60</td><td>-</td>" in page
    assert "<td>3</td><td>5</td>" in page

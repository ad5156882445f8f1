"""What results.json sends to the trackers: under ST's names, when it is found, from the route that was chosen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from stm32pose.benchmark.figures import Figures
from stm32pose.config.schema import Config
from stm32pose.reporting.run import Run
from stm32pose.reporting.tracked import (
    accuracy_figures,
    config_params,
    cost_figures,
    data_digest,
    entry_figures,
    last_model,
    track_summary,
    tracked_sets,
)
from stm32pose.reporting.tracking import TrackedSet, Tracker, Trackers

ROW = {"keypoint": "nose", "labelled": 3, "oks": 0.5}


class Recorder(Tracker):
    """Keeps what it is sent, with the step that was under way."""

    def __init__(self) -> None:
        self.now = ""
        self.figures: list[tuple[str, str, float | None]] = []
        self.settings: dict[str, Any] = {}
        self.texts: dict[str, str] = {}
        self.sets: list[TrackedSet] = []
        self.models: list[list[str]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.now = name
        yield
        self.now = ""

    def params(self, values: Mapping[str, Any]) -> None:
        self.settings |= values

    def metrics(self, values: Mapping[str, float | None], step: int | None = None) -> None:
        self.figures += [(self.now, name, value) for name, value in values.items()]

    def tags(self, values: Mapping[str, str]) -> None:
        self.texts |= values

    def dataset(self, name: str, sets: Sequence[TrackedSet]) -> None:
        self.sets += sets

    def model(self, files: Sequence[Path], tags: Mapping[str, str]) -> None:
        self.models.append([path.name for path in files])
        self.texts |= tags


def evaluated(label: str, oks: float, **more: Any) -> dict[str, Any]:
    metrics = {"mean_oks": oks, "mean_oks_st": oks - 0.1, "AP": oks / 2, "AP50": None, "epe_px": 3.0}
    return {"label": label, "file": "m", "set": "test", "metrics": metrics, "per_keypoint": [ROW], **more}


def benchmarked(route: str, routes: list[Figures]) -> dict[str, Any]:
    boards = [{**asdict(row), "how": "estimated", "limits": [], "fits": True} for row in routes[-1:]]
    return {
        "label": "int8",
        "file": "m",
        "board": "B",
        "route": route,
        "routes": [asdict(row) for row in routes],
        "boards": boards,
    }


CLOUD = Figures(
    route="cloud",
    how="measured",
    board="B",
    tool="ST Edge AI Core 3.0.0",
    total_ram_bytes=2048,
    macs=3_500_000,
    cycles=9_000_000,
    latency_ms=12.5,
    internal_flash_bytes=1024,
)
ESTIMATE = Figures(route="estimate", how="estimated", board="B", total_ram_bytes=1024, latency_ms=10.0)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Config(operation_mode="chain_eqeb"), tmp_path / "run", Recorder())


def test_sts_names_are_in_percent_and_ours_as_they_are():
    figures = accuracy_figures({"mean_oks": 0.75, "mean_oks_st": 0.5, "AP": 0.25, "AP50": None}, "quantized")
    assert figures == {
        "quantized_mean_oks": 0.75,
        "quantized_mean_oks_st": 0.5,
        "quantized_AP": 0.25,
        "quantized_AP50": None,
        "quantized_OKS": 50.0,
        "quantized_mAP_0.5": None,
        "quantized_mAP_0.5_0.95": 25.0,
    }


def test_the_chosen_route_has_sts_names():
    figures = cost_figures(benchmarked("cloud", [CLOUD, ESTIMATE]))
    assert figures["Total RAM KiB"] == 2.0
    assert figures["MACCs M"] == 3.5
    assert figures["cycles"] == 9.0
    assert figures["inference_time ms"] == 12.5
    assert figures["Internal Flash usage"] == 1.0
    assert figures["Peak Ram KiB"] is None
    assert figures["Total RAM KiB estimate"] == 1.0
    assert figures["inference_time ms estimate"] == 10.0


def test_an_estimate_never_takes_the_name_of_the_route_that_was_asked_for():
    """The cloud failed, or has not answered yet: the estimate alone stands in the results."""
    figures = {name for name, value in cost_figures(benchmarked("cloud", [ESTIMATE])).items() if value is not None}
    assert figures == {"Total RAM KiB estimate", "inference_time ms estimate"}


def test_an_entry_of_an_older_run_folder():
    bench = benchmarked("estimate", [ESTIMATE])
    figures = cost_figures({"label": "int8", "boards": bench["boards"]})
    assert figures["Total RAM KiB"] == 1.0


def test_several_models_of_a_precision():
    entries = [
        evaluated("best_model", 0.9, precision="float"),
        evaluated("int8", 0.8),
        evaluated("other one.tflite", 0.7, precision="int8"),
        evaluated("other one.tflite", 0.6, precision="int8"),
    ]
    found = entry_figures({"evaluation": entries})
    assert [found["evaluation", index].get("float_mean_oks") for index in range(2)] == [0.9, None]
    assert found["evaluation", 1]["quantized_mean_oks"] == 0.8
    assert found["evaluation", 2]["other_one.tflite_mean_oks"] == 0.7
    assert found["evaluation", 3]["other_one.tflite_2_mean_oks"] == 0.6


def test_figures_arrive_in_the_step_that_found_them(run: Run):
    sent = run.tracker
    assert isinstance(sent, Recorder)
    with sent.step("evaluate"):
        run.add("evaluation", evaluated("float", 0.9), append=True)
    with sent.step("benchmark"):
        entry = benchmarked("cloud", [ESTIMATE])
        run.add("benchmark", entry, append=True)
        entry["routes"] = benchmarked("cloud", [CLOUD, ESTIMATE])["routes"]
        run.save()
    with sent.step("evaluate"):
        run.add("evaluation", evaluated("int8", 0.8), append=True)
    run.finish("finished")
    track_summary(run)
    steps = {name: step for step, name, value in sent.figures if value is not None}
    assert steps["float_mean_oks"] == "evaluate"
    assert steps["Total RAM KiB"] == "benchmark"
    told = [(name, value) for _, name, value in sent.figures if value is not None]
    assert len(told) == len(set(told))  # nothing is sent twice
    assert [value for name, value in told if name == "Total RAM KiB"] == [2.0]
    assert sent.settings["stedgeai_core_version"] == "ST Edge AI Core 3.0.0"
    assert sent.texts["status"] == "finished"


def test_the_digest_of_the_data(run: Run):
    sent = run.tracker
    assert isinstance(sent, Recorder)
    manifest = {
        "sources": {"training": "dataset.training_path"},
        "folders": {"dataset.training_path": "/d"},
        "sets": {
            "training": {"samples": 9, "digest": "ab", "entries": []},
            "quantization": {"samples": 9, "same_as": "training"},
        },
    }
    run.write_json("splits.json", manifest)
    run.add("dataset", {"name": "coco", "sets": {}, "skeleton": "person13"})
    assert sent.sets == [TrackedSet("training", "ab", "dataset.training_path: /d", 9)]
    first = sent.settings["dataset_digest"]
    manifest["sets"]["training"]["digest"] = "ac"
    run.write_json("splits.json", manifest)
    assert data_digest(tracked_sets(run.folder / "splits.json")) != first
    assert tracked_sets(run.folder / "nothing.json") == []


def test_the_last_model_of_a_finished_run(run: Run):
    sent = run.tracker
    assert isinstance(sent, Recorder)
    for name in ("saved_models/best_model.keras", "quantized_models/q.tflite", "quantized_models/q.json"):
        run.path(*name.split("/")).write_bytes(b"{}")
    assert last_model(run) is None
    run.add("training", {"best": "saved_models/best_model.keras", "seconds": 3.0, "epochs": 2})
    assert last_model(run) == run.folder / "saved_models" / "best_model.keras"
    run.add("quantization", {"label": "int8", "file": "quantized_models/q.tflite", "bytes": 2}, append=True)
    run.add("evaluation", evaluated("int8", 0.8) | {"file": "quantized_models/q.tflite"}, append=True)
    run.finish("failed")
    track_summary(run)
    assert sent.models == []
    run.finish("finished")
    track_summary(run)
    assert sent.models == [["q.tflite", "q.json"]]
    assert sent.texts["mean_oks"] == "0.8"
    assert len(sent.texts["sha256"]) == 64


def test_settings_of_a_run():
    config = Config(operation_mode="evaluation")
    assert config_params(config) == {"operation_mode": "evaluation", "model_path": None, "seed": 123}


def test_several_trackers_get_the_same():
    both = [Recorder(), Recorder()]
    tracker = Trackers(both)
    with tracker.step("train"):
        tracker.metrics({"a": 1.0})
    tracker.params({"b": 2})
    tracker.tags({"c": "d"})
    tracker.dataset("coco", [TrackedSet("test", "ab", "x", 1)])
    tracker.model([Path("m")], {})
    for one in both:
        assert one.figures == [("train", "a", 1.0)]
        assert (one.settings, one.texts, len(one.sets), one.models) == ({"b": 2}, {"c": "d"}, 1, [["m"]])


def test_results_json_is_what_is_sent(run: Run):
    run.add("evaluation", evaluated("float", 0.9), append=True)
    written = json.loads((run.folder / "results.json").read_text())
    assert entry_figures(written) == entry_figures(run.results)

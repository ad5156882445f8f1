"""report.html: one self-contained file that says what was trained on what, how well, and whether it fits the chip."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from stm32pose.config.schema import Config
from stm32pose.reporting import boards
from stm32pose.reporting.judged import chosen_row, how_measured, own_entries, own_entry, runs_on, time_an_image
from stm32pose.reporting.redact import redact
from stm32pose.reporting.run import Run
from stm32pose.reporting.summary import ACCURACY, accuracy
from stm32pose.reporting.training import shown_epochs
from stm32pose.reporting.units import kib, milliseconds, percent

TEMPLATE = "report.html"
MIME = {".png": "image/png", ".jpg": "image/jpeg"}


def write_report(run: Run) -> Path:
    """Render results.json and the figures of the run folder; returns the path of report.html."""
    from jinja2 import Environment, FileSystemLoader

    engine = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    engine.filters.update(percent=percent, kib=kib)
    page = engine.get_template(TEMPLATE).render(
        results=run.results,
        verdict=verdict(run.results),
        title=title(run.config, run.results),
        runs_on=runs_on,
        time_an_image=time_an_image,
        sizes=by_size(run.results.get("evaluation", [])),
        metrics=[
            (name, label)
            for name, label in ACCURACY.items()
            if any(entry["metrics"].get(name) is not None for entry in run.results.get("evaluation", []))
        ],
        accuracy=accuracy,
        milliseconds=milliseconds,
        boards=boards,
        config=yaml.safe_dump(run.config.model_dump(mode="json", exclude_defaults=True), sort_keys=False),
        pictures=pictures(run.folder / "figures"),
        epochs_seen=[
            (epoch, run.relative(path), embedded(path)) for epoch, path in shown_epochs(run.folder / "figures")
        ],
    )
    return run.write_text("report.html", page)


def title(config: Config, results: Mapping[str, Any]) -> str:
    """The project's name; where it has none, `chain_eb of model.tflite`."""
    project = results["run"]["project"]
    if project != type(config.general).model_fields["project_name"].default:
        return project
    address = config.model.model_path
    model = config.model.model_name or config.model.backbone or (Path(address).name if address else None)
    return f"{config.operation_mode} of {redact(model)}" if model else config.operation_mode


def by_size(evaluations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The evaluations that tell figures by size, first the one that the run is judged by."""
    first = own_entry(evaluations)
    return sorted((entry for entry in evaluations if entry["by_size"]), key=lambda entry: entry is not first)


def pictures(folder: Path) -> dict[str, str]:
    """The figures of a run as data addresses, by file stem."""
    found = {}
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        if path.suffix in MIME:
            found[path.stem] = embedded(path)
    return found


def embedded(path: Path) -> str:
    """A picture as a data address."""
    return f"data:{MIME[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def verdict(results: dict[str, Any]) -> dict[str, Any]:
    """The lines at the top: does it fit, how fast, how accurate, what int8 cost."""
    top: dict[str, Any] = {}
    if results.get("benchmark"):
        bench = results["benchmark"][-1]
        top["cost"] = chosen_row(bench)
        if top["cost"] is None:
            top["no_cost"] = bench["route"]
    evaluations = results.get("evaluation", [])
    entries, shown = own_entries(evaluations), own_entry(evaluations)
    if shown is None:
        return top
    top["how"] = how_measured(shown)
    # Who finds several people is judged by what was found, not by the closeness of what was.
    metric = "AP" if shown.get("model_type") == "yolo_mpe" else "mean_oks"
    top |= {"label": shown["label"], "metric": ACCURACY[metric], "pck": shown["metrics"].get("pck@0.2")}
    top["score"] = shown["metrics"].get(metric)
    if {"float", "int8"} <= entries.keys():
        before, after = (entries[name]["metrics"].get(metric) for name in ("float", "int8"))
        if before is not None and after is not None:
            top["before"], top["lost"] = before, before - after
    return top

"""report.html: one self-contained file that says what was trained on what, how well, and whether it fits the chip."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from stm32pose.reporting.run import Run
from stm32pose.reporting.summary import ACCURACY, accuracy, kib, milliseconds, percent

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
        metrics=[
            (name, label)
            for name, label in ACCURACY.items()
            if any(entry["metrics"].get(name) is not None for entry in run.results.get("evaluation", []))
        ],
        accuracy=accuracy,
        milliseconds=milliseconds,
        config=yaml.safe_dump(run.config.model_dump(mode="json", exclude_defaults=True), sort_keys=False),
        pictures=pictures(run.folder / "figures"),
    )
    return run.write_text("report.html", page)


def pictures(folder: Path) -> dict[str, str]:
    """The figures of a run as data addresses, by file stem."""
    found = {}
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        if path.suffix in MIME:
            found[path.stem] = f"data:{MIME[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
    return found


def verdict(results: dict[str, Any]) -> dict[str, Any]:
    """The lines at the top: does it fit, how fast, how accurate, what int8 cost."""
    top: dict[str, Any] = {}
    if results.get("benchmark"):
        top["cost"] = results["benchmark"][-1]["routes"][0]
    # The first of a precision is the run's own; further ones are there to compare with.
    entries: dict[str, dict[str, Any]] = {}
    for entry in results.get("evaluation", []):
        entries.setdefault(entry.get("precision", entry["label"]), entry)
    if not entries:
        return top
    shown = entries.get("int8") or entries["float"]
    # Who finds several people is judged by what was found, not by the closeness of what was.
    metric = "AP" if shown.get("model_type") == "yolo_mpe" else "mean_oks"
    top |= {"label": shown["label"], "metric": ACCURACY[metric], "pck": shown["metrics"].get("pck@0.2")}
    top["score"] = shown["metrics"].get(metric)
    if {"float", "int8"} <= entries.keys():
        before, after = (entries[name]["metrics"].get(metric) for name in ("float", "int8"))
        if before is not None and after is not None:
            top["before"], top["lost"] = before, before - after
    return top

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
        top["board"] = results["benchmark"][-1]["boards"][0]
    by_label = {entry["label"]: entry["metrics"] for entry in results.get("evaluation", [])}
    if by_label:
        top["label"] = "int8" if "int8" in by_label else "float"
        top["oks"] = by_label[top["label"]].get("mean_oks")
        top["pck"] = by_label[top["label"]].get("pck@0.2")
    if {"float", "int8"} <= by_label.keys():
        before, after = by_label["float"].get("mean_oks"), by_label["int8"].get("mean_oks")
        if before is not None and after is not None:
            top["float_oks"], top["lost"] = before, before - after
    return top

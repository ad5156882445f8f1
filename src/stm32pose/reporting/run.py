"""`Run`: the folder of one experiment. Everything a step writes, it writes through here."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

import stm32pose
from stm32pose.config.schema import Config
from stm32pose.errors import UserError
from stm32pose.files import write_whole
from stm32pose.reporting.again import run_again
from stm32pose.reporting.judged import how_measured
from stm32pose.reporting.redact import redact
from stm32pose.reporting.tracked import LiveFigures
from stm32pose.reporting.tracking import Tracker

PACKAGES = (
    "tensorflow",
    "keras",
    "numpy",
    "ai-edge-litert",
    "onnxruntime",
    "opencv-python-headless",
    "hydra-core",
    "mlflow",
    "clearml",
)
CSV_COLUMNS = ("step", "model", "set", "keypoint", "metric", "value", "unit", "how")


COSTS = {
    "latency_ms": "ms",
    "cycles": "",
    "instructions": "",
    "macs": "",
    "activations_bytes": "byte",
    "runtime_ram_bytes": "byte",
    "total_ram_bytes": "byte",
    "weights_bytes": "byte",
    "code_bytes": "byte",
    "total_flash_bytes": "byte",
    "internal_ram_bytes": "byte",
    "external_ram_bytes": "byte",
    "internal_flash_bytes": "byte",
    "external_flash_bytes": "byte",
    "model_bytes": "byte",
    "peak_ram_bytes": "byte",
    "npu_percent": "%",
    "gpu_percent": "%",
    "cpu_percent": "%",
}


class Run:
    """The folder of one experiment: resolved config, environment, log, results, models, figures, report.

    Attributes:
        folder: the run folder.
        config: the validated configuration.
        results: what results.json holds, a JSON-able dict; steps add sections to it.
        tracker: MLflow, ClearML, both or nothing.
        live: what of the results the tracker has been told.
        overrides: what the user typed after the file's name, kept for the report.
    """

    def __init__(self, config: Config, folder: Path, tracker: Tracker | None = None, overrides: Iterable[str] = ()):
        """Make the folder and write the resolved config and the environment. UserError: it cannot be written."""
        self.config = config
        self.folder = folder
        self.tracker = tracker or Tracker()
        self.live = LiveFigures(self)
        self._started = time.time()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: the run folder cannot be made ({error.strerror})") from error
        self.results: dict[str, Any] = {
            "run": {
                "name": folder.name,
                "mode": config.operation_mode,
                "steps": list(config.steps),
                "project": config.general.project_name,
                "status": "running",
                "started": datetime.now().astimezone().isoformat(timespec="seconds"),
                "overrides": list(overrides),
                "again": run_again(list(overrides)),
                "directory": str(Path.cwd()),
            },
            "environment": environment(),
        }
        self.write_text("config.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        self.write_json("environment.json", self.results["environment"])
        self.save()

    def path(self, *parts: str) -> Path:
        """A path inside the run folder, its parent made."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def figures(self) -> Path:
        return self.path("figures", "x").parent

    @property
    def saved_models(self) -> Path:
        return self.path(self.config.general.saved_models_dir, "x").parent

    @property
    def logs(self) -> Path:
        return self.path(self.config.general.logs_dir, "x").parent

    def relative(self, path: Path) -> str:
        """`path` as written in results: relative to the run folder where it lies inside."""
        resolved, folder = path.resolve(), self.folder.resolve()
        return resolved.relative_to(folder).as_posix() if resolved.is_relative_to(folder) else str(path)

    def add(self, section: str, value: Any, *, append: bool = False) -> None:
        """Put a section into results.json and write it at once; `append` adds to a list."""
        if append:
            self.results.setdefault(section, []).append(value)
        else:
            self.results[section] = value
        self.save()

    def save(self) -> None:
        """Write results.json and results.csv, and tell the tracker what is new."""
        self.write_json("results.json", self.results)
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(CSV_COLUMNS)
        writer.writerows(result_rows(self.results))
        self.write_text("results.csv", text.getvalue())
        self.live.send()

    def finish(self, status: str) -> None:
        """Record how the run ended: `finished`, `failed`, `interrupted`."""
        self.results["run"].update(
            status=status,
            seconds=round(time.time() - self._started, 1),
            ended=datetime.now().astimezone().isoformat(timespec="seconds"),
        )
        self.save()

    def write_json(self, name: str, value: Any) -> Path:
        return self.write_text(name, json.dumps(value, indent=1, allow_nan=False, default=_plain) + "\n")

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file, addresses in it without their passwords."""
        return write_whole(self.path(*name.split("/")), redact(text), sync=False)


def result_rows(results: dict[str, Any]) -> list[tuple[Any, ...]]:
    """results.csv: one figure a row, (step, model, set, keypoint, metric, value, unit, how)."""
    rows: list[tuple[Any, ...]] = []
    training = results.get("training")
    if training:
        rows.append(("train", "float", "", "", "seconds", training["seconds"], "s", "measured"))
        rows.append(("train", "float", "", "", "epochs", training["epochs"], "", "measured"))
    for item in results.get("quantization", []):
        rows.append(("quantize", item["label"], "", "", "size", item["bytes"], "byte", "measured"))
    for item in results.get("evaluation", []):
        where, how = ("evaluate", item["label"], item["set"]), how_measured(item)
        for name, value in item["metrics"].items():
            rows.append((*where, "", name, value, "px" if name.endswith("_px") else "", how))
        for joint in item["per_keypoint"]:
            for name, value in joint.items():
                if name not in ("keypoint", "labelled"):
                    rows.append((*where, joint["keypoint"], name, value, "px" if name.endswith("_px") else "", how))
    for bench in results.get("benchmark", []):
        # The chosen board by every route, then the estimates of the others.
        for row in (*bench["routes"], *bench["boards"][1:]):
            for name, unit in COSTS.items():
                if row.get(name) is not None:
                    rows.append(("benchmark", bench["label"], row["board"], "", name, row[name], unit, row["how"]))
    predicted = results.get("prediction") or {}
    for part, values in predicted.get("timing", {}).items():
        if isinstance(values, dict):
            for name, value in values.items():
                rows.append(("predict", predicted["model"], "", "", f"{part}_{name}", value, "ms", "measured here"))
    return rows


def environment() -> dict[str, Any]:
    """Versions, machine and git revision: what is needed to run the same again."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = None
    return {
        "stm32pose": stm32pose.__version__,
        "git": git_revision(Path(stm32pose.__file__).parent),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "packages": packages,
    }


def git_revision(folder: Path) -> str | None:
    """The commit of the checkout that `folder` lies in, `+` behind it when files were changed; None outside git."""
    try:
        commit = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=10
        )
        if commit.returncode:
            return None
        changed = subprocess.run(
            ["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays, paths and tuples as JSON has them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")

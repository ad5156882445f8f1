"""What of results.json and the configuration goes to the trackers, under ST's names where ST has one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stm32pose.reporting.redact import redact
from stm32pose.reporting.tracking import TrackedSet

if TYPE_CHECKING:
    from stm32pose.config.schema import Config
    from stm32pose.reporting.run import Run

PREFIX = {"float": "float", "int8": "quantized"}
KIB, MILLION = 1 / 1024, 1e-6

# ST's name -> (entry of a benchmark's route, factor).
COSTS: dict[str, tuple[str, float]] = {
    "Total RAM KiB": ("total_ram_bytes", KIB),
    "RAM Runtime KiB": ("runtime_ram_bytes", KIB),
    "RAM Activations KiB": ("activations_bytes", KIB),
    "Total Flash KiB": ("total_flash_bytes", KIB),
    "Flash weights KiB": ("weights_bytes", KIB),
    "Estimated Flash Code KiB": ("code_bytes", KIB),
    "MACCs M": ("macs", MILLION),
    "cycles": ("cycles", MILLION),
    "inference_time ms": ("latency_ms", 1.0),
    "Internal Flash usage": ("internal_flash_bytes", KIB),
    "External Flash usage": ("external_flash_bytes", KIB),
    "Internal RAM usage": ("internal_ram_bytes", KIB),
    "External RAM usage": ("external_ram_bytes", KIB),
    "Model Size KiB": ("model_bytes", KIB),
    "Peak Ram KiB": ("peak_ram_bytes", KIB),
    "NPU usage": ("npu_percent", 1.0),
    "GPU usage": ("gpu_percent", 1.0),
    "CPU usage": ("cpu_percent", 1.0),
}

Figures = dict[str, float | None]


class LiveFigures:
    """Sends the figures of results.json as they appear there, so that they land in the step that found them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._sent: dict[tuple[str, int], Figures] = {}

    def send(self) -> None:
        """Whatever is new in `run.results`, or has changed since it was sent."""
        for key, figures in entry_figures(self._run.results).items():
            before = self._sent.get(key, {})
            changed = {name: value for name, value in figures.items() if before.get(name, ...) != value}
            if changed:
                self._sent[key] = figures
                self._run.tracker.metrics(changed)
        data = self._run.results.get("dataset")
        if data and ("dataset", 0) not in self._sent:
            self._sent["dataset", 0] = {}
            sets = tracked_sets(self._run.folder / "splits.json")
            if sets:
                self._run.tracker.dataset(data.get("name") or "images", sets)
                self._run.tracker.params({"dataset_digest": data_digest(sets)})


def entry_figures(results: Mapping[str, Any]) -> dict[tuple[str, int], Figures]:
    """The figures of each entry of results.json, by (section, index in it). Metrics in fractions, ST's in percent."""
    found: dict[tuple[str, int], Figures] = {}
    if results.get("model"):
        found["model", 0] = {"nb_params": results["model"].get("parameters")}
    training = results.get("training")
    if training:
        names = {"seconds": "training_seconds", "epochs": "training_epochs", "best_epoch": "best_epoch"}
        found["training", 0] = {name: training.get(key) for key, name in names.items()}
    for index, item in enumerate(results.get("quantization", [])):
        size = item.get("bytes")
        found["quantization", index] = {"quantized_model KiB": None if size is None else size * KIB}
    for index, (item, prefix) in enumerate(_prefixed(results.get("evaluation", []))):
        found["evaluation", index] = accuracy_figures(item["metrics"], prefix)
    for index, item in enumerate(results.get("benchmark", [])):
        found["benchmark", index] = cost_figures(item)
    predicted = results.get("prediction")
    if predicted:
        figures: Figures = {"prediction_images": predicted.get("images"), "prediction_poses": predicted.get("poses")}
        for part, values in (predicted.get("timing") or {}).items():
            if isinstance(values, dict):
                figures |= {f"prediction_{part}_{name} ms": value for name, value in values.items()}
        found["prediction", len(predicted.get("earlier") or [])] = figures
    return found


def accuracy_figures(metrics: Mapping[str, float | None], prefix: str) -> Figures:
    """ST's `float_OKS` and mAP in percent, and ours as they are: fractions, `epe_px` in pixels."""
    ours: Figures = {f"{prefix}_{name}": value for name, value in metrics.items()}
    st = {"OKS": "mean_oks_st", "mAP_0.5": "AP50", "mAP_0.5_0.95": "AP"}
    percent = {f"{prefix}_{name}": metrics.get(key) for name, key in st.items()}
    return ours | {name: None if value is None else 100 * value for name, value in percent.items()}


def cost_figures(bench: Mapping[str, Any]) -> Figures:
    """ST's names for the route that was chosen; those of the other routes end with the route's name."""
    routes: Sequence[Mapping[str, Any]] = bench.get("routes") or bench["boards"][:1]
    chosen = bench.get("route", routes[0].get("route"))
    figures: Figures = {}
    for row in routes:
        route = row.get("route")
        suffix = "" if route == chosen else f" {route}"
        for name, (key, factor) in COSTS.items():
            value = row.get(key)
            figures[name + suffix] = None if value is None else value * factor
    return figures


def config_params(config: Config) -> dict[str, Any]:
    """What the configuration says of a run."""
    params: dict[str, Any] = {
        "operation_mode": config.operation_mode,
        "model_path": redact(config.model.model_path) if config.model.model_path else None,
        "seed": config.general.global_seed,
    }
    if config.training and "train" in config.steps:
        params |= {
            "batch_size": config.training.batch_size,
            "epochs": config.training.epochs,
            "optimizer": next(iter(config.training.optimizer)),
            "sigma": config.training.heatmap.sigma or "default",
        }
    if config.quantization and "quantize" in config.steps:
        params |= {"quantizer": config.quantization.quantizer, "granularity": config.quantization.granularity}
    if config.benchmarking and "benchmark" in config.steps:
        params |= {"target": config.benchmarking.board}
    elif config.deployment and "deploy" in config.steps:
        params |= {"target": config.deployment.hardware_setup.board}
    elif config.evaluation.target != "host" and "evaluate" in config.steps:
        params |= {"target": config.evaluation.target}
    return params | config_file()


def config_file() -> dict[str, str]:
    """ST's `config_path` and `config_name`, where Hydra read a file."""
    import sys

    if "hydra.core.hydra_config" not in sys.modules:
        return {}
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return {}
    hydra = HydraConfig.get()
    folders = [source.path for source in hydra.runtime.config_sources if source.provider == "main"]
    return {"config_path": folders[0] if folders else "", "config_name": hydra.job.config_name or ""}


def result_params(results: Mapping[str, Any]) -> dict[str, Any]:
    """What is only known once the steps have run: the network, and the tools behind the figures."""
    model = results.get("model", {})
    params = {"model": model.get("name")}
    params |= {name: model[name] for name in ("input_shape", "alpha", "upsampling", "activation") if name in model}
    for bench in results.get("benchmark", []):
        routes = bench.get("routes") or []
        tools = [row.get("tool") for row in routes if row.get("route") in ("cloud", "stedgeai") and row.get("tool")]
        params |= {"benchmark_route": bench.get("route"), "stedgeai_core_version": tools[0] if tools else None}
    return params


def track_summary(run: Run) -> None:
    """What the trackers get at the end of a run, however it ended; a finished run also hands its last model over."""
    run.tracker.params(result_params(run.results))
    run.live.send()
    status = run.results["run"]["status"]
    run.tracker.tags({"status": status, "git": run.results["environment"]["git"] or ""})
    path = last_model(run)
    if status == "finished" and path is not None:
        sidecar = path.with_suffix(".json")
        run.tracker.model([path, sidecar] if sidecar.is_file() else [path], model_tags(run, path))


def last_model(run: Run) -> Path | None:
    """The file of the newest model of a run: quantized, else trained, else the one it was given."""
    results = run.results
    made = [item.get("file") for item in results.get("quantization", [])]
    trained = results.get("training", {}).get("best")
    used = [item.get("file") for section in ("evaluation", "benchmark") for item in results.get(section, [])]
    name = (made[-1:] or [trained] if made or trained else used[:1] or [run.config.model.model_path])[0]
    path = run.folder / name if name and "://" not in name else None
    return path if path is not None and path.is_file() else None


def model_tags(run: Run, path: Path) -> dict[str, str]:
    """What a registered model says of itself."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    data = run.results.get("dataset") or {}
    tags = {
        "sha256": digest,
        "operation_mode": run.config.operation_mode,
        "skeleton": data.get("skeleton"),
        "git": run.results["environment"]["git"],
    }
    for item in run.results.get("evaluation", []):
        if item.get("file") == run.relative(path):
            tags |= {"precision": item.get("precision", item["label"]), "mean_oks": item["metrics"].get("mean_oks")}
    return {name: str(value) for name, value in tags.items() if value is not None}


def tracked_sets(manifest: Path) -> list[TrackedSet]:
    """The sets that splits.json of a run folder records; empty where there is none."""
    if not manifest.is_file():
        return []
    record = json.loads(manifest.read_text(encoding="utf-8"))
    found = []
    for name, entry in record.get("sets", {}).items():
        if "digest" in entry:
            key = record["sources"].get(name, "")
            source = f"{key}: {record['folders'].get(key, '')}"
            found.append(TrackedSet(name, entry["digest"], source, entry["samples"]))
    return found


def data_digest(sets: Sequence[TrackedSet]) -> str:
    """One digest over all sets: equal for two runs on the same images, labels and split."""
    return hashlib.sha256("\n".join(f"{one.name} {one.digest}" for one in sets).encode()).hexdigest()[:16]


def _prefixed(entries: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], str]]:
    """Each evaluation with the prefix of its figures: the precision, of further models of it the label."""
    taken: set[str] = set()
    found = []
    for entry in entries:
        precision = entry.get("precision", entry["label"])
        label = re.sub(r"[^\w.\-]", "_", entry["label"])
        names = [
            PREFIX.get(precision, precision),
            label,
            *(f"{label}_{number}" for number in range(2, len(entries) + 2)),
        ]
        prefix = next(name for name in names if name not in taken)
        taken.add(prefix)
        found.append((entry, prefix))
    return found

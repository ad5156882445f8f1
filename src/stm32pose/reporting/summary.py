"""The end of a run in a few lines on the terminal, and in MLflow."""

from __future__ import annotations

from typing import Any

from stm32pose.reporting import console
from stm32pose.reporting.run import Run

ACCURACY = {
    "mean_oks": "OKS",
    "mean_oks_st": "OKS (ST)",
    "AP": "AP",
    "AR": "AR",
    "pck@0.2": "PCK@0.2",
    "pck@0.05": "PCK@0.05",
    "pckh@0.5": "PCKh@0.5",
    "epe_px": "EPE, px",
}


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def kib(value: float | None) -> str:
    return "-" if value is None else f"{value / 1024:,.0f} KiB"


def milliseconds(value: float | None, error: float | None = None) -> str:
    if value is None:
        return "-"
    figure = f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"
    return f"{figure} ± {100 * error:.0f} %" if error else figure


def accuracy(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if name.endswith("_px") else percent(value)


def print_summary(run: Run) -> None:
    """Accuracy of each model side by side, then the board's verdict."""
    evaluations = run.results.get("evaluation", [])
    if evaluations:
        names = [name for name in ACCURACY if any(entry["metrics"].get(name) is not None for entry in evaluations)]
        rows = [
            (f"{entry['label']} on {entry['set']}", *(accuracy(n, entry["metrics"].get(n)) for n in names))
            for entry in evaluations
        ]
        console.table("Accuracy (measured)", ["model", *(ACCURACY[name] for name in names)], rows)
    for bench in run.results.get("benchmark", []):
        rows = [
            (
                row["board"],
                "fits" if row["fits"] else "does not fit",
                kib(row["total_ram_bytes"]),
                kib(row["total_flash_bytes"]),
                milliseconds(row["latency_ms"], row["latency_error"]),
            )
            for row in bench["boards"][:6]
        ]
        how = bench["boards"][0]["how"]
        console.table(f"Boards ({how})", ["board", "verdict", "RAM", "flash", "latency"], rows)
        for line in bench["boards"][0]["limits"]:
            console.say(f"{bench['board']}: {line}")


def track_summary(run: Run) -> None:
    """Parameters and final figures to MLflow; ST's metric names where ST has one."""
    config = run.config
    params: dict[str, Any] = {
        "operation_mode": config.operation_mode,
        "model": run.results.get("model", {}).get("name") or config.model.model_path,
        "seed": config.general.global_seed,
    }
    model = run.results.get("model", {})
    params |= {name: model[name] for name in ("input_shape", "alpha", "upsampling", "activation") if name in model}
    if config.training:
        params |= {
            "batch_size": config.training.batch_size,
            "epochs": config.training.epochs,
            "optimizer": next(iter(config.training.optimizer)),
            "sigma": config.training.heatmap.sigma,
        }
    if config.quantization:
        params |= {"granularity": config.quantization.granularity}
    if config.benchmarking:
        params |= {"target": config.benchmarking.board}
    run.tracker.params(params)
    figures: dict[str, float | None] = {"nb_params": model.get("parameters")}
    for entry in run.results.get("evaluation", []):
        prefix = {"float": "float", "int8": "quantized"}[entry["label"]]
        oks = entry["metrics"].get("mean_oks_st")
        figures[f"{prefix}_OKS"] = None if oks is None else 100 * oks
        figures |= {f"{prefix}_{name}": value for name, value in entry["metrics"].items()}
    for bench in run.results.get("benchmark", []):
        row = bench["boards"][0]
        figures |= {
            "RAM Activations KiB": row["activations_bytes"] / 1024,
            "Total RAM KiB": row["total_ram_bytes"] / 1024,
            "Flash weights KiB": row["weights_bytes"] / 1024,
            "Total Flash KiB": row["total_flash_bytes"] / 1024,
            "MACCs M": row["macs"] / 1e6,
            "inference_time ms": row["latency_ms"],
        }
    run.tracker.metrics(figures)
    run.tracker.tags({"status": run.results["run"]["status"], "git": run.results["environment"]["git"] or ""})

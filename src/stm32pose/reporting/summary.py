"""The end of a run in a few lines on the terminal."""

from __future__ import annotations

from stm32pose.reporting import console
from stm32pose.reporting.judged import chosen_row, on_host, runs_on
from stm32pose.reporting.run import Run

ACCURACY = {
    "mean_oks": "OKS",
    "mean_oks_st": "OKS (ST)",
    "AP": "AP",
    "AP50": "AP50",
    "AR": "AR",
    "pck@0.2": "PCK@0.2",
    "pck@0.05": "PCK@0.05",
    "pckh@0.5": "PCKh@0.5",
    "epe_px": "EPE, px",
}


SHOWN_BOARDS = 6


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
            (
                f"{entry['label']} on {entry['set']}" + ("" if on_host(entry) else f", {runs_on(entry)}"),
                *(accuracy(n, entry["metrics"].get(n)) for n in names),
            )
            for entry in evaluations
        ]
        console.table("Accuracy (measured)", ["model", *(ACCURACY[name] for name in names)], rows)
    for bench in run.results.get("benchmark", []):
        if [route["route"] for route in bench["routes"]] != ["estimate"]:
            rows = [
                (
                    route["route"] + (" (asked for)" if route is chosen_row(bench) else ""),
                    {True: "fits", False: "does not fit", None: "-"}[route["fits"]],
                    kib(route["total_ram_bytes"] or route["peak_ram_bytes"]),
                    kib(route["activations_bytes"]),
                    kib(route["total_flash_bytes"] or route["model_bytes"]),
                    kib(route["weights_bytes"]),
                    milliseconds(route["latency_ms"]),
                )
                for route in bench["routes"]
            ]
            columns = ["route", "verdict", "RAM", "activations", "flash", "weights", "latency"]
            console.table(f"{bench['board']} by each route", columns, rows)
            for route in bench["routes"]:
                console.say(f"{route['route']}: {route['how']}")
        rows = [
            (
                row["board"],
                "fits" if row["fits"] else "does not fit",
                kib(row["total_ram_bytes"]),
                kib(row["total_flash_bytes"]),
                milliseconds(row["latency_ms"], row["latency_error"]),
            )
            for row in bench["boards"][:SHOWN_BOARDS]
        ]
        if chosen_row(bench) is None:
            console.say(f"benchmark by {bench['route']} failed; what follows is the estimate")
        how, count = bench["boards"][0]["how"], len(bench["boards"])
        console.table(f"Boards ({how})", ["board", "verdict", "RAM", "flash", "latency"], rows)
        if count > SHOWN_BOARDS:
            console.say(f"the first {SHOWN_BOARDS} boards; the report has all {count}")
        for line in bench["boards"][0]["limits"]:
            console.say(f"{bench['board']}: {line}")

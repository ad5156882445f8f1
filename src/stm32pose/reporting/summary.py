"""The end of a run in a few lines on the terminal."""

from __future__ import annotations

from stm32pose.reporting import boards, console
from stm32pose.reporting.judged import chosen_row, on_host, runs_on
from stm32pose.reporting.run import Run
from stm32pose.reporting.units import kib, percent

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
                    boards.latency(route),
                )
                for route in bench["routes"]
            ]
            columns = ["route", "verdict", "RAM", "activations", "flash", "weights", "latency"]
            console.table(f"{bench['board']} by each route", columns, rows)
            for route in bench["routes"]:
                console.say(f"{route['route']}: {route['how']}")
        if chosen_row(bench) is None:
            console.say(f"benchmark by {bench['route']} failed; what follows is the estimate")
        ordered = boards.by_rate(bench["boards"])
        rows = [boards.cells(row) for row in ordered[:SHOWN_BOARDS]]
        console.table(f"Which boards run it ({ordered[0]['how']})", list(boards.COLUMNS), rows)
        if len(ordered) > SHOWN_BOARDS:
            able = sum(row["fits"] for row in ordered)
            console.say(f"the fastest first; {able} of {len(ordered)} boards run it, the report has them all")
        console.say(boards.LEGEND)
        for line in bench["boards"][0]["limits"]:
            console.say(f"{bench['board']}: {line}")

"""By which entries of results.json a run is judged, and what they say of how they were obtained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Entry = Mapping[str, Any]


def own_entries(evaluations: Sequence[Entry]) -> dict[str, Entry]:
    """The run's own models by precision ("float", "int8"), the first of each; files that it is compared with left out.

    Entries of an older run folder do not say whose they are, and count as own.
    """
    found: dict[str, Entry] = {}
    for entry in evaluations:
        if entry.get("own", True):
            found.setdefault(entry.get("precision", entry["label"]), entry)
    return found


def own_entry(evaluations: Sequence[Entry]) -> Entry | None:
    """What the run is judged by: its int8 model, else its float one, else the first of all."""
    entries = own_entries(evaluations)
    first = evaluations[0] if evaluations else None
    return entries.get("int8") or entries.get("float") or next(iter(entries.values()), first)


def chosen_row(bench: Entry) -> Entry | None:
    """The figures of the route that was asked for; None where it failed or has not answered yet."""
    routes = bench.get("routes") or bench["boards"][:1]
    asked = bench.get("route", routes[0].get("route"))
    return next((row for row in routes if row.get("route") == asked), None)


def on_host(entry: Entry) -> bool:
    return entry.get("target", "host") == "host"


def runs_on(entry: Entry) -> str:
    """`tflite on stedgeai_n6`: the kind of the file, and where it ran."""
    return f"{entry['kind']} on {entry.get('target', 'host')}" if "kind" in entry else entry.get("target", "host")


def how_measured(entry: Entry) -> str:
    """The `how` of an evaluation's figures in results.csv."""
    return "measured" if on_host(entry) else f"measured, {entry['target']}"


def time_an_image(entry: Entry) -> tuple[float, str]:
    """(ms an image, whose clock it is): on this computer the whole evaluation, elsewhere the model's own work."""
    if on_host(entry):
        return entry["ms_per_image"], "here"
    return entry["invoke_ms_per_image"], entry.get("invoke_clock", "")

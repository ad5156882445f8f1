"""What ST's program writes about a network: `network_report.json` of older versions, `network_c_info.json` of newer.

Fields come and go with the versions; what is missing is None. Older: ram_size (a list up to 8.1), rom_size, rom_n_macc.
Newer: memory_footprint, memory_pools, graphs[0].nodes[].macc (schema 2.0).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stm32pose.benchmark.figures import Figures
from stm32pose.benchmark.st_reports import METRICS, holds_data, is_external, is_flash
from stm32pose.errors import UserError

LISTED = 8


class NoReport(UserError):
    """There is no report, or none that can be understood."""


def read_figures(folder: Path, *, board: str, tool: str) -> Figures:
    """The figures of the reports in `folder` and below; the newer kind wins.

    Raises:
        NoReport: no report, or one that cannot be read, or without any figure (its top keys are told).
    """
    problem = f"no report (*_c_info.json or *_report.json) in {folder}"
    for path, content in _documents(folder):
        if isinstance(content, str):
            problem = content
            continue
        found = _newer(content) or _older(content)
        if found:
            return Figures(route="stedgeai", how=f"analyzed by {tool}, no board", board=board, tool=tool, **found)
        keys = ", ".join(list(content)[:LISTED]) or "nothing"
        problem = f"{path}: no memory_footprint, no ram_size and rom_size in it; it holds {keys}"
    raise NoReport(problem)


def read_validation(folder: Path, output: str) -> list[dict[str, Any]]:
    """Metrics of a validation, one dictionary an output: from the JSON report, else from the table the program prints.

    Empty where neither has any.
    """
    for _, content in _documents(folder):
        if isinstance(content, str):
            continue
        holders = (content.get("validation"), content)
        for holder in holders:
            metrics = holder.get("val_metrics") if isinstance(holder, dict) else None
            if isinstance(metrics, list) and metrics:
                return [dict(item) for item in metrics if isinstance(item, dict)]
    return _table(output)


def _documents(folder: Path) -> Iterable[tuple[Path, dict[str, Any] | str]]:
    """(file, its content, or one line on what is wrong with it)."""
    for pattern in ("*_c_info.json", "*_report.json"):
        for path in sorted(folder.rglob(pattern), key=lambda item: (len(item.parts), item)):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                yield path, f"{path}: not JSON ({type(error).__name__}: {str(error).splitlines()[0][:120]})"
                continue
            yield path, content if isinstance(content, dict) else f"{path}: got a {type(content).__name__}, no mapping"


def _newer(content: dict[str, Any]) -> dict[str, Any]:
    """Figures of `network_c_info.json`; empty where it is none."""
    footprint = content.get("memory_footprint")
    if not isinstance(footprint, dict):
        graph = content.get("graph")  # between the two layouts
        footprint = graph.get("memory_footprint") if isinstance(graph, dict) else None
    if not isinstance(footprint, dict):
        return {}
    activations, weights = _whole(footprint.get("activations")), _whole(footprint.get("weights"))
    if activations is None and weights is None:
        return {}
    io = _total(footprint.get("io"))
    ram = _added(footprint, "kernel_ram", "extra_ram", "toolchain_ram")
    code = _added(footprint, "kernel_flash", "extra_flash", "toolchain_flash")
    note = f"inputs and outputs take {io} bytes beside the activations" if io else ""
    return {
        "activations_bytes": activations,
        "weights_bytes": weights,
        "runtime_ram_bytes": ram,
        "code_bytes": code,
        "total_ram_bytes": None if ram is None or activations is None else activations + (io or 0) + ram,
        "total_flash_bytes": None if code is None or weights is None else weights + code,
        "macs": _macs(content),
        "note": note,
        **_places(content.get("memory_pools")),
    }


def _older(content: dict[str, Any]) -> dict[str, Any]:
    """Figures of `network_report.json`; empty where it is none. A list of RAM sizes has the activations first."""
    ram = content.get("ram_size")
    activations = _whole(ram[0] if isinstance(ram, list) and ram else ram)
    weights = _whole(content.get("rom_size"))
    if activations is None and weights is None:
        return {}
    return {"activations_bytes": activations, "weights_bytes": weights, "macs": _whole(content.get("rom_n_macc"))}


def _places(pools: Any) -> dict[str, int | None]:
    """Bytes used inside and outside the chip, where the place of all pools in use is told."""
    sums = {"internal_ram_bytes": 0, "external_ram_bytes": 0, "internal_flash_bytes": 0, "external_flash_bytes": 0}
    placed = False
    for pool in pools if isinstance(pools, list) else ():
        if not isinstance(pool, dict) or not holds_data(pool):
            continue
        used = _whole(pool.get("used_size_bytes")) or 0
        if not used:
            continue
        external = is_external(pool)
        if external is None:
            return {}
        placed = True
        sums[f"{'external' if external else 'internal'}_{'flash' if is_flash(pool) else 'ram'}_bytes"] += used
    return dict(sums) if placed else {}


def _macs(content: dict[str, Any]) -> int | None:
    graphs = content.get("graphs")
    graph = graphs[0] if isinstance(graphs, list) and graphs else content.get("graph")
    nodes = graph.get("nodes") if isinstance(graph, dict) else None
    counts = [_whole(node.get("macc")) for node in nodes if isinstance(node, dict)] if isinstance(nodes, list) else []
    known = [count for count in counts if count is not None]
    if known:
        return sum(known)
    return _whole(content.get("rom_n_macc"))


def _table(output: str) -> list[dict[str, Any]]:
    """The rows `X-cross #1 100.00% 0.0012 ...` under a line of column names."""
    found: list[dict[str, Any]] = []
    columns: list[str] = []
    for line in output.splitlines():
        words = line.replace(",", " ").split()
        names = [word.lower() for word in words]
        if "rmse" in names and "mae" in names:
            columns = [name for name in names if name in METRICS]
            continue
        row = re.match(r"\s*(X-cross #\d+)\s+(.*)", line)
        if not row or not columns:
            continue
        values = row[2].replace(",", " ").split()
        item: dict[str, Any] = {"desc": row[1]}
        for name, value in zip(columns, values, strict=False):
            number = re.fullmatch(r"([-+]?[\d.]+(?:e[-+]?\d+)?)%?", value, re.IGNORECASE)
            item[name] = float(number[1]) if number else None
        found.append(item)
    return found


def _added(footprint: dict[str, Any], *names: str) -> int | None:
    """The sum of those fields that are there; None where none is."""
    values = [_whole(footprint.get(name)) for name in names]
    return sum(value for value in values if value is not None) if any(value is not None for value in values) else None


def _total(value: Any) -> int | None:
    if isinstance(value, list):
        return sum(_whole(item) or 0 for item in value)
    return _whole(value)


def _whole(value: Any) -> int | None:
    """A size as a whole number; None for anything else. Some versions write numbers as text."""
    if isinstance(value, str):
        value = int(value) if value.strip().isdecimal() else None
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None

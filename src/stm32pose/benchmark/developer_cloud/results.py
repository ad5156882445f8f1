"""From the service's answers to `Figures`: today's form (`info`), the old one (`report`), and the Linux boards'."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from stm32pose.benchmark.developer_cloud.errors import ServerBroken
from stm32pose.benchmark.figures import Figures
from stm32pose.benchmark.st_reports import METRIC_FIELDS, holds_data, is_external, is_flash

RUNTIME = ("kernel", "extra", "toolchain")


class Node:
    """A value of an answer that knows its own name, so that a message can say which one is wrong."""

    def __init__(self, value: Any, name: str) -> None:
        self.value = value
        self.name = name

    def __getitem__(self, key: str | int) -> Node:
        """A member; of None, or where it is absent, a node of None."""
        if isinstance(key, int):
            there = isinstance(self.value, list) and key < len(self.value)
            return Node(self.value[key] if there else None, f"{self.name}[{key}]")
        there = isinstance(self.value, dict)
        return Node(self.value.get(key) if there else None, f"{self.name}.{key}" if self.name else key)

    @property
    def given(self) -> bool:
        """Whether there is a value."""
        return self.value is not None

    def object(self) -> Node:
        """Itself. ServerBroken: missing, or no object."""
        if not isinstance(self.value, dict):
            raise self.broken("an object")
        return self

    def items(self) -> list[Node]:
        """The members of a list; of None, none. ServerBroken: no list."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self.broken("a list")
        return [self[index] for index in range(len(self.value))]

    def number(self) -> float:
        """A number that is not negative, also of a text. ServerBroken: anything else."""
        if (value := self.optional()) is None:
            raise self.broken("a number")
        return value

    def optional(self) -> float | None:
        """As `number`; None where there is none."""
        if self.value is None or self.value == "":
            return None
        try:
            value = math.nan if isinstance(self.value, bool) else float(self.value)
        except (TypeError, ValueError):
            raise self.broken("a number") from None
        if not math.isfinite(value) or value < 0:
            raise self.broken("a number")
        return value

    def count(self) -> int:
        """As `number`, whole."""
        return round(self.number())

    def optional_count(self) -> int | None:
        """As `optional`, whole."""
        value = self.optional()
        return None if value is None else round(value)

    def text(self) -> str:
        """A text; empty where there is none."""
        return "" if self.value is None else " ".join(str(self.value).split())

    def broken(self, wanted: str) -> ServerBroken:
        """The error that names this value."""
        got = "is missing" if self.value is None else f"is {str(self.value)[:60]!r}, not {wanted}"
        return ServerBroken(f"the server's result: field '{self.name}' {got}")


def benchmark_figures(answer: dict[str, Any], board: str) -> Figures:
    """Figures of a microcontroller from a benchmark that is done. ServerBroken: names the field that is missing."""
    root = Node(answer, "")
    benchmark = root["benchmark"].object()
    mapping = root["memoryMapping"]
    how = f"measured on a {board} by ST's Developer Cloud"
    if benchmark["info"].given:
        graph = benchmark["info"]["graphs"][0].object()
        time = graph["exec_time"] if graph["exec_time"].given else benchmark["graph"]["exec_time"]
        figures = info_figures(benchmark["info"], mapping["memoryFootprint"], board, how)
    else:
        graph = benchmark["graph"].object()
        time = graph["exec_time"]
        figures = report_figures(benchmark["report"], graph, mapping["memoryFootprint"], board, how)
    internal_ram, external_ram = _ram(benchmark["info"] if benchmark["info"].given else graph)
    internal_flash, external_flash = _flash(mapping, _parameters(benchmark))
    outside = [name for name in ("useExternalRam", "useExternalFlash") if mapping[name].value is True]
    notes = [figures.note] + [f"uses external {name.removeprefix('useExternal')}" for name in outside]
    return replace(
        figures,
        latency_ms=time.object()["duration_ms"].number(),
        cycles=time["cycles"].optional_count(),
        internal_ram_bytes=internal_ram,
        external_ram_bytes=external_ram,
        internal_flash_bytes=internal_flash,
        external_flash_bytes=external_flash,
        note="; ".join(note for note in notes if note),
    )


def info_figures(info: Node, mapped: Node, board: str, how: str) -> Figures:
    """Sizes, MACs and metrics of today's form; `mapped` is the footprint after the memories were assigned."""
    graph = info["graphs"][0].object()
    footprint = mapped if mapped.given else info["memory_footprint"]
    macs = [node["macc"].optional_count() for node in graph["nodes"].items()]
    environment = info["environment"]
    validation = info["validation"]
    date = environment["generated_model"]["generated_time"].text()
    return _sized(
        Figures(
            route="cloud",
            how=how,
            board=board,
            tool=_tool(environment["tools"][0]),
            macs=sum(count or 0 for count in macs) if graph["nodes"].given else None,
            validation=_metrics(validation["val_metrics"]),
            note="; ".join(part for part in (_error(validation), _dated(date, environment["device"].text())) if part),
        ),
        footprint.object(),
    )


def report_figures(report: Node, graph: Node, mapped: Node, board: str, how: str) -> Figures:
    """Sizes, MACs and metrics of the old form."""
    report.object()
    footprint = mapped if mapped.given else graph["memory_footprint"]
    # `ram_size` is a list (activations first) up to version 8.1 and a number from 9 on.
    ram = report["ram_size"][0] if isinstance(report["ram_size"].value, list) else report["ram_size"]
    sizes = dict(footprint.value) if isinstance(footprint.value, dict) else {}
    if sizes.get("activations") is None:
        sizes["activations"] = ram.count()
    if sizes.get("weights") is None:
        sizes["weights"] = report["rom_size"].count()
    date = _dated(report["date_time"].text(), graph["exec_time"]["device"].text())
    figures = Figures(
        route="cloud",
        how=how,
        board=board,
        tool=_tool(Node({"version": report["cli_version_str"].value}, "report")),
        macs=report["rom_n_macc"].optional_count(),
        validation=_metrics(report["val_metrics"]),
        note="; ".join(part for part in (_error(report), date) if part),
    )
    return _sized(figures, Node(sizes, footprint.name))


def mpu_figures(answer: dict[str, Any], board: str) -> Figures:
    """Figures of a Linux board from a benchmark that is done. ServerBroken: names the field that is missing."""
    benchmark = Node(answer, "")["benchmark"].object()
    time = benchmark["exec_time"].object()
    version = benchmark["tool_version"]
    numbers = [version[part].text() for part in ("major", "minor", "micro")]
    return Figures(
        route="cloud",
        how=f"measured on a {board} by ST's Developer Cloud",
        board=board,
        tool=" ".join(part for part in (version["name"].text(), ".".join(filter(None, numbers))) if part),
        latency_ms=time["duration_ms"].number(),
        npu_percent=_percent(time["npu_percent"]),
        gpu_percent=_percent(time["gpu_percent"]),
        cpu_percent=_percent(time["cpu_percent"]),
        model_bytes=benchmark["model_size"].optional_count(),
        peak_ram_bytes=benchmark["ram_peak"].optional_count(),
        note=_dated(benchmark["date"].text(), benchmark["board"].text()),
    )


def _sized(figures: Figures, footprint: Node) -> Figures:
    activations, weights = footprint["activations"].count(), footprint["weights"].count()
    inputs_outputs = sum(item.count() for item in footprint["io"].items())
    ram = _sum([footprint[f"{part}_ram"].optional_count() for part in RUNTIME])
    flash = _sum([footprint[f"{part}_flash"].optional_count() for part in RUNTIME])
    return replace(
        figures,
        activations_bytes=activations,
        weights_bytes=weights,
        runtime_ram_bytes=ram,
        code_bytes=flash,
        # Buffers of inputs and outputs count 0 where they lie among the activations.
        total_ram_bytes=activations + inputs_outputs + (ram or 0),
        total_flash_bytes=weights + (flash or 0),
    )


def _ram(source: Node) -> tuple[int | None, int | None]:
    """Bytes used in RAM inside and outside the chip; None where the memories, or where they lie, are not told."""
    if not source["memory_pools"].given:
        return None, None
    used = {False: 0, True: 0}
    for pool in source["memory_pools"].items():
        about = pool.object().value
        if not holds_data(about) or is_flash(about):
            continue
        size = pool["used_size_bytes"] if pool["used_size_bytes"].given else pool["used_size"]
        count, external = size.optional_count() or 0, is_external(about)
        if count and external is None:
            return None, None
        used[bool(external)] += count
    return used[False], used[True]


def _parameters(benchmark: Node) -> dict[str, int]:
    """Bytes of each constant array, by name."""
    if benchmark["info"].given:
        buffers = [one for one in benchmark["info"]["buffers"].items() if one["is_param"].value is True]
        return {one["name"].text(): one["size_bytes"].count() for one in buffers}
    arrays = benchmark["graph"]["c_arrays"].items()
    return {one["name"].text(): one["c_size_in_byte"].count() for one in arrays}


def _flash(mapping: Node, sizes: dict[str, int]) -> tuple[int | None, int | None]:
    """Bytes of weights in flash inside and outside the chip; None where the split is not told or not resolvable."""
    found: list[int | None] = []
    for name in ("layersInInternalFlash", "layersInExternalFlash"):
        layers = [layer.text() for layer in mapping[name].items()]
        arrays = [f"{layer}_array" if f"{layer}_array" in sizes else layer for layer in layers]
        known = mapping[name].given and all(array in sizes for array in arrays)
        found.append(sum(sizes[array] for array in arrays) if known else None)
    return found[0], found[1]


def _metrics(metrics: Node) -> list[dict[str, Any]]:
    return [{key: item[key].value for key in METRIC_FIELDS if item[key].given} for item in metrics.items()]


def _error(source: Node) -> str:
    """`validation error 0.0123 (L2r)`, where it is told."""
    if (value := source["val_error"].value) in (None, ""):
        return ""
    described = source["val_error_desc"].text()
    return f"validation error {value}" + (f" ({described})" if described else "")


def _tool(tool: Node) -> str:
    version = tool["version"].text()
    if not version:
        return ""
    name = tool["name"].text() or "ST Edge AI Core"
    return version if not version[:1].isdigit() and version[:1] != "v" else f"{name} {version.removeprefix('v')}"


def _dated(date: str, device: str) -> str:
    return ", ".join(part for part in (device, date) if part)


def _percent(share: Node) -> float | None:
    """The service tells fractions."""
    value = share.optional()
    return None if value is None else round(100 * value, 4)


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None

"""Writes the table of docs/benchmarks.md on generated C: every int8 file, exact or not, its counts on emulated cores.

    python benchmarks/emulated_runs.py && python benchmarks/emulated_table.py

Exactness on this computer was seen by the runs of tests/codegen and by `stm32pose export FILE --target host`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from stm32pose.files import write_whole

RUNS = Path(__file__).with_name("emulated_runs.json")
PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- emulated: begin -->", "<!-- emulated: end -->"
F405 = "netduinoplus2"
COLUMNS = "file, M MACs, Cortex-M7, a MAC, STM32F405, other M4, Cortex-M33, arena KiB, tables KiB, code KiB, exact on"
HEAD = f"| {COLUMNS.replace(', ', ' | ')} |\n|{'---|' * 11}"


def main() -> None:
    runs = json.loads(RUNS.read_text(encoding="utf-8"))
    lines = [HEAD, *(row(name, found) for name, found in sorted(runs.items(), key=lambda item: item[0].lower()))]
    text = PAGE.read_text(encoding="utf-8")
    if BEGIN not in text:
        raise SystemExit(f"{PAGE}: no line {BEGIN}")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    write_whole(PAGE, f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}")


def row(name: str, found: dict[str, dict]) -> str:
    """One file: millions of instructions on each core; `-` where it does not fit."""
    m7, m4 = found.get("cortex-m7", {}), found.get("cortex-m4", {})
    small = m4.get("machine") == F405
    exact = {core: entry.get("exact") for core, entry in found.items() if "instructions" in entry}
    short = re.sub(r"__[0-9a-f]{8}(?=\.)", "", name).removesuffix(".tflite")
    cells = [
        short,
        f"{m7['macs'] / 1e6:.2f}",
        count(m7),
        f"{m7['instructions'] / max(1, m7['macs']):.2f}",
        count(m4) if small else "-",
        "-" if small else count(m4),
        count(found.get("cortex-m33", {})),
        *(f"{m7[key] / 1024:.1f}" for key in ("arena_bytes", "weights_bytes", "code_bytes")),
        "all of these" if all(exact.values()) else ", ".join(core for core, fine in exact.items() if fine) or "NONE",
    ]
    return f"| {' | '.join(cells)} |"


def count(entry: dict) -> str:
    return f"{entry['instructions'] / 1e6:.2f}" if "instructions" in entry else "-"


if __name__ == "__main__":
    main()

"""A process of its own for LiteRT, which a damaged file may crash: `python -m` with a folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from stm32pose.codegen.reference import run_reference
from stm32pose.errors import UserError, first_line

MOST_MEMORY = 8 << 30
"""Bytes of address space, where the system can limit it."""


def main(folder: Path) -> int:
    """Run the request of a folder: request.json and inputs.npz; write outputs.npz, or error.txt."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    _limit_memory()
    with np.load(folder / "inputs.npz") as stored:
        inputs = [stored[f"arr_{place}"] for place in range(len(stored.files))]
    try:
        outputs = run_reference(Path(request["path"]), inputs)
    except (UserError, MemoryError) as error:
        (folder / "error.txt").write_text(first_line(error), encoding="utf-8")
        return 1
    np.savez(folder / "outputs.npz", *outputs)
    return 0


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MOST_MEMORY if hard == resource.RLIM_INFINITY else min(MOST_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

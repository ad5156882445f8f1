"""Count the instructions of the generated C on emulated processors; writes benchmarks/emulated_runs.json.

    python benchmarks/emulated_runs.py [--shared ../shared] [--targets cortex-m7 ...] [--models NAME ...] [--fresh]

Exports every int8 .tflite of shared/models for each processor, runs it on one random input, compares the outputs with
LiteRT's reference kernels bit for bit, and keeps the instructions of each layer. A run whose generated C (network and
kernels) has not changed since is not repeated, unless --fresh says so. About a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stm32pose.benchmark.emulate import emulate
from stm32pose.codegen.export import build, network_files, write_folder
from stm32pose.codegen.network import Network
from stm32pose.codegen.reference import random_inputs, run_reference
from stm32pose.codegen.targets import target_of
from stm32pose.errors import UserError

FILE = Path(__file__).with_name("emulated_runs.json")
TARGETS = ("cortex-m7", "cortex-m33", "cortex-m4", "cortex-m55")
SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parent.parent
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("STM32POSE_SHARED", here.parent / "shared")))
    parser.add_argument("--targets", nargs="+", default=TARGETS, choices=TARGETS)
    parser.add_argument("--models", nargs="+", help="parts of file names; all files without it")
    parser.add_argument("--fresh", action="store_true", help="repeat what has not changed, too")
    arguments = parser.parse_args()
    count(arguments.shared, arguments.targets, arguments.models or (), fresh=arguments.fresh)


def count(shared: Path, targets: Sequence[str], models: Sequence[str] = (), *, fresh: bool = False) -> None:
    """Run the models whose names hold one of `models`, all without it, on each processor; writes the JSON file."""
    runs = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    for path in model_files(shared):
        if models and not any(part in path.stem for part in models):
            continue
        for name in targets:
            entry = runs.setdefault(path.name, {})
            entry[name] = counted(path, name, None if fresh else entry.get(name))
            # Written after each: a broken run loses nothing.
            FILE.write_text(as_text(runs), encoding="utf-8")


def model_files(shared: Path) -> Iterator[Path]:
    """The .tflite files, those of shared/models/calibration first; copies of a file once."""
    seen: set[bytes] = set()
    for folder in ("calibration", "pose"):
        for path in sorted((shared / "models" / folder).glob("*.tflite")):
            digest = hashlib.sha256(path.read_bytes()).digest()
            if digest not in seen:
                seen.add(digest)
                yield path


def counted(path: Path, name: str, known: dict | None) -> dict:
    """Instructions and sizes of a model on a processor, or what kept it from running."""
    target = target_of(name)
    try:
        built = build(path, target)
        files = network_files(built)
    except UserError as error:
        print(f"{path.name} {name}: {error}", flush=True)
        return {"error": str(error).replace(str(path), path.name)}
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]
    if known and known.get("generated") == digest and "error" not in known:
        return known
    start = time.perf_counter()
    inputs = random_inputs(built.program.network, SEED)
    with tempfile.TemporaryDirectory() as folder:
        write_folder(files, Path(folder) / "network")
        try:
            expected, told = reference(path, inputs, built.program.network)
            found = emulate(Path(folder) / "network", target, [inputs], [expected])
        except UserError as error:
            print(f"{path.name} {name}: {error}", flush=True)
            return {"error": str(error).replace(folder, "")}
    exact = None if told else found.exact
    macs = sum(call.macs for call in built.program.calls)
    print(
        f"{path.name[:60]:60} {name:10} {found.instructions / 1e6:9.2f} M instructions, "
        f"{found.instructions / max(1, macs):5.2f} a MAC, {told or ('exact' if found.exact else 'NOT EXACT')}, "
        f"{time.perf_counter() - start:.0f} s",
        flush=True,
    )
    return {
        "generated": digest,
        "machine": found.machine,
        "compiler": found.compiler,
        "exact": exact,
        **({"note": told} if told else {}),
        "macs": macs,
        "instructions": found.instructions,
        "arena_bytes": found.arena_bytes,
        "weights_bytes": found.weights_bytes,
        "code_bytes": found.code_bytes,
        "layers": [
            [call.kind, layer.instructions] for call, layer in zip(built.program.calls, found.layers, strict=True)
        ],
    }


def reference(path: Path, inputs: list[np.ndarray], network: Network) -> tuple[list[np.ndarray], str]:
    """(outputs by LiteRT's reference kernels, why there are none): zeros where LiteRT cannot load the file."""
    try:
        return run_reference(path, inputs), ""
    except UserError as error:
        tensors = [network.tensors[index] for index in network.outputs]
        return [np.zeros(tensor.shape, tensor.dtype) for tensor in tensors], f"not compared: {error}"[:90]


def as_text(runs: dict) -> str:
    """JSON with one model on one processor a line: readable differences in git."""
    lines = [
        f"{json.dumps(model)}: {{\n"
        + ",\n".join(f" {json.dumps(name)}: {json.dumps(entry)}" for name, entry in sorted(targets.items()))
        + "\n}"
        for model, targets in sorted(runs.items())
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    main()

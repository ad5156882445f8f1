"""Start-up time of the commands, and peak memory of a small chain; a plain script, no test.

    python benchmarks/startup.py [--repeats 5] [--chain]

Best of the repeats, wall and processor seconds. `--chain` also runs the demo's configuration on 60 drawn people for two
epochs and prints the peak resident memory of that process (its drawing processes excluded).
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAIN = str(ROOT / "stm32ai_main.py")
EXAMPLES = str(ROOT / "config_file_examples")


def commands(folder: Path) -> dict[str, list[str]]:
    (folder / "bad.yaml").write_text("operation_mode: chain_tqeb\ntraining:\n  epoks: 3\n")
    cli = ["-m", "stm32pose.cli"]
    return {
        "stm32ai_main.py --help": [MAIN, "--help"],
        "stm32pose --help": [*cli, "--help"],
        "stm32pose check BAD": [*cli, "check", str(folder / "bad.yaml")],
        "stm32ai_main.py BAD": [MAIN, "--config-path", str(folder), "--config-name", "bad"],
        "stm32pose doctor": [*cli, "doctor"],
    }


def seconds(arguments: list[str], folder: Path) -> tuple[float, float]:
    """(wall, processor) seconds of one call."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, check=False)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peak_memory(folder: Path) -> float:
    """Peak resident memory of a small chain_tqeb, in MB."""
    for name, images, seed in (("train", 60, 1), ("test", 10, 2)):
        draw = ["-m", "stm32pose.cli", "data", "synthesize", "--out", str(folder / name), "--images", str(images)]
        subprocess.run([sys.executable, *draw, "--skeleton", "person13", "--seed", str(seed)], check=True)
    run = [MAIN, "--config-path", EXAMPLES, "--config-name", "demo.yaml", "training.epochs=2"]
    paths = [f"dataset.training_path={folder / 'train'}", f"dataset.test_path={folder / 'test'}"]
    out = [f"mlflow.uri={folder / 'mlruns'}", f"hydra.run.dir={folder / 'run'}"]
    process = subprocess.Popen([sys.executable, *run, *paths, *out], stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        peak = max([peak, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"the chain ended with {process.returncode}")
    return peak / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--chain", action="store_true", help="also measure the memory of a small chain (Linux)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, arguments in commands(folder).items():
            times = [seconds(arguments, folder) for _ in range(options.repeats)]
            print(f"{title:<24} {min(w for w, _ in times):5.2f} s wall  {min(c for _, c in times):5.2f} s processor")
        if options.chain:
            print(f"{'chain_tqeb, peak memory':<24} {peak_memory(folder):5.0f} MB")


if __name__ == "__main__":
    main()

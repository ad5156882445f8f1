"""This project's recipe against ST's, imitated: the same images, backbone, augmentation, epochs and seeds.

    python benchmarks/recipes.py --epochs 60 --seeds 1 2 3

Trains lsp.yaml and lsp_st_recipe.yaml with every seed and prints COCO-OKS and PCK@0.2 of the box on the 200 test
images (float Keras model, each recipe with its own decoder), their means and standard deviations.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECIPES = {"this project": "lsp.yaml", "ST, imitated": "lsp_st_recipe.yaml"}


def figures(config: str, epochs: int, seed: int, folder: Path) -> tuple[float, float]:
    """(mean OKS, PCK@0.2) of one training, in percent; one that is there already is read."""
    run = folder / f"{Path(config).stem}_{seed}"
    results = run / "results.json"
    if not results.is_file():
        command = [sys.executable, "stm32ai_main.py", "--config-path", "./benchmarks", "--config-name", config]
        settings = {
            "operation_mode": "training",
            "general.global_seed": seed,
            "training.epochs": epochs,
            "hydra.run.dir": run,
        }
        command += [f"{key}={value}" for key, value in settings.items()]
        with (folder / f"{run.name}.log").open("w") as log:
            subprocess.run(command, cwd=ROOT, check=True, stdout=log, stderr=subprocess.STDOUT)
    evaluation = json.loads(results.read_text())["evaluation"][-1]
    metrics = evaluation["metrics"]
    return 100 * metrics["mean_oks"], 100 * metrics["pck@0.2"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--out", type=Path, default=Path("recipes"), help="folder of the runs (absolute or from here)")
    options = parser.parse_args()
    folder = options.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in RECIPES}
    for seed in options.seeds:
        for name, config in RECIPES.items():
            rows[name].append(figures(config, options.epochs, seed, folder))
            print(
                f"{name:<14} seed {seed}: OKS {rows[name][-1][0]:.1f} %  PCK@0.2 {rows[name][-1][1]:.1f} %", flush=True
            )
    for name, found in rows.items():
        oks, pck = ([row[column] for row in found] for column in (0, 1))
        spread = (statistics.stdev(values) if len(values) > 1 else 0.0 for values in (oks, pck))
        deviations = "  +-{:.1f}  +-{:.1f}".format(*spread)
        print(f"{name:<14} mean: OKS {statistics.mean(oks):.1f} %  PCK@0.2 {statistics.mean(pck):.1f} %{deviations}")


if __name__ == "__main__":
    main()

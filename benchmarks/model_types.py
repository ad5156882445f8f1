"""Every trainable type of model on three small real sets: hands, faces, and five points of an animal experiment.

    python benchmarks/model_types.py --epochs 100
    python benchmarks/model_types.py --sets hands --types spe simcc_spe

Trains MobileNetV2 of width 0.35 at 128x128 with each head, quantizes it and prints what the held-out images say of the
float and the int8 file. The sets hold 24 to 150 images: the figures show that a type learns, not what it can reach.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = "../shared/data"
TYPES = ("heatmaps_spe", "simcc_spe", "spe", "movenet_spe")
SETS: dict[str, dict[str, object]] = {
    "hands": {},
    "faces": {
        "dataset.skeleton": "face68",
        "dataset.format": "youtube_faces",
        "dataset.training_path": f"{DATA}/youtube_faces_150/test",
        "dataset.training_annotations": None,
    },
    "reaching": {
        "dataset.skeleton": "./benchmarks/skeletons/reaching5.yaml",
        "dataset.instance": "image",
        "dataset.training_path": f"{DATA}/reaching_5kpts",
        "dataset.training_annotations": f"{DATA}/reaching_5kpts/keypoints_coco.json",
        "dataset.validation_split": 0.2,
        "dataset.test_split": 0.2,
        "training.batch_size": 4,  # 14 images: more of them would make too few steps
    },
}
COLUMNS = ("pck@0.1", "pck@0.2", "epe_px")


def evaluations(model_type: str, name: str, epochs: int, folder: Path) -> list[dict]:
    """The evaluations of the float and the int8 file; those of a run that is there already are read."""
    run = folder / f"{name}_{model_type}"
    if not (run / "results.json").is_file():
        settings = {"model.model_type": model_type, "training.epochs": epochs, "hydra.run.dir": run, **SETS[name]}
        pairs = [f"{key}={'null' if value is None else value}" for key, value in settings.items()]
        command = [sys.executable, "stm32ai_main.py", "--config-path", "./benchmarks"]
        command += ["--config-name", "model_types.yaml", *pairs]
        with (folder / f"{run.name}.log").open("w") as log:
            subprocess.run(command, cwd=ROOT, check=True, stdout=log, stderr=subprocess.STDOUT)
    return json.loads((run / "results.json").read_text())["evaluation"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--types", nargs="+", choices=TYPES, default=list(TYPES))
    parser.add_argument("--out", type=Path, default=Path("model_types"), help="folder of the runs")
    options = parser.parse_args()
    folder = options.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{'set':<9} {'type':<13} {'model':<6} {'images':>6} " + " ".join(f"{name:>8}" for name in COLUMNS))
    for name in options.sets:
        for model_type in options.types:
            for entry in evaluations(model_type, name, options.epochs, folder):
                figures = " ".join(f"{entry['metrics'][column]:8.3f}" for column in COLUMNS)
                row = f"{name:<9} {model_type:<13} {entry['label'][:6]:<6} {entry['images']:>6}"
                print(f"{row} {figures}", flush=True)


if __name__ == "__main__":
    main()

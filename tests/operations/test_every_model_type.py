"""Every type of model that is trained here, from labelled images to int8, figures, pictures and a board's verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stm32pose.config.load import load_config

SIDE = 64


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from stm32pose.data.synthetic import make_poses
    from stm32pose.skeletons.skeleton import load_skeleton

    folder = tmp_path_factory.mktemp("people")
    for name, images, seed in (("train", 16, 1), ("test", 4, 2)):
        make_poses(folder / name, images=images, skeleton=load_skeleton("person13"), size=(96, 96), seed=seed)
    return folder


def run(people: Path, folder: Path, model_type: str, mode: str = "chain_tqebp", **training: Any) -> dict[str, Any]:
    from stm32pose.operations.chain import run_chain

    settings = {
        "operation_mode": mode,
        "general": {"project_name": "tests", "global_seed": 7},
        "model": {
            "model_type": model_type,
            "backbone": "fdmobilenet",
            "alpha": 0.25,
            "input_shape": [SIDE, SIDE, 3],
        },
        "dataset": {
            "skeleton": "person13",
            "training_path": str(people / "train"),
            "test_path": str(people / "test"),
            "prediction_path": str(people / "test"),
            "quantization_images": 8,
        },
        "data_augmentation": {"random_flip": {"mode": "horizontal"}, "random_half_body": {}},
        "training": {"batch_size": 4, "epochs": 2, "optimizer": {"Adam": {"learning_rate": 3e-3}}, **training},
        "quantization": {},
        "benchmarking": {"board": "STM32H747I-DISCO", "backend": "estimate"},
    }
    assert run_chain(load_config(settings), folder).is_file()
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize("model_type", ["heatmaps_spe", "simcc_spe", "spe", "movenet_spe"])
def test_chain(model_type, people, tmp_path):
    results = run(people, tmp_path / "run", model_type)
    assert results["run"]["status"] == "finished"
    assert results["model"]["type"] == model_type
    losses = [row["loss"] for row in results["training"]["history"]]
    assert losses[1] < losses[0]
    told = {entry["label"]: entry["metrics"] for entry in results["evaluation"]}
    assert set(told) == {"float", "int8"}
    # A network of two epochs is a poor one, but int8 may not lie elsewhere altogether.
    assert told["int8"]["epe_px"] == pytest.approx(told["float"]["epe_px"], rel=0.5)
    assert all(entry["images"] == 4 for entry in results["evaluation"])
    assert results["benchmark"][0]["routes"][0]["macs"] > 0
    pictures = {path.name for path in (tmp_path / "run" / "figures").rglob("*.jpg")}
    assert {"labels.jpg", "augmented.jpg", "latest.jpg"} <= pictures


def test_a_teacher_of_the_same_type(people, tmp_path):
    """The teacher is the first run's own best model; the student sees labels and teacher alike."""
    run(people, tmp_path / "teacher", "simcc_spe", "training", epochs=1)
    teacher = tmp_path / "teacher" / "saved_models" / "best_model.keras"
    distillation = {"teacher": str(teacher), "weight": 0.7}
    results = run(people, tmp_path / "student", "simcc_spe", "training", distillation=distillation)
    first, second = (row["distillation"] for row in results["training"]["history"])
    assert 0 < second < first

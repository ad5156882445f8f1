"""The whole way on synthetic people: train, quantize, evaluate, benchmark, report; and runs that end badly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SIDE = 64


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from stm32pose.data.synthetic import make_poses
    from stm32pose.skeletons.skeleton import load_skeleton

    folder = tmp_path_factory.mktemp("people")
    make_poses(folder / "train", images=40, skeleton=load_skeleton("person13"), size=(96, 96), seed=1)
    make_poses(folder / "test", images=9, skeleton=load_skeleton("person13"), size=(96, 96), seed=2)
    return folder


def settings(people: Path, out: Path, **changes) -> dict:
    """A small chain_tqeb; `changes` are dotted keys with __ for the dot."""
    config = {
        "operation_mode": "chain_tqeb",
        "general": {"project_name": "tests", "global_seed": 7},
        "model": {
            "model_name": "st_movenet_lightning_heatmaps",
            "alpha": 0.35,
            "input_shape": [SIDE, SIDE, 3],
        },
        "dataset": {
            "keypoints": 13,
            "training_path": str(people / "train"),
            "test_path": str(people / "test"),
            "validation_split": 0.2,
            "quantization_split": 0.5,
        },
        "data_augmentation": {"random_flip": {"mode": "horizontal"}, "random_rotation": {"factor": 0.05}},
        "training": {
            "batch_size": 8,
            "epochs": 2,
            "optimizer": {"Adam": {"learning_rate": 2e-3}},
            "callbacks": {"EarlyStopping": {"monitor": "val_oks", "patience": 20}},
        },
        "quantization": {},
        "benchmarking": {"board": "STM32H747I-DISCO"},
        "mlflow": {"uri": str(out / "mlruns")},
        "hydra": {"run": {"dir": str(out / "run")}},
    }
    for key, value in changes.items():
        *parents, last = key.split("__")
        node = config
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return config


def command(config: dict, folder: Path, *overrides: str) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return [
        sys.executable,
        str(ROOT / "stm32ai_main.py"),
        "--config-path",
        str(folder),
        "--config-name",
        "config.yaml",
        *overrides,
    ]


def run(config: dict, folder: Path, *overrides: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "CI": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        command(config, folder, *overrides),
        capture_output=True,
        text=True,
        timeout=420,
        env=environment,
        cwd=folder,
    )


@pytest.fixture(scope="module")
def finished(people: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """One chain_tqeb through the command; the tests below look at what it left."""
    out = tmp_path_factory.mktemp("finished")
    return out / "run", run(settings(people, out), out / "config")


def test_chain_leaves_the_whole_folder(finished):
    folder, done = finished
    assert done.returncode == 0, done.stderr[-3000:]
    for name in (
        ".hydra/config.yaml",
        "config.yaml",
        "environment.json",
        "stm32ai_main.log",
        "results.csv",
        "results.json",
        "splits.json",
        "report.html",
        "saved_models/best_model.keras",
        "saved_models/best_model.h5",
        "saved_models/last_model.keras",
        "quantized_models/quantized_model.tflite",
        "quantized_models/quantized_model.json",
        "figures/training.png",
        "figures/keypoints.png",
        "figures/labels.jpg",
        "figures/augmented.jpg",
        "figures/worst.jpg",
    ):
        assert (folder / name).is_file(), name
    assert str(folder / "report.html") in done.stdout


def test_chain_evaluates_float_and_int8_on_the_test_set(finished):
    results = json.loads((finished[0] / "results.json").read_text())
    assert results["run"]["status"] == "finished"
    by_label = {entry["label"]: entry for entry in results["evaluation"]}
    assert set(by_label) == {"float", "int8"}
    for entry in by_label.values():
        assert entry["set"] == "test"
        assert entry["images"] == 9
        assert 0 <= entry["metrics"]["mean_oks"] <= 1
        assert len(entry["per_keypoint"]) == 13
    lost = by_label["float"]["metrics"]["mean_oks"] - by_label["int8"]["metrics"]["mean_oks"]
    assert abs(lost) < 0.1
    assert results["training"]["epochs"] == 2
    assert results["quantization"][0]["calibration_images"] == 16


def test_chain_gives_a_verdict_for_the_board(finished):
    results = json.loads((finished[0] / "results.json").read_text())
    (bench,) = results["benchmark"]
    row = bench["boards"][0]
    assert row["board"] == "STM32H747I-DISCO"
    assert row["how"] == "estimated"
    assert row["fits"] is True
    assert row["macs"] > 1e6
    assert len(bench["boards"]) > 5


def test_chain_is_in_mlflow(finished):
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{finished[0].parent / 'mlruns' / 'mlflow.db'}")
    records = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    (record,) = [run for run in records if "mlflow.parentRunId" not in run.data.tags]
    steps = {run.info.run_name: run.info.status for run in records if run is not record}
    assert steps == dict.fromkeys(("train", "quantize", "evaluate", "benchmark"), "FINISHED")
    assert record.info.status == "FINISHED"
    assert record.data.params["operation_mode"] == "chain_tqeb"
    assert {"float_mean_oks", "quantized_mean_oks", "val_oks"} <= set(record.data.metrics)


def test_evaluation_of_the_saved_models_agrees_with_the_chain(finished, people: Path, tmp_path: Path):
    folder, _ = finished
    for label, file in (
        ("float", "saved_models/best_model.keras"),
        ("int8", "quantized_models/quantized_model.tflite"),
    ):
        out = tmp_path / label
        config = settings(people, out, operation_mode="evaluation", model={"model_path": str(folder / file)})
        config["evaluation"] = {"gen_npy_input": True, "gen_npy_output": True}
        done = run(config, out / "config")
        assert done.returncode == 0, done.stderr[-2000:]
        (entry,) = json.loads((out / "run" / "results.json").read_text())["evaluation"]
        inputs = np.load(out / "run" / "arrays" / f"npy_inputs_{label}.npy", allow_pickle=False)
        assert (inputs.shape, str(inputs.dtype)) == ((9, SIDE, SIDE, 3), {"float": "float32", "int8": "uint8"}[label])
        outputs = np.load(out / "run" / "arrays" / f"npy_outputs_{label}.npy", allow_pickle=False)
        assert outputs.shape == (9, SIDE // 4, SIDE // 4, 13)
        chain = json.loads((folder / "results.json").read_text())["evaluation"]
        before = next(item for item in chain if item["label"] == label)
        assert entry["metrics"]["mean_oks"] == pytest.approx(before["metrics"]["mean_oks"], abs=1e-6)


def test_eqe_shows_float_and_int8_side_by_side(finished, people: Path, tmp_path: Path):
    import cv2

    model = str(finished[0] / "saved_models" / "best_model.keras")
    config = settings(people, tmp_path, operation_mode="chain_eqe", model={"model_path": model})
    done = run(config, tmp_path / "config")
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert [entry["label"] for entry in results["evaluation"]] == ["float", "int8"]
    # Two models beside each other in every tile: wider than high for nine square images in rows of two.
    height, width = cv2.imread(str(tmp_path / "run" / "figures" / "examples.jpg")).shape[:2]
    assert width == 2 * (2 * 240 + 4) + 4
    assert height == 4 * 244 + 4
    assert (tmp_path / "run" / "per_image_int8.json").is_file()


def test_quantization_needs_no_labels(finished, people: Path, tmp_path: Path):
    images = tmp_path / "images"
    images.mkdir()
    for path in (people / "train").glob("*.jpg"):
        (images / path.name).write_bytes(path.read_bytes())
    config = settings(
        people,
        tmp_path,
        operation_mode="chain_qb",
        model={"model_path": str(finished[0] / "saved_models" / "best_model.keras")},
        dataset={"quantization_path": str(images)},
    )
    done = run(config, tmp_path / "config")
    assert done.returncode == 0, done.stderr[-2000:]
    sidecar = json.loads((tmp_path / "run" / "quantized_models" / "quantized_model.json").read_text())
    assert sidecar["codec"]["keypoints"] == 13


def test_a_run_that_fails_keeps_what_it_reached(people: Path, tmp_path: Path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in sorted((people / "test").glob("pose_*"))[:6]:
        (broken / path.name).write_bytes(path.read_bytes())
    image = next(broken.glob("*.jpg"))
    image.write_bytes(b"this is no image")
    done = run(settings(people, tmp_path, dataset__test_path=str(broken), training__epochs=1), tmp_path / "config")
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert image.name in lines[-1], done.stderr[-2000:]
    assert "Traceback" not in done.stderr


def test_ctrl_c_leaves_a_run_that_resumes(people: Path, tmp_path: Path):
    config = settings(people, tmp_path, training__epochs=15, operation_mode="training")
    process = subprocess.Popen(
        command(config, tmp_path / "config"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CI": "1"},
    )
    state = tmp_path / "run" / "saved_models" / "last_model.keras"
    for _ in range(1200):
        if state.exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    assert "resume" in err
    assert "Traceback" not in err
    before = json.loads((tmp_path / "run" / "results.json").read_text())
    assert before["run"]["status"] == "interrupted"

    again = settings(
        people,
        tmp_path,
        operation_mode="training",
        training__epochs=15,
        training__resume_training_from=str(tmp_path / "run"),
        hydra__run__dir=str(tmp_path / "again"),
    )
    again.pop("model")
    done = run(again, tmp_path / "config2")
    assert done.returncode == 0, done.stderr[-3000:]
    history = json.loads((tmp_path / "again" / "results.json").read_text())["training"]["history"]
    assert [entry["epoch"] for entry in history] == list(range(1, 16))

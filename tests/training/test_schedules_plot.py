"""`stm32pose plot-lr`: the curve of a configuration without training, and what it says where there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from stm32pose.cli import main
from stm32pose.commands.plot_lr import stretches
from stm32pose.training.schedules import scheduler_rate

RESTARTS = {"LRCosineDecayRestarts": {"initial_lr": 0.01, "first_decay_steps": 4, "end_lr": 0.0001, "m_mul": 0.5}}
PIECES = {"Adam": {"learning_rate": {"TwoStepDecay": {"initial_learning_rate": 0.1}}}}
COSINE = {"Adam": {"learning_rate": {"CosineDecay": {"initial_learning_rate": 0.1}}}}


def written(folder: Path, **training: Any) -> Path:
    path = folder / "my.yaml"
    sections = {
        "operation_mode": "training",
        "model": {"model_name": "custom", "input_shape": [64, 64, 3]},
        "dataset": {"training_path": str(folder / "images"), "keypoints": 17},
        "training": {"epochs": 9, **training},
    }
    path.write_text(yaml.safe_dump(sections))
    return path


def plotted(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["plot-lr", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = main(["plot-lr", *map(str, arguments)])
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return code, error


def test_a_scheduler_in_epochs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = plotted(capsys, written(tmp_path, callbacks=RESTARTS))
    rate = scheduler_rate("LRCosineDecayRestarts", RESTARTS["LRCosineDecayRestarts"], "")
    assert found["learning_rate"] == [rate(epoch) for epoch in range(9)]
    assert found["source"] == "training.callbacks.LRCosineDecayRestarts"
    assert (found["first"], found["highest"], found["highest_epoch"]) == (0.01, 0.01, 1)
    assert (found["steps_per_epoch"], found["figure"]) == (None, None)


def test_values_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plotted(capsys, written(tmp_path, callbacks=RESTARTS), "training.epochs=3")["epochs"] == 3


def test_no_schedule_is_flat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plotted(capsys, written(tmp_path, optimizer={"SGD": {"learning_rate": 0.2}}))["learning_rate"] == [0.2] * 9
    # Keras's own defaults.
    assert plotted(capsys, written(tmp_path, optimizer="Adam"))["learning_rate"] == [0.001] * 9
    assert plotted(capsys, written(tmp_path, optimizer="SGD"))["learning_rate"] == [0.01] * 9


def test_a_schedule_in_steps_counts_the_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cv2

    path = written(tmp_path, optimizer=PIECES, batch_size=4)
    (tmp_path / "images").mkdir()
    joints = " ".join(f"{0.1 + 0.04 * joint:.3f} 0.5 2" for joint in range(17))
    for index in range(20):
        image = np.random.default_rng(index).integers(0, 255, (48, 48, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), image)
        (tmp_path / "images" / f"{index}.txt").write_text(f"0 0.5 0.5 0.9 0.9 {joints}\n")
    found = plotted(capsys, path, "dataset.validation_split=0.2")
    # 16 of 20 images are for training, 4 a step.
    assert found["steps_per_epoch"] == 4
    assert found["steps"] == [0, 16, 32]
    assert found["learning_rate"] == pytest.approx([0.1] * 4 + [0.01] * 4 + [0.001])


def test_a_schedule_in_steps_without_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, optimizer=PIECES)
    _, error = refused(capsys, path)
    assert "dataset.training_path" in error
    assert "--steps-per-epoch" in error
    assert plotted(capsys, path, "--steps-per-epoch", 10)["steps"] == [0, 40, 80]
    assert refused(capsys, path, "--steps-per-epoch", 0)[0] == 2


def test_a_schedule_of_keras(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = plotted(capsys, written(tmp_path, optimizer=COSINE), "--steps-per-epoch", 10)
    wanted = [0.05 * (1 + np.cos(np.pi * (10 * epoch + 9) / 90)) for epoch in range(9)]
    assert found["learning_rate"] == pytest.approx(wanted, rel=1e-4, abs=1e-8)
    long = plotted(capsys, written(tmp_path, optimizer=COSINE, epochs=40), "--steps-per-epoch", 1000)
    assert len(long["steps"]) <= 2041
    assert long["learning_rate"][19] == pytest.approx(0.05 * (1 + np.cos(np.pi * 19_999 / 40_000)), rel=1e-4)


@pytest.mark.parametrize(
    ("training", "line"),
    [
        ({"callbacks": {"ReduceLROnPlateau": {}}}, "the learning rate depends on how the training goes"),
        ({"callbacks": {**RESTARTS, "ReduceLROnPlateau": {}}}, "each sets the learning rate: keep one"),
        ({"callbacks": RESTARTS, "optimizer": COSINE}, "the optimizer's learning_rate is a schedule already"),
        ({"callbacks": {"LRStepDecay": {"initial_lr": 0.1, "step_size": 3}}}, "argument 'decay_rate' is missing"),
        ({"optimizer": {"Addam": {}}}, "did you mean 'Adam'"),
    ],
)
def test_what_has_no_curve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], training: dict[str, Any], line: str
) -> None:
    code, error = refused(capsys, written(tmp_path, **training))
    assert code == 2
    assert line in error


def test_a_name_that_is_no_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, written(tmp_path), "--out", tmp_path / "lr.txt")[0] == 2
    (tmp_path / "file").write_text("")
    code, error = refused(capsys, written(tmp_path), "--out", tmp_path / "file" / "lr.png")
    assert code == 1
    assert "cannot be written" in error


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, error = refused(capsys, written(tmp_path), "--out", tmp_path / "nope" / "lr.png")
    assert code == 2
    assert "nope does not exist" in error
    assert not (tmp_path / "nope").exists()


WARMUP = {"initial_lr": 1e-5, "warmup_steps": 10, "max_lr": 3e-3, "hold_steps": 20, "decay_steps": 30, "end_lr": 1e-6}
PIECEWISE = {"boundaries": [5, 20], "values": [0.3, 0.2, 0.1]}


@pytest.mark.parametrize(
    ("training", "line"),
    [
        ({"epochs": 30, "callbacks": {"LRWarmupCosineDecay": WARMUP}}, "30 of its 60 epochs are not reached"),
        ({"epochs": 60, "callbacks": {"LRWarmupCosineDecay": WARMUP}}, ""),
        ({"epochs": 3, "callbacks": RESTARTS}, "1 of its 4 epochs are not reached"),
        ({"epochs": 20, "callbacks": {"LRPiecewiseConstantDecay": PIECEWISE}}, "1 of its 2 boundaries are not"),
        ({"epochs": 21, "callbacks": {"LRPiecewiseConstantDecay": PIECEWISE}}, ""),
        (
            {
                "optimizer": {
                    "Adam": {
                        "learning_rate": {
                            "TwoStepDecay": {**PIECES["Adam"]["learning_rate"]["TwoStepDecay"], "boundaries": [10, 50]}
                        }
                    }
                }
            },
            "1 of its 2 boundaries are not reached; the training has 45 steps",
        ),
        ({"optimizer": PIECES}, ""),
    ],
)
def test_a_schedule_longer_than_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], training: dict[str, Any], line: str
) -> None:
    path = written(tmp_path, **training)
    assert main(["plot-lr", str(path), "--json", "--steps-per-epoch", "5"]) == 0
    told = capsys.readouterr().err
    assert line in told
    assert bool(told) == bool(line)


def test_a_constant_rate_lies_in_the_middle() -> None:
    from stm32pose.reporting.schedule_figure import limits

    flat = np.full(5, 0.001)
    assert np.mean(np.array(limits(flat, "linear"), float)) == pytest.approx(0.001)
    assert np.prod(np.array(limits(flat, "log"), float)) == pytest.approx(0.001**2)
    assert limits(np.array([0.1, 0.01]), "log") == (pytest.approx(0.007), None)


def test_a_configuration_that_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(
        "operation_mode: benchmarking\nmodel: {model_path: x.tflite}\nbenchmarking: {board: STM32H747I-DISCO}\n"
    )
    code, error = refused(capsys, path)
    assert code == 2
    assert "no section training" in error


def test_table_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    monkeypatch.chdir(tmp_path)
    assert main(["plot-lr", str(written(tmp_path, callbacks=RESTARTS)), "--steps-per-epoch", "7"]) == 0
    text = capsys.readouterr().out
    assert "first 0.01, highest 0.01 (epoch 1), last" in text
    assert "9 epochs of 7 steps" in text
    assert "1-4" in text
    assert "5-9" in text
    picture: Any = cv2.imread(str(tmp_path / "lr.png"))
    assert picture.shape[1] > 800
    blue = (picture.astype(int)[..., 0] - picture[..., 2]) > 60
    assert blue.sum() > 500  # there is a line


def test_neither_keras_nor_tensorflow_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from stm32pose.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for training, more in (({"callbacks": RESTARTS}, ()), ({"optimizer": PIECES}, ("--steps-per-epoch", "5"))):
        command = ["plot-lr", str(written(tmp_path, **training)), "--out", str(tmp_path / "lr.png"), *more]
        done = subprocess.run(
            [sys.executable, "-c", code, *command], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("rates", "found"),
    [
        ([1, 1, 1], [(1, 3, "constant")]),
        ([1], [(1, 1, "constant")]),
        ([3, 2, 1], [(1, 3, "falls")]),
        ([3, 3, 2, 1], [(1, 2, "constant"), (3, 4, "falls")]),
        ([3, 2, 1, 3, 2, 1], [(1, 3, "falls"), (4, 6, "falls")]),
        ([1, 2, 3, 2, 1, 1], [(1, 3, "rises"), (4, 4, "constant"), (5, 6, "constant")]),
        ([3, 3, 2, 2, 1], [(1, 2, "constant"), (3, 4, "constant"), (5, 5, "constant")]),
        ([1, 1, 3, 3], [(1, 2, "constant"), (3, 4, "constant")]),
        ([1, 1, 3, 2, 1], [(1, 2, "constant"), (3, 5, "falls")]),
    ],
)
def test_stretches(rates: list[float], found: list[tuple[int, int, str]]) -> None:
    assert stretches(np.array(rates, float)) == found

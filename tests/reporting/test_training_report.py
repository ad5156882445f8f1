"""Charts and report of a training: what the events tell is drawn, also where the training broke off."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stm32pose.config.schema import Config
from stm32pose.reporting.figures import health_chart, joint_curves, training_curves
from stm32pose.reporting.report import write_report
from stm32pose.reporting.run import Run
from stm32pose.reporting.training import TrainingRecord, shown_epochs

NAMES = ("nose", "left_eye", "right_eye")


def layer(name: str, **figures: Any) -> dict[str, Any]:
    usual = {"gradient": 0.1, "weight": 1.0, "update": 1e-3, "silent": 0.0, "died": 0.0, "finite": True}
    return {"layer": name, "kind": "Conv2D", "parameters": 1234, **usual, **figures}


def event(epoch: int, *, health: bool = True, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "epoch_end",
        "epoch": epoch,
        "epochs": 9,
        "logs": {"epoch": epoch, "loss": 1 / epoch, "val_oks": 0.1 * epoch, "learning_rate": 1e-3, "seconds": 2.0},
        "best": True,
        "best_epoch": epoch,
        "monitor": "val_oks",
        "joints": [0.1 * epoch, None, 0.05 * epoch],
        "joints_of": "validation",
        "health": [layer("stem"), layer("head", silent=0.75)] if health else None,
        "hints": ["layers with most channels dead: head (75 %)"] if health else [],
        **changes,
    }


def record_of(folder: Path, *events: dict[str, Any]) -> tuple[TrainingRecord, Run]:
    run = Run(Config.model_validate({"operation_mode": "training"}), folder)
    record = TrainingRecord(run, NAMES)
    for one in events:
        record(one)
    return record, run


def colours(path: Path, box: tuple[slice, slice] | None = None) -> np.ndarray:
    image = np.asarray(cv2.imread(str(path))).astype(int)
    return image if box is None else image[box]


def test_results_and_charts_of_a_whole_training(tmp_path: Path) -> None:
    record, run = record_of(tmp_path, {"kind": "epoch_begin"}, event(1), {"kind": "step"}, event(2), event(3))
    record.write(best_epoch=2, best="saved_models/best_model.keras", seconds=99.0)
    training = json.loads((tmp_path / "results.json").read_text())["training"]
    assert training["epochs"] == 3
    assert training["best_epoch"] == 2
    assert training["seconds"] == 99.0
    assert training["best"] == "saved_models/best_model.keras"
    assert [row["epoch"] for row in training["history"]] == [1, 2, 3]
    assert training["joints"] == {
        "set": "validation",
        "epoch": 2,
        "oks": {"nose": 0.2, "left_eye": None, "right_eye": 0.1},
    }
    assert training["health"]["epoch"] == 3
    assert training["health"]["hints"] == ["layers with most channels dead: head (75 %)"]
    assert [row["layer"] for row in training["health"]["layers"]] == ["stem", "head"]
    assert {path.name for path in run.figures.glob("*.png")} == {"training.png", "joints.png", "health.png"}


def test_a_training_that_broke_off_keeps_its_epochs(tmp_path: Path) -> None:
    record, _ = record_of(tmp_path, event(1, health=False), event(2, health=False, joints=None))
    record.write()
    training = json.loads((tmp_path / "results.json").read_text())["training"]
    assert (training["epochs"], training["best_epoch"], training["seconds"]) == (2, 2, 4.0)
    assert training["joints"]["epoch"] == 1
    assert "health" not in training
    assert not (tmp_path / "figures" / "health.png").exists()


def test_a_training_without_a_whole_epoch_leaves_nothing(tmp_path: Path) -> None:
    record, run = record_of(tmp_path, {"kind": "epoch_begin"}, {"kind": "step"})
    record.write()
    assert "training" not in run.results
    assert not list(run.figures.glob("*"))


def test_a_resumed_training_has_the_epochs_before(tmp_path: Path) -> None:
    before = {
        "kind": "resumed",
        "history": [event(1)["logs"]],
        "joints": [{"epoch": 1, "oks": [0.5, 0.5, 0.5]}],
    }
    record, run = record_of(tmp_path, before, event(2))
    record.write(best_epoch=1)
    assert run.results["training"]["epochs"] == 2
    assert run.results["training"]["joints"]["oks"]["left_eye"] == 0.5


def test_figures_that_are_no_numbers_do_not_break_the_results(tmp_path: Path) -> None:
    logs = event(1)["logs"] | {"val_loss": math.nan, "val_epe": math.inf}
    record, _ = record_of(tmp_path, event(1, logs=logs))
    record.write()
    (row,) = json.loads((tmp_path / "results.json").read_text())["training"]["history"]
    assert row["val_loss"] is None
    assert row["val_epe"] is None


def test_the_report_shows_curves_joints_pictures_and_health(tmp_path: Path) -> None:
    record, run = record_of(tmp_path, *(event(epoch) for epoch in range(1, 10)))
    record.write()
    for epoch in (1, 3, 5, 9):
        folder = run.figures / "training"
        folder.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / f"epoch_{epoch:03d}.jpg"), np.full((8, 8, 3), 20 * epoch, np.uint8))
    cv2.imwrite(str(folder / "latest.jpg"), np.zeros((8, 8, 3), np.uint8))
    cv2.imwrite(str(run.figures / "targets.jpg"), np.zeros((8, 8, 3), np.uint8))
    page = write_report(run).read_text()
    for text in (
        "Trained for 9 epochs in 0:18 min; the best one is 9.",
        "OKS of each joint over epochs, validation images",
        "what the network is asked for",
        "layers with most channels dead: head (75 %)",
        "Every layer after epoch 9",
        "75.0 %",
    ):
        assert text in page, text
    shown = [epoch for epoch in range(1, 10) if f"<figcaption>Epoch {epoch}</figcaption>" in page]
    assert shown == [1, 5, 9]
    assert 'href="figures/training/epoch_005.jpg"' in page
    assert page.count("data:image/png") == 3
    assert page.count("data:image/jpeg") == 4


def test_the_report_of_a_plain_training_leaves_out_what_there_is_not(tmp_path: Path) -> None:
    record, run = record_of(tmp_path, event(1, health=False, joints=None))
    record.write()
    page = write_report(run).read_text()
    assert "Trained for 1 epoch in" in page
    for text in ("Health of the layers", "OKS of each joint over epochs", "from epoch to epoch"):
        assert text not in page, text


def test_the_report_names_the_teacher(tmp_path: Path) -> None:
    _, run = record_of(tmp_path)
    model = {"name": "fdmobilenet", "input_shape": [96, 96, 3], "parameters": 9}
    run.add("model", model | {"distillation": None})
    assert "eacher" not in write_report(run).read_text()
    run.add("model", model | {"distillation": {"teacher": "large/best_model.keras", "weight": 0.5, "temperature": 2.0}})
    page = write_report(run).read_text()
    assert "Teacher: <b>large/best_model.keras</b>, weight 0.5, temperature 2." in page


def test_first_middle_and_last_picture(tmp_path: Path) -> None:
    assert shown_epochs(tmp_path) == []
    folder = tmp_path / "training"
    folder.mkdir()
    for epoch in (1, 2, 999, 1000):
        (folder / f"epoch_{epoch:03d}.jpg").touch()
    (folder / "latest.jpg").touch()
    assert [epoch for epoch, _ in shown_epochs(tmp_path)] == [1, 999, 1000]
    for epoch in (2, 999):
        (folder / f"epoch_{epoch:03d}.jpg").unlink()
    assert [epoch for epoch, _ in shown_epochs(tmp_path)] == [1, 1000]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [1, 5, 17, 68, 468])
def test_joint_curves_are_a_readable_picture(tmp_path: Path, count: int) -> None:
    rows = [{"epoch": epoch, "oks": [0.5] * count} for epoch in range(1, 31)]
    height, width = colours(joint_curves([f"joint_{n}" for n in range(count)], rows, 30, tmp_path / "j.png")).shape[:2]
    assert 250 <= height <= 1500
    assert 800 <= width <= 1200
    if 5 <= count <= 68:
        assert height / count >= 12  # room for a name


@pytest.mark.filterwarnings("error")
def test_joint_curves_tell_joints_and_epochs_apart(tmp_path: Path) -> None:
    """The upper joint is learnt early, the lower one late, the one between is labelled nowhere."""
    rows = [{"epoch": epoch, "oks": [float(epoch > 2), None, float(epoch > 6)]} for epoch in range(1, 9)]
    image = colours(joint_curves(NAMES, rows, 8, tmp_path / "joints.png"))
    bright = (np.abs(image - [37, 231, 253]).max(axis=2) < 25).astype(int)  # the end of viridis, BGR
    dark = (np.abs(image - [84, 1, 68]).max(axis=2) < 25).astype(int)
    grey = (np.abs(image - [0xDC, 0xD8, 0xD5]).max(axis=2) < 6).astype(int)
    picture = slice(0, int(image.shape[1] * 0.85))  # the bar of colours lies beyond
    yellow, violet = (np.argwhere(mask[:, picture]) for mask in (bright, dark))
    assert grey[:, picture].sum() > 10_000
    upper, lower = (yellow[:, 0] < image.shape[0] / 2), (yellow[:, 0] > image.shape[0] / 2)
    assert upper.sum() / lower.sum() == pytest.approx(6 / 2, rel=0.15)
    assert violet[:, 1].max() < np.median(yellow[lower, 1])


@pytest.mark.filterwarnings("error")
def test_a_chart_of_health_takes_what_is_missing(tmp_path: Path) -> None:
    broken = [layer("a", gradient=None, update=None, finite=False), layer("b", gradient=0.0, update=0.0)]
    health_chart([{"epoch": 1, "layers": broken}], tmp_path / "one.png")
    many = [layer(f"layer_with_a_long_name_{n}") for n in range(200)]
    path = health_chart([{"epoch": epoch, "layers": many} for epoch in range(1, 40)], tmp_path / "many.png")
    assert colours(path).shape[1] < 1400
    normalised = [layer("norm", update=0.5) | {"kind": "BatchNormalization"}]
    health_chart([{"epoch": 1, "layers": normalised}], tmp_path / "norm.png")


@pytest.mark.filterwarnings("error")
def test_curves_take_losses_below_zero_and_lost_ones(tmp_path: Path) -> None:
    losses = (3.0, -2.0, math.nan, -4.0)
    training_curves(
        [{"epoch": n + 1, "loss": loss, "val_loss": None} for n, loss in enumerate(losses)], 4, tmp_path / "c.png"
    )
    training_curves([{"epoch": 1, "loss": math.inf, "val_loss": math.nan}], 1, tmp_path / "d.png")

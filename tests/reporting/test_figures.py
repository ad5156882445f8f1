"""Charts exist, show what they are given, and are left out where there is nothing to show."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from stm32pose.benchmark.memory import Buffer, plan_buffers
from stm32pose.reporting.figures import (
    board_chart,
    keypoint_chart,
    memory_chart,
    precision_recall_chart,
    training_curves,
)


def ink(path: Path) -> int:
    """Pixels that are neither white nor grey."""
    image = cv2.imread(str(path)).astype(int)
    return int((np.ptp(image, axis=2) > 30).sum())


def row(board: str, latency: float | None, fits: bool = True) -> dict:
    return {"board": board, "latency_ms": latency, "latency_error": 0.1, "fits": fits}


def test_training_curves_leave_out_what_is_missing(tmp_path: Path):
    short = [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5}]
    full = [
        entry | {"val_loss": 0.9, "oks": 0.2, "val_oks": 0.3, "val_pck": 0.5, "learning_rate": 1e-3} for entry in short
    ]
    assert (
        ink(training_curves(full, 2, tmp_path / "full.png"))
        > ink(training_curves(short, 1, tmp_path / "short.png"))
        > 0
    )


def drawn(monkeypatch: pytest.MonkeyPatch, history: list[dict], best: int) -> list:
    """The axes of the training curves, laid out."""
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, _path: (figure.draw_without_rendering(), figures.append(figure))
    )
    training_curves(history, best, Path("/nowhere/never.png").relative_to("/"))
    return figures[0].axes


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_epochs_are_whole_and_the_best_is_named_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    monkeypatch.chdir(tmp_path)
    history = [{"epoch": n + 1, "loss": 1.0, "val_oks": 0.3, "learning_rate": 1e-3} for n in range(epochs)]
    for best in range(1, epochs + 1):
        axes = drawn(monkeypatch, history, best)
        for axis in axes:
            low, high = axis.get_xlim()
            assert all(tick == round(tick) for tick in axis.get_xticks() if low <= tick <= high)
        (text,) = axes[1].texts
        box, inside = text.get_window_extent(), axes[1].get_window_extent()
        assert inside.x0 <= box.x0 < box.x1 <= inside.x1


def test_the_curve_of_a_teacher_is_drawn_and_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    history = [{"epoch": n, "loss": 1.0 / n, "val_loss": 0.9, "distillation": 2.0} for n in (1, 2)]
    lines = {line.get_label(): list(line.get_ydata()) for line in drawn(monkeypatch, history, 1)[0].get_lines()}
    assert lines == {
        "training, labels and teacher": [1.0, 0.5],
        "validation, labels": [0.9, 0.9],
        "training, teacher": [2.0, 2.0],
    }


@pytest.mark.filterwarnings("error")
def test_training_curves_of_one_epoch_warn_of_nothing(tmp_path: Path):
    for number, more in enumerate(({}, {"learning_rate": 0.0}, {"learning_rate": 1e-3})):
        training_curves([{"epoch": 1, "loss": 1.0, **more}], 1, tmp_path / f"{number}.png")


@pytest.mark.filterwarnings("error")
def test_a_chart_of_names_in_another_script_warns_of_nothing(tmp_path: Path):
    entry = {"label": "int8 模型甲", "set": "test", "per_keypoint": [{"keypoint": "nose", "oks": 0.5}]}
    keypoint_chart([entry], tmp_path / "one.png")


def test_the_legend_of_the_keypoints_lies_above_the_bars(tmp_path: Path):
    """Bars of full height: below the legend nothing white is left of what a legend inside would cover."""

    def entry(label: str) -> dict:
        return {"label": label, "set": "t", "per_keypoint": [{"keypoint": f"k{n}", "oks": 1.0} for n in range(13)]}

    image = cv2.imread(str(keypoint_chart([entry("float"), entry("int8 " + 60 * "x")], tmp_path / "two.png")))
    blue = (np.abs(image.astype(int) - [0xA4, 0x65, 0x34]).max(axis=2) < 12).sum(axis=1)
    rows = np.flatnonzero(blue > 100)  # those of bars, not of the legend's sample
    assert np.ptp(blue[rows]) <= 2 + blue[rows].max() // 20


def test_board_chart_needs_a_latency(tmp_path: Path):
    assert board_chart([row("A", None)], tmp_path / "none.png") is None
    assert not (tmp_path / "none.png").exists()
    path = board_chart([row("A", 10.0), row("B", 100.0, fits=False), row("C", None)], tmp_path / "boards.png")
    assert path is not None
    assert ink(path) > 1000


def test_memory_chart_shows_the_arena(tmp_path: Path):
    plan = plan_buffers([Buffer("a", 1000, 0, 1), Buffer("b", 4000, 1, 2)], 3)
    path = memory_chart(plan, tmp_path / "memory.png")
    assert path is not None
    assert ink(path) > 1000
    assert memory_chart(plan_buffers([], 0), tmp_path / "none.png") is None


def test_keypoint_chart_draws_every_model(tmp_path: Path):
    def entry(label: str, oks: float | None) -> dict:
        return {"label": label, "set": "test", "per_keypoint": [{"keypoint": "nose", "oks": oks}]}

    one = keypoint_chart([entry("float", 0.9)], tmp_path / "one.png")
    two = keypoint_chart([entry("float", 0.9), entry("int8", 0.8), entry("int8", None)], tmp_path / "two.png")
    assert ink(one) > 0
    assert ink(two) > 0


def test_keypoint_chart_of_a_face_stays_a_picture(tmp_path: Path):
    joints = [{"keypoint": f"mesh_{number}", "oks": 0.9} for number in range(468)]
    path = keypoint_chart([{"label": "int8 face", "set": "test", "per_keypoint": joints}], tmp_path / "face.png")
    height, width = cv2.imread(str(path)).shape[:2]
    assert width < 2500
    assert height < 800


def test_precision_recall_chart_leaves_out_who_has_no_curve(tmp_path: Path):
    curve = {
        "recall": [0.0, 0.5, 1.0],
        "precision": {f"{0.5 + 0.05 * step:.2f}": [1.0, 0.8 - 0.05 * step, 0.0] for step in range(10)},
    }
    one = precision_recall_chart([("int8", curve)], tmp_path / "one.png")
    two = precision_recall_chart([("int8 a", curve), ("int8 b", curve), ("float", None)], tmp_path / "two.png")
    assert one is not None
    assert two is not None
    assert ink(one) > 200
    assert precision_recall_chart([("float", None)], tmp_path / "none.png") is None
    assert not (tmp_path / "none.png").exists()

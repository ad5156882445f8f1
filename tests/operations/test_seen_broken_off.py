"""A training that breaks off: what it reached is in results, figures and report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stm32pose.config.load import load_config
from stm32pose.errors import UserError
from stm32pose.operations.chain import run_chain
from stm32pose.skeletons.skeleton import load_skeleton


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from stm32pose.data.synthetic import make_poses

    folder = tmp_path_factory.mktemp("people")
    make_poses(folder, images=6, skeleton=load_skeleton("person13"), size=(64, 64), seed=1)
    return folder


def settings(people: Path) -> Any:
    return load_config(
        {
            "operation_mode": "training",
            "model": {
                "model_name": "st_movenet_lightning_heatmaps",
                "alpha": 0.35,
                "input_shape": [64, 64, 3],
            },
            "dataset": {"skeleton": "person13", "training_path": str(people), "validation_split": 0.3},
            "training": {"batch_size": 2, "epochs": 5, "optimizer": {"Adam": {"learning_rate": 1e-3}}},
        }
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UserError("the disk is full")])
def test_what_was_reached_is_shown(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, capsys: Any
) -> None:
    from stm32pose.training import fit

    def train(*_: Any, figures: Path, progress: Any, **__: Any) -> None:
        for epoch in (1, 2):
            logs = {"epoch": epoch, "loss": 1 / epoch, "val_oks": 0.2 * epoch, "seconds": 3.0}
            progress({"kind": "epoch_begin", "epoch": epoch, "epochs": 5, "steps": 3})
            progress(
                {
                    "kind": "epoch_end",
                    "epoch": epoch,
                    "epochs": 5,
                    "logs": logs,
                    "monitor": "val_oks",
                    "best": True,
                    "best_epoch": epoch,
                    "joints": [0.1 * epoch] * 13,
                    "joints_of": "validation",
                    "health": None,
                    "hints": [],
                }
            )
        assert figures == tmp_path / "run" / "figures"
        raise error

    monkeypatch.setattr(fit, "train", train)
    with pytest.raises(type(error)):
        run_chain(settings(people), tmp_path / "run")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["run"]["status"] == ("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
    assert results["training"]["epochs"] == 2
    assert results["training"]["joints"]["oks"]["head"] == pytest.approx(0.2)
    for name in ("labels.jpg", "training.png", "joints.png"):
        assert (tmp_path / "run" / "figures" / name).is_file(), name
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Trained for 2 epochs in 0:06 min; the best one is 2." in page
    assert "the best epoch is 2" in capsys.readouterr().out

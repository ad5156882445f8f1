"""A training that is killed and resumed gives the same curve as one that is not."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_dots as dots

from stm32pose.config.schema import Config
from stm32pose.errors import ConfigError, UserError
from stm32pose.training.files import read_arrays
from stm32pose.training.resume import check_network, load_resume, network_settings

CURVES = ("loss", "oks", "val_loss", "val_oks", "val_pck", "val_epe", "learning_rate")
TRAINING = {
    "epochs": 6,
    "optimizer": {"Adam": {"learning_rate": 3e-2}},
    # Every epoch counts as no improvement, so the rate falls after 2, 4 and 6 epochs.
    "callbacks": {
        "ReduceLROnPlateau": {"monitor": "val_loss", "patience": 2, "factor": 0.5, "min_delta": 100.0},
        "EarlyStopping": {"monitor": "val_oks", "patience": 50},
    },
}
AUGMENTATION = {"random_rotation": {"factor": 0.05}, "random_contrast": {"factor": 0.3}}

# What a run does in another process, until it is killed in the middle of an epoch.
CHILD = """
import json, os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import training_dots as dots

def kill(event):
    if event["kind"] == "step" and event["epoch"] == {epoch} and event["step"] >= 2:
        os.kill(os.getpid(), signal.SIGKILL)

folder = Path({folder!r})
config = dots.dots_config(**json.loads({sections!r}))
dots.dots_train(config, folder, dots.dots_splits(folder.parent / "data"), progress=kill)
"""


def keras_model(path: Path) -> Any:
    import keras

    return keras.models.load_model(path, compile=False)


def run(folder: Path, splits: Any, *, resume: Path | None = None, augment: bool = False, **changes: Any):
    options = {}
    if resume is not None:
        loaded = load_resume(resume)
        options = {"resume": loaded, "model": keras_model(loaded.model)}
    config = dots.dots_config(training={**TRAINING, **changes}, data_augmentation=AUGMENTATION if augment else {})
    return dots.dots_train(config, folder, splits, **options)


def curve(history: list[dict[str, float]]) -> np.ndarray:
    return np.array([[row[name] for name in CURVES] for row in history])


def weights(path: Path) -> list[np.ndarray]:
    return keras_model(path).get_weights()


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory):
    """A training that nothing interrupted, and its data."""
    folder = tmp_path_factory.mktemp("straight")
    splits = dots.dots_splits(folder / "data")
    return run(folder / "run", splits, augment=True), splits, folder


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on Windows")
def test_killed_and_resumed_gives_the_same_curve(straight: Any) -> None:
    expected, splits, folder = straight
    killed = folder / "killed"
    sections = {"training": TRAINING, "data_augmentation": AUGMENTATION}
    child = CHILD.format(tests=str(Path(__file__).parent), folder=str(killed), sections=json.dumps(sections), epoch=4)
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert 1 <= load_resume(killed).epoch <= 3
    result = run(folder / "resumed", splits, resume=killed, augment=True)
    np.testing.assert_allclose(curve(result.history), curve(expected.history), rtol=1e-6, atol=1e-7)
    assert len({row["learning_rate"] for row in result.history}) == 3
    for got, wanted in zip(weights(result.last), weights(expected.last), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-7)
    assert result.best_epoch == expected.best_epoch
    for got, wanted in zip(weights(result.best), weights(expected.best), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-7)
    with (folder / "resumed" / "logs" / "metrics" / "train_metrics.csv").open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == [1, 2, 3, 4, 5, 6]


def test_ctrl_c_keeps_the_last_whole_epoch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    splits = dots.dots_splits(tmp_path / "data")
    changes: dict[str, Any] = {"optimizer": {"SGD": {"learning_rate": 0.1, "momentum": 0.9, "use_ema": True}}}

    def options() -> dict[str, Any]:
        return {"model": dots.dots_model(dropout=0.3)}

    config = dots.dots_config(training={**TRAINING, **changes})
    expected = dots.dots_train(config, tmp_path / "straight", splits, **options())

    def interrupt(event: dict[str, Any]) -> None:
        if event["kind"] == "step" and event["epoch"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dots.dots_train(config, tmp_path / "run", splits, progress=interrupt, **options())
    assert load_resume(tmp_path / "run").epoch == 4
    assert f"to go on, add training.resume_training_from={tmp_path / 'run'}\n" in caplog.text
    result = run(tmp_path / "run", splits, resume=tmp_path / "run", **changes)
    np.testing.assert_allclose(curve(result.history), curve(expected.history), rtol=1e-6, atol=1e-7)
    for got, wanted in zip(weights(result.last), weights(expected.last), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-7)
    assert not list((tmp_path / "run").rglob("*.partial*"))


def test_more_epochs_can_be_asked_for(straight: Any) -> None:
    expected, splits, folder = straight
    result = run(folder / "longer", splits, resume=folder / "run", augment=True, epochs=7)
    assert [row["epoch"] for row in result.history] == list(range(1, 8))
    np.testing.assert_array_equal(curve(result.history[:6]), curve(expected.history))


def test_a_finished_training_has_nothing_left(straight: Any) -> None:
    expected, splits, folder = straight
    result = run(folder / "again", splits, resume=folder / "run", augment=True)
    assert result.history == expected.history
    for got, wanted in zip(weights(result.best), weights(expected.best), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_damaged_state_falls_back_to_the_one_before(straight: Any) -> None:
    _, _, folder = straight
    resume = folder / "run" / "saved_models" / "resume"
    state = (resume / "state.npz").read_bytes()
    before = read_arrays(resume / "previous.npz")[1]["epoch"]
    try:
        (resume / "state.npz").write_bytes(state[: len(state) // 2])
        assert load_resume(folder / "run").epoch == before < 6
    finally:
        (resume / "state.npz").write_bytes(state)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"batch_size": 4}, "training.batch_size"),
        ({"optimizer": {"Adam": {"learning_rate": 1e-3}}}, "training.optimizer"),
        ({"frozen_layers": "(0)"}, "training.frozen_layers"),
    ],
)
def test_other_settings_are_refused(straight: Any, changes: dict[str, Any], named: str) -> None:
    _, splits, folder = straight
    with pytest.raises(ConfigError, match=named) as caught:
        run(folder / "refused", splits, resume=folder / "run", augment=True, **changes)
    assert "\n" not in str(caught.value)
    assert not (folder / "refused" / "saved_models").exists()


def test_another_seed_and_another_network_are_refused(straight: Any) -> None:
    _, splits, folder = straight
    loaded = load_resume(folder / "run")
    config = dots.dots_config(training=TRAINING, data_augmentation=AUGMENTATION, general={"global_seed": 8})
    with pytest.raises(ConfigError, match=r"general\.global_seed: 7 in the run, now 8"):
        dots.dots_train(config, folder / "refused", splits, resume=loaded)
    config = dots.dots_config(training=TRAINING, data_augmentation=AUGMENTATION)
    with pytest.raises(ConfigError, match="another network"):
        dots.dots_train(config, folder / "refused", splits, resume=loaded, model=dots.dots_model(dropout=0.5))


def test_a_changed_preprocessing_names_the_key(straight: Any) -> None:
    _, splits, folder = straight
    config = dots.dots_config(
        training=TRAINING,
        data_augmentation=AUGMENTATION,
        preprocessing={"rescaling": {"scale": 1 / 127.5, "offset": 0}},
    )
    with pytest.raises(ConfigError, match=r"preprocessing\.rescaling\.offset: -1 in the run, now 0; set it") as caught:
        dots.dots_train(config, folder / "refused", splits, resume=load_resume(folder / "run"))
    assert len(str(caught.value)) - len(str(folder)) < 300


def section(**keys: Any) -> Any:
    return Config.model_validate({"operation_mode": "training", "model": keys}).model


def stopped(straight: Any, model: Any) -> Any:
    """The stopped training as if `model` was its section."""
    loaded = load_resume(straight[2] / "run")
    others = {key: value for key, value in loaded.settings.items() if not key.startswith("model.")}
    return replace(loaded, settings=json.loads(json.dumps(others | network_settings(model))))


BUILT = {"backbone": "mobilenet_v2", "alpha": 0.35, "input_shape": (64, 64, 3), "model_type": "simcc_spe"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"alpha": 0.5}, "model.alpha: 0.35 in the run, now 0.5; "),
        ({"backbone": "resnet18"}, 'model.backbone: "mobilenet_v2" in the run, now "resnet18"; '),
        ({"model_type": "spe"}, 'model.model_type: "simcc_spe" in the run, now "spe"; '),
        ({"input_shape": (96, 96, 3)}, "model.input_shape: [64, 64, 3] in the run, now [96, 96, 3]; "),
        ({"output_stride": 8}, "model.output_stride: null in the run, now 8; "),
        ({"backbone": None, "model_name": "custom"}, 'model.model_name: null in the run, now "custom"; '),
    ],
)
def test_a_changed_section_model_is_refused(straight: Any, changes: dict[str, Any], named: str) -> None:
    resume = stopped(straight, section(**BUILT))
    check_network(resume, section(**BUILT))
    with pytest.raises(ConfigError) as caught:
        check_network(resume, section(**{**BUILT, **changes}))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_section_model_that_names_no_network_is_no_change(straight: Any) -> None:
    resume = stopped(straight, section(**BUILT))
    check_network(resume, section())
    check_network(resume, section(alpha=0.5))
    check_network(stopped(straight, section(model_path="a.keras")), section(model_path="b.keras"))
    with pytest.raises(ConfigError, match=r'model\.backbone: null in the run, now "mobilenet_v2"'):
        check_network(stopped(straight, section(model_path="a.keras")), section(**BUILT))
    # A folder of an earlier release says nothing of it.
    old = {key: value for key, value in resume.settings.items() if not key.startswith("model.")}
    check_network(replace(resume, settings=old), section(**BUILT))


def test_a_training_refuses_it_and_a_run_that_goes_on_still_knows_its_network(straight: Any, tmp_path: Path) -> None:
    splits = straight[1]
    config = dots.dots_config(training={"epochs": 1}, model=BUILT)
    dots.dots_train(config, tmp_path / "run", splits)
    resume = load_resume(tmp_path / "run")
    other = dots.dots_config(training={"epochs": 2}, model={**BUILT, "alpha": 0.5})
    with pytest.raises(ConfigError, match=r"model\.alpha: 0.35 in the run, now 0.5"):
        dots.dots_train(other, tmp_path / "no", splits, resume=resume)
    unnamed = dots.dots_config(training={"epochs": 2})
    dots.dots_train(unnamed, tmp_path / "again", splits, resume=resume, model=keras_model(resume.model))
    assert load_resume(tmp_path / "again").settings["model.alpha"] == 0.35


def test_changed_data_are_refused(straight: Any) -> None:
    _, splits, folder = straight
    fewer = type(splits)(splits.training[:-1], splits.validation, sources=splits.sources, seed=splits.seed)
    with pytest.raises(UserError, match="resume_training_from"):
        run(folder / "refused", fewer, resume=folder / "run", augment=True)


def test_a_folder_without_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no training to continue"):
        load_resume(tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        load_resume(tmp_path / "absent")

"""What a training writes is whole or not there, and comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stm32pose.training.checkpoint import callback_state, ordered, restore_callback
from stm32pose.training.files import float32_model, read_arrays, save_model, write_arrays
from stm32pose.training.history import make_row, write_history


def test_arrays_and_description_come_back(tmp_path: Path) -> None:
    arrays = {"model_0": np.arange(6, dtype=np.float32).reshape(2, 3), "model_1": np.array(3, np.int64)}
    path = write_arrays(tmp_path / "deep" / "state.npz", arrays, {"epoch": 3, "best": 0.1 + 0.2})
    read, meta = read_arrays(path)
    assert meta == {"epoch": 3, "best": 0.1 + 0.2}
    assert [value.dtype for value in ordered("model", read)] == [np.float32, np.int64]
    np.testing.assert_array_equal(read["model_0"], arrays["model_0"])


def test_history_has_a_column_for_every_figure(tmp_path: Path) -> None:
    rows = [
        make_row(1, {"loss": 0.5, "learning_rate": 0.1}, 2.0, 10.0),
        make_row(2, {"loss": 0.4, "val_oks": 0.2, "learning_rate": 0.1}, 1.0, 20.0),
    ]
    write_history(tmp_path / "t.csv", rows)
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,learning_rate,seconds,images_per_second,val_oks"
    assert lines[1] == "1,0.5,0.1,2.0,10.0,"
    assert lines[2] == "2,0.4,0.1,1.0,20.0,0.2"


def test_callback_state_is_plain_numbers_and_comes_back() -> None:
    from keras.callbacks import EarlyStopping, TerminateOnNaN

    stopping = EarlyStopping(monitor="val_oks", mode="max", restore_best_weights=True)
    stopping.on_train_begin()
    stopping.wait, stopping.best, stopping.best_epoch = 2, np.float32(0.5), 7
    state = callback_state(stopping)
    assert state == {"wait": 2.0, "stopped_epoch": 0.0, "best": 0.5, "best_epoch": 7.0}
    other = EarlyStopping(monitor="val_oks", mode="max")
    other.on_train_begin()
    restore_callback(other, state, [np.ones(2)])
    assert (other.wait, other.best, other.best_epoch) == (2, 0.5, 7)
    assert len(other.best_weights) == 1
    assert callback_state(TerminateOnNaN()) == {}


def test_half_precision_is_saved_as_float32(tmp_path: Path) -> None:
    import keras

    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, dtype="mixed_float16")(inputs)
    model = keras.Model(inputs, keras.layers.BatchNormalization(dtype="mixed_float16")(x))
    saved = keras.models.load_model(save_model(model, tmp_path / "m.keras"), compile=False)
    assert {layer.compute_dtype for layer in saved.layers} == {"float32"}
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(saved(image), np.asarray(model(image), np.float32), atol=2e-2)
    assert float32_model(saved) is saved

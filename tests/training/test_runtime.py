"""Seeds and precision."""

from __future__ import annotations

import logging
import random
import subprocess
import sys

import numpy as np
import pytest
import training_dots as dots

from stm32pose.errors import ConfigError
from stm32pose.training import runtime


def test_seed_of_an_epoch_decides_what_is_drawn() -> None:
    def draw(seed: int, epoch: int) -> tuple[float, float]:
        runtime.seed_epoch(seed, epoch)
        return random.random(), float(np.random.random())  # noqa: NPY002 - the generator under test

    assert draw(1, 2) == draw(1, 2)
    assert len({draw(1, 2), draw(1, 3), draw(2, 2)}) == 3


def test_a_drawn_seed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert runtime.draw_seed(0) == 0
    seed = runtime.draw_seed(None)
    assert str(seed) in caplog.text


def test_the_same_seed_gives_the_same_network() -> None:
    import keras

    def first_weight(seed: int) -> float:
        runtime.prepare_runtime(dots.dots_config(general={"global_seed": seed}))
        return float(keras.layers.Dense(1)(np.ones((1, 1), np.float32))[0, 0])

    assert first_weight(3) == first_weight(3) != first_weight(4)


def test_half_precision_needs_a_gpu() -> None:
    if runtime.gpus():
        pytest.skip("there is a GPU")
    config = dots.dots_config(training={"mixed_precision": True})
    with pytest.raises(ConfigError, match=r"training.mixed_precision: needs a GPU"):
        runtime.prepare_runtime(config)


def test_xla_is_off_on_a_cpu() -> None:
    if runtime.gpus():
        pytest.skip("there is a GPU")
    assert runtime.resolve_jit(None) is False
    assert runtime.resolve_jit(True) is True


def test_import_is_quiet_and_lets_errors_out() -> None:
    code = "from stm32pose.training.runtime import quiet; quiet(); import tensorflow"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stderr == ""
    code = (
        "import os\nfrom stm32pose.training.runtime import _held_stderr\n"
        "with _held_stderr():\n    os.write(2, b'why it failed')\n    raise ImportError('x')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "why it failed" in done.stderr

"""Seeds, GPU memory, precision and quiet: what has to be set before a network is built."""

from __future__ import annotations

import logging
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from stm32pose.errors import ConfigError

if TYPE_CHECKING:
    from stm32pose.config.schema import Config

log = logging.getLogger(__name__)


def prepare_runtime(config: Config) -> int:
    """Set up TensorFlow and Keras for a run, before the network is built; returns the seed in use.

    `general.global_seed: null` draws a seed and logs it. GPU memory grows as needed, or is limited on every GPU by
    `general.gpu_memory_limit`.

    Raises:
        ConfigError: `training.mixed_precision` without a GPU.
    """
    quiet()
    import keras

    seed = draw_seed(config.general.global_seed)
    keras.utils.set_random_seed(seed)
    limit_gpu_memory(config.general.gpu_memory_limit)
    if config.general.deterministic_ops:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    set_precision(bool(config.training and config.training.mixed_precision))
    return seed


def draw_seed(seed: int | None) -> int:
    """`seed`, or a new one, logged, where it is None."""
    if seed is None:
        seed = random.SystemRandom().randrange(2**31)
        log.info("general.global_seed: %d was drawn; set it to repeat this run", seed)
    return seed


def seed_epoch(seed: int, epoch: int) -> None:
    """Make Python's and NumPy's global generators a function of seed and epoch, so that a resumed run draws the same.

    The pipeline has generators of its own, and layers keep theirs in variables that are saved with the weights.
    """
    words = np.random.SeedSequence([seed, epoch]).generate_state(2)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))  # noqa: NPY002 - third-party code draws from the legacy generator


def gpus() -> list:
    """The GPUs that TensorFlow sees."""
    import tensorflow as tf

    return tf.config.list_physical_devices("GPU")


def limit_gpu_memory(gigabytes: float | None) -> None:
    """Limit the memory of every GPU, or let it grow as needed. Once a GPU is in use its setting stays."""
    import tensorflow as tf

    for device in gpus():
        try:
            if gigabytes is None:
                tf.config.experimental.set_memory_growth(device, True)
            else:
                limit = tf.config.LogicalDeviceConfiguration(memory_limit=round(gigabytes * 1024))
                tf.config.set_logical_device_configuration(device, [limit])
        except (RuntimeError, ValueError) as error:
            log.warning("general.gpu_memory_limit: %s keeps its earlier setting (%s)", device.name, error)


def set_precision(mixed: bool) -> None:
    """float16 arithmetic with float32 weights for the networks built from here on, or float32.

    Raises:
        ConfigError: float16 is asked for and there is no GPU.
    """
    import keras

    if mixed and not gpus():
        raise ConfigError("training.mixed_precision: needs a GPU and none was found; on a CPU it only costs time")
    keras.mixed_precision.set_global_policy("mixed_float16" if mixed else "float32")


def resolve_jit(jit_compile: bool | None) -> bool:
    """Whether to compile with XLA: never by default on a CPU, where it is ten times slower; by default on a GPU."""
    if jit_compile is None:
        return bool(gpus())
    if jit_compile and not gpus():
        log.warning("training.jit_compile: XLA on a CPU was measured ten times slower than without")
    return jit_compile


def quiet() -> None:
    """Import TensorFlow without the lines its libraries print on the way; an import that fails shows them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" not in sys.modules:
        with _held_stderr():
            gpus()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)


@contextmanager
def _held_stderr() -> Iterator[None]:
    """Hold back what is written to the process's standard error, C++ included; an exception inside lets it out."""
    try:
        descriptor = sys.__stderr__.fileno() if sys.__stderr__ else -1
        saved = os.dup(descriptor)
    except (OSError, ValueError):
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), descriptor)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(saved, descriptor)
            os.close(saved)
            if failed:
                held.seek(0)
                os.write(descriptor, held.read())

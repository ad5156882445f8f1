"""`training.frozen_layers` and `training.dropout`: which layers learn, and how much they drop."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from stm32pose.errors import ConfigError

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

ITEM = re.compile(r"\s*(?P<start>[+-]?\d+)?\s*(?P<slice>:\s*(?P<stop>[+-]?\d+)?\s*(:\s*(?P<step>[+-]?\d+)?)?)?\s*")
ALLOWED = "a list of indices and slices into model.layers, such as (0:154) or (7:13, 16, 20:28, -1)"


def frozen_indices(expression: str, layers: int, where: str = "training.frozen_layers") -> list[int]:
    """Indices that `expression` names among `layers` layers, ascending, each once; ST's syntax (st_services.md 2.9).

    Python's index and slice rules: negative counts from the end, open slices, slices past the end are clipped. Raises
    ConfigError for an index out of range or anything else.
    """
    text = expression.strip()
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    indices: set[int] = set()
    items = text.split(",")
    if len(items) > 1 and not items[-1].strip():
        items.pop()  # (2,) is Python's tuple of one
    for item in items:
        match = ITEM.fullmatch(item)
        if not match or not item.strip():
            raise ConfigError(f"{where}: got '{expression}', '{item.strip()}' is not understood; allowed is {ALLOWED}")
        if match["slice"] is None:
            index = int(match["start"])
            if not -layers <= index < layers:
                raise ConfigError(
                    f"{where}: got '{expression}', the model has layers 0 to {layers - 1}, no layer {index}"
                )
            indices.add(index % layers)
        else:
            start, stop, step = (None if match[key] is None else int(match[key]) for key in ("start", "stop", "step"))
            if step == 0:
                raise ConfigError(f"{where}: got '{expression}', a step of 0 goes nowhere; allowed is {ALLOWED}")
            indices.update(range(layers)[start:stop:step])
    return sorted(indices)


def freeze(model: keras.Model, expression: str | int | None, where: str = "training.frozen_layers") -> int:
    """Makes the layers that `expression` names non-trainable, all others trainable; returns the number of frozen ones.

    None, "None" and "" leave everything trainable. Raises ConfigError also when nothing is left to train.
    """
    text = "" if expression is None else str(expression).strip()
    frozen = set() if text.lower() in ("", "none", "null") else set(frozen_indices(text, len(model.layers), where))
    model.trainable = True
    for index, layer in enumerate(model.layers):
        layer.trainable = index not in frozen
    if not model.trainable_weights:
        raise ConfigError(
            f"{where}: got '{expression}', which freezes every layer that has weights: nothing would be learnt"
        )
    if frozen:
        log.info(
            "%d of %d layers frozen, %d tensors left to train",
            len(frozen),
            len(model.layers),
            len(model.trainable_weights),
        )
    return len(frozen)


def dropout(model: keras.Model, rate: float | None, where: str = "training.dropout") -> int:
    """Sets `rate` (0 to 1) on every Dropout layer; returns how many. None leaves the model as it is.

    Raises ConfigError when the model has none.
    """
    from keras import layers, random

    if rate is None:
        return 0
    if not 0 <= rate < 1:
        raise ConfigError(f"{where}: got {rate}, allowed is a fraction from 0 up to but not including 1")
    found = [layer for layer in model._flatten_layers() if isinstance(layer, layers.Dropout)]
    if not found:
        raise ConfigError(f"{where}: got {rate}, but the model {model.name} has no Dropout layer; leave this key out")
    for layer in found:
        layer.rate = rate
        if rate and not hasattr(layer, "seed_generator"):
            # A layer that was built with rate 0 has no random state yet and is closed for new state.
            layer._tracker.unlock()
            layer.seed_generator = random.SeedGenerator(layer.seed)
            layer._tracker.lock()
    return len(found)

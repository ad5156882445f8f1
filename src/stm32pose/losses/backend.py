"""Keras's numeric functions for the losses, imported when a loss is made or called."""

from __future__ import annotations

from typing import Any


def keras_ops() -> Any:
    """keras.ops; its functions carry no types."""
    from keras import ops

    return ops

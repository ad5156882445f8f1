"""Losses of heat maps: y_true and y_pred float32 [B, h, w, K] -> [B, K]."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from stm32pose.losses.backend import keras_ops

_EPSILON = 1e-7


def formula(name: str, activation: str) -> Callable[[Any, Any], Any]:
    """The function for "mse", "cross_entropy" or "kl" on maps of that activation.

    - "mse": squared error summed over the cells, as a share of the squared target (an all-zero map costs 1). A mean
      over cells would start near 4e-4 at 48x48, with gradients close to the epsilon of Adam.
    - "cross_entropy": -sum over cells of t log p, in nats; t and p are divided by their sums first, so maps that are
      not a distribution are taken as shares. At 48x48 a uniform map costs ln 2304 against a one-pixel target; a
      perfect map costs the entropy of the target (0 for one pixel, 3.65 for a blob of sigma 1.5). With activation
      "empty" the outputs are logits, and p their softmax.
    - "kl": the cross-entropy less the entropy of the target, the Kullback-Leibler divergence: a perfect map costs 0.
      Its gradients are those of the cross-entropy.
    """
    if name == "mse":
        return squared_error
    plain = cross_entropy_logits if activation == "empty" else cross_entropy
    return plain if name == "cross_entropy" else partial(_divergence, plain)


def squared_error(y_true, y_pred):
    ops = keras_ops()
    energy = ops.sum(ops.square(y_true), axis=(1, 2))
    return ops.sum(ops.square(y_pred - y_true), axis=(1, 2)) / ops.where(energy > 0, energy, 1.0)


def cross_entropy(y_true, y_pred):
    ops = keras_ops()
    total = y_pred + 1e-15  # an all-zero map counts as uniform
    total = total / ops.sum(total, axis=(1, 2), keepdims=True)
    return -ops.sum(shares(y_true) * ops.log(ops.clip(total, _EPSILON, 1.0 - _EPSILON)), axis=(1, 2))


def cross_entropy_logits(y_true, y_pred):
    ops = keras_ops()
    target = shares(y_true)
    level = ops.logsumexp(y_pred, axis=(1, 2))
    return level * ops.sum(target, axis=(1, 2)) - ops.sum(target * y_pred, axis=(1, 2))


def labelled(y_true):
    """1.0 for a joint with a target, 0.0 for a map of zeros: float32 [B, K]."""
    ops = keras_ops()
    return ops.cast(ops.max(y_true, axis=(1, 2)) > 0, y_true.dtype)


def shares(y_true):
    """The target as a distribution; zeros where it is empty."""
    ops = keras_ops()
    total = ops.sum(y_true, axis=(1, 2), keepdims=True)
    return y_true / ops.where(total > 0, total, 1.0)


def _divergence(plain, y_true, y_pred):
    ops = keras_ops()
    target = shares(y_true)
    # t log t is 0 for t = 0; the floor keeps the logarithm finite.
    entropy = -ops.sum(target * ops.log(ops.maximum(target, 1e-30)), axis=(1, 2))
    return plain(y_true, y_pred) - entropy

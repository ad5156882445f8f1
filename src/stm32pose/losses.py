"""Losses of heat-map networks: a value a joint, so that unlabelled joints can be left out exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stm32pose.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import keras

LOSSES = ("mse", "cross_entropy", "cross_entropy_logits")
_EPSILON = 1e-7


def resolve_loss(loss: str, activation: str) -> str:
    """The name for `make_loss`.

    Args:
        loss: `training.loss`: "auto", "mse" or "cross_entropy".
        activation: of the heat maps: "sigmoid", "softmax" or "empty" (logits of a softmax).

    Raises:
        ConfigError: mean-squared error on logits.
    """
    if loss == "auto":
        loss = "mse" if activation == "sigmoid" else "cross_entropy"
    if activation == "empty":
        if loss == "mse":
            raise ConfigError(
                "training.loss: got mse with final_activation empty (logits); allowed: auto, cross_entropy"
            )
        return "cross_entropy_logits"
    return loss


def make_loss(name: str) -> keras.losses.Loss:
    """A Keras loss for maps y_true, y_pred float32 [B, h, w, K] and sample_weight [B, K].

    `call` gives [B, K], one value a joint; the loss is their mean weighted by sample_weight, so a joint of weight 0
    has no influence at all, and a batch without labelled joints costs 0.

    - "mse": squared error summed over the cells, as a share of the squared target (an all-zero map costs 1). A mean
      over cells would start near 4e-4 at 48x48, with gradients close to the epsilon of Adam.
    - "cross_entropy": -sum over cells of t log p, in nats; t and p are divided by their sums first, so maps that are
      not a distribution are taken as shares. At 48x48 a uniform map costs ln 2304 against a one-pixel target; a
      perfect map costs the entropy of the target (0 for one pixel, 3.65 for a blob of sigma 1.5).
    - "cross_entropy_logits": the same for logits of a softmax.

    Raises:
        ConfigError: there is no such loss.
    """
    import keras

    calls = {"mse": _squared_error, "cross_entropy": _cross_entropy, "cross_entropy_logits": _cross_entropy_logits}
    if name not in calls:
        allowed = ", ".join(LOSSES)
        raise ConfigError(f"training.loss: got {name!r}, allowed: {allowed}{did_you_mean(name, LOSSES)}")

    class HeatmapLoss(keras.losses.Loss):
        """A function of (y_true, y_pred) averaged over the labelled joints."""

        def call(self, y_true, y_pred):
            return calls[name](y_true, y_pred)

    return HeatmapLoss(name=name, reduction="mean_with_sample_weight")


def _squared_error(y_true, y_pred):
    ops = _ops()
    energy = ops.sum(ops.square(y_true), axis=(1, 2))
    return ops.sum(ops.square(y_pred - y_true), axis=(1, 2)) / ops.where(energy > 0, energy, 1.0)


def _cross_entropy(y_true, y_pred):
    ops = _ops()
    shares = y_pred + 1e-15  # an all-zero map counts as uniform
    shares = shares / ops.sum(shares, axis=(1, 2), keepdims=True)
    return -ops.sum(_shares(y_true) * ops.log(ops.clip(shares, _EPSILON, 1.0 - _EPSILON)), axis=(1, 2))


def _cross_entropy_logits(y_true, y_pred):
    ops = _ops()
    shares = _shares(y_true)
    level = ops.logsumexp(y_pred, axis=(1, 2))
    return level * ops.sum(shares, axis=(1, 2)) - ops.sum(shares * y_pred, axis=(1, 2))


def _shares(y_true):
    """The target as a distribution; zeros where it is empty."""
    ops = _ops()
    total = ops.sum(y_true, axis=(1, 2), keepdims=True)
    return y_true / ops.where(total > 0, total, 1.0)


def _ops() -> Any:
    """keras.ops; its functions carry no types."""
    from keras import ops

    return ops

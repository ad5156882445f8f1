"""Losses of SimCC: two distributions a joint, across and down, in one row of bins.

Outputs are logits float32 [B, K, (W + H) * split], the first W * split of them across. Targets have the same shape;
each half sums to 1, or both to 0 where the joint is not labelled. Losses are float32 [B, K], in nats, of both halves
together. Source: Li et al., SimCC, ECCV 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from stm32pose.losses.backend import keras_ops


def formula(name: str, input_shape: tuple[int, int]) -> Callable[[Any, Any], Any]:
    """The function (targets, outputs) -> [B, K] for "cross_entropy" or "kl".

    - "cross_entropy": -sum over bins of t log p, p the softmax of a half; the best there is costs the entropy of the
      targets (1.42 + ln sigma nats a half for a Gaussian of sigma bins).
    - "kl": less that entropy: the best there is costs 0. Its gradients are the same.

    Args:
        name: of the loss.
        input_shape: (H, W) of the network's input in pixels; says how many of the bins are across.
    """
    return partial(_both, {"cross_entropy": _cross_entropy, "kl": _divergence}[name], input_shape)


def halves(bins: Any, input_shape: tuple[int, int]) -> tuple[Any, Any]:
    """(across, down) of `bins` [..., (W + H) * split]."""
    height, width = input_shape
    across = bins.shape[-1] * width // (width + height)
    return bins[..., :across], bins[..., across:]


def _both(half: Callable[[Any, Any], Any], input_shape: tuple[int, int], y_true: Any, y_pred: Any) -> Any:
    pairs = zip(halves(y_true, input_shape), halves(y_pred, input_shape), strict=True)
    across, down = (half(target, logits) for target, logits in pairs)
    return across + down


def _cross_entropy(target: Any, logits: Any) -> Any:
    ops = keras_ops()
    level = ops.logsumexp(logits, axis=-1)
    return level * ops.sum(target, axis=-1) - ops.sum(target * logits, axis=-1)


def _divergence(target: Any, logits: Any) -> Any:
    ops = keras_ops()
    # t log t is 0 for t = 0; the floor keeps the logarithm finite.
    return _cross_entropy(target, logits) + ops.sum(target * ops.log(ops.maximum(target, 1e-30)), axis=-1)

"""Online hard keypoint mining: only the joints of an image that fit worst are learnt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stm32pose.losses.backend import keras_ops

MOST = 8
"""Joints that count where `topk` is not given, or half of them where that is less."""


def hardest(
    loss: Callable[[Any, Any], Any],
    labelled: Callable[[Any], Any],
    *,
    topk: int | None = None,
    whole: float = 0.0,
) -> Callable[[Any, Any], Any]:
    """A function (targets, outputs) -> [B, K] that is `loss` at the hardest labelled joints of every image.

    The values are scaled so that the mean over an image's labelled joints is the mean over the hardest ones alone.
    Which ones these are is a choice without a gradient. Source: Chen et al., Cascaded Pyramid Network, CVPR 2018
    (8 of 17); Blueoil adds the mean over all joints (`whole: 1`).

    Args:
        loss: (targets, outputs) -> [B, K].
        labelled: targets -> [B, K], 1.0 where labelled.
        topk: how many joints count, at most; None: 8, or half of them (rounded up) where that is less.
        whole: what is added of the loss of all joints.
    """

    def call(y_true: Any, y_pred: Any) -> Any:
        ops = keras_ops()
        losses, known = loss(y_true, y_pred), labelled(y_true)
        count = int(losses.shape[-1])
        most = min(count, int(topk) if topk else min(MOST, -(-count // 2)))
        ranked: Any = ops.stop_gradient(ops.where(known > 0, losses, -1.0))
        _, hard = ops.top_k(ranked, most)
        chosen = ops.sum(ops.one_hot(hard, count, dtype=losses.dtype), axis=1) * known
        total = ops.sum(known, axis=1, keepdims=True)
        scale = total / ops.maximum(ops.minimum(total, float(most)), 1.0)
        return losses * (chosen * scale + whole)

    return call

"""Losses of keypoints given directly: targets and outputs (y, x, score) as shares of the input -> [B, K].

Targets are [B, 1, 1, K, 3], outputs [B, 1, 1, K, 3] or [B, 1, K, 3]; score 1 in the targets of labelled joints.
Errors are measured in pixels of the network's input, in y and in x, so that `omega`, `epsilon` and `beta` mean the same
for every input size and for inputs that are not square.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from stm32pose.losses.backend import keras_ops

SCORE_SCALE = 0.05
"""The error that lowers the wanted score to 1/e, as a share of the input's side (the square root of its area)."""
_EPSILON = 1e-6


def formula(name: str, input_shape: tuple[int, int], *, score: float, **arguments: float) -> Callable[[Any, Any], Any]:
    """The function (targets, outputs) -> [B, K] for "l1", "smooth_l1", "wing" or "mse".

    Each is the mean over y and x of a function of the error d in input pixels:

    - "l1": |d|.
    - "smooth_l1": d^2 / (2 beta) below beta, |d| - beta/2 from there (Girshick, Fast R-CNN, ICCV 2015).
    - "wing": omega ln(1 + |d|/epsilon) below omega, |d| - C from there, C = omega - omega ln(1 + omega/epsilon), which
      joins the two (Feng et al., Wing Loss, CVPR 2018).
    - "mse": d^2.

    None of them teaches the score, so `score` times the binary cross-entropy of it is added: the score wanted is
    exp(-distance / tau), tau a twentieth of the input's side, taken as it is (no gradient flows into the distance).
    A score then tells how near its keypoint is: 1 for a perfect one, 0.37 at tau.

    Args:
        name: of the loss.
        input_shape: (H, W) of the network's input in pixels.
        score: weight of the score's term.
        arguments: those of the loss.
    """
    penalty = _PENALTIES[name](**arguments)
    height, width = input_shape
    tau = SCORE_SCALE * math.sqrt(height * width)

    def call(y_true: Any, y_pred: Any) -> Any:
        ops = keras_ops()
        target, output = rows(y_true), rows(y_pred)
        error = (output[..., :2] - target[..., :2]) * ops.convert_to_tensor([height, width], dtype=output.dtype)
        losses = ops.mean(penalty(error), axis=-1)
        if score:
            distance = ops.stop_gradient(ops.sqrt(ops.sum(ops.square(error), axis=-1)))
            losses = losses + score * _binary_cross_entropy(ops.exp(-distance / tau), output[..., 2])
        return losses

    return call


def rows(values: Any) -> Any:
    """[B, ..., K, 3] as [B, K, 3]."""
    ops = keras_ops()
    return ops.reshape(values, (-1, values.shape[-2], 3))


def _binary_cross_entropy(target: Any, score: Any) -> Any:
    ops = keras_ops()
    likely = ops.clip(score, _EPSILON, 1.0 - _EPSILON)
    return -target * ops.log(likely) - (1.0 - target) * ops.log(1.0 - likely)


def _l1() -> Callable[[Any], Any]:
    ops = keras_ops()
    return ops.abs


def _squared() -> Callable[[Any], Any]:
    ops = keras_ops()
    return ops.square


def _smooth_l1(beta: float) -> Callable[[Any], Any]:
    ops = keras_ops()

    def penalty(error: Any) -> Any:
        size = ops.abs(error)
        return ops.where(size < beta, ops.square(error) / (2 * beta), size - beta / 2)

    return penalty


def _wing(omega: float, epsilon: float) -> Callable[[Any], Any]:
    ops = keras_ops()
    joint = omega - omega * math.log1p(omega / epsilon)

    def penalty(error: Any) -> Any:
        size = ops.abs(error)
        return ops.where(size < omega, omega * ops.log1p(size / epsilon), size - joint)

    return penalty


_PENALTIES: dict[str, Callable[..., Callable[[Any], Any]]] = {
    "l1": _l1,
    "mse": _squared,
    "smooth_l1": _smooth_l1,
    "wing": _wing,
}

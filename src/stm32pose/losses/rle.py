"""Residual log-likelihood estimation: keypoints with their uncertainty, and a flow that learns how errors are spread.

Source: Li et al., Human Pose Regression with Residual Log-likelihood Estimation, ICCV 2021; the flow is RealNVP (Dinh
et al., Density Estimation using Real NVP, ICLR 2017).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from stm32pose.losses.backend import keras_ops
from stm32pose.losses.regression import rows

if TYPE_CHECKING:
    import keras

LEAST_SIGMA = 0.002
"""Added to sigma, in shares of the input: 0.4 pixels at 192. Without it the likelihood of images learnt by heart has no
upper bound; an int8 score cannot tell less than 0.004 either."""
COUPLINGS = 6
WIDTH = 64


def make_rle(*, distribution: str = "laplace", residual: float = 1.0) -> keras.losses.Loss:
    """The loss of outputs (y, x, score) in shares of the input, sigma = 1 - score + LEAST_SIGMA.

    With the error e = (output - target) / sigma, [B, K, 2], `call` gives, [B, K] in nats,

        2 ln sigma - ln f(e)  +  residual * (2 ln sigma - ln q(e))

    f is the density of the flow: errors are traced back through it to `distribution`, scale 1, with the change of
    volume on the way. q is `distribution` itself. Both are likelihoods of the same error: the second gives gradients
    that do not wait for the flow, so that it need only learn what is left, the residual. It may be below 0.

    As the flow starts as the identity, the loss starts as that of `distribution`; with "laplace" its gradients stay
    bounded. (In the paper the flow starts from a normal distribution in either case.)

    Args:
        distribution: "laplace" or "gaussian".
        residual: weight of the second part; 0: the flow alone.

    Returns:
        A loss whose `layers` hold the flow; they learn with the network, and are not part of it.
    """
    import keras

    ops = keras_ops()
    flow = make_flow()
    log_density = {"laplace": _log_laplace, "gaussian": _log_gaussian}[distribution]

    class ResidualLogLikelihood(keras.losses.Loss):
        """See `make_rle`."""

        def __init__(self):
            super().__init__(name="rle", reduction="mean_with_sample_weight")
            self.layers = [flow]

        def call(self, y_true, y_pred):
            target, output = rows(y_true), rows(y_pred)
            sigma: Any = ops.clip(1.0 - output[..., 2], 0.0, 1.0) + LEAST_SIGMA
            error = (output[..., :2] - target[..., :2]) / sigma[..., None]
            scale: Any = 2.0 * ops.log(sigma)
            origin, log_volume = flow(error)
            losses: Any = scale - log_density(origin) - log_volume
            if residual:
                losses = losses + residual * (scale - log_density(error))
            return losses

    return ResidualLogLikelihood()


def make_flow(couplings: int = COUPLINGS, width: int = WIDTH) -> keras.layers.Layer:
    """The flow, built: a layer that takes points [..., 2] to (their origins [..., 2], ln |d origin / d point| [...]).

    Each coupling moves one coordinate, in turn, by what a small network of the other one says: z' = (z - t) e^(-s), s
    between -1 and 1. All weights are float32 whatever the policy, and start so small that the flow is nearly the
    identity.
    """
    import keras
    from keras import layers

    ops: Any = keras_ops()

    def network(index: int) -> list[keras.layers.Layer]:
        small: Any = keras.initializers.VarianceScaling(1e-4, "fan_avg", "uniform")
        return [
            layers.Dense(width, dtype="float32", name=f"coupling_{index}_in"),
            layers.LeakyReLU(0.01, dtype="float32", name=f"coupling_{index}_in_act"),
            layers.Dense(width, dtype="float32", name=f"coupling_{index}_middle"),
            layers.LeakyReLU(0.01, dtype="float32", name=f"coupling_{index}_middle_act"),
            layers.Dense(2, kernel_initializer=small, dtype="float32", name=f"coupling_{index}_out"),
        ]

    class Flow(layers.Layer):
        """See `make_flow`."""

        def __init__(self):
            super().__init__(dtype="float32", name="rle_flow")
            self.networks = [keras.Sequential(network(index), name=f"coupling_{index}") for index in range(couplings)]
            for inner in self.networks:
                inner.build((None, 1))
            self.built = True

        def call(self, points):
            parts = [points[..., :1], points[..., 1:]]
            log_volume: Any = 0.0
            for index, inner in enumerate(self.networks):
                moved = index % 2
                terms = inner(ops.reshape(parts[1 - moved], (-1, 1)))
                terms = ops.reshape(terms, (*ops.shape(points)[:-1], 2))
                stretch = ops.tanh(terms[..., :1])
                parts[moved] = (parts[moved] - terms[..., 1:]) * ops.exp(-stretch)
                log_volume = log_volume - stretch[..., 0]
            return ops.concatenate(parts, axis=-1), log_volume

    return Flow()


def _log_laplace(points: Any) -> Any:
    """ln of the density of two independent Laplace variables of scale 1."""
    ops = keras_ops()
    return -ops.sum(ops.abs(points), axis=-1) - 2 * math.log(2)


def _log_gaussian(points: Any) -> Any:
    """ln of the density of two independent normal variables of deviation 1."""
    ops = keras_ops()
    return -0.5 * ops.sum(ops.square(points), axis=-1) - math.log(2 * math.pi)

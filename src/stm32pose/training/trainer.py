"""The network as `fit` trains it. Imports Keras: import this module inside the step that trains."""

from __future__ import annotations

from typing import Any

import keras


class Trainer(keras.Model):
    """The layers of a network with a loss over all its outputs at once, and whatever learns beside it.

    Attributes:
        joint_loss: gives [B, K] for (targets, outputs): tensors, or lists of them where there are several outputs.
        learning: further layers that learn with the network and are not saved with it (`joint_loss.layers`).
    """

    def __init__(self, model: keras.Model, loss: keras.Loss):
        super().__init__(model.inputs, _alone(model.outputs), name=model.name)
        self.joint_loss = loss
        self.learning = list(getattr(loss, "layers", ()))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True) -> Any:
        """Mean over the keypoints weighted by `sample_weight` [B, K], and what layers add (regularizers)."""
        total: Any = self.joint_loss(y, y_pred, sample_weight=sample_weight)
        for extra in self.losses:
            total = total + keras.ops.sum(extra)
        return total


def _alone(outputs: list) -> Any:
    return outputs[0] if len(outputs) == 1 else outputs

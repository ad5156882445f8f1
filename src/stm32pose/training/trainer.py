"""The network as `fit` trains it. Imports Keras: import this module inside the step that trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING:
    from stm32pose.training.distillation import Teacher


class Trainer(keras.Model):
    """The layers of a network with a loss over all its outputs at once, and whatever learns beside it.

    Attributes:
        joint_loss: gives [B, K] for (targets, outputs): tensors, or lists of them where there are several outputs.
        learning: further layers that learn with the network and are not saved with it (`joint_loss.layers`).
        teacher: a network that it learns from too, or None. Its variables are none of this model's. What it adds is a
            figure of the epoch, `distillation`.
    """

    def __init__(self, model: keras.Model, loss: keras.Loss, teacher: Teacher | None = None):
        super().__init__(_alone(model.inputs), _alone(model.outputs), name=model.name)
        self.joint_loss = loss
        self.learning = list(getattr(loss, "layers", ()))
        self.teacher = teacher
        if teacher is not None:
            self.distilled = keras.metrics.Mean(name="distillation")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True) -> Any:
        """Mean over the keypoints weighted by `sample_weight` [B, K], the teacher's share, and what layers add."""
        total: Any = self.joint_loss(y, y_pred, sample_weight=sample_weight)
        if self.teacher is not None:
            distance = self.teacher(x, y_pred)
            self.distilled.update_state(distance)
            share = self.teacher.weight
            total = (1.0 - share) * total + share * distance
        for extra in self.losses:
            total = total + keras.ops.sum(extra)
        return total


def _alone(tensors: list) -> Any:
    return tensors[0] if len(tensors) == 1 else tensors

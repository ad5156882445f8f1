"""How much each joint of a batch counts in the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stm32pose.errors import ConfigError

if TYPE_CHECKING:
    from stm32pose.config.model_sections import Training
    from stm32pose.skeletons.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class JointWeights:
    """Factors on the weights that a codec gives.

    Attributes:
        joints: float32 [K], a factor a joint.
        occluded: factor of joints that are labelled and hidden (visibility 1).
        visible: factor of joints that are labelled and seen (visibility 2).
    """

    joints: np.ndarray
    occluded: float = 1.0
    visible: float = 1.0

    def __call__(self, weights: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        """The weights of a batch.

        Args:
            weights: float32 [B, K] of the codec, 0 where a joint is not labelled or outside the input.
            keypoints: [B, N, K, 3], (x, y, visibility), what the codec encoded. Where people share an image, a joint is
                as visible as that of the one who is seen best.

        Returns:
            float32 [B, K], 0 where `weights` is.
        """
        factors = np.where(keypoints[..., 2].max(axis=1) > 1, self.visible, self.occluded)
        return (weights * factors * self.joints).astype(np.float32)


def joint_weights(training: Training, skeleton: Skeleton) -> JointWeights:
    """What `training.visibility_weights` and `training.joint_weights` ask for.

    Raises:
        ConfigError: the list has another length than the skeleton, or the skeleton has no weights of its own.
    """
    given = training.joint_weights
    if isinstance(given, list) and len(given) != skeleton.count:
        raise ConfigError(
            f"training.joint_weights: got {len(given)} numbers; expected {skeleton.count}, one a keypoint of "
            f"{skeleton.name}"
        )
    if given is True and skeleton.weights is None:
        raise ConfigError(
            f"training.joint_weights: the skeleton {skeleton.name} has no weights; add `weights:` to its YAML, or "
            f"write a list of {skeleton.count} numbers here"
        )
    values = skeleton.weights if given is True else given or np.ones(skeleton.count)
    factors = training.visibility_weights
    return JointWeights(np.asarray(values, np.float32), factors.occluded, factors.visible)

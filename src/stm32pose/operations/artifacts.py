"""What one step hands to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stm32pose.config.suffixes import model_kind
from stm32pose.errors import ConfigError

if TYPE_CHECKING:
    import keras

    from stm32pose.benchmark.developer_cloud.client import CloudClient
    from stm32pose.codecs.poses import Poses
    from stm32pose.data.splits import Splits
    from stm32pose.skeletons.skeleton import Skeleton

T = TypeVar("T")


def needed(section: T | None, name: str) -> T:
    """A section that this step cannot do without. ConfigError: it is missing."""
    if section is None:
        raise ConfigError(f"{name}: missing section; the operation mode has a step that needs it")
    return section


def input_shape(model: keras.Model) -> tuple[int, int, int]:
    """(H, W, C) of a Keras model's only input. ConfigError: it has another kind of input."""
    shape = tuple(model.inputs[0].shape[1:])
    if len(model.inputs) != 1 or len(shape) != 3 or None in shape:
        raise ConfigError(
            f"model: got inputs {[tuple(i.shape) for i in model.inputs]}; allowed: one of (None, H, W, C)"
        )
    return int(shape[0]), int(shape[1]), int(shape[2])


@dataclass(frozen=True, eq=False)
class Measured:
    """One model on one set: `poses` in image pixels; `results` as `evaluate_poses` gives them.

    Poses that score less than `confidence` are candidates that count for AP alone.
    """

    path: Path
    label: str
    poses: list[Poses]
    results: dict[str, Any]
    seconds: float
    invoke_seconds: float
    confidence: float = 0.0


@dataclass(frozen=True)
class Artifacts:
    """Models made or given so far, and the data they are made from.

    Attributes:
        models: model files in the order they appeared; the last one is what the next step works on.
        measured: accuracy and poses of the models evaluated so far, to draw them beside the next ones.
        skeleton: the keypoints, where a step needs labels.
        splits: the sets of images, where a step needs them.
        cloud: ST's Developer Cloud, logged in, where a step goes there.
    """

    models: tuple[Path, ...] = ()
    measured: tuple[Measured, ...] = ()
    skeleton: Skeleton | None = None
    splits: Splits | None = None
    cloud: CloudClient | None = None

    @property
    def latest(self) -> Path:
        """The newest model. ConfigError: there is none."""
        if not self.models:
            raise ConfigError("model.model_path: missing; this step needs a model and no earlier step makes one")
        return self.models[-1]

    @property
    def float_model(self) -> Path:
        """The newest model that can be quantized. ConfigError: there is none."""
        for path in reversed(self.models):
            if model_kind(path) in ("keras", "onnx"):
                return path
        got = f"got {self.latest}" if self.models else "missing"
        raise ConfigError(f"model.model_path: {got}; quantization needs a float model (.keras, .h5 or .onnx)")

    def images(self) -> Splits:
        """The sets of images. ConfigError: the configuration names none."""
        if self.splits is None:
            raise ConfigError(
                "dataset: no images are given; set dataset.training_path, validation_path or test_path "
                "(quantization can also use quantization_path)"
            )
        return self.splits

    def labelled(self) -> tuple[Skeleton, Splits]:
        """Skeleton and sets of labelled images. ConfigError: the configuration names none."""
        splits = self.images()
        if self.skeleton is None:
            raise ConfigError("dataset.keypoints: missing; this step reads labels, so it needs keypoints or a skeleton")
        return self.skeleton, splits

    def with_model(self, path: Path) -> Artifacts:
        return replace(self, models=(*self.models, path))

    def with_measured(self, found: Measured) -> Artifacts:
        return replace(self, measured=(*self.measured, found))

"""`Config`: the whole configuration, one class a section, whatever layout (3.x or 4.x) the file was written in."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from stm32pose.config.base import Section
from stm32pose.config.data_sections import Dataset, Preprocessing
from stm32pose.config.model_sections import General, Model, Postprocessing, Training
from stm32pose.config.target_sections import (
    Benchmarking,
    ClearML,
    Deployment,
    Evaluation,
    Export,
    Mlflow,
    Prediction,
    Quantization,
    Tools,
)
from stm32pose.errors import did_you_mean

# Letters of each service; training ends with an evaluation of the best model, as in ST's releases.
MODES = {
    "training": "te",
    "evaluation": "e",
    "quantization": "q",
    "benchmarking": "b",
    "prediction": "p",
    "deployment": "d",
    "export": "x",
}
STEPS = {"t": "train", "e": "evaluate", "q": "quantize", "b": "benchmark", "p": "predict", "d": "deploy", "x": "export"}


# The twelve modes of ST's releases; any other chain of letters works as well.
ST_MODES = (
    *(mode for mode in MODES if mode != "export"),
    "chain_tqe",
    "chain_tqeb",
    "chain_eqe",
    "chain_eqeb",
    "chain_qb",
    "chain_qd",
)


def mode_steps(mode: str) -> tuple[str, ...]:
    """The steps of an operation mode, in order. ValueError: there is no such mode."""
    letters = mode.removeprefix("chain_") if mode.startswith("chain_") else MODES.get(mode, "")
    if not letters or not set(letters) <= set(STEPS):
        raise ValueError(
            f"expected {', '.join(MODES)}, or chain_ and letters of t q e b p d x, such as chain_tqeb"
            f"{did_you_mean(mode, ST_MODES)}"
        )
    return tuple(STEPS[letter] for letter in letters)


class Config(Section):
    """A validated configuration."""

    operation_mode: str
    """A service (training, evaluation, quantization, benchmarking, prediction, deployment, export) or `chain_` and
    letters of t(rain) e(valuate) q(uantize) b(enchmark) p(redict) d(eploy) (e)x(port), in the order to run. Instead of
    it a list serves: `steps: [train, quantize, evaluate]`."""
    general: General = General()
    """Names, folders, seeds and hardware limits of a run."""
    model: Model = Model()
    """Which network."""
    dataset: Dataset = Dataset()
    """Images and labels."""
    preprocessing: Preprocessing = Preprocessing()
    """From a decoded image to the network's input."""
    data_augmentation: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Random changes of training images, in order; each with its arguments (see docs/augmentation.md)."""
    training: Training | None = None
    """Optimizer, duration, callbacks."""
    postprocessing: Postprocessing = Postprocessing()
    """From network outputs to poses."""
    quantization: Quantization | None = None
    """From the float model to int8."""
    evaluation: Evaluation = Evaluation()
    """Accuracy of the models."""
    prediction: Prediction = Prediction()
    """Poses of images without labels."""
    tools: Tools = Tools()
    """Programs outside this project."""
    benchmarking: Benchmarking | None = None
    """Cost of the model on a board."""
    deployment: Deployment | None = None
    """Application on the board."""
    export: Export = Export()
    """C code of the int8 model, without anybody's library."""
    mlflow: Mlflow | None = None
    """Experiment tracking; absent: the run folder alone."""
    clearml: ClearML | None = None
    """Tracking with ClearML; absent: none."""

    @field_validator("operation_mode")
    @classmethod
    def _known_mode(cls, mode: str) -> str:
        mode_steps(mode)
        return mode

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps to run, in order: of `train evaluate quantize benchmark predict deploy export`."""
        return mode_steps(self.operation_mode)

"""Keras files through TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stm32pose.errors import ConfigError
from stm32pose.inference.runner import ModelIO, Runner
from stm32pose.inference.tensors import TensorInfo


class KerasRunner(Runner):
    """A .keras or .h5 file: float, any batch, all cores."""

    kind = "keras"

    def __init__(self, path: Path, *, rescaling: tuple[float, float]) -> None:
        import tensorflow as tf

        from stm32pose.models.load import final_activation, load_model

        model = load_model(path)
        if len(model.inputs) != 1:
            raise ConfigError(f"{path}: got {len(model.inputs)} inputs; a pose model has one image input")
        io = ModelIO(
            input=_tensor_info(model.inputs[0], path),
            outputs=tuple(_tensor_info(output, path) for output in model.outputs),
            batch=model.inputs[0].shape[0],
            layout="NHWC",
            quantized=False,
        )
        super().__init__(path, io, rescaling)
        self.activation = final_activation(model)
        # One trace for every batch size: the last batch of a set is a partial one.
        signature = tf.TensorSpec((io.batch, *io.input.shape), io.input.dtype)
        self._function = tf.function(lambda images: model(images, training=False), input_signature=[signature])

    def _invoke(self, inputs: np.ndarray) -> Sequence[np.ndarray]:
        outputs = self._function(inputs)
        return [output.numpy() for output in (outputs if isinstance(outputs, list | tuple) else [outputs])]


def _tensor_info(tensor: object, path: Path) -> TensorInfo:
    name, shape, dtype = (getattr(tensor, attribute) for attribute in ("name", "shape", "dtype"))
    if not all(isinstance(size, int) for size in shape[1:]):
        raise ConfigError(f"{path}: tensor '{name}' has shape {list(shape)}; only the batch may be open")
    return TensorInfo(str(name), tuple(shape[1:]), str(dtype))

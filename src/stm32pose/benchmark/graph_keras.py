"""`Graph` of a Keras file, trained or not: what the int8 conversion would make of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stm32pose.benchmark.graph import Graph
from stm32pose.errors import UserError

if TYPE_CHECKING:
    import keras


def read_keras(path: Path) -> Graph:
    """The graph of a .keras or .h5 file, see `graph_of_model`."""
    from stm32pose.models.load import load_model

    return graph_of_model(load_model(path), path)


def graph_of_model(model: keras.Model, path: Path | None = None) -> Graph:
    """The graph of a model in memory, read as if quantized to int8.

    The float TFLite conversion folds batch normalisation and fuses activations exactly as the int8 one does, so that
    the operators, shapes and weights are those of the file that quantization would write; only the types are exchanged.

    Raises:
        ConfigError: several inputs, or an open height or width.
        UserError: a layer that TFLite has no operator for.
    """
    from stm32pose.benchmark.graph_tflite import build_graph
    from stm32pose.inference.keras_export import convert, tflite_converter
    from stm32pose.inference.tflite_file import read_raw

    path = path or Path(f"{model.name}.keras")
    raw = read_raw(convert(tflite_converter(model), str(path)), path)
    unknown = sorted({op.kind for op in raw.ops if op.kind.startswith("Flex")})
    if unknown:
        raise UserError(f"{path}: TFLite has no operator for {', '.join(unknown)}")
    return build_graph(raw, path, source="keras")

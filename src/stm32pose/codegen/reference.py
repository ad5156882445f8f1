"""What a network computes according to the runtime whose arithmetic the C code reproduces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stm32pose.codegen.network import Network, Tensor
from stm32pose.errors import UserError, first_line


def random_inputs(network: Network, seed: int = 0) -> list[np.ndarray]:
    """One input of uniform noise for each input of a network, in its own layout (channels last) and type."""
    random = np.random.default_rng(seed)
    return [_random(network.tensors[index], random) for index in network.inputs]


def _random(tensor: Tensor, random: np.random.Generator) -> np.ndarray:
    if tensor.dtype.startswith("float"):
        return random.random(tensor.shape, np.float32)
    limits = np.iinfo(tensor.dtype)
    return random.integers(max(limits.min, -128), min(limits.max, 255), tensor.shape, tensor.dtype, endpoint=True)


def run_reference(model: Path | bytes, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outputs of LiteRT's reference kernels (BUILTIN_REF), which the C code equals byte for byte.

    Args:
        model: a .tflite file or its content.
        inputs: arrays of the inputs' shapes and types.

    Raises:
        UserError: LiteRT cannot load or run it.
    """
    interpreter = open_reference(model)
    for details, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(details["index"], values)
    try:
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"LiteRT cannot run it: {first_line(error)}") from error
    return [np.array(interpreter.get_tensor(details["index"])) for details in interpreter.get_output_details()]


def open_reference(model: Path | bytes) -> Any:
    """An interpreter with the reference kernels, tensors allocated. UserError: LiteRT cannot load the model."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from stm32pose.inference.quiet import quiet_streams

    content = model if isinstance(model, bytes) else model.read_bytes()
    try:
        with quiet_streams():
            interpreter = Interpreter(
                model_content=content,
                experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
                num_threads=1,
            )
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"LiteRT cannot load it: {first_line(error)}") from error
    return interpreter


def expected_outputs(network: Network, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outputs, channels last, of the runtime whose arithmetic the network's C code reproduces.

    Args:
        network: read from its file; the file itself is run.
        inputs: channels last.

    Raises:
        UserError: the runtime cannot load or run the file.
    """
    if network.rounding == "tflite":
        return run_reference(network.path, inputs)
    return _run_onnx(network, inputs)


def _run_onnx(network: Network, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(network.path), options, providers=["CPUExecutionProvider"])
        names = [item.name for item in session.get_inputs()]
        given = [values.transpose(0, 3, 1, 2) if _turned(network, values) else values for values in inputs]
        made = session.run(None, dict(zip(names, map(np.ascontiguousarray, given), strict=True)))
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's own errors derive from nothing narrower
        raise UserError(f"{network.path}: ONNX Runtime cannot run it: {first_line(error)}") from error
    turned = [np.asarray(values) for values in made]
    return [
        values.transpose(0, 2, 3, 1) if network.channels_first and values.ndim == 4 else values for values in turned
    ]


def _turned(network: Network, values: np.ndarray) -> bool:
    return network.channels_first and values.ndim == 4

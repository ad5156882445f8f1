"""What a network computes according to the runtime whose arithmetic the C code reproduces."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stm32pose.codegen.network import Network, Tensor, read_network
from stm32pose.errors import UserError, first_line
from stm32pose.processes import run_program

LONGEST_S = 300.0
"""Of one inference in a process of its own."""
SOURCES = Path(__file__).resolve().parents[2]


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

    content = _with_known_versions(model if isinstance(model, bytes) else model.read_bytes())
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


REFERENCE_VERSIONS = {"TILE": 2}
"""Newest version of an operator that LiteRT's table of reference kernels lists, where files in use have a newer one.

The kernel is the same: the number only tells which types may come.
"""


def _with_known_versions(content: bytes) -> bytes:
    """The file with version numbers that the reference kernels' table lists."""
    from ai_edge_litert import schema_py_generated as schema

    from stm32pose.inference.tflite_file import DAMAGE

    changed = bytearray(content)
    try:
        model = schema.Model.GetRootAs(content, 0)
        for index in range(model.OperatorCodesLength()):
            code: Any = model.OperatorCodes(index)
            for kind, newest in REFERENCE_VERSIONS.items():
                if code.BuiltinCode() == getattr(schema.BuiltinOperator, kind) and code.Version() > newest:
                    place = code._tab.Pos + code._tab.Offset(8)  # third field of the table: vtable slot 4 + 2 * 2
                    changed[place : place + 4] = newest.to_bytes(4, "little")
    except DAMAGE:
        return content  # LiteRT will say what is wrong
    return bytes(changed)


def expected_outputs(network: Network, inputs: Sequence[np.ndarray], *, seconds: float = LONGEST_S) -> list[np.ndarray]:
    """Outputs, channels last, that the network's C code gives to the byte.

    Those of LiteRT; for an ONNX network those of the rounding rule, from which ONNX Runtime itself strays now and then
    (docs/c_code.md). LiteRT runs in a process of its own: on a damaged file it may end the process that it runs in.

    Args:
        network: read from its file; the file itself is run.
        inputs: channels last.
        seconds: the longest that it may take.

    Raises:
        UserError: the runtime cannot load or run the file, crashed on it, or took too long.
    """
    if network.rounding == "onnx":
        from stm32pose.codegen.onnx_integers import run_integers

        return run_integers(read_network(network.path), inputs)
    name = "LiteRT"
    request = {"path": str(network.path.absolute())}
    with tempfile.TemporaryDirectory(prefix="stm32pose-reference-") as temporary:
        folder = Path(temporary)
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        np.savez(folder / "inputs.npz", *inputs)
        try:
            done = run_program(
                [sys.executable, "-P", "-m", "stm32pose.codegen.reference_child", folder],
                env={
                    "PYTHONPATH": os.pathsep.join([str(SOURCES), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
                },
                timeout_s=seconds,
            )
        except UserError as error:
            raise UserError(f"{network.path}: {name} cannot run it: {first_line(error)}") from error
        problem = folder / "error.txt"
        if done.returncode == 1 and problem.is_file():
            raise UserError(f"{network.path}: {problem.read_text(encoding='utf-8')}")
        if done.returncode or not (folder / "outputs.npz").is_file():
            raise UserError(f"{network.path}: {name} crashed on it (status {done.returncode}); is the file damaged?")
        with np.load(folder / "outputs.npz") as stored:
            outputs = [stored[f"arr_{place}"] for place in range(len(stored.files))]
    if len(outputs) != len(network.outputs):
        raise UserError(f"{network.path}: {name} makes {len(outputs)} outputs; the file says {len(network.outputs)}")
    for index, values in zip(network.outputs, outputs, strict=True):
        tensor = network.tensors[index]
        if values.nbytes != tensor.bytes:
            raise UserError(
                f"{network.path}: {name} makes shape {list(values.shape)} of the output '{tensor.name}'; the file says "
                f"{list(tensor.shape)}"
            )
    return outputs

"""How a network stores its input in integers: what the file says, also where its input is a float that it quantizes."""

from __future__ import annotations

from pathlib import Path

from stm32pose.inference.input_range import input_steps
from stm32pose.inference.tensors import TensorInfo


def stored_input(tensor: TensorInfo, path: Path) -> TensorInfo | None:
    """The input in 8 bits: `tensor` itself, or what the file's first operator makes of a float; None: neither.

    Args:
        tensor: the file's input.
        path: the file.

    Raises:
        UserError: the file cannot be read.
    """
    if not tensor.scale:
        steps = input_steps(path) if path.is_file() else None
        tensor = TensorInfo(tensor.name, tensor.shape, *steps) if steps else tensor
    return tensor if tensor.dtype in ("int8", "uint8") else None

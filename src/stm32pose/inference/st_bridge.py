"""The program that holds the connection to ST's runtime: run in a process of its own by `st_runner`.

ST's package `stm_ai_runner` (part of ST Edge AI Core) talks to a board's validation firmware or to the generated host
library. It lives in this child alone, where PYTHONPATH names it: its imports, prints and hanging serial ports stay out
of ours. Both sides exchange frames: 4 bytes with the length of a JSON header (big endian), the header, and the arrays
that its `sizes` announce, each as a .npy file without pickles.

    child, once connected    {inputs, outputs, about} or {error}
    parent                   {} and the inputs
    child                    {ms: device time of each image or null} and the outputs, or {error}
"""

from __future__ import annotations

import io
import json
import os
import struct
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

LONGEST_HEADER = 1 << 24


def write_frame(stream: BinaryIO, header: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
    """Send one frame. OSError: the other side is gone."""
    parts = []
    for array in arrays:
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
        parts.append(buffer.getvalue())
    text = json.dumps({**header, "sizes": [len(part) for part in parts]}).encode()
    stream.write(struct.pack(">I", len(text)) + text)
    for part in parts:
        stream.write(part)
    stream.flush()


def read_frame(stream: BinaryIO) -> tuple[dict[str, Any], list[np.ndarray]] | None:
    """One frame, or None where the other side has closed the stream. ValueError: what came is no frame."""
    start = stream.read(4)
    if len(start) < 4:
        return None
    (length,) = struct.unpack(">I", start)
    if length > LONGEST_HEADER:
        raise ValueError(f"a header of {length} bytes")
    header = json.loads(_exactly(stream, length))
    arrays = [np.load(io.BytesIO(_exactly(stream, size)), allow_pickle=False) for size in header.pop("sizes")]
    return header, arrays


def _exactly(stream: BinaryIO, length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise ValueError("the stream ended inside a frame")
    return content


def describe(tensor: Any) -> dict[str, Any]:
    """An input or output as ST's package tells it; scale and zero point are lists, arrays or numbers by version."""
    told = [getattr(tensor, name, None) for name in ("scale", "zero_point")]
    scale, zero_point = (np.ravel(0 if value is None else value) for value in told)
    return {
        "name": str(tensor.name),
        "shape": [int(size or 1) for size in tensor.shape],
        "dtype": np.dtype(tensor.dtype).name,
        "scale": float(np.float32(scale[0])) if scale.size else 0.0,
        "zero_point": int(zero_point[0]) if zero_point.size else 0,
    }


def serve(descriptor: str, requests: BinaryIO, answers: BinaryIO) -> int:
    """Connect, tell the tensors, then answer requests until the parent closes its end. Returns the exit status."""
    try:
        make_runner = _runner_class()
    except ImportError as error:
        write_frame(answers, {"error": f"stm_ai_runner cannot be imported: {error}", "kind": "package"})
        return 1
    runner = make_runner()
    try:
        if not runner.connect(descriptor):
            reason = str(runner.get_error() or "no answer")
            write_frame(answers, {"error": reason, "kind": "connect"})
            return 1
        inputs = [describe(tensor) for tensor in runner.get_inputs()]
        outputs = [describe(tensor) for tensor in runner.get_outputs()]
        write_frame(answers, {"inputs": inputs, "outputs": outputs, "about": str(runner)})
        while (request := read_frame(requests)) is not None:
            values, profile = runner.invoke(request[1], disable_pb=True)
            times = profile.get("c_durations") if isinstance(profile, dict) else None
            told = [float(value) for value in times] if times else None
            write_frame(answers, {"ms": told}, [np.asarray(value) for value in values])
    except Exception as error:  # noqa: BLE001  (whatever ST's package raises is told to the parent)
        write_frame(answers, {"error": f"{type(error).__name__}: {' '.join(str(error).split())}", "kind": "invoke"})
        return 1
    finally:
        runner.disconnect()
    return 0


def _runner_class() -> Any:
    """ST's `AiRunner`. Older copies carry protobuf code that newer protobuf only reads in its Python implementation."""
    try:
        from stm_ai_runner import AiRunner  # pyright: ignore[reportMissingImports]
    except TypeError as error:
        if "Descriptors cannot be created directly" not in str(error):
            raise ImportError(str(error)) from error
        os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
        for name in [name for name in sys.modules if name.startswith(("google.protobuf", "stm_ai_runner"))]:
            del sys.modules[name]
        from stm_ai_runner import AiRunner  # pyright: ignore[reportMissingImports]
    return AiRunner


def main() -> int:
    """Frames go over the original standard output; whatever else prints goes to standard error, which is a log."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        return serve(sys.argv[1], sys.stdin.buffer, answers)
    except OSError:  # the parent is gone
        return 1


if __name__ == "__main__":
    sys.exit(main())

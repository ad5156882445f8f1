"""Models inside ST's runtime: the C code that ST's tools make of them, on a board or in a library of this machine."""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np

from stm32pose.errors import UserError
from stm32pose.inference import st_bridge
from stm32pose.inference.runner import Layout, ModelIO, Runner
from stm32pose.inference.st_tensors import Fit, fit_outputs, input_layout
from stm32pose.inference.tensors import TensorInfo
from stm32pose.processes import started_program

log = logging.getLogger(__name__)

CONNECT_S = 90.0
"""Longest that connecting may take: ST's package tries every serial port."""
ANSWER_S = 60.0
"""Longest that one image may take on a board, transfer included."""
NEEDS = "numpy tqdm colorama protobuf pyserial"


class StRunner(Runner):
    """A .tflite or .onnx file as ST's tools compiled it, behind the same face as the file itself.

    Integers go to the network and come back as they are; scale and zero point are those that the runtime tells, applied
    once, here.

    Attributes:
        descriptor: how the runtime is reached: `serial:921600`, or the path of a host library.
        about: what ST's package tells of it.
        timing: what `invoke_seconds` is: the runtime's own clock, or this machine's with the transfer in it.
    """

    def __init__(
        self,
        host: Runner,
        descriptor: str,
        *,
        rescaling: tuple[float, float],
        package: Path | None,
        log_file: Path,
        connect_s: float = CONNECT_S,
        answer_s: float = ANSWER_S,
    ) -> None:
        """Connect.

        Args:
            host: the file that was compiled, opened on this machine: order, names and shapes of its outputs.
            descriptor: as the attribute.
            rescaling: (scale, offset) of `preprocessing.rescaling`.
            package: folder that holds `stm_ai_runner`; None: it is installed.
            log_file: receives what ST's package prints.
            connect_s, answer_s: longest times in seconds, to connect and for one image.

        Raises:
            UserError: no package, no connection, no answer, or another network than the file answers.
            ConfigError: rescaling that does not suit the input.
        """
        self.descriptor = descriptor
        self._answer_s = answer_s
        self._link = _Link(descriptor, package, log_file)
        self.close = weakref.finalize(self, self._link.close)
        try:
            header, _ = self._link.answer(connect_s, "connect")
            self.about = str(header.get("about", ""))
            io, self._fits = _match(host, header, descriptor)
            super().__init__(host.path, io, rescaling)
        except BaseException:
            self.close()
            raise
        self.kind = host.kind
        self.activation = host.activation
        self._moved = [False] * len(self._fits)  # `_collect` has brought them into the form of the file's outputs
        self.outputs = list(io.outputs)
        self.timing = ""
        self._device_s: float | None = None

    def _invoke(self, inputs: np.ndarray) -> Sequence[np.ndarray]:
        self._link.send([inputs])
        header, outputs = self._link.answer(self._answer_s * max(1, len(inputs)), "answer")
        if len(outputs) != len(self._fits) or any(len(output) != len(inputs) for output in outputs):
            got = [list(output.shape) for output in outputs]
            raise UserError(f"{self.descriptor}: answers {got} for {len(inputs)} images of {self.path.name}")
        times = header.get("ms")
        self._device_s = sum(times) / 1000 if times and len(times) == len(inputs) else None
        return outputs

    def _call(self, inputs: np.ndarray) -> list[np.ndarray]:
        """As the base class; a time that the runtime tells replaces this machine's, which has the transfer in it."""
        before = self.invoke_seconds
        outputs = super()._call(inputs)
        if self._device_s is not None:
            self.invoke_seconds = before + self._device_s
        clock = "board" if self.descriptor.startswith("serial") else "host library"
        told = f"told by the {clock}" if self._device_s is not None else "this machine's clock, transfer included"
        self.timing = told
        return outputs

    def _collect(self, outputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        return [fit.apply(outputs[fit.index]) for fit in self._fits]


def _match(host: Runner, header: dict[str, Any], descriptor: str) -> tuple[ModelIO, list[Fit]]:
    """What the runtime tells, in the order and form of the file's outputs. UserError: it is another network."""
    inputs = [_tensor(item) for item in header["inputs"]]
    outputs = [_tensor(item) for item in header["outputs"]]
    layout: Layout | None = input_layout(inputs[0].shape, host.input_shape) if len(inputs) == 1 else None
    fits = fit_outputs([item.shape for item in outputs], [item.shape for item in host.outputs])
    if layout is None or fits is None:
        told = f"{[list(item.shape) for item in inputs]} -> {[list(item.shape) for item in outputs]}"
        wanted = f"{list(host.input.shape)} -> {[list(item.shape) for item in host.outputs]}"
        raise UserError(f"{descriptor}: holds another network ({told}) than {host.path.name} ({wanted})")
    taken = _scaled(inputs[0], host.input, descriptor)
    shape = host.input_shape if layout == "NHWC" else (host.input_shape[2], *host.input_shape[:2])
    given = []
    for fit, of_file in zip(fits, host.outputs, strict=True):
        found = _scaled(outputs[fit.index], of_file, descriptor)
        given.append(TensorInfo(of_file.name, of_file.shape, found.dtype, found.scale, found.zero_point))
    source = TensorInfo(taken.name, shape, taken.dtype, taken.scale, taken.zero_point)
    return ModelIO(source, tuple(given), None, layout, host.quantized), fits


def _tensor(item: dict[str, Any]) -> TensorInfo:
    return TensorInfo(item["name"], tuple(item["shape"][1:]), item["dtype"], item["scale"], item["zero_point"])


def _scaled(tensor: TensorInfo, of_file: TensorInfo, descriptor: str) -> TensorInfo:
    """`tensor` with a scale: where the runtime tells none of an integer tensor, the file's if the type is the same."""
    if tensor.scale or tensor.dtype.startswith("float") or not (of_file.scale or of_file.dtype != tensor.dtype):
        return tensor
    if of_file.scale and of_file.dtype == tensor.dtype:
        log.info("%s: tells no scale of '%s'; the file's own is used", descriptor, tensor.name)
        return TensorInfo(tensor.name, tensor.shape, tensor.dtype, of_file.scale, of_file.zero_point)
    raise UserError(
        f"{descriptor}: tells no scale of '{tensor.name}' ({tensor.dtype}); the file has {of_file.dtype} there: "
        f"use input_type and output_type of the file"
    )


class _Link:
    """The child process and its two pipes; sending and receiving each in a thread, since either can block for ever."""

    def __init__(self, descriptor: str, package: Path | None, log_file: Path) -> None:
        self._descriptor, self._log = descriptor, log_file
        self._stack = ExitStack()
        paths = [*([str(package)] if package else []), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            sink = self._stack.enter_context(log_file.open("wb"))
        except OSError as error:
            raise UserError(f"{log_file}: the log cannot be written ({error.strerror})") from error
        # -P: the folder of the script is no place to import from.
        words = [sys.executable, "-P", st_bridge.__file__, descriptor]
        self._process = self._stack.enter_context(
            started_program(
                words,
                cwd=log_file.parent,  # ST's package leaves a log of its own in the working folder
                env={"PYTHONPATH": os.pathsep.join(paths)} if paths else None,
                binary=True,
                stdin=subprocess.PIPE,
                stderr=sink,
            )
        )
        self._sending: queue.Queue[list[np.ndarray] | None] = queue.Queue()
        self._received: queue.Queue[Any] = queue.Queue()
        ends = ((self._send_all, self._process.stdin), (self._receive_all, self._process.stdout))
        for target, stream in ends:
            threading.Thread(target=target, args=(stream,), daemon=True).start()

    def send(self, arrays: list[np.ndarray]) -> None:
        self._sending.put(arrays)

    def answer(self, timeout_s: float, doing: str) -> tuple[dict[str, Any], list[np.ndarray]]:
        """The next frame. UserError: none in time, the child ended, or it tells an error; the child is ended then."""
        try:
            found = self._received.get(timeout=timeout_s)
        except queue.Empty:
            self.close(grace_s=0)
            raise UserError(f"{self._descriptor}: does not {doing} within {timeout_s:g} s{self._causes()}") from None
        if found is None or isinstance(found, Exception):
            self.close()
            reason = f" ({found})" if found else ""
            raise UserError(f"{self._descriptor}: ST's stm_ai_runner ended unexpectedly{reason}; log: {self._log}")
        header, arrays = found
        if "error" in header:
            self.close()
            raise UserError(self._complaint(header))
        return header, arrays

    def close(self, grace_s: float = 2.0) -> None:
        """End the child, after `grace_s` seconds in which it may leave the board in order; harmless twice."""
        self._sending.put(None)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        self._stack.close()

    def _complaint(self, header: dict[str, Any]) -> str:
        error = " ".join(str(header["error"]).split())[:300]
        if header.get("kind") == "package":
            return (
                f"{error}; it comes with ST Edge AI Core (scripts/ai_runner) and needs: pip install {NEEDS}; "
                f"log: {self._log}"
            )
        if header.get("kind") == "connect":
            return f"{self._descriptor}: cannot connect: {error}{self._causes()}"
        return f"{self._descriptor}: {error}; log: {self._log}"

    def _causes(self) -> str:
        serial = (
            "; likely causes: the USB cable of the ST-LINK, the boot switches, a firmware other than ST's validation "
            "firmware, another program that holds the port, another baud rate"
        )
        return (serial if self._descriptor.startswith("serial") else "") + f"; log: {self._log}"

    def _send_all(self, stream: Any) -> None:
        with suppress(OSError, ValueError):  # the child is gone, which the receiving side tells
            while (arrays := self._sending.get()) is not None:
                st_bridge.write_frame(stream, {}, arrays)
            stream.close()

    def _receive_all(self, stream: Any) -> None:
        try:
            while (frame := st_bridge.read_frame(stream)) is not None:
                self._received.put(frame)
        except Exception as error:  # noqa: BLE001  (handed to whoever waits)
            self._received.put(error)
            return
        self._received.put(None)

"""`gen_npy_input` and `gen_npy_output`: what a network is fed and gives, written batch by batch as .npy files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO

import numpy as np

from stm32pose.config.schema import Config
from stm32pose.files import replacing
from stm32pose.inference.runner import Runner
from stm32pose.reporting.run import Run


class ArrayFiles:
    """The files of one model; `open_arrays` makes one. Nothing but the batch at hand is in memory."""

    def __init__(self, stack: ExitStack, config: Config, run: Run, name: str, total: int):
        self._stack, self._section, self._run = stack, config.evaluation, run
        self._name, self._total = name, total
        self._files: dict[str, IO[bytes]] = {}

    def add(self, runner: Runner, images: np.ndarray, outputs: Sequence[np.ndarray]) -> None:
        """A batch: uint8 images [B, H, W, C] as the runner takes them, and its outputs of them."""
        if self._section.gen_npy_input:
            self._append(f"{self._section.npy_in_name}_{self._name}", runner.inputs(images))
        if self._section.gen_npy_output:
            for index, output in enumerate(outputs):
                number = f"_{index}" if len(outputs) > 1 else ""
                self._append(f"{self._section.npy_out_name}_{self._name}{number}", output)

    def _append(self, stem: str, batch: np.ndarray) -> None:
        if stem not in self._files:
            temporary = self._stack.enter_context(replacing(self._run.path("arrays", f"{stem}.npy"), sync=False))
            file = self._files[stem] = self._stack.enter_context(temporary.open("wb"))
            described = {
                "descr": np.lib.format.dtype_to_descr(batch.dtype),
                "fortran_order": False,
                "shape": (self._total, *batch.shape[1:]),
            }
            np.lib.format.write_array_header_1_0(file, described)
        self._files[stem].write(np.ascontiguousarray(batch).tobytes())


@contextmanager
def open_arrays(config: Config, run: Run, name: str, total: int) -> Iterator[ArrayFiles | None]:
    """Files in `arrays/` of the run folder that take their places, whole, when the block ends well.

    Args:
        config: `evaluation` says which are wanted; None is yielded where none is.
        run: of the folder.
        name: of the model, in the files' names.
        total: images that will be added.

    Raises:
        UserError: the disk refuses.
    """
    if not (config.evaluation.gen_npy_input or config.evaluation.gen_npy_output):
        yield None
        return
    with ExitStack() as stack:
        yield ArrayFiles(stack, config, run, name, total)

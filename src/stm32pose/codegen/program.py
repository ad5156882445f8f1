"""`Program`: the kernel calls that a network becomes, each with its constants, and how they may share memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from stm32pose.codegen.network import Network
from stm32pose.codegen.targets import Target

Role = Literal["weights", "bias", "quantization", "table"]


@dataclass(frozen=True, eq=False)
class Array:
    """A constant in flash: one dimension of int8, uint8, int16, uint16, int32, uint32 or float32.

    `role` is what it counts as in reports: `weights`, `bias`, `quantization` (multipliers, shifts) or `table`.
    """

    values: np.ndarray
    role: Role = "weights"


Field = int | float | Array | tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a kernel: `FUNCTION(input..., output..., [scratch,] &parameters)`.

    Attributes:
        function: the kernel's C name.
        source: the file that has it, `kernels_conv` for kernels_conv.c and .h in codegen/c.
        struct: C type of its parameters, declared in that header.
        fields: members of the struct by name; an `Array` becomes a table in flash and a pointer to it.
        inputs, outputs: indices of the network's tensors, in the order of the C arguments; no constants.
        kind, name: operator and layer it comes from.
        macs: multiply-accumulates.
        scratch_bytes: memory used while it runs; 0: the function takes no scratch.
        leads: for each input, how many bytes before the input the first output must begin so that it may overlap the
            input: nothing the kernel still reads is overwritten. 0: in place. None: they must not overlap.
            See `overlap.lead`.
    """

    function: str
    source: str
    struct: str
    fields: Mapping[str, Field]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    kind: str = ""
    name: str = ""
    macs: int = 0
    scratch_bytes: int = 0
    leads: tuple[int | None, ...] = ()


@dataclass(frozen=True, eq=False)
class Program:
    """A network as calls.

    Attributes:
        network: after the rewriting (pads folded, constants computed).
        target: the processor.
        calls: in order.
        aliases: tensor -> the tensor whose bytes it is (reshapes).
    """

    network: Network
    target: Target
    calls: tuple[Call, ...]
    aliases: Mapping[int, int] = field(default_factory=dict)

    def root(self, index: int) -> int:
        """The tensor whose bytes `index` has."""
        while index in self.aliases:
            index = self.aliases[index]
        return index

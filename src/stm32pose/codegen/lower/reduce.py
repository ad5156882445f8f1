"""MEAN, SUM, REDUCE_MAX and REDUCE_MIN of int8 over any axes."""

from __future__ import annotations

from math import prod

import numpy as np

from stm32pose.codegen.lower.rounding import quantize_multiplier
from stm32pose.codegen.network import Network, Operator, Tensor, refuse
from stm32pose.codegen.overlap import lead
from stm32pose.codegen.program import Call, Field
from stm32pose.codegen.targets import Target

DIMS = 3
"""Loops over kept and over reduced dimensions, REDUCE_DIMS in kernels_reduce.h."""
GROUP = 4


def lower_reduce(operator: Operator, network: Network, target: Target) -> list[Call]:
    given, made = network.tensors[operator.inputs[0]], network.tensors[operator.outputs[0]]
    if given.dtype != "int8" or made.dtype != "int8" or len(given.scales) != 1 or len(made.scales) != 1:
        raise refuse(network, operator, f"{given.dtype} to {made.dtype}; int8 with one scale is known")
    axes = operator.options["axes"]
    if given.elements < 1:
        raise refuse(network, operator, f"shape {list(given.shape)}")
    try:
        loops = reduce_loops(given.shape, axes)
    except ValueError as error:
        raise refuse(network, operator, str(error)) from error
    fields: dict[str, Field] = {**loops}
    count = prod(given.shape[axis] for axis in axes)
    same = given.scale == made.scale and given.zero_point == made.zero_point
    if operator.kind in ("REDUCE_MAX", "REDUCE_MIN"):
        if not same:
            raise refuse(network, operator, "input and output of different scales")
        function = "extreme_int8"
        fields["largest"] = int(operator.kind == "REDUCE_MAX")
        group = 1
    else:
        if operator.kind == "SUM" and network.rounding == "tflite":
            problem = "LiteRT's reference kernel takes int8 for uint8 here, so no result is right; use a mean"
            raise refuse(network, operator, problem)
        function = "reduce_float" if network.rounding == "onnx" else "reduce_int8"
        group = GROUP
        fields |= {"offset": -given.zero_point * count, "zero": made.zero_point}
        if network.rounding == "onnx":
            fields["input_scale"] = given.scale
            fields["count"] = float(count if operator.kind == "MEAN" else 1)
            fields["output_scale"] = made.scale
        else:
            fields |= dict(zip(("multiplier", "shift"), _scaling(operator, given, made, count), strict=True))
    return [
        Call(
            function=function,
            source="kernels_reduce",
            struct="reduce_params",
            fields=fields,
            inputs=operator.inputs[:1],
            outputs=operator.outputs,
            kind=operator.kind,
            name=operator.name,
            leads=(reduce_lead(loops, given.elements, group),),
        )
    ]


def _scaling(operator: Operator, given: Tensor, made: Tensor, count: int) -> tuple[int, int]:
    """(multiplier, shift) from a sum to steps of the output.

    A mean's has 1 / count in it, as LiteRT divides it: in whole numbers, after as many doublings as fit.
    """
    multiplier, shift = quantize_multiplier(given.scale / made.scale)
    if operator.kind == "MEAN":
        doublings = min(count.bit_length() - 1, 32, 31 + shift)
        multiplier = (multiplier << doublings) // count
        shift -= doublings
    return multiplier, shift


def reduce_loops(shape: tuple[int, ...], axes: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Loops of the kernel's struct; neighbours that are both kept, or both reduced, are joined.

    Raises:
        ValueError: more turns between kept and reduced dimensions than the kernel has loops for.
    """
    loops: dict[bool, list[list[int]]] = {True: [], False: []}  # of [size, step], innermost first
    step, last = 1, None
    for axis in reversed(range(len(shape))):
        size, reduced = shape[axis], axis in axes
        if size > 1:
            if reduced is last:
                loops[reduced][-1][0] *= size
            else:
                loops[reduced].append([size, step])
            last = reduced
        step *= size
    if max(map(len, loops.values())) > DIMS:
        raise ValueError(f"axes {list(axes)} of shape {list(shape)}: too many turns")
    fields: dict[str, tuple[int, ...]] = {}
    for reduced, name in ((False, "kept"), (True, "reduced")):
        turned = loops[reduced][::-1]
        fill = DIMS - len(turned)
        fields[name] = (1,) * fill + tuple(size for size, _ in turned)
        fields[name + "_steps"] = (0,) * fill + tuple(step for _, step in turned)
    return fields


def reduce_lead(loops: dict[str, tuple[int, ...]], size: int, group: int) -> int:
    """`overlap.lead`: a group of outputs is written when all it needs has been read."""
    kept, steps = (loops[name] for name in ("kept", "kept_steps"))
    outer = np.array([0])
    for count, step in zip(kept[:2], steps[:2], strict=True):
        outer = (outer[:, None] + np.arange(count)[None, :] * step).reshape(-1)
    inner = group if steps[2] == 1 else 1
    whole = kept[2] // inner * inner
    starts = np.array([*range(0, whole, inner), *range(whole, kept[2])])
    ends = np.append(starts[1:], kept[2])
    first = (outer[:, None] + starts[None, :] * steps[2]).reshape(-1)
    written = (np.arange(len(outer))[:, None] * kept[2] + ends[None, :]).reshape(-1)
    needed = np.minimum.accumulate(np.append(first, size)[::-1])[::-1][1:]
    return lead(written, needed)

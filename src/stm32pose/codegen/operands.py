"""Operands that are shapes, axes and paddings become options: what is left of an operator's inputs are data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from stm32pose.codegen.network import Network, Operator, Tensor, refuse

Settled = tuple[tuple[int, ...], dict[str, Any]]

SHAPED = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TILE", "BROADCAST_TO")
"""Operators whose further operands say no more than the shape of the output does."""


def settle(network: Network) -> Network:
    """Every operator in the form that docs/c_code.md describes. NotExportable: an operand that must be constant is not.

    Operators whose results nobody needs, such as those that compute a shape, are gone.
    """
    shaped = [replace(op, inputs=op.inputs[:1]) if op.kind in SHAPED and op.inputs else op for op in network.operators]
    network = replace(network, operators=tuple(_needed(shaped, network)))
    return replace(network, operators=tuple(_settled(op, network) for op in network.operators))


def _needed(operators: list[Operator], network: Network) -> list[Operator]:
    """Operators that the outputs depend on."""
    wanted = set(network.outputs)
    kept = []
    for op in reversed(operators):
        if wanted & set(op.outputs):
            kept.append(op)
            wanted.update(op.inputs)
    return kept[::-1]


def _settled(op: Operator, network: Network) -> Operator:
    rule = RULES.get(op.kind)
    if rule is None:
        return op
    expected = len(op.inputs)
    if expected < FEWEST.get(op.kind, 1):
        raise refuse(network, op, f"it has {expected} operands, too few")
    inputs, options = rule(op, network)
    return replace(op, inputs=inputs, options=options)


def _constant(op: Operator, position: int, network: Network) -> np.ndarray:
    index = op.inputs[position]
    data = network.tensors[index].data if index >= 0 else None
    if data is None or data.dtype.kind not in "iu":
        raise refuse(network, op, f"operand {position} must be whole numbers known when it is exported")
    return data.reshape(-1)


def _axis(value: int, rank: int, op: Operator, network: Network) -> int:
    if not -rank <= value < rank:
        raise refuse(network, op, f"axis {value} of {rank} dimensions")
    return value % rank


def _first(op: Operator, network: Network) -> Tensor:
    return network.tensors[op.inputs[0]]


def same_pads(size: int, out: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """(before, after) of TFLite's SAME padding."""
    total = max((out - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def _pads(options: dict[str, Any], size: tuple[int, ...], out: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) from SAME or VALID. VALID: what lies outside the input is never read."""
    if not options["same"]:
        return 0, 0, 0, 0
    rows, columns = (
        same_pads(size[1 + i], out[1 + i], options["kernel"][i], options["stride"][i], options["dilation"][i])
        for i in range(2)
    )
    return rows[0], columns[0], rows[1], columns[1]


def _windowed(op: Operator, network: Network) -> Settled:
    """CONV_2D, DEPTHWISE_CONV_2D, TRANSPOSE_CONV and pools."""
    options = dict(op.options)
    inputs = op.inputs
    if op.kind == "TRANSPOSE_CONV":
        wanted = _constant(op, 0, network).tolist()
        if wanted != list(network.tensors[op.outputs[0]].shape):
            raise refuse(network, op, f"shape {list(network.tensors[op.outputs[0]].shape)}; it is to be {wanted}")
        inputs = (inputs[2], inputs[1], inputs[3] if len(inputs) > 3 else -1)
        options.setdefault("activation", "NONE")
    elif not op.kind.endswith("POOL_2D"):
        inputs = (inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else -1)
    else:
        inputs = inputs[:1]
    image, out = network.tensors[inputs[0]].shape, network.tensors[op.outputs[0]].shape
    if len(image) != 4 or len(out) != 4:
        raise refuse(network, op, f"shapes {list(image)} and {list(out)}; four dimensions are known")
    if len(inputs) > 1:
        weights = network.tensors[inputs[1]].shape
        if len(weights) != 4:
            raise refuse(network, op, f"weights of shape {list(weights)}; four dimensions are known")
        options["kernel"] = weights[1:3]
    options.setdefault("dilation", (1, 1))
    if "stride" not in options or "same" not in options:
        raise refuse(network, op, "its strides and padding are missing")
    if min(*options["stride"], *options["dilation"], *options["kernel"]) < 1:
        raise refuse(network, op, f"stride {options['stride']}, dilation {options['dilation']}, {options['kernel']}")
    large, small = (out, image) if op.kind == "TRANSPOSE_CONV" else (image, out)
    if options["same"] and any(small[1 + i] != -(-large[1 + i] // options["stride"][i]) for i in range(2)):
        raise refuse(network, op, f"shapes {list(image)} and {list(out)} with stride {options['stride']}")
    if op.kind == "TRANSPOSE_CONV":
        options["pads"] = _pads(options, out, image)
    else:
        options["pads"] = _pads(options, image, out)
    del options["same"]
    if op.kind == "DEPTHWISE_CONV_2D":
        options["multiplier"] = out[3] // image[3] if image[3] else 0
    return inputs, options


def _concatenation(op: Operator, network: Network) -> Settled:
    rank = len(network.tensors[op.outputs[0]].shape)
    return op.inputs, {**op.options, "axis": _axis(op.options.get("axis", 0), rank, op, network)}


def _unpack(op: Operator, network: Network) -> Settled:
    return op.inputs[:1], {"axis": _axis(op.options.get("axis", 0), len(_first(op, network).shape), op, network)}


def _split(op: Operator, network: Network) -> Settled:
    """SPLIT has its axis first, SPLIT_V last."""
    position, data = (0, 1) if op.kind == "SPLIT" else (2, 0)
    axis = int(_constant(op, position, network)[0])
    rank = len(network.tensors[op.inputs[data]].shape)
    return (op.inputs[data],), {"axis": _axis(axis, rank, op, network)}


def _gather(op: Operator, network: Network) -> Settled:
    return op.inputs, {
        **op.options,
        "axis": _axis(op.options.get("axis", 0), len(_first(op, network).shape), op, network),
    }


def _arg(op: Operator, network: Network) -> Settled:
    axis = int(_constant(op, 1, network)[0])
    return op.inputs[:1], {"axis": _axis(axis, len(_first(op, network).shape), op, network)}


def _reduce(op: Operator, network: Network) -> Settled:
    rank = len(_first(op, network).shape)
    axes = sorted({_axis(int(axis), rank, op, network) for axis in _constant(op, 1, network)})
    return op.inputs[:1], {"axes": tuple(axes), "keep_dims": op.options.get("keep_dims", False)}


def _pad(op: Operator, network: Network) -> Settled:
    rank = len(_first(op, network).shape)
    values = _constant(op, 1, network)
    if len(values) != 2 * rank or (len(values) and int(values.min()) < 0):
        raise refuse(network, op, f"paddings {values.tolist()} of {rank} dimensions")
    pairs = tuple((int(a), int(b)) for a, b in values.reshape(-1, 2))
    value: float = network.tensors[op.outputs[0]].zero_point
    if op.kind == "PADV2":
        given = network.tensors[op.inputs[2]].data
        if given is None or given.size != 1:
            raise refuse(network, op, "its value must be one number known when it is exported")
        value = given.reshape(-1)[0].item()
    return op.inputs[:1], {"paddings": pairs, "value": value, "mode": op.options.get("mode", "constant")}


def _transpose(op: Operator, network: Network) -> Settled:
    perm = tuple(int(axis) for axis in _constant(op, 1, network))
    if sorted(perm) != list(range(len(_first(op, network).shape))):
        raise refuse(network, op, f"order {list(perm)} of {len(_first(op, network).shape)} dimensions")
    return op.inputs[:1], {"perm": perm}


def _slice(op: Operator, network: Network) -> Settled:
    shape = _first(op, network).shape
    begin, sizes = (_constant(op, i, network) for i in (1, 2))
    if len(begin) != len(shape) or len(sizes) != len(shape):
        raise refuse(network, op, f"begin {begin.tolist()}, size {sizes.tolist()} of {len(shape)} dimensions")
    lengths = tuple(int(n) if n >= 0 else size - int(b) for n, b, size in zip(sizes, begin, shape, strict=True))
    if any(b < 0 or n < 0 or b + n > size for b, n, size in zip(begin, lengths, shape, strict=True)):
        raise refuse(network, op, f"begin {begin.tolist()}, size {list(lengths)} of shape {list(shape)}")
    return op.inputs[:1], {
        "begin": tuple(int(b) for b in begin),
        "strides": (1,) * len(shape),
        "sizes": lengths,
    }


def _strided_slice(op: Operator, network: Network) -> Settled:
    shape = _first(op, network).shape
    begin, end, strides = (_constant(op, i, network).tolist() for i in (1, 2, 3))
    masks = op.options.get("masks", (0, 0, 0, 0, 0))
    if masks[2] or masks[3] or op.options.get("offset"):
        raise refuse(network, op, "an ellipsis or a new axis in a slice")
    if not len(begin) == len(end) == len(strides) <= len(shape) or 0 in strides:
        raise refuse(network, op, f"begin {begin}, end {end}, strides {strides} of {len(shape)} dimensions")
    begins, lengths, steps = [], [], []
    for axis, size in enumerate(shape):
        if axis >= len(begin):
            begins, lengths, steps = [*begins, 0], [*lengths, size], [*steps, 1]
            continue
        step = strides[axis]
        if masks[4] >> axis & 1:
            if step < 0:
                raise refuse(network, op, "one index with a negative stride")
            # As LiteRT: where the begin is masked, the index is 0, whatever stands there.
            place = 0 if masks[0] >> axis & 1 else begin[axis] + size * (begin[axis] < 0)
            if not 0 <= place < size:
                raise refuse(network, op, f"index {begin[axis]} of {size}")
            begins, lengths, steps = [*begins, place], [*lengths, 1], [*steps, 1]
            continue
        places = range(
            *slice(
                None if masks[0] >> axis & 1 else begin[axis], None if masks[1] >> axis & 1 else end[axis], step
            ).indices(size)
        )
        begins, lengths, steps = [*begins, places.start], [*lengths, len(places)], [*steps, step]
    return op.inputs[:1], {"begin": tuple(begins), "strides": tuple(steps), "sizes": tuple(lengths)}


RULES: dict[str, Callable[[Operator, Network], Settled]] = {
    "CONV_2D": _windowed,
    "DEPTHWISE_CONV_2D": _windowed,
    "TRANSPOSE_CONV": _windowed,
    "MAX_POOL_2D": _windowed,
    "AVERAGE_POOL_2D": _windowed,
    "CONCATENATION": _concatenation,
    "PACK": _concatenation,
    "UNPACK": _unpack,
    "SPLIT": _split,
    "SPLIT_V": _split,
    "GATHER": _gather,
    "ARG_MAX": _arg,
    "ARG_MIN": _arg,
    "MEAN": _reduce,
    "SUM": _reduce,
    "REDUCE_MAX": _reduce,
    "REDUCE_MIN": _reduce,
    "PAD": _pad,
    "PADV2": _pad,
    "MIRROR_PAD": _pad,
    "TRANSPOSE": _transpose,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
}
FEWEST = {
    "CONV_2D": 2,
    "DEPTHWISE_CONV_2D": 2,
    "TRANSPOSE_CONV": 3,
    "SPLIT": 2,
    "SPLIT_V": 3,
    "ARG_MAX": 2,
    "ARG_MIN": 2,
    "MEAN": 2,
    "SUM": 2,
    "REDUCE_MAX": 2,
    "REDUCE_MIN": 2,
    "PAD": 2,
    "PADV2": 3,
    "MIRROR_PAD": 2,
    "TRANSPOSE": 2,
    "SLICE": 3,
    "STRIDED_SLICE": 4,
}
"""Operands that a kind must have."""

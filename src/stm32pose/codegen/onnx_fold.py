"""Nodes of an ONNX graph whose operands are all constant: shapes and weights, computed while reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stm32pose.codegen.onnx_values import Constant, Integers

MOST = 1 << 24
"""Elements of a computed constant."""

Fold = Callable[[list[np.ndarray], dict[str, Any]], np.ndarray]


def _axes(arrays: list[np.ndarray], attributes: dict[str, Any]) -> list[int] | None:
    if "axes" in attributes:
        return [int(axis) for axis in attributes["axes"]]
    return [int(axis) for axis in arrays[1].reshape(-1)] if len(arrays) > 1 else None


def _squeeze(arrays: list[np.ndarray], attributes: dict[str, Any]) -> np.ndarray:
    axes = _axes(arrays, attributes)
    return np.squeeze(arrays[0], None if axes is None else tuple(axes))


def _unsqueeze(arrays: list[np.ndarray], attributes: dict[str, Any]) -> np.ndarray:
    return np.expand_dims(arrays[0], tuple(_axes(arrays, attributes) or ()))


def _slice(arrays: list[np.ndarray], attributes: dict[str, Any]) -> np.ndarray:
    starts, ends = arrays[1].reshape(-1), arrays[2].reshape(-1)
    axes = arrays[3].reshape(-1) if len(arrays) > 3 else np.arange(len(starts))
    steps = arrays[4].reshape(-1) if len(arrays) > 4 else np.ones(len(starts), np.int64)
    index: list[Any] = [slice(None)] * arrays[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[int(axis)] = slice(int(start), int(end), int(step))
    return arrays[0][tuple(index)]


def _reshape(arrays: list[np.ndarray], attributes: dict[str, Any]) -> np.ndarray:
    wanted = [int(size) for size in arrays[1].reshape(-1)]
    if not attributes.get("allowzero", 0):
        wanted = [arrays[0].shape[place] if size == 0 else size for place, size in enumerate(wanted)]
    return arrays[0].reshape(wanted)


def _expand(arrays: list[np.ndarray], attributes: dict[str, Any]) -> np.ndarray:
    shape = np.broadcast_shapes(arrays[0].shape, tuple(int(size) for size in arrays[1].reshape(-1)))
    _check(shape)
    return np.broadcast_to(arrays[0], shape)


def _filled(arrays: list[np.ndarray], attributes: dict[str, Any]) -> np.ndarray:
    from onnx import numpy_helper

    shape = tuple(int(size) for size in arrays[0].reshape(-1))
    _check(shape)
    value = numpy_helper.to_array(attributes["value"]).reshape(()) if "value" in attributes else np.float32(0)
    return np.full(shape, value)


def _cast(arrays: list[np.ndarray], attributes: dict[str, Any]) -> np.ndarray:
    import onnx

    return arrays[0].astype(onnx.helper.tensor_dtype_to_np_dtype(int(attributes["to"])))


def _divide(arrays: list[np.ndarray], attributes: dict[str, Any]) -> np.ndarray:
    one, two = arrays
    if one.dtype.kind != "i":
        return one / two
    return np.trunc(one / two).astype(one.dtype)


def _check(shape: tuple[int, ...]) -> None:
    if any(size < 0 for size in shape) or int(np.prod([float(size) for size in shape])) > MOST:
        raise ValueError(f"a constant would have the shape {list(shape)}")


FOLDS: dict[str, Fold] = {
    "Identity": lambda arrays, a: arrays[0],
    "Reshape": _reshape,
    "Flatten": lambda arrays, a: arrays[0].reshape(int(np.prod(arrays[0].shape[: a.get("axis", 1)])), -1),
    "Transpose": lambda arrays, a: arrays[0].transpose(a.get("perm")),
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": lambda arrays, a: np.concatenate(arrays, int(a["axis"])),
    "Gather": lambda arrays, a: np.take(arrays[0], arrays[1].astype(np.int64), int(a.get("axis", 0))),
    "Slice": _slice,
    "Cast": _cast,
    "Shape": lambda arrays, a: np.array(arrays[0].shape[a.get("start", 0) : a.get("end")], np.int64),
    "Expand": _expand,
    "ConstantOfShape": _filled,
    "Add": lambda arrays, a: arrays[0] + arrays[1],
    "Sub": lambda arrays, a: arrays[0] - arrays[1],
    "Mul": lambda arrays, a: arrays[0] * arrays[1],
    "Div": _divide,
    "Neg": lambda arrays, a: -arrays[0],
    "Floor": lambda arrays, a: np.floor(arrays[0]),
    "Ceil": lambda arrays, a: np.ceil(arrays[0]),
    "Sqrt": lambda arrays, a: np.sqrt(arrays[0]),
}


def folded(kind: str, constants: list[Constant], attributes: dict[str, Any]) -> Constant | None:
    """The constant that a node makes of constants; None where it is not known how.

    Raises:
        ValueError and the like: operands that do not go together.
    """
    if kind not in FOLDS:
        return None
    with np.errstate(all="ignore"):
        values = np.asarray(FOLDS[kind]([item.values for item in constants], attributes))
    if values.size > MOST:
        raise ValueError(f"a constant would have the shape {list(values.shape)}")
    return Constant(values, _stored(kind, constants, attributes, values.shape))


def _stored(
    kind: str, constants: list[Constant], attributes: dict[str, Any], shape: tuple[int, ...]
) -> Integers | None:
    """What a quantized constant is stored as after it moved; None where that is lost."""
    stored = constants[0].stored if constants else None
    if stored is None or kind not in ("Identity", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"):
        return None
    if kind == "Identity":
        return stored
    single = len(stored.scales) == 1
    if kind == "Transpose":
        perm = list(attributes.get("perm") or reversed(range(stored.values.ndim)))
        axis = 0 if single else perm.index(stored.axis)
        return Integers(stored.values.transpose(perm), stored.scales, stored.zero_points, axis)
    if not single:  # the axis of the scales must still be there
        fits = [axis for axis, size in enumerate(shape) if size == len(stored.scales)]
        before = int(np.prod(stored.values.shape[: stored.axis]))
        fits = [axis for axis in fits if int(np.prod(shape[:axis])) == before]
        if not fits:
            return None
        return Integers(stored.values.reshape(shape), stored.scales, stored.zero_points, fits[0])
    return Integers(stored.values.reshape(shape), stored.scales, stored.zero_points)

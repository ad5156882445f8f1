"""RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR of images [1, rows, columns, channels]."""

from __future__ import annotations

import numpy as np

from stm32pose.codegen.network import Network, Operator, Tensor, refuse
from stm32pose.codegen.overlap import lead
from stm32pose.codegen.program import Array, Call, Field
from stm32pose.codegen.targets import Target

ITEMS = {"int8": 1, "uint8": 1, "bool": 1, "int16": 2, "int32": 4, "float32": 4, "int64": 8}


def lower_resize_nearest(operator: Operator, network: Network, target: Target) -> list[Call]:
    """Options beside TFLite's: `rows`, `columns`, the input row and column of each output's (ONNX)."""
    given, made = _images(operator, network)
    if given.dtype not in ITEMS or given.dtype != made.dtype:
        raise refuse(network, operator, f"{given.dtype} to {made.dtype}")
    pixel = given.shape[3] * ITEMS[given.dtype]
    rows, columns = (
        np.asarray(operator.options[name])
        if name in operator.options
        else nearest_places(given.shape[1 + i], made.shape[1 + i], operator)
        for i, name in enumerate(("rows", "columns"))
    )
    row_bytes = given.shape[2] * pixel
    fields: dict[str, Field] = {
        "pixel": pixel,
        "output_height": made.shape[1],
        "output_width": made.shape[2],
        "rows": Array((rows * row_bytes).astype(np.int32), "table"),
        "columns": Array((columns * pixel).astype(np.int32), "table"),
    }
    places = (rows[:, None] * row_bytes + columns[None, :] * pixel).reshape(-1)
    return [
        Call(
            function="resize_nearest",
            source="kernels_resize",
            struct="resize_nearest_params",
            fields=fields,
            inputs=operator.inputs[:1],
            outputs=operator.outputs,
            kind=operator.kind,
            name=operator.name,
            leads=(copy_lead(places, pixel, given.bytes),),
        )
    ]


def lower_resize_bilinear(operator: Operator, network: Network, target: Target) -> list[Call]:
    """Options beside TFLite's: `row_weights`, `column_weights` (ONNX): (first, second, weight of the first, of the
    second), each an array as long as the output has rows or columns."""
    given, made = _images(operator, network)
    if given.dtype != "int8" or made.dtype != "int8" or len(given.scales) != 1 or len(made.scales) != 1:
        raise refuse(network, operator, f"{given.dtype} to {made.dtype}; int8 with one scale is known")
    if network.rounding == "onnx":
        return [_float(operator, given, made)]
    if given.scale != made.scale or given.zero_point != made.zero_point:
        raise refuse(network, operator, "input and output of different scales")
    height, width, channels = given.shape[1:]
    rows, columns = (bilinear_places(given.shape[1 + i], made.shape[1 + i], operator) for i in range(2))
    if _doubles(rows, height) and _doubles(columns, width):
        fields: dict[str, Field] = {"input_height": height, "input_width": width, "channels": channels}
        corner = double_lead(height, width, channels)
        return [_call("resize_double_int8", "resize_double_params", operator, fields, corner)]
    return [_call("resize_bilinear_int8", "resize_bilinear_params", operator, *_walk(rows, columns, given, made))]


def nearest_places(size: int, out: int, operator: Operator) -> np.ndarray:
    """[out], the input row of each output row (or column), in LiteRT's float32 arithmetic."""
    align, half = bool(operator.options.get("align_corners")), bool(operator.options.get("half_pixel_centers"))
    span, steps = (size - 1, out - 1) if align and out > 1 else (size, out)
    scale = np.float32(span) / np.float32(steps)
    centres = (np.arange(out, dtype=np.float32) + np.float32(0.5 if half else 0.0)) * scale
    places = np.floor(centres + np.float32(0.5)) if align else np.floor(centres)
    return np.clip(places.astype(np.int64), 0, size - 1)


def bilinear_places(size: int, out: int, operator: Operator) -> np.ndarray:
    """[out, 3]: first row, second row, weight of the second of 1024, in LiteRT's fixed-point arithmetic."""
    align, half = bool(operator.options.get("align_corners")), bool(operator.options.get("half_pixel_centers"))
    span, steps = (size - 1, out - 1) if align and out > 1 else (size, out)
    scale = (1024 * span + steps // 2) // steps
    places = np.arange(out, dtype=np.int64) * scale
    if half:
        places += scale // 2 - 512
    first = np.clip(places // 1024, 0, size - 1)  # places below 0 are cut off
    second = np.clip(-(-places // 1024), 0, size - 1)
    weight = np.where(first == second, 0, places - 1024 * first)
    return np.stack([first, second, weight], axis=1)


def half_pixel_weights(size: int, out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(first, second, weight of the first, weight of the second) of ONNX's `half_pixel` linear resizing, float32."""
    places = (np.arange(out, dtype=np.float32) + np.float32(0.5)) / np.float32(out / size) - np.float32(0.5)
    places = np.clip(places, 0.0, np.float32(size - 1)).astype(np.float32)
    first = np.minimum(places.astype(np.int64), size - 1)
    second = np.minimum(first + 1, size - 1)
    weight = np.where(first == second, np.float32(0.5), places - first.astype(np.float32)).astype(np.float32)
    return first, second, (np.float32(1.0) - weight).astype(np.float32), weight


def copy_lead(places: np.ndarray, pixel: int, size: int) -> int:
    """Of a kernel that copies pixels forwards, each to the next place of the output: a pixel may be copied to where it
    lies or before, and must not reach into those copied later."""
    later = np.minimum.accumulate(np.append(places, size)[::-1])[::-1]
    index = np.arange(len(places))
    return max(lead(index * pixel, places), lead((index + 1) * pixel, later[1:]))


def double_lead(height: int, width: int, channels: int) -> int:
    """Of resize_double_int8, which makes two rows at a time, 2 x 2 pixels after 2 x 2."""
    y, x = np.arange(height + 1)[:, None], np.arange(width + 1)[None, :]
    row = np.minimum(2 * y, 2 * height - 1)
    column = np.minimum(2 * x, 2 * width - 1)
    written = (row * 2 * width + column + 1) * channels
    needed = (np.maximum(y - 1, 0) * width + np.maximum(x - 1, 0)) * channels
    return lead(written, np.broadcast_to(needed, written.shape))


def _images(operator: Operator, network: Network) -> tuple[Tensor, Tensor]:
    given, made = network.tensors[operator.inputs[0]], network.tensors[operator.outputs[0]]
    shapes = (given.shape, made.shape)
    if any(len(shape) != 4 or shape[0] != 1 or min(shape) < 1 for shape in shapes) or shapes[0][3] != shapes[1][3]:
        raise refuse(network, operator, f"shapes {list(given.shape)} and {list(made.shape)}")
    return given, made


def _doubles(places: np.ndarray, size: int) -> bool:
    """Whether rows or columns are twice as many and mixed 1 to 3, the edges repeated."""
    if len(places) != 2 * size:
        return False
    index = np.arange(2 * size)
    first = np.clip((index - 1) // 2, 0, size - 1)
    second = np.clip((index + 1) // 2, 0, size - 1)
    weight = np.where(first == second, 0, np.where(index % 2 == 1, 256, 768))
    return bool(np.array_equal(places, np.stack([first, second, weight], axis=1)))


def _walk(rows: np.ndarray, columns: np.ndarray, given: Tensor, made: Tensor) -> tuple[dict[str, Field], int]:
    """Members of resize_bilinear_params, and the lead."""
    channels = given.shape[3]
    row_bytes = given.shape[2] * channels
    fields: dict[str, Field] = {
        "channels": channels,
        "output_height": made.shape[1],
        "output_width": made.shape[2],
        "rows": Array((rows * [row_bytes, row_bytes, 1]).astype(np.int32).reshape(-1), "table"),
        "columns": Array((columns * [channels, channels, 1]).astype(np.int32).reshape(-1), "table"),
    }
    places = (rows[:, None, 0] * row_bytes + columns[None, :, 0] * channels).reshape(-1)
    needed = np.minimum.accumulate(places[::-1])[::-1]
    return fields, lead(np.arange(1, len(places) + 1) * channels, needed)


def _float(operator: Operator, given: Tensor, made: Tensor) -> Call:
    weights = []
    for i, name in enumerate(("row_weights", "column_weights")):
        weights.append(operator.options.get(name) or half_pixel_weights(given.shape[1 + i], made.shape[1 + i]))
    rows, columns = (np.stack([first, second, np.zeros_like(first)], axis=1) for first, second, _, _ in weights)
    fields, distance = _walk(rows, columns, given, made)
    for name, (_, _, first, second) in zip(("row_weights", "column_weights"), weights, strict=True):
        fields[name] = Array(np.stack([first, second], axis=1).astype(np.float32).reshape(-1), "table")
    fields |= {"input_zero": given.zero_point, "output_zero": made.zero_point}
    fields |= {"input_scale": given.scale, "output_scale": made.scale}
    return _call("resize_bilinear_float", "resize_bilinear_params", operator, fields, distance)


def _call(function: str, struct: str, operator: Operator, fields: dict[str, Field], distance: int) -> Call:
    return Call(
        function=function,
        source="kernels_resize",
        struct=struct,
        fields=fields,
        inputs=operator.inputs[:1],
        outputs=operator.outputs,
        kind=operator.kind,
        name=operator.name,
        leads=(distance,),
    )

"""What a .tflite file says of an operator beside its tensors: its option table as plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ACTIVATIONS = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH", 5: "SIGN_BIT"}
TABLES: dict[str, str] = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "DIV": "DivOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions",
    "PACK": "PackOptions",
    "UNPACK": "UnpackOptions",
    "GATHER": "GatherOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "SOFTMAX": "SoftmaxOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SPACE_TO_DEPTH": "SpaceToDepthOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions",
    "MIRROR_PAD": "MirrorPadOptions",
}
"""Kind -> name of its table in TFLite's schema; other kinds have no options that matter."""

FIELDS: dict[str, Callable[[Any], Any]] = {
    "activation": lambda table: ACTIVATIONS[table.FusedActivationFunction()],
    "stride": lambda table: (table.StrideH(), table.StrideW()),
    "dilation": lambda table: (table.DilationHFactor(), table.DilationWFactor()),
    "same": lambda table: table.Padding() == 0,
    "kernel": lambda table: (table.FilterHeight(), table.FilterWidth()),
    "axis": lambda table: table.Axis(),
    "keep_dims": lambda table: bool(table.KeepDims()),
    "align_corners": lambda table: bool(table.AlignCorners()),
    "half_pixel_centers": lambda table: bool(table.HalfPixelCenters()),
    "beta": lambda table: float(table.Beta()),
    "alpha": lambda table: float(table.Alpha()),
    "block": lambda table: table.BlockSize(),
    "batch_dims": lambda table: table.BatchDims(),
    "weights_format": lambda table: table.WeightsFormat(),
    "mode": lambda table: ("reflect", "symmetric")[table.Mode()],
    "masks": lambda table: (
        table.BeginMask(),
        table.EndMask(),
        table.EllipsisMask(),
        table.NewAxisMask(),
        table.ShrinkAxisMask(),
    ),
    "offset": lambda table: bool(table.Offset()),
}
_FIRST_METHOD = {
    "activation": "FusedActivationFunction",
    "stride": "StrideH",
    "dilation": "DilationHFactor",
    "same": "Padding",
    "kernel": "FilterHeight",
    "axis": "Axis",
    "keep_dims": "KeepDims",
    "align_corners": "AlignCorners",
    "half_pixel_centers": "HalfPixelCenters",
    "beta": "Beta",
    "alpha": "Alpha",
    "block": "BlockSize",
    "batch_dims": "BatchDims",
    "weights_format": "WeightsFormat",
    "mode": "Mode",
    "masks": "BeginMask",
    "offset": "Offset",
}


def read_options(kind: str, operator: Any) -> dict[str, Any]:
    """The options of an operator of the schema's accessor classes; TFLite's defaults where the table is absent."""
    from ai_edge_litert import schema_py_generated as schema

    if kind not in TABLES:
        return {}
    make = getattr(schema, TABLES[kind])
    number = getattr(schema.BuiltinOptions, TABLES[kind])
    table = operator.BuiltinOptions()
    options = make()
    if table is None or operator.BuiltinOptionsType() != number:
        return {"activation": "NONE"} if hasattr(options, "FusedActivationFunction") else {}
    options.Init(table.Bytes, table.Pos)
    return {name: read(options) for name, read in FIELDS.items() if hasattr(options, _FIRST_METHOD[name])}

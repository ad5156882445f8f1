"""A tiny int8 heat-map network, built without TensorFlow: uint8 picture in, float heat maps out."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from codegen.one_op import Model, Op, T, build


def heatmap_network(side: int = 32, keypoints: int = 5, seed: int = 0) -> bytes:
    """QUANTIZE, two CONV_2D, LOGISTIC, DEQUANTIZE: from [1, side, side, 3] to [1, side / 2, side / 2, K]."""
    random = np.random.default_rng(seed)
    half, middle = side // 2, 8

    def filters(*shape: int) -> np.ndarray:
        return random.integers(-127, 128, shape).astype(np.int8)

    scales = random.uniform(0.002, 0.01, middle).astype(np.float32)
    tensors = [
        T((1, side, side, 3), "uint8", 1 / 127.5, 128, name="picture"),
        T((1, side, side, 3), "int8", 1 / 127.5, 0, name="quantized"),
        T((middle, 3, 3, 3), "int8", scales, data=filters(middle, 3, 3, 3)),
        T((middle,), "int32", scales / 127.5, data=random.integers(-9000, 9000, middle).astype(np.int32)),
        T((1, half, half, middle), "int8", 0.03, -128, name="first/Relu;first/Conv2D"),
        T((keypoints, 1, 1, middle), "int8", [0.02], data=filters(keypoints, 1, 1, middle)),
        T((keypoints,), "int32", [0.0006], data=random.integers(-900, 900, keypoints).astype(np.int32)),
        T((1, half, half, keypoints), "int8", 0.05, 10, name="head/Conv2D"),
        T((1, half, half, keypoints), "int8", 1 / 256, -128, name="head/Sigmoid"),
        T((1, half, half, keypoints), "float32", name="heatmaps"),
    ]
    first = schema.Conv2DOptionsT()
    first.padding, first.strideH, first.strideW, first.fusedActivationFunction = 0, 2, 2, 1
    second = schema.Conv2DOptionsT()
    second.padding, second.strideH, second.strideW = 0, 1, 1
    for options in (first, second):
        options.dilationHFactor = options.dilationWFactor = 1
    ops = [
        Op("QUANTIZE", [0], [1], version=2),
        Op("CONV_2D", [1, 2, 3], [4], first),
        Op("CONV_2D", [4, 5, 6], [7], second),
        Op("LOGISTIC", [7], [8], version=2),
        Op("DEQUANTIZE", [8], [9], version=2),
    ]
    return build(Model(tensors, ops, [0], [9]))

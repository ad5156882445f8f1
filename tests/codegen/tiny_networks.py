"""Tiny int8 networks with the usual operators, made here: sound files for tests that damage them."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from codegen.one_op import Model, Op, T, build


def options(name: str, **values: Any) -> Any:
    """An option table of TFLite's schema, `Conv2DOptions`."""
    made = getattr(schema, f"{name}T")()
    for key, value in values.items():
        assert hasattr(made, key), key
        setattr(made, key, value)
    return made


def tiny_model() -> Model:
    """Float in and out; convolutions, an addition, pads, pools, joins, a slice, a dense layer, softmax.

    Another output is a slice of the images.
    """
    random = np.random.default_rng(0)

    def int8(*shape: int) -> np.ndarray:
        return random.integers(-127, 128, shape).astype(np.int8)

    def whole(*values: Any) -> T:
        data = np.array(values, np.int32)
        return T(data.shape, "int32", data=data)

    tensors = [
        T((1, 8, 8, 3), "float32", name="input"),
        T((1, 8, 8, 3), "int8", 0.02, -3),
        T((4, 3, 3, 3), "int8", [0.01, 0.02, 0.015, 0.005], 0, data=int8(4, 3, 3, 3)),
        T((4,), "int32", [0.0002, 0.0004, 0.0003, 0.0001], 0, data=random.integers(-500, 500, 4).astype(np.int32)),
        T((1, 8, 8, 4), "int8", 0.05, 4),
        T((1, 3, 3, 4), "int8", [0.01] * 4, 0, 3, data=int8(1, 3, 3, 4)),
        T((4,), "int32", [0.0005] * 4, 0, data=random.integers(-500, 500, 4).astype(np.int32)),
        T((1, 8, 8, 4), "int8", 0.06, -7),
        T((1, 8, 8, 4), "int8", 0.08, 1),
        whole((0, 0), (1, 1), (0, 2), (0, 0)),
        T((1, 10, 10, 4), "int8", 0.08, 1),
        T((1, 5, 5, 4), "int8", 0.08, 1),
        T((1, 5, 5, 8), "int8", 0.08, 1),
        whole(0, 1, 1, 0),
        whole(1, 5, 5, 8),
        whole(1, 2, 1, 1),
        T((1, 2, 4, 8), "int8", 0.08, 1, name="sliced"),
        whole(1, 2),
        T((1, 8), "int8", 0.08, 1),
        T((5, 8), "int8", 0.01, 0, data=int8(5, 8)),
        T((5,), "int32", 0.0008, 0, data=random.integers(-500, 500, 5).astype(np.int32)),
        T((1, 5), "int8", 0.1, 0),
        T((1, 5), "int8", 1 / 256, -128),
        T((1, 5), "float32", name="output"),
    ]
    same = {"padding": 0, "strideH": 1, "strideW": 1}
    pool = {"padding": 1, "strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2}
    ops = [
        Op("QUANTIZE", [0], [1], version=1),
        Op("CONV_2D", [1, 2, 3], [4], options("Conv2DOptions", fusedActivationFunction=3, **same), 3),
        Op(
            "DEPTHWISE_CONV_2D",
            [4, 5, 6],
            [7],
            options("DepthwiseConv2DOptions", depthMultiplier=1, fusedActivationFunction=1, **same),
            3,
        ),
        Op("ADD", [4, 7], [8], options("AddOptions", potScaleInt16=False), 2),
        Op("PAD", [8, 9], [10], options("PadOptions"), 2),
        Op("MAX_POOL_2D", [10], [11], options("Pool2DOptions", **pool), 2),
        Op("CONCATENATION", [11, 11], [12], options("ConcatenationOptions", axis=3), 2),
        Op("STRIDED_SLICE", [12, 13, 14, 15], [16], options("StridedSliceOptions"), 2),
        Op("MEAN", [12, 17], [18], options("ReducerOptions"), 2),
        Op("FULLY_CONNECTED", [18, 19, 20], [21], options("FullyConnectedOptions"), 4),
        Op("SOFTMAX", [21], [22], options("SoftmaxOptions", beta=1.0), 2),
        Op("DEQUANTIZE", [22], [23], version=2),
    ]
    return Model(tensors, ops, [0], [23, 16])


def tiny_tflite() -> bytes:
    """`tiny_model` as a file."""
    return build(tiny_model())


def tiny_onnx() -> bytes:
    """A small QDQ network, channels first: convolution, pool, reshape, dense layer."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(1)
    nodes, constants = [], []

    def constant(name: str, values: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(values, name))
        return name

    def steps(name: str, scale: Any, zero: Any) -> list[str]:
        return [constant(f"{name}_scale", np.float32(scale)), constant(f"{name}_zero", np.asarray(zero, np.int8))]

    def through(name: str, scale: float, zero: int) -> str:
        """QuantizeLinear and DequantizeLinear behind a tensor."""
        pair = steps(name, scale, zero)
        nodes.append(helper.make_node("QuantizeLinear", [name, *pair], [f"{name}_q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", *pair], [f"{name}_dq"]))
        return f"{name}_dq"

    def weights(name: str, shape: tuple[int, ...], scale: float) -> str:
        values = constant(name, random.integers(-127, 128, shape).astype(np.int8))
        nodes.append(helper.make_node("DequantizeLinear", [values, *steps(name, scale, 0)], [f"{name}_dq"]))
        return f"{name}_dq"

    image = through("input", 0.02, -3)
    kernel = weights("kernel", (4, 3, 3, 3), 0.01)
    nodes.append(helper.make_node("Conv", [image, kernel], ["conv"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]))
    nodes.append(helper.make_node("Relu", ["conv"], ["relu"]))
    relu = through("relu", 0.05, -128)
    nodes.append(helper.make_node("MaxPool", [relu], ["pool"], kernel_shape=[2, 2], strides=[2, 2]))
    pool = through("pool", 0.05, -128)
    nodes.append(helper.make_node("Reshape", [pool, constant("flat", np.array([1, 64], np.int64))], ["flattened"]))
    flat = through("flattened", 0.05, -128)
    nodes.append(helper.make_node("Gemm", [flat, weights("dense", (64, 5), 0.01)], ["dense_out"]))
    out = through("dense_out", 0.1, 2)
    nodes[-1].output[0] = "output"
    assert out == "dense_out_dq"
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 5])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model.SerializeToString()

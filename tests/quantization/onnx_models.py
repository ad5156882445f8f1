"""Small ONNX and Keras models for the tests of the ONNX quantizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    import keras

SHAPE = (24, 32, 3)
RESCALING = (1 / 127.5, -1.0)


def heat_maps(final: str = "sigmoid", *, nearest: bool = False) -> keras.Model:
    """Convolution, batch norm, ReLU6, depthwise, residual, upsampling, maps of 4 keypoints; fixed weights."""
    import keras

    keras.utils.set_random_seed(5)
    layers = keras.layers
    x = inputs = keras.Input(SHAPE)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(x)
    x = layers.BatchNormalization(name="stem_bn")(x)
    x = first = layers.ReLU(6.0, name="stem_relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depth")(x)
    x = layers.Conv2D(8, 1, name="point")(x)
    x = layers.Add(name="join")([x, first])
    x = layers.UpSampling2D(2, interpolation="nearest" if nearest else "bilinear", name="up")(x)
    x = layers.Conv2D(4, 1, name="maps_conv")(x)
    if final == "sigmoid":
        x = layers.Activation("sigmoid", name="maps")(x)
    elif final == "softmax":
        x = layers.Softmax(axis=(1, 2), name="maps")(x)
    model = keras.Model(inputs, x, name="tiny")
    weights = [np.random.default_rng(i).normal(0, 0.5, w.shape) for i, w in enumerate(model.get_weights())]
    model.set_weights([np.abs(w) + 0.1 if w.ndim == 1 else w for w in weights])
    return model


def pixels(count: int = 20, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Smooth random pictures that are not as dark as noise after a convolution."""
    from stm32pose.quantization.calibration import fake_images

    return fake_images(shape, count=count, seed=11)


def two_convolutions(path: Path, *, batch: int | str = 1, nchw: bool = True, names: bool = True) -> Path:
    """image [B, 3, 12, 16] -> Conv 'first' -> Relu -> Conv 'second' -> maps [B, 5, 12, 16], made by hand."""
    random = np.random.default_rng(3)
    first = random.normal(0, 0.3, (6, 3, 3, 3)).astype(np.float32)
    first *= np.geomspace(0.05, 2, 6, dtype=np.float32)[:, None, None, None]  # channels of very different ranges
    second = random.normal(0, 0.3, (5, 6, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["given", "first_w"], ["a"], name="first", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "second_w"], ["made"], name="second", kernel_shape=[1, 1]),
    ]
    shapes: tuple[list[Any], list[Any]] = ([batch, 3, 12, 16], [batch, 5, 12, 16])
    if nchw:
        nodes[0].input[0], nodes[-1].output[0] = "image", "maps"
    else:
        nodes.insert(0, helper.make_node("Transpose", ["image"], ["given"], name="in", perm=[0, 3, 1, 2]))
        nodes.append(helper.make_node("Transpose", ["made"], ["maps"], name="out", perm=[0, 2, 3, 1]))
        shapes = ([batch, 12, 16, 3], [batch, 12, 16, 5])
    if not names:
        for node in nodes:
            node.name = ""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, shapes[1])],
        [numpy_helper.from_array(first, "first_w"), numpy_helper.from_array(second, "second_w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def nodes(model: Any, op_type: str) -> list[Any]:
    return [node for node in model.graph.node if node.op_type == op_type]


def scales(model: Any, tensor: str) -> np.ndarray:
    """Scales of the DequantizeLinear whose input is named after a constant `tensor`."""
    found = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    (node,) = [node for node in nodes(model, "DequantizeLinear") if node.input[0].startswith(tensor)]
    return found[node.input[1]]


def weight_type(model: Any, tensor: str) -> str:
    """`INT8` and the like: the stored type of a quantized constant."""
    (item,) = [item for item in model.graph.initializer if item.name == f"{tensor}_quantized"]
    return TensorProto.DataType.Name(item.data_type)


def session_run(path: Path, image: np.ndarray) -> list[np.ndarray]:
    """A file run by ONNX Runtime itself."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image})

"""From a Keras model to a float ONNX file that takes one image."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.errors import UserError, first_line
from stm32pose.files import replacing
from stm32pose.inference.keras_export import image_shape, with_nearest_resizing
from stm32pose.inference.onnx_graph import folded, raise_opset, shape_of
from stm32pose.inference.onnx_names import name_like_layers, rename
from stm32pose.inference.quiet import quiet_streams
from stm32pose.inference.runner import Layout

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

CONVERTER_OPSET = 18
"""The newest operator set that tf2onnx writes; a later one is reached by ONNX's own converter."""
CLOSE = 1e-4
"""How far an output may be from Keras', as a share of the largest value (of 1, where all are smaller)."""


def export_onnx(
    model: keras.Model,
    destination: Path,
    *,
    opset: int = 17,
    layout: Layout = "NCHW",
    check: Callable[[Any], object] | None = None,
) -> Path:
    """Write the model's inference as a float .onnx file, batch normalisation folded, and compare it with Keras.

    Args:
        model: one input [B, H, W, C].
        destination: the .onnx file to write; its input `image` takes one image.
        opset: version of ONNX's operators.
        layout: NCHW puts the channels of the input, and of outputs that are maps, first.
        check: gets the `ModelProto` before anything is written; what it raises goes on.

    Raises:
        ConfigError: several inputs, an open height or width, or an operator set that does not exist.
        UserError: tf2onnx is not installed or refuses the model, or the file differs from Keras.
    """
    import onnx

    shape = image_shape(model)
    names = list(model.output_names)
    proto = _convert(model, shape, names, min(opset, CONVERTER_OPSET), layout, destination.name)
    proto = onnx.shape_inference.infer_shapes(raise_opset(proto, opset, destination.name), data_prop=True)
    _plain_nearest(proto)
    proto = folded(proto, destination.name)
    name_like_layers(proto, {layer.name for layer in model._flatten_layers()})
    del proto.metadata_props[:]
    proto.producer_name = "stm32pose"
    if check is not None:
        check(proto)
    with replacing(destination) as temporary:
        onnx.save(proto, str(temporary))
        _check(model, temporary, shape, layout, destination.name)
    return destination


def _convert(
    model: keras.Model, shape: tuple[int, int, int], names: list[str], opset: int, layout: Layout, what: str
) -> Any:
    """tf2onnx on the model's own function, without its output, with the names that Keras has."""
    import tensorflow as tf

    try:
        import tf2onnx
    except ImportError as error:
        raise UserError(f"{what}: Keras to ONNX needs tf2onnx: pip install 'stm32pose[onnx]'") from error

    network = _function(with_nearest_resizing(model))
    signature = [tf.TensorSpec((1, *shape), tf.float32, name="image")]
    function = tf.function(lambda image: network(image), input_signature=signature)
    tensors = function.get_concrete_function().outputs
    maps = [tensor.name for tensor in tensors if len(tensor.shape) == 4]
    first = layout == "NCHW"
    with quiet_streams() as lines:
        try:
            proto, _ = tf2onnx.convert.from_function(
                function,
                input_signature=signature,
                opset=opset,
                inputs_as_nchw=["image:0"] if first else None,
                outputs_as_nchw=maps if first else None,
            )
        except Exception as error:
            raise UserError(f"{what}: tf2onnx cannot convert '{model.name}': {first_line(error)}") from error
    for line in lines:
        log.debug("tf2onnx: %s", line)
    given = [value.name for value in proto.graph.output]
    rename(proto, dict(zip(given, names, strict=True)))
    return proto


def _function(model: keras.Model) -> Any:
    """The model as a function of one batch; a softmax over cells that ends it becomes ONNX's operator.

    Keras' softmax over two axes is eleven ONNX operators, most of which no accelerator has.
    """
    import keras
    import tensorflow as tf

    logits = _cell_logits(model)
    if logits is None:
        return lambda image: model(image, training=False)
    body = keras.Model(model.inputs, logits)

    def run(image: Any) -> Any:
        maps = tf.transpose(body(image, training=False), (0, 3, 1, 2))
        flat = tf.reshape(maps, (1, maps.shape[1], -1))
        return tf.transpose(tf.reshape(tf.nn.softmax(flat, axis=-1), maps.shape), (0, 2, 3, 1))

    return run


def _cell_logits(model: keras.Model) -> Any:
    """What goes into a softmax over [h, w] of the only output [B, h, w, K]; None where the model does not end so."""
    from stm32pose.models.load import activation_of

    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 4:
        return None
    operation, node_index, _ = model.outputs[0]._keras_history
    if hasattr(operation, "layers") or activation_of(operation) != "softmax":
        return None
    first = operation._inbound_nodes[node_index].input_tensors[0]
    if type(operation).__name__ == "Softmax":
        return first
    powers = first._keras_history  # exp(z) / sum(exp(z)), as ST's 4.x files end
    return powers.operation._inbound_nodes[powers.node_index].input_tensors[0]


def _plain_nearest(proto: Any) -> None:
    """`tf_half_pixel_for_nn`, which ONNX dropped, in words that it kept: the same cells are taken."""
    values = [*proto.graph.input, *proto.graph.value_info, *proto.graph.output]
    shapes = {value.name: shape_of(value) for value in values}
    for node in proto.graph.node:
        words = {item.name: item for item in node.attribute}
        mode = words.get("coordinate_transformation_mode")
        if node.op_type != "Resize" or mode is None or mode.s != b"tf_half_pixel_for_nn":
            continue
        before, after = shapes.get(node.input[0], ()), shapes.get(node.output[0], ())
        whole = before and all(old and new % old == 0 for old, new in zip(before, after, strict=False))
        mode.s = b"asymmetric" if whole else b"half_pixel"
        words["nearest_mode"].s = b"floor" if whole else b"round_prefer_ceil"


def _check(model: keras.Model, path: Path, shape: tuple[int, int, int], layout: Layout, what: str) -> None:
    """UserError: the file does not compute what Keras computes, on two images of noise."""
    from stm32pose.inference.onnx_runner import open_session

    batch = np.random.default_rng(0).uniform(-1, 1, (2, *shape)).astype(np.float32)
    batch[1] = np.abs(batch[1])
    wanted = model(batch, training=False)
    session = open_session(path, 1)
    for index, image in enumerate(batch):
        given = image.transpose(2, 0, 1) if layout == "NCHW" else image
        outputs = session.run(None, {session.get_inputs()[0].name: given[None]})
        for got, reference in zip(outputs, wanted if isinstance(wanted, list | tuple) else [wanted], strict=True):
            value = np.asarray(reference)[index]
            got = got[0].transpose(1, 2, 0) if layout == "NCHW" and value.ndim == 3 else got[0]
            error = float(np.abs(got - value).max()) if got.shape == value.shape else np.inf
            if not error < CLOSE * max(1.0, float(np.abs(value).max())):
                raise UserError(f"{what}: differs from the Keras model by {error:.3g}; the conversion is wrong")

"""From a Keras model to a TFLite converter whose file takes one image, quietly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stm32pose.errors import ConfigError, UserError
from stm32pose.inference.quiet import quiet_streams

if TYPE_CHECKING:
    import keras


def tflite_converter(model: keras.Model) -> Any:
    """A `tf.lite.TFLiteConverter` of the model's inference with the input shape fixed to [1, H, W, C].

    ST's tools want a fixed batch of one; `from_keras_model` leaves it open (its signature says -1). The function alone
    is handed over, without the model: its variables are then frozen at once, where the detour over a SavedModel gives
    the same operators in five times the time (15 s against 3 s, MobileNetV2 alpha 0.35).

    Raises:
        ConfigError: the model has several inputs, or an open height or width.
    """
    import tensorflow as tf

    signature = tf.TensorSpec((1, *image_shape(model)), tf.float32, name="image")
    model = with_nearest_resizing(model)
    function = tf.function(lambda image: model(image, training=False), input_signature=[signature])
    with quiet_streams():  # it warns that the model itself could be handed over too
        return tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])


def image_shape(model: keras.Model) -> tuple[int, int, int]:
    """(H, W, C) of the model's only input. ConfigError: several inputs, or an open height or width."""
    if len(model.inputs) != 1:
        raise ConfigError(f"model '{model.name}': got {len(model.inputs)} inputs; a pose model has one image input")
    shape = tuple(model.inputs[0].shape[1:])
    if len(shape) != 3 or not all(isinstance(size, int) for size in shape):
        raise ConfigError(f"model '{model.name}': got an input of shape {list(shape)}; H, W and channels must be fixed")
    height, width, channels = shape
    return height, width, channels


def with_nearest_resizing(model: keras.Model) -> keras.Model:
    """`model`, or a copy whose nearest-neighbour upsampling TFLite has one operator for.

    UpSampling2D becomes RESHAPE and TILE there, which no accelerator runs; Resizing to the same, fixed size becomes
    RESIZE_NEAREST_NEIGHBOR and gives the same values. For networks that grow with their input it is no replacement,
    which is why it is made for the conversion alone. Layers met at several sizes stay as they are.
    """
    import keras

    replaced = {id(layer): size for layer in model._flatten_layers() if (size := _nearest_size(layer)) is not None}
    if not replaced or type(model).__name__ not in ("Functional", "Sequential"):
        return model

    def rebuild(layer: keras.Layer) -> keras.Layer:
        if id(layer) in replaced:
            return keras.layers.Resizing(*replaced[id(layer)], interpolation="nearest", name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=rebuild, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


def _nearest_size(layer: keras.Layer) -> tuple[int, int] | None:
    """(H, W) of the output of a nearest-neighbour UpSampling2D; None for other layers, or where it is not one size."""
    import keras

    if type(layer) is not keras.layers.UpSampling2D or layer.interpolation != "nearest":
        return None
    sizes = {tuple(tensor.shape[1:3]) for node in layer._inbound_nodes for tensor in node.output_tensors}
    if len(sizes) != 1 or layer.data_format != "channels_last":
        return None
    height, width = sizes.pop()
    return (height, width) if height and width else None


def convert(converter: Any, what: str) -> bytes:
    """Run a converter without its hundreds of lines of output.

    Raises:
        UserError: the converter refuses the model; the line ends with its own reason.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    try:
        with quiet_streams():
            return converter.convert()
    except (ConverterError, tf.errors.OpError, RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"{what}: TFLite conversion failed: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The line of a converter's long message that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line or "not supported" in line.lower() or "requires" in line]
    return (telling or lines or [type(error).__name__])[0][:300]

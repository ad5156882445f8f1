"""A teacher: a larger network whose outputs are learnt beside the labels, on every image, labelled or not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stm32pose.errors import ConfigError

if TYPE_CHECKING:
    import keras

    from stm32pose.codecs.select import Codec
    from stm32pose.config.data_sections import Rescaling
    from stm32pose.config.model_sections import Distillation

log = logging.getLogger(__name__)

WHERE = "training.distillation.teacher"
_FLOOR = 1e-12
_SHARES = ("softmax", "empty")

Difference = Callable[[list[Any], list[Any]], Any]


@dataclass(frozen=True, eq=False)
class Teacher:
    """A frozen network and how far a student's outputs are from its own.

    Attributes:
        model: the network; it is called with `training=False` and never saved.
        weight: share of the teacher in the loss, 0 to 1.
        difference: (outputs of the teacher, of the student) -> [B, K].
    """

    model: keras.Model
    weight: float
    difference: Difference

    def __call__(self, images: Any, outputs: Any) -> Any:
        """The mean difference, a scalar, over all joints of all images.

        Args:
            images: float32 [B, H, W, C], rescaled, as the student gets them; resized where the teacher's input is of
                another size.
            outputs: of the student.
        """
        import tensorflow as tf

        height, width = self.model.input_shape[1:3]
        if images.shape[1:3] != (height, width):
            images = tf.ensure_shape(resize_maps(images, height, width), (None, *self.model.input_shape[1:]))
        given = [tf.stop_gradient(tf.cast(output, tf.float32)) for output in flat(self.model(images, training=False))]
        return tf.reduce_mean(self.difference(given, [tf.cast(output, tf.float32) for output in flat(outputs)]))


def load_teacher(settings: Distillation, codec: Codec, shape: Sequence[int], rescaling: Rescaling) -> Teacher:
    """The teacher that the configuration names.

    Args:
        settings: section `training.distillation`.
        codec: of the student.
        shape: (H, W, channels) of the student's input.
        rescaling: of the student's input.

    Raises:
        ConfigError: the file is of another kind, another number of keypoints or channels, or of another rescaling.
        UserError: the file cannot be read.
    """
    from stm32pose.inference.input_range import rescaling_text, same_rescaling
    from stm32pose.inference.sidecar import told_rescaling
    from stm32pose.models.load import load_model

    path = Path(settings.teacher)
    model = load_model(path, where=WHERE)
    model.trainable = False
    if len(model.inputs) != 1 or None in model.input_shape[1:] or model.input_shape[-1] != shape[-1]:
        raise ConfigError(f"{WHERE}: {path} takes {model.input_shape[1:]}; one image of {shape[-1]} channels is needed")
    told = told_rescaling(path)
    configured = (rescaling.scale, rescaling.offset)
    if told is None:
        log.warning("%s: %s does not say its rescaling; it is taken to be that of the student", WHERE, path)
    elif not same_rescaling(told, configured):
        raise ConfigError(
            f"{WHERE}: {path} was trained with {rescaling_text(told)}, preprocessing.rescaling says "
            f"{rescaling_text(configured)}; both networks get the same images"
        )
    own = codec_of_teacher(model, path, codec)
    log.info("teacher %s: %s parameters, input %s", path, f"{model.count_params():,}", model.input_shape[1:])
    return Teacher(model, settings.weight, difference(own, codec, settings.temperature))


def codec_of_teacher(model: keras.Model, path: Path, student: Codec) -> Codec:
    """The codec of a teacher's outputs, which are of the student's kind. ConfigError: they are not."""
    from stm32pose.codecs.select import codec_from_description, make_codec
    from stm32pose.inference.sidecar import read_sidecar
    from stm32pose.models.load import final_activation

    described, wanted = (read_sidecar(path) or {}).get("codec"), student.describe()
    shapes = [tuple(output.shape[1:]) for output in model.outputs]
    listed = ", ".join(str(list(shape)) for shape in shapes)
    if described and (described.get("kind"), described.get("keypoints")) != (wanted["kind"], student.keypoints):
        raise ConfigError(
            f"{WHERE}: {path} gives {described.get('kind')} of {described.get('keypoints')} keypoints; this network "
            f"gives {wanted['kind']} of {student.keypoints}"
        )
    activation = final_activation(model) or getattr(student, "activation", "sigmoid")
    try:
        if described:
            own = codec_from_description(described)
        else:
            own = make_codec(
                wanted["model_type"],
                input_shape=model.input_shape[1:],
                output_shapes=shapes,
                keypoints=student.keypoints,
                activation=activation,
            )
    except ConfigError as error:
        raise ConfigError(
            f"{WHERE}: {path} gives {listed}, which is not {wanted['model_type']} of {student.keypoints} keypoints"
        ) from error
    ours, theirs = (getattr(one, "activation", "sigmoid") for one in (student, own))
    if wanted["kind"] == "heatmaps" and (ours in _SHARES) != (theirs in _SHARES):
        raise ConfigError(
            f"{WHERE}: {path} ends in {theirs}, this network in {ours}; sigmoid maps learn from sigmoid maps, and "
            "distributions (softmax, empty) from distributions"
        )
    return own


def difference(teacher: Codec, student: Codec, temperature: float) -> Difference:
    """(outputs of the teacher, of the student) -> float32 [B, K], by the kind of both.

    - sigmoid maps: squared error summed over cells, as a share of the teacher's squared map, that of one full cell at
      least (a joint that the teacher does not see has a map near zero);
    - MoveNet's four maps: the same of centre and heat maps;
    - distributions (softmax, logits, SimCC): T^2 KL(teacher || student), both softened by the temperature T (Hinton et
      al., Distilling the Knowledge in a Neural Network, 2015), in nats;
    - keypoints: mean of |dy| and |dx| in input pixels, plus |difference of the scores|.

    Maps and rows of bins of another size are resized, half cells aligned.
    """
    kind = student.describe()["kind"]
    if kind == "movenet":
        theirs, ours = (getattr(one, "order", range(4)) for one in (teacher, student))
        both = list(zip(theirs, ours, strict=True))[:2]  # centre and heat maps
        return lambda given, outputs: sum(_squares(given[his], outputs[own]) for his, own in both)
    if kind == "keypoints":
        return lambda given, outputs: _distance(given[0], outputs[0], student.input_shape)
    if kind == "simcc":
        return lambda given, outputs: _simcc(given[0], outputs[0], teacher, student, temperature)
    ours, theirs = (getattr(one, "activation", "sigmoid") for one in (student, teacher))
    if ours == "sigmoid":
        return lambda given, outputs: _squares(given[0], outputs[0])
    return lambda given, outputs: _maps_divergence(given[0], outputs[0], theirs, ours, temperature)


def flat(outputs: Any) -> list[Any]:
    """One output or several as a list."""
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def resize_maps(maps: Any, height: Any, width: Any) -> Any:
    """[B, h, w, C] at [B, height, width, C]: bilinear, half cells aligned, averaging where it shrinks."""
    import tensorflow as tf

    shape = tf.shape(maps)
    down, across = interpolation(height, shape[1]), interpolation(width, shape[2])
    return tf.einsum("ij,bjkc,lk->bilc", down, maps, across)


def interpolation(new: Any, old: Any) -> Any:
    """float32 [new, old]: each row sums to 1, the linear weights of the old cells for a new one."""
    import tensorflow as tf

    ratio = tf.cast(old, tf.float32) / tf.cast(new, tf.float32)
    places = (tf.range(tf.cast(new, tf.float32)) + 0.5) * ratio - 0.5
    reach = tf.maximum(ratio, 1.0)
    weights = tf.nn.relu(1.0 - tf.abs(places[:, None] - tf.range(tf.cast(old, tf.float32))[None]) / reach)
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)


def _squares(given: Any, output: Any) -> Any:
    import tensorflow as tf

    given = _as_large(given, output)
    energy = tf.reduce_sum(tf.square(given), axis=(1, 2))
    return tf.reduce_sum(tf.square(output - given), axis=(1, 2)) / tf.maximum(energy, 1.0)


def _as_large(given: Any, output: Any) -> Any:
    import tensorflow as tf

    if given.shape[1:3] == output.shape[1:3] and None not in given.shape[1:3]:
        return given
    size = tf.shape(output)
    return resize_maps(given, size[1], size[2])


def _maps_divergence(given: Any, output: Any, theirs: str, ours: str, temperature: float) -> Any:
    import tensorflow as tf

    size = tf.shape(given)
    cells = tf.reshape(given, (size[0], -1, size[3]))
    soft = tf.nn.softmax(_logits(cells, theirs) / temperature, axis=1)
    soft = _as_large(tf.reshape(soft, size), output)
    size = tf.shape(output)
    cells = tf.reshape(output, (size[0], -1, size[3]))
    level = tf.nn.log_softmax(_logits(cells, ours) / temperature, axis=1)
    return _divergence(tf.reshape(soft, (size[0], -1, size[3])), level, 1, temperature)


def _simcc(given: Any, output: Any, teacher: Codec, student: Codec, temperature: float) -> Any:
    import tensorflow as tf

    from stm32pose.losses.simcc import halves

    total: Any = 0.0
    pairs = zip(halves(given, teacher.input_shape), halves(output, student.input_shape), strict=True)
    for half, own in pairs:
        soft = tf.nn.softmax(half / temperature, axis=-1)
        if half.shape[-1] != own.shape[-1]:
            soft = tf.einsum("bkj,ij->bki", soft, interpolation(own.shape[-1], half.shape[-1]))
        total = total + _divergence(soft, tf.nn.log_softmax(own / temperature, axis=-1), -1, temperature)
    return total


def _logits(maps: Any, activation: str) -> Any:
    import tensorflow as tf

    return maps if activation == "empty" else tf.math.log(tf.maximum(maps, _FLOOR))


def _divergence(soft: Any, level: Any, axis: int, temperature: float) -> Any:
    """T^2 KL(soft || exp(level)); `soft` is divided by its sum, which resizing changes."""
    import tensorflow as tf

    soft = soft / tf.maximum(tf.reduce_sum(soft, axis=axis, keepdims=True), _FLOOR)
    return temperature**2 * tf.reduce_sum(soft * (tf.math.log(tf.maximum(soft, _FLOOR)) - level), axis=axis)


def _distance(given: Any, output: Any, input_shape: tuple[int, int]) -> Any:
    import tensorflow as tf

    from stm32pose.losses.regression import rows

    error = tf.abs(rows(output) - rows(given))
    height, width = input_shape
    return (error[..., 0] * height + error[..., 1] * width) / 2 + error[..., 2]

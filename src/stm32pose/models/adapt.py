"""A trained network for another number of keypoints."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from stm32pose.codecs.movenet import output_order
from stm32pose.codecs.select import recognise
from stm32pose.errors import UserError

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)


WIDTHS = {"heatmaps_spe": (1,), "simcc_spe": (None,), "spe": (3,), "movenet_spe": (0, 1, 2, 2)}
"""Filters a keypoint of the convolution behind each output, None for any number; MoveNet's in the order of
`codecs.movenet.ROLES`."""


def adapt_keypoints(
    model: keras.Model, keypoints: int, *, model_type: str = "", where: str = "dataset.keypoints"
) -> keras.Model:
    """A copy of `model` for `keypoints` keypoints: new last convolutions, the other weights kept.

    What follows such a convolution (batch normalisation, sigmoid, a softmax of any build) is made anew for the new
    width. SimCC's layer of bins is shared by all keypoints and stays. Returns `model` itself when it already has that
    many.

    Args:
        model: gives heat maps, SimCC's bins, MoveNet's four maps or keypoints.
        keypoints: how many it shall have.
        model_type: what it gives, where shapes alone do not tell; "" to go by shapes.
        where: the key named in messages.

    Raises:
        UserError: another kind of model, or one that cannot be rebuilt.
    """
    import keras

    shapes = [tuple(output.shape[1:]) for output in model.outputs or ()]
    kind, had = recognise(shapes, input_shape=model.inputs[0].shape[1:3], model_type=model_type)
    if not kind and len(shapes) == 1 and len(shapes[0]) == 3:
        kind, had = "heatmaps_spe", shapes[0][-1]  # maps too small to be recognised
    if kind not in WIDTHS:
        raise UserError(
            f"{where}: {model.name} gives {shapes}, only heat maps (h, w, keypoints), SimCC, MoveNet's four maps and "
            "keypoints can be adapted"
        )
    if had == keypoints:
        return model
    order = output_order(shapes, had, model.output_names) if kind == "movenet_spe" else (0,)
    changed: dict[int, dict[str, Any]] = {}
    for index, width in zip(order or (), WIDTHS[kind], strict=True):
        if width == 0:
            continue
        through = shapes[0][-1] if kind == "simcc_spe" else 0
        last, between = last_convolution(model.outputs[index], through=through)
        if last is None or last.filters % had or width not in (None, last.filters // had):
            raise UserError(
                f"{where}: {model.name} gives {had} keypoints and {keypoints} are wanted, but not one convolution "
                f"makes output {index} of {list(shapes[index])}"
            )
        changed[id(last)] = {"filters": last.filters // had * keypoints}
        for layer in between:
            if isinstance(layer, keras.layers.Reshape):
                place = 0 if kind == "simcc_spe" else -2
                changed[id(layer)] = {"target_shape": replaced(layer.target_shape, place, had, keypoints)}

    def rebuild(layer: Any) -> Any:
        return type(layer).from_config(layer.get_config() | changed.get(id(layer), {}))

    try:
        adapted = keras.models.clone_model(model, clone_function=rebuild)
    except (ValueError, TypeError) as error:
        raise UserError(f"{where}: {model.name} cannot be rebuilt for {keypoints} keypoints: {error}") from error
    got = [tuple(output.shape[1:]) for output in adapted.outputs]
    if recognise(got, keypoints, input_shape=model.inputs[0].shape[1:3], model_type=kind) != (kind, keypoints) and not (
        kind == "heatmaps_spe" and got[0][-1] == keypoints
    ):
        raise UserError(f"{where}: {model.name} cannot be rebuilt for {keypoints} keypoints, it gives {got}")
    kept, new = 0, []
    for old, layer in zip(model.layers, adapted.layers, strict=True):
        if [tuple(weight.shape) for weight in old.weights] == [tuple(weight.shape) for weight in layer.weights]:
            layer.set_weights(old.get_weights())
            layer.trainable = old.trainable
            kept += len(old.weights)
        else:
            new.append(layer.name)
    log.warning(
        "%s: %s gave %d keypoints, now %d; %d tensors kept, new and untrained: %s",
        where,
        model.name,
        had,
        keypoints,
        kept,
        ", ".join(new),
    )
    return adapted


def last_convolution(output: Any, *, through: int = 0) -> tuple[Any, list[Any]]:
    """The one convolution that `output` comes from, or None where there are several, and the layers after it.

    Args:
        output: a tensor of the model.
        through: filters of a convolution that is walked through, 0 for none.
    """
    from keras import layers

    frontier, seen = [output._keras_history.operation], {}
    found = []
    while frontier:
        operation = frontier.pop()
        if id(operation) in seen:
            continue
        seen[id(operation)] = operation
        if isinstance(operation, layers.Conv2D) and (not through or operation.filters != through):
            found.append(operation)
            continue
        for node in operation._inbound_nodes:
            frontier += [tensor._keras_history.operation for tensor in node.input_tensors]
    if len(found) != 1:
        return None, []
    return found[0], [operation for operation in seen.values() if operation is not found[0]]


def replaced(shape: tuple[int, ...], place: int, had: int, keypoints: int) -> tuple[int, ...]:
    """`shape` with `keypoints` at `place` where it says `had` there."""
    values = list(shape)
    if values[place] == had:
        values[place] = keypoints
    return tuple(values)

"""A trained network for another number of keypoints."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from stm32pose.errors import UserError

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)


def adapt_keypoints(model: keras.Model, keypoints: int, *, where: str = "dataset.keypoints") -> keras.Model:
    """A copy of heat-map network `model` with `keypoints` maps: a new last convolution, the other weights kept.

    What follows that convolution (batch normalisation, sigmoid, a softmax of any build) is made anew for the new width.
    Returns `model` itself when it already has that many. Raises UserError for another kind of model.
    """
    import keras

    shapes = [tuple(output.shape) for output in model.outputs or ()]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise UserError(f"{where}: {model.name} gives {shapes}, only heat maps (h, w, keypoints) can be adapted")
    had = shapes[0][-1]
    if had == keypoints:
        return model
    last = last_convolution(model, had)
    if last is None:
        raise UserError(
            f"{where}: {model.name} gives {had} maps and {keypoints} are wanted, but not one convolution makes them"
        )

    def rebuild(layer: Any) -> Any:
        config = layer.get_config()
        if layer is last:
            config["filters"] = keypoints
        return type(layer).from_config(config)

    try:
        adapted = keras.models.clone_model(model, clone_function=rebuild)
    except (ValueError, TypeError) as error:
        raise UserError(f"{where}: {model.name} cannot be rebuilt for {keypoints} keypoints: {error}") from error
    got = tuple(adapted.outputs[0].shape)
    if got[-1] != keypoints:
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
        "%s: %s gave %d maps, now %d; %d tensors kept, new and untrained: %s",
        where,
        model.name,
        had,
        keypoints,
        kept,
        ", ".join(new),
    )
    return adapted


def last_convolution(model: keras.Model, filters: int) -> Any:
    """The one convolution of `filters` filters that the output comes from, other layers with kernels aside; or None."""
    from keras import layers

    frontier, seen = [model.outputs[0]._keras_history.operation], set()
    found = []
    while frontier:
        operation = frontier.pop()
        if id(operation) in seen:
            continue
        seen.add(id(operation))
        if isinstance(operation, layers.Conv2D):
            found.append(operation)
            continue
        for node in operation._inbound_nodes:
            frontier += [tensor._keras_history.operation for tensor in node.input_tensors]
    return found[0] if len(found) == 1 and found[0].filters == filters else None

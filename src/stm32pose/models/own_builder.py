"""A user's own network: `FILE.py:FUNCTION`. The file is trusted code and is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from stm32pose.errors import UserError, one_line
from stm32pose.own_code import load_own_function

if TYPE_CHECKING:
    import keras

Shapes = list[tuple[int, ...]]


def load_builder(name: str, *, where: str = "model.model_name") -> Callable[..., keras.Model]:
    """The function of `FILE.py:FUNCTION`; see `own_code.load_own_function`."""
    return cast("Callable[..., keras.Model]", load_own_function(name, where=where))


def run_builder(
    builder: Callable[..., keras.Model],
    name: str,
    input_shape: tuple[int, int, int],
    keypoints: int,
    options: dict[str, object],
    model_type: str = "heatmaps_spe",
    *,
    where: str = "model.model_name",
) -> keras.Model:
    """`builder(input_shape, keypoints, **options)`, checked: a keras.Model to `model_type`'s outputs.

    Maps may have any stride; OUTPUTS tells the shapes. Raises UserError.
    """
    import keras

    try:
        network = builder(input_shape, keypoints, **options)
    except Exception as error:  # whatever the user's code raises
        raise UserError(f"{where}: {name}({input_shape}, {keypoints}) fails: {one_line(error)}") from error
    if not isinstance(network, keras.Model):
        raise UserError(f"{where}: {name} returned {type(network).__name__}, it must return a keras.Model")
    if not network.built or len(network.inputs) != 1 or not network.outputs:
        raise UserError(f"{where}: {name} must return a functional model with one input")
    got = tuple(network.input_shape[1:])
    if got != tuple(input_shape):
        raise UserError(f"{where}: {name} returned a model with input {got}, model.input_shape is {tuple(input_shape)}")
    outputs = [tuple(output.shape[1:]) for output in network.outputs]
    if model_type in OUTPUTS:
        fits, text = OUTPUTS[model_type]
        if any(None in output for output in outputs) or not fits(outputs, keypoints, got):
            wanted = text.format(k=keypoints, two=2 * keypoints, sides=got[0] + got[1])
            listed = " and ".join(map(str, outputs))
            raise UserError(f"{where}: {name} returned a model with output {listed}, it must be {wanted}")
    return network


def _maps(outputs: Shapes, keypoints: int, _input: tuple[int, ...]) -> bool:
    return len(outputs) == 1 and len(outputs[0]) == 3 and outputs[0][-1] == keypoints


def _bins(outputs: Shapes, keypoints: int, image: tuple[int, ...]) -> bool:
    if len(outputs) != 1 or len(outputs[0]) != 2 or outputs[0][0] != keypoints:
        return False
    bins = outputs[0][1]
    return bins > 0 and bins % (image[0] + image[1]) == 0


def _coordinates(outputs: Shapes, keypoints: int, _input: tuple[int, ...]) -> bool:
    return len(outputs) == 1 and outputs[0] in ((1, keypoints, 3), (1, 1, keypoints, 3))


def _movenet(outputs: Shapes, keypoints: int, _input: tuple[int, ...]) -> bool:
    widths = (1, keypoints, 2 * keypoints, 2 * keypoints)
    return len(outputs) == 4 and all(
        len(shape) == 3 and shape == (*outputs[0][:2], width) for shape, width in zip(outputs, widths, strict=True)
    )


OUTPUTS: dict[str, tuple[Callable[[Shapes, int, tuple[int, ...]], bool], str]] = {
    "heatmaps_spe": (_maps, "(h, w, {k}): a map a keypoint"),
    "simcc_spe": (_bins, "({k}, n) with n a multiple of {sides}: bins across and down a keypoint"),
    "spe": (_coordinates, "(1, 1, {k}, 3) or (1, {k}, 3): y, x and score a keypoint"),
    "movenet_spe": (_movenet, "(h, w, 1), (h, w, {k}), (h, w, {two}) and (h, w, {two}), in this order"),
}
"""Model type -> whether outputs (without the batch axis), K and (H, W, channels) go together; and what would, in words.

Other types are left to their codec.
"""

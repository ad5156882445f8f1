"""The loss by its name, for the kind of output that a network has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from stm32pose.config.losses import ALIASES, AUTO, OUTPUTS, argument_problem, arguments_of, loss_problem, output_of
from stm32pose.errors import ConfigError

if TYPE_CHECKING:
    import keras

WHERE = "training.loss"


def resolve_loss(name: str, *, kind: str = "heatmaps", activation: str = "sigmoid", where: str = WHERE) -> str:
    """The loss that `name` stands for: "auto" and other spellings become a key of `config.losses.LOSSES`.

    Args:
        name: as in `training.loss`.
        kind: of the codec: "heatmaps", "simcc", "keypoints" or "movenet".
        activation: of heat maps: "sigmoid", "softmax" or "empty" (logits of a softmax).
        where: key named in messages.

    Raises:
        ConfigError: there is no such loss, it does not go with these outputs, or nothing does.
    """
    output = output_of(kind, activation)
    if output is None:
        raise ConfigError(
            f"model.model_type: outputs of kind {kind!r} cannot be trained; trainable are heatmaps_spe, simcc_spe, spe "
            "and movenet_spe"
        )
    problem = loss_problem(name, output)
    if problem:
        raise ConfigError(f"{where}: {problem}")
    return OUTPUTS[output][0] if name == AUTO else ALIASES.get(name, name)


def make_loss(
    name: str,
    *,
    kind: str = "heatmaps",
    activation: str = "sigmoid",
    arguments: Mapping[str, Any] | None = None,
    keypoints: int | None = None,
    input_shape: tuple[int, int] | None = None,
    where: str = WHERE,
) -> keras.losses.Loss:
    """A Keras loss of all outputs of a network, for `sample_weight` [B, K].

    `call(targets, outputs)` gives float32 [B, K], one value a joint; the loss is their mean weighted by sample_weight,
    so a joint of weight 0 has no influence at all, a batch without labelled joints costs 0, and the batch size does not
    matter. Targets are what the codec of that kind encodes; shapes and formulas: the modules of this package.

    Args:
        name: as in `training.loss`; "auto" takes the first of `config.losses.OUTPUTS`.
        kind: of the codec: "heatmaps", "simcc", "keypoints" or "movenet".
        activation: of heat maps: "sigmoid", "softmax" or "empty" (logits of a softmax).
        arguments: of the loss, see `config.losses.LOSSES`.
        keypoints: K, where known; `topk` is then checked against it.
        input_shape: (H, W) of the network's input in pixels; needed for keypoints and SimCC.
        where: key named in messages.

    Returns:
        A loss with reduction "mean_with_sample_weight"; it has an attribute `layers` where layers learn with it.

    Raises:
        ConfigError: as `resolve_loss`, or an argument is unknown or out of its range.
    """
    name = resolve_loss(name, kind=kind, activation=activation, where=where)
    output = output_of(kind, activation)
    problem = argument_problem(name, arguments or {}, output)
    if problem:
        raise ConfigError(f"{where}.{name}.{problem[0]}: {problem[1]}")
    given: dict[str, Any] = {key: argument.default for key, argument in arguments_of(name, output).items()} | dict(
        arguments or {}
    )
    if name == "rle":
        from stm32pose.losses.rle import make_rle

        return make_rle(**given)
    return _loss(name, _formula(name, kind, activation, given, keypoints, input_shape, where))


def _formula(
    name: str,
    kind: str,
    activation: str,
    given: dict[str, Any],
    keypoints: int | None,
    input_shape: tuple[int, int] | None,
    where: str,
) -> Callable[[Any, Any], Any]:
    """The function (targets, outputs) -> [B, K]."""
    from stm32pose.losses import heatmap, mining, movenet, regression, simcc

    if kind == "movenet":
        return movenet.composite(**given)
    if kind in ("keypoints", "simcc"):
        if input_shape is None:
            raise ValueError(f"make_loss: losses of {kind} need input_shape")
        return (regression if kind == "keypoints" else simcc).formula(name, input_shape, **given)
    if name == "ohkm":
        topk, whole = given["topk"], given["whole"]
        if topk is not None and keypoints is not None and topk > keypoints:
            raise ConfigError(f"{where}.ohkm.topk: got {topk}; the skeleton has {keypoints} keypoints")
        return mining.hardest(heatmap.squared_error, heatmap.labelled, topk=topk, whole=whole)
    return heatmap.formula(name, activation)


def _loss(name: str, formula: Callable[[Any, Any], Any]) -> keras.losses.Loss:
    import keras

    class JointLoss(keras.losses.Loss):
        """A function of (targets, outputs) averaged over the labelled joints."""

        def call(self, y_true, y_pred):
            return formula(y_true, y_pred)

    return JointLoss(name=name, reduction="mean_with_sample_weight")

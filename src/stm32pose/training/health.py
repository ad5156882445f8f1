"""Gradients and weights of every layer on one batch, what stands out in them, and where a number stopped being one.

Nothing here changes the training: what a forward pass and an update touch is put back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

MOSTLY_SILENT = 0.5
"""Share of channels that lost their gradient from which a layer is named."""
SAME_SHARE = 0.005
"""Difference of two such shares up to which neighbours are taken to have died together."""
FAST = 0.1
"""Change of a layer's weights in one step, as a share of them, above which it is named; near 0.001 is usual."""
SLOW = 1e-6
"""And below which, in every epoch."""
MOST_NAMED = 6


@dataclass(frozen=True)
class LayerHealth:
    """One layer on one batch.

    Attributes:
        layer: its name.
        kind: its class, `Conv2D`.
        parameters: how many learn.
        gradient: Euclidean norm of the gradient of all of them; None where it is not finite.
        weight: Euclidean norm of the weights; None where it is not finite.
        update: norm of the change that one step of the optimizer makes, divided by `weight`; None where the weights are
            all zero or the optimizer gathers gradients over several steps.
        silent: share of the output channels whose gradient is exactly 0 on the whole batch, 0 to 1: dead ReLUs behind
            them, or nothing behind them at all.
        finite: whether gradient and weights are.
        died: share of the output channels that are silent now and were not before the first step, 0 to 1; weights that
            a training starts from have silent channels of their own. `silent` where nothing is known of that time.
    """

    layer: str
    kind: str
    parameters: int
    gradient: float | None
    weight: float | None
    update: float | None
    silent: float
    finite: bool
    died: float

    def row(self) -> dict[str, Any]:
        """As a dict, JSON-able."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Health:
    """All layers that learn, from the input on, with the values themselves for histograms, flat, by layer."""

    layers: list[LayerHealth]
    weights: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]


def silent_channels(trainer: keras.Model, images: Any, targets: Any, weights: Any) -> dict[str, np.ndarray]:
    """Which output channels of each layer have a gradient of exactly 0 on this batch; arguments as `measure_health`.

    Returns:
        bool [C'] of each layer that learns, by name: the channels of its variables one after the other.
    """
    import tensorflow as tf

    with _restored(trainer.variables):
        slopes = _slopes(trainer, images, tf.nest.map_structure(tf.constant, targets), weights)
    return _silent(trainer, [_dense(slope, variable) for slope, variable in _paired(slopes, trainer)])


def measure_health(
    trainer: keras.Model, images: Any, targets: Any, weights: Any, before: Mapping[str, np.ndarray] | None = None
) -> Health:
    """What one training step on this batch would do, without doing it.

    Args:
        trainer: compiled, its optimizer built.
        images: float32 [B, H, W, C], rescaled.
        targets: as the codec encodes them: an array, or a tuple of them.
        weights: float32 [B, K].
        before: `silent_channels` before the first step of the training; None: not known.
    """
    import tensorflow as tf

    optimizer: Any = getattr(trainer.optimizer, "inner_optimizer", trainer.optimizer)
    targets = tf.nest.map_structure(tf.constant, targets)
    variables = list(trainer.trainable_variables)
    old_values = [variable.numpy() for variable in variables]
    with _restored([*trainer.variables, *trainer.optimizer.variables]):
        gradients = _slopes(trainer, images, targets, weights)
        pairs = [pair for pair in _paired(gradients, trainer) if pair[0] is not None]
        gathers = getattr(optimizer, "gradient_accumulation_steps", None)
        if pairs and not gathers:
            optimizer.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        after = None if gathers else [variable.numpy() for variable in variables]
    slopes = [_dense(slope, variable) for slope, variable in _paired(gradients, trainer)]
    owners, places, silent = _owners(trainer), _places(trainer), _silent(trainer, slopes)
    layers, flat_weights, flat_slopes = [], {}, {}
    for name, indices in places.items():
        flat_weights[name] = np.concatenate([old_values[index].ravel() for index in indices])
        flat_slopes[name] = np.concatenate([slopes[index].ravel() for index in indices])
        moved = None if after is None else np.concatenate([(after[i] - old_values[i]).ravel() for i in indices])
        died = silent[name] & ~before[name] if before is not None and name in before else silent[name]
        kind = type(owners[id(variables[indices[0]])][1]).__name__
        layers.append(_layer(name, kind, flat_weights[name], flat_slopes[name], moved, silent[name], died))
    return Health(layers, flat_weights, flat_slopes)


def hints(epochs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What stands out, in plain words, the worst first; empty where nothing does.

    Args:
        epochs: at least one: {"epoch", "layers": rows of `LayerHealth.row`}, in order.
    """
    last = epochs[-1]["layers"]
    broken = [row["layer"] for row in last if not row["finite"]]
    still = [row["layer"] for row in last if row["finite"] and row["gradient"] == 0]
    died = [row for row in _heads(last) if row["finite"] and row["gradient"] and row["died"] >= MOSTLY_SILENT]
    silent = [f"{row['layer']} ({100 * row['died']:.0f} %)" for row in sorted(died, key=lambda row: -row["died"])]
    fast = [row["layer"] for row in last if row["update"] is not None and row["update"] > FAST]
    ever: dict[str, float] = {}
    # After the last step of a schedule the rate may be 0, and says nothing of the layers.
    moving = [one for one in epochs if any(row["update"] for row in one["layers"])]
    for row in (row for one in moving for row in one["layers"] if row["update"] is not None):
        ever[row["layer"]] = max(ever.get(row["layer"], 0.0), row["update"])
    slow = [name for name, most in ever.items() if most < SLOW and name not in still]
    told = [
        (broken, "gradients or weights are not finite", "lower the learning rate"),
        (
            still,
            "layers that get no gradient",
            "nothing behind them leads to the loss, or everything behind them is dead",
        ),
        (
            silent,
            "layers most of whose channels died since the first step (no gradient in the whole batch)",
            "often left by a learning rate that was too high",
        ),
        (fast, f"layers that change by more than {100 * FAST:.0f} % a step", "lower the learning rate, or warm it up"),
        (slow, "layers that hardly change (less than a millionth a step)", "the learning rate is too low for them"),
    ]
    return [f"{what}: {_listed(names)}; {advice}" for names, what, advice in told if names]


def not_finite(trainer: keras.Model, images: Any) -> str:
    """Where the network stopped giving numbers, in a few words; for when the loss did.

    Args:
        trainer: the network.
        images: float32 [B, H, W, C], rescaled, a few of them.
    """
    owners = _owners(trainer)
    state: dict[str, bool] = {}
    for variable in trainer.variables:
        name = owners.get(id(variable), (None, None))[0]
        if name is not None and np.issubdtype(np.dtype(variable.dtype), np.floating):
            state[name] = state.get(name, True) and bool(np.isfinite(variable.numpy()).all())
    broken = [name for name, finite in state.items() if not finite]
    if broken:
        return f"the weights of {broken[0]} are not finite, the first of {len(broken)} of {len(state)} layers"
    for name, output in _outputs(trainer, images):
        if not np.isfinite(output).all():
            return f"the output of {name} is not finite, the first of the network's layers; its weights are"
    return "weights and outputs of the network are finite on the first batch, so look for a label that is not a place"


def _heads(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """`rows` without those that die with the one before: a normalisation, or what works on each channel alone."""
    heads: list[Mapping[str, Any]] = []
    previous = None
    for row in rows:
        alone = "Normalization" in row["kind"] or "Depthwise" in row["kind"]
        if not (alone and previous is not None and abs(row["died"] - previous["died"]) < SAME_SHARE):
            heads.append(row)
        previous = row
    return heads


def _slopes(trainer: keras.Model, images: Any, targets: Any, weights: Any) -> list[Any]:
    """Gradient of the loss by each trainable variable, None where it has none; a training step's forward pass."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        inputs = tf.constant(images)
        outputs = trainer(inputs, training=True)
        loss = trainer.compute_loss(inputs, targets, outputs, sample_weight=tf.constant(weights), training=True)
    tensors: Any = [variable.value for variable in trainer.trainable_variables]
    return tape.gradient(loss, tensors)  # pyright: ignore[reportCallIssue, reportArgumentType, reportReturnType]


def _paired(slopes: Sequence[Any], trainer: keras.Model) -> list[tuple[Any, Any]]:
    return list(zip(slopes, trainer.trainable_variables, strict=True))


def _dense(slope: Any, variable: Any) -> np.ndarray:
    import tensorflow as tf

    return np.zeros_like(variable.numpy()) if slope is None else tf.convert_to_tensor(slope).numpy()


def _places(trainer: keras.Model) -> dict[str, list[int]]:
    """{layer: indices into `trainer.trainable_variables`}, from the input on."""
    owners = _owners(trainer)
    places: dict[str, list[int]] = {}
    for index, variable in enumerate(trainer.trainable_variables):
        places.setdefault(owners[id(variable)][0], []).append(index)
    return places


def _silent(trainer: keras.Model, slopes: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    owners, variables = _owners(trainer), trainer.trainable_variables
    return {
        name: np.concatenate([_silent_channels(owners[id(variables[index])][1], slopes[index]) for index in indices])
        for name, indices in _places(trainer).items()
    }


def _layer(
    name: str,
    kind: str,
    weights: np.ndarray,
    slopes: np.ndarray,
    moved: np.ndarray | None,
    silent: np.ndarray,
    died: np.ndarray,
) -> LayerHealth:
    weight, gradient = _norm(weights), _norm(slopes)
    change = _norm(moved) if moved is not None and weight else None
    return LayerHealth(
        layer=name,
        kind=kind,
        parameters=weights.size,
        gradient=gradient,
        weight=weight,
        update=change / weight if change is not None and weight else None,
        silent=float(silent.mean()),
        finite=weight is not None and gradient is not None,
        died=float(died.mean()),
    )


def _norm(values: np.ndarray) -> float | None:
    norm = float(np.linalg.norm(values.astype(np.float64)))
    return norm if np.isfinite(norm) else None


def _silent_channels(layer: Any, slope: np.ndarray) -> np.ndarray:
    """bool [C]: which output channels of one variable have a gradient of 0 throughout."""
    import keras

    if slope.ndim < 2:
        return slope.reshape(-1) == 0
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        slope = slope.reshape(*slope.shape[:-2], -1)
    elif isinstance(layer, keras.layers.Conv2DTranspose):
        slope = np.moveaxis(slope, -2, -1)
    return (slope.reshape(-1, slope.shape[-1]) == 0).all(axis=0)


def _owners(trainer: keras.Model) -> dict[int, tuple[str, Any]]:
    """The innermost layer that each variable belongs to, and its name: {id of the variable: (name, layer)}."""
    # The trainer itself comes first, containers before what they contain: the last entry is the innermost.
    owners: dict[int, tuple[str, Any]] = {}
    for layer in trainer._flatten_layers():
        for variable in layer.variables:
            owners[id(variable)] = (layer.name, layer)
    return owners


def _outputs(trainer: keras.Model, images: Any) -> Iterator[tuple[str, np.ndarray]]:
    """(name, values) of each output of each layer of the graph, from the input on."""
    import keras
    import tensorflow as tf

    layers = []
    for layer in trainer.layers:
        try:
            layers += [(layer.name, output) for output in tf.nest.flatten(layer.output)]
        except (AttributeError, ValueError):
            continue  # no part of the graph, or called more than once
    values = keras.Model(trainer.inputs, [output for _, output in layers])(tf.constant(images), training=False)
    for (name, _), value in zip(layers, tf.nest.flatten(values), strict=True):
        yield name, tf.cast(value, tf.float32).numpy()


@contextmanager
def _restored(variables: Sequence[Any]) -> Iterator[None]:
    """Give `variables` their values back when the block ends."""
    kept = [(variable, variable.numpy()) for variable in variables]
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")

"""`model.pretrained`: weights of an earlier training, `imagenet` or a local file, for a network that was just built.

Tensors are matched by layer name where the names agree, else by the order of the layers that have weights; every shape
is compared. Nothing is loaded silently: the log says how many tensors of how many; fewer than half of the backbone's
are an error, for a few agree by chance between networks that have nothing in common.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.errors import ConfigError, UserError, first_line
from stm32pose.models.backbones import features
from stm32pose.models.backbones.mobilenet_v2 import LAST_LAYER
from stm32pose.models.imagenet import IMAGENET, imagenet_weights
from stm32pose.models.load import H5_SUFFIXES, READING_ERRORS, is_url, load_model

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

LEAST = 0.5
"""Share of the backbone's tensors that have to fit."""

Tensors = list[np.ndarray]


def load_pretrained(
    model: keras.Model,
    source: str,
    *,
    alpha: float = 1.0,
    backbone: str | None = None,
    where: str = "model.pretrained",
) -> int:
    """Loads `source` into `model` in place and returns the number of tensors loaded.

    `source` is `imagenet` (weights of Keras Applications for width `alpha`, downloaded once into Keras' cache) or a
    local .h5 or .keras file: a classifier or a pose model with the same backbone. `backbone` is the key of BACKBONES
    that a network of the family was built with; for other networks MobileNetV2's layers, or all, are the backbone. One
    input channel takes the sum of the colour kernels, which sees a grey image as the original sees it in colour.
    Raises ConfigError or UserError, the latter also when fewer than half of the backbone's tensors fit.
    """
    imagenet = source.lower() == "imagenet"
    if not imagenet and is_url(source):
        raise ConfigError(
            f"{where}: got {source}, allowed are 'imagenet' and a local .h5 or .keras file; download it first"
        )
    names = backbone_layers(model, backbone, alpha)
    if imagenet:
        known = backbone or ("mobilenet_v2" if LAST_LAYER in names else None)
        file = imagenet_weights(known, alpha, model.input_shape[1:3], where)
        loaded = transfer(model, read_weights(file, where), "ImageNet", where, names)
        log.info("ImageNet weights of %s expect: %s", known, IMAGENET[str(known)].pixels)
        return loaded
    return transfer(model, read_weights(Path(source), where), source, where, names)


def backbone_layers(model: keras.Model, backbone: str | None, alpha: float) -> set[str]:
    """Names of the layers of `model` that are its backbone; all where nothing tells them apart."""
    import keras

    names = [layer.name for layer in model.layers]
    if backbone is None:
        return set(names[: names.index(LAST_LAYER) + 1] if LAST_LAYER in names else names)
    image, found = features(backbone, model.input_shape[1:], alpha)
    return {layer.name for layer in keras.Model(image, list(found.values())).layers} & set(names)


def transfer(
    model: keras.Model,
    saved: list[tuple[str, Tensors]],
    source: str,
    where: str = "model.pretrained",
    names: Collection[str] = (),
) -> int:
    """Copies the `saved` layers into `model`: the backbone `names`, then the head if that fits; returns the tensors."""
    layers = [layer for layer in model.layers if layer.weights]
    backbone = [layer for layer in layers if layer.name in names]
    head = [layer for layer in layers if layer.name not in names]
    saved = without_biases(backbone, saved)
    pairs, rest = match(backbone, saved)
    fits, total = sum(len(tensors) for _, tensors in pairs), sum(len(layer.weights) for layer in backbone)
    if not fits or fits < LEAST * total:
        count = (
            f"only {fits} of the {total} backbone tensors of {model.name} fit"
            if fits
            else (f"none of the {total} backbone tensors of {model.name} fits")
        )
        raise UserError(
            f"{where}: {count} {source}; it is of another network: give model.backbone (or model_name) and model.alpha "
            "as that file was made with"
        )
    loaded = copy(pairs)
    log.info("%d of %d backbone tensors from %s", loaded, total, source)
    if loaded < total:
        log.warning(
            "%s: only %d of %d backbone tensors fit %s, the others stay random; is it the same backbone, and the same "
            "alpha?",
            where,
            loaded,
            total,
            source,
        )
    elif head:
        head_pairs, _ = match(head, rest)
        # A head of another network agrees in a tensor or two by chance: only (almost) the whole head is taken.
        if len(head_pairs) >= len(head) - 2 and len(rest) == len(head):
            copied = copy(head_pairs)
            log.info("%d of %d head tensors from %s", copied, sum(len(layer.weights) for layer in head), source)
            loaded += copied
    return loaded


def without_biases(layers: list[Any], saved: list[tuple[str, Tensors]]) -> list[tuple[str, Tensors]]:
    """`saved` with the biases of convolutions that have none in `layers` moved into their batch normalisation.

    A bias before a batch normalisation only shifts the mean that is taken off again: mean - bias is the same network.
    Convolution and normalisation belong together by name, `X_conv` and `X_bn`, as in Keras Applications' ResNet.
    """
    bare = {layer.name for layer in layers if len(layer.weights) == 1}
    biases = {
        name.removesuffix("_conv"): tensors[1]
        for name, tensors in saved
        if name in bare and len(tensors) == 2 and tensors[1].ndim == 1
    }
    moved = []
    for name, tensors in saved:
        if name.removesuffix("_conv") in biases and name.endswith("_conv"):
            tensors = tensors[:1]
        elif name.removesuffix("_bn") in biases and name.endswith("_bn") and len(tensors) == 4:
            gamma, beta, mean, variance = tensors
            tensors = [gamma, beta, mean - biases[name.removesuffix("_bn")], variance]
        moved.append((name, tensors))
    return moved


def match(
    layers: list[Any], saved: list[tuple[str, Tensors]]
) -> tuple[list[tuple[Any, Tensors]], list[tuple[str, Tensors]]]:
    """Pairs of `layers` and their saved tensors, and the saved layers left over.

    By name when every name is among the saved ones, else in order, up to the first layer whose shapes differ.
    """
    by_name = dict(saved)
    pairs = []
    if all(layer.name in by_name for layer in layers):
        for layer in layers:
            fitted = fit(layer, by_name[layer.name])
            if fitted is not None:
                pairs.append((layer, fitted))
        taken = {layer.name for layer in layers}
        return pairs, [(name, tensors) for name, tensors in saved if name not in taken]
    for layer, (_, tensors) in zip(layers, saved, strict=False):
        fitted = fit(layer, tensors)
        if fitted is None:
            break
        pairs.append((layer, fitted))
    return pairs, saved[len(pairs) :]


def fit(layer: Any, tensors: Tensors) -> Tensors | None:
    """`tensors` as `layer` wants them, or None where a shape differs; colour kernels are summed for grey input."""
    wanted = [tuple(weight.shape) for weight in layer.weights]
    if len(wanted) != len(tensors):
        return None
    fitted = []
    for shape, tensor in zip(wanted, tensors, strict=True):
        if len(shape) == 4 and shape[2] == 1 and tensor.shape == (*shape[:2], 3, shape[3]):
            tensor = tensor.sum(axis=2, keepdims=True)
        if tensor.shape != shape:
            return None
        fitted.append(tensor)
    return fitted


def copy(pairs: Iterable[tuple[Any, Tensors]]) -> int:
    """Sets the weights of each layer; returns the number of tensors."""
    loaded = 0
    for layer, tensors in pairs:
        layer.set_weights(tensors)
        loaded += len(tensors)
    return loaded


def read_weights(file: Path, where: str = "model.pretrained") -> list[tuple[str, Tensors]]:
    """Names and tensors of the layers with weights in an .h5 or .keras file, in the order of the network.

    An .h5 is read as it is, its architecture is not needed; Keras 2 and 3, whole models and weights. Raises UserError.
    """
    import h5py

    if not file.is_file():
        raise UserError(f"{where}: no file '{file}'")
    if file.suffix.lower() == ".keras":
        model = load_model(file, where=where)
        return [(layer.name, layer.get_weights()) for layer in model._flatten_layers() if own_weights(layer)]
    if file.suffix.lower() not in H5_SUFFIXES or not h5py.is_hdf5(file):
        raise UserError(f"{where}: '{file}' is not an .h5 or .keras file; allowed are these and 'imagenet'")
    try:
        with h5py.File(file) as content:
            group: Any = content.get("model_weights", content)
            if "layer_names" not in group.attrs and "layer_names0" not in group.attrs:
                raise UserError(
                    f"{where}: '{file}' has weights in the layout of .weights.h5, which does not tell their order; "
                    "give the whole model, .keras or .h5"
                )
            saved = []
            for name in attribute(group, "layer_names"):
                layer = group[name]
                tensors: dict[str, Tensors] = {}
                for key in attribute(layer, "weight_names"):
                    # A nested network is one entry here; the first part of a tensor's name tells its own layers apart.
                    tensors.setdefault(key.rpartition("/")[0] or name, []).append(np.asarray(layer[key]))
                saved += [(owner.rpartition("/")[2], arrays) for owner, arrays in tensors.items()]
            return saved
    except READING_ERRORS as error:
        raise UserError(f"{where}: '{file}' cannot be read: {first_line(error)}") from error


def own_weights(layer: Any) -> bool:
    """Whether `layer` holds weights itself rather than through layers inside it."""
    return bool(layer.weights) and not getattr(layer, "layers", None)


def attribute(group: Any, name: str) -> list[str]:
    """The list of names in attribute `name`, which Keras cuts into `name0`, `name1`, ... when it is long."""
    chunks = [group.attrs[name]] if name in group.attrs else []
    while f"{name}{len(chunks)}" in group.attrs:
        chunks.append(group.attrs[f"{name}{len(chunks)}"])
    return [key.decode() if isinstance(key, bytes) else str(key) for chunk in chunks for key in chunk]

"""Reading float Keras models: .keras, .h5 of Keras 2 and 3, from disk or from an https address."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from stm32pose import __version__
from stm32pose.errors import UserError, first_line

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

READING_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    RuntimeError,
    zipfile.BadZipFile,
)
H5_SUFFIXES = (".h5", ".hdf5")
"""Of HDF5 files, compared in lower case."""
PLAIN_PACKAGES = ("keras", "builtins")
CODE_LAYERS = {
    "Lambda": "which is code stored in the file",
    "__lambda__": "which is code stored in the file",
    "TFSMLayer": "which runs another file, a SavedModel",
    "TorchModuleWrapper": "which is pickled code of PyTorch",
    "JaxLayer": "which is code of JAX stored in the file",
    "FlaxLayer": "which is code of Flax stored in the file",
}
"""Keras' own layers that run what a file brings along, and why they are refused."""
PASSING = ("Reshape", "Dropout", "Identity")
"""Layers that the values pass unchanged."""
CHUNK = 1 << 20


def load_model(path: str | Path, *, where: str = "model.model_path") -> keras.Model:
    """The Keras model of a .keras or .h5 file, uncompiled. No code of the file is run: `CODE_LAYERS` are refused.

    Raises UserError when the file is missing, no Keras model, damaged, or needs classes that Keras does not have.
    """
    import h5py

    file = Path(path)
    if not file.is_file():
        raise UserError(f"{where}: no file '{file}'")
    suffix = file.suffix.lower()
    try:
        if suffix == ".keras":
            if not zipfile.is_zipfile(file):
                raise UserError(f"{where}: '{file}' is not a .keras file, or it is cut off")
            with zipfile.ZipFile(file) as archive:
                refuse_foreign_code(json.loads(archive.read("config.json")), file, where)
            return read_model(file)
        if suffix in H5_SUFFIXES:
            if not h5py.is_hdf5(file):
                raise UserError(f"{where}: '{file}' is not an HDF5 file, or it is cut off")
            return load_h5(file, where)
    except READING_ERRORS as error:
        raise UserError(f"{where}: '{file}' cannot be read as a Keras model: {first_line(error)}") from error
    raise UserError(f"{where}: got '{file.name}', a Keras model is needed here: a .keras or .h5 file")


def read_model(file: Path) -> keras.Model:
    """Keras' own loader, uncompiled and without stored code; ValueError for a file of something else."""
    import keras

    if file.suffix != file.suffix.lower():  # Keras knows its files by suffixes in lower case
        with TemporaryDirectory() as folder:
            return read_model(Path(copyfile(file, Path(folder) / f"model{file.suffix.lower()}")))
    model = keras.saving.load_model(file, compile=False, safe_mode=True)
    if not isinstance(model, keras.Model):
        raise ValueError(f"it holds a {type(model).__name__}")
    return model


def load_h5(file: Path, where: str) -> keras.Model:
    """The model of an .h5 file; spellings of Keras 2 that Keras 3 rejects are translated in a temporary copy."""
    import h5py

    with h5py.File(file) as content:
        config = content.attrs.get("model_config")
    if config is None:
        raise UserError(f"{where}: '{file}' holds weights only, no architecture; give a whole model")
    architecture = json.loads(config)
    refuse_foreign_code(architecture, file, where)
    if not translate_keras_2(architecture):
        return restore_axes(read_model(file), architecture)
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "translated.h5"
        copyfile(file, copy)  # not its permissions: the original may be read-only
        with h5py.File(copy, "r+") as content:
            content.attrs["model_config"] = json.dumps(architecture)
        return restore_axes(read_model(copy), architecture)


def translate_keras_2(architecture: Any) -> bool:
    """Rewrites in place what Keras 2 wrote and Keras 3 refuses; whether anything was.

    Keras 2 saved `groups: 1` with every depthwise convolution, an argument that the layer no longer takes.
    """
    changed = False
    for node in dictionaries(architecture):
        if node.get("class_name") in ("DepthwiseConv2D", "SeparableConv2D") and node["config"].get("groups") == 1:
            del node["config"]["groups"]
            changed = True
    return changed


def restore_axes(model: keras.Model, architecture: Any) -> keras.Model:
    """`model` with the axes of every softmax over cells, which Keras' reader of .h5 files drops without a word."""
    for layer in model._flatten_layers():
        if type(layer).__name__ != "Softmax":
            continue
        for node in dictionaries(architecture):
            config = node.get("config")
            if isinstance(config, dict) and config.get("name") == layer.name and isinstance(config.get("axis"), list):
                layer.axis = tuple(config["axis"])
    return model


def refuse_foreign_code(config: Any, file: Path, where: str) -> None:
    """UserError when the architecture `config` holds, however deep, `CODE_LAYERS` or classes from outside Keras."""
    for node in dictionaries(config):
        name = node.get("class_name")
        # Keras also finds `layers.Lambda` in the module `keras`, and `package>Name`.
        kind = str(name).rpartition(">")[2].rpartition(".")[2]
        if kind in CODE_LAYERS:
            raise UserError(
                f"{where}: '{file}' has a {kind.strip('_').replace('lambda', 'Lambda')} layer, {CODE_LAYERS[kind]} and "
                "is not run; rebuild the model with a layer of Keras in its place"
            )
        module = node.get("module")
        if name and isinstance(module, str) and module.split(".")[0] not in PLAIN_PACKAGES:
            raise UserError(f"{where}: '{file}' needs the class {module}.{name}, only Keras' own layers can be loaded")


def dictionaries(node: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary inside `node`."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from dictionaries(item)


def final_activation(model: keras.Model) -> str | None:
    """`sigmoid` or `softmax` (over the cells of each map) where that is what the only output comes from; else None.

    Seen in a layer of its own, in the activation of the last convolution, and in single operations, as ST's 4.x files
    end: exp(z - max) / sum(exp(z - max)).
    """
    if len(model.outputs or ()) != 1:
        return None
    tensor = model.outputs[0]
    while True:
        operation = tensor._keras_history.operation
        if getattr(operation, "outputs", None) and hasattr(operation, "layers"):  # a network inside
            tensor = operation.outputs[tensor._keras_history.tensor_index]
            continue
        found = activation_of(operation)
        inputs = operation._inbound_nodes[tensor._keras_history.node_index].input_tensors
        if found or type(operation).__name__ not in PASSING or len(inputs) != 1:
            return found
        tensor = inputs[0]


def activation_of(operation: Any) -> str | None:
    """The activation that a layer or an operation of Keras is, or ends with; None for others."""
    kind = type(operation).__name__
    if kind == "Sigmoid" or getattr(getattr(operation, "activation", None), "__name__", "") == "sigmoid":
        return "sigmoid"
    node = operation._inbound_nodes[0]
    if kind == "Softmax" and over_cells(operation.axis, node.input_tensors[0].shape):
        return "softmax"
    if kind in ("Divide", "TrueDivide") and len(node.input_tensors) == 2:
        powers, total = (tensor._keras_history.operation for tensor in node.input_tensors)
        if (type(powers).__name__, type(total).__name__) == ("Exp", "Sum"):
            summed = total._inbound_nodes[0].input_tensors[0]
            if summed is node.input_tensors[0] and over_cells(total.axis, summed.shape):
                return "softmax"
    return None


def over_cells(axis: Any, shape: tuple[int | None, ...]) -> bool:
    """Whether `axis` (one or several) is all of [B, h, w, K] or [B, h*w, K] but batch and keypoints."""
    axes = axis if isinstance(axis, list | tuple) else [axis]
    return None not in axes and sorted(index % len(shape) for index in axes) == list(range(1, len(shape) - 1))


def is_url(path: str | Path) -> bool:
    """Whether `path` is a web address rather than a file."""
    return str(path).lower().startswith(("http://", "https://"))


def fetch(url: str, folder: Path, *, timeout: float = 30.0, where: str = "model.model_path") -> Path:
    """Downloads `url` (https, certificate checked) into `folder`; the file appears only once it is complete.

    Size and SHA-256 are logged. `timeout` in seconds without an answer. Raises UserError.
    """
    name = Path(urlsplit(url).path).name
    if urlsplit(url).scheme.lower() != "https":
        raise UserError(f"{where}: got {url}, only https addresses are downloaded")
    if not name:
        raise UserError(f"{where}: {url} names no file")
    folder.mkdir(parents=True, exist_ok=True)
    part, target, digest = folder / f"{name}.part", folder / name, hashlib.sha256()
    request = Request(url, headers={"User-Agent": f"stm32pose/{__version__}"})  # noqa: S310  https, checked above
    try:
        with urlopen(request, timeout=timeout) as answer, part.open("wb") as file:  # noqa: S310
            if urlsplit(answer.geturl()).scheme != "https":
                raise UserError(f"{where}: {url} leads to {answer.geturl()}, only https addresses are downloaded")
            announced = answer.headers.get("Content-Length")
            log.info("downloading %s, %s", url, size_text(int(announced)) if announced else "size not announced")
            while chunk := answer.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
        size = part.stat().st_size
        if announced and size != int(announced):
            raise UserError(f"{where}: {url} was cut off after {size_text(size)} of {size_text(int(announced))}")
        part.replace(target)
    except (URLError, OSError, ValueError) as error:
        raise UserError(f"{where}: {url} cannot be downloaded: {first_line(error)}") from error
    finally:
        part.unlink(missing_ok=True)
    log.info("%s: %s, sha256 %s", target, size_text(size), digest.hexdigest())
    return target


def size_text(size: int) -> str:
    """`size` in bytes, for people."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"

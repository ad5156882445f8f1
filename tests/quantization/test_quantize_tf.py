"""Everything of quantization, inference and benchmark that needs TensorFlow: one small network, converted once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from stm32pose.benchmark.graph import read_graph
from stm32pose.benchmark.graph_keras import graph_of_model
from stm32pose.benchmark.memory import plan_memory
from stm32pose.config.target_sections import Quantization
from stm32pose.errors import ConfigError, UserError
from stm32pose.inference import keras_export
from stm32pose.inference.keras_export import with_nearest_resizing
from stm32pose.inference.runner import load_runner
from stm32pose.inference.sidecar import may_write_sidecar, read_sidecar, write_sidecar
from stm32pose.inference.tflite_file import read_raw
from stm32pose.inference.tflite_runner import open_interpreter
from stm32pose.quantization.calibration import AHEAD, Calibration
from stm32pose.quantization.operators import float_operators
from stm32pose.quantization.result import QuantizedModel
from stm32pose.quantization.tflite import quantize_tflite

if TYPE_CHECKING:
    import keras

SHAPE = (24, 32, 3)
SYMMETRIC = (1 / 127.5, -1.0)


def export_float(model: keras.Model, destination: Path) -> Path:
    """A float TFLite file of the model."""
    destination.write_bytes(keras_export.convert(keras_export.tflite_converter(model), destination.name))
    return destination


@pytest.fixture(scope="session")
def model() -> keras.Model:
    """Convolution, batch norm, ReLU, depthwise, upsampling, sigmoid maps of 4 keypoints; untrained, fixed weights."""
    import keras

    keras.utils.set_random_seed(5)
    x = inputs = keras.Input(SHAPE)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU(6.0)(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = keras.layers.Conv2D(4, 1, activation="sigmoid", kernel_initializer="random_normal", name="maps")(x)
    built = keras.Model(inputs, x, name="tiny")
    weights = [np.random.default_rng(i).normal(0, 0.5, w.shape) for i, w in enumerate(built.get_weights())]
    built.set_weights([np.abs(w) if w.ndim == 1 else w for w in weights])
    return built


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    return np.random.default_rng(11).integers(0, 256, (20, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="session")
def calibration(pixels: np.ndarray) -> list[np.ndarray]:
    """Two whole batches and a rest."""
    return [pixels[:8], pixels[8:16], pixels[16:]]


def rescaled(batches: list[np.ndarray]) -> np.ndarray:
    """All images as the network gets them."""
    return np.concatenate(batches).astype(np.float32) * np.float32(SYMMETRIC[0]) + np.float32(SYMMETRIC[1])


@pytest.fixture(scope="session")
def quantized(
    model: keras.Model, calibration: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, QuantizedModel]:
    folder = tmp_path_factory.mktemp("quantized")
    choices = {
        "uint8": ("uint8", "int8", "per_channel"),
        "float": ("float", "float", "per_channel"),
        "tensor": ("int8", "uint8", "per_tensor"),
    }
    return {
        name: quantize_tflite(
            model,
            iter(calibration),
            section=Quantization(
                quantization_input_type=given, quantization_output_type=returned, granularity=granularity
            ),
            destination=folder / name / "quantized_model.tflite",
            rescaling=SYMMETRIC,
            metadata={"codec": {"kind": "heatmap"}, "calibration_set": "dataset.training_path"},
        )
        for name, (given, returned, granularity) in choices.items()
    }


@pytest.mark.parametrize(
    ("name", "types"), [("uint8", "uint8 int8"), ("float", "float32 float32"), ("tensor", "int8 uint8")]
)
def test_files_are_what_was_asked_for(quantized: dict[str, QuantizedModel], name: str, types: str) -> None:
    path = quantized[name].path
    raw = read_raw(path.read_bytes(), path)
    given, returned = raw.tensors[raw.inputs[0]], raw.tensors[raw.outputs[0]]
    assert f"{given.dtype} {returned.dtype}" == types
    assert given.shape == (1, *SHAPE)  # ST's tools want a batch of one
    assert not float_operators(raw)
    filters = [raw.tensors[op.inputs[1]] for op in raw.ops if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    assert [tensor.dtype for tensor in filters] == ["int8"] * 3
    assert [tensor.scales for tensor in filters] == ([1, 1, 1] if name == "tensor" else [8, 8, 4])


def test_sidecar(quantized: dict[str, QuantizedModel], calibration: list[np.ndarray]) -> None:
    done = quantized["uint8"]
    content = json.loads(done.sidecar.read_text())
    assert done.sidecar.name == "quantized_model.json"
    assert content == read_sidecar(done.path)
    assert content["sha256"] == hashlib.sha256(done.path.read_bytes()).hexdigest()
    assert content["size_bytes"] == done.size_bytes == done.path.stat().st_size
    digest = hashlib.sha256(rescaled(calibration).tobytes()).hexdigest()
    assert content["calibration"] == {"images": 20, "sha256": digest, "set": "dataset.training_path"}
    details = open_interpreter(done.path).get_output_details()[0]
    assert content["outputs"][0]["scale"] == pytest.approx(details["quantization"][0])
    assert content["inputs"][0] | {"name": ""} == {
        "name": "",
        "shape": [1, *SHAPE],
        "dtype": "uint8",
        "scale": content["inputs"][0]["scale"],
        "zero_point": content["inputs"][0]["zero_point"],
    }
    assert content["codec"] == {"kind": "heatmap"}
    assert content["granularity"] == "per_channel"
    (output,) = content["parity"]["outputs"]
    assert 0 < output["mean_error"] <= output["max_error"] < 0.1
    assert content["parity"] == done.parity
    assert content["versions"]["keras"]


def test_sidecar_of_another_file(quantized: dict[str, QuantizedModel], tmp_path: Path) -> None:
    path = tmp_path / "quantized_model.tflite"
    path.write_bytes(quantized["uint8"].path.read_bytes() + b"\x00")
    assert read_sidecar(path) is None
    path.with_suffix(".json").write_text(quantized["uint8"].sidecar.read_text())
    with pytest.raises(UserError, match="digests differ"):
        read_sidecar(path)
    path.with_suffix(".json").write_text('{"somebody": "else"}')
    assert read_sidecar(path) is None
    assert not may_write_sidecar(path)
    path.with_suffix(".json").write_text("{broken")
    with pytest.raises(UserError, match="cannot be read"):
        read_sidecar(path)


def test_an_unbound_sidecar_holds_for_every_file_of_its_stem(tmp_path: Path) -> None:
    path = tmp_path / "best_model.keras"
    write_sidecar(path, {"codec": {"kind": "heatmaps"}}, bound=False)
    for name in ("best_model.keras", "best_model.h5"):
        (tmp_path / name).write_bytes(b"of any epoch")
        content = read_sidecar(tmp_path / name)
        assert content is not None
        assert content["codec"] == {"kind": "heatmaps"}
    assert may_write_sidecar(path)


@pytest.mark.parametrize("name", ["uint8", "float", "tensor"])
def test_runner_agrees_with_the_float_model(
    quantized: dict[str, QuantizedModel], model: keras.Model, pixels: np.ndarray, name: str
) -> None:
    runner = load_runner(quantized[name].path, rescaling=SYMMETRIC)
    assert runner.quantized
    reference = np.asarray(model(pixels.astype(np.float32) / 127.5 - 1, training=False))
    got = runner.predict(pixels)[0]
    assert got.shape == reference.shape
    assert np.abs(got - reference).max() < 0.1
    assert np.abs(got - reference).mean() < 0.02
    assert reference.std() > 0.05  # a constant network would agree with anything


def test_keras_runner_is_the_model(model: keras.Model, pixels: np.ndarray, tmp_path: Path) -> None:
    for suffix in (".keras", ".h5"):
        path = tmp_path / f"tiny{suffix}"
        model.save(path)
        runner = load_runner(path, rescaling=SYMMETRIC)
        assert (runner.kind, runner.quantized, runner.input_shape) == ("keras", False, SHAPE)
        assert runner.outputs[0].shape == (24, 32, 4)
        reference = np.asarray(model(pixels.astype(np.float32) / 127.5 - 1, training=False))
        np.testing.assert_allclose(runner.predict(pixels)[0], reference, atol=1e-5)
        np.testing.assert_allclose(runner.predict(pixels[:3])[0], reference[:3], atol=1e-5)
        assert runner.invoke_seconds > 0


def test_damaged_keras_file(tmp_path: Path) -> None:
    for suffix in (".keras", ".h5"):
        path = tmp_path / f"broken{suffix}"
        path.write_bytes(b"nothing of the kind")
        with pytest.raises(UserError, match=path.name) as caught:
            load_runner(path, rescaling=SYMMETRIC)
        assert "\n" not in str(caught.value)


def test_untrained_model_is_priced_as_the_file_it_becomes(
    quantized: dict[str, QuantizedModel], model: keras.Model
) -> None:
    before, after = graph_of_model(model), read_graph(quantized["float"].path)
    weighted = ("CONV_2D", "DEPTHWISE_CONV_2D", "RESIZE_BILINEAR", "LOGISTIC")
    assert [op.kind for op in before.ops] == [op.kind for op in after.ops if op.kind in weighted]
    assert before.macs == after.macs == 12 * 16 * 8 * 27 + 12 * 16 * 8 * 9 + 24 * 32 * 4 * 8
    assert before.weights_bytes == after.weights_bytes == (216 + 72 + 32) + 4 * (8 + 8 + 4)
    assert not before.quantized
    assert after.quantized
    whole = read_graph(quantized["uint8"].path)
    assert plan_memory(before).peak_bytes == plan_memory(whole).peak_bytes


def test_nearest_upsampling_becomes_one_operator(calibration: list[np.ndarray], tmp_path: Path) -> None:
    """RESIZE_NEAREST_NEIGHBOR, which accelerators run, in the place of RESHAPE and TILE; nested networks included."""
    import keras

    image, inner = keras.Input(SHAPE), keras.Input((12, 16, 4))
    up = keras.layers.UpSampling2D(2, interpolation="nearest", name="up")
    nested = keras.Model(inner, keras.layers.Conv2D(4, 1)(up(inner)), name="nested")
    x = nested(keras.layers.Conv2D(4, 3, strides=2, padding="same")(image))
    maps = keras.layers.Conv2D(3, 3, padding="same")(keras.layers.UpSampling2D((1, 2), interpolation="nearest")(x))
    network = keras.Model(image, maps, name="nearest")
    copy = with_nearest_resizing(network)
    assert copy is not network
    batch = rescaled(calibration)
    np.testing.assert_array_equal(copy(batch), network(batch))
    assert nested.get_layer("up") is up  # the network itself stays as it is
    files = [
        export_float(network, tmp_path / "float.tflite"),
        quantize_tflite(
            network,
            calibration,
            section=Quantization(),
            destination=tmp_path / "int8.tflite",
            rescaling=SYMMETRIC,
            metadata={},
        ).path,
    ]
    for path in files:
        kinds = [op.kind for op in read_raw(path.read_bytes(), path).ops]
        assert kinds.count("RESIZE_NEAREST_NEIGHBOR") == 2
        assert not {"TILE", "RESHAPE"} & set(kinds)
    got = load_runner(files[0], rescaling=(1.0, 0.0)).predict(np.full((1, *SHAPE), 7, np.uint8))[0]
    np.testing.assert_allclose(got, network(np.full((1, *SHAPE), 7, np.float32)), rtol=1e-4, atol=1e-3)
    kinds = [op.kind for op in graph_of_model(network).ops]
    assert kinds == [op.kind for op in read_graph(files[1]).ops if op.kind != "QUANTIZE" and op.kind != "DEQUANTIZE"]


def test_networks_without_nearest_upsampling_are_not_copied(model: keras.Model) -> None:
    assert with_nearest_resizing(model) is model


def test_equal_constants_count_each_time(model: keras.Model) -> None:
    import keras

    fresh = keras.models.clone_model(model)  # its biases are all zero, and the converter keeps equal ones once
    assert graph_of_model(fresh).weights_bytes == graph_of_model(model).weights_bytes


def test_float_export(model: keras.Model, pixels: np.ndarray, tmp_path: Path) -> None:
    path = export_float(model, tmp_path / "float.tflite")
    runner = load_runner(path, rescaling=SYMMETRIC)
    assert not runner.quantized
    reference = np.asarray(model(pixels[:4].astype(np.float32) / 127.5 - 1, training=False))
    np.testing.assert_allclose(runner.predict(pixels[:4])[0], reference, atol=1e-4)


def test_operator_left_in_float_is_named(model: keras.Model, calibration: list[np.ndarray], tmp_path: Path) -> None:
    import keras

    rounded = keras.Model(model.inputs, keras.ops.round(model.outputs[0]))
    destination = tmp_path / "quantized_model.tflite"
    with pytest.raises(UserError, match="not full int8, these operators stay float: ROUND of '") as caught:
        convert(rounded, calibration, destination)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def convert(model: keras.Model, images: list[np.ndarray], destination: Path, **choices: object) -> QuantizedModel:
    section = Quantization.model_validate(choices)
    return quantize_tflite(
        model, images, section=section, destination=destination, rescaling=SYMMETRIC, metadata={}, total=None
    )


def test_bad_calibration(model: keras.Model, tmp_path: Path) -> None:
    for batches, complaint in (
        ([], "no image to calibrate with"),
        ([np.zeros((0, *SHAPE), np.uint8)], "no image to calibrate with"),
        ([np.zeros((2, 8, 8, 3), np.uint8)], r"got images of shape \[2, 8, 8, 3\], the model takes \[24, 32, 3\]"),
        ([np.zeros((2, *SHAPE), np.float32)], "got float32 images; pixels are uint8"),
    ):
        with pytest.raises(UserError, match=complaint):
            convert(model, batches, tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ({"quantization_type": "QAT"}, "quantization.quantization_type: 'QAT' is not built yet"),
        ({"optimize": True}, "quantization.optimize: True is not built yet"),
        (
            {"operating_mode": "full_auto"},
            "quantization.operating_mode: got 'full_auto' with quantizer: TFlite_converter; layers are told apart with "
            "quantizer: onnx_quantizer",
        ),
    ],
)
def test_choices_that_cannot_be(model: keras.Model, tmp_path: Path, choice: dict, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        convert(model, [], tmp_path / "m.tflite", **choice)
    assert str(caught.value).startswith(complaint)


def test_unwritable_destination(model: keras.Model, calibration: list[np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        convert(model, calibration, tmp_path / "file/m.tflite")


def test_conversion_is_quiet(
    model: keras.Model, calibration: list[np.ndarray], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    convert(model, calibration, tmp_path / "m.tflite")
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) <= 2  # TensorFlow itself may greet once


def test_parity_is_what_the_interpreter_gives(
    quantized: dict[str, QuantizedModel], model: keras.Model, calibration: list[np.ndarray]
) -> None:
    """Recomputed with LiteRT alone, on the images that were kept."""
    done = quantized["uint8"]
    kept = np.stack(done.images)
    assert len(kept) == done.parity["images"] == 16
    interpreter = open_interpreter(done.path)
    given, returned = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = given["quantization"]
    step, middle = returned["quantization"]
    found = []
    for image in kept:
        real = image.astype(np.float64) / 127.5 - 1
        stored = np.clip(np.floor(real / scale + zero + 0.501), 0, 255).astype(np.uint8)
        interpreter.set_tensor(given["index"], stored[None])
        interpreter.invoke()
        found.append((interpreter.get_tensor(returned["index"])[0].astype(np.float64) - middle) * step)
    wanted = np.asarray(model(rescaled([kept]), training=False), np.float64)
    error = np.stack(found) - wanted
    (output,) = done.parity["outputs"]
    assert output["max_error"] == pytest.approx(np.abs(error).max(), abs=1e-5)
    assert output["mean_error"] == pytest.approx(np.abs(error).mean(), rel=1e-3)
    assert output["sqnr_db"] == pytest.approx(10 * np.log10((wanted**2).sum() / (error**2).sum()), abs=0.01)
    assert done.parity["keypoints"] is None  # no codec was given


def test_calibration_reads_every_image_once() -> None:
    given = [np.full((7, 2, 2, 1), value, np.uint8) for value in range(60)]
    images = Calibration(iter(given), (2, 2, 1), (2.0, 1.0))
    assert images.count == AHEAD
    seen = [float(image[0, 0, 0, 0]) for image in images]
    assert seen == [2 * value + 1 for value in range(60) for _ in range(7)]
    assert images.count == 420
    assert len(images.kept) == 16


def test_images_are_kept_from_all_where_their_number_is_known() -> None:
    given = [np.full((10, 2, 2, 1), value, np.uint8) for value in range(20)]
    images = Calibration(iter(given), (2, 2, 1), (1.0, 0.0), ahead=1, total=200, keep=4)
    assert images.count == 1
    list(images)
    assert [int(image[0, 0, 0]) for image in images.kept] == [2, 7, 12, 17]
    assert all(image.base is None for image in images.kept)  # no batch is held in memory by one of its images

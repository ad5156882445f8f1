"""Keras to a float ONNX file: shapes, layout, operator set, names, and the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")

import onnx_models as made  # noqa: E402

from stm32pose.errors import ConfigError, UserError  # noqa: E402
from stm32pose.inference import keras_onnx  # noqa: E402
from stm32pose.inference.keras_onnx import export_onnx  # noqa: E402
from stm32pose.inference.onnx_graph import opset_of, shape_of  # noqa: E402
from stm32pose.inference.runner import load_runner  # noqa: E402

if TYPE_CHECKING:
    import keras


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return made.heat_maps()


@pytest.mark.parametrize(("layout", "opset", "ir"), [("NCHW", 17, 8), ("NHWC", 15, 8), ("NCHW", 21, 10)])
def test_file_is_as_asked(
    model: keras.Model, tmp_path: Path, layout, opset: int, ir: int, capfd: pytest.CaptureFixture[str]
) -> None:
    path = export_onnx(model, tmp_path / "tiny.onnx", opset=opset, layout=layout)
    assert capfd.readouterr().out == ""
    graph = onnx.load(path)
    onnx.checker.check_model(graph, full_check=True)
    assert (opset_of(graph), graph.ir_version) == (opset, ir)
    assert [entry.domain for entry in graph.opset_import] == [""]
    (given,), (returned,) = graph.graph.input, graph.graph.output
    assert (given.name, returned.name) == ("image", "maps")
    first = layout == "NCHW"
    assert shape_of(given) == ((1, 3, 24, 32) if first else (1, 24, 32, 3))
    assert shape_of(returned) == ((1, 4, 24, 32) if first else (1, 24, 32, 4))
    assert len(made.nodes(graph, "Transpose")) == (0 if first else 2)
    assert not made.nodes(graph, "BatchNormalization")
    assert not made.nodes(graph, "Mul")  # the batch normalisation went into the convolution
    assert {"stem", "depth", "point", "maps_conv", "join"} <= {node.name for node in graph.graph.node}
    assert {"stem/kernel", "stem/bias", "depth/kernel"} <= {item.name for item in graph.graph.initializer}
    images = made.pixels(3)
    runner = load_runner(path, rescaling=made.RESCALING)
    wanted = np.asarray(model(images.astype(np.float32) / 127.5 - 1, training=False))
    assert (runner.layout, runner.activation, runner.quantized) == (layout, "sigmoid", False)
    np.testing.assert_allclose(runner.predict(images)[0], wanted, atol=1e-5)
    assert wanted.std() > 0.05


def test_names_do_not_depend_on_what_was_converted_before(model: keras.Model, tmp_path: Path) -> None:
    before, after = (onnx.load(export_onnx(model, tmp_path / f"{name}.onnx")) for name in ("one", "two"))
    assert [node.name for node in before.graph.node] == [node.name for node in after.graph.node]
    assert len({node.name for node in before.graph.node}) == len(before.graph.node)


def test_softmax_over_cells_is_one_operator(tmp_path: Path) -> None:
    model = made.heat_maps("softmax")
    path = export_onnx(model, tmp_path / "soft.onnx")
    graph = onnx.load(path)
    assert {node.op_type for node in graph.graph.node} <= {"Conv", "Clip", "Add", "Resize", "Reshape", "Softmax"}
    runner = load_runner(path, rescaling=made.RESCALING)
    assert runner.activation == "softmax"
    images = made.pixels(2)
    maps = runner.predict(images)[0]
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1, atol=1e-5)
    np.testing.assert_allclose(maps, model(images.astype(np.float32) / 127.5 - 1, training=False), atol=1e-6)


def test_softmax_written_as_single_operations(tmp_path: Path) -> None:
    """As ST's 4.x files end."""
    import keras

    body = made.heat_maps("none")
    z = body.outputs[0]
    powers = keras.ops.exp(z - keras.ops.max(z, axis=(1, 2), keepdims=True))
    model = keras.Model(body.inputs, powers / keras.ops.sum(powers, axis=(1, 2), keepdims=True))
    graph = onnx.load(export_onnx(model, tmp_path / "soft.onnx"))
    assert len(made.nodes(graph, "Softmax")) == 1
    assert not made.nodes(graph, "Exp")


def test_nearest_upsampling_in_words_that_onnx_kept(tmp_path: Path) -> None:
    path = export_onnx(made.heat_maps(nearest=True), tmp_path / "near.onnx")
    (resize,) = made.nodes(onnx.load(path), "Resize")
    words = {item.name: item.s for item in resize.attribute if item.s}
    assert words["coordinate_transformation_mode"] == b"asymmetric"
    assert (words["mode"], words["nearest_mode"]) == (b"nearest", b"floor")


def test_several_outputs_that_are_no_maps(tmp_path: Path) -> None:
    import keras

    x = inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, strides=4)(x)
    flat = keras.layers.Flatten()(x)
    model = keras.Model(inputs, [keras.layers.Dense(6, name="points")(flat), keras.layers.Dense(1, name="score")(flat)])
    path = export_onnx(model, tmp_path / "two.onnx")
    runner = load_runner(path, rescaling=made.RESCALING)
    assert [(output.name, output.shape) for output in runner.outputs] == [("points", (6,)), ("score", (1,))]
    images = made.pixels(2, (16, 16, 3))
    wanted = model(images.astype(np.float32) / 127.5 - 1, training=False)
    for got, value in zip(runner.predict(images), wanted, strict=True):
        np.testing.assert_allclose(got, value, atol=1e-4)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_real_network(shared: Path, tmp_path: Path, layout) -> None:
    """MobileNetV2 with ImageNet weights, from an .h5 file of Keras 2: float ONNX, then QDQ, on photographs."""
    import cv2

    from stm32pose.config.target_sections import Quantization
    from stm32pose.models.load import load_model
    from stm32pose.quantization.onnx_model import quantize_onnx
    from stm32pose.quantization.parity import Reference, file_parity, keras_predict

    model = load_model(shared / "models/backbones/mobilenet_v2_0.35_128_imagenet_flowers_head.h5")
    path = export_onnx(model, tmp_path / "backbone.onnx", layout=layout)
    files = sorted((shared / "data/coco_mini").rglob("*.jpg"))[:24]
    images = np.stack([cv2.resize(cv2.imread(str(file))[..., ::-1], (128, 128)) for file in files])
    reference = Reference(keras_predict(model, made.RESCALING))
    (exact,) = file_parity(reference, path, images, made.RESCALING)["outputs"]
    assert exact["max_error"] < 1e-5
    done = quantize_onnx(
        path,
        [images],
        total=24,
        section=Quantization(quantizer="onnx_quantizer"),
        destination=tmp_path / "q.onnx",
        rescaling=made.RESCALING,
        metadata={},
        reference=reference,
    )
    assert done.parity["outputs"][0]["sqnr_db"] > 8
    assert done.size_bytes < 0.4 * path.stat().st_size


def test_a_file_that_differs_is_refused(model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(proto, what):
        from onnx import numpy_helper

        for item in proto.graph.initializer:
            if item.name.startswith("stem") or "stem" in item.name:
                item.CopyFrom(numpy_helper.from_array(1.01 * numpy_helper.to_array(item), item.name))
        return proto

    monkeypatch.setattr(keras_onnx, "folded", spoiled)
    with pytest.raises(UserError, match="differs from the Keras model by"):
        export_onnx(model, tmp_path / "wrong.onnx")
    assert not list(tmp_path.iterdir())


def test_operator_set_that_does_not_exist(model: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"quantization.target_opset: got 99; the onnx package here knows up to"):
        export_onnx(model, tmp_path / "x.onnx", opset=99)

"""Runners on real files, on small ONNX files made here, and on bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stm32pose.errors import ConfigError, UserError
from stm32pose.inference.ahead import predict_ahead
from stm32pose.inference.runner import load_runner
from stm32pose.inference.tflite_runner import open_interpreter

UNIT = (1 / 255, 0.0)
SYMMETRIC = (1 / 127.5, -1.0)


def images(shape: tuple[int, int, int], count: int = 3) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, *shape), dtype=np.uint8)


def by_hand(path: Path, stored: np.ndarray) -> list[np.ndarray]:
    """LiteRT used directly, image by image."""
    interpreter = open_interpreter(path)
    index = interpreter.get_input_details()[0]["index"]
    found: list[list[np.ndarray]] = [[] for _ in interpreter.get_output_details()]
    for image in stored:
        interpreter.set_tensor(index, image[None])
        interpreter.invoke()
        for place, details in zip(found, interpreter.get_output_details(), strict=True):
            scale, zero_point = details["quantization"]
            raw = interpreter.get_tensor(details["index"])[0].astype(np.float64)
            place.append((raw - zero_point) * scale if scale else raw)
    return [np.stack(place) for place in found]


@pytest.mark.parametrize(
    ("name", "rescaling", "outputs"),
    [
        ("st_movenet_lightning_heatmaps_192_int8_pc", SYMMETRIC, [(48, 48, 13)]),
        ("movenet_singlepose_lightning_192_int8", (1.0, 0.0), [(1, 17, 3)]),
        ("yolov8n_256_quant_pc_uf_pose_coco-st", UNIT, [(56, 1344)]),
        ("yolov8n_256_quant_pt_uf_pose_coco-st", UNIT, [(56, 1344)]),
        ("hand_landmark_full_224_int8_pc", UNIT, [(1,), (63,), (1,), (63,)]),
    ],
)
def test_real_tflite(shared: Path, name: str, rescaling: tuple[float, float], outputs: list[tuple[int, ...]]) -> None:
    path = shared / f"models/pose/{name}.tflite"
    runner = load_runner(path, rescaling=rescaling)
    assert (runner.kind, runner.quantized, runner.layout) == ("tflite", True, "NHWC")
    assert [output.shape for output in runner.outputs] == outputs
    batch = images(runner.input_shape)
    got = runner.predict(batch)
    assert [(value.shape, value.dtype) for value in got] == [((3, *shape), np.float32) for shape in outputs]
    for value, reference in zip(got, by_hand(path, batch), strict=True):  # all five take the pixel as it is
        np.testing.assert_allclose(value, reference, atol=1e-6)
    assert runner.invoke_seconds > 0


def test_threads_change_nothing(shared: Path) -> None:
    path = shared / "models/pose/st_movenet_lightning_heatmaps_192_int8_pc.tflite"
    one, two = (load_runner(path, rescaling=SYMMETRIC, threads=threads) for threads in (1, 2))
    batch = images((192, 192, 3), 2)
    assert np.array_equal(one.predict(batch)[0], two.predict(batch)[0])


def test_predict_ahead_keeps_order(shared: Path) -> None:
    runner = load_runner(shared / "models/pose/movenet_singlepose_lightning_192_int8.tflite", rescaling=(1, 0))
    batches = [images((192, 192, 3), 2) * np.uint8(index) for index in range(5)]
    expected = [runner.predict(batch)[0] for batch in batches]
    pairs = list(predict_ahead(runner, batches, lambda batch: batch))
    assert all(batch is given for (batch, _), given in zip(pairs, batches, strict=True))
    assert all(np.array_equal(out[0], value) for (_, out), value in zip(pairs, expected, strict=True))
    with pytest.raises(ConfigError, match=r"takes \(192, 192\)"):
        list(predict_ahead(runner, [images((96, 96, 3))], lambda batch: batch))


def test_real_onnx_channels_first_batch_of_one(shared: Path) -> None:
    runner = load_runner(shared / "models/pose/face_landmarks_v1_192_int8_pc.onnx", rescaling=UNIT)
    assert (runner.kind, runner.quantized, runner.layout) == ("onnx", True, "NCHW")
    assert runner.input_shape == (192, 192, 3)
    batch = images(runner.input_shape)
    together = runner.predict(batch)[0]
    assert together.shape == (3, 1, 1, 936)
    for index in range(3):
        assert np.array_equal(runner.predict(batch[index : index + 1])[0][0], together[index])


def onnx_file(path: Path, *, batch: int | str, layout: str, dtype: str = "float") -> Path:
    """A model that copies its input and halves it; an integer input is dequantized by 0.5 and 3 first."""
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    shape = [batch, 2, 6, 8] if layout == "NCHW" else [batch, 6, 8, 2]
    shape[1 if layout == "NCHW" else 3] = 3
    half = onnx.numpy_helper.from_array(np.float32(0.5), "half")
    zero = onnx.numpy_helper.from_array(np.uint8(3), "zero")
    nodes = [helper.make_node("Mul", ["x", "half"], ["y"])]
    if dtype == "uint8":
        nodes = [
            helper.make_node("DequantizeLinear", ["x", "half", "zero"], ["real"]),
            helper.make_node("Mul", ["real", "half"], ["y"]),
        ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", types.UINT8 if dtype == "uint8" else types.FLOAT, shape)],
        [helper.make_tensor_value_info("y", types.FLOAT, shape)],
        [half, zero],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batch", ["n", 1, 2])
def test_onnx_layouts_and_batches(tmp_path: Path, layout: str, batch: int | str) -> None:
    pytest.importorskip("onnxruntime")
    path = onnx_file(tmp_path / "tiny.onnx", batch=batch, layout=layout)
    runner = load_runner(path, rescaling=SYMMETRIC)
    assert (runner.input_shape, runner.layout, runner.quantized) == ((6, 8, 3), layout, False)
    assert runner.outputs[0].shape == (6, 8, 3)
    batch_images = images((6, 8, 3), 5)
    np.testing.assert_allclose(runner.predict(batch_images)[0], (batch_images / 127.5 - 1) / 2, atol=1e-6)


def test_onnx_integer_input_uses_its_own_scale(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = onnx_file(tmp_path / "tiny.onnx", batch=1, layout="NHWC", dtype="uint8")
    runner = load_runner(path, rescaling=(0.5, -1.5))
    assert (runner.input.dtype, runner.input.scale, runner.input.zero_point) == ("uint8", 0.5, 3)
    batch = images((6, 8, 3), 2)
    np.testing.assert_allclose(runner.predict(batch)[0], (batch * 0.5 - 1.5) / 2, atol=1e-6)


def test_bad_images(shared: Path) -> None:
    runner = load_runner(shared / "models/pose/movenet_singlepose_lightning_192_int8.tflite", rescaling=(1, 0))
    with pytest.raises(ConfigError, match=r"color_mode: gives 1 channels, .* takes 3; use 'rgb'"):
        runner.predict(images((192, 192, 1)))
    with pytest.raises(ConfigError, match=r"got images of \(128, 128\)"):
        runner.predict(images((128, 128, 3)))
    with pytest.raises(ConfigError, match="uint8"):
        runner.predict(images((192, 192, 3)).astype(np.float32))
    with pytest.raises(UserError, match="no image"):
        runner.predict(images((192, 192, 3), 0))


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"\x1c\x00\x00\x00TFL3" + b"\xff" * 200])
def test_damaged_files(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_runner(path, rescaling=UNIT)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cut_off_file(shared: Path, tmp_path: Path) -> None:
    whole = (shared / "models/pose/movenet_singlepose_lightning_192_int8.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(UserError, match=r"cut\.tflite"):
        load_runner(path, rescaling=(1, 0))


def test_unknown_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.model_path: got 'model.pt'; a model is one of .keras"):
        load_runner(tmp_path / "model.pt", rescaling=UNIT)
    with pytest.raises(ConfigError, match="no such file"):
        load_runner(tmp_path / "model.tflite", rescaling=UNIT)


def test_loading_is_quiet(shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_runner(shared / "models/pose/movenet_singlepose_lightning_192_int8.tflite", rescaling=(1, 0))
    assert capfd.readouterr() == ("", "")

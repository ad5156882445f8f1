"""Graphs of real files, of a small ONNX file, and of damaged ones."""

from __future__ import annotations

import csv
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from stm32pose.benchmark.graph import read_graph
from stm32pose.benchmark.memory import plan_memory
from stm32pose.errors import ConfigError, UserError


def test_heatmap_network(shared: Path) -> None:
    graph = read_graph(shared / "models/pose/st_movenet_lightning_heatmaps_192_int8_pc.tflite")
    assert graph.quantized
    assert not graph.per_tensor
    assert graph.kinds["CONV_2D"] == 44
    assert graph.kinds["DEPTHWISE_CONV_2D"] == 21
    assert graph.kinds["PAD"] == 0  # folded
    assert graph.tensors[graph.inputs[0]].shape == (1, 192, 192, 3)
    assert graph.tensors[graph.outputs[0]].shape == (1, 48, 48, 13)
    assert graph.macs == pytest.approx(236.98e6, rel=1e-4)
    assert graph.weights_bytes / 1024 == pytest.approx(2300.69, abs=0.01)


def test_granularity(shared: Path) -> None:
    assert read_graph(shared / "models/pose/yolov8n_256_quant_pt_uf_pose_coco-st.tflite").per_tensor
    assert not read_graph(shared / "models/pose/yolov8n_256_quant_pc_uf_pose_coco-st.tflite").per_tensor


def test_weights_agree_with_published_rows(shared: Path) -> None:
    with (shared / "facts/st_benchmarks.csv").open(newline="", encoding="utf-8") as stream:
        rows = [
            row
            for row in csv.DictReader(stream)
            if row["model_file"].endswith(".tflite")
            and ("mobilenet_v" in row["model_file"] or "resnet" in row["model_file"])
            and row["series"] in ("STM32H7", "STM32U5")
            and row["model_match"] == "exact_link"
            and row["weights_flash_kib"]
            and row["cubeai_version"] not in ("", "7.3.0")  # one of those counts 5 KiB more
            and "ssd" not in row["model_file"]  # counts the anchors, which are folded away here
        ]
    assert len(rows) > 8
    for row in rows:
        ours = read_graph(shared / row["model_file"]).weights_bytes / 1024
        published = float(row["weights_flash_kib"])
        assert ours == pytest.approx(published, abs=0.06), row


def onnx_network(path: Path, *, batch: int | str = 1) -> Path:
    """Pad, 3x3 conv stride 2, batch norm, ReLU, 1x1 conv, sigmoid, on 8x8x3 channels first."""
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    rng = np.random.default_rng(0)

    def constant(name: str, *shape: int) -> object:
        return onnx.numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)

    constants = [
        constant("w1", 4, 3, 3, 3),
        *(constant(name, 4) for name in ("g", "b", "m", "v")),
        constant("w2", 5, 4, 1, 1),
        constant("b2", 5),
        onnx.numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "pads"),
    ]
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"]),
        helper.make_node("Conv", ["padded", "w1"], ["c1"], kernel_shape=[3, 3], strides=[2, 2], name="first"),
        helper.make_node("BatchNormalization", ["c1", "g", "b", "m", "v"], ["n1"]),
        helper.make_node("Relu", ["n1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], kernel_shape=[1, 1], name="last"),
        helper.make_node("Sigmoid", ["c2"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", types.FLOAT, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info("y", types.FLOAT, [batch, 5, 4, 4])],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.mark.parametrize("batch", [1, "n"])
def test_onnx_folds_and_fuses(tmp_path: Path, batch: int | str) -> None:
    graph = read_graph(onnx_network(tmp_path / "tiny.onnx", batch=batch))
    assert [op.kind for op in graph.ops] == ["CONV_2D", "CONV_2D", "LOGISTIC"]
    assert graph.ops[0].stride == (2, 2)
    assert graph.macs == 4 * 16 * 27 + 5 * 16 * 4
    assert graph.weights_bytes == 4 * 27 + 5 * 4 + 4 * 5
    assert plan_memory(graph).peak_bytes == 3 * 64 + 4 * 16


def test_real_onnx(shared: Path) -> None:
    graph = read_graph(shared / "models/pose/face_landmarks_v1_192_int8_pc.onnx")
    assert graph.quantized
    assert not {"QuantizeLinear", "DequantizeLinear", "Relu"} & set(graph.kinds)
    assert graph.kinds["DEPTHWISE_CONV_2D"] == 18


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_damaged(tmp_path: Path, suffix: str) -> None:
    for number, content in enumerate((b"", b"nonsense" * 9, b"\x1c\x00\x00\x00TFL3" + b"\xff" * 99)):
        path = tmp_path / f"broken{number}{suffix}"
        path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            read_graph(path)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_bytes_gone_bad_never_crash(shared: Path, tmp_path: Path) -> None:
    whole = bytearray((shared / "models/calibration/kws_ref_model.tflite").read_bytes())
    rng = np.random.default_rng(3)
    path = tmp_path / "bad.tflite"
    for _ in range(40):
        content = whole.copy()
        for place in rng.integers(8, len(content), 300):
            content[place] = rng.integers(0, 256)
        path.write_bytes(bytes(content))
        with suppress(UserError):  # anything else that is raised fails the test
            read_graph(path)


def test_unknown_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_graph(tmp_path / "none.tflite")
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(ConfigError, match="a model is one of"):
        read_graph(tmp_path / "model.pt")


@pytest.mark.parametrize(("kind", "share"), [("INT4", 0.5), ("INT8", 1), ("INT16", 2)])
def test_weights_of_an_onnx_file_count_as_they_are_stored(tmp_path: Path, kind: str, share: float) -> None:
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    weights = helper.make_tensor("w", getattr(types, kind), (4, 3, 3, 3), [1] * 108)
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["w", "scale"], ["real"]),
            helper.make_node("Conv", ["image", "real"], ["maps"], kernel_shape=[3, 3]),
        ],
        "net",
        [helper.make_tensor_value_info("image", types.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("maps", types.FLOAT, (1, 4, 6, 6))],
        initializer=[weights, onnx.numpy_helper.from_array(np.float32(0.1), "scale")],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), str(path))
    assert read_graph(path).weights_bytes == 108 * share


@pytest.mark.parametrize(
    ("name", "published_kib"),
    [("192_int8__7d9091d9", 483.16), ("224_int8__c5b17bae", 675.64), ("256_int8__efceb053", 675.64)],
)
def test_anchors_of_a_detector_lie_in_flash(shared, name, published_kib):
    """An output that is the same for every input counts with its own type: ST's figures of STM32Cube.AI 10."""
    path = shared / "models/calibration" / f"coco_2017_person__st_ssd_mobilenet_v1_025_{name}.tflite"
    assert read_graph(path).weights_bytes / 1024 == pytest.approx(published_kib, rel=0.005)

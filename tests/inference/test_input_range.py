"""The rescaling that a file's input quantization was made for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stm32pose.errors import UserError
from stm32pose.inference.input_range import input_range, own_rescaling


@pytest.mark.parametrize(
    ("file", "rescaling"),
    [
        ("st_movenet_lightning_heatmaps_192_int8_pc.tflite", (1 / 127.5, -1)),
        ("movenet_singlepose_lightning_192_int8.tflite", (1, 0)),
        ("yolov8n_256_quant_pc_uf_pose_coco-st.tflite", (1 / 255, 0)),
        ("hand_landmark_full_224_int8_pc.tflite", (1 / 255, 0)),
        ("face_landmarks_v1_192_int8_pc.onnx", (1 / 255, 0)),
    ],
)
def test_real_files_tell_theirs(shared: Path, file: str, rescaling: tuple[float, float]):
    assert own_rescaling(shared / "models" / "pose" / file) == pytest.approx(rescaling)


def quantized_onnx(path: Path, scale: float | None, zero: np.ndarray | None = None) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 8, 8])
    nodes, constants = [helper.make_node("Relu", ["image"], ["output"])], []
    if scale is not None:
        names = ["scale"] + (["zero"] if zero is not None else [])
        constants = [numpy_helper.from_array(np.array(scale, np.float32), "scale")]
        constants += [numpy_helper.from_array(zero, "zero")] if zero is not None else []
        nodes = [
            helper.make_node("QuantizeLinear", ["image", *names], ["stored"]),
            helper.make_node("DequantizeLinear", ["stored", *names], ["output"]),
        ]
    graph = helper.make_graph(nodes, "g", [image], [output], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


@pytest.mark.parametrize(
    ("scale", "zero", "expected"),
    [
        (2 / 255, np.array(0, np.int8), (1 / 127.5, -1)),
        (1 / 255, None, (1 / 255, 0)),  # no zero point: unsigned, 0
        (1.0, np.array(0, np.uint8), (1, 0)),
        (0.02, np.array(-28, np.int8), (0.02, -2.0)),  # no usual one: pixels fill the range
    ],
)
def test_onnx_files_tell_by_their_first_node(tmp_path: Path, scale, zero, expected):
    assert own_rescaling(quantized_onnx(tmp_path / "a.onnx", scale, zero)) == pytest.approx(expected)


def test_a_float_input_tells_nothing(tmp_path: Path):
    path = quantized_onnx(tmp_path / "float.onnx", None)
    assert input_range(path) is None
    assert own_rescaling(path) is None
    assert own_rescaling(tmp_path / "weights.keras") is None


def test_the_order_of_axes_hides_nothing(tmp_path: Path):
    """Channels-last exports turn the image before they quantize it."""
    import onnx
    from onnx import helper

    path = quantized_onnx(tmp_path / "a.onnx", 1 / 255, np.array(-128, np.int8))
    model = onnx.load(path)
    model.graph.node[0].input[0] = "turned"
    model.graph.node.insert(0, helper.make_node("Transpose", ["image"], ["turned"], perm=[0, 1, 3, 2]))
    onnx.save(model, path)
    assert own_rescaling(path) == pytest.approx((1 / 255, 0))


@pytest.mark.parametrize("name", ["broken.onnx", "broken.tflite"])
def test_a_broken_file_is_named(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"\x08\x07no model at all")
    with pytest.raises(UserError, match=rf"{name}: not a"):
        own_rescaling(tmp_path / name)

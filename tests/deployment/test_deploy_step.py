"""The step `deploy` on real files: what it reads of a model and what the report says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from deployment.deployed import joints
from onnx import TensorProto, helper

from stm32pose.commands.validate import check_file
from stm32pose.config.schema import Config
from stm32pose.config.target_sections import Deployment
from stm32pose.deployment.app_config import STYLE_4, app_config
from stm32pose.errors import ConfigError, UserError
from stm32pose.operations.artifacts import Artifacts
from stm32pose.operations.deploy import describe_model, run_step
from stm32pose.reporting.run import Run

N6 = {"serie": "STM32N6", "board": "STM32N6570-DK"}
EXAMPLES = Path(__file__).parent.parent.parent / "config_file_examples"


def configured(
    folder: Path, model: Path, *, model_type: str = "heatmaps_spe", scale: str = "1/127.5", **given: Any
) -> Config:
    """A deployment's configuration; `given` are keys of `deployment`, `dataset` of dataset, `tools` of tools."""
    file = folder / "deployment.yaml"
    offset = -1 if scale == "1/127.5" else 0
    content = {
        "operation_mode": "deployment",
        "model": {"model_type": model_type, "model_path": str(model)},
        "dataset": given.pop("dataset", {}),
        "preprocessing": {
            "rescaling": {"scale": scale, "offset": offset},
            "resizing": {"aspect_ratio": "padding", "interpolation": "bilinear"},
            "color_mode": "rgb",
        },
        "tools": given.pop("tools", {"stedgeai": {"on_cloud": False}}),
        "deployment": {"hardware_setup": N6, "dry_run": True, **given},
    }
    file.write_text(yaml.safe_dump(content))
    return check_file(file, check_paths=False)


def quantized_onnx(path: Path, *, zero: int = -128, maps: tuple[int, int, int] = (3, 10, 20)) -> Path:
    """An NCHW file of 40 x 80 pixels that quantizes its float input itself, as ONNX Runtime's quantizer writes them."""
    count, rows, columns = maps
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["in", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            helper.make_node("AveragePool", ["d"], ["p"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Sigmoid", ["p"], ["out"]),
        ],
        "g",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, [1, 3, 4 * rows, 4 * columns])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, count, rows, columns])],
        [
            helper.make_tensor("s", TensorProto.FLOAT, [], [1 / 255]),
            helper.make_tensor("z", TensorProto.INT8, [], [zero]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def results(run: Run) -> dict[str, Any]:
    return json.loads((run.folder / "results.json").read_text())["deployment"][-1]


@pytest.mark.parametrize(
    ("name", "given", "found"),
    [
        ("st_movenet_lightning_heatmaps_192_int8_pc.tflite", {}, "AI_SPE_MOVENET_POSTPROC_HEATMAP_WIDTH (48)"),
        (
            "yolov8n_256_quant_pc_uf_pose_coco-st.tflite",
            {"model_type": "yolo_mpe", "scale": "1/255"},
            "AI_MPE_YOLOV8_PP_TOTAL_BOXES (1344)",
        ),
    ],
)
def test_real_files_on_the_n6(shared, tmp_path, name, given, found):
    """Skeleton and sizes come from the files alone."""
    model = shared / "models" / "pose" / name
    config = configured(tmp_path, model, **given)
    run = Run(config, tmp_path / "run")
    run_step(config, run, Artifacts(models=(model,)))
    text = (run.folder / "deployment/C_header/app_config.h").read_text()
    assert found in " ".join(text.replace("\\\n", " ").split())
    assert f'"{name}"' in text
    entry = results(run)
    assert entry["status"] == "dry run"
    assert entry["board"] == "STM32N6570-DK"
    assert "deployment/C_header/app_config.h" in entry["files"]
    assert {command["status"] for command in entry["commands"]} == {"dry run"}
    assert entry["next"]


@pytest.mark.parametrize(
    ("name", "model_type", "scale", "keypoints"),
    [
        ("movenet_singlepose_lightning_192_int8.tflite", "spe", "1", 17),
        ("hand_landmark_full_224_int8_pc.tflite", "hand_spe", "1/255", 21),
        ("face_landmarks_v1_192_int8_pc.onnx", "head_spe", "1/255", 468),
        ("yolov8n_256_quant_pt_uf_pose_coco-st.tflite", "yolo_mpe", "1/255", 17),
        ("st_movenet_lightning_heatmaps_192_int8_pc.tflite", "heatmaps_spe", "1/127.5", 13),
    ],
)
def test_real_files_on_a_microcontroller(shared, tmp_path, name, model_type, scale, keypoints):
    model = shared / "models" / "pose" / name
    setup = {"serie": "STM32H7", "board": "STM32H747I-DISCO"}
    config = configured(tmp_path, model, model_type=model_type, scale=scale, hardware_setup=setup)
    run = Run(config, tmp_path / "run")
    run_step(config, run, Artifacts(models=(model,)))
    text = (run.folder / "deployment/application/Inc/ai_model_config.h").read_text()
    assert f"POSE_KEYPOINTS_NB ({keypoints})" in " ".join(text.split())


def test_onnx_on_the_n6(tmp_path):
    """Channels first in the file, channels last on the board; sizes are not square and not a quarter by rule."""
    model = quantized_onnx(tmp_path / "net.onnx")
    config = configured(tmp_path, model, scale="1/255")
    run = Run(config, tmp_path / "run")
    run_step(config, run, Artifacts(models=(model,), skeleton=joints(3)))
    text = " ".join((run.folder / "deployment/C_header/app_config.h").read_text().split())
    assert "AI_SPE_MOVENET_POSTPROC_HEATMAP_WIDTH (20)" in text
    assert "AI_SPE_MOVENET_POSTPROC_HEATMAP_HEIGHT (10)" in text
    words = next(command["command"] for command in results(run)["commands"] if command["title"] == "generate")
    for option in ("--inputs-ch-position", "--outputs-ch-position"):
        assert words[words.index(option) + 1] == "chlast"


def test_pixels_that_would_mean_something_else(tmp_path):
    """The camera's bytes are the input: a network calibrated on half of the range would see other pictures."""
    model = quantized_onnx(tmp_path / "net.onnx", zero=0)
    config = configured(tmp_path, model, scale="1/255")
    described = describe_model(config, model, joints(3))
    with pytest.raises(ConfigError, match=r"preprocessing\.rescaling: .* camera bytes"):
        app_config(described, STYLE_4)


@pytest.mark.parametrize("told", ["nothing", "sidecar", "configuration"])
def test_whose_skeleton(tmp_path, told):
    from stm32pose.inference.sidecar import write_sidecar

    model = quantized_onnx(tmp_path / "net.onnx")
    given = {}
    if told == "sidecar":
        write_sidecar(model, {"skeleton": {"name": "mine", "keypoints": ["head", "left", "right"]}})
    if told == "configuration":
        given = {"dataset": {"skeleton": str(three(tmp_path))}}
    described = describe_model(configured(tmp_path, model, scale="1/255", **given), model, None)
    names = {"nothing": ("keypoint_0", "keypoint_1", "keypoint_2"), "sidecar": ("head", "left", "right")}
    assert described.skeleton.keypoints == names.get(told, ("a", "b", "c"))
    assert len(described.skeleton.edges) == (told == "configuration")


def test_a_failure_is_in_the_report(tools, tmp_path):
    """The exception goes on; results.json says how far it came."""
    model = quantized_onnx(tmp_path / "net.onnx")
    project = tmp_path / "project"
    (project / "Application/STM32N6570-DK/STM32CubeIDE").mkdir(parents=True)
    tools.say("stm32cubeide", "main.c:1: error: no such type")
    config = configured(tmp_path, model, scale="1/255", dry_run=False, c_project_path=str(project))
    (project / "Application/STM32N6570-DK/Inc").mkdir()
    (project / "Application/STM32N6570-DK/Inc/app_config.h").write_text('#include "stai_network.h"\n')
    run = Run(config, tmp_path / "run")
    with pytest.raises(UserError, match="build: "):
        run_step(config, run, Artifacts(models=(model,), skeleton=joints(3)))
    entry = results(run)
    assert entry["status"] == "failed"
    assert [command["status"] for command in entry["commands"]] == ["done", "done", "failed"]
    assert (run.folder / entry["commands"][-1]["log"]).is_file()
    assert entry["overwritten"] == [str(project / "Application/STM32N6570-DK/Inc/app_config.h")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hardware_setup": {"serie": "STM32N6", "board": "STM32N6570-KD"}}, "known: .*; did you mean 'STM32N6570-DK'"),
        ({"hardware_setup": {"serie": "STM32H7", "board": "STM32N6570-DK"}}, "serie: got 'STM32H7'; .* STM32N6"),
        ({"IDE": "IAR"}, "deployment.IDE: got 'IAR'; allowed: GCC"),
    ],
)
def test_what_is_refused(tmp_path, given, message):
    """Before the step by `check_steps`, and by the step itself."""
    model = quantized_onnx(tmp_path / "net.onnx")
    with pytest.raises(ConfigError, match=message):
        configured(tmp_path, model, scale="1/255", **given)
    fine = configured(tmp_path, model, scale="1/255")
    assert fine.deployment is not None
    section = Deployment.model_validate({**fine.deployment.model_dump(), **given})
    config = fine.model_copy(update={"deployment": section})
    run = Run(config, tmp_path / "run")
    with pytest.raises(ConfigError, match=message):
        run_step(config, run, Artifacts(models=(model,)))


def test_a_float_keras_model(tmp_path):
    model = tmp_path / "net.keras"
    model.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"quantize it first .operation_mode: chain_qd"):
        configured(tmp_path, model)
    config = configured(tmp_path, quantized_onnx(tmp_path / "net.onnx"))
    with pytest.raises(ConfigError, match=r"quantize it first .operation_mode: chain_qd"):
        run_step(config, Run(config, tmp_path / "run"), Artifacts(models=(model,)))


@pytest.mark.parametrize("name", ["deployment_n6", "deployment_h7", "deployment_mpu"])
def test_the_examples_dry_run(tmp_path, monkeypatch, name):
    """Every shipped deployment writes its files on a machine without any of ST's programs."""
    content = yaml.safe_load((EXAMPLES / f"{name}_config.yaml").read_text())
    model = quantized_onnx(tmp_path / "net.onnx")
    if name == "deployment_mpu":
        model = yolo_onnx(tmp_path / "net.onnx")
    content["model"]["model_path"] = str(model)
    content["dataset"] = {"keypoints": 17} if name == "deployment_mpu" else {"skeleton": str(three(tmp_path))}
    content["preprocessing"]["rescaling"] = {"scale": "1/255", "offset": 0}
    content["deployment"]["dry_run"] = True
    file = tmp_path / "example.yaml"
    file.write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)
    config = check_file(file, check_paths=False)
    run = Run(config, tmp_path / "run")
    run_step(config, run, Artifacts(models=(model,)))
    assert results(run)["status"] == "dry run"
    assert results(run)["files"]


def three(folder: Path) -> Path:
    file = folder / "three.yaml"
    file.write_text("name: three\ncategory: thing\nkeypoints: [a, b, c]\npairs: []\nedges: [[a, b]]\n")
    return file


def yolo_onnx(path: Path) -> Path:
    """A file that answers 84 boxes of 17 keypoints."""
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["in"], ["m"], keepdims=0),
            helper.make_node("Mul", ["m", "w"], ["out"]),
        ],
        "g",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 56, 84])],
        [onnx.numpy_helper.from_array(np.ones((1, 56, 84), np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path

"""A real network that finds a red and a green dot, pictures of such dots, and a run of the step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from stm32pose.config.schema import Config
from stm32pose.operations.artifacts import Artifacts
from stm32pose.operations.predict import run_step
from stm32pose.reporting.run import Run

SKELETON = {"name": "dots2", "category": "thing", "keypoints": ["red", "green"], "edges": [["red", "green"]]}
INPUT = (96, 128)  # H, W


def write_skeleton(folder: Path) -> Path:
    path = folder / "dots2.yaml"
    path.write_text(yaml.safe_dump(SKELETON))
    return path


def dots_model(path: Path, *, order: str = "rgb") -> Path:
    """ONNX, NCHW [1, 3, 96, 128] in [0, 1] -> two maps [1, 2, 24, 32] in 0..1, each bright at its dot."""
    from onnx import TensorProto, helper, numpy_helper, save

    red = [1.5, -1.5, -1.5]
    green = [-1.5, 1.5, -1.5]
    weights = np.array([red, green], np.float32)
    if order == "bgr":
        weights = weights[:, ::-1].copy()
    nodes = [
        helper.make_node("AveragePool", ["image"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["small", "weights"], ["signed"]),
        helper.make_node("Clip", ["signed", "low", "high"], ["maps"]),
    ]
    constants = {
        "weights": weights[..., None, None],
        "low": np.array(0, np.float32),
        "high": np.array(1, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "dots",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *INPUT])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, [1, 2, INPUT[0] // 4, INPUT[1] // 4])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save(model, path)
    return path


def gray_model(path: Path) -> Path:
    """ONNX, NCHW [1, 1, 96, 128] in [0, 1] -> one map of brightness and one of darkness [1, 2, 24, 32]."""
    from onnx import TensorProto, helper, numpy_helper, save

    nodes = [
        helper.make_node("AveragePool", ["image"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["small", "weights", "bias"], ["signed"]),
        helper.make_node("Clip", ["signed", "low", "high"], ["maps"]),
    ]
    constants = {
        "weights": np.array([2.0, -2.0], np.float32)[:, None, None, None],
        "bias": np.array([-1.0, 1.0], np.float32),
        "low": np.array(0, np.float32),
        "high": np.array(1, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "gray",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, *INPUT])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, [1, 2, INPUT[0] // 4, INPUT[1] // 4])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def dots_image(size: tuple[int, int], red: tuple[float, float], green: tuple[float, float]) -> np.ndarray:
    """uint8 [H, W, 3] RGB: soft dots at continuous positions (x, y) on dark grey, a twelfth of the image wide."""
    height, width = size
    rows, columns = np.mgrid[:height, :width] + 0.5
    image = np.full((height, width, 3), 20.0)
    for channel, (x, y) in enumerate((red, green)):
        blob = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (max(size) / 24) ** 2))
        image[..., channel] += 235 * blob
    return np.clip(image, 0, 255).astype(np.uint8)


def save_image(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 97])
    assert done
    path.write_bytes(data.tobytes())
    return path


def save_video(path: Path, images: list[np.ndarray], rate: float = 10.0) -> Path:
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
    assert writer.isOpened()
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def make_config(file: Path, paths: Any, skeleton: Path | None, **sections: dict[str, Any]) -> Config:
    """A prediction with the dots' preprocessing; `sections` add keys to sections."""
    dataset = {"prediction_path": [paths] if isinstance(paths, str) else list(paths)}
    content: dict[str, Any] = {
        "operation_mode": "prediction",
        "model": {"model_path": str(file), "model_type": "heatmaps_spe"},
        "dataset": {**dataset, **({"skeleton": str(skeleton)} if skeleton else {})},
        "preprocessing": {"rescaling": {"scale": 1 / 255, "offset": 0}},
    }
    for name, section in sections.items():
        content[name] = {**content.get(name, {}), **section}
    return Config.model_validate(content)


def predict(config: Config, folder: Path) -> dict[str, Any]:
    """Run the step into `folder`; returns results.json's `prediction`."""
    run = Run(config, folder)
    assert config.model.model_path is not None
    run_step(config, run, Artifacts().with_model(Path(config.model.model_path)))
    return run.results["prediction"]

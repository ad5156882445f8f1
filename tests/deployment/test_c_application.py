"""`pose_run` gives the joints of the Python codec on real pictures, builds for Linux here and on ARM, and for Cube."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from codegen.pose_networks import heatmap_network
from codegen.run_c import needs_cc

from stm32pose.cli import main
from stm32pose.codecs.poses import Poses
from stm32pose.codecs.select import codec_from_description
from stm32pose.codegen.reference import run_reference
from stm32pose.config.load import load_config
from stm32pose.deployment.model import Deployable
from stm32pose.inference.tensors import dequantize, input_table
from stm32pose.operations.deploy import describe_model

pytestmark = [needs_cc, pytest.mark.skipif(shutil.which("make") is None, reason="no make")]
RESCALING = {"spe": (1.0, 0.0), "heatmaps_spe": (1 / 127.5, -1.0)}
AARCH64 = "aarch64-linux-gnu-gcc"


def described(path: Path, kind: str, aspect_ratio: str = "fit", color_mode: str = "rgb") -> Deployable:
    scale, offset = RESCALING.get(kind, (1 / 255, 0.0))
    mapping = {
        "operation_mode": "export",
        "model": {"model_type": kind, "model_path": str(path)},
        "preprocessing": {
            "rescaling": {"scale": scale, "offset": offset},
            "resizing": {"interpolation": "bilinear", "aspect_ratio": aspect_ratio},
            "color_mode": color_mode,
        },
    }
    return describe_model(load_config(mapping, check_paths=False), path, None)


def in_python(model: Deployable, picture: np.ndarray) -> Poses:
    """Poses of an input-sized picture: LiteRT's reference kernels and the codec."""
    fed = picture[..., ::-1] if model.preprocessing.color_mode == "bgr" else picture
    stored = input_table(model.input, model.rescaling, model.path)[fed][None]
    outputs = run_reference(model.path, [stored])
    codec = codec_from_description(model.codec, output_shapes=[output.shape for output in model.outputs])
    real = [dequantize(values, info) for values, info in zip(outputs, model.outputs, strict=True)]
    shaped = [values.reshape(1, *info.shape) for values, info in zip(real, model.outputs, strict=True)]
    return codec.decode_poses(shaped)[0]


def in_c(program: list[str], picture: np.ndarray, folder: Path) -> np.ndarray:
    """[M, K, 3] from `pose_run` on a PPM file of the picture."""
    image, out = folder / "picture.ppm", folder / "output.json"
    height, width = picture.shape[:2]
    image.write_bytes(b"P6\n# a comment\n%d %d\n255\n" % (width, height) + picture.tobytes())
    done = subprocess.run([*program, str(image), str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(out.read_text())
    assert (told["width"], told["height"]) == (width, height)
    return np.array(
        [[[point["x"], point["y"], point["score"]] for point in pose["keypoints"]] for pose in told["poses"]]
    )


def same(found: np.ndarray, wanted: Poses) -> None:
    assert len(found) == len(wanted)
    if len(wanted):
        np.testing.assert_allclose(found[..., :2], wanted.keypoints[..., :2], atol=0.01)
        np.testing.assert_allclose(found[..., 2], wanted.keypoints[..., 2], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "kind", "pictures"),
    [
        ("st_movenet_lightning_heatmaps_192_int8_pc", "heatmaps_spe", "coco_mini/*/*.jpg"),
        ("yolov8n_256_quant_pc_uf_pose_coco-st", "yolo_mpe", "coco_mini/*/*.jpg"),
        ("hand_landmark_full_224_int8_pc", "hand_spe", "hands_120/*/*.jpg"),
        ("movenet_singlepose_lightning_192_int8", "spe", "lspet_1200/*/*.jpg"),
    ],
)
def test_real_pictures(shared: Path, tmp_path: Path, name: str, kind: str, pictures: str):
    path, out = shared / "models" / "pose" / f"{name}.tflite", tmp_path / "c"
    assert main(["export", str(path), "--out", str(out), "--model-type", kind]) == 0
    done = subprocess.run(["make", "-C", str(out), "host", "CFLAGS=-O2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    model = described(path, kind)
    height, width, _ = model.input_shape
    files = sorted((shared / "data").glob(pictures))[:1]  # LiteRT's reference is slow
    assert files
    for file in files:
        image = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
        picture = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        same(in_c([str(out / "build" / "pose_run")], picture, tmp_path), in_python(model, picture))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    path = folder / "pose.tflite"
    path.write_bytes(heatmap_network())
    assert main(["export", str(path), "--out", str(folder / "c"), "--board", "NUCLEO-H743ZI2"]) == 0
    done = subprocess.run(["make", "-C", str(folder / "c"), "host"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_pictures_of_other_sizes(exported: Path, tmp_path: Path):
    """Joints come back in pixels of the picture: twice the size, twice the place."""
    picture = np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)
    program = [str(exported / "c" / "build" / "pose_run")]
    small = in_c(program, picture, tmp_path)
    large = in_c(program, picture.repeat(2, 0).repeat(2, 1), tmp_path)
    np.testing.assert_allclose(large[..., :2], 2 * small[..., :2], atol=0.01)


def test_files_of_pictures(exported: Path, tmp_path: Path):
    program = str(exported / "c" / "build" / "pose_run")
    picture = np.random.default_rng(4).integers(0, 256, (40, 30, 3), np.uint8)
    told = in_c([program], picture, tmp_path)
    bitmap = tmp_path / "picture.bmp"
    cv2.imwrite(str(bitmap), picture[..., ::-1])
    assert subprocess.run([program, str(bitmap), str(tmp_path / "b.json")]).returncode == 0
    points = json.loads((tmp_path / "b.json").read_text())["poses"][0]["keypoints"]
    np.testing.assert_allclose([[point["x"], point["y"]] for point in points], told[0, :, :2], atol=1e-3)
    for content, said in ((b"", "it is empty"), (b"P6\n9 9\n255\nx", "it ends too early"), (b"P6\n0 9\n255\n", "size")):
        broken = tmp_path / "broken.ppm"
        broken.write_bytes(content)
        done = subprocess.run([program, str(broken)], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 1
        assert said in done.stderr
    assert subprocess.run([program], capture_output=True).returncode == 2


@pytest.mark.skipif(shutil.which(AARCH64) is None, reason=f"no {AARCH64}")
@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="no qemu-aarch64 (qemu-user)")
def test_linux_on_arm(exported: Path, tmp_path: Path):
    out = exported / "c"
    command = ["make", "-C", str(out), "arm/pose_run", "arm/self_test", f"HOST_CC={AARCH64} -static", "BUILD=arm"]
    done = subprocess.run([*command, "LIBS=", "IMAGES="], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert subprocess.run(["qemu-aarch64", str(out / "arm" / "self_test")]).returncode == 0
    picture = np.random.default_rng(5).integers(0, 256, (32, 32, 3), np.uint8)
    here = in_c([str(out / "build" / "pose_run")], picture, tmp_path)
    there = in_c(["qemu-aarch64", str(out / "arm" / "pose_run")], picture, tmp_path)
    np.testing.assert_array_equal(there, here)


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no arm-none-eabi-gcc")
def test_cube_template_compiles(exported: Path, tmp_path: Path):
    """With the one thing that it takes of STM32CubeMX's main.h."""
    (tmp_path / "main.h").write_text("#include <stdint.h>\nuint32_t HAL_GetTick(void);\n")
    out = exported / "c"
    done = subprocess.run(
        [
            *("arm-none-eabi-gcc", "-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-d16", "-mfloat-abi=hard", "-std=c99"),
            *("-Wall", "-Wextra", "-Werror", f"-I{tmp_path}", f"-I{out}/pose", f"-I{out}/network", "-c"),
            *(str(out / "cube" / "pose_app.c"), "-o", str(tmp_path / "pose_app.o")),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("color_mode", ["bgr", "rgb"])
def test_order_of_colours(tmp_path: Path, color_mode: str):
    path, out = tmp_path / "pose.tflite", tmp_path / "c"
    path.write_bytes(heatmap_network(seed=2))
    config = tmp_path / "config.yaml"
    config.write_text(
        f"operation_mode: export\nmodel: {{model_type: heatmaps_spe, model_path: {path}}}\n"
        "preprocessing:\n  rescaling: {scale: 1/127.5, offset: -1}\n"
        f"  resizing: {{interpolation: bilinear, aspect_ratio: fit}}\n  color_mode: {color_mode}\n"
    )
    assert main(["export", str(path), "--out", str(out), "--target", "host", "--config", str(config)]) == 0
    picture = np.random.default_rng(6).integers(0, 256, (32, 32, 3), np.uint8)
    model = described(path, "heatmaps_spe", color_mode=color_mode)
    same(in_c([str(out / "build" / "pose_run")], picture, tmp_path), in_python(model, picture))

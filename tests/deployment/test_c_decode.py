"""The C decoders against the codecs they stand for, on random outputs, compiled here."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from deployment.deployed import ARM, GCC, STRICT, deployable, needs_arm, needs_gcc, run_checked

from stm32pose.codecs.hand import HandCodec
from stm32pose.codecs.head import HeadCodec
from stm32pose.codecs.heatmap import HeatmapCodec
from stm32pose.codecs.keypoints import KeypointsCodec
from stm32pose.codecs.poses import Poses
from stm32pose.codecs.yolo import YoloCodec
from stm32pose.deployment.mcu import SOURCES, decoder_source
from stm32pose.deployment.mcu_header import model_header
from stm32pose.deployment.model import Deployable
from stm32pose.inference.tensors import TensorInfo, dequantize, input_table

# Reads the outputs of n images one after the other, writes (count, then the poses) of each.
HARNESS = r"""
#include <stdio.h>
#include "pose_decode.h"
static const long sizes[POSE_OUTPUTS_NB] = POSE_OUTPUT_SIZES;
static const int types[POSE_OUTPUTS_NB] = POSE_OUTPUT_TYPES;
static float memory[POSE_OUTPUTS_NB][POSE_OUTPUT_LARGEST];
static pose_t poses[POSE_MAX_POSES];
int main(void)
{
  const void *outputs[POSE_OUTPUTS_NB];
  int i;
  for (;;) {
    int32_t count;
    for (i = 0; i < POSE_OUTPUTS_NB; i++) {
      outputs[i] = memory[i];
      if (fread(memory[i], types[i] == FLOAT32_FORMAT ? 4 : 1, (size_t)sizes[i], stdin) != (size_t)sizes[i]) return 0;
    }
    count = pose_decode(outputs, poses, POSE_MAX_POSES);
    fwrite(&count, sizeof count, 1, stdout);
    for (i = 0; i < count; i++) {
      float side = (float)poses[i].side;
      fwrite(poses[i].points, sizeof poses[i].points, 1, stdout);
      fwrite(&poses[i].score, 4, 1, stdout);
      fwrite(poses[i].box, 4, 4, stdout);
      fwrite(&side, 4, 1, stdout);
    }
  }
}
"""


def compile_decoder(model: Deployable, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ai_model_config.h").write_text(model_header(model), encoding="ascii")
    (folder / "harness.c").write_text(HARNESS, encoding="ascii")
    sources = [folder / "harness.c", decoder_source(model)]
    program = folder / "decode"
    run_checked([GCC, *STRICT, "-O1", "-I", folder, "-I", SOURCES, *sources, "-lm", "-o", program])
    return program


def decode_in_c(model: Deployable, stored: list[np.ndarray], folder: Path) -> list[Poses]:
    """Poses of each image; `stored` are arrays [B, ...] of the outputs' own types."""
    program = compile_decoder(model, folder)
    batch = len(stored[0])
    raw = b"".join(output[index].tobytes() for index in range(batch) for output in stored)
    answer = run_checked([program], input=raw).stdout
    keypoints, found, at = model.skeleton.count, [], 0
    for _ in range(batch):
        count = int(np.frombuffer(answer, np.int32, 1, at)[0])
        shape = (count, 3 * keypoints + 6)
        rows = np.frombuffer(answer, np.float32, count * shape[1], at + 4).reshape(shape)
        at += 4 + rows.nbytes
        names = tuple({0: "", 1: "left", 2: "right"}[int(side)] for side in rows[:, -1])
        points = rows[:, : 3 * keypoints].reshape(count, keypoints, 3)
        found.append(Poses(points, rows[:, -6], rows[:, -5:-1], names))
    assert at == len(answer)
    return found


def same(found: list[Poses], wanted: list[Poses], *, boxes: bool = False) -> None:
    assert [len(poses) for poses in found] == [len(poses) for poses in wanted]
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours.keypoints, theirs.keypoints, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5, atol=1e-5)
        if boxes:
            np.testing.assert_allclose(ours.boxes, theirs.boxes, rtol=1e-5, atol=1e-4)


def blobs(codec: HeatmapCodec, rng: np.random.Generator, batch: int, noise: float) -> np.ndarray:
    """Maps of random poses, some at and beyond the border, with noise."""
    height, width = codec.input_shape
    points = rng.uniform(-2, [width + 2, height + 2], (batch, 1, codec.keypoints, 2))
    points[0, 0, 0] = (0, height / 2)  # on the border
    targets, _ = codec.encode(np.concatenate([points, np.ones_like(points[..., :1])], axis=-1))
    maps = np.clip(targets + rng.normal(0, noise, targets.shape), 0, 1).astype(np.float32)
    if codec.activation == "softmax":
        return maps / np.maximum(maps.sum(axis=(1, 2), keepdims=True), 1e-6)
    return (
        5 * (targets / targets.max() + rng.normal(0, noise, targets.shape)).astype(np.float32)
        if (codec.activation == "empty")
        else maps
    )


def stored_as(values: np.ndarray, dtype: str) -> tuple[np.ndarray, TensorInfo]:
    """Real values as a network stores them, and the tensor that says how."""
    shape = values.shape[1:]
    if dtype == "float32":
        return values.astype(np.float32), TensorInfo("out", shape, dtype)
    limits = np.iinfo(dtype)
    low, high = min(0.0, float(values.min())), max(1e-6, float(values.max()))
    scale = float(np.float32((high - low) / 255))
    zero = int(np.clip(round(limits.min - low / scale), limits.min, limits.max))
    stored = np.clip(np.rint(values / scale) + zero, limits.min, limits.max).astype(dtype)
    return stored, TensorInfo("out", shape, dtype, scale, zero)


@needs_gcc
@pytest.mark.parametrize("decode", ["argmax", "quarter", "dark"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
@pytest.mark.parametrize(
    ("size", "cells", "activation", "sigma", "target"),
    [
        ((192, 192), (48, 48), "sigmoid", 1.5, "gaussian"),
        ((96, 160), (24, 40), "softmax", 2.0, "gaussian"),
        ((128, 64), (16, 21), "empty", 1.0, "gaussian"),
        ((64, 96), (5, 7), "sigmoid", 1.5, "one_pixel"),
        ((32, 32), (2, 9), "sigmoid", 1.0, "gaussian"),
    ],
)
def test_heat_maps(tmp_path, decode, dtype, size, cells, activation, sigma, target):
    codec = HeatmapCodec(size, cells, 5, target=target, sigma=sigma, activation=activation, decode=decode)
    rng = np.random.default_rng(7)
    maps = np.concatenate([blobs(codec, rng, 40, noise) for noise in (0.0, 0.02, 0.3)])
    maps[1] = 0  # nothing there
    stored, tensor = stored_as(maps, dtype)
    if dtype == "float32":
        stored[2, 1, 1, 0] = np.nan
        stored[3, 0, 0, 1] = np.inf
    wanted = codec.decode_poses([dequantize(stored, tensor)])
    found = decode_in_c(deployable(codec.describe(), [tensor]), [stored], tmp_path)
    same(found, wanted)
    assert {len(poses.scores) for poses in found} == {1}


@needs_gcc
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_keypoints(tmp_path, dtype):
    codec = KeypointsCodec((120, 160), 17)
    values = np.random.default_rng(3).uniform(-0.1, 1.1, (20, 1, 17, 3)).astype(np.float32)
    stored, tensor = stored_as(values, dtype)
    if dtype == "float32":
        stored[0, 0, 3, 1] = np.nan
        stored[1, 0, 4, 2] = np.inf
    found = decode_in_c(deployable(codec.describe(), [tensor]), [stored], tmp_path)
    same(found, codec.decode_poses([dequantize(stored, tensor)]))


def candidates(rng: np.random.Generator, batch: int, boxes: int, keypoints: int, *, ends: bool) -> np.ndarray:
    """[B, boxes, 5 or 6 + 3K] of overlapping boxes as shares of the input."""
    people = rng.uniform(0.2, 0.8, (batch, 4, 2))
    centres = people[:, rng.integers(0, 4, boxes)] + rng.normal(0, 0.02, (batch, boxes, 2))
    sizes = rng.uniform(0.1, 0.3, (batch, boxes, 2))
    first, second = (centres - sizes / 2, centres + sizes / 2) if ends else (centres, sizes)
    scores = np.round(rng.uniform(0, 1, (batch, boxes, 1)), 2)  # with ties
    extra = [np.zeros((batch, boxes, 1))] if ends else []
    points = rng.uniform(-0.1, 1.1, (batch, boxes, 3 * keypoints))
    return np.concatenate([first, second, scores, *extra, points], axis=-1).astype(np.float32)


@needs_gcc
@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize(("ends", "rows_first", "pixels"), [(0, 0, 0), (0, 1, 1), (1, 1, 0), (1, 0, 1)])
def test_yolo(tmp_path, dtype, ends, rows_first, pixels):
    codec = YoloCodec((96, 160), 5, confidence=0.4, nms=0.55, max_detections=6, normalised=None if ends else not pixels)
    rng = np.random.default_rng(11)
    values = candidates(rng, 12, 84, 5, ends=bool(ends))
    values[0, :, 4] = 0.0  # an empty picture
    if pixels:
        first = 6 if ends else 5
        values[..., [0, 2]] *= 160
        values[..., [1, 3]] *= 96
        values[..., first::3] *= 160
        values[..., first + 1 :: 3] *= 96
    stored, tensor = stored_as(values if rows_first else values.swapaxes(1, 2).copy(), dtype)
    if dtype == "float32":
        view = stored if rows_first else stored.swapaxes(1, 2)
        view[1, 5, 7], view[1, 5, 4] = np.nan, 1.0
    model = deployable({**codec.describe(), "input_shape": [96, 160]}, [tensor])
    found = decode_in_c(model, [np.ascontiguousarray(stored)], tmp_path)
    wanted = [codec.decode_poses([dequantize(stored[index : index + 1], tensor)])[0] for index in range(len(stored))]
    same(found, wanted, boxes=True)
    assert len(found[0]) == 0
    assert max(map(len, found)) > 1


@needs_gcc
def test_hand(tmp_path):
    codec = HandCodec((224, 224), 21)
    rng = np.random.default_rng(5)
    metres, pixels = rng.normal(0, 0.05, (9, 63)), rng.uniform(0, 224, (9, 63))
    values = [rng.uniform(0, 1, (9, 1)), metres, rng.uniform(0, 1, (9, 1)), pixels]
    both = [stored_as(value, dtype) for value, dtype in zip(values, ("uint8", "float32", "int8", "int8"), strict=True)]
    stored, tensors = [pair[0] for pair in both], [pair[1] for pair in both]
    stored[1][4, 0] = np.nan
    found = decode_in_c(deployable(codec.describe(), tensors), stored, tmp_path)
    wanted = codec.decode_poses([dequantize(*pair) for pair in both])
    same(found, wanted, boxes=True)
    assert [poses.names for poses in found] == [poses.names for poses in wanted]


@needs_gcc
@pytest.mark.parametrize(("keypoints", "landmarks", "presence"), [(468, 468, True), (68, 468, False)])
def test_head(tmp_path, keypoints, landmarks, presence):
    codec = HeadCodec((192, 192), keypoints, landmarks=landmarks, values=3)
    rng = np.random.default_rng(6)
    values = [rng.uniform(0, 192, (4, 3 * landmarks)), *([rng.uniform(0, 1, (4, 1))] if presence else [])]
    both = [stored_as(value, "int8") for value in values]
    found = decode_in_c(deployable(codec.describe(), [pair[1] for pair in both]), [pair[0] for pair in both], tmp_path)
    same(found, codec.decode_poses([dequantize(*pair) for pair in both]), boxes=True)


@needs_gcc
@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_pixels_become_the_input(tmp_path, dtype):
    """pose_fill_input is the table that the host uses."""
    tensor = TensorInfo(
        "in", (3, 5, 3), dtype, *((1 / 127.5, 0 if dtype == "int8" else 128) if dtype != "float32" else ())
    )
    codec = KeypointsCodec((3, 5), 2)
    model = deployable(codec.describe(), [TensorInfo("out", (1, 2, 3), "float32")], input=tensor)
    (tmp_path / "ai_model_config.h").write_text(model_header(model), encoding="ascii")
    (tmp_path / "m.c").write_text(
        '#include <stdio.h>\n#include "pose_decode.h"\nint main(void)\n{\n  uint8_t p[45]; float in[45];\n'
        "  if (fread(p, 1, 45, stdin) != 45) return 1;\n  pose_fill_input(in, p);\n"
        f"  return fwrite(in, {4 if dtype == 'float32' else 1}, 45, stdout) != 45;\n}}\n"
    )
    run_checked(
        [GCC, *STRICT, "-I", tmp_path, "-I", SOURCES, tmp_path / "m.c", SOURCES / "pose_input.c", "-o", tmp_path / "m"]
    )
    pixels = np.random.default_rng(1).integers(0, 256, 45).astype(np.uint8)
    answer = np.frombuffer(run_checked([tmp_path / "m"], input=pixels.tobytes()).stdout, dtype)
    np.testing.assert_allclose(answer, input_table(tensor, model.rescaling, model.path)[pixels], atol=1e-6)


@needs_arm
@pytest.mark.parametrize("cpu", ["cortex-m7", "cortex-m33", "cortex-m0plus"])
def test_for_a_microcontroller(tmp_path, cpu):
    """Every source compiles for the boards, hand-written warnings included."""
    codec = HeatmapCodec((192, 192), (48, 48), 17, decode="dark")
    model = deployable(codec.describe(), [TensorInfo("out", (48, 48, 17), "int8", 1 / 256, -128)])
    (tmp_path / "ai_model_config.h").write_text(model_header(model), encoding="ascii")
    for name in ("pose_input.c", "main.c", "board.c", "pose_network_stub.c", "heatmaps.c"):
        options = [f"-mcpu={cpu}", "-mthumb", *STRICT, "-Os", "-I", tmp_path, "-I", SOURCES]
        run_checked([ARM, *options, "-c", SOURCES / name, "-o", tmp_path / "o.o"])


def test_the_dark_kernel_is_a_blur():
    codec = HeatmapCodec((192, 192), (48, 48), 17, sigma=1.5)
    model = deployable(codec.describe(), [TensorInfo("out", (48, 48, 17), "int8", 1 / 256, -128)])
    table = model_header(model).split("POSE_DARK_KERNEL")[1].split("}")[0].replace("\\\n", "").split("{")[1]
    taps = [float(tap) for tap in table.split(",")]
    assert math.isclose(sum(taps), 1.0)
    assert taps == taps[::-1]

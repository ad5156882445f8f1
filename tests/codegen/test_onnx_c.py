"""Generated C of ONNX networks: the same integers as the rule in NumPy, and nearly always ONNX Runtime's."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from codegen.onnx_zoo import GROUPS, SHAPE, zoo  # noqa: E402
from codegen.qdq import channels_last, run_onnx  # noqa: E402
from codegen.run_c import FLAGS, needs_cc, run_on_host  # noqa: E402

from stm32pose.codegen.network import read_network  # noqa: E402
from stm32pose.codegen.onnx_integers import run_integers  # noqa: E402

QUICK = [flag for flag in FLAGS if not flag.startswith(("-fsanitize", "-fno-sanitize", "-g"))] + ["-O2"]


@needs_cc
@pytest.mark.parametrize("group", GROUPS)
def test_every_operator_in_c(tmp_path: Path, group: str) -> None:
    """With sanitizers; random values and the ends."""
    path = zoo(tmp_path / "zoo.onnx", group)
    network = read_network(path)
    random = np.random.default_rng(5)
    images = [random.integers(-128, 128, SHAPE), np.full(SHAPE, -128), random.choice([-128, 127], SHAPE)]
    batches = [channels_last([image.astype(np.int8)]) for image in images]
    for results, given in zip(run_on_host(path, batches, tmp_path / "c"), batches, strict=True):
        for index, got, wanted in zip(network.outputs, results, run_integers(network, given), strict=True):
            assert np.array_equal(got, wanted), network.tensors[index].name


@needs_cc
@pytest.mark.parametrize(
    ("nchw", "choices"),
    [
        (True, {"quantization_input_type": "uint8", "quantization_output_type": "float"}),
        (False, {"quantization_input_type": "float", "quantization_output_type": "uint8", "granularity": "per_tensor"}),
        (
            True,
            {
                "quantization_input_type": "int8",
                "quantization_output_type": "int8",
                "onnx_quant_parameters": {"weightType": "UInt8", "activType": "UInt8"},
            },
        ),
    ],
)
def test_what_this_project_quantizes(tmp_path: Path, nchw: bool, choices: dict[str, Any]) -> None:
    path = own_network(tmp_path, nchw, choices)
    network = read_network(path)
    assert network.channels_first == nchw
    image = np.random.default_rng(6).integers(0, 256, (1, 3, 12, 16) if nchw else (1, 12, 16, 3)).astype(np.uint8)
    given = image.view(np.int8) if choices["quantization_input_type"] == "int8" else image
    if choices["quantization_input_type"] == "float":
        given = image.astype(np.float32) / 127.5 - 1
    ((got,),) = run_on_host(path, [channels_last([given], nchw)], tmp_path / "c", flags=QUICK)
    (wanted,) = channels_last(run_onnx(path, [given], plain=False), nchw)
    assert np.array_equal(got, wanted)
    assert np.unique(got).size > 30


def own_network(folder: Path, nchw: bool, choices: dict[str, Any]) -> Path:
    """Two convolutions through the quantizer of this project."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "quantization"))
    try:
        made: Any = import_module("onnx_models")
    finally:
        sys.path.pop(0)
    from stm32pose.config.target_sections import Quantization
    from stm32pose.inference.runner import load_runner
    from stm32pose.quantization.onnx_model import quantize_onnx
    from stm32pose.quantization.parity import Reference

    images = made.pixels(4, (12, 16, 3))
    path = made.two_convolutions(folder / "tiny.onnx", nchw=nchw)
    done = quantize_onnx(
        path,
        iter([images]),
        total=len(images),
        section=Quantization.model_validate({"quantizer": "onnx_quantizer", **choices}),
        destination=folder / "tiny_quant.onnx",
        rescaling=made.RESCALING,
        metadata={},
        reference=Reference(load_runner(path, rescaling=made.RESCALING).predict),
    )
    return done.path


@needs_cc
def test_published_landmarks_of_real_faces(shared: Path, tmp_path: Path) -> None:
    """936 numbers a face: one step at most from ONNX Runtime, whose float32 sums differ now and then."""
    from PIL import Image

    path = shared / "models/pose/face_landmarks_v1_192_int8_pc.onnx"
    files = sorted((shared / "data/youtube_faces_150/test").glob("*.jpg"))[:3]
    assert len(files) == 3
    faces = [np.asarray(Image.open(file).convert("RGB").resize((192, 192)), np.float32) / 255 for file in files]
    given = [[np.ascontiguousarray(face.transpose(2, 0, 1)[None])] for face in faces]
    results = run_on_host(path, [channels_last(image) for image in given], tmp_path / "c", flags=QUICK)
    network = read_network(path)
    scale = network.tensors[network.operators[-1].inputs[0]].scale
    for plain in (True, False):
        for (got,), image in zip(results, given, strict=True):
            (wanted,) = run_onnx(path, image, plain=plain)
            assert np.rint(np.abs(got.reshape(-1) - wanted.reshape(-1)) / scale).max() <= 1
            assert np.unique(got).size > 100

"""Model descriptions and compilers for the tests of the deployment room."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stm32pose.config.data_sections import Preprocessing
from stm32pose.config.model_sections import Postprocessing
from stm32pose.deployment.model import Deployable
from stm32pose.inference.tensors import TensorInfo
from stm32pose.skeletons.skeleton import Skeleton, load_skeleton

GCC = shutil.which("gcc") or shutil.which("cc")
ARM = shutil.which("arm-none-eabi-gcc")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror"]

needs_gcc = pytest.mark.skipif(GCC is None, reason="no C compiler on PATH")
needs_arm = pytest.mark.skipif(ARM is None, reason="no arm-none-eabi-gcc on PATH")


def joints(count: int) -> Skeleton:
    """A skeleton of `count` keypoints in a chain."""
    return Skeleton(
        name="chain",
        category="person",
        keypoints=tuple(f"joint {index}" for index in range(count)),
        edges=tuple((index, index + 1) for index in range(count - 1)),
        pairs=(),
        flip=np.arange(count),
        sigmas=np.full(count, 0.05),
        sigmas_published=False,
        sigmas_source="test",
        colours=tuple((255, index, 0) for index in range(count - 1)),
    )


def deployable(codec: dict[str, Any], outputs: list[TensorInfo], **given: Any) -> Deployable:
    """A quantized model of 192 x 192 pixels unless said otherwise; `given` replaces fields."""
    height, width = codec.get("input_shape", (192, 192))
    count = codec["keypoints"]
    fields: dict[str, Any] = {
        "path": Path("net.tflite"),
        "quantized": True,
        "input": TensorInfo("in", (height, width, 3), "uint8", 1 / 127.5, 128),
        "layout": "NHWC",
        "input_shape": (height, width, 3),
        "outputs": tuple(outputs),
        "codec": codec,
        "skeleton": load_skeleton("coco17") if count == 17 else joints(count),
        "preprocessing": Preprocessing(),
        "postprocessing": Postprocessing(),
    }
    return Deployable(**{**fields, **given})


def run_checked(command: list[Any], **more: Any) -> subprocess.CompletedProcess[Any]:
    """Run a compiler or a compiled program; its words are the failure's message."""
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False, **more)
    assert done.returncode == 0, done.stderr.decode() if isinstance(done.stderr, bytes) else done.stderr
    return done

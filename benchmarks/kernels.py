"""Instructions a multiply-accumulate of the generated C, on the networks and against the bars that issue 5 names.

    python benchmarks/kernels.py [--targets cortex-m7 ...] [--shared ../shared]

MobileNetV2 0.35 at 96x96 (of Keras) and the pose network at 192x192 (alpha 0.35, bilinear upsampling) are made here
with random weights and quantized; the MLPerf Tiny files are of shared/models/calibration, vww's architecture being
MobileNetV1 0.25 at 96x96. Every run is compared with LiteRT's reference kernels. Five minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from stm32pose.benchmark.emulate.model import emulate_model
from stm32pose.codegen.targets import target_of

TARGETS = ("cortex-m7", "cortex-m4", "cortex-m55")
CMSIS_NN = {"mbv2 0.35 96": 44.5, "pose 0.35 192": 237.0, "vww": 24.5, "kws": 7.9, "ic": 30.0}
"""Millions of instructions of CMSIS-NN on an emulated Cortex-M7, from shared/facts/microcontrollers.md."""
CALIBRATION = {
    "vww": "flowers__mobilenet_v1_0.25_96_fft_int8__ecf689ee.tflite",
    "kws": "kws_ref_model.tflite",
    "ic": "cifar10__resnet_v1_8_32_int8__b94035e5.tflite",
    "ad": "ad01_int8.tflite",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parent.parent
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("STM32POSE_SHARED", here.parent / "shared")))
    parser.add_argument("--targets", nargs="+", default=TARGETS, choices=TARGETS)
    arguments = parser.parse_args()
    print("| network | processor | M instructions | a MAC | of CMSIS-NN on M7 | arena KiB | code KiB | exact |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, path in networks(Path(folder), arguments.shared / "models" / "calibration").items():
            for target in arguments.targets:
                show(name, path, target)


def networks(folder: Path, calibration: Path) -> dict[str, Path]:
    """Name -> int8 file."""
    import keras

    from stm32pose.config.model_sections import Model
    from stm32pose.models.build import build_model

    keras.utils.set_random_seed(1)
    made = {
        "mbv2 0.35 96": keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=2),  # type: ignore[arg-type]
        "pose 0.35 192": build_model(
            Model(model_name="st_movenet_lightning_heatmaps", alpha=0.35, input_shape=(192, 192, 3)), keypoints=13
        ),
    }
    for model in made.values():
        spread(model)
    files = {name: quantized(model, folder / f"{name.replace(' ', '_')}.tflite") for name, model in made.items()}
    return {
        **files,
        **{name: calibration / file for name, file in CALIBRATION.items() if (calibration / file).is_file()},
    }


def spread(model) -> None:
    """Random weights of a size that keeps activations alive through the layers (He et al. 2015)."""
    random = np.random.default_rng(1)
    for layer in model.layers:
        kernels = [weight for weight in layer.weights if len(weight.shape) == 4]
        for kernel in kernels:
            depthwise = type(layer).__name__ == "DepthwiseConv2D"
            inputs = np.prod(kernel.shape[:2] if depthwise else kernel.shape[:3])
            kernel.assign(random.normal(0, np.sqrt(2 / inputs), kernel.shape))


def quantized(model, path: Path) -> Path:
    """Full int8, calibrated on noise."""
    import tensorflow as tf

    from stm32pose.inference.keras_export import convert, tflite_converter

    random = np.random.default_rng(0)
    converter = tflite_converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    shape = (1, *model.inputs[0].shape[1:])
    converter.representative_dataset = lambda: ([random.uniform(-1, 1, shape).astype(np.float32)] for _ in range(8))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    path.write_bytes(convert(converter, path.name))
    return path


def show(name: str, path: Path, target: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = emulate_model(path, target_of(target), Path(folder))
    found, macs = model.emulation, sum(call.macs for call in model.built.program.calls)
    millions = found.instructions / 1e6
    of = f"{millions / CMSIS_NN[name]:.2f}" if name in CMSIS_NN and target == "cortex-m7" else ""
    print(
        f"| {name} | {target} | {millions:.2f} | {found.instructions / macs:.2f} | {of} | "
        f"{found.arena_bytes / 1024:.1f} | {found.code_bytes / 1024:.1f} | {'yes' if found.exact else 'NO'} |",
        flush=True,
    )


if __name__ == "__main__":
    main()

"""Thousands of damaged model files through the exporter: refused with one line or exported whole, in time, in memory.

    python benchmarks/fuzz_export.py [--count 6000] [--seed 0] [--files MODEL...]

Without --files: small real models of ../shared/models/calibration, where that folder is, and two tiny ones made here.
Exit code 0: nothing else came of any file. The work is in tests/codegen/hostile.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
REAL = (
    "WISDM__ign_wl_24_int8__75ac5b79.tflite",
    "WISDM__gmp_wl_24_int8__ebfdb76c.tflite",
    "kws_ref_model.tflite",
    "emnist_byclass__stmnist_v1_int8__547214b6.tflite",
    "cifar10__resnet_v1_8_32_int8__b94035e5.tflite",
    "STMicroelectronics__face_landmarks_v1_192_int8_pc.onnx",
)
TINY = """
import sys
from pathlib import Path
from codegen.tiny_networks import tiny_onnx, tiny_tflite
Path(sys.argv[1], "tiny.tflite").write_bytes(tiny_tflite())
Path(sys.argv[1], "tiny.onnx").write_bytes(tiny_onnx())
"""


def main() -> int:
    """Run tests/codegen/hostile.py over the files."""
    given = sys.argv[1:]
    if "--files" in given:
        return subprocess.call([sys.executable, str(TESTS / "codegen/hostile.py"), *given])
    models = Path(os.environ.get("STM32POSE_SHARED", ROOT.parent / "shared")) / "models/calibration"
    files = [str(models / name) for name in REAL if (models / name).is_file()]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", TINY, folder], env={**os.environ, "PYTHONPATH": str(TESTS)}, check=True)
        files += [str(Path(folder) / name) for name in ("tiny.tflite", "tiny.onnx")]
        return subprocess.call([sys.executable, str(TESTS / "codegen/hostile.py"), *given, "--files", *files])


if __name__ == "__main__":
    sys.exit(main())

"""`stm32pose doctor`: what this machine has, where it was looked, and what each thing is for."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata

import stm32pose
from stm32pose.commands.tables import show_table
from stm32pose.errors import UserError
from stm32pose.programs import PROGRAMS, find_program
from stm32pose.reporting.console import say

# Distribution -> what it is for; several names where one of them suffices.
PACKAGES = {
    "tensorflow": ("training", ("tensorflow", "tensorflow-cpu")),
    "keras": ("training", ("keras",)),
    "numpy": ("everything", ("numpy",)),
    "opencv": ("images", ("opencv-python-headless", "opencv-python")),
    "ai-edge-litert": ("int8 models", ("ai-edge-litert",)),
    "hydra-core": ("configurations", ("hydra-core",)),
    "pydantic": ("configurations", ("pydantic",)),
    "faster-coco-eval": ("AP and AR", ("faster-coco-eval",)),
    "tensorboard": ("training curves", ("tensorboard",)),
    "matplotlib": ("figures", ("matplotlib",)),
    "mlflow": ("tracking, optional: pip install 'stm32pose[tracking]'", ("mlflow", "mlflow-skinny")),
    "clearml": ("tracking, optional: pip install 'stm32pose[clearml]'", ("clearml",)),
    "onnx": ("ONNX models, optional: pip install 'stm32pose[onnx]'", ("onnx",)),
    "onnxruntime": ("ONNX models, optional", ("onnxruntime", "onnxruntime-gpu")),
    "ziglang": ("emulated boards, optional: pip install 'stm32pose[emulator]'", ("ziglang",)),
    "unicorn": ("emulated boards, optional", ("unicorn",)),
}
CLOUD = (
    ("https://stedgeai-dc.st.com/assets/versions.json", "ST Edge AI Developer Cloud"),
    ("https://sso.st.com", "its sign-in"),
)
CLOUD_SECONDS = 5


def doctor(*, cloud: bool = False) -> int:
    """Write the report; returns 0, or 1 where a package that is needed is missing."""
    say(f"stm32pose {stm32pose.__version__}, Python {platform.python_version()} ({sys.executable})")
    say(f"{platform.platform()}, {platform.machine()}, {os.cpu_count()} cores{_memory()}")
    say(f"GPU: {gpu()}")
    rows, missing = [], []
    for name, (use, distributions) in PACKAGES.items():
        version = package_version(distributions)
        rows.append((name, version or "missing", use))
        if version is None and "optional" not in use:
            missing.append(name)
    show_table(("package", "version", "for"), rows)
    for name, program in PROGRAMS.items():
        found, looked = find_program(name)
        say(f"{name}: {found}" if found else f"{name}: not found; {program.use}")
        if not found:
            say(f"    looked at {', '.join(looked)}", style="dim")
    say(f"emulated boards (benchmarking.backend: emulate): {emulated()}")
    if cloud:
        for address, name in CLOUD:
            say(f"{name}: {reach(address)}")
    else:
        say("ST Edge AI Developer Cloud: not asked (--cloud)")
    if missing:
        say(f"missing: {', '.join(missing)}; python -m pip install -r requirements.txt")
    return 1 if missing else 0


def package_version(distributions: tuple[str, ...]) -> str | None:
    """Version of the first distribution that is installed, without importing it; None where none is."""
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def emulated() -> str:
    """What emulates boards here, or what to install."""
    from stm32pose.benchmark.emulate.toolchains import DEBIAN, PIP, has_pip_route, missing_programs

    try:
        missing = missing_programs()
    except UserError as error:
        return str(error)
    if not missing:
        return "by QEMU"
    if has_pip_route():
        return f"by Unicorn; {', '.join(missing)} not found, {DEBIAN} brings QEMU and GCC"
    return f"{', '.join(missing)} not found; {DEBIAN}, or {PIP}"


def gpu() -> str:
    """Name and memory of NVIDIA's GPUs as nvidia-smi tells them, or why there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        apple = platform.system() == "Darwin" and platform.machine() == "arm64"
        return "Apple's, which TensorFlow does not use here" if apple else "none (nvidia-smi is not on PATH)"
    try:
        answer = subprocess.run(
            [program, "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=1,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return f"{program} does not answer"
    names = ", ".join(line.strip() for line in answer.stdout.splitlines() if line.strip())
    return names if answer.returncode == 0 and names else f"none ({program} finds none)"


def reach(address: str) -> str:
    """`reached in 0.2 s`, or why not."""
    import time

    import requests

    started = time.perf_counter()
    try:
        status = requests.get(address, timeout=CLOUD_SECONDS).status_code
    except requests.RequestException as error:
        return f"cannot be reached ({type(error).__name__}: {address})"
    return f"reached in {time.perf_counter() - started:.1f} s (HTTP {status}, {address})"


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return ""
    return f", {size / 1e9:.1f} GB memory"

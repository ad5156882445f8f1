"""`stm32pose doctor`: what this machine has, where it was looked, and what each thing is for."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import stm32pose
from stm32pose.commands.tables import show_table
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
    "onnx": ("ONNX models, optional: pip install 'stm32pose[onnx]'", ("onnx",)),
    "onnxruntime": ("ONNX models, optional", ("onnxruntime", "onnxruntime-gpu")),
}
CLOUD = (
    ("https://stedgeai-dc.st.com/assets/versions.json", "ST Edge AI Developer Cloud"),
    ("https://sso.st.com", "its sign-in"),
)
CLOUD_SECONDS = 5


@dataclass(frozen=True)
class Tool:
    """A program outside this project.

    Attributes:
        name: what people call it.
        programs: file names, without .exe.
        variables: environment variables that may hold its path or folder.
        folders: glob patterns of the usual folders, `~` allowed; newest last in sorting order.
        use: what it is for.
    """

    name: str
    programs: tuple[str, ...]
    variables: tuple[str, ...]
    folders: tuple[str, ...]
    use: str


TOOLS = (
    Tool(
        "stedgeai",
        ("stedgeai",),
        ("STEDGEAI_CORE_DIR", "STEDGEAI"),
        (
            "C:/ST/STEdgeAI/*/Utilities/windows",
            "C:/ST/STEdgeAI_Core/*/Utilities/windows",
            "~/STM32Cube/Repository/Packs/STMicroelectronics/X-CUBE-AI/*/Utilities/*",
            "/opt/st/STEdgeAI/*/Utilities/linux",
            "/opt/ST/STEdgeAI/*/Utilities/linux",
            "~/ST/STEdgeAI/*/Utilities/*",
            "/Applications/ST/STEdgeAI/*/Utilities/mac*",
        ),
        "exact footprints and board figures (not built yet)",
    ),
    Tool(
        "stm32ai",
        ("stm32ai",),
        ("STM32AI", "X_CUBE_AI_PATH"),
        ("~/STM32Cube/Repository/Packs/STMicroelectronics/X-CUBE-AI/*/Utilities/*",),
        "the older name of stedgeai",
    ),
    Tool(
        "STM32CubeIDE",
        ("stm32cubeide", "stm32cubeidec"),
        ("STM32CUBEIDE", "STM32_CUBE_IDE"),
        (
            "C:/ST/STM32CubeIDE_*/STM32CubeIDE",
            "/opt/st/stm32cubeide_*",
            "~/st/stm32cubeide_*",
            "/Applications/STM32CubeIDE.app/Contents/MacOS",
        ),
        "building and flashing applications (not built yet)",
    ),
    Tool(
        "STM32_Programmer_CLI",
        ("STM32_Programmer_CLI",),
        ("STM32_PRG_PATH", "STM32CUBEPROGRAMMER"),
        (
            "C:/Program Files/STMicroelectronics/STM32Cube/STM32CubeProgrammer/bin",
            "/opt/st/stm32cubeprogrammer/bin",
            "~/STMicroelectronics/STM32Cube/STM32CubeProgrammer/bin",
            "/Applications/STMicroelectronics/STM32Cube/STM32CubeProgrammer/STM32CubeProgrammer.app/Contents/MacOs/bin",
        ),
        "flashing boards (not built yet)",
    ),
    Tool(
        "arm-none-eabi-gcc",
        ("arm-none-eabi-gcc",),
        ("ARM_GCC_PATH", "ARMGCC_DIR"),
        (
            "C:/Program Files (x86)/Arm GNU Toolchain arm-none-eabi/*/bin",
            "/opt/gcc-arm-none-eabi*/bin",
            "/opt/arm-gnu-toolchain*/bin",
            "/Applications/ArmGNUToolchain/*/arm-none-eabi/bin",
        ),
        "compiling for boards (not built yet)",
    ),
    Tool("qemu-system-arm", ("qemu-system-arm",), (), ("C:/Program Files/qemu",), "emulated boards (not built yet)"),
)


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
    for tool in TOOLS:
        found, looked = find_tool(tool)
        say(f"{tool.name}: {found}" if found else f"{tool.name}: not found; {tool.use}")
        if not found:
            say(f"    looked at {', '.join(looked)}", style="dim")
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


def find_tool(tool: Tool) -> tuple[Path | None, list[str]]:
    """(its path or None, where it was looked for: PATH, environment variables, usual folders of this system)."""
    looked = ["PATH"]
    for program in tool.programs:
        found = shutil.which(program)
        if found:
            return Path(found), looked
    for folder in _folders(tool, looked):
        for program in tool.programs:
            for candidate in (folder / program, folder / f"{program}.exe", folder):
                if candidate.is_file():
                    return candidate, looked
    return None, looked


def _folders(tool: Tool, looked: list[str]) -> Iterator[Path]:
    for variable in tool.variables:
        looked.append(f"${variable}" + ("" if os.environ.get(variable) else " (not set)"))
        if value := os.environ.get(variable):
            yield Path(value)
            for pattern in ("bin", "Utilities/*"):
                yield from sorted(Path(value).glob(pattern))
    for pattern in tool.folders:
        if not _of_this_system(pattern):
            continue
        looked.append(pattern)
        path = Path(pattern).expanduser()
        yield from sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))), reverse=True)


def _of_this_system(pattern: str) -> bool:
    system = platform.system()
    if pattern.startswith("~"):
        return True
    if pattern.startswith("/Applications"):
        return system == "Darwin"
    return (pattern[1:2] == ":") == (system == "Windows")


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

"""Programs outside this project: ST's tools, compilers, ssh. Where they may lie, and what was tried to find them."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stm32pose.errors import ConfigError, did_you_mean

CUBE_IDE = "STM32CubeIDE"
PLUGIN = "plugins/com.st.stm32cube.ide.mcu.externaltools."
SUFFIXES = (".exe", ".bat", ".cmd")


@dataclass(frozen=True)
class Program:
    """A program outside this project.

    Attributes:
        name: what people call it.
        files: file names, without .exe.
        variables: environment variables that may hold its path or folder.
        folders: glob patterns of the usual folders, `~` allowed; of several the one of the highest version is taken.
        use: what it is for.
        plugin: glob pattern of the folder inside STM32CubeIDE that holds a copy; empty: it holds none.
    """

    name: str
    files: tuple[str, ...]
    variables: tuple[str, ...]
    folders: tuple[str, ...]
    use: str
    plugin: str = ""


_SYSTEM = {"Windows": "windows", "Darwin": "mac*"}.get(platform.system(), "linux")
_CUBE_AI_PACK = f"~/STM32Cube/Repository/Packs/STMicroelectronics/X-CUBE-AI/*/Utilities/{_SYSTEM}"
_PROGRAMMER_FOLDERS = (
    "C:/Program Files/STMicroelectronics/STM32Cube/STM32CubeProgrammer/bin",
    "/opt/st/stm32cubeprogrammer/bin",
    "~/STMicroelectronics/STM32Cube/STM32CubeProgrammer/bin",
    "/Applications/STMicroelectronics/STM32Cube/STM32CubeProgrammer/STM32CubeProgrammer.app/Contents/MacOs/bin",
)

_ALL = (
    Program(
        "stedgeai",
        ("stedgeai",),
        ("STEDGEAI_CORE_DIR", "STEDGEAI", "STM32_AI_EXE"),
        (
            "C:/ST/STEdgeAI/*/Utilities/windows",
            "C:/ST/STEdgeAI_Core/*/Utilities/windows",
            _CUBE_AI_PACK,
            "/opt/st/STEdgeAI/*/Utilities/linux",
            "/opt/ST/STEdgeAI/*/Utilities/linux",
            f"~/ST/STEdgeAI/*/Utilities/{_SYSTEM}",
            "/Applications/ST/STEdgeAI/*/Utilities/mac*",
        ),
        "exact footprints, ST's code, evaluation on boards",
    ),
    Program(
        "stm32ai",
        ("stm32ai",),
        ("STM32AI", "X_CUBE_AI_PATH", "STM32_AI_EXE"),
        (_CUBE_AI_PACK,),
        "the older name of stedgeai",
    ),
    Program(
        CUBE_IDE,
        ("stm32cubeide", "stm32cubeidec", "STM32CubeIDE"),
        ("STM32CUBEIDE", "STM32_CUBE_IDE", "STM32_CUBE_IDE_EXE"),
        (
            "C:/ST/STM32CubeIDE_*/STM32CubeIDE",
            "/opt/st/stm32cubeide_*",
            "~/st/stm32cubeide_*",
            "/Applications/STM32CubeIDE.app/Contents/MacOS",
        ),
        "building applications",
    ),
    Program(
        "STM32_Programmer_CLI",
        ("STM32_Programmer_CLI",),
        ("STM32_PRG_PATH", "STM32CUBEPROGRAMMER", "STM32_CUBE_PROG_EXE"),
        _PROGRAMMER_FOLDERS,
        "flashing boards",
        PLUGIN + "cubeprogrammer.*/tools/bin",
    ),
    Program(
        "STM32_SigningTool_CLI",
        ("STM32_SigningTool_CLI",),
        ("STM32_SIGNINGTOOL_CLI", "STM32_PRG_PATH", "STM32CUBEPROGRAMMER"),
        _PROGRAMMER_FOLDERS,
        "signing firmware of the STM32N6",
        PLUGIN + "cubeprogrammer.*/tools/bin",
    ),
    Program(
        "arm-none-eabi-gcc",
        ("arm-none-eabi-gcc",),
        ("ARM_GCC_PATH", "ARMGCC_DIR", "STM32_ARM_GCC_COMPILER_EXE"),
        (
            "C:/Program Files (x86)/Arm GNU Toolchain arm-none-eabi/*/bin",
            "/opt/gcc-arm-none-eabi*/bin",
            "/opt/arm-gnu-toolchain*/bin",
            "/Applications/ArmGNUToolchain/*/arm-none-eabi/bin",
        ),
        "compiling for boards",
        PLUGIN + "gnu-tools-for-stm32.*/tools/bin",
    ),
    Program(
        "make",
        ("make", "gmake"),
        ("STM32_MAKE_EXE",),
        (),
        "building applications",
        PLUGIN + "make.*/tools/bin",
    ),
    Program("ssh", ("ssh",), (), ("C:/Windows/System32/OpenSSH",), "Linux boards (STM32MP)"),
    Program("scp", ("scp",), (), ("C:/Windows/System32/OpenSSH",), "copying to Linux boards (STM32MP)"),
    Program("qemu-system-arm", ("qemu-system-arm",), (), ("C:/Program Files/qemu",), "emulated boards"),
)
PROGRAMS: dict[str, Program] = {program.name: program for program in _ALL}


def find_program(
    name: str, given: Path | None = None, *, cube_ide: Path | None = None
) -> tuple[Path | None, list[str]]:
    """A program's path, and where it was looked for.

    Args:
        name: one of `PROGRAMS`.
        given: the program, or its folder, as the user gives it: then it is looked for there and nowhere else. A bare
            file name is looked for on PATH. ST's placeholders (`C:/Users/<user>/...`) count as not given.
        cube_ide: STM32CubeIDE, or its folder, as the user gives it; some programs come with it.

    Returns:
        (path or None, places tried: the given path, or PATH, environment variables, usual folders of this system,
        STM32CubeIDE's plugins).
    """
    program = PROGRAMS[name]
    tried: list[str] = []
    if given is not None and is_placeholder(given):
        tried.append(f"{given} (a placeholder)")
    elif given is not None:
        return _given(program, given)
    tried.append("PATH")
    for file in program.files:
        if found := shutil.which(file):
            return Path(found), tried
    for folder in _folders(program, tried, cube_ide):
        if found := _inside(program, folder):
            return found, tried
    return None, tried


def need_program(name: str, given: str | None = None, *, where: str, cube_ide: Path | None = None) -> Path:
    """As `find_program`, for a step that cannot go on without it.

    Raises:
        ConfigError: it is not found, with the places tried; or `given` is a file of another name. A configuration may
            come from a stranger: it chooses which copy of a program runs, not which program.
    """
    path = Path(given).expanduser() if given else None
    if path is not None and not is_placeholder(path):
        check_name(name, path, where=where)
    found, tried = find_program(name, path, cube_ide=cube_ide)
    if found is None:
        raise ConfigError(f"{where}: {name} is not found ({PROGRAMS[name].use}); looked at {', '.join(tried)}")
    return found


def check_name(name: str, given: Path, *, where: str) -> None:
    """ConfigError: `given`, a file or a name on PATH, is not called as the program is."""
    files = PROGRAMS[name].files
    missing = len(given.parts) > 1 and not given.exists()  # `find_program` will say so
    if given.is_dir() or missing or is_called(name, given):
        return
    near = did_you_mean(given.stem, files)
    raise ConfigError(f"{where}: got {given}; the file must be called {' or '.join(dict.fromkeys(files))}{near}")


def is_called(name: str, given: Path) -> bool:
    """Whether a file has the program's very name, in any case and with one of `SUFFIXES` or none."""
    file = given.name.lower()
    stem = next((file.removesuffix(suffix) for suffix in SUFFIXES if file.endswith(suffix)), file)
    return stem in [known.lower() for known in PROGRAMS[name].files]


def is_placeholder(given: Path) -> bool:
    """Whether a path is one to fill in, as in ST's examples: `C:/Users/<user>/...`."""
    return "<" in str(given) and ">" in str(given)


def _given(program: Program, given: Path) -> tuple[Path | None, list[str]]:
    given = given.expanduser()
    if given.is_file():
        return given, [str(given)]
    if given.is_dir():
        for folder in (given, *_below(given)):
            if found := _inside(program, folder):
                return found, [str(given)]
        return None, [f"{given} (holds no {program.files[0]})"]
    if len(given.parts) == 1 and (found := shutil.which(str(given))):
        return Path(found), [f"{given} on PATH"]
    return None, [f"{given} (does not exist)"]


def _inside(program: Program, folder: Path) -> Path | None:
    """The program in `folder`; a variable may also hold its file (`mingw32-make.exe`), or that of a neighbour."""
    if folder.is_file():
        if any(file.lower() in folder.name.lower() for file in program.files):
            return folder
        folder = folder.parent
    for file in program.files:
        for candidate in (folder / file, folder / f"{file}.exe"):
            if candidate.is_file():
                return candidate
    return None


def _folders(program: Program, tried: list[str], cube_ide: Path | None) -> Iterator[Path]:
    for variable in program.variables:
        tried.append(f"${variable}" + ("" if os.environ.get(variable) else " (not set)"))
        if value := os.environ.get(variable):
            yield Path(value)
            yield from _below(Path(value))
    for pattern in program.folders:
        if not _of_this_system(pattern):
            continue
        tried.append(pattern)
        path = Path(pattern).expanduser()
        yield from _newest_first(Path(path.anchor), str(path.relative_to(path.anchor)))
    if program.plugin:
        ide, _ = find_program(CUBE_IDE, cube_ide)
        tried.append(f"the plugins of {ide}" if ide else f"the plugins of {CUBE_IDE} (not found)")
        if ide is not None:
            folder = ide.resolve().parent
            for root in (folder, folder.parent / "Eclipse"):  # the latter: macOS
                yield from _newest_first(root, program.plugin)


def _below(folder: Path) -> Iterator[Path]:
    for pattern in ("bin", f"Utilities/{_SYSTEM}"):
        yield from _newest_first(folder, pattern)


def _newest_first(folder: Path, pattern: str) -> list[Path]:
    """Folders that match, the highest version first: 10.0.0 before 9.1.0; on an Apple processor macarm before mac."""

    def version(path: Path) -> list[tuple[int, int, str]]:
        parts = re.findall(r"[0-9]+|[^0-9]+", path.as_posix())
        return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]

    return sorted(folder.glob(pattern), key=version, reverse=True)


def _of_this_system(pattern: str) -> bool:
    system = platform.system()
    if pattern.startswith("~"):
        return True
    if pattern.startswith("/Applications"):
        return system == "Darwin"
    return (pattern[1:2] == ":") == (system == "Windows")

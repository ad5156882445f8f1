"""Other microcontrollers (STM32H7, U5, F7, ...): our C sources around the network, as ST's program or stm32pose itself
generates it."""

from __future__ import annotations

import os
from pathlib import Path

from stm32pose.benchmark.stedgeai import Generated
from stm32pose.benchmark.stedgeai_program import need_stedgeai
from stm32pose.codegen.targets import cpu_flags, target_of_core
from stm32pose.config.target_sections import Deployment, Tools
from stm32pose.deployment.generate import Request
from stm32pose.deployment.job import Job
from stm32pose.deployment.mcu_header import DECODERS, IN_C, model_header
from stm32pose.deployment.model import Deployable
from stm32pose.errors import ConfigError, UserError
from stm32pose.programs import need_program

SOURCES = Path(__file__).parent / "c"
HEADERS = ("pose_decode.h", "pose_tensor.h", "pose_network.h")
NETWORKS = {"stedgeai": "pose_network_stai.c", "c": "pose_network_c.c"}
"""`deployment.network` -> what puts that network behind the four calls of pose_network.h."""
APPLICATION = ("main.c", "board.c", "pose_network_stub.c")


def deploy_mcu(job: Job) -> None:
    """Write ai_model_config.h and the sources, generate the network's code, and compile or copy them.

    Raises:
        ConfigError: the model's kind has no decoder in C, or a program is missing.
        UserError: a program fails.
    """
    if job.model.kind not in DECODERS:
        raise ConfigError(
            f"model.model_type: got {job.model.codec.get('model_type')}, which has no decoder in C yet; available: "
            f"{', '.join(IN_C)}"
        )
    project = job.project
    if project is not None and not project.is_dir():  # a dry run
        job.note(f"deployment.c_project_path: {project} does not exist; without deployment.dry_run this would stop")
    own = job.section.network == "c"
    if not own and not job.tools.stedgeai.on_cloud:
        job.foretell(lambda: need_stedgeai(job.tools.stedgeai.path_to_stedgeai))
    if project is None:
        job.foretell(lambda: _compilers(job.tools))
    written = write_sources(job)
    if not job.model.quantized:
        job.note(f"{job.model.path.name} computes in float: several times the time and memory of its int8 form")
    made = _own_code(job) if own else _st_code(job)
    if project is not None:
        _copy_into_project(job, project, written, made)
        job.next_step = (
            f"add the files to {project}, fill in board.c's three functions, build and flash it with your IDE"
        )
    else:
        _compile(job)
        library = "" if own else " and runtime/Lib"
        job.next_step = (
            f"link {job.folder / 'application'}/build/libpose.a{library} to a project of {job.board.name} "
            "(STM32CubeMX makes one), fill in Src/board.c, flash it"
        )
    if job.dry_run and not own:
        job.next_step = (
            "set deployment.dry_run: False to generate the network's code; `make host` compiles what there is"
        )


def _st_code(job: Job) -> Generated | None:
    """ST's code and runtime library in application/generated and application/runtime; None in a dry run."""
    request = Request(
        optimization=job.tools.stedgeai.optimization,
        c_api="st-ai",
        inputs_position="chlast",
        outputs_position="chlast" if job.model.layout == "NCHW" and job.model.kind == "heatmaps" else None,
    )
    made = job.generate(request, job.folder / "application" / "generated")
    if made is not None:
        job.files += [*made.c_files, *made.headers, *made.raw]
        _take_runtime(job, made)
    return made


def _own_code(job: Job) -> Generated:
    """The C that stm32pose generates, in application/generated; a dry run writes it too.

    Raises:
        UserError: an operator without a kernel, or more RAM than the board has.
    """
    from stm32pose.codegen.export import build, network_files

    built = build(job.model.path, target_of_core(job.board.core), board=job.board)
    files = [job.write(text, "application", "generated", name) for name, text in network_files(built).items()]
    job.note(f"network as C99 by stm32pose: {built.plan.peak_bytes / 1024:.1f} KiB of RAM, no library needed")
    return Generated(
        folder=job.folder / "application" / "generated",
        c_files=[path for path in files if path.suffix == ".c"],
        headers=[path for path in files if path.suffix == ".h"],
        raw=[],
        library=None,
        report=None,
        log=job.folder / "logs",
        tool="stm32pose",
        runtime=job.folder / "application" / "runtime",
    )


def check_mcu(section: Deployment, tools: Tools) -> None:
    """ConfigError: a program of this way is not found: ST Edge AI Core (without the cloud, for its code), and without a
    project make and the Arm compiler."""
    if section.network == "stedgeai" and not tools.stedgeai.on_cloud:
        need_stedgeai(tools.stedgeai.path_to_stedgeai)
    if section.c_project_path is None:
        _compilers(tools)


def decoder_source(model: Deployable) -> Path:
    """The C file that decodes the outputs of a model of this kind."""
    return SOURCES / f"{model.kind}.c"


def write_sources(job: Job) -> list[Path]:
    """Headers, sources and Makefile in the run folder's application/; returns those that a project of the user gets."""
    kept = [job.write(model_header(job.model), "application", "Inc", "ai_model_config.h")]
    kept += [job.copy(SOURCES / name, "application", "Inc", name) for name in HEADERS]
    network = NETWORKS[job.section.network]
    kept += [job.copy(SOURCES / name, "application", "Src", name) for name in ("pose_input.c", network)]
    kept += [job.copy(decoder_source(job.model), "application", "Src", "pose_decode.c")]
    job.copy(SOURCES / "board.h", "application", "Inc", "board.h")
    for name in APPLICATION:
        job.copy(SOURCES / name, "application", "Src", name)
    makefile = (
        (SOURCES / "Makefile")
        .read_text(encoding="utf-8")
        .replace("@CPU@", " ".join(cpu_flags(job.board.core, job.board.fpu)))
        .replace("@NETWORK@", network)
    )
    job.write(makefile, "application", "Makefile")
    return kept


def _take_runtime(job: Job, made: Generated) -> None:
    """ST's runtime library and its headers into application/runtime."""
    home = made.runtime
    if not (home / "Inc" / "stai.h").is_file():
        raise UserError(
            f"{home / 'Inc' / 'stai.h'} does not exist: {made.tool} gave no whole runtime library; needed: 2.1 or newer"
        )
    for path in sorted((home / "Inc").glob("*.h")):
        job.copy(path, "application", "runtime", "Inc", path.name)
    core = job.board.core.replace("-", "").replace("+", "PLUS").lower()
    libraries = [path for path in (home / "Lib").glob("GCC/*/*.a") if path.parent.name.lower() == f"arm{core}"]
    libraries = sorted(libraries or (home / "Lib").glob("*.a"))
    if not libraries:
        job.note(
            f"no runtime library for the {job.board.core} of {job.board.name} in {home / 'Lib'} ({made.tool}): the "
            "application compiles but will not link; put NetworkRuntime*.a of that core into its project"
        )
    for path in libraries:
        job.copy(path, "application", "runtime", "Lib", path.name)


def _copy_into_project(job: Job, project: Path, written: list[Path], made: Generated | None) -> None:
    """Into Core/Inc and Core/Src (STM32CubeMX) or Inc and Src of the user's project; its main.c is left alone."""
    home = project / "Core" if (project / "Core").is_dir() else project
    for path in (*written, *((*made.c_files, *made.headers) if made else ())):
        job.place(path, home / ("Inc" if path.suffix == ".h" else "Src") / path.name)
    runtime = job.folder / "application" / "runtime"
    if runtime.is_dir():
        job.place_folder(runtime, project / "Middlewares" / "ST" / "AI")


def _compilers(tools: Tools) -> tuple[Path, Path]:
    """(make, the Arm compiler). ConfigError: one is missing."""
    ide = Path(tools.path_to_cubeIDE) if tools.path_to_cubeIDE else None
    make, compiler = (
        need_program(name, where="tools.path_to_cubeIDE", cube_ide=ide) for name in ("make", "arm-none-eabi-gcc")
    )
    return make, compiler


def _compile(job: Job) -> None:
    """libpose.a with the Arm compiler."""
    folder = job.folder / "application"
    if job.dry_run:
        job.commands.run("compile", ["make"], cwd=folder)
        return
    make, compiler = _compilers(job.tools)
    # By PATH and not by CROSS=...: make takes a folder with a space for two words.
    path = os.pathsep.join([str(compiler.parent), os.environ.get("PATH", "")])
    job.commands.run("compile", [make], cwd=folder, env={"PATH": path})
    job.files.append(folder / "build" / "libpose.a")

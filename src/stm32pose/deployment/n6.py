"""STM32N6: ST's pose application, configured, built, signed and flashed."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from stm32pose.benchmark.stedgeai import Generated
from stm32pose.benchmark.stedgeai_program import need_stedgeai
from stm32pose.config.target_sections import Deployment, Tools
from stm32pose.deployment.app_config import HEADER, STYLE_3, STYLE_4, Style, app_config, check_suits, project_style
from stm32pose.deployment.board_conf import BoardConf, load_board_conf, with_programs
from stm32pose.deployment.generate import Request
from stm32pose.deployment.job import Job, project_of
from stm32pose.deployment.stlink import aligned, choose_probe, connected, programmer_version, read_probes
from stm32pose.deployment.stored_input import stored_input
from stm32pose.errors import ConfigError, UserError
from stm32pose.programs import need_program

log = logging.getLogger(__name__)

STAND_IN = Path("/c_project_path")
"""Stands for the project in the commands of a dry run without one."""
HEADLESS = "org.eclipse.cdt.managedbuilder.core.headlessbuild"
BUILD_FAILED = r"(?i)no config matched|\bBuild Finished\. [1-9]\d* errors|\bBuild failed\b"
FLASH_FAILED = r"^\s*Error\b"
NO_SECTION = r"(?i)\.flash_section'?.*(?:does not exist|not found)|can't dump section"
BOOT = "set the boot switches to boot from flash, then power the board off and on"


def deploy_n6(job: Job) -> None:
    """Write app_config.h, generate the network's code, copy both into ST's application, build, sign and flash it.

    Raises:
        ConfigError: the model, the project, a program or the choice of the board does not suit.
        UserError: a program fails: its telling line, the likely cause, its log.
    """
    check_suits(job.model)
    if stored_input(job.model.input, job.model.path) is None:
        job.note(
            f"NOT checked: what {job.model.path.name} makes of a camera byte, since its input is "
            f"{job.model.input.dtype} and no operator behind it tells; it must be the pixel as in training"
        )
    project = job.project
    setup = job.section.hardware_setup
    conf = load_board_conf(project or STAND_IN, job.board.name, wanted=job.section.build_conf, output=setup.output)
    there = project if project is not None and project.is_dir() else None  # a dry run does without
    style = _style(conf, there, job.board.name)
    header = _write_header(job, style, there)
    if there is None:
        missing = f"{project} does not exist" if project else f"it is not set, {STAND_IN} stands for it in the commands"
        job.note(f"deployment.c_project_path: {missing}; headers for 4.x and for 3.0 are written")
    else:
        _check_project(job, there, conf)
        job.note(f"application: {there}, {style.name}; board file: {conf.source}, {conf.configuration}")
    job.foretell(lambda: find_programs(job.tools, conf))
    if not job.tools.stedgeai.on_cloud:
        job.foretell(lambda: need_stedgeai(job.tools.stedgeai.path_to_stedgeai))
    programs = _named(conf) if job.dry_run else find_programs(job.tools, conf)
    serial, version = _probe(job, programs)
    made = _generate(job, style, conf)
    _copy_into_project(job, conf, made, header)
    _build(job, conf, programs)
    blob = _make_binaries(job, conf, programs, version)
    if job.section.flash:
        _flash(job, conf, programs, serial, blob)
        job.next_step = f"{BOOT}: the application starts by itself"
    else:
        job.next_step = "deployment.flash is False: flash the board with the same file and deployment.flash: True"
    if job.dry_run:
        job.next_step = "copy ST's application, set deployment.c_project_path and deployment.dry_run: False"
        if there is not None:
            job.next_step = "set deployment.dry_run: False to build and flash"


def _style(conf: BoardConf, project: Path | None, board: str) -> Style:
    """What the project wants of the header; without a project that of ST's sources of today."""
    if project is None:
        return STYLE_4
    place = next((template.path for template in conf.templates if template.name == HEADER), None)
    sources = project / "Application" / board
    return project_style(place or sources / "Inc" / HEADER, sources if sources.is_dir() else project)


def _write_header(job: Job, style: Style, project: Path | None) -> Path:
    """C_header/app_config.h. Without a project it is that of 4.x, and that of 3.0 lies beside it."""
    if project is None:
        job.write(app_config(job.model, STYLE_3), "C_header", "3.0", HEADER)
    return job.write(app_config(job.model, style), "C_header", HEADER)


def check_n6(section: Deployment, tools: Tools, board: str, *, paths: bool = True, programs: bool = True) -> None:
    """What the configuration and the project alone tell of a deployment; nothing is started.

    Args:
        section, tools: of the configuration.
        board: ST's name of the board.
        paths: look into the project; without that, one with a project is not judged. programs: look for the programs.
            A dry run needs neither.

    Raises:
        ConfigError: the board or the build configuration is not known; no project or one without its sources; a
            program is not found.
        UserError: the project's board file cannot be read.
    """
    if section.c_project_path is not None and not paths:
        return  # its board file says what is allowed
    project = project_of(section)
    setup = section.hardware_setup
    conf = load_board_conf(project or STAND_IN, board, wanted=section.build_conf, output=setup.output)
    if section.dry_run:
        return
    if project is not None:
        _check_sources(project, conf)
    if programs:
        if not tools.stedgeai.on_cloud:
            need_stedgeai(tools.stedgeai.path_to_stedgeai)
        find_programs(tools, conf)


def _check_project(job: Job, project: Path, conf: BoardConf) -> None:
    """A project without its sources is found out before anything long starts."""
    job.foretell(lambda: _check_sources(project, conf))
    if not job.dry_run:
        _check_sources(project, conf)


def _check_sources(project: Path, conf: BoardConf) -> None:
    if not conf.location.is_dir():
        raise ConfigError(
            f"deployment.c_project_path: {project} has no {conf.location.relative_to(project.resolve())}; expected a "
            "whole copy of ST's STM32N6-GettingStarted-PoseEstimation (a git clone with its submodules)"
        )


def _names(conf: BoardConf) -> dict[str, str]:
    """Word of board files -> name among the programs."""
    names = {"STM32CubeProgrammer": "STM32_Programmer_CLI", "STM32SigningTool": "STM32_SigningTool_CLI"}
    return {**names, **({"STM32Make": "make"} if conf.builder == "makefile" else {})}


def _named(conf: BoardConf) -> dict[str, Path]:
    """Word of board files -> the program's bare name, for a dry run."""
    names = {**_names(conf), "STM32CubeIDE": "stm32cubeide", "arm-none-eabi-objcopy": "arm-none-eabi-objcopy"}
    return {word: Path(name) for word, name in names.items()}


def find_programs(tools: Tools, conf: BoardConf) -> dict[str, Path]:
    """Word of board files -> program. ConfigError: one is missing."""
    given = tools.path_to_cubeIDE
    ide = Path(given) if given else None
    key = "tools.path_to_cubeIDE"
    found = {word: need_program(name, where=key, cube_ide=ide) for word, name in _names(conf).items()}
    if conf.builder == "stm32_cube_ide":
        found["STM32CubeIDE"] = need_program("STM32CubeIDE", given, where=key)
    if any(arguments[0] == "arm-none-eabi-objcopy" for arguments in conf.commands.values()):
        compiler = need_program("arm-none-eabi-gcc", where=key, cube_ide=ide)
        found["arm-none-eabi-objcopy"] = compiler.with_name(compiler.name.replace("gcc", "objcopy"))
    return found


def _probe(job: Job, programs: dict[str, Path]) -> tuple[str | None, tuple[int, ...]]:
    """(ST-LINK to flash through, version of STM32CubeProgrammer), looked at before the long steps."""
    programmer = programs["STM32CubeProgrammer"]
    wanted = job.section.hardware_setup.stlink_serial_number
    if not job.section.flash:
        done = job.commands.run("version", [programmer, "--version"], check=False, timeout_s=120)
        return None, programmer_version(done.output) if done else ()
    done = job.commands.run("list ST-LINKs", [programmer, "--list"], check=False, timeout_s=120)
    if done is None:
        return wanted, ()
    try:
        probe = choose_probe(read_probes(done.output), job.board.name, wanted)
    except UserError as error:
        job.commands.records[-1]["status"] = "failed"
        raise type(error)(f"{error}; log: {done.log}") from error
    job.note(f"ST-LINK: {probe}")
    return probe.serial, programmer_version(done.output)


def _generate(job: Job, style: Style, conf: BoardConf) -> Generated | None:
    """The network's code: uint8 pixels in, outputs as the application reads them."""
    neural_art, memory_pools = job.tools.stedgeai.neural_art, None
    if neural_art is None:
        neural_art, memory_pools = _of_board_file(job, conf)
    request = Request(
        input_type="uint8",
        output_type=style.output_type,
        inputs_position="chlast",
        outputs_position="chlast" if job.model.layout == "NCHW" and job.model.kind == "heatmaps" else None,
        c_api="st-ai" if style.stai else None,
        neural_art=neural_art,
        memory_pools=memory_pools,
    )
    made = job.generate(request, job.folder / "st_ai_output")
    if made is None:
        return None
    names = {path.name for path in (*made.c_files, *made.headers)}
    wanted = "stai_network.h" if style.stai else "network.c"
    if wanted not in names:
        raise UserError(
            f"generate: {made.tool} wrote no {wanted}, which the application of {style.name} includes; use the version "
            f"that the application names; log: {made.log}"
        )
    for path in (*made.c_files, *made.headers, *made.raw):
        job.copy(path, "generated", path.name)
    return made


def _of_board_file(job: Job, conf: BoardConf) -> tuple[str | None, Path | None]:
    """(Neural-ART profile, memory pools) as the board file says; what is only known here may be missing."""
    if job.dry_run or conf.neural_art is None:
        return conf.neural_art, conf.memory_pools
    file = Path(conf.neural_art.partition("@")[2])
    if not file.is_file() and conf.source != "built in":
        raise UserError(f"{conf.source}: neuralart_user_path: {file} does not exist")
    return conf.neural_art if file.is_file() else None, conf.memory_pools


def _copy_into_project(job: Job, conf: BoardConf, made: Generated | None, header: Path) -> None:
    """Header and generated code where the board file says; memory images also as .bin, which is what is flashed."""
    if job.dry_run or made is None:
        return
    sources = {path.name: path for path in (*made.c_files, *made.headers, *made.raw)}
    sources[header.name] = header
    missing = []
    for template in conf.templates:
        if template.folder:
            folder = made.folder / template.name
            if folder.is_dir():
                job.place_folder(folder, template.path)
            else:
                missing.append(template.name)
            continue
        source = sources.get(template.name)
        if source is None:
            missing.append(template.name)
            continue
        job.place(source, template.path)
        if source.suffix == ".raw":
            job.place(source, template.path.with_suffix(".bin"))
    if missing:
        job.note(f"not generated by this version, so the project keeps its own: {', '.join(missing)}")


def _build(job: Job, conf: BoardConf, programs: dict[str, Path]) -> None:
    if conf.builder == "makefile":
        for name in ("clean_cmd", "build_cmd"):
            if name in conf.commands:
                job.commands.run(name[:-4], with_programs(conf.commands[name], programs), cwd=_cwd(job, conf))
        return
    workspace = job.folder / "workspace"
    command = [programs["STM32CubeIDE"], "--launcher.suppressErrors", "-nosplash", "-application", HEADLESS]
    command += ["-data", workspace.absolute(), "-import", conf.location, "-cleanBuild", f"{conf.project}/{conf.build}"]
    try:
        job.commands.run("build", command, cwd=_cwd(job, conf), timeout_s=3600, wrong=BUILD_FAILED)
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def _make_binaries(job: Job, conf: BoardConf, programs: dict[str, Path], version: tuple[int, ...]) -> bool:
    """Binaries out of the build, the application's signed; returns whether there is a blob of epochs to flash."""
    blob = True
    for name, title in (
        ("extract_ecblob_cmd", "extract blobs"),
        ("make_binary_cmd", "make binary"),
        ("sign_cmd", "sign"),
    ):
        if name not in conf.commands:
            continue
        command = with_programs(conf.commands[name], programs)
        if name == "sign_cmd":
            command = aligned(command, version)
        blobs = name == "extract_ecblob_cmd"
        done = job.commands.run(
            title,
            command,
            cwd=_cwd(job, conf),
            timeout_s=600,
            wrong="" if blobs else FLASH_FAILED,
            unneeded=NO_SECTION if blobs else "",
        )
        blob = blob and not (blobs and done is None and not job.dry_run)
    return blob


def _flash(job: Job, conf: BoardConf, programs: dict[str, Path], serial: str | None, blob: bool) -> None:
    """First boot loader, weights, blobs and at last the application, through the external loader."""
    programmer = programs["STM32CubeProgrammer"]
    loader = programmer.parent / "ExternalLoader" / conf.loader if conf.loader else None
    if loader and not job.dry_run and not loader.is_file():
        raise UserError(
            f"{loader} does not exist: STM32CubeProgrammer is older than 2.18, or was installed without its external "
            "loaders"
        )
    job.note("flashing needs the boot switches in development mode")
    for name, title in (
        ("flash_fsbl_cmd", "flash boot loader"),
        ("flash_network_data_cmd", "flash network data"),
        ("flash_ecblob_cmd", "flash blobs"),
        ("flash_cmd", "flash application"),
    ):
        if name not in conf.commands or (name == "flash_ecblob_cmd" and not blob):
            continue
        if conf.commands[name][0] != "STM32CubeProgrammer":
            raise UserError(f"{conf.source}: {name}: expected ${{STM32CubeProgrammer}}, got {conf.commands[name][0]}")
        arguments = connected(conf.commands[name][1:], serial=serial, loader=loader)
        job.commands.run(title, [programmer, *arguments], cwd=_cwd(job, conf), timeout_s=900, wrong=FLASH_FAILED)


def _cwd(job: Job, conf: BoardConf) -> Path | None:
    return None if job.dry_run and not conf.cwd.is_dir() else conf.cwd

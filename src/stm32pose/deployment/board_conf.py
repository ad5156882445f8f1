"""The board file of ST's N6 applications, `stmaic_<BOARD>.conf`: what is copied where, built, signed and flashed.

JSON with `//` comments and commas before closing brackets. It may come from anywhere, so that nothing of it reaches a
shell: commands are cut into arguments, names in them are replaced from a fixed set, and only ST's programs are started.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from stm32pose.errors import ConfigError, UserError, did_you_mean

PROJECT = "ProjectFolder"
TOOLS = ("STM32CubeProgrammer", "STM32SigningTool", "STM32Make", "arm-none-eabi-objcopy")
"""Words of a board file that stand for programs."""
GENERATED = ("network.c", "network_ecblobs.h", "stai_network.c", "stai_network.h", "network_atonbuf.xSPI2.raw")
COMMANDS = (
    "clean_cmd",
    "build_cmd",
    "extract_ecblob_cmd",
    "make_binary_cmd",
    "sign_cmd",
    "flash_fsbl_cmd",
    "flash_network_data_cmd",
    "flash_ecblob_cmd",
    "flash_cmd",
)
"""Commands in the order they run; the application is flashed last."""

_NAME = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True)
class Template:
    """One thing that is copied into the project: `name` among what was generated, to `path`."""

    name: str
    path: Path
    folder: bool


@dataclass(frozen=True)
class BoardConf:
    """A board file for one build configuration.

    Attributes:
        source: the file, or `built in`.
        board: the name inside it.
        builder: `stm32_cube_ide` or `makefile`.
        configuration: name of the configuration that was chosen.
        cwd: where its commands run.
        location, project, build: folder, name and configuration of the STM32CubeIDE project.
        loader: file name of the external loader; empty: none.
        templates: what is copied.
        neural_art: `PROFILE@FILE` for the compiler; None: its default.
        memory_pools: the .mpool file, for the Developer Cloud; here the profile names it.
        commands: name -> arguments; the first one is a word of `TOOLS`.
    """

    source: str
    board: str
    builder: Literal["stm32_cube_ide", "makefile"]
    configuration: str
    cwd: Path
    location: Path
    project: str
    build: str
    loader: str
    templates: tuple[Template, ...]
    neural_art: str | None
    memory_pools: Path | None
    commands: dict[str, list[str]]


def load_board_conf(project: Path, board: str, *, wanted: str | None, output: str | None) -> BoardConf:
    """The board file of an application, or what this program knows of ST's two boards where it has none.

    Args:
        project: `deployment.c_project_path`; in a dry run it need not exist.
        board: ST's name of the board.
        wanted: name of the build configuration (`deployment.build_conf`); None: by `output`, else the first.
        output: UVCL or SPI of the NUCLEO-N657X0-Q.

    Raises:
        ConfigError: no such configuration.
        UserError: the file cannot be read, or asks for what is not done here.
    """
    path = project / f"stmaic_{board}.conf"
    if path.is_file():
        return parse_board_conf(read_json(path), project, source=str(path), wanted=wanted, output=output)
    return parse_board_conf(built_in(board, output), project, source="built in", wanted=wanted, output=output)


def read_json(path: Path) -> dict[str, Any]:
    """JSON with `//` comments and trailing commas. UserError: it cannot be read, with file and line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    try:
        content = json.loads(_plain_json(text))
    except ValueError as error:
        line = getattr(error, "lineno", None)
        place = f"{path}:{line}" if line else str(path)
        raise UserError(f"{place}: not a board file of ST: {getattr(error, 'msg', error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a board file of ST: got {type(content).__name__}, expected an object")
    return content


def _plain_json(text: str) -> str:
    """Without comments and trailing commas; strings and line numbers stay as they are."""
    pieces = re.findall(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|[^"/]+|[/"]', text)
    kept = [piece for piece in pieces if not piece.startswith("//")]
    plain, waiting = [], ""
    for piece in kept:  # a comma waits until something other than a closing bracket follows
        if piece.startswith('"'):
            plain += [waiting, piece]
            waiting = ""
            continue
        for letter in piece:
            if waiting and (letter.isspace() or letter in "]}"):
                if letter in "]}":
                    waiting = waiting[1:]
                    plain += [waiting, letter]
                    waiting = ""
                else:
                    waiting += letter
            elif letter == ",":
                plain.append(waiting)
                waiting = ","
            else:
                plain += [waiting, letter]
                waiting = ""
    return "".join([*plain, waiting])


def parse_board_conf(
    content: Mapping[str, Any], project: Path, *, source: str, wanted: str | None, output: str | None
) -> BoardConf:
    """A board file's content for one configuration; see `load_board_conf`."""
    project = project.absolute()
    names = _names(content.get("env", {}), project, source)
    chosen = _choose(content.get("configurations", []), wanted=wanted, output=output, source=source)
    builder = str(chosen.get("builder", content.get("builder", "")))
    if builder not in ("stm32_cube_ide", "makefile"):
        raise UserError(f"{source}: builder: got '{builder}'; allowed: stm32_cube_ide, makefile")

    def text(key: str, default: str = "") -> str:
        return _filled(str(chosen.get(key, default)), names, source)

    def folder(key: str) -> Path:
        return _inside(text(key, "${ProjectFolder}"), project, f"{source}: {key}")

    templates = chosen["templates"] if isinstance(chosen.get("templates"), list) else content.get("templates", [])
    return BoardConf(
        source=source,
        board=str(content.get("board", "")),
        builder=builder,
        configuration=str(chosen.get("name", "")),
        cwd=folder("cwd"),
        location=folder("cproject_location"),
        project=text("cproject_name"),
        build=text("cproject_config"),
        loader=text("external_loader"),
        templates=tuple(_template(item, names, project, source) for item in templates),
        neural_art=_neural_art(content.get("memory_pool", {}), names, source),
        memory_pools=_memory_pools(content.get("memory_pool", {}), names, project, source),
        commands={name: _arguments(chosen[name], names, f"{source}: {name}") for name in COMMANDS if chosen.get(name)},
    )


def _names(env: Any, project: Path, source: str) -> dict[str, str]:
    """The words that `${...}` may name; programs stay words until they are looked for."""
    names = {PROJECT: str(project), **{tool: f"${{{tool}}}" for tool in TOOLS}}
    if not isinstance(env, dict):
        raise UserError(f"{source}: env: got {type(env).__name__}, expected an object")
    for name, value in env.items():
        names[str(name)] = _filled(str(value), names, source)
    return names


def _filled(text: str, names: Mapping[str, str], source: str) -> str:
    """`text` with `${NAME}` replaced, once: what is put in is not looked at again."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in names:
            raise UserError(
                f"{source}: ${{{match[1]}}} is not known; known: {', '.join(sorted(names))}"
                f"{did_you_mean(match[1], names)}"
            )
        return names[match[1]]

    return _NAME.sub(value, text)


def _choose(configurations: Any, *, wanted: str | None, output: str | None, source: str) -> dict[str, Any]:
    found = [item for item in configurations if isinstance(item, dict)] if isinstance(configurations, list) else []
    if not found:
        raise UserError(f"{source}: configurations: got none; a board file has at least one")
    names = [str(item.get("name", "")) for item in found]
    if wanted is not None:
        for item, name in zip(found, names, strict=True):
            if name.lower() == wanted.lower():
                return item
        raise ConfigError(
            f"deployment.build_conf: got '{wanted}'; allowed: {', '.join(names)}{did_you_mean(wanted, names)}"
        )
    if output is not None:
        for item, name in zip(found, names, strict=True):
            if output.lower() in re.split(r"[^a-z0-9]+", name.lower()):
                return item
        if len(found) > 1:
            raise ConfigError(
                f"deployment.hardware_setup.output: got '{output}'; no configuration of {source} is called so "
                f"({', '.join(names)}); name one in deployment.build_conf"
            )
    return found[0]


def _template(item: Any, names: Mapping[str, str], project: Path, source: str) -> Template:
    """`[source, destination, mode]`: an empty source means the destination's name."""
    if not isinstance(item, list) or len(item) != 3:
        raise UserError(f"{source}: templates: got {item!r}; expected [source, destination, mode]")
    given, destination, mode = (str(part) for part in item)
    if not (mode in ("copy", "copy-file") or mode.startswith("copy-dir")):
        raise UserError(f"{source}: templates: mode '{mode}' is not done here; allowed: copy, copy-file, copy-dir")
    path = _inside(_filled(destination, names, source), project, f"{source}: templates")
    return Template(PurePosixPath(given).name or path.name, path, mode.startswith("copy-dir"))


def _inside(text: str, project: Path, where: str) -> Path:
    """A path of the project. UserError: it lies elsewhere."""
    path = (project / text).resolve()
    if not path.is_relative_to(project.resolve()):
        raise UserError(f"{where}: {path} lies outside the project {project}")
    return path


def _neural_art(pool: Any, names: Mapping[str, str], source: str) -> str | None:
    if not isinstance(pool, dict):
        return None
    file = _filled(str(pool.get("neuralart_user_path", "")), names, source)
    return f"{pool.get('profile') or 'default'}@{file}" if file else None


def _memory_pools(pool: Any, names: Mapping[str, str], project: Path, source: str) -> Path | None:
    """A file of the project: it is sent to the cloud."""
    file = _filled(str(pool.get("mpool", "")), names, source) if isinstance(pool, dict) else ""
    return _inside(file, project, f"{source}: memory_pool.mpool") if file else None


def _arguments(command: Any, names: Mapping[str, str], where: str) -> list[str]:
    """A command as arguments: cut first, then names are filled in, so that no path with a space falls apart."""
    words = [str(word) for word in command] if isinstance(command, list) else _cut(str(command), where)
    if not words:
        raise UserError(f"{where}: got an empty command")
    filled = [_filled(word, names, where) for word in words]
    program = next((tool for tool in TOOLS if filled[0] == f"${{{tool}}}"), None)
    if program is None and PureWindowsPath(filled[0]).name.lower() in ("make", "make.exe"):
        program = "STM32Make"
    if program is None:
        raise UserError(
            f"{where}: '{filled[0]}' is not started; allowed: {', '.join(f'${{{tool}}}' for tool in TOOLS)}"
        )
    return [program, *filled[1:]]


def _cut(command: str, where: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UserError(f"{where}: {error}: {command}") from error


def built_in(board: str, output: str | None) -> dict[str, Any]:
    """What this program knows of ST's applications for the two STM32N6 boards, in the form of a board file."""
    loaders = {
        "STM32N6570-DK": "MX66UW1G45G_STM32N6570-DK.stldr",
        "NUCLEO-N657X0-Q": "MX25UM51245G_STM32N6570-NUCLEO.stldr",
    }
    if board not in loaders:
        raise ConfigError(f"deployment.hardware_setup.board: got '{board}'; allowed: {', '.join(loaders)}")
    build = f"{output}_ModelZoo" if output and board == "NUCLEO-N657X0-Q" else "ModelZoo"
    home, name = f"Application/{board}", f"{board}_GettingStarted_PoseEstimation"
    network, elf = f"Model/{board}", f"{build}/{board}_GettingStarted_PoseEstimation"
    flash = "${STM32CubeProgrammer} -c port=swd mode=HOTPLUG -hardRst -w"
    return {
        "board": board,
        "builder": "stm32_cube_ide",
        "templates": [
            *(["", f"{network}/{file}", "copy"] for file in GENERATED),
            ["", f"{home}/Inc/app_config.h", "copy"],
        ],
        "memory_pool": {
            "neuralart_user_path": f"${{ProjectFolder}}/Model/user_neuralart_{board}.json",
            "profile": "default",
        },
        "configurations": [
            {
                "name": build,
                "cwd": f"{home}/STM32CubeIDE",
                "cproject_location": f"{home}/STM32CubeIDE",
                "cproject_name": name,
                "cproject_config": build,
                "external_loader": loaders[board],
                "extract_ecblob_cmd": "${arm-none-eabi-objcopy} --dump-section "
                f".flash_section={build}/ecblob.bin {elf}.elf",
                "make_binary_cmd": "${arm-none-eabi-objcopy} -O binary --remove-section=.flash_section "
                f"{elf}.elf {elf}_noecblob.bin",
                "sign_cmd": f"${{STM32SigningTool}} -s -bin {elf}_noecblob.bin -nk -t ssbl -hv 2.3 -o {elf}_signed.bin",
                "flash_fsbl_cmd": f"{flash} ../../../FSBL/ai_fsbl.hex",
                "flash_network_data_cmd": f"{flash} ../../../{network}/network_atonbuf.xSPI2.bin 0x70380000",
                "flash_ecblob_cmd": f"{flash} {build}/ecblob.bin 0x71380000",
                "flash_cmd": f"{flash} {elf}_signed.bin 0x70100000",
            }
        ],
    }


def with_programs(arguments: Sequence[str], programs: Mapping[str, Path]) -> list[str]:
    """Arguments whose first word is a program's path instead of its name in board files."""
    return [str(programs[arguments[0]]), *arguments[1:]]

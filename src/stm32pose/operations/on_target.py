"""Where a model runs: on this machine, in the library that ST's tools make of it, or on a connected board."""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stm32pose.config.schema import Config
from stm32pose.config.suffixes import model_kind
from stm32pose.config.target_sections import OnTarget
from stm32pose.errors import ConfigError, UserError
from stm32pose.files import write_whole
from stm32pose.processes import run_program, show_command
from stm32pose.reporting.run import Run

if TYPE_CHECKING:
    from stm32pose.benchmark.stedgeai import StEdgeAI
    from stm32pose.inference.runner import Runner

log = logging.getLogger(__name__)

FOLDER = "st_ai_ws"
"""Folder of what ST's tools write, inside the run folder."""
DESCRIPTOR = "serial:921600"
RUNNER_FOLDER = Path("scripts") / "ai_runner"
LOADER_KEY = "tools.stedgeai.path_to_loader"


@dataclass(frozen=True)
class Firmware:
    """A board's validation firmware: its series for the compiler, its loader script and that script's options."""

    series: str
    loader: str
    option: str
    config: str


BOARDS = {
    "stedgeai_n6": Firmware("stm32n6", "n6_loader.py", "--n6-loader-config", "config_n6l.json"),
    "stedgeai_h7p": Firmware("stm32h7", "h7p_loader.py", "--h7p-loader-config", "config_h7p.json"),
}


def open_runner(config: Config, run: Run, path: Path, section: OnTarget) -> Runner:
    """A model file where `section.target` wants it, ready to run.

    Args:
        config: rescaling, threads and `tools.stedgeai`.
        run: its folder receives ST's files and the log of each of ST's programs.
        path: a model file; for the other targets than `host` a .tflite or .onnx file.
        section: `config.evaluation` or `config.prediction`.

    Raises:
        ConfigError: a Keras file for another target than `host`, or a program or script of ST that is not there.
        UserError: one of ST's programs fails, or the board does not answer.
    """
    from stm32pose.inference.runner import load_runner

    check_target(path, section)
    rescaling = (config.preprocessing.rescaling.scale, config.preprocessing.rescaling.offset)
    host = load_runner(path, rescaling=rescaling, threads=config.general.num_threads_tflite)
    if section.target == "host":
        return host
    from stm32pose.inference.st_runner import StRunner

    folder = _new_folder(run, f"{path.stem}{path.suffix.replace('.', '_')}")
    if section.target == "stedgeai_host":
        cli = _program(config)
        descriptor = _host_library(cli, config, path, section, host, folder)
    else:
        cli, descriptor = _board(config, path, section, host, folder), DESCRIPTOR
    package = _package(cli)
    log.info("%s: connecting to %s", path.name, descriptor)
    runner = StRunner(host, descriptor, rescaling=rescaling, package=package, log_file=folder / "stm_ai_runner.log")
    log.info("%s: %s", path.name, runner.about or descriptor)
    return runner


def check_programs(config: Config, section: OnTarget) -> None:
    """What `open_runner` will need of ST for `section.target`, looked for before the long steps. Nothing is started.

    Args:
        config: `tools.stedgeai`.
        section: `config.evaluation` or `config.prediction`.

    Raises:
        ConfigError: ST Edge AI Core, the loader, the file of profiles or ST's Python package is not found.
    """
    if section.target == "host":
        return
    from stm32pose.benchmark.stedgeai import find_stedgeai
    from stm32pose.benchmark.stedgeai_program import StEdgeAI, need_stedgeai

    tool = config.tools.stedgeai
    ready = section.target in BOARDS and section.profile == "auto_valid"
    path = find_stedgeai(tool.path_to_stedgeai)[0] if ready else need_stedgeai(tool.path_to_stedgeai)
    # Name and version are asked when it is run.
    cli = StEdgeAI(path, "", "") if path is not None else None
    if section.target in BOARDS and not ready and cli is not None:
        loader = _loader(tool.path_to_loader, cli, BOARDS[section.target].loader)
        _profile(config, section, loader)
    if _package(cli) is None and importlib.util.find_spec("stm_ai_runner") is None:
        place = f"nor in {cli.root / RUNNER_FOLDER}" if cli is not None else "and no ST Edge AI Core that brings it"
        raise ConfigError(
            f"{_where(section)}.target: got '{section.target}'; stm_ai_runner, ST's Python package, is neither "
            f"installed {place}"
        )


def check_target(path: Path, section: OnTarget) -> None:
    """ConfigError: a model that only this machine can run, and another target."""
    if section.target != "host" and model_kind(path) == "keras":
        raise ConfigError(
            f"{_where(section)}.target: got '{section.target}' for {path.name}; ST's tools run .tflite and .onnx files "
            "there; use host, or quantize first"
        )


def _new_folder(run: Run, name: str) -> Path:
    """A folder of this use alone: files of one name in two folders, or of two steps, must not meet."""
    number, folder = 1, run.path(FOLDER, name)
    while folder.exists():
        number += 1
        folder = run.path(FOLDER, f"{name}_{number}")
    folder.mkdir()
    return folder


def _host_library(cli: StEdgeAI, config: Config, path: Path, section: OnTarget, host: Runner, folder: Path) -> str:
    """The path of the library that runs ST's C code of the model on this machine."""
    from stm32pose.benchmark.stedgeai import generate

    target = ["--target", "stm32", "--c-api", "st-ai"]
    extra = _tensor_options(section, host)
    made = generate(cli, path, target, folder=folder, dll=True, extra=extra, timeout_s=config.tools.stedgeai.timeout_s)
    return str(made.library)


def _board(config: Config, path: Path, section: OnTarget, host: Runner, folder: Path) -> StEdgeAI | None:
    """Compile the model and load the board with it, unless `profile: auto_valid` says that the board has it."""
    from stm32pose.benchmark.stedgeai import find_stedgeai, generate

    tool, firmware = config.tools.stedgeai, BOARDS[section.target]
    if section.profile == "auto_valid":
        log.info("%s.profile: auto_valid: the board is taken as it is", _where(section))
        return _program(config) if find_stedgeai(tool.path_to_stedgeai)[0] else None
    cli = _program(config)
    loader = _loader(tool.path_to_loader, cli, firmware.loader)
    target = ["--target", firmware.series, "--st-neural-art", _profile(config, section, loader), "--c-api", "st-ai"]
    # ST's profiles name their memory pools relative to the folder of the loader.
    generate(
        cli, path, target, folder=folder, extra=_tensor_options(section, host), cwd=loader.parent,
        timeout_s=tool.timeout_s,
    )  # fmt: skip
    settings = _loader_settings(loader.with_name(firmware.config), folder)
    command = [sys.executable, loader, firmware.option, settings]
    log.info("%s", show_command(command))
    report = folder / f"{loader.stem}.log"
    done = run_program(command, log=report, cwd=loader.parent, timeout_s=tool.timeout_s)
    if done.returncode:
        said = next((line.strip() for line in reversed(done.output.splitlines()) if line.strip()), "it said nothing")
        raise UserError(
            f"{loader.name}: failed with status {done.returncode}: {said[:200]}; likely causes: the board is not "
            f"connected or not in development boot, config.json beside it misses a tool; log: {report}"
        )
    return cli


def _program(config: Config) -> StEdgeAI:
    from stm32pose.benchmark.stedgeai import open_stedgeai

    tool = config.tools.stedgeai
    cli = open_stedgeai(tool.path_to_stedgeai, wanted_version=tool.version)
    if cli.old:
        raise ConfigError(
            f"tools.stedgeai.path_to_stedgeai: {cli.path} is {cli.label}; running models through ST's tools needs "
            "ST Edge AI Core"
        )
    return cli


def _tensor_options(section: OnTarget, host: Runner) -> list[str]:
    """Types and channel positions of the generated network. A float network has float ends."""
    kinds = {"float": "float32"}
    types = [kinds.get(name, name) for name in (section.input_type, section.output_type)]
    if not host.quantized and types != ["float32", "float32"]:
        log.warning(
            "%s: %s computes in float: input_type %s and output_type %s become float32",
            _where(section), host.path.name, *types,
        )  # fmt: skip
        types = ["float32", "float32"]
    return [
        *("--input-data-type", types[0], "--output-data-type", types[1]),
        *("--inputs-ch-position", section.input_chpos, "--outputs-ch-position", section.output_chpos),
    ]


def _profile(config: Config, section: OnTarget, loader: Path) -> str:
    """`PROFILE@FILE`: that of `tools.stedgeai.neural_art`, or `profile` in the file beside the loader."""
    from stm32pose.benchmark.stedgeai import check_profile, whole_profile

    if given := config.tools.stedgeai.neural_art:
        if (loader.parent / (given.partition("@")[2] or ".")).is_file():
            return given  # ST's program runs there
        check_profile(given)
        return whole_profile(given)
    file = loader.with_name("user_neuralart.json")
    if not file.is_file():
        raise ConfigError(
            f"{_where(section)}.profile: got '{section.profile}', but {file} with the profiles does not exist; "
            "give tools.stedgeai.neural_art: PROFILE@FILE"
        )
    return f"{section.profile}@{file}"


def _loader(given: str | None, cli: StEdgeAI, name: str) -> Path:
    """ST's script that builds and loads a board's validation firmware. ConfigError: it is not there.

    A configuration may come from a stranger: it chooses which copy of the script runs, not which script.
    """
    if given and not ("<" in given and ">" in given):
        path = Path(given).expanduser()
        if path.is_dir():
            path = path / name
        elif path.name != name:
            raise ConfigError(f"{LOADER_KEY}: got {given}; the file must be called {name}")
        if not path.is_file():
            raise ConfigError(f"{LOADER_KEY}: {path} does not exist")
        return path.resolve()
    tried = [cli.root / "scripts" / folder / name for folder in ("N6_scripts", "H7P_scripts")]
    for path in tried:
        if path.is_file():
            return path
    raise ConfigError(f"{LOADER_KEY}: {name} is not found; looked at {', '.join(map(str, tried))}")


def _loader_settings(original: Path, folder: Path) -> Path:
    """A copy of the loader's settings in `folder` that names the network generated there. The original stays as it is.

    ST's file may hold lines of `//` comments.
    """
    settings: dict[str, Any] = {}
    if original.is_file():
        lines = original.read_text(encoding="utf-8-sig").splitlines()
        text = "\n".join(line for line in lines if not line.lstrip().startswith("//"))
        try:
            settings = json.loads(text)
        except ValueError as error:
            raise UserError(f"{original}: not JSON ({error})") from error
        if not isinstance(settings, dict):
            raise UserError(f"{original}: got a {type(settings).__name__}; the loader's settings are a mapping")
    settings["network.c"] = (folder.resolve() / "network.c").as_posix()
    settings["memdump_path"] = folder.resolve().as_posix()
    return write_whole(folder.resolve() / original.name, json.dumps(settings, indent=1) + "\n")


def _package(cli: StEdgeAI | None) -> Path | None:
    """The folder that holds `stm_ai_runner`; None where it is installed, or not found (the child then says so)."""
    if cli is not None and (cli.root / RUNNER_FOLDER / "stm_ai_runner").is_dir():
        return cli.root / RUNNER_FOLDER
    if importlib.util.find_spec("stm_ai_runner") is None and cli is not None:
        log.warning("stm_ai_runner is neither installed nor in %s", cli.root / RUNNER_FOLDER)
    return None


def _where(section: OnTarget) -> str:
    return type(section).__name__.lower()

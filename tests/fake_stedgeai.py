"""A stand-in for ST's programs: `stedgeai` / `stm32ai` of several versions, the board loaders, and `stm_ai_runner`.

`make_installation(folder)` lays out an installation as ST does; its program checks its arguments as the real one does
(an unknown option is status 2), writes reports in the shape of that version, and notes each call. `calls(program)`
gives the calls. The "host library" and the "board" hold the path of the model, which the fake `stm_ai_runner` runs with
LiteRT or ONNX Runtime: answers are real.

Faults: error, crash, hang, no_report, garbage, other_keys, huge_log, prompt; before a colon the command that they
befall (`generate:error`), else all.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

# What `--version` prints.
VERSIONS = {
    "7.3": "stm32ai - Neural Network Tools for STM32AI v1.6.0 (STM.ai v7.3.0-RC5)\n",
    "8.1": "Neural Network Tools for STM32 family v1.7.0 (stm.ai v8.1.0-19520)\n",
    "2.0": "ST Edge AI Core v2.0.0-20049\n    ISPU 1.1.0\n    MLC 1.1.0\n    STM32CubeAI 10.0.0\n",
    "2.2": "ST Edge AI Core v2.2.0-20266 2adc00962\n   STM32CubeAI 10.2.0-RC1\n",
    "4.0": "ST Edge AI Core v4.0.1-20581 7ed50de05\n   STM32CubeAI 12.0.1-RC2\n",
    "nameless": "development build\n",
}
ACTIVATIONS, IO, MACS = 442368, [110592, 29952], [38_040_000, 2_376_000, 9_516_000]
LOADERS = {"n6_loader.py": ("--n6-loader-config", "config_n6l.json"), "h7p_loader.py": ("--h7p-loader-config", "")}


def make_stedgeai(folder: Path, version: str = "4.0", *, name: str = "stedgeai", fault: str = "") -> Path:
    """An executable that behaves as `version`; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    here = Path(__file__).resolve().parent
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(here)!r})\nfrom fake_stedgeai import stedgeai\n"
        f"sys.exit(stedgeai({version!r}, {fault!r}, {str(path)!r}))\n"
    )
    path.chmod(0o755)
    return path


def make_installation(root: Path, version: str = "4.0", *, fault: str = "", board: Path | None = None) -> Path:
    """ST's folders below `root`: program, loaders with their settings, profiles, `stm_ai_runner`.

    Args:
        board: the file that stands for the board's flash; absent: root/board.json.
    """
    board = board or root / "board.json"
    scripts = root / "scripts" / "N6_scripts"
    scripts.mkdir(parents=True)
    (scripts / "user_neuralart.json").write_text('{"Profiles": {"profile_O3": {"memory_pool": "./my.mpool"}}}')
    (scripts / "config_n6l.json").write_text(
        '{\n  // where the network comes from\n  "network.c": "C:/gone/network.c",\n  "project_build_conf": "N6-DK",\n'
        '  "skip_external_flash_programming": false\n}\n'
    )
    here = Path(__file__).resolve().parent
    for name in LOADERS:
        (scripts / name).write_text(
            f"import sys\nsys.path.insert(0, {str(here)!r})\nfrom fake_stedgeai import loader\n"
            f"sys.exit(loader({name!r}, {str(board)!r}, {fault!r}))\n"
        )
    make_ai_runner(root / "scripts" / "ai_runner", board)
    return make_stedgeai(root / "Utilities" / "linux", version, fault=fault)


def make_ai_runner(folder: Path, board: Path, **faults: Any) -> Path:
    """A package `stm_ai_runner` in `folder` whose board is the file `board`; returns `folder`.

    Args:
        faults: of `FakeAiRunner`.
    """
    package = folder / "stm_ai_runner"
    package.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).resolve().parent
    (package / "__init__.py").write_text(
        f"import sys\nsys.path.insert(0, {str(here)!r})\nimport fake_ai_runner\n"
        f"class AiRunner(fake_ai_runner.FakeAiRunner):\n    board = {str(board)!r}\n    faults = {faults!r}\n"
    )
    return folder


def calls(program: Path) -> list[list[str]]:
    """Arguments of each call of a fake program, `--version` left out."""
    file = program.with_name(program.name + ".calls")
    made = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [arguments for arguments in made if arguments != ["--version"]]


def option(arguments: list[str], name: str) -> str | None:
    """The value after `name` in one call; None where the option is absent."""
    return arguments[arguments.index(name) + 1] if name in arguments else None


def stedgeai(version: str, fault: str, program: str) -> int:
    """What the fake program runs."""
    with Path(program + ".calls").open("a") as file:
        file.write(json.dumps(sys.argv[1:]) + "\n")
    if sys.argv[1:] == ["--version"]:
        print(VERSIONS.get(version, version), end="")
        return 0
    arguments = _parser(version).parse_args()
    where, _, fault = fault.rpartition(":")
    if where and where != arguments.command:
        fault = ""
    print(VERSIONS.get(version, version).splitlines()[0])
    if status := _misbehave(fault):
        return status
    output, workspace = Path(arguments.output), Path(arguments.workspace)
    for folder in (output, workspace):
        folder.mkdir(parents=True, exist_ok=True)
    if arguments.command == "generate":
        _generate(arguments, output, workspace)
    if arguments.command == "validate":
        _print_validation()
    _report(version, fault, arguments, output)
    print("elapsed time (generate): 0.1s")
    return 0


def _parser(version: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stedgeai", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    old = version in ("7.3", "8.1")
    for name in ("analyze", "generate", "validate"):
        command = commands.add_parser(name, allow_abbrev=False)
        command.add_argument("-m", "--model", required=True, type=_existing)
        command.add_argument("--output", default="st_ai_output")
        command.add_argument("--workspace", default="st_ai_ws")
        command.add_argument("-v", "--verbosity", type=int)
        command.add_argument("-O", "--optimization", choices=("balanced", "time", "ram"))
        if old or version == "2.0":
            command.add_argument("--allocate-inputs", action="store_true")
            command.add_argument("--allocate-outputs", action="store_true")
        if not old:
            command.add_argument("--target", required=True, type=_target)
            command.add_argument("--st-neural-art", nargs="?", const="default")
            command.add_argument("--c-api", choices=("st-ai", "legacy"))
            command.add_argument("--input-data-type", choices=("float32", "int8", "uint8"))
            command.add_argument("--output-data-type", choices=("float32", "int8", "uint8"))
            command.add_argument("--inputs-ch-position", choices=("chfirst", "chlast"))
            command.add_argument("--outputs-ch-position", choices=("chfirst", "chlast"))
        if version == "4.0":
            command.add_argument("--hsp", type=int)
        if name == "generate":
            command.add_argument("--dll", action="store_true")
        if name == "validate":
            command.add_argument("--mode", choices=("host", "target"), default="host")
            command.add_argument("-d", "--desc")
            command.add_argument("-b", "--batch-size", type=int)
    return parser


def _existing(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"file not found: {text}")
    return Path(text)


def _target(text: str) -> str:
    if not re.fullmatch(r"stm32(f0|f3|f4|f7|g0|g4|h5|h7|l4|l5|n6|u0|u3|u5|wb|wba|wl|c0)?", text):
        raise argparse.ArgumentTypeError(f"unknown target: {text}")
    return text


def _misbehave(fault: str) -> int:
    if fault == "error":
        print("Exporting ...", flush=True)
        print("E010(InvalidModelError): Unsupported layer types: FlexErf, stopping.", flush=True)
        return 1
    if fault == "crash":
        os.abort()
    if fault == "hang":
        print("waiting", flush=True)
        time.sleep(600)
    if fault == "prompt":
        input("Do you accept the licence? [y/N] ")
    if fault == "huge_log":
        for index in range(100_000):
            print(index, "x" * 60)
    return 0


def _generate(arguments: argparse.Namespace, output: Path, workspace: Path) -> None:
    network = {
        "model": str(arguments.model),
        **{name: value for name, value in vars(arguments).items() if "data_type" in name or "position" in name},
    }
    if arguments.dll:
        library = workspace / "inspector_network" / "workspace" / "lib" / "libai_network.so"
        library.parent.mkdir(parents=True, exist_ok=True)
        library.write_text(json.dumps(network))
        return
    neural_art = getattr(arguments, "st_neural_art", None)
    names = ["network.c", "network.h"]
    names += ["stai_network.c", "stai_network.h", "network_ecblobs.h"] if neural_art else ["network_data.c"]
    for name in names:
        (output / name).write_text(f"/* {name} */\n")
    (output / "network.c").write_text(f"/* {json.dumps(network)} */\n")
    if neural_art:
        (output / "network_atonbuf.xSPI2.raw").write_bytes(b"\1" * arguments.model.stat().st_size)


def _report(version: str, fault: str, arguments: argparse.Namespace, output: Path) -> None:
    size = arguments.model.stat().st_size
    if fault == "no_report" or (version in ("7.3", "8.1", "2.0") and arguments.command == "analyze"):
        (output / "network_analyze_report.txt").write_text(f"ram (total) {ACTIVATIONS} B\n")
        return
    if fault in ("garbage", "other_keys"):
        text = '{"ram_size": [' if fault == "garbage" else '{"model": "x", "layers": [], "notes": "nothing"}'
        (output / "network_report.json").write_text(text)
        return
    if version in ("7.3", "8.1", "2.0"):
        ram: Any = ACTIVATIONS if version == "2.0" else [ACTIVATIONS]
        content: dict[str, Any] = {
            "report_version": 1.2,
            "cli_version_str": version,
            "tools_version": {"major": int(version[0]), "minor": int(version[2]), "micro": 0},
            "ram_size": ram,
            "ram_io_size": IO,
            "rom_size": size,
            "rom_n_macc": sum(MACS),
            "val_metrics": [{"acc": None, "desc": "X-cross #1", "rmse": 0.0021, "mae": 0.0012, "l2r": 0.0031,
                             "mean": 0.0, "std": 0.002, "ts_name": "heatmaps"}],
        }  # fmt: skip
        (output / "network_report.json").write_text(json.dumps(content))
        return
    (output / "network_c_info.json").write_text(json.dumps(_c_info(version, arguments, size)))


def _c_info(version: str, arguments: argparse.Namespace, size: int) -> dict[str, Any]:
    """Schema 2.0, in the shape that versions 2.2 and 4.0.1 write."""
    tool = VERSIONS[version].splitlines()[0].rpartition(" v")[2] if version in VERSIONS else version
    neural_art = arguments.target == "stm32n6"
    pools = [
        {"id": 0, "name": "heap_overlay_pool", "address": "NULL", "rights": "ACC_WRITE", "size_bytes": -1,
         "used_size_bytes": ACTIVATIONS, "virtual": False, "subpools": [], "buffers": [1]},
        {"id": 1, "name": "weights_array", "address": "g_network_weights_array", "rights": "ACC_READ",
         "size_bytes": -1, "used_size_bytes": size, "virtual": False, "subpools": [], "buffers": [2]},
    ]  # fmt: skip
    if neural_art:
        pools = [
            {"id": 1, "name": "npuRAM_3_6", "address": "0x34200000", "rights": "ACC_WRITE", "size_bytes": 1835008,
             "used_size_bytes": 0, "virtual": True, "subpools": [2, 3], "buffers": []},
            {"id": 2, "name": "npuRAM5", "address": "0x342e0000", "rights": "ACC_WRITE", "size_bytes": 458752,
             "used_size_bytes": 400000, "virtual": False, "subpools": [], "buffers": [1]},
            {"id": 3, "name": "cpuRAM2", "address": "0x34100000", "rights": "ACC_WRITE", "size_bytes": 1048576,
             "used_size_bytes": 42368, "virtual": False, "subpools": [], "buffers": [3]},
            {"id": 4, "name": "hyperRAM", "address": "0x90000000", "rights": "ACC_WRITE", "size_bytes": 33554432,
             "used_size_bytes": 0, "virtual": False, "subpools": [], "buffers": []},
            {"id": 5, "name": "octoFlash", "address": "0x70380000", "rights": "ACC_WRITE", "size_bytes": 63438848,
             "used_size_bytes": size, "virtual": False, "subpools": [], "buffers": [2]},
        ]  # fmt: skip
    nodes = [{"id": index, "macc": count, "mapping": "NODE_HW"} for index, count in enumerate(MACS)]
    footprint: dict[str, Any] = {"activations": ACTIVATIONS, "io": [0, 0], "weights": size,
                                 "series": arguments.target}  # fmt: skip
    if not neural_art:
        footprint |= {"kernel_flash": 5746, "kernel_ram": 288, "toolchain_flash": 732, "toolchain_ram": 0}
    content: dict[str, Any] = {
        "buffers": [],
        "environment": {"tools": [{"name": "ST.EdgeAI.Core", "version": tool, "arguments": arguments.command}]},
        "graphs": [{"id": 0, "nodes": nodes, "inputs": [1], "outputs": [3]}],
        "json_schema_version": "2.0",
        "memory_footprint": footprint,
        "memory_pools": pools,
    }
    if arguments.command == "validate" and version != "2.2":
        content["validation"] = {
            "val_metrics": [
                {"desc": "X-cross #1", "ts_name": "heatmaps", "rmse": 0.0021, "mae": 0.0012, "cos": 0.99998}
            ]
        }
    return content


def _print_validation() -> None:
    print("Evaluation report (summary)")
    print("-" * 80)
    print(
        "Output       acc      rmse          mae           l2r           mean        std         nse     cos     tensor"
    )
    print("X-cross #1   n.a.     0.002100000   0.001200000   0.003100000   -0.000010   0.002000    0.999   1.000   'h'")
    print("-" * 80)


def loader(name: str, board: str, fault: str) -> int:
    """What a fake loader script runs: put the network that its settings name onto the board."""
    parser = argparse.ArgumentParser(prog=name, allow_abbrev=False)
    parser.add_argument(LOADERS[name][0], dest="config", required=True)
    settings = json.loads(Path(parser.parse_args().config).read_text())
    print("Preparing compiler GCC")
    if fault == "loader:error":
        print("Resetting the board...\nError: No STM32 target found!")
        return 1
    source = Path(settings["network.c"])
    if not source.is_file() or Path(settings["memdump_path"]) != source.parent:
        print(f"Copying {source} failed (file does not exist)")
        return 1
    found = re.search(r"/\* (\{.*\}) \*/", source.read_text())
    Path(board).write_text(found[1] if found else "")
    print("Loading internal memories & Running the program")
    return 0

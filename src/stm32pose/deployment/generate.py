"""ST's C code of a network, by the program on this machine or by the Developer Cloud; callers see no difference."""

from __future__ import annotations

import json
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from stm32pose.benchmark.stedgeai import Generated, StEdgeAI, generate, open_stedgeai, target_of
from stm32pose.errors import ConfigError, UserError
from stm32pose.files import write_whole

if TYPE_CHECKING:
    from stm32pose.benchmark.developer_cloud.core import Generated as Received
    from stm32pose.deployment.job import Job

log = logging.getLogger(__name__)

Position = Literal["chfirst", "chlast"]
CLOUD = "developer-cloud"
"""Stands for the service among the commands."""
RUNTIME = "stedgeai-lib"
"""Folder of the cloud's runtime library beside its code, as ST's applications call it."""
PARTS = {"lib": "Lib", "inc": "Inc", "npu": "Npu"}

_CODE = re.compile(r"(?:stai_)?network(?:[_.].*)?\.(?:c|h|raw|bin|hex)", re.IGNORECASE)
_LIBRARY = re.compile(r"_CM(\d+)(\+|PLUS)?_GCC\.a$", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """What the code has to be like; None: as the tool likes.

    Attributes:
        optimization: balanced, time or ram; None on an STM32N6, whose profile says it.
        input_type, output_type: `uint8`, `int8`, `float32`; None: as in the model.
        inputs_position, outputs_position: place of the channels.
        c_api: `st-ai` or `legacy`.
        neural_art: `PROFILE@FILE` or a profile's name for an STM32N6.
        memory_pools: .mpool file of an STM32N6, for the cloud; here the profile names it.
    """

    optimization: Literal["balanced", "time", "ram"] | None = None
    input_type: str | None = None
    output_type: str | None = None
    inputs_position: Position | None = None
    outputs_position: Position | None = None
    c_api: str | None = None
    neural_art: str | None = None
    memory_pools: Path | None = None

    def options(self) -> list[str]:
        """As options of ST's program; profile and memory pools belong to its target."""
        named = {
            "--optimization": self.optimization,
            "--input-data-type": self.input_type,
            "--output-data-type": self.output_type,
            "--inputs-ch-position": self.inputs_position,
            "--outputs-ch-position": self.outputs_position,
            "--c-api": self.c_api,
        }
        return [word for name, value in named.items() if value for word in (name, value)]


def generate_code(job: Job, request: Request, folder: Path) -> Generated | None:
    """Code of the job's model in `folder`, recorded among the commands; None in a dry run, which starts nothing.

    Raises:
        ConfigError: ST's program is not found, or too old.
        UserError: it fails, or the cloud does: in its words.
    """
    tool = job.tools.stedgeai
    if job.dry_run or tool.on_cloud:
        name = CLOUD if tool.on_cloud else "stedgeai"
        cli = StEdgeAI(Path(name), tool.version or "", "ST Edge AI Core")
    else:
        cli = open_stedgeai(tool.path_to_stedgeai, wanted_version=tool.version)
    target = target_of(job.board, cli, neural_art=request.neural_art, hsp=tool.hsp)
    if cli.old:
        raise ConfigError(
            f"tools.stedgeai.path_to_stedgeai: {cli.path} is {cli.label}; needed: ST Edge AI Core 2.1 or newer"
        )
    pools = ["--memory-pool", request.memory_pools] if tool.on_cloud and request.memory_pools else []
    command = [cli.path, "generate", "--model", job.model.path.resolve(), *target, *pools, *request.options()]
    command += ["--output", folder]
    if job.dry_run:
        job.commands.note("generate", command, status="dry run")
        return None
    path = folder / ("developer_cloud_generate.json" if tool.on_cloud else "stedgeai_generate.log")
    record = job.commands.note("generate", command, status="running", log_file=None if tool.on_cloud else path)
    start = time.monotonic()
    try:
        if tool.on_cloud:
            made = _in_the_cloud(job, request, folder, path)
        else:
            made = generate(
                cli, job.model.path, target, folder=folder, extra=request.options(), timeout_s=tool.timeout_s
            )
    except UserError:
        record["status"] = "failed"
        raise
    record.update(status="done", log=str(made.log), seconds=round(time.monotonic() - start, 2))
    return made


def _in_the_cloud(job: Job, request: Request, folder: Path, path: Path) -> Generated:
    """Code and runtime library out of the service's archive; `path` receives what was asked and what it reported."""
    tool = job.tools.stedgeai
    job.folder.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(prefix=".cloud-", dir=job.folder, ignore_cleanup_errors=True) as temporary,
        job.open_cloud() as cloud,
    ):
        received = cloud.generate(
            job.model.path,
            job.board,
            output=Path(temporary),
            optimization=request.optimization or tool.optimization,
            version=tool.version,
            timeout_s=tool.timeout_s,
            hsp=tool.hsp,
            input_type=request.input_type,
            output_type=request.output_type,
            inputs_position=request.inputs_position,
            outputs_position=request.outputs_position,
            c_api=request.c_api,
            neural_art=request.neural_art,
            memory_pools=request.memory_pools,
        )
        write_whole(path, json.dumps(_told(received), indent=2), sync=False)
        return _sorted_out(received, folder, path)


def _told(received: Received) -> dict[str, Any]:
    names = [file.relative_to(received.folder).as_posix() for file in received.files]
    return {
        "version": received.version,
        "asked": received.asked,
        "archive": names,
        "report": received.report,
        "graph": received.graph,
    }


def _sorted_out(received: Received, folder: Path, log_file: Path) -> Generated:
    """Move code into `folder` and the library into its folder RUNTIME, by their names: archives are built differently.

    Raises:
        UserError: there is no C code, or two files of one name.
    """
    moved: dict[PurePath, Path] = {}
    for file in received.files:
        place = _place(PurePath(file.relative_to(received.folder)))
        if place in moved:
            raise UserError(f"generate: the Developer Cloud sent two files {place}; log: {log_file}")
        moved[place] = file
    if not any(len(place.parts) == 1 and place.suffix == ".c" for place in moved):
        raise UserError(f"generate: the Developer Cloud sent no C code; log: {log_file}")
    for place, file in moved.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        file.replace(folder / place)
    code = sorted(folder / place for place in moved if len(place.parts) == 1)
    log.info("generated by the Developer Cloud: %s", ", ".join(path.name for path in code))
    return Generated(
        folder=folder,
        c_files=[path for path in code if path.suffix == ".c"],
        headers=[path for path in code if path.suffix == ".h"],
        raw=[path for path in code if path.suffix in (".raw", ".bin", ".hex")],
        library=None,
        report=next((path for path in code if path.name.endswith(("_c_info.json", "_report.json"))), None),
        log=log_file,
        tool=f"ST Edge AI Core {received.version} of the Developer Cloud",
        runtime=folder / RUNTIME,
    )


def _place(path: PurePath) -> PurePath:
    """Where a file of the archive goes: the network's flat, the library's into its folder, others as they are."""
    if _CODE.fullmatch(path.name):
        return PurePath(path.name)
    for index, part in enumerate(path.parts[:-1]):
        if part.lower() in PARTS:
            rest = path.parts[index + 1 :]
            core = _LIBRARY.search(path.name)
            if part.lower() == "lib" and len(rest) == 1 and core:
                rest = ("GCC", f"ARMCortexM{core[1]}{'PLUS' if core[2] else ''}", path.name)
            return PurePath(RUNTIME, PARTS[part.lower()], *rest)
    return path

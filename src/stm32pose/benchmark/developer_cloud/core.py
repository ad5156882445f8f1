"""Analyse, generate and validate: what ST Edge AI Core does on the service without a board. And the NBG conversion."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from stm32pose.benchmark.developer_cloud.api import Api
from stm32pose.benchmark.developer_cloud.archive import unpack
from stm32pose.benchmark.developer_cloud.benchmark import job_id
from stm32pose.benchmark.developer_cloud.errors import (
    AnalyzeFailed,
    CloudError,
    GenerateFailed,
    NbgFailed,
    ServerBroken,
    ValidateFailed,
)
from stm32pose.benchmark.developer_cloud.files import Files
from stm32pose.benchmark.developer_cloud.http import Call
from stm32pose.benchmark.developer_cloud.jobs import Job, Progress, wait_for
from stm32pose.benchmark.developer_cloud.multipart import FormBody
from stm32pose.benchmark.developer_cloud.results import Node, info_figures, report_figures
from stm32pose.benchmark.figures import Figures
from stm32pose.files import write_whole

FAILED: dict[str, type[CloudError]] = {
    "analyze": AnalyzeFailed,
    "generate": GenerateFailed,
    "validate": ValidateFailed,
}
GENERATED = "generated"


@dataclass(frozen=True)
class Analysis:
    """What the tool says of a model without running it on a board; of a validation also its error metrics.

    Attributes:
        figures: sizes, MACs, `validation`; no time.
        report, graph, info: the tool's own documents; empty where the service sends none.
    """

    figures: Figures
    report: dict[str, Any] = field(default_factory=dict, repr=False)
    graph: dict[str, Any] = field(default_factory=dict, repr=False)
    info: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Generated:
    """Generated code.

    Attributes:
        folder, files: where it was unpacked, and every file of the archive.
        version: of ST Edge AI Core, as the service calls it.
        asked: the options that were sent.
        report, graph: the tool's own documents; empty where the service sends none.
    """

    folder: Path
    files: tuple[Path, ...]
    version: str = ""
    asked: dict[str, Any] = field(default_factory=dict, repr=False)
    report: dict[str, Any] = field(default_factory=dict, repr=False)
    graph: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Core:
    """The tool of one version on one site."""

    api: Api
    version: str
    timeout_s: float
    progress: Progress | None

    def run(
        self, action: str, model: str, options: Mapping[str, Any], files: Mapping[str, Path] | None = None
    ) -> dict[str, Any] | bytes:
        """The result of an action (a key of FAILED) on an uploaded model; the bytes of a zip where it comes at once.

        Raises:
            AnalyzeFailed, GenerateFailed, ValidateFailed: in the server's words.
            QueueTimeout: not done in time.
        """
        failed = FAILED[action]
        root = self.api.addresses.stm32ai.replace("{version}", self.version)
        arguments = {**options, "model": model}
        if statistics := os.environ.get("STATS_TYPE"):
            arguments["statsType"] = statistics

        def body() -> FormBody:
            sent = {name: (path.name, path) for name, path in (files or {}).items()}
            return FormBody({"args": json.dumps(arguments)}, sent)

        call = Call("POST", f"{root}/{action}", f"{action} on the service", repeat="unserved", body=body)
        reply = self.api.call(call, failed)
        if "zip" in reply.headers.get("Content-Type", "").lower():
            return reply.body
        job = Job(action, f"{root}/run/{job_id(reply, failed)}", lambda words: failed(f"{action} failed: {words}"))
        answer = wait_for(
            self.api, job, self.timeout_s, self.progress, lambda content: content.get("result") is not None
        )
        result = answer["result"]
        if not isinstance(result, dict):
            raise ServerBroken(f"{action}: field 'result' is {type(result).__name__}, not an object")
        return result

    def analysis(
        self, action: str, model: str, options: Mapping[str, Any], board: str, files: Mapping[str, Path] | None = None
    ) -> Analysis:
        """Result of `analyze` or `validate`."""
        result = self.run(action, model, options, files)
        if isinstance(result, bytes):
            raise ServerBroken(f"{action}: the server sent an archive, not a result")
        root = Node(result, "result")
        verb = "analysed" if action == "analyze" else "validated"
        how = f"{verb} by ST's Developer Cloud, not run on a board"
        if root["info"].given:
            figures = info_figures(root["info"], root["graph"]["memory_footprint"], board, how)
        else:
            figures = report_figures(root["report"], root["graph"], Node(None, ""), board, how)
        documents = {name: root[name].value for name in ("report", "graph", "info") if root[name].given}
        return Analysis(figures, **documents)

    def generate(
        self, model: str, options: Mapping[str, Any], output: Path, files: Mapping[str, Path] | None = None
    ) -> Generated:
        """Generated code, unpacked into `output`."""
        result = self.run("generate", model, options, files)
        output.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".partial-", dir=output, ignore_cleanup_errors=True) as folder:
            archive = Path(folder) / "generated.zip"
            if isinstance(result, bytes):
                write_whole(archive, result)
                result = {}
            else:
                url = Node(result, "result")["url"].text()
                name = urlsplit(url).path.rpartition("/")[2]
                if not name:
                    raise ServerBroken("generate: the server's result has no field 'url' that ends with a file's name")
                Files(self.api).download(name, archive, GENERATED)
            unpacked = unpack(archive, output)
        documents = {name: result[name] for name in ("report", "graph") if isinstance(result.get(name), dict)}
        return Generated(output, tuple(unpacked), self.version, dict(options), **documents)


def convert_to_nbg(api: Api, model: str, timeout_s: float, progress: Progress | None) -> str:
    """The service's name of the network binary graph made from an uploaded model. NbgFailed: the server's words."""
    what = "conversion to NBG"
    call = Call("POST", f"{api.addresses.nbg}/optimize", what, repeat="unserved", content={"model": model})
    reply = api.call(call, NbgFailed)
    job = Job(
        what,
        f"{api.addresses.nbg}/run/{job_id(reply, NbgFailed)}",
        lambda words: NbgFailed(f"{what} failed: {words}"),
    )
    answer = wait_for(api, job, timeout_s, progress, lambda content: str(content.get("state", "")).lower() == "done")
    name = answer.get("blobName")
    if not isinstance(name, str) or not name:
        raise NbgFailed(f"{what}: done, but the server names no file (field 'blobName')")
    return name

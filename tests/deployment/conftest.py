"""Stand-ins on PATH and jobs for the tests of the deployment room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from cloud_server import PASSWORD, USER, CloudServer
from cloud_timing import FAST
from deployment.deployed import deployable
from deployment.fake_tools import Tools
from keyring.backends.fail import Keyring as NoKeyring

from stm32pose.benchmark.developer_cloud.client import CloudClient, connect
from stm32pose.codecs.heatmap import HeatmapCodec
from stm32pose.config.target_sections import Deployment
from stm32pose.config.target_sections import Tools as ToolsSection
from stm32pose.deployment.commands import Commands
from stm32pose.deployment.job import Job
from stm32pose.deployment.service import board_of
from stm32pose.inference.tensors import TensorInfo
from stm32pose.programs import PROGRAMS


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """Stand-ins alone on PATH, in a folder with a space; no variable names another program."""
    made = Tools(tmp_path / "fake tools")
    monkeypatch.setenv("PATH", str(made.folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    for program in PROGRAMS.values():
        for variable in program.variables:
            monkeypatch.delenv(variable, raising=False)
    return made


@pytest.fixture
def developer_cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudServer]:
    """The Developer Cloud of this suite; no token or keyring of whoever runs the tests."""
    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.delenv("STM32POSE_CLOUD_TOKEN", raising=False)
    with CloudServer() as server:
        server.polls = 0
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server
    keyring.set_keyring(before)


@pytest.fixture
def cloud(developer_cloud: CloudServer) -> Iterator[CloudClient]:
    """A client that is logged in."""
    with connect(ask=lambda: (USER, PASSWORD), timing=FAST) as client:
        yield client


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Job]:
    """`make_job(serie, board, **deployment)`: a job with a heat-map model whose file exists."""

    def make(serie: str, board: str, *, setup: dict[str, Any] | None = None, **given: Any) -> Job:
        fields = {name: given.pop(name) for name in ("model", "keypoints_file", "cloud") if name in given}
        tool = given.pop("stedgeai", {})
        section = Deployment.model_validate(
            {"hardware_setup": {"serie": serie, "board": board, **(setup or {})}, **given}
        )
        folder = tmp_path / "run" / "deployment"
        if "model" not in fields:
            path = tmp_path / "net.tflite"
            path.write_bytes(b"a network")
            codec = HeatmapCodec((192, 192), (48, 48), 17).describe()
            fields["model"] = deployable(codec, [TensorInfo("o", (48, 48, 17), "int8", 1 / 256, -128)], path=path)
        return Job(
            board=board_of(section.hardware_setup),
            section=section,
            tools=ToolsSection.model_validate({"stedgeai": tool}),
            folder=folder,
            commands=Commands(folder / "logs", dry_run=section.dry_run),
            **fields,
        )

    return make

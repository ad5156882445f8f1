"""What is refused before any step runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stm32pose.config.target_sections import Deployment
from stm32pose.config.target_sections import Tools as ToolsSection
from stm32pose.deployment.service import check_deployment
from stm32pose.errors import ConfigError

H7 = {"serie": "STM32H7", "board": "STM32H747I-DISCO"}
N6 = {"serie": "STM32N6", "board": "STM32N6570-DK"}
MP2 = {"serie": "STM32MP2", "board": "STM32MP257F-EV1", "ip_address": "192.168.7.1"}
FOLDER = {"board_deploy_path": "/usr/local/pose"}


def check(setup: dict[str, Any], kind: str | None = "tflite", *, stedgeai: dict[str, Any] | None = None, **given: Any):
    looked = {name: given.pop(name) for name in ("paths", "programs") if name in given}
    section = Deployment.model_validate({"hardware_setup": setup, **given})
    check_deployment(section, ToolsSection.model_validate({"stedgeai": stedgeai or {}}), kind, **looked)


def n6_project(tmp_path: Path) -> str:
    (tmp_path / "project/Application/STM32N6570-DK/STM32CubeIDE").mkdir(parents=True)
    return str(tmp_path / "project")


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("setup", "given", "message"),
    [
        ({**H7, "board": "STM32H747I-DISC"}, {}, r"^deployment.hardware_setup.board: got 'STM32H747I-DISC'"),
        ({**H7, "serie": "STM32F4"}, {}, r"^deployment.hardware_setup.serie: got 'STM32F4'"),
        (H7, {"IDE": "IAR"}, r"^deployment.IDE: got 'IAR'; allowed: GCC"),
        (H7, {"kind": "keras"}, r"^model.model_path: got a Keras model"),
        ({**MP2, "ip_address": "192.168.7"}, FOLDER, r"^deployment.hardware_setup.ip_address: got '192.168.7'"),
        (MP2, {"board_deploy_path": "pose"}, r"^deployment.board_deploy_path: got 'pose'"),
        (MP2, {**FOLDER, "user": "a b"}, r"^deployment.user: got 'a b'"),
        (MP2, {**FOLDER, "ssh_key": "/gone/key"}, r"^deployment.ssh_key: no such file"),
        (N6, {"build_conf": "Fast"}, r"^deployment.build_conf: got 'Fast'; allowed: ModelZoo"),
    ],
)
def test_what_the_configuration_alone_tells(tools, setup, given, message, dry_run):
    with pytest.raises(ConfigError, match=message):
        check(setup, **{"dry_run": dry_run, "programs": False, **given})


@pytest.mark.parametrize(("setup", "given"), [(H7, {}), (N6, {}), (MP2, FOLDER)])
def test_a_project_that_is_not_there(tools, tmp_path, setup, given):
    gone = str(tmp_path / "gone")
    with pytest.raises(ConfigError, match=r"^deployment.c_project_path: .*gone is no folder"):
        check(setup, c_project_path=gone, **given)
    check(setup, c_project_path=gone, dry_run=True, **given)
    check(setup, c_project_path=gone, paths=False, programs=False, **given)


def test_a_project_without_its_sources(tools, tmp_path):
    with pytest.raises(ConfigError, match=r"c_project_path: .* has no Application/STM32N6570-DK/STM32CubeIDE"):
        check(N6, c_project_path=str(tmp_path))


@pytest.mark.parametrize(
    ("setup", "program", "message"),
    [
        (H7, "stedgeai", r"^tools.stedgeai.path_to_stedgeai: stedgeai is not found"),
        (H7, "make", r"^tools.path_to_cubeIDE: make is not found"),
        (H7, "arm-none-eabi-gcc", r"^tools.path_to_cubeIDE: arm-none-eabi-gcc is not found"),
        (N6, "stedgeai", r"^tools.stedgeai.path_to_stedgeai: stedgeai is not found"),
        (N6, "STM32_Programmer_CLI", r"^tools.path_to_cubeIDE: STM32_Programmer_CLI is not found"),
        (N6, "STM32_SigningTool_CLI", r"^tools.path_to_cubeIDE: STM32_SigningTool_CLI is not found"),
        (N6, "stm32cubeide", r"^tools.path_to_cubeIDE: STM32CubeIDE is not found"),
        (MP2, "ssh", r"^deployment.hardware_setup.ip_address: ssh is not found"),
        (MP2, "scp", r"^deployment.hardware_setup.ip_address: scp is not found"),
    ],
)
def test_a_program_that_is_missing(tools, tmp_path, setup, program, message):
    given: dict[str, Any] = {"c_project_path": n6_project(tmp_path)} if setup is N6 else {}
    given |= FOLDER if setup is MP2 else {}
    check(setup, **given)
    check(setup, None, **given)
    tools.remove(program)
    with pytest.raises(ConfigError, match=message):
        check(setup, **given)
    check(setup, programs=False, **given)
    check(setup, dry_run=True, **given)
    if program == "stedgeai":
        check(setup, stedgeai={"on_cloud": True}, **given)
    if setup is H7 and program != "stedgeai":
        check(setup, c_project_path=str(tmp_path))  # the user's IDE compiles
    assert tools.journal == [], "nothing is started"


def test_a_profile_that_is_not_there(tools, tmp_path):
    project = n6_project(tmp_path)
    with pytest.raises(ConfigError, match=r"^tools.stedgeai.neural_art: gone.json does not exist"):
        check(N6, c_project_path=project, stedgeai={"neural_art": "fast@gone.json"})
    check(N6, c_project_path=project, stedgeai={"neural_art": "fast@gone.json"}, dry_run=True)


def test_the_check_brings_nothing_heavy():
    code = (
        "import sys, stm32pose.deployment.service; "
        "print([name for name in ('tensorflow', 'onnxruntime', 'cv2', 'requests') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Other microcontrollers: the application compiles for the board and runs here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from deployment.deployed import ARM, GCC, deployable, needs_gcc, run_checked

from stm32pose.codecs.yolo import YoloCodec
from stm32pose.deployment.mcu import deploy_mcu
from stm32pose.errors import ConfigError, UserError
from stm32pose.inference.tensors import TensorInfo

MAKE = shutil.which("make")
REAL_PATH = os.environ.get("PATH", "")
H7 = ("STM32H7", "STM32H747I-DISCO")
needs_make = pytest.mark.skipif(not (MAKE and ARM), reason="no make or no arm-none-eabi-gcc on PATH")

# As much of ST's interface as the port uses; functions are declared only: a library is not linked.
STAI = """
#ifndef STAI_H
#define STAI_H
#include <stdint.h>
typedef int32_t stai_return_code;
typedef int32_t stai_size;
typedef uint8_t *stai_ptr;
typedef uint8_t stai_network;
#define STAI_SUCCESS (0)
#define STAI_MODE_SYNC (1)
#define STAI_ALIGNED(n) __attribute__((aligned(n)))
#define STAI_NETWORK_CONTEXT_DECLARE(name, size) static STAI_ALIGNED(8) stai_network name[size];
stai_return_code stai_runtime_init(void);
#endif
"""
NETWORK = """
#include "stai.h"
#define STAI_NETWORK_IN_NUM (1)
#define STAI_NETWORK_OUT_NUM (1)
#define STAI_NETWORK_CONTEXT_SIZE (64)
#define STAI_NETWORK_ACTIVATIONS_NUM (1)
#define STAI_NETWORK_ACTIVATION_1_SIZE_BYTES (1024)
stai_return_code stai_network_init(stai_network *net);
stai_return_code stai_network_set_activations(stai_network *net, const stai_ptr *pools, const stai_size count);
stai_return_code stai_network_get_inputs(stai_network *net, stai_ptr *inputs, stai_size *count);
stai_return_code stai_network_get_outputs(stai_network *net, stai_ptr *outputs, stai_size *count);
stai_return_code stai_network_run(stai_network *net, int mode);
"""


def installed(tools, tmp_path: Path) -> Path:
    """The stand-in of ST's program as an installation: Utilities/linux/stedgeai and the middleware."""
    root = tmp_path / "STEdgeAI"
    program = root / "Utilities" / "linux" / "stedgeai"
    program.parent.mkdir(parents=True)
    for name in ("stedgeai", "sayings.json"):
        shutil.copy(tools.folder / name, program.parent / name)
    (root / "Middlewares/ST/AI/Inc").mkdir(parents=True)
    (root / "Middlewares/ST/AI/Inc/stai.h").write_text(STAI)
    for core in ("ARMCortexM7", "ARMCortexM33"):
        (root / "Middlewares/ST/AI/Lib/GCC" / core).mkdir(parents=True)
        (root / "Middlewares/ST/AI/Lib/GCC" / core / f"NetworkRuntime_{core}.a").write_text("library")
    return program


@needs_make
@pytest.mark.parametrize("board", [H7, ("STM32U5", "B-U585I-IOT02A")])
def test_a_library_for_the_board(tools, make_job, tmp_path, monkeypatch, board):
    tools.set("code", {"network.h": NETWORK})
    program = installed(tools, tmp_path)
    monkeypatch.setenv("PATH", REAL_PATH)  # the real compiler
    job = make_job(*board, stedgeai={"path_to_stedgeai": str(program)})
    deploy_mcu(job)
    home = job.folder / "application"
    assert (home / "build" / "libpose.a").stat().st_size > 1000
    core = {"STM32H7": "ARMCortexM7", "STM32U5": "ARMCortexM33"}[board[0]]
    assert [path.name for path in (home / "runtime" / "Lib").iterdir()] == [f"NetworkRuntime_{core}.a"]
    log = Path(job.commands.records[-1]["log"]).read_text()
    assert {"STM32H7": "-mcpu=cortex-m7", "STM32U5": "-mcpu=cortex-m33"}[board[0]] in log
    assert "warning" not in log
    command = job.commands.records[0]["command"]
    assert command[command.index("--target") + 1] == board[0].lower()
    assert "board.c" in job.next_step


@needs_make
def test_a_network_of_another_model_does_not_compile(tools, make_job, tmp_path, monkeypatch):
    tools.set("code", {"network.h": NETWORK.replace("OUT_NUM (1)", "OUT_NUM (4)")})
    program = installed(tools, tmp_path)
    monkeypatch.setenv("PATH", REAL_PATH)
    job = make_job(*H7, stedgeai={"path_to_stedgeai": str(program)})
    with pytest.raises(UserError, match=r"compile: make ended with status 2: .*generate both from one model"):
        deploy_mcu(job)


@needs_gcc
@pytest.mark.skipif(MAKE is None, reason="no make on PATH")
@pytest.mark.parametrize("several", [False, True])
def test_the_application_runs_here(tools, make_job, tmp_path, several):
    given = {}
    if several:
        path = tmp_path / "yolo.tflite"
        path.write_bytes(b"x")
        output = TensorInfo("o", (56, 84), "int8", 1 / 256, -128)
        given["model"] = deployable(YoloCodec((64, 64), 17).describe(), [output], path=path)
    job = make_job(*H7, dry_run=True, **given)
    deploy_mcu(job)
    assert tools.journal == []
    home = job.folder / "application"
    run_checked([MAKE, "-C", home, "host", f"HOST_CC={GCC}"], env={**os.environ, "PATH": REAL_PATH})
    text = subprocess.run([home / "build" / "pose_host"], capture_output=True, check=True, text=True).stdout
    # The stub's bytes are zero, 0.5 for a zero point of -128: one flat map, one person; all boxes one on the other.
    assert "pose 0, score 0.50" in text
    assert "left_ankle" in text
    assert "pose 1" not in text


def test_into_the_users_project(tools, make_job, tmp_path):
    program = installed(tools, tmp_path)
    project = tmp_path / "cube mx"
    (project / "Core" / "Src").mkdir(parents=True)
    (project / "Core" / "Src" / "main.c").write_text("/* mine */")
    (project / "Core" / "Src" / "pose_decode.c").write_text("/* older */")
    job = make_job(*H7, c_project_path=str(project), stedgeai={"path_to_stedgeai": str(program)})
    deploy_mcu(job)
    assert (project / "Core" / "Src" / "main.c").read_text() == "/* mine */"
    assert (project / "Core" / "Inc" / "ai_model_config.h").is_file()
    assert (project / "Core" / "Src" / "network.c").is_file()
    assert (project / "Middlewares/ST/AI/Inc/stai.h").is_file()
    assert [path.name for path in job.overwritten] == ["pose_decode.c"]
    assert (job.folder / "replaced/Core/Src/pose_decode.c").read_text() == "/* older */"
    assert str(project) in job.next_step


def test_a_dry_run_leaves_the_project_alone(tools, make_job, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    deploy_mcu(make_job(*H7, c_project_path=str(project), dry_run=True))
    assert list(project.iterdir()) == []


def test_a_dry_run_tells_what_the_real_run_refuses(tools, make_job, tmp_path):
    gone = tmp_path / "gone"
    job = make_job(*H7, c_project_path=str(gone), dry_run=True)
    deploy_mcu(job)
    assert f"deployment.c_project_path: {gone} does not exist; without deployment.dry_run this would stop" in job.notes
    with pytest.raises(ConfigError, match=r"c_project_path: .*gone is no folder"):
        deploy_mcu(make_job(*H7, c_project_path=str(gone)))
    job = make_job(*H7, dry_run=True)
    deploy_mcu(job)
    assert not any("would stop" in note for note in job.notes)
    tools.remove("stedgeai", "make")
    job = make_job(*H7, dry_run=True)
    deploy_mcu(job)
    told = [note for note in job.notes if note.startswith("without deployment.dry_run this would stop: ")]
    assert ["stedgeai is not found" in told[0], "make is not found" in told[1]] == [True, True]
    assert tools.journal == []


def test_a_runtime_that_lacks_the_core_is_told(tools, make_job, tmp_path):
    program = installed(tools, tmp_path)
    (tmp_path / "STEdgeAI/Middlewares/ST/AI/Lib/GCC/ARMCortexM7/NetworkRuntime_ARMCortexM7.a").unlink()
    project = tmp_path / "project"
    project.mkdir()
    job = make_job(*H7, c_project_path=str(project), stedgeai={"path_to_stedgeai": str(program)})
    deploy_mcu(job)
    assert any("no runtime library for the Cortex-M7 of STM32H747I-DISCO" in note for note in job.notes)
    job = make_job(
        "STM32U5", "B-U585I-IOT02A", c_project_path=str(project), stedgeai={"path_to_stedgeai": str(program)}
    )
    deploy_mcu(job)
    assert not any("no runtime library" in note for note in job.notes)


def test_without_sts_program(tools, make_job):
    tools.remove("stedgeai")
    job = make_job(*H7)
    with pytest.raises(ConfigError, match="path_to_stedgeai: stedgeai is not found"):
        deploy_mcu(job)
    assert (job.folder / "application" / "Inc" / "ai_model_config.h").is_file()


def test_a_program_without_its_middleware(tools, make_job):
    with pytest.raises(UserError, match=r"stai\.h does not exist: ST Edge AI Core 4.0.0 gave no whole runtime"):
        deploy_mcu(make_job(*H7))


def test_an_old_program(tools, make_job):
    tools.say("stedgeai", "stm.ai v8.1.0-19520\nNeural Network Tools v1.7.0 (stm.ai v8.1.0-19520)", status=0)
    with pytest.raises(ConfigError, match=r"STM32Cube.AI 8.1.0; needed: ST Edge AI Core 2.1"):
        deploy_mcu(make_job(*H7))


@needs_make
def test_the_network_in_our_own_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`deployment.network: c`: neither ST's program nor its library; the application finds the joints of `pose_run`."""
    from codegen.pose_networks import heatmap_network

    from stm32pose.config.load import load_config
    from stm32pose.operations.chain import run_chain

    path = tmp_path / "pose.tflite"
    path.write_bytes(heatmap_network())
    mapping = {
        "operation_mode": "deployment",
        "model": {"model_type": "heatmaps_spe", "model_path": str(path)},
        "preprocessing": {
            "rescaling": {"scale": "1/127.5", "offset": -1},
            "resizing": {"interpolation": "bilinear", "aspect_ratio": "fit"},
        },
        "deployment": {"network": "c", "hardware_setup": {"serie": H7[0], "board": H7[1]}},
    }
    run_chain(load_config(mapping), tmp_path / "run")
    application = tmp_path / "run" / "deployment" / "application"
    assert (application / "build" / "libpose.a").is_file()
    assert (application / "generated" / "network.c").is_file()
    assert not (application / "runtime").exists()
    sources = [application / "Src" / name for name in ("main.c", "board.c", "pose_decode.c", "pose_input.c")]
    run_checked(
        [
            *(GCC, "-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-fsanitize=address,undefined"),
            *(f"-I{application / name}" for name in ("Inc", "generated")),
            *map(str, [*sources, application / "Src" / "pose_network_c.c", *(application / "generated").glob("*.c")]),
            *("-lm", "-o", str(tmp_path / "pose")),
        ]
    )
    shown = subprocess.run([str(tmp_path / "pose")], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("pose 0, score ")


@pytest.mark.parametrize("serie", ["STM32N6", "STM32MP2"])
def test_our_own_c_is_for_microcontrollers(serie: str, tmp_path: Path):
    from stm32pose.config.load import load_config

    board = {"STM32N6": "STM32N6570-DK", "STM32MP2": "STM32MP257F-EV1"}[serie]
    setup = {"serie": serie, "board": board, "ip_address": "10.0.0.1"}
    section = {"network": "c", "dry_run": True, "hardware_setup": setup, "board_deploy_path": "/home"}
    mapping = {"operation_mode": "deployment", "model": {"model_path": "x.tflite"}, "deployment": section}
    with pytest.raises(ConfigError, match=r"deployment\.network: got 'c'; the application for STM32"):
        load_config(mapping, check_paths=False)

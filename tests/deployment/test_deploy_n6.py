"""STM32N6 against stand-ins for ST's programs: what is started in which order, and what each failure says."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from stm32pose.deployment.n6 import deploy_n6
from stm32pose.errors import ConfigError, UserError
from stm32pose.inference.tensors import TensorInfo

BOARD = "STM32N6570-DK"
NAME = f"{BOARD}_GettingStarted_PoseEstimation"
FLASH = "${flasher} -c port=swd mode=HOTPLUG -hardRst -w"
CONF = """{
  "version" : "0.1", // as ST ships it: comments, commas at the end
  "board"   : "STM32N6570-DK",
  "builder" : "stm32_cube_ide",
  "env" : {
      "cproject_name" : "NAME",
      "flasher" : "${STM32CubeProgrammer}", "objcopy" : "${arm-none-eabi-objcopy}", "signer" : "${STM32SigningTool}",
      "root" : "${ProjectFolder}",
      "ide" : "${root}/Application/STM32N6570-DK/STM32CubeIDE",
      "model" : "${ProjectFolder}/Model/STM32N6570-DK",
      "fsbl_bin" : "ai_fsbl.hex",
    },
  "templates": [
    [ "", "${model}/network.c", "copy"],
    [ "", "${model}/stai_network.h", "copy"],
    [ "", "${model}/network_atonbuf.xSPI2.raw", "copy"],
    [ "", "${root}/Application/STM32N6570-DK/Inc/app_config.h", "copy"],
  ],
  "memory_pool": { "neuralart_user_path": "${ProjectFolder}/Model/user_neuralart.json", "profile": "fast" },
  "configurations" : [
    {
      "name" : "ModelZoo", "cwd" : "${ide}", "cproject_location" : "${ide}", "cproject_config" : "ModelZoo",
      "cproject_name" : "${cproject_name}", "external_loader": "MX66UW1G45G_STM32N6570-DK.stldr",
      "extract_ecblob_cmd" : "${objcopy} --dump-section .flash_section=ModelZoo/blob.bin ModelZoo/${cproject_name}.elf",
      "make_binary_cmd" : "${objcopy} -O binary ModelZoo/${cproject_name}.elf ModelZoo/app.bin",
      "sign_cmd" : "${signer} -s -bin ModelZoo/app.bin -nk -t ssbl -hv 2.3 -o ModelZoo/app_signed.bin",
      "flash_fsbl_cmd" : "FLASH ../../../FSBL/${fsbl_bin}",
      "flash_cmd" : "FLASH ModelZoo/app_signed.bin 0x70100000",
      "flash_ecblob_cmd" : "FLASH ModelZoo/blob.bin 0x71380000",
      "flash_network_data_cmd" : "FLASH ../../../Model/STM32N6570-DK/network_atonbuf.xSPI2.bin 0x70380000"
    },
  ]
}
""".replace("NAME", NAME).replace("FLASH", FLASH)


def application(folder: Path, *, conf: str | None = CONF, board: str = BOARD) -> Path:
    """The parts of ST's application that matter here."""
    home = folder / "Application" / board
    for path, text in {
        home / "STM32CubeIDE" / ".project": "project",
        home / "Inc" / "app_config.h": '#include "stai_network.h"\n#define BINDINGS x\n',
        folder / "Model" / board / "network.c": "/* old */",
        folder / "Model" / "user_neuralart.json": "{}",
        folder / "Model" / f"user_neuralart_{board}.json": "{}",
        folder / "FSBL" / "ai_fsbl.hex": "fsbl",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if conf is not None:
        (folder / f"stmaic_{board}.conf").write_text(conf)
    return folder


@pytest.fixture
def project(tmp_path):
    """In a folder whose name a shell would tear to pieces."""
    return application(tmp_path / 'it\'s; $(touch oops) & "mine"')


def titles(job) -> list[str]:
    return [record["title"] for record in job.commands.records]


def test_from_header_to_flash(tools, make_job, project):
    job = make_job("STM32N6", BOARD, c_project_path=str(project))
    deploy_n6(job)
    assert titles(job) == [
        *("list ST-LINKs", "generate", "build", "extract blobs", "make binary", "sign"),
        *("flash boot loader", "flash network data", "flash blobs", "flash application"),
    ]
    assert {record["status"] for record in job.commands.records} == {"done"}
    assert all(Path(record["log"]).read_text().startswith("$ ") for record in job.commands.records)
    generated = tools.words("stedgeai")[-1]
    for pair in (("--target", "stm32n6"), ("--input-data-type", "uint8"), ("--output-data-type", "int8")):
        assert generated[generated.index(pair[0]) + 1] == pair[1]
    assert generated[generated.index("--st-neural-art") + 1] == f"fast@{project}/Model/user_neuralart.json"
    flashed = tools.words("STM32_Programmer_CLI")[1:]
    for words in flashed:
        assert words[:4] == ["-c", "port=swd", "mode=HOTPLUG", "sn=0041003B3532510231333430"]
        assert words[words.index("-el") + 1] == str(tools.folder / "ExternalLoader" / "MX66UW1G45G_STM32N6570-DK.stldr")
    assert [words[words.index("-w") + 1 :] for words in flashed][-1] == ["ModelZoo/app_signed.bin", "0x70100000"]
    assert {entry["cwd"] for entry in tools.journal if entry["program"] != "stedgeai"} >= {
        str(project / "Application" / BOARD / "STM32CubeIDE")
    }
    model = project / "Model" / BOARD
    assert (model / "network_atonbuf.xSPI2.bin").read_text() == "weights"
    assert "POSTPROCESS_SPE_MOVENET_UI" in (project / "Application" / BOARD / "Inc" / "app_config.h").read_text()
    assert not list(project.parent.rglob("oops"))
    assert "boot from flash" in job.next_step


def test_what_was_overwritten_is_listed_and_kept(tools, make_job, project):
    job = make_job("STM32N6", BOARD, c_project_path=str(project))
    deploy_n6(job)
    assert {path.name for path in job.overwritten} == {"network.c", "app_config.h"}
    kept = job.folder / "replaced" / "Model" / BOARD / "network.c"
    assert kept.read_text() == "/* old */"
    again = make_job("STM32N6", BOARD, c_project_path=str(project))
    deploy_n6(again)
    assert again.overwritten == []  # the same content is no change


def test_signed_for_the_newer_programmer(tools, make_job, project):
    deploy_n6(make_job("STM32N6", BOARD, c_project_path=str(project)))
    assert "--align" not in tools.words("STM32_SigningTool_CLI")[-1]
    tools.set("version", "2.21.0")
    deploy_n6(make_job("STM32N6", BOARD, c_project_path=str(project)))
    words = tools.words("STM32_SigningTool_CLI")[-1]
    assert words.count("--align") == 1
    assert words.index("--align") < words.index("-o")


def test_without_a_board_file(tools, make_job, tmp_path):
    """What is known of ST's two boards does instead."""
    board = "NUCLEO-N657X0-Q"
    tools.set("probes", [["0041003B3532510231333430", board]])
    project = application(tmp_path / "nucleo", conf=None, board=board)
    job = make_job("STM32N6", board, c_project_path=str(project), setup={"output": "SPI"})
    deploy_n6(job)
    (build,) = tools.words("stm32cubeide")
    assert build[-1] == f"{board}_GettingStarted_PoseEstimation/SPI_ModelZoo"
    assert titles(job)[-1] == "flash application"
    assert "MX25UM51245G" in tools.words("STM32_Programmer_CLI")[-1][5]


def test_a_dry_run_starts_nothing_and_touches_nothing(tools, make_job, project):
    def state():
        return {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}

    before = state()
    job = make_job("STM32N6", BOARD, c_project_path=str(project), dry_run=True)
    deploy_n6(job)
    assert tools.journal == []
    assert state() == before
    assert {record["status"] for record in job.commands.records} == {"dry run"}
    assert len(job.commands.records) == 10
    assert (job.folder / "C_header" / "app_config.h").is_file()


@pytest.mark.parametrize("project", [None, "/not/there yet"])
def test_a_dry_run_without_a_project_writes_both_headers(tools, make_job, project):
    job = make_job("STM32N6", BOARD, dry_run=True, c_project_path=project)
    deploy_n6(job)
    assert tools.journal == []
    assert "stai_network.h" in (job.folder / "C_header" / "app_config.h").read_text()
    assert "NN_WIDTH" in (job.folder / "C_header" / "3.0" / "app_config.h").read_text()


def test_no_flash(tools, make_job, project):
    job = make_job("STM32N6", BOARD, c_project_path=str(project), flash=False)
    tools.set("probes", [])
    deploy_n6(job)
    assert titles(job)[0] == "version"
    assert titles(job)[-1] == "sign"
    assert all("-w" not in words for words in tools.words("STM32_Programmer_CLI"))


def test_a_network_without_blobs(tools, make_job, project):
    text = "arm-none-eabi-objcopy: error: can't dump section '.flash_section' - it does not exist: file format elf32"
    tools.say("arm-none-eabi-objcopy", text, when="--dump-section")
    job = make_job("STM32N6", BOARD, c_project_path=str(project))
    deploy_n6(job)
    assert "flash blobs" not in titles(job)
    assert job.commands.records[3]["status"] == "not needed"


def test_an_older_application_gets_float_outputs(tools, make_job, project):
    (project / "Application" / BOARD / "Inc" / "app_config.h").write_text(
        "#define NN_WIDTH (192)\n#define POSTPROCESS_TYPE POSTPROCESS_SPE_MOVENET_UF\n"
    )
    job = make_job("STM32N6", BOARD, c_project_path=str(project))
    deploy_n6(job)
    words = tools.words("stedgeai")[-1]
    assert words[words.index("--output-data-type") + 1] == "float32"
    assert "--c-api" not in words
    assert "POSTPROCESS_SPE_MOVENET_UF" in (job.folder / "C_header" / "app_config.h").read_text()


OTHER = [["0041003B3532510231333430", BOARD], ["0066FF505550728667", BOARD], ["0011223344556677", "NUCLEO-H743ZI2"]]


@pytest.mark.parametrize(
    ("probes", "serial", "error", "message"),
    [
        ([], None, UserError, "no ST-LINK is found"),
        (
            OTHER[2:],
            None,
            UserError,
            "no ST-LINK sits on a STM32N6570-DK; plugged in: 0011223344556677 .NUCLEO-H743ZI2",
        ),
        (
            OTHER,
            None,
            ConfigError,
            "stlink_serial_number: missing; several .*0041003B3532510231333430.*0066FF505550728667",
        ),
        (OTHER, "0066FF505550728668", ConfigError, "got '0066FF505550728668'.*did you mean '0066FF505550728667'"),
    ],
)
def test_which_board(tools, make_job, project, probes, serial, error, message):
    tools.set("probes", probes)
    job = make_job("STM32N6", BOARD, c_project_path=str(project), setup={"stlink_serial_number": serial})
    with pytest.raises(error, match=message):
        deploy_n6(job)
    assert [entry["program"] for entry in tools.journal] == ["STM32_Programmer_CLI"]  # before anything long


def test_the_chosen_of_several(tools, make_job, project):
    tools.set("probes", OTHER)
    job = make_job("STM32N6", BOARD, c_project_path=str(project), setup={"stlink_serial_number": OTHER[1][0]})
    deploy_n6(job)
    assert "sn=0066FF505550728667" in tools.words("STM32_Programmer_CLI")[-1]


@pytest.mark.parametrize(
    ("program", "when", "text", "status", "message"),
    [
        (
            "stm32cubeide",
            "",
            "main.c:3: error: unknown type\nmake: *** [all] Error 1",
            1,
            "build: .*error: unknown type; log: ",
        ),
        ("stm32cubeide", "", "No config matched: a/b", 0, "reports an error.*deployment.build_conf"),
        ("stm32cubeide", "", "ld: region `RAM' overflowed by 20 bytes", 1, "does not fit the memory"),
        ("stm32cubeide", "", "sh: arm-none-eabi-gcc: command not found", 127, "Arm compiler is missing"),
        ("STM32_SigningTool_CLI", "", "You must accept the license agreement", 1, "sign: .*accepted"),
        ("STM32_Programmer_CLI", "-w", "Error: Unable to get core ID", 0, "flash boot loader: .*boot switches"),
        (
            "STM32_Programmer_CLI",
            "0x70100000",
            "Error: device is locked, RDP level 2",
            1,
            "flash application: .*locked",
        ),
        (
            "STM32_Programmer_CLI",
            "-w",
            "ST-LINK error (DEV_USB_COMM_ERR)\nError: failed",
            1,
            "taken by another program",
        ),
        ("stedgeai", "generate", "E010(InvalidModelError): bad model", 1, "E010"),
    ],
)
def test_what_failures_say(tools, make_job, project, program, when, text, status, message):
    tools.say(program, text, when=when, status=status)
    job = make_job("STM32N6", BOARD, c_project_path=str(project))
    with pytest.raises(UserError, match=message) as caught:
        deploy_n6(job)
    assert "\n" not in str(caught.value)
    assert job.commands.records[-1]["status"] == "failed"
    log = re.search(r"log: (.*)$", str(caught.value))
    assert log
    assert text.splitlines()[0] in Path(log[1]).read_text()


def test_a_missing_program_is_found_out_before_all_else(tools, make_job, project):
    tools.remove("stm32cubeide")
    with pytest.raises(ConfigError, match=r"tools.path_to_cubeIDE: STM32CubeIDE is not found"):
        deploy_n6(make_job("STM32N6", BOARD, c_project_path=str(project)))
    assert tools.journal == []


def test_the_loader_is_looked_for(tools, make_job, project):
    (tools.folder / "ExternalLoader" / "MX66UW1G45G_STM32N6570-DK.stldr").unlink()
    with pytest.raises(
        UserError, match=r"MX66UW1G45G_STM32N6570-DK\.stldr does not exist: STM32CubeProgrammer is older"
    ):
        deploy_n6(make_job("STM32N6", BOARD, c_project_path=str(project)))


def test_a_float_input_that_tells_nothing_is_noted(make_job, project):
    """Nothing in the file says what a camera byte becomes: the note does."""
    job = make_job("STM32N6", BOARD, c_project_path=str(project), dry_run=True)
    deploy_n6(job)
    assert not any("NOT checked" in note for note in job.notes)
    job = make_job("STM32N6", BOARD, c_project_path=str(project), dry_run=True)
    job.model.path.unlink()
    job.model = replace(job.model, input=TensorInfo("in", job.model.input.shape, "float32"))
    deploy_n6(job)
    assert any(note.startswith("NOT checked: what ") for note in job.notes)


def test_a_wrong_core_is_said_before_the_build(tools, make_job, project):
    script = (tools.folder / "stedgeai").read_text().replace('stai = "stai_"', 'stai = "" and "stai_"')
    (tools.folder / "stedgeai").write_text(script)
    with pytest.raises(UserError, match=r"ST Edge AI Core 4.0.0 wrote no stai_network.h"):
        deploy_n6(make_job("STM32N6", BOARD, c_project_path=str(project)))
    assert tools.words("stm32cubeide") == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"c_project_path": "/nowhere at all"}, "is no folder"),
        ({"build_conf": "ModelZo"}, "deployment.build_conf: got 'ModelZo'; allowed: ModelZoo; did you mean 'ModelZoo'"),
    ],
)
def test_settings_that_do_not_suit(tools, make_job, project, given, message):
    with pytest.raises(ConfigError, match=message):
        deploy_n6(make_job("STM32N6", BOARD, **{"c_project_path": str(project), **given}))
    assert tools.journal == []


def test_an_archive_without_its_submodules(tools, make_job, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="git clone"):
        deploy_n6(make_job("STM32N6", BOARD, c_project_path=str(tmp_path / "empty")))

"""Linux boards against stand-ins for ssh and scp."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from deployment.deployed import deployable

from stm32pose.codecs.yolo import YoloCodec
from stm32pose.deployment.mpu import deploy_mpu
from stm32pose.deployment.remote import checked_folder, checked_host, checked_user, plain_name
from stm32pose.errors import ConfigError, UserError
from stm32pose.inference.tensors import TensorInfo

BOARD = ("STM32MP2", "STM32MP257F-EV1")
NASTY = "my model; $(touch oops) & 'x'.tflite"


@pytest.fixture
def project(tmp_path):
    """ST's application for Linux boards of 4.x, in a folder that a shell would tear to pieces."""
    folder = tmp_path / 'apps; "linux"'
    for name, text in {
        "Application/launch_python_pose.sh": "#!/bin/sh\n",
        "Application/pose estimation.py": "print()\n",
        "Resources/Default.css": "body {}\n",
        "STM32MP2/config_board_npu.sh": 'A=1\n  POSE_ESTIMATION_MODEL="yolov8n_fixed$NN_EXT"\nB=2\n',
        "STM32MP1/config_board_cpu.sh": "C=3\n",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def job(make_job, project, tmp_path):
    """`job(**changes)` of a YOLO model with an awkward file name."""
    path = tmp_path / NASTY
    path.write_bytes(b"network")
    output = TensorInfo("o", (56, 1344), "float32")
    model = deployable(YoloCodec((256, 256), 17).describe(), [output], path=path)

    def make(**given):
        setup = {"ip_address": "192.168.7.1", **given.pop("setup", {})}
        fields = {"c_project_path": str(project), "board_deploy_path": "/usr/local/pose", "model": model, **given}
        return make_job(*fields.pop("on", BOARD), setup=setup, **fields)

    return make


def test_copied_and_made_executable(tools, job, project):
    work = job()
    deploy_mpu(work)
    assert [record["status"] for record in work.commands.records] == ["done"] * 3
    made, executable = tools.words("ssh")
    assert made[-2:] == ["root@192.168.7.1", "mkdir -p /usr/local/pose"]
    (copied,) = tools.words("scp")
    assert copied[-1] == "root@192.168.7.1:/usr/local/pose/"
    assert {Path(path).name for path in copied[copied.index("-r") + 1 : -1]} == {
        "Application",
        "Resources",
        "my_model_touch_oops_x_.tflite",
    }
    assert shlex.split(executable[-1]) == [
        *("chmod", "+x", "/usr/local/pose/Application/launch_python_pose.sh"),
        "/usr/local/pose/Application/pose estimation.py",
        "/usr/local/pose/Resources/config_board_npu.sh",
    ]
    stage = work.folder / "board"
    assert (stage / "Resources" / "class_names.txt").read_text().splitlines()[0] == "nose"
    assert "B=2" in (stage / "Resources" / "config_board_npu.sh").read_text()
    assert not (stage / "Resources" / "config_board_cpu.sh").exists()
    assert "launch_python_pose.sh tflite /usr/local/pose" in work.next_step
    assert any("not on its NPU" in note for note in work.notes)
    assert not list(project.parent.rglob("oops"))


def test_the_launcher_starts_our_network(tools, job, project):
    """ST's script has a fixed name inside; the copy has ours, the original is as it was."""
    work = job()
    deploy_mpu(work)
    text = (work.folder / "board" / "Resources" / "config_board_npu.sh").read_text()
    assert '  POSE_ESTIMATION_MODEL="my_model_touch_oops_x_.tflite"\n' in text
    assert "yolov8n_fixed" in (project / "STM32MP2" / "config_board_npu.sh").read_text()


def test_an_older_application_is_told_model_and_names(tools, job, project):
    (project / "STM32MP2" / "config_board_npu.sh").write_text("A=1\n")
    work = job()
    deploy_mpu(work)
    assert "launch_python_pose.sh /usr/local/pose my_model_touch_oops_x_.tflite class_names.txt" in work.next_step


def test_launch(tools, job):
    work = job(launch=True)
    deploy_mpu(work)
    line = tools.words("ssh")[-1][-1]
    assert line.startswith("nohup /usr/local/pose/Application/launch_python_pose.sh tflite /usr/local/pose > ")
    assert line.endswith("< /dev/null & echo started")


def test_a_dry_run_starts_nothing(tools, job):
    work = job(dry_run=True, stedgeai={"on_cloud": True})
    deploy_mpu(work)
    assert tools.journal == []
    assert [record["title"] for record in work.commands.records] == [
        "convert for the NPU",
        "make folders",
        "copy",
        "make executable",
    ]
    assert any(word.endswith(".nb") for word in work.commands.records[2]["command"])


def test_a_dry_run_without_a_project(tools, job):
    work = job(dry_run=True, c_project_path=None)
    deploy_mpu(work)
    assert tools.journal == []
    assert (work.folder / "board" / "Resources" / "class_names.txt").is_file()


class Cloud:
    """Answers `to_nbg` as the Developer Cloud's client does."""

    def __init__(self, *, works: bool = True) -> None:
        self.works = works

    def to_nbg(self, model: Path, output: Path) -> Path:
        if not self.works:
            raise UserError("Developer Cloud: unsupported operator")
        output.write_bytes(model.read_bytes() + b" converted")
        return output


def test_converted_for_the_npu(tools, job):
    work = job(stedgeai={"on_cloud": True}, cloud=Cloud())
    deploy_mpu(work)
    assert (work.folder / "board" / "my_model_touch_oops_x_.nb").read_bytes() == b"network converted"
    assert "launch_python_pose.sh nbg" in work.next_step
    assert not any("not on its NPU" in note for note in work.notes)


def test_a_failed_conversion_is_an_error(tools, job):
    work = job(stedgeai={"on_cloud": True}, cloud=Cloud(works=False))
    with pytest.raises(UserError, match="unsupported operator"):
        deploy_mpu(work)
    assert work.commands.records[0]["status"] == "failed"
    assert tools.journal == []


def test_no_npu_no_conversion(tools, job):
    work = job(on=("STM32MP1", "STM32MP157F-DK2"), stedgeai={"on_cloud": True}, cloud=Cloud(works=False))
    deploy_mpu(work)
    assert (work.folder / "board" / "Resources" / "config_board_cpu.sh").is_file()


@pytest.mark.parametrize(
    ("program", "text", "message"),
    [
        ("ssh", "Host key verification failed.", "make folders: .*ssh-keyscan"),
        ("ssh", "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "ssh-keygen -R"),
        ("ssh", "root@192.168.7.1: Permission denied (publickey,password).", "deployment.ssh_key"),
        ("ssh", "ssh: connect to host 192.168.7.1 port 22: Connection timed out", "does not answer"),
        ("scp", "scp: write: No space left on device", "copy: .*the disk is full"),
    ],
)
def test_what_failures_say(tools, job, program, text, message):
    tools.say(program, text, status=255)
    work = job()
    with pytest.raises(UserError, match=message) as caught:
        deploy_mpu(work)
    assert "\n" not in str(caught.value)
    assert work.commands.records[-1]["status"] == "failed"


def test_own_names_and_key(tools, job, tmp_path):
    names, key = tmp_path / "names.txt", tmp_path / "a key"
    names.write_text("".join(f"n{index}\n" for index in range(17)))
    key.write_text("key")
    work = job(keypoints_file=names, ssh_key=str(key), user="pose")
    deploy_mpu(work)
    assert (work.folder / "board" / "Resources" / "class_names.txt").read_text().startswith("n0\nn1\n")
    words = tools.words("ssh")[0]
    assert words[words.index("-i") + 1] == str(key)
    assert words[-2] == "pose@192.168.7.1"


def test_names_of_another_skeleton(tools, job, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("a\nb\n")
    with pytest.raises(ConfigError, match=r"2 names, .* gives 17 keypoints"):
        deploy_mpu(job(keypoints_file=names))
    assert tools.journal == []


@pytest.mark.parametrize(
    "given",
    [
        {"setup": {"ip_address": "X.X.X.X"}},
        {"setup": {"ip_address": "-oProxyCommand=touch oops"}},
        {"setup": {"ip_address": "host;reboot"}},
        {"board_deploy_path": "/usr/local/$(reboot)"},
        {"board_deploy_path": "relative"},
        {"board_deploy_path": "/"},
        {"board_deploy_path": "/usr/../etc"},
        {"board_deploy_path": "/a b"},
        {"user": "-l"},
        {"user": "root@other"},
        {"ssh_key": "/no/such/key"},
        {"c_project_path": "/no such folder"},
    ],
)
def test_settings_that_are_refused(tools, job, given):
    with pytest.raises(ConfigError, match=r"^deployment\."):
        deploy_mpu(job(**given))
    assert tools.journal == []


@pytest.mark.parametrize("host", ["192.168.7.1", "fe80::1", "board.local", "stm32mp2", "a-b.example.org"])
def test_hosts(host):
    assert checked_host(host) == host


@pytest.mark.parametrize(
    "host", ["", None, "1.2.3", "999.1.1.1", "a b", "-x", "a_b", "a..b", "host:22", "root@x", "x" * 300]
)
def test_no_hosts(host):
    with pytest.raises(ConfigError, match="expected the board's IP address or host name"):
        checked_host(host)


def test_plain_words():
    assert checked_folder("/usr/local/pose/") == "/usr/local/pose"
    assert checked_user("root") == "root"
    assert plain_name("..-a b/c.tflite") == "a_b_c.tflite"
    assert plain_name("-") == "model"


def test_an_ipv6_board(tools, job):
    deploy_mpu(job(setup={"ip_address": "fe80::1"}))
    assert tools.words("scp")[0][-1] == "root@[fe80::1]:/usr/local/pose/"


def test_another_kind_of_network_is_remarked(tools, make_job, project):
    work = make_job(*BOARD, c_project_path=str(project), board_deploy_path="/opt/x", setup={"ip_address": "b"})
    work.model = replace(work.model, codec={**work.model.codec, "model_type": "heatmaps_spe"})
    deploy_mpu(work)
    assert any("decodes YOLO poses" in note for note in work.notes)

"""Code from the Developer Cloud of this suite: what is asked of it, what becomes of its archive, what failures say."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import cloud_replies as replies
import pytest
from cloud_faults import Fault
from cloud_server import PASSWORD, USER
from deployment.test_deploy_mcu import H7, NETWORK, REAL_PATH, STAI, needs_make
from deployment.test_deploy_n6 import BOARD, CONF, application

from stm32pose.config.load import load_config
from stm32pose.deployment.generate import Request
from stm32pose.deployment.mcu import deploy_mcu
from stm32pose.deployment.n6 import deploy_n6
from stm32pose.errors import ConfigError, UserError
from stm32pose.operations.cloud import needs_cloud

ON = {"on_cloud": True}
N6 = ("STM32N6", BOARD)
POOLS = {"memory": {"name": "app2"}}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """ST's application with a profile, its memory pools, and a place for the runtime library."""
    conf = CONF.replace('"profile": "fast"', '"profile": "fast", "mpool": "${ProjectFolder}/Model/my_mpools/app.mpool"')
    conf = conf.replace('"templates": [', '"templates": [\n    [ "stedgeai-lib", "${root}/STEdgeAI", "copy-dir"],')
    folder = application(tmp_path / "appli cation", conf=conf)
    (folder / "Model" / "my_mpools").mkdir()
    for name, content in (("app", POOLS), ("other", {"memory": {"name": "other"}})):
        (folder / "Model" / "my_mpools" / f"{name}.mpool").write_text(json.dumps(content))
    profile = {"memory_pool": "./my_mpools/other.mpool", "options": "-O3 --Os --Omax-ca-pipe 4"}
    (folder / "Model" / "user_neuralart.json").write_text(json.dumps({"Profiles": {"fast": profile}}))
    return folder


@pytest.fixture
def code(developer_cloud):
    developer_cloud.archive = replies.archive(replies.code("STM32N6"))
    return developer_cloud


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_n6_from_header_to_flash(tools, make_job, project, code, cloud):
    tools.remove("stedgeai")
    job = make_job(*N6, c_project_path=str(project), stedgeai=ON, cloud=cloud)
    deploy_n6(job)
    assert [record["status"] for record in job.commands.records] == ["done"] * 10
    asked = code.sent["generate"]
    assert asked["target"] == "stm32n6"
    assert asked["stNeuralArt"] == "default"
    assert asked["inputDataType"] == "uint8"
    assert asked["outputDataType"] == "int8"
    assert asked["includeLibraryForSerie"] == "STM32N6"
    assert "atonnOptions" not in asked
    assert shlex.split(asked["extraCommandLineArguments"]) == [
        *("--inputs-ch-position", "chlast", "--c-api", "st-ai"),
        *("-O3", "--atonnOptions.Os", "--atonnOptions.Omax-ca-pipe", "4"),
    ]
    assert code.sent["mpool"] == POOLS
    assert code.stored["models"] == {}
    assert not code.complaints
    model = project / "Model" / BOARD
    assert (model / "stai_network.h").read_text() == "/* stai_network.h */"
    assert (model / "network_atonbuf.xSPI2.bin").read_text() == "weights"
    library = project / "STEdgeAI"
    assert (library / "Lib/GCC/ARMCortexM55/NetworkRuntime1100_CM55_GCC.a").is_file()
    assert (library / "Npu/ll_aton/ll_aton.c").is_file()
    assert not list(job.folder.glob(".cloud-*"))


def test_what_was_asked_is_recorded_and_no_token(tools, make_job, project, code, cloud):
    job = make_job(*N6, c_project_path=str(project), stedgeai=ON, cloud=cloud)
    deploy_n6(job)
    record = next(record for record in job.commands.records if record["title"] == "generate")
    assert record["command"][:2] == ["developer-cloud", "generate"]
    for pair in (("--output-data-type", "int8"), ("--memory-pool", f"{project}/Model/my_mpools/app.mpool")):
        assert record["command"][record["command"].index(pair[0]) + 1] == pair[1]
    told = json.loads(Path(record["log"]).read_text())
    assert told["version"] == "3.0.0"
    assert told["asked"]["inputDataType"] == "uint8"
    assert "network.c" in told["archive"]
    text = json.dumps(job.commands.records) + Path(record["log"]).read_text()
    assert not [secret for secret in (*code.secrets_given, PASSWORD) if secret in text]


def test_n6_profiles_of_the_user(tools, make_job, project, code, cloud):
    """One of a file brings its own memory pools; a name is one of the service's."""
    file = project / "Model" / "user_neuralart.json"
    job = make_job(*N6, c_project_path=str(project), stedgeai={**ON, "neural_art": f"fast@{file}"}, cloud=cloud)
    deploy_n6(job)
    assert code.sent.pop("mpool") == {"memory": {"name": "other"}}
    job = make_job(*N6, c_project_path=str(project), stedgeai={**ON, "neural_art": "allmems--O3"}, cloud=cloud)
    deploy_n6(job)
    assert code.sent["generate"]["stNeuralArt"] == "allmems--O3"
    assert code.sent["generate"]["atonnOptions"] == {"enable-epoch-controller": True}
    assert "mpool" not in code.sent


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"user_neuralart\.json: not a file of Neural-ART profiles \(JSON\)"),
        ('{"Globals": {}}', "Profiles: got NoneType, expected an object"),
        ('{"Profiles": {"fasst": {}}}', "got no profile 'fast'; there: fasst; did you mean 'fasst'"),
        ('{"Profiles": {"fast": {"options": 3}}}', r"Profiles\.fast\.options: got int, expected text"),
        ('{"Profiles": {"fast": {"memory_pool": "no.mpool"}}}', r"memory_pool: .*no\.mpool does not exist"),
    ],
)
def test_profiles_that_cannot_be_sent(tools, make_job, project, code, cloud, content, message):
    (project / "Model" / "user_neuralart.json").write_text(content)
    job = make_job(*N6, c_project_path=str(project), stedgeai=ON, cloud=cloud)
    with pytest.raises(UserError, match=message) as caught:
        deploy_n6(job)
    assert "\n" not in str(caught.value)
    assert code.requests["upload"] == 0


@pytest.mark.parametrize("content", [None, "", "no JSON"])
def test_memory_pools_that_cannot_be_sent(tools, make_job, project, code, cloud, content):
    pools = project / "Model" / "my_mpools" / "app.mpool"
    pools.unlink()
    if content is not None:
        pools.write_text(content)
    job = make_job(*N6, c_project_path=str(project), stedgeai=ON, cloud=cloud)
    with pytest.raises(UserError, match=r"app\.mpool: (no such file|the file is empty|not a memory pool file)"):
        deploy_n6(job)
    assert code.requests["upload"] == 0


def test_memory_pools_of_elsewhere_are_not_sent(tools, make_job, project, code, cloud):
    conf = project / f"stmaic_{BOARD}.conf"
    conf.write_text(conf.read_text().replace("${ProjectFolder}/Model/my_mpools/app.mpool", "../secret.json"))
    with pytest.raises(UserError, match=r"memory_pool\.mpool: .*secret\.json lies outside the project"):
        deploy_n6(make_job(*N6, c_project_path=str(project), stedgeai=ON, cloud=cloud))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            ("core", Fault("body", body={"status": "ko", "error": "layer X is not supported"})),
            "layer X is not supported",
        ),
        (("core_poll", Fault("job_error")), "the board does not answer"),
        (("generated", Fault("page")), "Maintenance"),
        (None, "damaged archive"),
    ],
)
def test_a_failure_leaves_the_project_as_it_was(tools, make_job, project, code, cloud, fault, message):
    if fault:
        code.faults.add(*fault)
    else:
        code.archive = b"PK no archive"
    before = snapshot(project)
    job = make_job(*N6, c_project_path=str(project), stedgeai=ON, cloud=cloud)
    with pytest.raises(UserError, match=message) as caught:
        deploy_n6(job)
    assert "\n" not in str(caught.value)
    assert job.commands.records[-1]["title"] == "generate"
    assert job.commands.records[-1]["status"] == "failed"
    assert snapshot(project) == before
    assert not list(job.folder.glob(".cloud-*"))
    assert not (job.folder / "st_ai_output").exists()
    assert tools.words("stm32cubeide") == []
    assert code.stored["models"] == {}


def test_the_service_may_be_too_old_for_the_application(tools, make_job, project, code, cloud):
    code.archive = replies.archive(replies.code("STM32H7"))
    before = snapshot(project)
    job = make_job(*N6, c_project_path=str(project), stedgeai=ON, cloud=cloud)
    with pytest.raises(UserError, match=r"ST Edge AI Core 3\.0\.0 of the Developer Cloud wrote no stai_network\.h"):
        deploy_n6(job)
    assert snapshot(project) == before


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Inc/stai.h", "Npu/ll_aton/ll_aton.c"], "sent no C code"),
        (["a/network.c", "b/network.c"], r"sent two files network\.c"),
    ],
)
def test_archives_of_no_use(tools, make_job, project, code, cloud, names, message):
    code.archive = replies.archive(names)
    job = make_job(*N6, c_project_path=str(project), stedgeai=ON, cloud=cloud)
    with pytest.raises(UserError, match=message) as caught:
        deploy_n6(job)
    assert Path(str(caught.value).rpartition("log: ")[2]).is_file()


@pytest.mark.parametrize("prefix", ["", "stedgeai-lib/", "Middlewares/ST/AI/"])
@needs_make
def test_a_library_for_the_h7(tools, make_job, developer_cloud, cloud, monkeypatch, prefix):
    """The code compiles with the headers of the archive, wherever they lie in it."""
    files = replies.code("STM32H7", network_h=NETWORK, stai_h=STAI)
    moved = {(f"{prefix}{name}" if name.startswith(("Inc", "Lib")) else f"Src/{name}"): text
             for name, text in files.items()}  # fmt: skip
    developer_cloud.archive = replies.archive(moved if prefix else files)
    tools.remove("stedgeai")
    monkeypatch.setenv("PATH", REAL_PATH)  # the real compiler
    job = make_job(*H7, stedgeai={**ON, "optimization": "ram"}, cloud=cloud)
    deploy_mcu(job)
    home = job.folder / "application"
    assert (home / "build" / "libpose.a").stat().st_size > 1000
    assert [path.name for path in (home / "runtime" / "Lib").iterdir()] == ["NetworkRuntime1100_CM7_GCC.a"]
    assert (home / "runtime" / "Inc" / "stai.h").is_file()
    asked = developer_cloud.sent["generate"]
    assert asked["optimization"] == "ram"
    assert asked["includeLibraryForSerie"] == "STM32H7"
    assert asked["extraCommandLineArguments"] == "--inputs-ch-position chlast --c-api st-ai"
    assert "stNeuralArt" not in asked
    assert not developer_cloud.complaints


def test_h7_into_the_users_project(tools, make_job, tmp_path, developer_cloud, cloud):
    developer_cloud.archive = replies.archive(replies.code("STM32H7"))
    project = tmp_path / "cube mx"
    (project / "Core" / "Src").mkdir(parents=True)
    deploy_mcu(make_job(*H7, c_project_path=str(project), stedgeai=ON, cloud=cloud))
    assert (project / "Core" / "Src" / "network.c").is_file()
    assert (project / "Middlewares/ST/AI/Inc/stai.h").is_file()
    assert (project / "Middlewares/ST/AI/Lib/NetworkRuntime1100_CM7_GCC.a").is_file()


def test_h7_without_the_runtime_library(tools, make_job, tmp_path, developer_cloud, cloud):
    developer_cloud.archive = replies.archive(["network.c", "network.h"])
    project = tmp_path / "mine"
    project.mkdir()
    job = make_job(*H7, c_project_path=str(project), stedgeai=ON, cloud=cloud)
    with pytest.raises(UserError, match=r"stai\.h does not exist: ST Edge AI Core 3\.0\.0 of the Developer Cloud gave"):
        deploy_mcu(job)
    assert list(project.iterdir()) == []


@pytest.mark.parametrize(("board", "deploy"), [(N6, deploy_n6), (H7, deploy_mcu)])
def test_a_dry_run_touches_no_network(tools, make_job, monkeypatch, board, deploy):
    monkeypatch.setattr("stm32pose.benchmark.developer_cloud.client.connect", lambda **_: pytest.fail("connected"))
    job = make_job(*board, dry_run=True, stedgeai=ON)
    deploy(job)
    assert tools.journal == []
    record = next(record for record in job.commands.records if record["title"] == "generate")
    assert record["status"] == "dry run"
    assert record["command"][0] == "developer-cloud"


def test_without_a_client_one_is_made(tools, make_job, tmp_path, developer_cloud, monkeypatch):
    developer_cloud.archive = replies.archive(replies.code("STM32H7"))
    job = make_job(*H7, stedgeai=ON)
    with pytest.raises(UserError, match="stm32pose login"):
        job.generate(Request(), tmp_path / "code")
    monkeypatch.setenv("STM32AI_USERNAME", USER)
    monkeypatch.setenv("STM32AI_PASSWORD", PASSWORD)
    made = job.generate(Request(), tmp_path / "code")
    assert made is not None
    assert [path.name for path in made.c_files] == ["network.c"]


def test_both_ways_give_the_same_object(tools, make_job, tmp_path, developer_cloud, cloud):
    request = Request(c_api="st-ai", inputs_position="chlast")
    developer_cloud.archive = replies.archive(replies.code("STM32H7"))
    here = make_job(*H7).generate(request, tmp_path / "here")
    there = make_job(*H7, stedgeai=ON, cloud=cloud).generate(request, tmp_path / "there")
    for made in (here, there):
        assert made is not None
        assert {"network.c"} <= {path.name for path in made.c_files}
        assert {"network.h"} <= {path.name for path in made.headers}
        assert all(path.parent == made.folder for path in (*made.c_files, *made.headers, *made.raw))
        assert made.log.is_file()
        assert made.library is None


@pytest.mark.parametrize(
    ("serie", "board", "given", "needed"),
    [
        ("STM32N6", BOARD, {}, True),
        ("STM32H7", H7[1], {}, True),
        ("STM32N6", BOARD, {"dry_run": True}, False),
        ("STM32MP2", "STM32MP257F-EV1", {"board_deploy_path": "/opt/pose"}, True),
        ("STM32MP1", "STM32MP157F-DK2", {"board_deploy_path": "/opt/pose"}, False),
    ],
)
def test_who_logs_in(tmp_path, serie, board, given, needed):
    model = tmp_path / "net.tflite"
    model.write_bytes(b"a network")
    (tmp_path / "project").mkdir()
    content = {
        "operation_mode": "deployment",
        "model": {"model_type": "heatmaps_spe", "model_path": str(model)},
        "deployment": {
            "hardware_setup": {"serie": serie, "board": board, "ip_address": "192.168.7.1"},
            "c_project_path": str(tmp_path / "project"),
            **given,
        },
    }
    for on in (True, False):
        config = load_config({**content, "tools": {"stedgeai": {"on_cloud": on}}})
        assert needs_cloud(config) is (needed and on)
    content["deployment"]["hardware_setup"]["board"] = "STM32N6570"
    with pytest.raises(ConfigError, match=r"deployment\.hardware_setup\.(board|serie)"):
        needs_cloud(load_config({**content, "tools": {"stedgeai": ON}, "deployment": {
            **content["deployment"], "dry_run": False}}))  # fmt: skip

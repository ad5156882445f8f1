"""Analyse, generate, validate, the NBG conversion, and files, against the in-suite server."""

from __future__ import annotations

import io
import stat
import zipfile

import cloud_replies as replies
import pytest
from cloud_faults import Fault, status

from stm32pose.benchmark.developer_cloud.archive import unpack
from stm32pose.benchmark.developer_cloud.errors import (
    AnalyzeFailed,
    GenerateFailed,
    ModelNotFound,
    NbgFailed,
    QueueTimeout,
    ServerBroken,
    ValidateFailed,
)
from stm32pose.boards.board import load_board

N6 = load_board("STM32N6570-DK")


@pytest.mark.parametrize("form", ["new", "old"])
def test_analyze(developer_cloud, log_in, model, form):
    developer_cloud.form = form
    size = model.stat().st_size
    analysis = log_in().analyze(model, N6)
    assert analysis.figures.weights_bytes == size
    assert analysis.figures.macs == replies.expected(size)["macc"]
    assert analysis.figures.latency_ms is None
    assert "not run on a board" in analysis.figures.how
    assert developer_cloud.sent["analyze"]["target"] == "stm32n6"
    assert developer_cloud.stored["models"] == {}
    assert not developer_cloud.complaints


@pytest.mark.parametrize("form", ["new", "old"])
def test_validate_keeps_its_metrics(developer_cloud, log_in, model, tmp_path, form):
    developer_cloud.form = form
    inputs = tmp_path / "in.npz"
    inputs.write_bytes(b"PK")
    validation = log_in().validate(model, inputs=inputs, outputs=inputs, optimization="ram")
    assert validation.figures.validation == [{key: value for key, value in replies.METRIC.items() if value is not None}]
    assert developer_cloud.sent["validate"]["valinput"].startswith("in_")
    assert all(not files for files in developer_cloud.stored.values())


@pytest.mark.parametrize("at_once", [True, False])
def test_generate(developer_cloud, log_in, model, tmp_path, at_once):
    developer_cloud.generate_at_once = at_once
    output = tmp_path / "code"
    generated = log_in().generate(model, output=output)
    assert [path.relative_to(output).as_posix() for path in generated.files] == [
        "Lib/GCC/libnetwork.a",
        "network.c",
        "network.h",
    ]
    assert (output / "network.c").read_text() == "/* network.c */\n"
    assert sorted(path.name for path in output.iterdir()) == ["Lib", "network.c", "network.h"]


def test_generate_for_a_board(developer_cloud, log_in, model, tmp_path):
    """Fields where the service has them, arguments where it has none; the pools go beside them as a file."""
    pools = tmp_path / "a.mpool"
    pools.write_text('{"memory": {}}')
    given = {"input_type": "uint8", "outputs_position": "chfirst", "c_api": "legacy", "memory_pools": pools}
    generated = log_in().generate(model, N6, output=tmp_path / "code", **given)
    sent = developer_cloud.sent["generate"]
    assert sent == {**generated.asked, "model": sent["model"]}
    assert sent["inputDataType"] == "uint8"
    assert "outputDataType" not in sent
    assert sent["includeLibraryForSerie"] == "STM32N6"
    assert sent["extraCommandLineArguments"] == "--outputs-ch-position chfirst --c-api legacy"
    assert sent["atonnOptions"] == {"enable-epoch-controller": True}
    assert "mpool" not in sent
    assert developer_cloud.sent["mpool"] == {"memory": {}}
    assert generated.version == "3.0.0"
    assert not developer_cloud.complaints


def test_generate_refuses_what_the_service_does_not_know(developer_cloud, log_in, model, tmp_path):
    client = log_in()
    for given in ({"input_type": "float64"}, {"outputs_position": "middle"}, {"neural_art": "fast"}):
        with pytest.raises(GenerateFailed):
            client.generate(model, output=tmp_path / "code", **given)
    assert developer_cloud.stored["models"] == {}


@pytest.mark.parametrize("name", ["../evil.c", "/evil.c", "a/../../evil.c", "C:/evil.c", "..\\evil.c", "\\evil.c"])
def test_archive_writes_nowhere_else(developer_cloud, log_in, model, tmp_path, name):
    developer_cloud.archive = replies.archive(["network.c", name])
    output = tmp_path / "deep" / "code"
    with pytest.raises(ServerBroken, match="would write outside its folder"):
        log_in().generate(model, output=output)
    assert not list(tmp_path.rglob("evil*"))
    assert list(output.iterdir()) == [], "nothing of such an archive is kept"


def test_archive_with_a_link(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr(link, "/etc")
        content.writestr("link/passwd", "x")
    with pytest.raises(ServerBroken, match="would write outside"):
        unpack(archive, tmp_path / "out")
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "away").mkdir()
    (tmp_path / "out" / "Lib").symlink_to(tmp_path / "away")
    archive.write_bytes(replies.archive(["Lib/x.a"]))
    with pytest.raises(ServerBroken, match="leads outside"):
        unpack(archive, tmp_path / "out")
    assert not list((tmp_path / "away").iterdir())


def test_archive_that_is_none_or_a_bomb(developer_cloud, log_in, model, tmp_path, monkeypatch):
    developer_cloud.archive = b"PK no archive"
    with pytest.raises(ServerBroken, match="damaged archive"):
        log_in().generate(model, output=tmp_path / "code")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as content:
        content.writestr("zeros", bytes(1 << 20))
    developer_cloud.archive = buffer.getvalue()
    monkeypatch.setattr("stm32pose.benchmark.developer_cloud.archive.MOST_BYTES", 1000)
    with pytest.raises(ServerBroken, match="holds more than"):
        log_in().generate(model, output=tmp_path / "code")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("damage", ["content", "method", "cut"])
def test_archive_with_a_damaged_entry(tmp_path, method, damage):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", method) as content:
        content.writestr("network.c", bytes(range(256)) * 64)
    data = bytearray(archive.read_bytes())
    central = data.rindex(b"PK\x01\x02")
    if damage == "content":
        data[50 : central - 8] = b"\xa5" * (central - 58)
    elif damage == "method":
        data[8:10] = data[central + 10 : central + 12] = (77).to_bytes(2, "little")
    else:
        data = data[: central // 2] + data[central:]
    archive.write_bytes(data)
    with pytest.raises(ServerBroken, match="damaged archive"):
        unpack(archive, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("network.c"))


@pytest.mark.parametrize(
    ("action", "error"), [("analyze", AnalyzeFailed), ("validate", ValidateFailed), ("generate", GenerateFailed)]
)
def test_refusals_keep_the_servers_words(developer_cloud, log_in, model, tmp_path, action, error):
    client = log_in()
    given = {"output": tmp_path / "code"} if action == "generate" else {}
    run = getattr(client, action)
    developer_cloud.faults.add("core", Fault("body", body={"status": "ko", "error": "layer X is not supported"}))
    with pytest.raises(error, match="layer X is not supported"):
        run(model, **given)
    developer_cloud.faults.add("core", status(422))
    with pytest.raises(error, match="HTTP 422: fault 422"):
        run(model, **given)
    developer_cloud.faults.add("core_poll", Fault("job_error"))
    with pytest.raises(error, match="the board does not answer"):
        run(model, **given)
    developer_cloud.faults.add("core", Fault("body", body={}))
    with pytest.raises(ServerBroken, match="no field 'runtimeId'"):
        run(model, **given)
    developer_cloud.faults.add("core_poll", Fault("body", body={"state": "done", "result": None, "message": "odd"}))
    with pytest.raises(ServerBroken, match="says done but sends no result: odd"):
        run(model, **given)
    developer_cloud.faults.add("core_poll", Fault("body", body={"state": "done", "result": {"graph": 1}}))
    with pytest.raises(ServerBroken, match=r"field '|no field 'url'"):
        run(model, **given)
    assert developer_cloud.stored["models"] == {}


def test_run_that_never_ends(developer_cloud, log_in, model):
    developer_cloud.polls = 10**9
    with pytest.raises(QueueTimeout, match=r"analyze: not done after 0\.3 s"):
        log_in().analyze(model, timeout_s=0.3)


def test_nbg(developer_cloud, log_in, model, tmp_path):
    client = log_in()
    made = client.to_nbg(model, tmp_path / "out" / "model.nb")
    assert made.read_bytes() == b"VPMN" + model.read_bytes()
    assert developer_cloud.stored["models"] == {}
    developer_cloud.faults.add("nbg_poll", Fault("body", body={"state": "done"}))
    with pytest.raises(NbgFailed, match="blobName"):
        client.to_nbg(model, tmp_path / "again.nb")
    developer_cloud.faults.add("nbg_poll", Fault("job_error"))
    with pytest.raises(NbgFailed, match="the board does not answer"):
        client.to_nbg(model, tmp_path / "again.nb")
    developer_cloud.faults.add("nbg", status(400))
    with pytest.raises(NbgFailed, match="fault 400"):
        client.to_nbg(model, tmp_path / "again.nb")
    assert not (tmp_path / "again.nb").exists()


def test_download_is_a_file_or_nothing(developer_cloud, log_in, model, tmp_path):
    client = log_in()
    name = client.upload(model)
    assert client.models() == [name]
    target = tmp_path / "back.tflite"
    target.write_bytes(b"before")
    developer_cloud.faults.add("download", Fault("page"))
    with pytest.raises(ServerBroken, match="sent no file: Maintenance"):
        client.download(name, target)
    with pytest.raises(ModelNotFound, match="no such file"):
        client.download("other.tflite", target)
    developer_cloud.stored["models"]["page.tflite"] = b"<!DOCTYPE html><html>a page called octet-stream</html>"
    with pytest.raises(ServerBroken, match="web page where a file was expected"):
        client.download("page.tflite", target)
    assert target.read_bytes() == b"before"
    developer_cloud.faults.add("download", Fault("cut_answer"), Fault("drop"), status(500))
    assert client.download(name, target).read_bytes() == model.read_bytes()
    client.delete(name)
    with pytest.raises(ModelNotFound):
        client.delete(name)


def test_large_upload_arrives_whole(developer_cloud, log_in, tmp_path):
    large = tmp_path / "large.tflite"
    large.write_bytes(bytes(range(256)) * 40_000)
    client = log_in()
    name = client.upload(large)
    assert developer_cloud.stored["models"][name] == large.read_bytes()

"""Benchmarks end to end against the in-suite server."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import cloud_replies as replies
import pytest
from cloud_faults import Fault, status
from cloud_timing import FAST

from stm32pose.benchmark.developer_cloud.errors import (
    BenchmarkFailed,
    BoardNotFound,
    ConnectionLost,
    QueueTimeout,
    RateLimited,
    ServerBroken,
    UploadFailed,
    VersionNotFound,
)
from stm32pose.benchmark.developer_cloud.results import benchmark_figures
from stm32pose.boards.board import load_board
from stm32pose.errors import UserError

H7, N6, MP2, MP1 = map(load_board, ("STM32H747I-DISCO", "STM32N6570-DK", "STM32MP257F-EV1", "STM32MP135F-DK"))
U3 = replace(H7, name="NUCLEO-U3C5ZI-Q", aliases=(), device="STM32U3C5ZIT6Q", series="STM32U3")


@pytest.mark.parametrize("form", ["new", "old"])
def test_figures(developer_cloud, log_in, model, form):
    developer_cloud.form = form
    size = model.stat().st_size
    costs = replies.expected(size)
    figures = log_in().benchmark(model, H7, optimization="time", version="2.2.0", tag="demo")
    assert developer_cloud.sent["submit"]["optimization"] == "time"
    assert developer_cloud.sent["submit"]["version"] == "2.2.0"
    assert developer_cloud.sent["submit"]["fromModel"] == "demo"
    assert figures.route == "cloud"
    assert figures.how == "measured on a STM32H747I-DISCO by ST's Developer Cloud"
    assert "2.2.0" in figures.tool
    assert figures.weights_bytes == size
    assert figures.activations_bytes == costs["activations"]
    assert figures.code_bytes == costs["library_flash"]
    assert figures.runtime_ram_bytes == costs["library_ram"]
    assert figures.total_flash_bytes == size + costs["library_flash"]
    assert figures.total_ram_bytes == costs["activations"] + costs["io"] + costs["library_ram"]
    assert (figures.macs, figures.cycles, figures.latency_ms) == (costs["macc"], costs["cycles"], size / 1000)
    # The split of the flash is not the other way round (ST's B3).
    assert figures.internal_flash_bytes == size - costs["external_flash"]
    assert figures.external_flash_bytes == costs["external_flash"]
    half = costs["activations"] // 2
    assert figures.external_ram_bytes == (half if form == "new" else 10)
    assert figures.internal_ram_bytes == costs["activations"] - figures.external_ram_bytes
    assert figures.validation[0]["rmse"] == 0.003
    assert figures.validation[0]["cos"] == 0.9998
    assert "validation error 0.0123 (L2r)" in figures.note
    assert "uses external Ram; uses external Flash" in figures.note
    assert developer_cloud.stored["models"] == {}
    assert not developer_cloud.complaints


def test_models_differ(developer_cloud, log_in, model, tmp_path):
    other = tmp_path / "other.onnx"
    other.write_bytes(b"x" * 777)
    client = log_in()
    assert client.benchmark(model, N6).weights_bytes == model.stat().st_size
    assert client.benchmark(other, N6).weights_bytes == 777
    assert "optimization" not in developer_cloud.sent["submit"]


def test_the_profile_of_an_n6_is_sent_and_named(developer_cloud, log_in, model, tmp_path):
    file = tmp_path / "user_neuralart.json"
    (tmp_path / "my.mpool").write_text('{"memory": {"mempools": []}}')
    profile = {"memory_pool": "./my.mpool", "options": "-O3 --Os --Oalt-sched"}
    file.write_text(json.dumps({"Profiles": {"fast": profile}}))
    client = log_in()
    plain = client.benchmark(model, N6)
    assert developer_cloud.sent["submit"]["stNeuralArt"] == "default"
    assert "Neural-ART profile default" in plain.note
    figures = client.benchmark(model, N6, neural_art=f"fast@{file}")
    sent = developer_cloud.sent["submit"]
    assert sent["extraCommandLineArguments"] == "-O3 --atonnOptions.Os --atonnOptions.Oalt-sched"
    assert sent["mpool"] == {"memory": {"mempools": []}}
    assert "atonnOptions" not in sent
    assert "Neural-ART profile fast of user_neuralart.json" in figures.note
    assert "profile_O2" in client.benchmark(model, N6, neural_art="profile_O2").note
    assert developer_cloud.sent["submit"]["stNeuralArt"] == "profile_O2"
    before = developer_cloud.requests["upload"]
    with pytest.raises(UserError, match="got no profile 'fats'; there: fast; did you mean 'fast'"):
        client.benchmark(model, N6, neural_art=f"fats@{file}")
    assert developer_cloud.requests["upload"] == before
    assert "Neural-ART" not in client.benchmark(model, H7, neural_art="profile_O2").note
    assert "stNeuralArt" not in developer_cloud.sent["submit"]
    assert not developer_cloud.complaints


def test_board_with_hsp(developer_cloud, log_in, model):
    log_in().benchmark(model, U3, hsp=2048)
    assert developer_cloud.sent["submit"]["hsp"] == 2048


def test_old_service_takes_options_as_text(developer_cloud, log_in, model):
    developer_cloud.old_options = True
    assert log_in().benchmark(model, H7).latency_ms == model.stat().st_size / 1000


def test_linux_boards(developer_cloud, log_in, model):
    size = model.stat().st_size
    client = log_in()
    figures = client.benchmark(model, MP1)
    assert developer_cloud.sent["submit"]["engine"] == "cpu"
    assert developer_cloud.sent["submit"]["nbCores"] == 1
    assert (figures.latency_ms, figures.model_bytes, figures.peak_ram_bytes) == (size / 500, size, 5 * size)
    assert (figures.npu_percent, figures.gpu_percent, figures.cpu_percent) == (75.0, 5.0, 20.0)
    assert figures.tool == "stai_mpu 6.0.1"
    assert figures.macs is None
    figures = client.benchmark(model, MP2)
    assert developer_cloud.sent["submit"]["engine"] == "hw_accelerator"
    assert developer_cloud.sent["submit"]["nbCores"] == 2
    assert developer_cloud.sent["submit"]["model"].endswith(".nb")
    assert figures.model_bytes == size + 4, "the converted file was run"
    assert "converted to a network binary graph first" in figures.note
    assert developer_cloud.stored["models"] == {}
    graph = model.with_suffix(".nb")
    graph.write_bytes(b"VPMN1234")
    assert "converted" not in client.benchmark(graph, MP2).note
    assert developer_cloud.requests["nbg"] == 1


def test_progress_tells_each_change_once(developer_cloud, log_in, model):
    developer_cloud.polls = 40
    lines = []
    log_in(progress=lines.append).benchmark(model, H7)
    assert lines == [
        "benchmark on STM32H747I-DISCO: waiting_for_build, step 1 of 5",
        "benchmark on STM32H747I-DISCO: in_queue, step 2 of 5 (3 waiting)",
        "benchmark on STM32H747I-DISCO: building, step 3 of 5",
        "benchmark on STM32H747I-DISCO: flashing, step 4 of 5",
        "benchmark on STM32H747I-DISCO: validation, step 5 of 5",
        "benchmark on STM32H747I-DISCO: done",
    ]


def test_unknown_board_lists_those_there(developer_cloud, log_in, model):
    board = replace(H7, name="STM32H747I-DISC", aliases=())
    with pytest.raises(BoardNotFound, match=r"did you mean 'STM32H747I-DISCO'.*boards there: NUCLEO-U3C5ZI-Q, STM32H7"):
        log_in().benchmark(model, board)
    assert developer_cloud.requests["upload"] == 0
    with pytest.raises(BoardNotFound, match="none is in service now"):
        log_in().benchmark(model, load_board("B-U585I-IOT02A"))


def test_board_that_goes_while_the_model_is_sent(developer_cloud, log_in, model, monkeypatch):
    client = log_in()
    upload = client._files.upload

    def slow_upload(*given, **named):
        developer_cloud.boards.pop(H7.name)
        return upload(*given, **named)

    monkeypatch.setattr(type(client._files), "upload", lambda self, *given, **named: slow_upload(*given, **named))
    with pytest.raises(BoardNotFound, match="got 'STM32H747I-DISCO'"):
        client.benchmark(model, H7)
    assert developer_cloud.stored["models"] == {}


def test_unknown_version_is_no_other_version(developer_cloud, log_in, model):
    with pytest.raises(VersionNotFound):
        log_in().benchmark(model, H7, version="9.9.9")
    assert developer_cloud.requests["submit"] == 0


def test_failed_job_keeps_the_servers_words(developer_cloud, log_in, model):
    developer_cloud.faults.add("poll", Fault("job_error"))
    with pytest.raises(BenchmarkFailed, match="STM32H747I-DISCO failed: the board does not answer") as failed:
        log_in().benchmark(model, H7)
    assert failed.value.board == "STM32H747I-DISCO"
    assert developer_cloud.stored["models"] == {}


def test_refused_submission_keeps_the_servers_words(developer_cloud, log_in, model):
    with pytest.raises(BenchmarkFailed, match="HTTP 400: submit: optimization"):
        log_in().benchmark(model, H7, optimization="colour")
    assert developer_cloud.stored["models"] == {}


def test_slow_queue_is_waited_for(developer_cloud, log_in, model):
    developer_cloud.polls = 150
    assert log_in().benchmark(model, H7, timeout_s=60).latency_ms
    assert developer_cloud.requests["poll"] == 151


def test_queue_that_is_too_slow_is_given_up_and_cancelled(developer_cloud, log_in, model):
    developer_cloud.polls = 10**9
    started = time.monotonic()
    with pytest.raises(QueueTimeout, match=r"not done after 0\.5 s, last state: validation"):
        log_in().benchmark(model, H7, timeout_s=0.5)
    assert time.monotonic() - started < 3.0
    assert [job.cancelled for job in developer_cloud.jobs.values()] == [True]
    assert developer_cloud.stored["models"] == {}


def test_server_that_hangs_while_polled_ends_at_the_timeout(developer_cloud, log_in, model):
    developer_cloud.faults.add("poll", *[Fault("hang", seconds=1.5)] * 9)
    started = time.monotonic()
    with pytest.raises((QueueTimeout, ConnectionLost)):
        log_in().benchmark(model, H7, timeout_s=1.2)
    assert time.monotonic() - started < 4.0
    assert all(job.cancelled for job in developer_cloud.jobs.values())


def test_poll_survives_a_bad_line(developer_cloud, log_in, model):
    faults = [status(500), Fault("garbage"), Fault("drop"), Fault("expired"), status(429, Retry_After="0")]
    developer_cloud.faults.add("poll", *faults)
    assert log_in().benchmark(model, H7).latency_ms


@pytest.mark.parametrize("fault", [Fault("cut_upload"), Fault("drop_late"), status(500), Fault("cut_answer")])
def test_cut_upload_is_sent_again(developer_cloud, log_in, model, fault):
    developer_cloud.faults.add("upload", fault, fault)
    assert log_in().benchmark(model, H7).weights_bytes == model.stat().st_size, "the server got every byte"
    assert developer_cloud.requests["upload"] == 3
    assert developer_cloud.stored["models"] == {}


def test_upload_that_is_not_kept(developer_cloud, log_in, model):
    developer_cloud.faults.add("upload", Fault("body", body={"upload": False, "message": "disk quota"}))
    with pytest.raises(UploadFailed, match="did not keep the file: disk quota"):
        log_in().benchmark(model, H7)
    developer_cloud.faults.add("upload", status(413))
    with pytest.raises(UploadFailed, match="HTTP 413: fault 413"):
        log_in().benchmark(model, H7)
    assert developer_cloud.requests["submit"] == 0


@pytest.mark.parametrize("fault", [status(429), status(429, Retry_After="0"), status(503)])
def test_submission_that_was_not_taken_is_sent_again(developer_cloud, log_in, model, fault):
    developer_cloud.faults.add("submit", fault, fault)
    assert log_in().benchmark(model, H7).latency_ms
    assert developer_cloud.requests["submit"] == 3


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("drop_late"), ConnectionLost),
        (Fault("drop"), ConnectionLost),
        (status(500), ServerBroken),
        (status(504), ServerBroken),
        (Fault("garbage"), ServerBroken),
        (Fault("body", body={"queued": True}), ServerBroken),
    ],
)
def test_submission_that_may_have_been_taken_is_not(developer_cloud, log_in, model, fault, error):
    developer_cloud.faults.add("submit", fault)
    with pytest.raises(error):
        log_in().benchmark(model, H7)
    assert developer_cloud.requests["submit"] == 1, "no board is used twice"
    assert developer_cloud.stored["models"] == {}


def test_rate_limit_that_stays(developer_cloud, log_in, model):
    developer_cloud.faults.add("submit", *[status(429)] * 20)
    with pytest.raises(RateLimited):
        log_in().benchmark(model, H7)


def test_ctrl_c_cancels_and_cleans(developer_cloud, log_in, model):
    developer_cloud.polls = 10**9

    def stop(line):
        if "building" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log_in(progress=stop).benchmark(model, H7)
    assert [job.cancelled for job in developer_cloud.jobs.values()] == [True]
    assert developer_cloud.stored["models"] == {}


def test_ctrl_c_is_passed_on_when_nothing_can_be_cancelled(developer_cloud, log_in, model, monkeypatch):
    developer_cloud.polls = 10**9
    for route in ("cancel", "delete"):
        developer_cloud.faults.add(route, *[status(500)] * 30)

    def interrupted(seconds):
        raise KeyboardInterrupt

    client = log_in()
    monkeypatch.setattr("stm32pose.benchmark.developer_cloud.jobs.time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        client.benchmark(model, H7)


def test_model_that_cannot_be_removed_costs_no_result(developer_cloud, log_in, model, caplog):
    developer_cloud.faults.add("delete", *[status(500)] * 30)
    assert log_in().benchmark(model, H7).latency_ms
    assert "stays on the service" in caplog.text


def test_two_runs_of_one_file_do_not_meet(developer_cloud, log_in, model):
    developer_cloud.polls = 20
    clients = [log_in(), log_in()]
    results = []

    def run(client):
        results.append(client.benchmark(model, H7).weights_bytes)

    threads = [threading.Thread(target=run, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    while len(developer_cloud.jobs) < 2:
        time.sleep(0.005)
    seen = list(developer_cloud.stored["models"])
    for thread in threads:
        thread.join()
    assert results == [model.stat().st_size] * 2
    assert len(seen) == len(set(seen)) == 2
    assert all(name.startswith("mein_Modell_1_") and name.endswith(".tflite") for name in seen)


def test_files_that_are_none(log_in, tmp_path):
    client = log_in()
    with pytest.raises(UserError, match="no such file"):
        client.benchmark(tmp_path / "absent.tflite", H7)
    (tmp_path / "empty.tflite").touch()
    with pytest.raises(UserError, match="the file is empty"):
        client.benchmark(tmp_path / "empty.tflite", H7)


@pytest.mark.parametrize("form", ["new", "old"])
@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        ("benchmark", None, "benchmark"),
        ("benchmark.*.exec_time.duration_ms", None, "duration_ms"),
        ("benchmark.*.exec_time.duration_ms", "fast", "duration_ms"),
        ("benchmark.*.exec_time.duration_ms", -1, "duration_ms"),
        ("benchmark.*.exec_time", None, "exec_time"),
        ("memoryMapping.memoryFootprint.weights", [], "memoryMapping.memoryFootprint.weights"),
    ],
)
def test_garbled_results_name_the_field(form, path, value, name):
    answer = replies.mcu_benchmark(3000, "B", "3.0.0", form)
    node = answer
    *parents, last = path.split(".")
    for key in parents:
        if key == "*":
            node = node["info"]["graphs"][0] if form == "new" else node["graph"]
        else:
            node = node[key]
    node[last] = value
    with pytest.raises(ServerBroken, match=f"{name}' "):
        benchmark_figures(answer, "B")


def test_optional_fields_may_be_missing():
    answer = replies.mcu_benchmark(3000, "B", "3.0.0", "new")
    answer["memoryMapping"] = None
    info = answer["benchmark"]["info"]
    for name in ("memory_pools", "buffers", "validation", "environment"):
        del info[name]
    del info["graphs"][0]["exec_time"]["cycles"]
    figures = benchmark_figures(answer, "B")
    assert figures.latency_ms == 3.0
    assert figures.weights_bytes == 3000
    assert figures.cycles is figures.internal_ram_bytes is figures.external_flash_bytes is None
    assert figures.validation == []
    assert figures.note == ""


def test_patience_of_polls_is_longer(developer_cloud, log_in, model):
    assert FAST.patient_attempts > FAST.attempts
    developer_cloud.faults.add("poll", *[status(502)] * FAST.attempts)
    assert log_in().benchmark(model, H7).latency_ms

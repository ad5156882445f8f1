"""Evaluation targets: a model inside ST's runtime gives what the file gives here; boards and packages that fail."""

from __future__ import annotations

import gc
import os
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from fake_ai_runner import MILLISECONDS
from fake_stedgeai import calls, make_ai_runner, make_installation, option

from stm32pose.config.load import load_config
from stm32pose.config.schema import Config
from stm32pose.config.target_sections import Evaluation
from stm32pose.errors import ConfigError, UserError
from stm32pose.inference.runner import Runner, load_runner
from stm32pose.inference.st_runner import StRunner
from stm32pose.operations.on_target import check_programs, check_target, open_runner
from stm32pose.reporting.run import Run

SYMMETRIC = (1 / 127.5, -1.0)


@pytest.fixture(scope="session")
def int8_model(tmp_path_factory) -> Path:
    """A small int8 network of two outputs, 32 x 24 x 3 -> maps 16 x 12 x 5 and 7 numbers; input int8."""
    import keras
    import tensorflow as tf

    from stm32pose.inference.keras_export import tflite_converter

    keras.utils.set_random_seed(3)
    image = keras.Input((32, 24, 3))
    inner = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    maps = keras.layers.Conv2D(5, 1, activation="sigmoid", name="maps")(inner)
    flat = keras.layers.Dense(7, name="flat")(keras.layers.GlobalAveragePooling2D()(inner))
    converter = tflite_converter(keras.Model(image, [maps, flat]))
    random = np.random.default_rng(5)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [random.uniform(-1, 1, (1, 32, 24, 3)).astype(np.float32)] for _ in range(20)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    path = tmp_path_factory.mktemp("model") / "small.int8.tflite"
    path.write_bytes(converter.convert())
    return path


@pytest.fixture(scope="session")
def onnx_model(tmp_path_factory) -> Path:
    """A float ONNX network with channels first: 3 x 32 x 24 -> maps 5 x 32 x 24."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    weights = np.random.default_rng(7).normal(size=(5, 3, 1, 1)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["image", "weights"], ["maps"])],
        "small",
        [onnx.helper.make_tensor_value_info("image", 1, [1, 3, 32, 24])],
        [onnx.helper.make_tensor_value_info("maps", 1, [1, 5, 32, 24])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    onnx.save(model, str(path))
    return path


def images(shape: tuple[int, ...] = (32, 24, 3), count: int = 3) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (count, *shape), dtype=np.uint8)


def configured(model: Path, root: Path | str | None, step: str = "evaluation", **section: str) -> Config:
    return load_config(
        {
            "operation_mode": step,
            "model": {"model_path": str(model)},
            "dataset": {"prediction_path": "x"} if step == "prediction" else {"test_path": "x", "keypoints": 17},
            "preprocessing": {"rescaling": {"scale": 1 / 127.5, "offset": -1}},
            "tools": {"stedgeai": {"path_to_stedgeai": str(root)} if root else {}},
            step: section,
        },
        check_paths=False,
    )


def opened(tmp_path: Path, model: Path, root: Path | None, **section) -> Runner:
    config = configured(model, root, **section)
    return open_runner(config, Run(config, tmp_path / "run"), model, config.evaluation)


def same(left: list[np.ndarray], right: list[np.ndarray]) -> None:
    for one, other in zip(left, right, strict=True):
        assert one.dtype == other.dtype == np.float32
        assert np.array_equal(one, other)


@pytest.mark.parametrize("target", ["stedgeai_host", "stedgeai_n6", "stedgeai_h7p"])
@pytest.mark.parametrize(
    "types",
    [
        ("int8", "int8", "chlast", "chlast"),
        ("uint8", "uint8", "chlast", "chfirst"),
        ("uint8", "int8", "chfirst", "chlast"),
    ],
)
def test_integers_go_in_and_come_out_exactly_as_on_the_host(tmp_path, int8_model, target, types):
    make_installation(tmp_path / "core")
    names = ("input_type", "output_type", "input_chpos", "output_chpos")
    runner = opened(tmp_path, int8_model, tmp_path / "core", target=target, **dict(zip(names, types, strict=True)))
    host = load_runner(int8_model, rescaling=SYMMETRIC)
    assert (runner.kind, runner.path, runner.quantized) == ("tflite", int8_model, True)
    assert runner.input.dtype == types[0]
    assert runner.layout == ("NHWC" if types[2] == "chlast" else "NCHW")
    assert [output.shape for output in runner.outputs] == [output.shape for output in host.outputs]
    same(runner.predict(images()), host.predict(images()))
    assert runner.invoke_seconds == pytest.approx(3 * MILLISECONDS / 1000)
    assert isinstance(runner, StRunner)
    assert runner.timing == f"told by the {'host library' if target == 'stedgeai_host' else 'board'}"


def test_float_ends_of_an_integer_network(tmp_path, int8_model):
    make_installation(tmp_path / "core")
    section = {"target": "stedgeai_host", "input_type": "float", "output_type": "float32"}
    runner = opened(tmp_path, int8_model, tmp_path / "core", **section)
    assert runner.input.dtype == "float32"
    for one, other in zip(
        runner.predict(images()), load_runner(int8_model, rescaling=SYMMETRIC).predict(images()), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=0.02)


@pytest.mark.parametrize(("input_chpos", "output_chpos"), [("chlast", "chlast"), ("chfirst", "chfirst")])
def test_onnx_with_channels_first(tmp_path, onnx_model, caplog, input_chpos, output_chpos):
    program = make_installation(tmp_path / "core")
    section = {"target": "stedgeai_host", "input_chpos": input_chpos, "output_chpos": output_chpos}
    runner = opened(tmp_path, onnx_model, tmp_path / "core", **section)
    assert "small.onnx computes in float: input_type uint8 and output_type int8 become float32" in caplog.text
    assert option(calls(program)[-1], "--input-data-type") == "float32"
    assert (runner.kind, runner.quantized) == ("onnx", False)
    same(runner.predict(images()), load_runner(onnx_model, rescaling=SYMMETRIC).predict(images()))


def test_commands_and_files_of_the_n6(tmp_path, int8_model, caplog):
    caplog.set_level("INFO")
    program = make_installation(tmp_path / "core")
    opened(tmp_path, int8_model, tmp_path / "core", target="stedgeai_n6", profile="profile_O3")
    (call,) = calls(program)
    scripts = tmp_path / "core/scripts/N6_scripts"
    assert option(call, "--target") == "stm32n6"
    assert option(call, "--st-neural-art") == f"profile_O3@{scripts / 'user_neuralart.json'}"
    assert option(call, "--outputs-ch-position") == "chlast"
    folder = tmp_path / "run/st_ai_ws/small.int8_tflite"
    assert "C:/gone" in (scripts / "config_n6l.json").read_text()  # ST's own file stays as it is
    assert str(folder / "network.c") in (folder / "config_n6l.json").read_text()
    assert '"project_build_conf": "N6-DK"' in (folder / "config_n6l.json").read_text()
    logs = {path.name for path in folder.glob("*.log")}
    assert logs == {"stedgeai_generate.log", "n6_loader.log", "stm_ai_runner.log"}
    assert "generate --model" in caplog.text
    assert "n6_loader.py --n6-loader-config" in caplog.text
    assert "connecting to serial:921600" in caplog.text


def test_auto_valid_takes_the_board_as_it_is(tmp_path, int8_model):
    program = make_installation(tmp_path / "core")
    opened(tmp_path, int8_model, tmp_path / "core", target="stedgeai_n6")
    before = calls(program)
    runner = opened(tmp_path, int8_model, tmp_path / "core", target="stedgeai_n6", profile="auto_valid")
    assert calls(program) == before
    same(runner.predict(images()), load_runner(int8_model, rescaling=SYMMETRIC).predict(images()))


def test_host_needs_no_tool_and_prediction_has_its_own_section(tmp_path, int8_model, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert type(opened(tmp_path, int8_model, None, target="host")).__name__ == "TfliteRunner"
    config = configured(int8_model, tmp_path / "gone", "prediction", target="stedgeai_host")
    with pytest.raises(ConfigError, match=r"^tools.stedgeai.path_to_stedgeai: stedgeai is not found"):
        open_runner(config, Run(config, tmp_path / "run"), int8_model, config.prediction)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_keras_runs_on_this_machine_alone(suffix):
    with pytest.raises(ConfigError, match=rf"^evaluation.target: got 'stedgeai_n6' for m\{suffix}; ST's tools run"):
        check_target(Path(f"m{suffix}"), Evaluation(target="stedgeai_n6"))


def test_the_program_of_before_is_too_old(tmp_path, int8_model):
    make_installation(tmp_path / "core", "8.1")
    with pytest.raises(ConfigError, match=r"is STM32Cube.AI 8.1.0; running models .* needs ST Edge AI Core"):
        opened(tmp_path, int8_model, tmp_path / "core", target="stedgeai_host")


def test_scripts_of_the_board(tmp_path, int8_model):
    root = tmp_path / "core"
    make_installation(root, fault="loader:error")
    with pytest.raises(UserError, match=r"n6_loader.py: failed with status 1: Error: No STM32 target found!; likely"):
        opened(tmp_path, int8_model, root, target="stedgeai_n6")
    (root / "scripts/N6_scripts/user_neuralart.json").unlink()
    with pytest.raises(ConfigError, match=r"evaluation.profile: got 'profile_O3', but .*user_neuralart.json"):
        opened(tmp_path, int8_model, root, target="stedgeai_n6")
    (root / "scripts/N6_scripts/n6_loader.py").unlink()
    with pytest.raises(ConfigError, match=r"path_to_loader: n6_loader.py is not found; looked at .*N6_scripts"):
        opened(tmp_path, int8_model, root, target="stedgeai_n6")


def test_a_profile_of_ones_own(tmp_path, int8_model, monkeypatch):
    program = make_installation(tmp_path / "core")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.json").write_text("{}")
    config = configured(int8_model, tmp_path / "core", target="stedgeai_n6")

    def runs_with(neural_art: str) -> str | None:
        tool = config.tools.stedgeai.model_copy(update={"neural_art": neural_art})
        changed = config.model_copy(update={"tools": config.tools.model_copy(update={"stedgeai": tool})})
        check_programs(changed, changed.evaluation)
        open_runner(changed, Run(config, tmp_path / "run"), int8_model, config.evaluation)
        return option(calls(program)[-1], "--st-neural-art")

    assert runs_with("fast@mine.json") == f"fast@{tmp_path / 'mine.json'}", "the program runs in another folder"
    assert runs_with("profile_O3@user_neuralart.json") == "profile_O3@user_neuralart.json", "beside the loader"
    with pytest.raises(ConfigError, match=r"^tools.stedgeai.neural_art: gone.json does not exist"):
        runs_with("fast@gone.json")


def test_two_models_of_one_stem_have_folders_of_their_own(tmp_path, int8_model):
    program = make_installation(tmp_path / "core")
    twin = tmp_path / "twin" / int8_model.name
    twin.parent.mkdir()
    twin.write_bytes(int8_model.read_bytes())
    opened(tmp_path, int8_model, tmp_path / "core", target="stedgeai_host")
    opened(tmp_path, twin, tmp_path / "core", target="stedgeai_host")
    outputs = [option(call, "--output") for call in calls(program)]
    assert [Path(str(output)).name for output in outputs] == ["small.int8_tflite", "small.int8_tflite_2"]


@pytest.mark.parametrize("target", ["stedgeai_host", "stedgeai_n6", "stedgeai_h7p"])
def test_what_a_target_needs_is_told_before_the_long_steps(tmp_path, int8_model, monkeypatch, target):
    for name in ("PATH", "STEDGEAI_CORE_DIR", "STEDGEAI", "STM32_AI_EXE", "STM32AI", "X_CUBE_AI_PATH"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HOME", str(tmp_path))
    missing = configured(int8_model, None, target=target)
    with pytest.raises(ConfigError, match=r"^tools.stedgeai.path_to_stedgeai: stedgeai is not found .*; looked at"):
        check_programs(missing, missing.evaluation)
    program = make_installation(tmp_path / "core")
    config = configured(int8_model, tmp_path / "core", target=target)
    check_programs(config, config.evaluation)
    assert not program.with_name("stedgeai.calls").exists(), "nothing is started"
    ready = configured(int8_model, None, target=target, profile="auto_valid")
    (tmp_path / "core/scripts/ai_runner/stm_ai_runner").rename(tmp_path / "away")
    with pytest.raises(ConfigError, match=r"^evaluation.target: got 'stedgeai_.*'; stm_ai_runner, ST's Python package"):
        check_programs(config, config.evaluation)
    if target != "stedgeai_host":
        with pytest.raises(ConfigError, match="and no ST Edge AI Core that brings it"):
            check_programs(ready, ready.evaluation)
        (tmp_path / "away").rename(tmp_path / "core/scripts/ai_runner/stm_ai_runner")
        scripts = tmp_path / "core/scripts/N6_scripts"
        (scripts / "user_neuralart.json").unlink()
        with pytest.raises(ConfigError, match=r"^evaluation.profile: got 'profile_O3', but"):
            check_programs(config, config.evaluation)
        for script in scripts.glob("*_loader.py"):
            script.unlink()
        with pytest.raises(ConfigError, match=r"^tools.stedgeai.path_to_loader: .* is not found"):
            check_programs(config, config.evaluation)
    host = configured(int8_model, None, target="host")
    check_programs(host, host.evaluation)


@pytest.mark.parametrize("name", ["evil.py", "n6_loader_evil.py", "n6_loader.sh"])
def test_a_configuration_cannot_name_another_script(tmp_path, int8_model, name):
    root = tmp_path / "core"
    make_installation(root)
    config = configured(int8_model, root, target="stedgeai_n6")
    tool = config.tools.stedgeai.model_copy(update={"path_to_loader": str(tmp_path / name)})
    config = config.model_copy(update={"tools": config.tools.model_copy(update={"stedgeai": tool})})
    with pytest.raises(ConfigError, match=rf"path_to_loader: got .*{name}; the file must be called n6_loader.py"):
        open_runner(config, Run(config, tmp_path / "run"), int8_model, config.evaluation)


def linked(tmp_path: Path, model: Path, *, connect_s: float = 30, answer_s: float = 30, **faults) -> StRunner:
    """A runner on a fake board that holds `model` as it is."""
    board = tmp_path / "board.json"
    board.write_text(f'{{"model": "{model}"}}')
    package = make_ai_runner(tmp_path / "package", board, **faults)
    host = load_runner(model, rescaling=SYMMETRIC)
    return StRunner(
        host, "serial:921600", rescaling=SYMMETRIC, package=package, log_file=tmp_path / "runner.log",
        connect_s=connect_s, answer_s=answer_s,
    )  # fmt: skip


@pytest.mark.parametrize("faults", [{"noisy": True}, {"padded": True}, {"reverse": True}, {"no_scale": True}])
def test_oddities_of_the_package_change_nothing(tmp_path, int8_model, faults):
    runner = linked(tmp_path, int8_model, **faults)
    same(runner.predict(images()), load_runner(int8_model, rescaling=SYMMETRIC).predict(images()))
    same(runner.predict(images(count=1)), load_runner(int8_model, rescaling=SYMMETRIC).predict(images(count=1)))
    runner.close()
    assert "disconnected" in (tmp_path / "runner.log").read_text()


def test_without_times_of_the_board_this_machines_count(tmp_path, int8_model):
    runner = linked(tmp_path, int8_model, no_times=True)
    runner.predict(images())
    assert runner.timing == "this machine's clock, transfer included"
    assert 0 < runner.invoke_seconds < 5


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        (
            {"refuse": "E801(HwIOError): Invalid firmware"},
            r"^serial:921600: cannot connect: E801.*; likely causes: the USB",
        ),
        ({"die": True}, r"^serial:921600: ST's stm_ai_runner ended unexpectedly; log: .*runner\.log$"),
        (
            {"raises": "E803(InvalidMsgError): crc\nbad"},
            r"^serial:921600: RuntimeError: E803\(InvalidMsgError\): crc bad; l",
        ),
        ({"mute": True}, r"does not answer within 3 s; likely causes: .*another program that holds the port"),
        ({"silent": True}, r"does not connect within 2 s; likely causes: .* boot switches.*; log: .*runner\.log$"),
    ],
)
def test_boards_that_fail(tmp_path, int8_model, faults, message):
    started = time.monotonic()
    with pytest.raises(UserError, match=message):
        linked(tmp_path, int8_model, connect_s=2 if "silent" in faults else 30, answer_s=1, **faults).predict(images())
    assert time.monotonic() - started < 12


def test_no_package(tmp_path, int8_model, monkeypatch):
    empty = tmp_path / "empty"
    empty.mkdir()
    host = load_runner(int8_model, rescaling=SYMMETRIC)
    with pytest.raises(
        UserError, match=r"stm_ai_runner cannot be imported: No module .*; it comes with ST Edge AI Core"
    ):
        StRunner(host, "serial:921600", rescaling=SYMMETRIC, package=empty, log_file=tmp_path / "runner.log")


def test_a_board_with_another_network(tmp_path, int8_model, onnx_model):
    board = tmp_path / "board.json"
    board.write_text(f'{{"model": "{onnx_model}"}}')
    package = make_ai_runner(tmp_path / "package", board)
    host = load_runner(int8_model, rescaling=SYMMETRIC)
    with pytest.raises(UserError, match=r"serial:921600: holds another network \(.*\) than small.int8.tflite \("):
        StRunner(host, "serial:921600", rescaling=SYMMETRIC, package=package, log_file=tmp_path / "runner.log")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_the_child_ends_with_its_runner(tmp_path, int8_model):
    runner = linked(tmp_path, int8_model)
    pid = runner._link._process.pid
    assert Path(f"/proc/{pid}").exists()
    del runner
    gc.collect()
    # (0, 0) would be a child that still runs; where Python has waited for it already, there is none.
    with suppress(ChildProcessError):
        assert os.waitpid(pid, os.WNOHANG)[0] == pid
    assert not Path(f"/proc/{pid}").exists()


def test_poses_of_a_real_model_are_those_of_the_host(tmp_path, shared):
    """ST's int8 MoveNet on the fake board: the same poses to the last bit, through evaluation's own codec."""
    import cv2

    from stm32pose.codecs.select import make_codec
    from stm32pose.config.model_sections import Heatmap

    path = shared / "models/pose/st_movenet_lightning_heatmaps_192_int8_pc.tflite"
    make_installation(tmp_path / "core")
    section = {"target": "stedgeai_n6", "input_type": "uint8", "output_type": "float"}
    runner = opened(tmp_path, path, tmp_path / "core", **section)
    host = load_runner(path, rescaling=SYMMETRIC)
    files = sorted((shared / "data/coco_mini").rglob("*.jpg"))[:4]
    batch = np.stack([cv2.resize(cv2.imread(str(file)), (192, 192)) for file in files])
    same(runner.predict(batch), host.predict(batch))
    integers = opened(tmp_path, path, tmp_path / "core", **(section | {"output_type": "int8"}))
    assert integers.outputs[0].dtype == "int8"
    np.testing.assert_allclose(integers.predict(batch)[0], host.predict(batch)[0], atol=0.5 / 255 + 1e-6)
    codec = make_codec(
        "heatmaps_spe", input_shape=(192, 192, 3), output_shapes=[tuple(o.shape) for o in runner.outputs],
        keypoints=13, heatmap=Heatmap(), activation="sigmoid", decode="quarter", where="test",
    )  # fmt: skip
    assert np.array_equal(codec.decode(runner.predict(batch)), codec.decode(host.predict(batch)))

"""The step `quantize` as a configuration runs it: every pair of model and quantizer, parity, fake data, searches.

The network is made by hand: it finds a red, a green and a blue dot, so its poses are right without training.
"""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")

from stm32pose.config.load import load_config  # noqa: E402
from stm32pose.errors import ConfigError, UserError  # noqa: E402
from stm32pose.inference.runner import load_runner  # noqa: E402
from stm32pose.inference.sidecar import read_sidecar  # noqa: E402
from stm32pose.operations import quantize  # noqa: E402
from stm32pose.operations.codec import codec_of  # noqa: E402
from stm32pose.operations.prepare import prepare  # noqa: E402
from stm32pose.quantization.onnx_model import quantized_name  # noqa: E402
from stm32pose.reporting.run import Run  # noqa: E402

if TYPE_CHECKING:
    import keras

    from stm32pose.operations.artifacts import Artifacts

SIDE = (48, 64)
RESCALING = (1 / 127.5, -1.0)
SKELETON = "name: dots\ncategory: dot\nkeypoints: [red, green, blue]\nedges:\n  - [red, green, blue]\npairs: []\n"


@pytest.fixture(scope="module")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder: 20 labelled pictures in train/, 6 in test/, without labels in plain/, a skeleton, and the network."""
    folder = tmp_path_factory.mktemp("dots")
    random = np.random.default_rng(2)
    for name, count in (("train", 20), ("test", 6), ("plain", 18)):
        (folder / name).mkdir()
        for number in range(count):
            order = random.permutation(3)  # each in a third of its own, so that none hides another
            places = random.uniform((6, 6), (SIDE[1] / 3 - 6, SIDE[0] - 6), (3, 2)) + np.outer(order, (SIDE[1] / 3, 0))
            image = random.integers(90, 130, (*SIDE, 3), dtype=np.uint8)
            for joint, (x, y) in enumerate(places):
                colour = [20, 20, 20]
                colour[2 - joint] = 255  # OpenCV writes BGR
                cv2.circle(image, (round(x), round(y)), 4, colour, -1)
            cv2.imwrite(str(folder / name / f"{number:02}.png"), image)
            if name != "plain":
                low, high = places.min(axis=0) - 4, places.max(axis=0) + 4
                box = [*((low + high) / 2 / SIDE[::-1]), *((high - low) / SIDE[::-1])]
                points = [value for x, y in places for value in ((x + 0.5) / SIDE[1], (y + 0.5) / SIDE[0], 2)]
                text = " ".join(f"{value:.6f}" for value in [*box, *points])
                (folder / name / f"{number:02}.txt").write_text(f"0 {text}\n")
    (folder / "dots.yaml").write_text(SKELETON)
    network().save(folder / "finder.keras")
    return folder


def network() -> keras.Model:
    """[48, 64, 3] -> sigmoid maps [24, 32, 3]: each colour's excess over the others, smoothed."""
    import keras

    layers = keras.layers
    x = inputs = keras.Input((*SIDE, 3))
    x = layers.Conv2D(3, 1, name="excess")(x)
    x = layers.ReLU(name="positive")(x)
    x = layers.DepthwiseConv2D(5, strides=2, padding="same", name="blur")(x)
    x = layers.Conv2D(3, 1, name="gain")(x)
    model = keras.Model(inputs, layers.Activation("sigmoid", name="maps")(x), name="finder")
    excess = np.full((3, 3), -0.5, np.float32)
    np.fill_diagonal(excess, 1.0)
    bell = np.exp(-(np.arange(-2, 3, dtype=np.float32) ** 2) / 4)
    blur = np.repeat((np.outer(bell, bell) / np.square(bell.sum()))[..., None, None], 3, axis=2)
    model.get_layer("excess").set_weights([excess[None, None], np.zeros(3, np.float32)])
    model.get_layer("blur").set_weights([blur.astype(np.float32), np.zeros(3, np.float32)])
    model.get_layer("gain").set_weights([6 * np.eye(3, dtype=np.float32)[None, None], np.full(3, -7, np.float32)])
    return model


def go(dots: Path, folder: Path, model: Path | None = None, **sections: Any) -> tuple[dict, Artifacts, Run]:
    """Load the configuration, prepare, run the step; returns its entry of results.json."""
    given = {
        "operation_mode": "quantization",
        "model": {"model_path": str(model or dots / "finder.keras")},
        "dataset": {"skeleton": str(dots / "dots.yaml"), "training_path": str(dots / "train"), "class_names": ["dot"]},
        "preprocessing": {"rescaling": {"scale": 1 / 127.5, "offset": -1}},
        "quantization": {"quantizer": "onnx_quantizer"},
    }
    for name, changes in sections.items():
        given[name] = {**given[name], **changes} if isinstance(changes, dict) else changes
    config = load_config(given)
    run = Run(config, folder)
    artifacts = quantize.run_step(config, run, prepare(config, run))
    (entry,) = json.loads((folder / "results.json").read_text())["quantization"]
    return entry, artifacts, run


@pytest.fixture(scope="module")
def done(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Artifacts, Run]:
    """Keras to QDQ with all defaults."""
    return go(dots, tmp_path_factory.mktemp("done"))


def test_keras_to_onnx(done: tuple[dict, Artifacts, Run], dots: Path) -> None:
    entry, artifacts, run = done
    assert entry["file"] == "quantized_models/finder_quant_qdq_pc.onnx"
    assert entry["quantizer"] == "onnx_quantizer"
    path = run.folder / entry["file"]
    assert artifacts.models == (dots / "finder.keras", path)  # the float ONNX is not one more model to evaluate
    assert entry["bytes"] == path.stat().st_size
    assert (entry["opset"], entry["layout"], entry["fake"]) == (17, "NCHW", False)
    assert (entry["calibration_images"], entry["calibration_set"]) == (
        16,
        "dataset.training_path",
    )  # 4 are validation's
    for report in (entry["parity"], entry["float_onnx"]["parity"]):
        assert report["images"] == 16
        assert report["keypoints"]["counted"] == 16 * 3
        assert report["keypoints"]["lost"] == 0
    assert entry["float_onnx"]["file"] == "converted_model/converted_model.onnx"
    assert entry["float_onnx"]["parity"]["outputs"][0]["max_error"] < 1e-5
    assert entry["float_onnx"]["parity"]["keypoints"]["max_px"] < 0.01
    assert 0 < entry["parity"]["keypoints"]["mean_px"] < 0.5
    assert entry["parity"]["outputs"][0]["sqnr_db"] > 20


def test_sidecars_tell_how_to_decode(done: tuple[dict, Artifacts, Run], dots: Path) -> None:
    entry, artifacts, run = done
    for file, quantized in ((entry["file"], True), (entry["float_onnx"]["file"], False)):
        sidecar = read_sidecar(run.folder / file)
        assert sidecar is not None
        assert sidecar["codec"]["activation"] == "sigmoid"
        assert sidecar["skeleton"]["keypoints"] == ["red", "green", "blue"]
        runner = load_runner(run.folder / file, rescaling=RESCALING)
        assert runner.quantized == quantized
        assert artifacts.skeleton is not None
        codec = codec_of(run.config, runner, artifacts.skeleton)
        image = cv2.cvtColor(cv2.imread(str(dots / "test/00.png")), cv2.COLOR_BGR2RGB)
        (pose,) = codec.decode(runner.predict(image[None]))[0]
        label = np.array((dots / "test/00.txt").read_text().split()[5:], float).reshape(3, 3)[:, :2] * SIDE[::-1]
        assert np.linalg.norm(pose[:, :2] - label, axis=1).max() < 2


def test_displacement_is_between_the_poses(done: tuple[dict, Artifacts, Run]) -> None:
    """Recomputed from the two files with the codec, on the same images."""
    entry, artifacts, run = done
    assert artifacts.skeleton is not None
    assert artifacts.splits is not None
    images = np.stack([cv2.imread(str(sample.image))[..., ::-1] for sample in artifacts.splits.quantization])
    found = []
    for path in (run.folder / entry["float_onnx"]["file"], run.folder / entry["file"]):
        runner = load_runner(path, rescaling=RESCALING)
        codec = codec_of(run.config, runner, artifacts.skeleton)
        found.append(codec.decode(runner.predict(np.ascontiguousarray(images)))[:, 0, :, :2])
    moved = np.linalg.norm(found[1] - found[0], axis=-1)
    assert entry["parity"]["keypoints"]["mean_px"] == pytest.approx(moved.mean(), abs=1e-3)
    assert entry["parity"]["keypoints"]["max_px"] == pytest.approx(moved.max(), abs=1e-3)


def test_keras_to_tflite(dots: Path, tmp_path: Path) -> None:
    entry, artifacts, _ = go(dots, tmp_path, quantization={"quantizer": "tflite_converter"})
    assert entry["file"] == "quantized_models/quantized_model.tflite"
    assert entry["parity"]["keypoints"]["counted"] == 48
    assert entry["parity"]["keypoints"]["mean_px"] < 0.5
    assert artifacts.models[-1].suffix == ".tflite"
    assert not (tmp_path / "converted_model").exists()


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_onnx_to_onnx(done: tuple[dict, Artifacts, Run], dots: Path, tmp_path: Path, layout: str) -> None:
    source = done[2].folder / done[0]["float_onnx"]["file"]
    if layout == "NHWC":
        entry, _, run = go(dots, tmp_path / "nhwc", quantization={"quantizer": "onnx_quantizer", "onnx_layout": layout})
        source = run.folder / entry["float_onnx"]["file"]
    entry, artifacts, run = go(
        dots,
        tmp_path / "run",
        source,
        dataset={"skeleton": None, "quantization_path": str(dots / "plain"), "training_path": None},
        quantization={
            "quantizer": "onnx_quantizer",
            "granularity": "per_tensor",
            "quantization_input_type": "int8",
            "quantization_output_type": "float",
        },
    )
    assert entry["file"] == "quantized_models/converted_model_quant_qdq_pt.onnx"
    assert entry["layout"] == layout
    assert "float_onnx" not in entry
    runner = load_runner(artifacts.models[-1], rescaling=RESCALING)
    assert (runner.layout, runner.input.dtype, runner.outputs[0].dtype) == (layout, "int8", "float32")
    assert entry["parity"]["keypoints"]["mean_px"] < 0.5
    sidecar = read_sidecar(artifacts.models[-1])
    assert sidecar is not None
    assert sidecar["codec"]["keypoints"] == 3
    assert entry["calibration_set"] == "dataset.quantization_path"


def test_a_quantized_model_is_refused(done: tuple[dict, Artifacts, Run], dots: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is quantized already; quantization needs the float model"):
        go(dots, tmp_path, done[1].models[-1])


def test_pairs_that_there_are_not(done: tuple[dict, Artifacts, Run], dots: Path, tmp_path: Path) -> None:
    source = done[2].folder / done[0]["float_onnx"]["file"]
    with pytest.raises(ConfigError, match=r"quantization.quantizer: got TFlite_converter for converted_model.onnx; an"):
        go(dots, tmp_path / "a", source, quantization={"quantizer": "TFlite_converter"})
    with pytest.raises(ConfigError, match=r"operating_mode: got 'inspection' with quantizer: TFlite_converter; .*onnx"):
        go(dots, tmp_path / "b", quantization={"quantizer": "TFlite_converter", "operating_mode": "inspection"})


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("quantizer", ["onnx_quantizer", "TFlite_converter"])
def test_random_images(
    dots: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, asked: bool, quantizer: str
) -> None:
    """On request although there are images, or because there are none; said loudly everywhere."""
    data = {} if asked else {"training_path": None, "skeleton": None}
    with caplog.at_level(logging.WARNING, logger="stm32pose"):
        entry, artifacts, _ = go(dots, tmp_path, dataset=data, quantization={"quantizer": quantizer, "fake": asked})
    assert "RANDOM IMAGES: its size and speed are real, its accuracy means NOTHING" in caplog.text
    assert (entry["fake"], entry["calibration_set"], entry["calibration_images"]) == (True, "RANDOM IMAGES (fake)", 16)
    sidecar = read_sidecar(artifacts.models[-1])
    assert sidecar is not None
    assert sidecar["calibration"]["fake"] is True
    assert sidecar["calibration"]["set"] == "RANDOM IMAGES (fake)"
    runner = load_runner(artifacts.models[-1], rescaling=RESCALING)
    assert runner.input.scale == pytest.approx(2 / 255, rel=0.01)  # the range that real pixels have


def test_no_search_on_random_images(dots: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="full_auto measures accuracy, which random images have none of"):
        auto(dots, tmp_path, 1.0, fake=True)


def test_packages_that_are_missing(dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "find_spec", lambda name: None if name == "tf2onnx" else object())
    with pytest.raises(UserError, match=r"onnx_quantizer needs tf2onnx: pip install 'stm32pose\[onnx\]'"):
        go(dots, tmp_path)


def test_inspection(dots: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="stm32pose"):
        entry, artifacts, run = go(
            dots,
            tmp_path,
            quantization={
                "quantizer": "onnx_quantizer",
                "operating_mode": "inspection",
                "iterative_quant_parameters": {"inspection_split": 0.5},
            },
        )
    rows = list(csv.DictReader((run.folder / "quantization_inspection.csv").open()))
    assert {row["node"] for row in rows} == {"excess", "blur", "gain", "maps"}
    assert [int(row["rank"]) for row in rows] == [1, 2, 3, 4]
    ratios = [float(row["sqnr_db"]) for row in rows]
    assert ratios == sorted(ratios)
    assert {row["node"]: int(row["weights"]) for row in rows} == {"excess": 9, "blur": 75, "gain": 9, "maps": 0}
    assert json.loads((run.folder / "quantization_inspection.json").read_text())[0]["node"] == rows[0]["node"]
    assert entry["inspection"] == {
        "file": "quantization_inspection.csv",
        "layers": 4,
        "worst": entry["inspection"]["worst"],
    }
    assert f"{rows[0]['node']} (" in caplog.text
    assert "on 8 images" in caplog.text
    assert entry["parity"]["images"] == 16
    # The file itself is plain int8.
    assert artifacts.models[-1].name == quantized_name("finder", run.config.quantization)
    assert entry["weight_type"] == "Int8"


def auto(dots: Path, folder: Path, tolerance: float, *, fake: bool = False, **more: Any) -> tuple[dict, Any]:
    section = {
        "quantizer": "onnx_quantizer",
        "operating_mode": "full_auto",
        "fake": fake,
        "iterative_quant_parameters": {"accuracy_tolerance": tolerance},
    }
    entry, artifacts, _ = go(dots, folder, quantization=section, **more)
    return entry, onnx.load(artifacts.models[-1])


def stored(model: Any) -> dict[str, str]:
    """Layer -> type of its weights in the file."""
    found = {}
    for item in model.graph.initializer:
        layer, _, rest = item.name.partition("/kernel")
        if rest in ("", "_quantized"):
            found[layer] = onnx.TensorProto.DataType.Name(item.data_type)
    return {layer: kind for layer, kind in found.items() if layer in ("excess", "blur", "gain")}


def test_full_auto_takes_four_bits_where_they_do_no_harm(dots: Path, tmp_path: Path) -> None:
    entry, model = auto(dots, tmp_path, 5)
    report = entry["mixed_precision"]
    assert report["measure"] == "OKS against labels"
    assert report["float"] > 60
    assert report["loss"] <= 5
    assert report["int4_layers"]
    assert report["weights_bytes"]["chosen"] < report["weights_bytes"]["plain"]
    assert stored(model) == {
        layer: "INT4" if layer in report["int4_layers"] else "INT8" for layer in ("excess", "blur", "gain")
    }
    assert entry["opset"] == 21
    assert [row["trial"] for row in report["trials"]][-1] == "the choice"


def test_full_auto_keeps_layers_in_float_where_int8_loses_too_much(dots: Path, tmp_path: Path) -> None:
    """No loss at all is accepted, and int8 has one: without labels, against the float model's own poses."""
    data = {"quantization_path": str(dots / "plain"), "training_path": None}
    entry, model = auto(dots, tmp_path, 0.0, dataset=data)
    report = entry["mixed_precision"]
    assert report["measure"] == "OKS against the float model's own poses (no labels)"
    assert report["float"] == 100
    assert report["plain_loss"] > 0
    assert report["float_layers"]
    assert report["int4_layers"] == []
    assert report["loss"] <= 0
    kinds = stored(model)
    for layer in ("excess", "blur", "gain"):
        assert (kinds[layer] == "FLOAT") == (layer in report["float_layers"])
    assert entry["opset"] == 17
    runner_types = {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    assert runner_types == {onnx.TensorProto.UINT8, onnx.TensorProto.INT8}


def test_progress_never_shows_two_bars(dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal can redraw one bar at a time."""
    from contextlib import contextmanager

    from stm32pose.reporting import console

    open_bars: list[str] = []
    seen: dict[str, int] = {}

    @contextmanager
    def counting(title: str, total: int):
        assert not open_bars, f"{title} inside {open_bars}"
        open_bars.append(title)
        yield lambda count: seen.update({title: seen.get(title, 0) + count})
        open_bars.remove(title)
        assert seen[title] == total

    monkeypatch.setattr(console, "counting", counting)
    auto(dots, tmp_path / "a", 5)
    assert set(seen) == {"calibration images", "layers in 4 bits"}
    seen.clear()
    go(dots, tmp_path / "t", quantization={"quantizer": "TFlite_converter"})
    assert set(seen) == {"calibration images"}


def test_the_page_shows_a_configuration_that_runs(dots: Path, tmp_path: Path) -> None:
    import yaml

    page = (Path(__file__).parents[2] / "docs/quantization.md").read_text(encoding="utf-8")
    given = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    given["model"]["model_path"] = str(dots / "finder.keras")
    given["dataset"] = {"skeleton": str(dots / "dots.yaml"), "quantization_path": str(dots / "plain")}
    config = load_config(given)
    run = Run(config, tmp_path)
    artifacts = quantize.run_step(config, run, prepare(config, run))
    assert artifacts.models[-1].name == "finder_quant_qdq_pc.onnx"


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        (
            {"onnx_quant_parameters": {"nodes_to_exclude": ["exces"]}},
            "no node 'exces' in the model; did you mean 'excess'",
        ),
        ({"operating_mode": "inspection", "iterative_quant_parameters": {"inspection_split": 0}}, "inspection_split"),
    ],
)
def test_a_wrong_name_leaves_nothing_behind(dots: Path, tmp_path: Path, section: dict, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        go(dots, tmp_path, quantization={"quantizer": "onnx_quantizer", **section})
    assert not (tmp_path / "converted_model").exists()
    assert not (tmp_path / "quantized_models").exists()


def test_a_rescaling_that_the_training_had_not_is_told(
    dots: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from stm32pose.inference.sidecar import write_sidecar

    model = tmp_path / "best_model.keras"
    model.write_bytes((dots / "finder.keras").read_bytes())
    write_sidecar(model, {"rescaling": {"scale": 1 / 255, "offset": 0.0}}, bound=False)  # as training writes it
    with caplog.at_level(logging.WARNING, logger="stm32pose"):
        entry, _, _ = go(dots, tmp_path / "run", model, quantization={"onnx_quant_parameters": {"weightType": "Int4"}})
    said = "but best_model.json beside best_model.keras says scale 1/255, offset 0"
    assert caplog.text.count(said) == 1
    assert entry["label"] == "int8 w4"

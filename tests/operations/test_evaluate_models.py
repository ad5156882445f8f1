"""The step `evaluate`: every kind of model, several of them, one table; by ONNX files that always answer the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from stm32pose.config.load import load_config
from stm32pose.errors import ConfigError, UserError
from stm32pose.operations import subjects
from stm32pose.operations.chain import run_chain
from stm32pose.operations.subjects import file_names, file_safe, unique_labels

SIDE = 64
ROOT = Path(__file__).resolve().parents[2]


def onnx_file(path: Path, outputs: list[np.ndarray], *, scale: float = 0.0, zero: int = 0) -> Path:
    """A network of input [1, 3, 64, 64] that gives `outputs` [1, ...] for every image; `scale`: a quantized input."""
    nodes, constants = [], []
    image = "image"
    if scale:
        constants += [
            numpy_helper.from_array(np.array(scale, np.float32), "scale"),
            numpy_helper.from_array(np.array(zero, np.int8), "zero"),
        ]
        nodes.append(helper.make_node("QuantizeLinear", [image, "scale", "zero"], ["stored"]))
        nodes.append(helper.make_node("DequantizeLinear", ["stored", "scale", "zero"], ["real"]))
        image = "real"
    constants.append(numpy_helper.from_array(np.zeros((), np.float32), "nothing"))
    nodes.append(helper.make_node("ReduceMean", [image], ["mean"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["mean", "nothing"], ["none"]))
    described = []
    for index, values in enumerate(outputs):
        constants.append(numpy_helper.from_array(values.astype(np.float32), f"values_{index}"))
        nodes.append(helper.make_node("Add", [f"values_{index}", "none"], [f"output_{index}"]))
        described.append(helper.make_tensor_value_info(f"output_{index}", TensorProto.FLOAT, values.shape))
    source = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    graph = helper.make_graph(nodes, "answers", [source], described, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def yolo_answer(people: np.ndarray, scores: list[float], size: tuple[int, int]) -> np.ndarray:
    """[1, 5 + 3K, 40] in input pixels for people [N, K, 2] in pixels of an image of `size` (H, W)."""
    points = people * [SIDE / size[1], SIDE / size[0]]
    low, high = points.min(axis=1), points.max(axis=1)
    answer = np.zeros((40, 5 + 3 * people.shape[1]))
    for row, pose in enumerate(points):
        answer[row, :5] = *(low[row] + high[row]) / 2, *(high[row] - low[row]), scores[row]
        answer[row, 5:] = np.concatenate([pose, np.full((len(pose), 1), 0.9)], axis=1).ravel()
    return answer.T[None]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Three images of 120x160 with the same two people of 13 joints, as COCO labels; and the people [2, 13, 2]."""
    folder = tmp_path_factory.mktemp("crowd")
    rng = np.random.default_rng(8)
    people = np.stack([rng.uniform([10, 10], [70, 110], (13, 2)), rng.uniform([90, 20], [150, 100], (13, 2))])
    people = people.round(2)
    images, annotations = [], []
    for number in range(3):
        name = f"{number}.png"
        cv2.imwrite(str(folder / name), rng.integers(0, 255, (120, 160, 3), np.uint8))
        images.append({"id": number, "file_name": name, "height": 120, "width": 160})
        for pose in people:
            low, high = pose.min(axis=0), pose.max(axis=0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "keypoints": np.concatenate([pose, np.full((13, 1), 2)], axis=1).ravel().tolist(),
                    "num_keypoints": 13,
                    "bbox": [*low.tolist(), *(high - low).tolist()],
                    "area": float((high - low).prod() * 0.5),
                    "iscrowd": 0,
                }
            )
    from stm32pose.skeletons.skeleton import load_skeleton

    category = {"id": 1, "name": "person", "keypoints": list(load_skeleton("person13").keypoints), "skeleton": []}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "labels.json").write_text(json.dumps(content))
    return folder, people


@pytest.fixture
def evaluate(crowd: tuple[Path, np.ndarray], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs an evaluation on the crowd; returns results.json, with "folder" and "log" added."""

    def run(model: Path, model_type: str, **sections: Any) -> dict[str, Any]:
        mapping = {
            "operation_mode": "evaluation",
            "model": {"model_type": model_type, "model_path": str(model)},
            "dataset": {
                "skeleton": "person13",
                "pose": "multi",
                "test_path": str(crowd[0]),
                "test_annotations": str(crowd[0] / "labels.json"),
                **sections.pop("dataset", {}),
            },
            "preprocessing": {"rescaling": {"scale": 1 / 255, "offset": 0}},
            **sections,
        }
        folder = tmp_path / f"run{len(list(tmp_path.glob('run*')))}"
        run_chain(load_config(mapping), folder)
        results = json.loads((folder / "results.json").read_text())
        return results | {"folder": folder, "log": (folder / "stm32ai_main.log").read_text()}

    return run


def test_several_people_by_one_network(crowd, evaluate, tmp_path: Path):
    people = crowd[1]
    model = onnx_file(tmp_path / "yolo.onnx", [yolo_answer(people, [0.9, 0.6], (120, 160))])
    results = evaluate(model, "yolo_mpe", postprocessing={"plot_metrics": True})
    (entry,) = results["evaluation"]
    assert entry["metrics"]["AP"] == entry["metrics"]["AP50"] == pytest.approx(1)
    assert entry["metrics"]["mean_oks"] == pytest.approx(1, abs=1e-4)
    assert entry["metrics"]["epe_px"] < 0.01
    assert entry["counts"]["poses"] == entry["counts"]["instances"] == 6
    assert {name: entry[name] for name in ("label", "precision", "kind", "target", "model_type")} == {
        "label": "float",
        "precision": "float",
        "kind": "onnx",
        "target": "host",
        "model_type": "yolo_mpe",
    }
    assert entry["size_bytes"] == model.stat().st_size
    assert entry["ms_per_image"] > entry["invoke_ms_per_image"] > 0
    assert "float_model_mAP@0.5        -> 100.00%" in results["log"]
    assert "float_model_mAP@[0.5:0.95] -> 100.00%" in results["log"]
    assert "model_OKS" not in results["log"]
    for name in ("figures/precision_recall.png", "figures/worst.jpg", "figures/keypoints.png"):
        assert (results["folder"] / name).is_file(), name
    curves = json.loads((results["folder"] / "precision_recall_float.json").read_text())
    assert curves["precision"]["0.95"] == pytest.approx([1] * 101)


def test_a_person_of_low_score_is_missed_but_counts_for_ap(crowd, evaluate, tmp_path: Path):
    model = onnx_file(tmp_path / "yolo.onnx", [yolo_answer(crowd[1], [0.9, 0.05], (120, 160))])
    (entry,) = evaluate(model, "yolo_mpe")["evaluation"]
    assert entry["metrics"]["AP"] == pytest.approx(1)
    assert entry["metrics"]["mean_oks"] == pytest.approx(0.5, abs=1e-4)
    results = evaluate(model, "yolo_mpe", postprocessing={"confidence_thresh": 0.3})
    assert results["evaluation"][0]["metrics"]["AP"] == pytest.approx(0.5, abs=0.01)
    assert "confidence_thresh: 0.3 hides weaker poses" in results["log"]


def test_several_files_stand_in_one_table(crowd, evaluate, tmp_path: Path):
    people = crowd[1]
    shares = people[0] / [160, 120]
    single = np.concatenate([shares[:, ::-1], np.full((13, 1), 0.8)], axis=1)[None, None, None]
    main = onnx_file(tmp_path / "single pose.onnx", [single])
    (tmp_path / "b").mkdir()
    others = [
        onnx_file(tmp_path / "yolo.onnx", [yolo_answer(people, [0.9, 0.6], (120, 160))], scale=1 / 127.5),
        onnx_file(tmp_path / "b" / "yolo.onnx", [yolo_answer(people[:1], [0.9], (120, 160))], scale=1 / 255, zero=-128),
    ]
    results = evaluate(main, "spe", evaluation={"models": [str(p) for p in (*others, main)], "gen_npy_output": True})
    entries = {entry["label"]: entry for entry in results["evaluation"]}
    assert list(entries) == ["float", "int8 yolo", "int8 b/yolo"]
    first, second, third = entries.values()
    assert [entry["model_type"] for entry in (first, second, third)] == ["spe", "yolo_mpe", "yolo_mpe"]
    assert first["metrics"]["mean_oks"] == pytest.approx(1, abs=1e-4)
    assert first["metrics"]["AP"] == pytest.approx(0.5, abs=0.01)
    assert second["metrics"]["AP"] == pytest.approx(1)
    assert third["metrics"]["mean_oks"] == pytest.approx(0.5, abs=1e-4)
    # Each file gets the inputs that its quantization was made for.
    assert second["rescaling"] == {"scale": pytest.approx(1 / 127.5), "offset": -1}
    assert third["rescaling"] == {"scale": pytest.approx(1 / 255), "offset": 0}
    assert "is evaluated as yolo_mpe" in results["log"]
    assert "float_model_OKS : " in results["log"]
    assert "quantized_model_mAP@0.5 " in results["log"]
    for name in ("per_image_float.json", "per_image_int8_b_yolo.json", "arrays/npy_outputs_int8_yolo.npy"):
        assert (results["folder"] / name).is_file(), name
    rows = (results["folder"] / "results.csv").read_text()
    assert "int8 b/yolo" in rows
    report = (results["folder"] / "report.html").read_text()
    assert all(label in report for label in entries)


def test_a_file_of_another_kind_is_one_line(crowd, evaluate, tmp_path: Path):
    model = onnx_file(tmp_path / "yolo.onnx", [yolo_answer(crowd[1], [0.9, 0.6], (120, 160))])
    with pytest.raises(ConfigError, match=r"model\.model_path: .*yolo\.onnx: gives .* set model_type: yolo_mpe"):
        evaluate(model, "heatmaps_spe")
    strange = onnx_file(tmp_path / "strange.onnx", [np.zeros((1, 7)), np.zeros((1, 9))])
    with pytest.raises(ConfigError, match=r"evaluation\.models: .*strange\.onnx: gives 2 outputs \[7\], \[9\]"):
        evaluate(model, "yolo_mpe", evaluation={"models": [str(strange)]})
    with pytest.raises(ConfigError, match=r"evaluation\.models.*none\.onnx"):
        evaluate(model, "yolo_mpe", evaluation={"models": [str(tmp_path / "none.onnx")]})


def test_a_rescaling_that_the_file_was_not_quantized_for_is_told(crowd, evaluate, tmp_path: Path):
    answer = [yolo_answer(crowd[1], [0.9, 0.6], (120, 160))]
    results = evaluate(onnx_file(tmp_path / "a.onnx", answer, scale=1 / 127.5), "yolo_mpe")
    warned = "scale 1/255, offset 0, but the input of a.onnx was quantized for scale 1/127.5, offset -1"
    assert results["log"].count(warned) == 1
    assert results["log"].count("WARNING") == 1
    results = evaluate(onnx_file(tmp_path / "b.onnx", answer, scale=1 / 255, zero=-128), "yolo_mpe")
    assert "was quantized for" not in results["log"]
    assert "faster_coco_eval" not in results["log"]


@pytest.mark.parametrize(
    ("files", "taken", "labels"),
    [
        ([("a.keras", "float"), ("b.tflite", "int8")], [], ["float", "int8"]),
        ([("b.tflite", "int8")], ["float"], ["int8"]),
        ([("q.tflite", "int8"), ("q.onnx", "int8")], ["float"], ["int8 q", "int8 ./q"]),
        ([("a/q.tflite", "int8"), ("b/q.tflite", "int8")], [], ["int8 q", "int8 b/q"]),
        ([("q.tflite", "int8")], ["int8"], ["int8 q"]),
        (
            [("a/q.tflite", "int8"), ("a/q.onnx", "int8"), ("x/a/q.onnx", "int8")],
            [],
            ["int8 q", "int8 a/q", "int8 a/q (2)"],
        ),
    ],
)
def test_labels_are_unique(files, taken, labels):
    found = unique_labels([(Path(path), precision) for path, precision in files], taken)
    assert [label.replace(" /", " ./") for label in found] == labels
    assert len({*found, *taken}) == len(found) + len(taken)


@pytest.mark.parametrize(
    ("steps", "quantized", "now"),
    [
        (("evaluate",), False, True),
        (("evaluate", "quantize", "evaluate"), False, False),
        (("evaluate", "quantize", "evaluate"), True, True),
        (("evaluate", "quantize"), False, True),
    ],
)
def test_further_files_wait_for_the_last_of_the_runs_own(steps, quantized, now):
    run: Any = SimpleNamespace(results={"quantization": []} if quantized else {})
    config: Any = SimpleNamespace(steps=steps)
    assert subjects._all_own_are_here(config, run) == now


def test_labels_become_file_names():
    assert file_safe("int8 b/yolo v8 (2)") == "int8_b_yolo_v8_2"
    assert file_safe("int8 模型甲") == "int8_模型甲"
    assert file_safe("()") == "model"
    assert len(file_safe(200 * "型").encode()) <= 150


def test_file_names_are_of_one_model_each():
    labels = ["int8 a b", "int8 a_b", "int8 A_B", "int8 a_b-2", "int8 模型甲", "int8 模型乙", 99 * "型", 98 * "型"]
    names = file_names(labels)
    assert len({name.casefold() for name in names}) == len(labels)
    assert names[:3] == ["int8_a_b", "int8_a_b-2", "int8_A_B-3"]
    for count in range(len(labels)):
        assert file_names(labels[:count]) == names[:count]


def test_models_of_alike_names_keep_their_files_and_the_report_is_of_the_runs_own(crowd, evaluate, tmp_path: Path):
    people = crowd[1]
    good, far = yolo_answer(people, [0.9, 0.6], (120, 160)), yolo_answer(people + 8, [0.9, 0.6], (120, 160))
    main = onnx_file(tmp_path / "main.onnx", [good])
    others = [onnx_file(tmp_path / name, [far]) for name in ("模型甲.onnx", "模型乙.onnx", "a b.onnx", "a_b.onnx")]
    section = {"models": [str(path) for path in others], "gen_npy_input": True, "gen_npy_output": True}
    results = evaluate(main, "yolo_mpe", evaluation=section)
    assert [entry["own"] for entry in results["evaluation"]] == [True, False, False, False, False]
    folder = results["folder"]
    assert len(list(folder.glob("per_image_*.json"))) == 5
    assert len(list((folder / "arrays").glob("npy_outputs_*.npy"))) == 5
    assert not list((folder / "arrays").glob(".partial*"))
    arrays = np.load(folder / "arrays" / "npy_outputs_float_main.npy", allow_pickle=False)
    assert arrays == pytest.approx(np.repeat(good, 3, axis=0), abs=1e-4)
    inputs = np.load(folder / "arrays" / "npy_inputs_float_main.npy", allow_pickle=False)
    assert (inputs.shape, inputs.dtype) == ((3, 3, SIDE, SIDE), np.float32)
    page = (folder / "report.html").read_text()
    assert page.index("By size of the person (float main)") < page.index("By size of the person (float 模型甲)")


def test_every_image_goes_through_the_model_once(crowd, evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from stm32pose.inference.onnx_runner import OnnxRunner

    original, seen = OnnxRunner.predict, []

    def predict(self, images):
        seen.append(len(images))
        return original(self, images)

    monkeypatch.setattr(OnnxRunner, "predict", predict)
    model = onnx_file(tmp_path / "m.onnx", [yolo_answer(crowd[1], [0.9, 0.6], (120, 160))])
    evaluate(model, "yolo_mpe", evaluation={"gen_npy_input": True, "gen_npy_output": True})
    assert sum(seen) == 3


@pytest.mark.parametrize(
    ("file", "model_type", "skeleton", "rescaling", "data", "figure", "least"),
    [
        (
            "st_movenet_lightning_heatmaps_192_int8_pc",
            "heatmaps_spe",
            "person13",
            (1 / 127.5, -1),
            "coco",
            "mean_oks",
            0.4,
        ),
        ("movenet_singlepose_lightning_192_int8", "spe", "coco17", (1, 0), "coco", "mean_oks", 0.45),
        ("yolov8n_256_quant_pc_uf_pose_coco-st", "yolo_mpe", "coco17", (1 / 255, 0), "coco", "AP50", 0.3),
        ("hand_landmark_full_224_int8_pc", "hand_spe", "hand21", (1 / 255, 0), "hands", "pck@0.2", 0.95),
    ],
)
def test_real_files_on_real_images(
    shared: Path, tmp_path: Path, file, model_type, skeleton, rescaling, data, figure, least
):
    images, labels = {
        "coco": ("coco_mini/val2017", "coco_mini/annotations/person_keypoints_val2017.json"),
        "hands": ("hands_120/images", "hands_120/keypoints_coco.json"),
    }[data]
    mapping = {
        "operation_mode": "evaluation",
        "model": {"model_type": model_type, "model_path": str(shared / "models" / "pose" / f"{file}.tflite")},
        "dataset": {
            "skeleton": skeleton,
            "pose": "multi" if model_type == "yolo_mpe" else "single",
            "test_path": str(shared / "data" / images),
            "test_annotations": str(shared / "data" / labels),
        },
        "preprocessing": {
            "rescaling": {"scale": rescaling[0], "offset": rescaling[1]},
            "resizing": {"aspect_ratio": "padding"},
        },
        "evaluation": {"worst_images": 0},
    }
    run_chain(load_config(mapping), tmp_path / "run")
    (entry,) = json.loads((tmp_path / "run" / "results.json").read_text())["evaluation"]
    assert entry["label"] == entry["precision"] == "int8"
    assert entry["metrics"][figure] > least, entry["metrics"]


def test_the_configuration_of_the_page_runs(shared: Path, tmp_path: Path):
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    mapping = yaml.safe_load(text.split("```yaml")[1].split("```")[0])
    pose, coco = shared / "models" / "pose", shared / "data" / "coco_mini"
    mapping["model"]["model_path"] = str(pose / Path(mapping["model"]["model_path"]).name)
    mapping["evaluation"]["models"] = [str(pose / Path(path).name) for path in mapping["evaluation"]["models"]]
    mapping["dataset"]["test_path"] = str(coco / "val2017")
    mapping["dataset"]["test_annotations"] = str(coco / "annotations" / "person_keypoints_val2017.json")
    mapping.pop("hydra")
    run_chain(load_config(mapping), tmp_path / "run")
    yolo, movenet = json.loads((tmp_path / "run" / "results.json").read_text())["evaluation"]
    assert yolo["label"] == "int8 yolov8n_256_quant_pc_uf_pose_coco-st"
    assert movenet["model_type"] == "spe"
    assert movenet["rescaling"] == {"scale": 1, "offset": 0}
    assert yolo["metrics"]["AP"] > movenet["metrics"]["AP"] > 0.02  # one pose an image, several people
    assert (tmp_path / "run" / "figures" / "precision_recall.png").is_file()


def test_a_rescaling_that_the_training_had_not_is_told(crowd, evaluate, tmp_path: Path):
    """A float network takes any numbers: its sidecar alone knows. Of a further file it is taken."""
    from stm32pose.inference.sidecar import write_sidecar

    model = onnx_file(tmp_path / "net.onnx", [yolo_answer(crowd[1], [0.9, 0.6], (120, 160))])
    write_sidecar(model, {"rescaling": {"scale": 1 / 127.5, "offset": -1}})
    results = evaluate(model, "yolo_mpe")
    warned = "scale 1/255, offset 0, but net.json beside net.onnx says scale 1/127.5, offset -1"
    assert results["log"].count(warned) == 1
    other = onnx_file(tmp_path / "other.onnx", [yolo_answer(crowd[1], [0.9, 0.6], (120, 160))])
    results = evaluate(other, "yolo_mpe", evaluation={"models": [str(model)]})
    assert "but net.json" not in results["log"]
    assert results["evaluation"][1]["rescaling"] == {"scale": 1 / 127.5, "offset": -1}
    write_sidecar(model, {"rescaling": {"scale": 1 / 255, "offset": 0}})
    assert "WARNING" not in evaluate(model, "yolo_mpe")["log"]
    write_sidecar(model, {"rescaling": {"scale": "much"}})
    with pytest.raises(UserError, match=r"net\.json: 'rescaling' is not"):
        evaluate(model, "yolo_mpe")


def test_a_broken_further_file_is_one_line(crowd, evaluate, tmp_path: Path):
    model = onnx_file(tmp_path / "yolo.onnx", [yolo_answer(crowd[1], [0.9, 0.6], (120, 160))])
    for name in ("broken.onnx", "broken.tflite", "broken.keras"):
        (tmp_path / name).write_bytes(b"\x08\x07no model at all")
        with pytest.raises(UserError, match=rf"^evaluation\.models: .*{name}'?:? (is )?not a") as caught:
            evaluate(model, "yolo_mpe", evaluation={"models": [str(tmp_path / name)]})
        assert "\n" not in str(caught.value)


def test_another_kind_is_told_with_a_wrong_rescaling(crowd, shared: Path, evaluate):
    """Nobody who gave the wrong model_type should have to mend the rescaling first."""
    model = shared / "models/pose/movenet_singlepose_lightning_192_int8.tflite"
    with pytest.raises(ConfigError, match=r"use scale 1, offset 0; by its outputs it is of model_type: spe$"):
        evaluate(model, "heatmaps_spe")


def test_labels_say_how_many_bits(crowd, evaluate, tmp_path: Path):
    answer = [yolo_answer(crowd[1], [0.9, 0.6], (120, 160))]
    plain = onnx_file(tmp_path / "plain.onnx", answer, scale=1 / 255, zero=-128)
    wide = onnx.load(onnx_file(tmp_path / "wide.onnx", answer, scale=1 / 65535))
    for item in wide.graph.initializer:
        if item.name == "zero":
            item.CopyFrom(numpy_helper.from_array(np.array(-32768, np.int16), "zero"))
    wide.opset_import[0].version = 21
    wide.ir_version = 10
    for node in wide.graph.node:
        if node.op_type == "ReduceMean":
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("keepdims", 0))
    onnx.save(wide, tmp_path / "wide.onnx")
    results = evaluate(plain, "yolo_mpe", evaluation={"models": [str(tmp_path / "wide.onnx")]})
    assert [(entry["label"], entry["precision"]) for entry in results["evaluation"]] == [
        ("int8", "int8"),
        ("int16", "int8"),
    ]

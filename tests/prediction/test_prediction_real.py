"""Prediction with ST's and Google's own files on real photographs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from prediction_dots import make_config, predict

MODELS = {
    "st_movenet_lightning_heatmaps_192_int8_pc.tflite": ("heatmaps_spe", "fit", (1 / 127.5, -1.0), 13),
    "movenet_singlepose_lightning_192_int8.tflite": ("spe", "padding", (1.0, 0.0), 17),
    "yolov8n_256_quant_pc_uf_pose_coco-st.tflite": ("yolo_mpe", "padding", (1 / 255, 0.0), 17),
}


def run(shared: Path, folder: Path, file: str, *, paths: str = "data/coco_mini/val2017", **sections):
    model_type, aspect_ratio, (scale, offset), _ = MODELS[file]
    preprocessing = {"rescaling": {"scale": scale, "offset": offset}, "resizing": {"aspect_ratio": aspect_ratio}}
    config = make_config(
        shared / "models" / "pose" / file,
        str(shared / paths),
        None,
        model={"model_type": model_type},
        preprocessing=preprocessing,
        **sections,
    )
    return predict(config, folder), json.loads((folder / "predictions" / "predictions.json").read_text())


@pytest.mark.parametrize("file", MODELS)
def test_results_load_into_coco_tools(shared: Path, tmp_path: Path, file: str):
    from faster_coco_eval import COCO

    entry, found = run(shared, tmp_path, file)
    assert entry["images"] == 32
    truth = COCO(str(shared / "data/coco_mini/annotations/person_keypoints_val2017.json"))
    loaded = truth.loadRes(str(tmp_path / "predictions" / "predictions.json"))
    assert len(loaded.anns) == len(found)
    assert {len(result["keypoints"]) for result in found} == {3 * MODELS[file][3]}
    images = {image["id"]: image for image in truth.dataset["images"]}
    for record in json.loads((tmp_path / "predictions" / "images.json").read_text()):
        assert images[record["id"]]["file_name"] == record["file_name"]
        assert (images[record["id"]]["height"], images[record["id"]]["width"]) == (record["height"], record["width"])


def test_several_people_reach_an_average_precision(shared: Path, tmp_path: Path):
    from faster_coco_eval import COCO, COCOeval_faster

    file = "yolov8n_256_quant_pc_uf_pose_coco-st.tflite"
    thresholds = {"confidence_thresh": 0.01, "NMS_thresh": 0.5, "max_detection_boxes": 20}
    _, found = run(shared, tmp_path, file, postprocessing=thresholds)
    truth = COCO(str(shared / "data/coco_mini/annotations/person_keypoints_val2017.json"))
    evaluation = COCOeval_faster(
        truth, truth.loadRes(str(tmp_path / "predictions" / "predictions.json")), iouType="keypoints"
    )
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] > 0.2
    for entry in found:  # boxes lie on the joints they belong to
        points = np.array(entry["keypoints"]).reshape(-1, 3)
        sure = points[points[:, 2] > 0.7]
        left, top, width, height = entry["bbox"]
        if len(sure) > 8:
            inside = (sure[:, 0] > left - 0.2 * width) & (sure[:, 0] < left + 1.2 * width)
            inside &= (sure[:, 1] > top - 0.2 * height) & (sure[:, 1] < top + 1.2 * height)
            assert inside.mean() > 0.7


def test_frames_of_a_video_give_what_the_images_give(shared: Path, tmp_path: Path):
    import cv2
    from prediction_dots import save_video

    from stm32pose.data.images import read_image

    paths = sorted((shared / "data/lspet_1200/images").iterdir())[:6]
    images = [cv2.resize(read_image(path), (192, 192), interpolation=cv2.INTER_AREA) for path in paths]
    clip = save_video(tmp_path / "lsp.mp4", images)
    file = "movenet_singlepose_lightning_192_int8.tflite"
    model_type, _, (scale, offset), _ = MODELS[file]
    config = make_config(
        shared / "models" / "pose" / file,
        str(clip),
        None,
        model={"model_type": model_type},
        preprocessing={"rescaling": {"scale": scale, "offset": offset}},
    )
    entry = predict(config, tmp_path / "run")
    assert entry["images"] == 6
    from stm32pose.codecs.keypoints import KeypointsCodec
    from stm32pose.inference.runner import load_runner

    runner = load_runner(shared / "models" / "pose" / file, rescaling=(1, 0))
    wanted = KeypointsCodec((192, 192), 17).decode(runner.predict(np.stack(images)))[:, 0]
    found = json.loads((tmp_path / "run" / "predictions" / "predictions.json").read_text())
    points = np.array([entry["keypoints"] for entry in found]).reshape(6, 17, 3)
    sure = (wanted[..., 2] > 0.5) & (points[..., 2] > 0.5)
    distances = np.linalg.norm(points[..., :2] - wanted[..., :2], axis=-1)[sure]
    assert sure.sum() > 20
    assert np.median(distances) < 3  # what the video's compression costs


def test_the_yaml_of_the_docs_runs(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import re
    import shutil

    from stm32pose.commands.validate import check_file

    page = (Path(__file__).resolve().parents[2] / "docs" / "prediction.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "my_prediction.yaml").write_text(text)
    file = "st_movenet_lightning_heatmaps_192_int8_pc.tflite"
    (tmp_path / "pretrained_models").mkdir()
    shutil.copyfile(shared / "models" / "pose" / file, tmp_path / "pretrained_models" / file)
    (tmp_path / "datasets" / "my_images").mkdir(parents=True)
    for image in sorted((shared / "data/coco_mini/val2017").iterdir())[:3]:
        shutil.copyfile(image, tmp_path / "datasets" / "my_images" / image.name)
    monkeypatch.chdir(tmp_path)
    config = check_file(tmp_path / "my_prediction.yaml")
    assert config.model.model_path is not None
    entry = predict(config, tmp_path / "run")
    assert (entry["images"], entry["skeleton"]) == (3, "person13")

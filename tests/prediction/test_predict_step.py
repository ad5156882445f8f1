"""The step on a real network whose answers are known: where the dots are."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from prediction_dots import (
    dots_image,
    dots_model,
    gray_model,
    make_config,
    predict,
    save_image,
    save_video,
    write_skeleton,
)

from stm32pose.data.images import read_image
from stm32pose.errors import ConfigError, UserError
from stm32pose.operations.artifacts import Artifacts
from stm32pose.operations.predict import check, run_step
from stm32pose.operations.skeletons import skeleton_of
from stm32pose.reporting.run import Run

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dots_model(tmp_path_factory.mktemp("model") / "dots.onnx")


@pytest.fixture(scope="module")
def skeleton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_skeleton(tmp_path_factory.mktemp("skeleton"))


def results(folder: Path, name: str = "predictions.json"):
    return json.loads((folder / "predictions" / name).read_text())


def points(entry: dict) -> np.ndarray:
    return np.array(entry["keypoints"]).reshape(-1, 3)


@pytest.mark.parametrize("aspect_ratio", ["fit", "padding", "crop"])
@pytest.mark.parametrize("size", [(300, 200), (90, 240), (96, 128)])
def test_dots_are_found_in_the_original_image(tmp_path: Path, model, skeleton, aspect_ratio, size):
    red, green = (0.45 * size[1], 0.4 * size[0]), (0.58 * size[1], 0.62 * size[0])
    save_image(tmp_path / "in" / "a.png", dots_image(size, red, green))
    config = make_config(
        model,
        str(tmp_path / "in"),
        skeleton,
        preprocessing={"rescaling": {"scale": 1 / 255, "offset": 0}, "resizing": {"aspect_ratio": aspect_ratio}},
    )
    entry = predict(config, tmp_path / "run")
    assert (entry["images"], entry["poses"]) == (1, 1)
    (found,) = results(tmp_path / "run")
    cell = 4 * max(size[0] / 96, size[1] / 128)  # of the heat map, in image pixels
    assert points(found)[0, :2] == pytest.approx(red, abs=0.3 * cell)
    assert points(found)[1, :2] == pytest.approx(green, abs=0.3 * cell)
    drawn = read_image(tmp_path / "run" / "predictions" / "a.png")
    assert drawn.shape[:2] == size
    x, y = np.array(points(found)[0, :2], int)
    assert tuple(drawn[y, x]) != tuple(dots_image(size, red, green)[y, x])


@pytest.mark.parametrize("aspect_ratio", ["fit", "padding", "crop"])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "area"])
def test_predictions_equal_those_of_evaluation(tmp_path: Path, model, skeleton, aspect_ratio, interpolation):
    from stm32pose.data.sample import Sample
    from stm32pose.inference.runner import load_runner
    from stm32pose.operations.evaluate import measure
    from stm32pose.skeletons.skeleton import load_skeleton

    folder, samples = tmp_path / "in", []
    # The large ones are decoded at a fraction of their size by the pipeline, so must they be here.
    for name, size in (("a.jpg", (480, 643)), ("b.png", (611, 397)), ("c.jpg", (1201, 900)), ("d.jpg", (80, 64))):
        red, green = (0.4 * size[1], 0.5 * size[0]), (0.6 * size[1], 0.45 * size[0])
        noisy = dots_image(size, red, green) // 2 + np.random.default_rng(1).integers(0, 90, (*size, 3), np.uint8)
        path = save_image(folder / name, noisy)
        label = np.array([[[*red, 2], [*green, 2]]], np.float32)
        boxes, areas = np.array([[0, 0, *size[::-1]]], np.float32), np.array([size[0] * size[1]], np.float32)
        samples.append(Sample(path, size, label, boxes, areas, np.array([False]), len(samples)))
    resizing = {"aspect_ratio": aspect_ratio, "interpolation": interpolation}
    config = make_config(
        model,
        str(folder),
        skeleton,
        preprocessing={"rescaling": {"scale": 1 / 255, "offset": 0}, "resizing": resizing},
    )
    predict(config, tmp_path / "run")
    runner = load_runner(model, rescaling=(1 / 255, 0))
    measured = measure(config, runner, samples, load_skeleton(str(skeleton)))
    found = results(tmp_path / "run")
    assert len(found) == 4
    for entry, poses in zip(found, measured.poses, strict=True):
        wanted = np.asarray(getattr(poses, "keypoints", poses))[0]
        assert points(entry)[:, :2] == pytest.approx(wanted[:, :2], abs=1e-3)
        assert points(entry)[:, 2] == pytest.approx(wanted[:, 2], abs=1e-5)


def test_colour_modes(tmp_path: Path, skeleton):
    size, red, green = (96, 128), (40.0, 40.0), (90.0, 60.0)
    save_image(tmp_path / "a.png", dots_image(size, red, green))
    bgr = dots_model(tmp_path / "bgr.onnx", order="bgr")
    rescaling = {"scale": 1 / 255, "offset": 0}
    config = make_config(
        bgr, str(tmp_path / "a.png"), skeleton, preprocessing={"rescaling": rescaling, "color_mode": "bgr"}
    )
    predict(config, tmp_path / "bgr")
    assert points(results(tmp_path / "bgr")[0])[:, :2] == pytest.approx(np.array([red, green]), abs=1)


def test_grayscale_model(tmp_path: Path, skeleton):
    image = np.full((96, 128, 3), 128, np.uint8)
    cv2.circle(image, (30, 40), 6, (255, 255, 255), -1)
    cv2.circle(image, (90, 70), 6, (0, 0, 0), -1)
    save_image(tmp_path / "a.png", image)
    rescaling = {"scale": 1 / 255, "offset": 0}
    gray = gray_model(tmp_path / "gray.onnx")
    config = make_config(
        gray, str(tmp_path / "a.png"), skeleton, preprocessing={"rescaling": rescaling, "color_mode": "grayscale"}
    )
    predict(config, tmp_path / "run")
    found = points(results(tmp_path / "run")[0])
    assert found[:, :2] == pytest.approx(np.array([[30.5, 40.5], [90.5, 70.5]]), abs=1.5)
    with pytest.raises(ConfigError, match=r"preprocessing.color_mode.*use 'grayscale'"):
        predict(make_config(gray, str(tmp_path / "a.png"), skeleton), tmp_path / "wrong")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, model: Path, skeleton: Path):
    """A run over two folders with equal stems, an unreadable file and a video."""
    folder = tmp_path_factory.mktemp("several")
    size = (60, 80)
    for index, name in enumerate(("one/x.jpg", "one/x.png", "two/x.png", "two/<b>.png")):
        save_image(folder / name, dots_image(size, (20 + 5 * index, 30), (60, 20 + 5 * index)))
    (folder / "two" / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    clip = [dots_image(size, (20 + 3 * index, 30), (60, 20 + 2 * index)) for index in range(10)]
    save_video(folder / "x.mp4", clip)
    config = make_config(
        model,
        [str(folder / "one"), str(folder / "two"), str(folder / "x.mp4")],
        skeleton,
        prediction={"every": 3, "gallery_images": 3},
    )
    return folder, folder / "run", predict(config, folder / "run")


def test_counts_and_what_failed(several):
    folder, _, entry = several
    assert (entry["images"], entry["poses"], entry["images_without_pose"]) == (8, 8, 0)
    assert entry["ended"] == "every image that could be read was predicted"
    (failed,) = entry["failed"]
    assert failed["file"] == str(folder / "two" / "broken.jpg")
    assert "cut off" in failed["reason"]


def test_drawings_of_equal_stems_have_names_of_their_own(several):
    _, run, entry = several
    drawn = [image["drawing"] for image in results(run, "images.json")]
    assert drawn[:4] == ["x.jpg", "x_2.png", "<b>.png", "x_3.png"]
    assert set(drawn[4:]) == {"x_4.mp4"} == set(entry["videos"])
    for name in drawn:
        assert (run / "predictions" / name).is_file()
    assert not list((run / "predictions").glob(".partial*"))


def test_drawn_video_has_every_predicted_frame_at_its_rate(several):
    capture = cv2.VideoCapture(str(several[1] / "predictions" / "x_4.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10 / 3, abs=0.01)
    count = 0
    while capture.grab():
        count += 1
    assert count == 4
    images = results(several[1], "images.json")
    assert [image["frame"] for image in images[4:]] == [0, 3, 6, 9]
    assert [image["time_s"] for image in images[4:]] == pytest.approx([0, 0.3, 0.6, 0.9])


def test_table_and_results_hold_the_same_joints(several):
    run = several[1]
    with (run / "predictions" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    entries = results(run)
    assert len(rows) == len(entries) == 8
    for row, entry in zip(rows, entries, strict=True):
        assert row["image"] == entry["file_name"]
        assert int(row["image_id"]) == entry["image_id"]
        in_table = [float(row[f"{joint}_{part}"]) for joint in ("red", "green") for part in ("x", "y", "score")]
        assert in_table == entry["keypoints"]
        assert entry["score"] == pytest.approx(np.mean(entry["keypoints"][2::3]), abs=1e-4)
    assert len({entry["image_id"] for entry in entries}) == 8
    assert {entry["image_id"] for entry in entries} == {image["id"] for image in results(run, "images.json")}


def test_timing_says_what_was_measured(several):
    timing = several[2]["timing"]
    for part in ("pre", "run", "post", "total"):
        assert 0 < timing[part]["p50"] <= timing[part]["p95"]
        assert timing[part]["mean"] > 0
    parts = sum(timing[part]["mean"] for part in ("pre", "run", "post"))
    assert timing["total"]["mean"] == pytest.approx(parts, abs=0.01)
    assert timing["images_per_second"] > 0
    assert "warm-up" in timing["warm_up"]
    stored = json.loads((several[1] / "results.json").read_text())["prediction"]
    assert stored["timing"] == timing


def test_gallery_is_self_contained_and_escaped(several):
    page = (several[1] / "predictions" / "gallery.html").read_text()
    assert not re.search(r"https?:|//[a-z]|<script|<link|@import|url\(", page.split("<body>")[0] + page)
    assert page.count("data:image/jpeg;base64,") == 3
    assert "<b>.png" not in page.replace("<b>x", "")
    assert "1 file could not be read" in page
    assert "The 3 images with the lowest scores of 8" in page


def test_gallery_shows_the_lowest_scores_first():
    from stm32pose.reporting.gallery import Gallery

    gallery = Gallery(3)
    drawn: list[int] = []

    def draw(index: int):
        drawn.append(index)
        return np.zeros((900, 600, 3), np.uint8)

    for index, scores in enumerate(([0.9], [0.5, 0.1], [], [0.95], [0.2], [0.7])):
        gallery.offer(
            lambda index=index: draw(index), title=f"image{index}", scores=np.array(scores, np.float32), file="x.png"
        )
    assert drawn == [0, 1, 2, 4]  # the others were never in question
    entry = {"model": "m", "images": 6, "timing": {"images_per_second": 1.0}, "failed": []}
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        page = gallery.write(Path(folder) / "gallery.html", entry).read_text()
    assert re.findall(r"<b>(image\d)", page) == ["image2", "image4", "image1"]
    data = re.search(r"base64,([^\"]+)", page).group(1)
    import base64

    picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[:2] == (480, 320)


def test_relative_folder_and_pattern(tmp_path: Path, model, skeleton, monkeypatch: pytest.MonkeyPatch):
    save_image(tmp_path / "datasets" / "x" / "img_7.png", dots_image((60, 80), (20, 30), (60, 20)))
    save_image(tmp_path / "datasets" / "y" / "img_3.png", dots_image((60, 80), (20, 30), (60, 20)))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    predict(make_config(model, "../datasets/x", skeleton), tmp_path / "run")
    assert [(entry["file_name"], entry["image_id"]) for entry in results(tmp_path / "run")] == [("img_7.png", 7)]
    predict(make_config(model, "../datasets/*/img_*.png", skeleton), tmp_path / "globbed")
    assert [entry["image_id"] for entry in results(tmp_path / "globbed")] == [7, 3]


def test_nothing_readable_fails(tmp_path: Path, model, skeleton):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"dataset.prediction_path: none of 1 files can be read; the first: .*a.png"):
        predict(make_config(model, str(tmp_path / "a.png"), skeleton), tmp_path / "run")
    assert not (tmp_path / "run" / "predictions").exists()


def test_second_prediction_of_a_chain_keeps_the_first(tmp_path: Path, model, skeleton):
    save_image(tmp_path / "a.png", dots_image((60, 80), (20, 30), (60, 20)))
    config = make_config(model, str(tmp_path / "a.png"), skeleton)
    run = Run(config, tmp_path / "run")
    artifacts = Artifacts().with_model(model)
    for _ in range(3):
        run_step(config, run, artifacts)
    entry = run.results["prediction"]
    assert entry["folder"] == "predictions_3"
    assert [earlier["folder"] for earlier in entry["earlier"]] == ["predictions", "predictions_2"]
    assert (tmp_path / "run" / "predictions_2" / "predictions.json").is_file()


def test_show_without_a_window_is_refused_before_any_work(tmp_path: Path, model, skeleton, monkeypatch):
    save_image(tmp_path / "a.png", dots_image((60, 80), (20, 30), (60, 20)))
    config = make_config(model, str(tmp_path / "a.png"), skeleton, prediction={"show": True})
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if os.name == "posix" and os.uname().sysname == "Linux":
        with pytest.raises(UserError, match=r"prediction.show: there is no screen"):
            check(config)
    if "headless" in cv2.__file__ or "GUI:                           NONE" in cv2.getBuildInformation():
        monkeypatch.setenv("DISPLAY", ":99")
        with pytest.raises(UserError, match="pip install opencv-python"):
            check(config)
        with pytest.raises(UserError, match=r"prediction.show"):
            predict(config, tmp_path / "run")
        assert not (tmp_path / "run" / "predictions" / "predictions.json").exists()


def test_interrupted_files_are_written_and_the_run_ends(tmp_path: Path, model, skeleton, monkeypatch):
    from stm32pose.inference.onnx_runner import OnnxRunner

    for index in range(6):
        save_image(tmp_path / "in" / f"{index}.png", dots_image((60, 80), (20, 30), (60, 20)))
    original, calls = OnnxRunner.predict, []

    def predict_four(self, images):
        calls.append(1)
        if len(calls) > 4:  # the first is the warm-up
            raise KeyboardInterrupt
        return original(self, images)

    monkeypatch.setattr(OnnxRunner, "predict", predict_four)
    config = make_config(model, str(tmp_path / "in"), skeleton)
    run = Run(config, tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        run_step(config, run, Artifacts().with_model(model))
    assert run.results["prediction"]["images"] == 3
    assert run.results["prediction"]["ended"] == "ended by Ctrl-C"
    assert len(results(tmp_path / "run")) == 3
    assert (tmp_path / "run" / "predictions" / "gallery.html").is_file()


class FakeCamera:
    """A capture device as OpenCV has it, which gives pictures until Ctrl-C is pressed."""

    opened: list[FakeCamera] = []  # noqa: RUF012

    def __init__(self, number):
        self.number, self.count, self.released = number, 0, False
        FakeCamera.opened.append(self)

    def isOpened(self):
        return True

    def get(self, _key):
        return 0.0

    def grab(self):
        self.count += 1
        return True

    def retrieve(self):
        return True, cv2.cvtColor(dots_image((60, 80), (20, 30), (60, 20)), cv2.COLOR_RGB2BGR)

    def release(self):
        self.released = True


def test_ctrl_c_ends_a_camera_and_the_chain_goes_on(tmp_path: Path, model, skeleton, monkeypatch):
    from stm32pose.inference.onnx_runner import OnnxRunner

    original, calls = OnnxRunner.predict, []

    def predict_five(self, images):
        calls.append(1)
        if len(calls) > 6:
            raise KeyboardInterrupt
        return original(self, images)

    monkeypatch.setattr(OnnxRunner, "predict", predict_five)
    monkeypatch.setattr("stm32pose.data.frames.cv2.VideoCapture", FakeCamera)
    entry = predict(make_config(model, "camera:0", skeleton), tmp_path / "run")
    assert (entry["images"], entry["ended"], entry["videos"]) == (5, "ended by Ctrl-C", ["camera0.mp4"])
    assert FakeCamera.opened[-1].released
    assert FakeCamera.opened[-1].number == 0
    assert len(results(tmp_path / "run")) == 5


def test_video_falls_back_to_numbered_images(tmp_path: Path, model, skeleton, monkeypatch, caplog):
    clip = save_video(tmp_path / "clip.mp4", [dots_image((60, 80), (20, 30), (60, 20))] * 3)
    monkeypatch.setattr("stm32pose.reporting.annotated.VIDEO_CODEC", "zzzz")
    entry = predict(make_config(model, str(clip), skeleton), tmp_path / "run")
    assert entry["videos"] == ["clip"]
    names = sorted(path.name for path in (tmp_path / "run" / "predictions" / "clip").iterdir())
    assert names == ["000000.jpg", "000001.jpg", "000002.jpg"]
    assert not (tmp_path / "run" / "predictions" / "clip.mp4").exists()


def test_skeleton_of_the_sidecar_and_without_any(tmp_path: Path, model, skeleton, caplog):
    from stm32pose.inference.runner import load_runner
    from stm32pose.inference.sidecar import write_sidecar

    config = make_config(model, "unused", None)
    unnamed = skeleton_of(config, None, load_runner(model, rescaling=(1 / 255, 0)))
    assert (unnamed.keypoints, unnamed.edges) == (("keypoint_0", "keypoint_1"), ())
    assert "points without limbs" in caplog.text
    own = tmp_path / "own.onnx"
    own.write_bytes(model.read_bytes())
    write_sidecar(own, {"skeleton": {"name": "dots2", "keypoints": ["red", "green"]}})
    told = skeleton_of(config, None, load_runner(own, rescaling=(1 / 255, 0)))
    assert (told.name, told.keypoints, told.edges) == ("dots2", ("red", "green"), ())
    given = make_config(own, "unused", skeleton)
    assert skeleton_of(given, None, load_runner(own, rescaling=(1 / 255, 0))).name == "dots2"

"""YOLO poses: a synthesised perfect output gives its people back, whatever layout and unit it comes in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.codecs.select import codec_from_description
from stm32pose.codecs.yolo import YoloCodec
from stm32pose.errors import ConfigError

HEIGHT, WIDTH, BOXES = 192, 256, 210


def people(seed: int, count: int, keypoints: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keypoints [N, K, 3] in input pixels, boxes [N, 4] (left, top, width, height) side by side, falling scores."""
    rng = np.random.default_rng(seed)
    lanes = np.linspace(0, WIDTH, count + 1)[:-1]
    left = lanes + rng.uniform(1, 5, count)
    size = np.stack([np.full(count, WIDTH / count - 12), rng.uniform(40, 150, count)], axis=1)
    boxes = np.concatenate([left[:, None], rng.uniform(1, 30, (count, 1)), size], axis=1)
    shares = rng.random((count, keypoints, 2))
    points = boxes[:, None, :2] + shares * boxes[:, None, 2:]
    found = np.concatenate([points, rng.uniform(0.1, 1, (count, keypoints, 1))], axis=-1)
    return found, boxes, np.sort(rng.uniform(0.4, 0.95, count))[::-1]


def perfect_output(keypoints: np.ndarray, boxes: np.ndarray, scores: np.ndarray, *, seed: int = 0, end: bool = False):
    """float32 [1, BOXES, 5 + 3K] in pixels: each person, weaker copies beside them, and candidates of score 0."""
    rng = np.random.default_rng(seed)
    corner = [boxes[:, :2], boxes[:, :2] + boxes[:, 2:], scores[:, None], np.zeros((len(boxes), 1))]
    centre = [boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:], scores[:, None]]
    rows = np.concatenate([*(corner if end else centre), keypoints.reshape(len(boxes), -1)], axis=1)
    weaker = np.zeros((2, rows.shape[1]))
    weaker[0, [0, 1, 4]], weaker[1, [1, 4]] = (1, 1, -0.2), (-1, -0.1)
    copies = [] if end else [rows + change for change in weaker]
    empty = rng.uniform(0, 250, (BOXES - len(rows) * (1 + len(copies)), rows.shape[1]))
    empty[:, 4] = 0
    output = np.concatenate([rows, *copies, empty])
    return output[rng.permutation(BOXES)][None].astype(np.float32)


def as_shares(output: np.ndarray, first: int) -> np.ndarray:
    """Pixels of a non-square input -> shares of it, as TFLite exports give them."""
    output = output.copy()
    output[..., [0, 2]] /= WIDTH
    output[..., [1, 3]] /= HEIGHT
    output[..., first::3] /= WIDTH
    output[..., first + 1 :: 3] /= HEIGHT
    return output


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 30), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_everybody_comes_back(seed, count, keypoints, shares, boxes_first, end):
    truth, boxes, scores = people(seed, count, keypoints)
    output = perfect_output(truth, boxes, scores, seed=seed, end=end)
    if shares:
        output = as_shares(output, 6 if end else 5)
    codec = YoloCodec((HEIGHT, WIDTH), keypoints)
    (found,) = codec.decode_poses([output if boxes_first else output.swapaxes(1, 2)])
    np.testing.assert_allclose(found.scores, scores, rtol=1e-5)
    np.testing.assert_allclose(found.keypoints, truth, atol=1e-2)
    edge = np.clip(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1), 0, [WIDTH, HEIGHT] * 2)
    np.testing.assert_allclose(found.boxes[:, :2], edge[:, :2], atol=1e-2)
    np.testing.assert_allclose(found.boxes[:, :2] + found.boxes[:, 2:], edge[:, 2:], atol=1e-2)
    np.testing.assert_array_equal(codec.decode([output])[0, 0], found.keypoints[0])


def test_quantized_outputs_stay_within_a_step():
    truth, boxes, scores = people(5, 4, 17)
    output = as_shares(perfect_output(truth, boxes, scores), 5)
    step = 1.2 / 255
    (found,) = YoloCodec((HEIGHT, WIDTH), 17).decode_poses([(np.round(output / step) * step).astype(np.float32)])
    assert len(found) == 4
    order = np.argsort(found.keypoints[:, :, 0].mean(axis=1))
    expected = np.argsort(truth[:, :, 0].mean(axis=1))
    gap = np.abs(found.keypoints[order] - truth[expected])[..., :2]
    assert gap.max() <= step * WIDTH / 2 + 1e-3


def test_shares_or_pixels_are_seen_in_each_batch_and_can_be_said():
    truth, boxes, scores = people(3, 2, 5)
    output = as_shares(perfect_output(truth, boxes, scores), 5)
    quiet = output.copy()
    quiet[..., 4] = 0  # an image without anybody among others changes nothing
    codec = YoloCodec((HEIGHT, WIDTH), 5)
    nobody, both = codec.decode_poses([np.concatenate([quiet, output])])
    assert len(nobody) == 0
    np.testing.assert_allclose(both.keypoints, truth, atol=1e-2)
    (pixels,) = YoloCodec((HEIGHT, WIDTH), 5, normalised=False).decode_poses([output])
    assert pixels.keypoints[..., :2].max() <= 1


def test_thresholds():
    truth, boxes, scores = people(7, 5, 3)
    output = perfect_output(truth, boxes, scores)

    def count(**options) -> int:
        return len(YoloCodec((HEIGHT, WIDTH), 3, **options).decode_poses([output])[0])

    assert count() == 5
    assert count(confidence=float(scores[2])) == 3
    assert count(max_detections=2) == 2
    assert count(nms=0.99, max_detections=50) > 5
    assert count(confidence=1.0) == 0
    for wrong in ({"confidence": 1.1}, {"nms": 0.0}, {"max_detections": 0}):
        with pytest.raises(ValueError, match="impossible codec"):
            YoloCodec((HEIGHT, WIDTH), 3, **wrong)


def test_a_candidate_that_is_no_number_is_dropped():
    truth, boxes, scores = people(2, 2, 3)
    output = perfect_output(truth, boxes, scores)
    output[0, output[0, :, 4].argmax(), 7] = np.nan
    (found,) = YoloCodec((HEIGHT, WIDTH), 3).decode_poses([output])
    assert np.isfinite(found.keypoints).all()
    assert len(found) == 2  # a weaker copy of the first stands in
    assert found.scores[0] < scores[0]


def test_nobody_is_an_empty_answer():
    codec = YoloCodec((HEIGHT, WIDTH), 3)
    output = np.zeros((2, 14, 100), np.float32)
    assert [len(found) for found in codec.decode_poses([output])] == [0, 0]
    np.testing.assert_array_equal(codec.decode([output])[:, 0, 0], [[128, 96, 0]] * 2)
    with pytest.raises(ValueError, match=r"wants \(B, 14, boxes\)"):
        codec.decode_poses([np.zeros((2, 13, 100), np.float32)])
    with pytest.raises(ConfigError, match="evaluated, not trained"):
        codec.encode(np.zeros((1, 1, 3, 3)))


def test_it_comes_back_from_its_description():
    codec = YoloCodec((HEIGHT, WIDTH), 5, confidence=0.3, nms=0.6, max_detections=7, normalised=True)
    described = json.loads(json.dumps(codec.describe()))
    assert vars(codec_from_description(described)) == vars(codec)
    other = codec_from_description(described, confidence=0.001, max_detections=20)
    assert vars(other) == {**vars(codec), "confidence": 0.001, "max_detections": 20}


@pytest.mark.parametrize("kind", ["pc", "pt"])
def test_real_files_find_the_people_of_coco(shared: Path, kind: str):
    from stm32pose.codecs.poses import poses_in_image
    from stm32pose.config.data_sections import Preprocessing
    from stm32pose.data.pipeline import Pipeline
    from stm32pose.data.readers import read_samples
    from stm32pose.inference.runner import load_runner
    from stm32pose.metrics.oks import oks
    from stm32pose.skeletons.skeleton import load_skeleton

    skeleton = load_skeleton("coco17")
    data = shared / "data" / "coco_mini"
    samples = read_samples(
        data / "train2017", skeleton, annotations=data / "annotations" / "person_keypoints_train2017.json", pose="multi"
    )
    # Images where somebody of whom most joints are labelled fills a good part.
    shown = [(sample.keypoints[..., 2] > 0).sum(axis=1) >= 12 for sample in samples]
    areas = [np.where(sample.crowd | ~seen, 0, sample.areas) for sample, seen in zip(samples, shown, strict=True)]
    chosen = sorted(range(len(samples)), key=lambda i: -areas[i].max(initial=0) / np.prod(samples[i].size))[:8]
    samples, areas = [samples[i] for i in chosen], [areas[i] for i in chosen]
    runner = load_runner(
        shared / "models" / "pose" / f"yolov8n_256_quant_{kind}_uf_pose_coco-st.tflite", rescaling=(1 / 255, 0)
    )
    codec = YoloCodec(runner.input_shape[:2], 17)
    preprocessing = Preprocessing.model_validate({"resizing": {"aspect_ratio": "padding"}})
    (batch,) = Pipeline(samples, input_shape=runner.input_shape, preprocessing=preprocessing).epoch(0)
    best, inside = [], []
    for index, found in enumerate(codec.decode_poses(runner.predict(batch.images))):
        found = poses_in_image(found, batch.matrices[index])
        if not len(found):
            best.append(0)
            continue
        person = int(areas[index].argmax())
        truth, area = samples[index].keypoints[person], samples[index].areas[person]
        scores = oks(found.keypoints, truth, np.full(len(found), area), skeleton.sigmas)
        best.append(scores.max())
        # The joints it is sure of lie in the box of that pose.
        pose, box = found.keypoints[scores.argmax()], found.boxes[scores.argmax()]
        sure = pose[pose[:, 2] > 0.5, :2]
        margin = 0.15 * box[2:]
        inside += ((sure >= box[:2] - margin) & (sure <= box[:2] + box[2:] + margin)).all(axis=1).tolist()
    assert np.mean(inside) > 0.95
    assert len(inside) > 60
    assert np.median(best) > 0.6, best

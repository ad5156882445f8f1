"""Batches: nothing lost, the same whatever the threads, labels on the pixels they were on."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stm32pose.config.data_sections import Preprocessing, Resizing
from stm32pose.data.cache import cache_side, open_cache
from stm32pose.data.images import image_size
from stm32pose.data.pipeline import Batch, Pipeline, unmap_poses
from stm32pose.data.sample import Sample
from stm32pose.errors import ConfigError, UserError
from stm32pose.transforms.chain import build_chain
from stm32pose.transforms.geometry import affine, determinant

SHAPE = (96, 128, 3)
FLIP = np.array([1, 0, 2])  # red is left, green is right, blue is in the middle
EVERYTHING = {
    "random_flip": {"mode": "horizontal_and_vertical"},
    "random_rotation": {"factor": 0.1},
    "random_zoom": {"width_factor": 0.2, "height_factor": 0.2, "fill_mode": "constant", "fill_value": -1.0},
    "random_translation": {"width_factor": 0.1, "height_factor": 0.1, "fill_mode": "constant", "fill_value": -1.0},
    "random_shear": {"factor": 0.03, "fill_mode": "constant", "fill_value": -1.0},
    "random_contrast": {"factor": 0.3},
    "random_brightness": {"factor": 0.05},
    "random_blur": {"filter_size": (2, 4)},
}


def preprocessing(aspect_ratio: str = "fit", color_mode: str = "rgb") -> Preprocessing:
    return Preprocessing.model_validate({"resizing": {"aspect_ratio": aspect_ratio}, "color_mode": color_mode})


def make_samples(folder: Path, count: int = 10, seed: int = 0) -> list[Sample]:
    """Dark images with a red, a green and a blue blob, one for each of three keypoints."""
    rng = np.random.default_rng(seed)
    samples = []
    for index in range(count):
        height, width = (int(side) for side in rng.integers(180, 300, 2))
        points = rng.uniform(0.25, 0.75, (3, 2)) * (width, height)
        rows, columns = np.mgrid[:height, :width] + 0.5
        blobs = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 7.0**2)) for x, y in points]
        path = folder / f"{index}.png"
        Image.fromarray(np.rint(250 * np.stack(blobs, axis=-1)).astype(np.uint8)).save(path)
        keypoints = np.concatenate([points, [[2], [1], [2]]], axis=1)[None].astype(np.float32)
        low, high = points.min(axis=0), points.max(axis=0)
        box = np.array([[*low, *(high - low)]], np.float32)
        samples.append(
            Sample(path, (height, width), keypoints, box, box[:, 2] * box[:, 3], np.zeros(1, dtype=bool), index)
        )
    return samples


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> list[Sample]:
    return make_samples(tmp_path_factory.mktemp("blobs"))


def pipeline_of(samples, *, augmentation=None, shape=SHAPE, section=None, **options) -> Pipeline:
    section = section or preprocessing()
    chain = None
    if augmentation is not None:
        chain = build_chain(augmentation, input_shape=shape, rescaling=section.rescaling)
    return Pipeline(samples, input_shape=shape, preprocessing=section, chain=chain, flip=FLIP, **options)


def assert_same(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for name in ("images", "keypoints_input", "boxes_input", "areas_input", "matrices", "indices"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("stm32pose-pipeline")]


def test_shapes_and_types(samples):
    (batch,) = pipeline_of(samples, batch_size=16, augmentation=EVERYTHING).epoch(0)
    assert len(batch) == 10
    assert (batch.images.dtype, batch.images.shape) == (np.uint8, (10, *SHAPE))
    assert (batch.keypoints_input.dtype, batch.keypoints_input.shape) == (np.float32, (10, 1, 3, 3))
    assert (batch.boxes_input.dtype, batch.boxes_input.shape) == (np.float32, (10, 1, 4))
    assert (batch.areas_input.dtype, batch.areas_input.shape) == (np.float32, (10, 1))
    assert (batch.matrices.dtype, batch.matrices.shape) == (np.float64, (10, 3, 3))
    assert (batch.indices.dtype, batch.indices.shape) == (np.int64, (10,))


@pytest.mark.parametrize(("batch_size", "sizes"), [(4, [4, 4, 2]), (5, [5, 5]), (32, [10]), (1, [1] * 10)])
def test_no_sample_is_lost(samples, batch_size, sizes):
    pipeline = pipeline_of(samples, batch_size=batch_size, shuffle=True, augmentation=EVERYTHING)
    batches = list(pipeline.epoch(3))
    assert [len(batch) for batch in batches] == sizes
    assert len(pipeline) == len(sizes)
    assert sorted(np.concatenate([batch.indices for batch in batches]).tolist()) == list(range(10))
    dropped = pipeline_of(samples, batch_size=batch_size, drop_last=True)
    whole = [size for size in sizes if size == batch_size]
    assert [len(batch) for batch in dropped.epoch(0)] == whole
    assert len(dropped) == len(whole)


def test_no_samples_give_no_batches():
    assert list(pipeline_of([]).epoch(0)) == []


def test_threads_cache_and_batches_make_no_difference(samples):
    def run(workers, cache=None, batch_size=4):
        options = {"workers": workers, "cache": cache, "batch_size": batch_size}
        return list(pipeline_of(samples, augmentation=EVERYTHING, shuffle=True, seed=7, **options).epoch(2))

    expected = run(1)
    assert_same(expected, run(3))
    with open_cache(samples, side=cache_side(SHAPE[:2])) as cache:
        assert_same(expected, run(3, cache))
        assert_same(expected, run(2, cache))
    whole = run(2, batch_size=10)[0]
    np.testing.assert_array_equal(np.concatenate([batch.images for batch in expected]), whole.images)


def test_an_epoch_is_taken_up_where_it_was_left(samples):
    pipeline = pipeline_of(samples, augmentation=EVERYTHING, shuffle=True, batch_size=3)
    assert_same(list(pipeline.epoch(4))[2:], list(pipeline.epoch(4, start=2)))


def test_epochs_and_seeds_differ(samples):
    def order(epoch=0, **options):
        batches = pipeline_of(samples, augmentation=EVERYTHING, batch_size=10, **options).epoch(epoch)
        return next(batches)

    base = order(shuffle=True)
    assert order(1, shuffle=True).indices.tolist() != base.indices.tolist()
    assert order(shuffle=True, seed=1).indices.tolist() != base.indices.tolist()
    plain = order()
    assert plain.indices.tolist() == list(range(10))
    assert (order(1).matrices != plain.matrices).any()


def brightest(image: np.ndarray, channel: int) -> np.ndarray:
    weights = np.maximum(image[..., channel].astype(float) - 0.6 * image[..., channel].max(), 0)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


@pytest.mark.parametrize("ratio", ["fit", "padding", "crop"])
@pytest.mark.parametrize("augmentation", [None, {}, EVERYTHING, *({name: EVERYTHING[name]} for name in EVERYTHING)])
def test_labels_stay_on_their_pixels_and_left_and_right_change_places(samples, ratio, augmentation):
    """Each keypoint is found at the blob of its colour, in mirrored images at that of its partner."""
    checked = mirrored = 0
    for epoch in range(3):
        for batch in pipeline_of(samples, section=preprocessing(ratio), augmentation=augmentation).epoch(epoch):
            for image, (keypoints,), matrix in zip(batch.images, batch.keypoints_input, batch.matrices, strict=True):
                mirror = determinant(matrix) < 0
                mirrored += bool(mirror)
                for joint in range(3):
                    x, y, visibility = keypoints[joint]
                    if not (visibility and 14 < x < SHAPE[1] - 14 and 14 < y < SHAPE[0] - 14):
                        continue
                    partner = FLIP[joint] if mirror else joint
                    found = brightest(image, partner)
                    np.testing.assert_allclose(found, [x, y], atol=0.35)
                    assert visibility == (1 if partner == 1 else 2)
                    checked += 1
    assert checked > 40
    assert (mirrored > 5) == (augmentation is not None and "random_flip" in augmentation)


def test_one_flip_mirrors_and_half_a_turn_does_not(samples):
    # The second keypoint is the occluded one: after a mirror the first one is.
    for mode in ("horizontal", "vertical"):
        (batch,) = pipeline_of(samples, augmentation={"random_flip": {"mode": mode, "change_rate": 1}}).epoch(0)
        assert (batch.keypoints_input[:, 0, 0, 2] == 1).all()
    (batch,) = pipeline_of(samples, augmentation={"random_rotation": {"factor": (0.4999, 0.5)}}).epoch(0)
    assert (batch.keypoints_input[:, 0, 1, 2] == 1).all()


def test_a_chain_that_mirrors_needs_the_flip(samples):
    chain = build_chain({"random_flip": {"mode": "horizontal"}}, input_shape=SHAPE)
    with pytest.raises(ValueError, match="flip"):
        Pipeline(samples, input_shape=SHAPE, preprocessing=preprocessing(), chain=chain)


def test_points_outside_are_hidden_and_boxes_and_areas_lose_their_share(samples):
    zoomed = {"random_zoom": {"width_factor": (-0.51, -0.5), "height_factor": (-0.51, -0.5)}}
    (batch,) = pipeline_of(samples, augmentation=zoomed).epoch(0)
    hidden = batch.keypoints_input[..., 2] == 0
    assert 0 < hidden.sum() < hidden.size
    assert not batch.keypoints_input[hidden].any()
    seen = batch.keypoints_input[~hidden][:, :2]
    assert ((seen >= 0) & (seen < (128, 96))).all()
    boxes = batch.boxes_input[:, 0]
    assert ((boxes[:, 0] >= 0) & (boxes[:, 0] + boxes[:, 2] <= 128.001)).all()
    # The label's area is its box's here, and a zoom keeps boxes upright, so the share is exact.
    np.testing.assert_allclose(batch.areas_input[:, 0], boxes[:, 2] * boxes[:, 3], rtol=1e-4)


def test_several_instances_are_padded_and_groups_left_out(samples):
    shift = np.array([5, 5, 0], np.float32)
    two = np.concatenate([samples[0].keypoints, samples[0].keypoints + shift])
    crowd = replace(
        samples[0],
        keypoints=np.concatenate([two, two[:1]]),
        boxes=np.repeat(samples[0].boxes, 3, axis=0),
        areas=np.repeat(samples[0].areas, 3),
        crowd=np.array([False, False, True]),
    )
    empty = samples[1].only([])
    (batch,) = pipeline_of([crowd, samples[2], empty]).epoch(0)
    assert batch.keypoints_input.shape == (3, 2, 3, 3)
    assert (batch.keypoints_input[0, :, :, 2] > 0).all()
    assert (batch.keypoints_input[1, 0, :, 2] > 0).all()
    assert not batch.keypoints_input[1, 1].any()
    assert not batch.keypoints_input[2].any()
    assert not batch.areas_input[2].any()
    (batch,) = pipeline_of([empty]).epoch(0)
    assert batch.keypoints_input.shape == (1, 1, 3, 3)


def test_colour_modes(samples):
    (rgb,) = pipeline_of(samples).epoch(0)
    (bgr,) = pipeline_of(samples, section=preprocessing(color_mode="bgr")).epoch(0)
    np.testing.assert_array_equal(bgr.images, rgb.images[..., ::-1])
    (grey,) = pipeline_of(samples, section=preprocessing(color_mode="grayscale"), shape=(96, 128, 1)).epoch(0)
    assert grey.images.shape == (10, 96, 128, 1)
    np.testing.assert_allclose(grey.images[..., 0], rgb.images @ [0.299, 0.587, 0.114], atol=1.5)
    augmented = {"random_contrast": {"factor": 0.3}, "random_blur": {"filter_size": 4, "change_rate": 1}}
    section = preprocessing(color_mode="grayscale")
    assert len(list(pipeline_of(samples, section=section, shape=(96, 128, 1), augmentation=augmented).epoch(0))) == 1
    with pytest.raises(ConfigError, match=r"preprocessing\.color_mode: got grayscale, which gives 1"):
        pipeline_of(samples, section=section)


def plain_image(folder: Path, size: tuple[int, int], colour: tuple[int, int, int]) -> Sample:
    path = folder / "plain.png"
    Image.new("RGB", size[::-1], colour).save(path)
    return Sample(path, size, np.zeros((0, 3, 3)), np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=bool), 0)


def test_padding_shows_black_bars_whatever_the_fill(tmp_path, caplog):
    white = plain_image(tmp_path, (300, 300), (255, 255, 255))
    shift = {"random_translation": {"width_factor": 0.05, "height_factor": 0.05, "fill_mode": "nearest"}}
    with caplog.at_level("INFO"):
        (batch,) = pipeline_of([white], section=preprocessing("padding"), augmentation=shift).epoch(0)
    assert not batch.images[0, :, :8].any()
    assert not batch.images[0, :, -8:].any()
    assert (batch.images[0, 10:-10, 30:-30] == 255).all()
    assert "the bars stay black" in caplog.text
    (batch,) = pipeline_of([white], section=preprocessing("fit"), augmentation=shift).epoch(0)
    assert (batch.images == 255).all()


def test_enlarged_images_keep_their_edges(tmp_path):
    sample = plain_image(tmp_path, (10, 20), (200, 100, 50))
    (batch,) = pipeline_of([sample]).epoch(0)
    assert (batch.images == (200, 100, 50)).all()


def test_regions_are_the_frame(samples):
    x, y = samples[0].keypoints[0, 0, :2]
    region = (float(x) - 30, float(y) - 20, 60.0, 40.0)
    (batch,) = pipeline_of([replace(samples[0], region=region)]).epoch(0)
    np.testing.assert_allclose(batch.keypoints_input[0, 0, 0, :2], [64, 48], atol=1e-3)
    np.testing.assert_allclose(brightest(batch.images[0], 0), [64, 48], atol=0.35)


def test_periodic_resizing_gives_whole_batches_of_a_size_across_epochs(samples):
    resizing = {"random_periodic_resizing": {"image_sizes": [[64, 32], [128, 96]], "period": 2}}
    pipeline = pipeline_of(samples, augmentation=resizing, batch_size=4)
    shapes = [batch.images.shape[1:3] for epoch in range(2) for batch in pipeline.epoch(epoch)]
    assert shapes == [(32, 64), (32, 64), (96, 128), (96, 128), (32, 64), (32, 64)]
    assert [batch.images.shape[1:3] for batch in pipeline.epoch(1, start=1)] == shapes[4:]
    for batch in pipeline.epoch(0):
        height, width = batch.images.shape[1:3]
        expected = [samples[i].keypoints[0, :, :2] / samples[i].size[::-1] * (width, height) for i in batch.indices]
        np.testing.assert_allclose(batch.keypoints_input[:, 0, :, :2], expected, rtol=1e-4)


def test_an_unreadable_image_is_named_and_the_threads_end(samples, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(samples[4].image.read_bytes()[:500])
    bad = [*samples[:7], replace(samples[4], image=broken), *samples[7:]]
    with pytest.raises(UserError, match=r"broken\.png"):
        list(pipeline_of(bad, batch_size=2, workers=3).epoch(0))
    assert not threads()


def test_closing_the_iterator_ends_the_threads(samples):
    batches = pipeline_of(samples, batch_size=1, workers=3).epoch(0)
    next(batches)
    assert threads()
    batches.close()
    assert not threads()


def test_reading_ahead_is_bounded(samples, monkeypatch):
    many = samples * 20
    pipeline = pipeline_of(many, batch_size=2, workers=2)
    begun = []
    begin = pipeline._begin
    monkeypatch.setattr(pipeline, "_begin", lambda *arguments: begun.append(1) or begin(*arguments))
    batches = pipeline.epoch(0)
    for taken in range(1, 10):
        next(batches)
        assert len(begun) <= taken + 8
    batches.close()


def test_a_cache_of_other_samples_is_refused(samples):
    with open_cache(samples[:3], side=50) as cache, pytest.raises(ValueError, match="3 images for 10"):
        pipeline_of(samples, cache=cache)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.integers(0, 2**31))
def test_poses_go_back_to_the_image_they_came_from(batch, instances, keypoints, seed):
    rng = np.random.default_rng(seed)
    matrices = affine(
        *rng.uniform(0.5, 1.5, (2, batch)), *rng.uniform(-0.3, 0.3, (2, batch)), *rng.normal(0, 50, (2, batch))
    )
    matrices = matrices[:, :, [0, 1, 2]]
    if np.any(np.abs(determinant(matrices)) < 0.05):
        return
    poses = rng.uniform(-50, 700, (batch, instances, keypoints, 3))
    moved = poses.copy()
    for row in range(batch):
        ones = np.concatenate([poses[row, ..., :2], np.ones((instances, keypoints, 1))], axis=-1)
        moved[row, ..., :2] = (ones @ matrices[row].T)[..., :2]
    back = unmap_poses(moved, matrices)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, poses, rtol=1e-4, atol=0.05)


def test_real_images_come_out_as_a_plain_resize_shows_them(shared):
    import cv2

    from stm32pose.data.images import read_image

    paths = sorted((shared / "data" / "lspet_1200" / "images").iterdir())[:12]
    none = np.zeros((0,), np.float32)
    samples = [
        Sample(path, image_size(path), none.reshape(0, 3, 3), none.reshape(0, 4), none, none.astype(bool), index)
        for index, path in enumerate(paths)
    ]
    section = Preprocessing(resizing=Resizing(aspect_ratio="fit", interpolation="bilinear"))
    (batch,) = pipeline_of(samples, section=section).epoch(0)
    for sample, image in zip(samples, batch.images, strict=True):
        expected = cv2.resize(read_image(sample.image), (128, 96), interpolation=cv2.INTER_AREA)
        assert np.abs(image.astype(float) - expected).mean() < 6
        shifted = np.roll(expected, 1, axis=1)
        assert np.abs(image.astype(float) - expected).mean() < np.abs(image.astype(float) - shifted).mean()

"""Each augmentation in the pipeline: labels stay on their pixels, what is covered is cleared, threads do not matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stm32pose.config.data_sections import Preprocessing
from stm32pose.data.cache import cache_side, open_cache
from stm32pose.data.pipeline import Pipeline
from stm32pose.data.sample import Sample
from stm32pose.skeletons.parse import parse_skeleton
from stm32pose.transforms.chain import OPERATIONS, RESIZING, build_chain
from stm32pose.transforms.geometry import determinant

# Red above left, green above right, blue below: a body of two upper and one lower joint, of any K.
SKELETON = parse_skeleton(
    {
        "name": "three",
        "category": "person",
        "keypoints": ["left_hand", "right_hand", "foot"],
        "upper_body": ["left_hand", "right_hand"],
    },
    where="three.yaml",
)
SHAPES = [(96, 128, 3), (128, 96, 3)]
BLACK = {"fill_mode": "constant", "fill_value": -1.0}
GEOMETRY = {
    "random_rotation": {"factor": 0.1, **BLACK},
    "rotation in space": {"factor": 0.12, "rotation_type": "3D", **BLACK},
    "random_crop": {"change_rate": 1},
    "random_half_body": {"min_total_keypoints": 2, "min_lower_keypoints": 1, "change_rate": 1, "padding": 3, **BLACK},
    "random_person_scale": {"scale_factor": (0.7, 1.2), "rotate_factor": 0.1, **BLACK},
    "random_mosaic": {"change_rate": 1, "labels": "all", **BLACK},
}
ARGUMENTS = {
    "random_flip": {"mode": "horizontal_and_vertical"},
    "random_rotation": {"factor": 0.1},
    "random_zoom": {"width_factor": 0.2},
    "random_translation": {"width_factor": 0.1, "height_factor": 0.1},
    "random_shear": {"factor": 0.03},
    "random_shear_x": {"factor": 0.03},
    "random_shear_y": {"factor": 0.03},
    "random_contrast": {"factor": 0.3},
    "random_brightness": {"factor": 0.1},
    "random_gamma": {"gamma": (0.8, 1.2)},
    "random_posterize": {"bits": (4, 8)},
    "random_autocontrast": {"cutoff": 0},
    "random_hue": {"delta": 0.1},
    "random_saturation": {"delta": 0.1},
    "random_value": {"delta": 0.1},
    "random_hsv": {"hue_delta": 0.1, "saturation_delta": 0.1, "value_delta": 0.1},
    "random_blur": {"filter_size": (2, 4)},
    "random_sharpness": {"factor": 1.0},
    "random_jpeg_quality": {"jpeg_quality": (50, 95)},
    "random_gaussian_noise": {"stddev": (0, 0.05)},
    "random_half_body": {"min_total_keypoints": 2, "min_lower_keypoints": 1},
}


def make_samples(folder: Path, count: int = 12, seed: int = 0) -> list[Sample]:
    rng = np.random.default_rng(seed)
    samples = []
    for index in range(count):
        height, width = (int(side) for side in rng.integers(180, 300, 2))
        points = rng.uniform([(0.3, 0.3), (0.6, 0.3), (0.45, 0.6)], [(0.4, 0.4), (0.7, 0.4), (0.55, 0.7)]) * (
            width,
            height,
        )
        rows, columns = np.mgrid[:height, :width] + 0.5
        blobs = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 6.0**2)) for x, y in points]
        path = folder / f"{index}.png"
        Image.fromarray(np.rint(250 * np.stack(blobs, axis=-1)).astype(np.uint8)).save(path)
        keypoints = np.concatenate([points, [[2], [1], [2]]], axis=1)[None].astype(np.float32)
        low, high = points.min(axis=0) - 20, points.max(axis=0) + 20
        box = np.array([[*low, *(high - low)]], np.float32)
        samples.append(Sample(path, (height, width), keypoints, box, box[:, 2] * box[:, 3], np.zeros(1, bool), index))
    return samples


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> list[Sample]:
    return make_samples(tmp_path_factory.mktemp("bodies"))


def pipeline_of(samples, augmentation, shape=SHAPES[0], ratio="fit", **options) -> Pipeline:
    mode = "grayscale" if shape[2] == 1 else "rgb"
    section = Preprocessing.model_validate({"resizing": {"aspect_ratio": ratio}, "color_mode": mode})
    chain = build_chain(augmentation, input_shape=shape, rescaling=section.rescaling, skeleton=SKELETON)
    return Pipeline(samples, input_shape=shape, preprocessing=section, chain=chain, flip=SKELETON.flip, **options)


def found_blob(image: np.ndarray, channel: int, near: np.ndarray, reach: float = 14) -> np.ndarray:
    """Centroid of a colour near a place, where another one of its colour may be elsewhere."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    close = (np.abs(columns - near[0]) < reach) & (np.abs(rows - near[1]) < reach)
    weights = np.where(close, np.maximum(image[..., channel].astype(float) - 30, 0), 0)
    assert weights.sum() > 0, "nothing is where the label is"
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ratio", ["fit", "padding"])
@pytest.mark.parametrize("name", GEOMETRY)
def test_labels_follow_their_pixels(samples, name, ratio, shape):
    entry = {"random_rotation" if name == "rotation in space" else name: GEOMETRY[name]}
    checked = 0
    for epoch in range(3):
        for batch in pipeline_of(samples, entry, shape, ratio).epoch(epoch):
            for image, poses in zip(batch.images, batch.keypoints_input, strict=True):
                for x, y, visibility, joint in [(*point, joint) for pose in poses for joint, point in enumerate(pose)]:
                    if visibility and 16 < x < shape[1] - 16 and 16 < y < shape[0] - 16:
                        found = found_blob(image, joint, np.array([x, y]))
                        if name == "random_mosaic" and np.abs(found - [x, y]).max() > 1:
                            continue  # cut by the seam, or the other person's joint beside it
                        np.testing.assert_allclose(found, [x, y], atol=1.0)
                        checked += 1
    assert checked > 30


@pytest.mark.parametrize("bound", ["random_blur", "random_gaussian_noise", "random_coarse_dropout", "random_mosaic"])
@pytest.mark.parametrize("shape", SHAPES)
def test_labels_follow_through_a_second_resampling(samples, bound, shape):
    """A turn, something bound to its place, a flip: sides are exchanged where and when pixels are."""
    given = {
        "random_blur": {"filter_size": 3},
        "random_gaussian_noise": {"stddev": 0.02},
        "random_coarse_dropout": {"width": 0.1, "height": 0.1},
        "random_mosaic": {"labels": "all", **BLACK},
    }[bound]
    augmentation = {
        "random_rotation": {"factor": 0.03},
        bound: {**given, "change_rate": 0.7},
        "random_flip": {"mode": "horizontal"},
        "random_zoom": {"width_factor": 0.1, **BLACK},
    }
    checked = mirrored = off = 0
    for batch in pipeline_of(samples * 3, augmentation, shape, batch_size=36).epoch(1):
        for image, poses, matrix in zip(batch.images, batch.keypoints_input, batch.matrices, strict=True):
            mirror = determinant(matrix) < 0
            mirrored += bool(mirror)
            for pose in poses:
                for joint, (x, y, visibility) in enumerate(pose):
                    if visibility and 16 < x < shape[1] - 16 and 16 < y < shape[0] - 16:
                        colour = SKELETON.flip[joint] if mirror else joint
                        found = found_blob(image, colour, np.array([x, y]), 10)
                        off += np.abs(found - [x, y]).max() > 1.5
                        checked += 1
    assert checked > 50
    assert 5 < mirrored < 31
    assert off <= checked * (0.15 if bound in ("random_mosaic", "random_coarse_dropout") else 0)


@pytest.mark.parametrize("name", ["random_rectangle_erasing", "random_grid_cell_erasing", "random_coarse_dropout"])
@pytest.mark.parametrize("shape", [*SHAPES, (96, 128, 1)])
def test_a_keypoint_is_labelled_just_where_its_pixel_is_not_painted(samples, name, shape):
    given = {"random_rectangle_erasing": {"nrec": (1, 3), "area": (0.05, 0.15)}}.get(name, {})
    entry = {name: {**given, "fill_method": "uniform", "color": 255, "change_rate": 1}}
    plain = next(pipeline_of(samples, {}, shape, batch_size=12).epoch(0))
    kinds = set()
    for epoch in range(4):
        for batch in pipeline_of(samples, entry, shape, batch_size=12).epoch(epoch):
            for image, poses, whole, before in zip(
                batch.images, batch.keypoints_input, plain.keypoints_input, plain.images, strict=True
            ):
                painted = (image == 255).all(axis=-1)
                np.testing.assert_array_equal(image[~painted], before[~painted])
                for after, (x, y, visibility) in zip(poses[0], whole[0], strict=True):
                    if painted[int(y), int(x)]:
                        assert not after.any()
                    else:
                        np.testing.assert_array_equal(after, (x, y, visibility))
                    kinds.add((bool(painted[int(y), int(x)]), int(visibility)))
            np.testing.assert_array_equal(batch.boxes_input, plain.boxes_input)
    assert kinds == {(False, 1), (False, 2), (True, 1), (True, 2)}


def test_occluded_in_place_of_unlabelled(samples):
    entry = {"random_coarse_dropout": {"width": 1.0, "height": 1.0, "covered": "occluded", "change_rate": 1}}
    (batch,) = pipeline_of(samples, entry).epoch(0)
    assert not batch.images.any()
    assert (batch.keypoints_input[..., 2] == 1).all()


def test_crop_cuts_boxes_and_areas_and_clears_what_is_outside(samples):
    crop = {"crop_center_x": 0.0, "crop_center_y": 0.0, "crop_width": 0.5, "crop_height": 0.5, "change_rate": 1}
    (whole,) = pipeline_of(samples, {}).epoch(0)
    (batch,) = pipeline_of(samples, {"random_crop": crop}).epoch(0)
    points = whole.keypoints_input[:, 0, :, :2] * 2
    inside = (points < (128, 96)).all(axis=-1)
    assert 0 < inside.sum() < inside.size
    np.testing.assert_array_equal(batch.keypoints_input[:, 0, :, 2] > 0, inside)
    np.testing.assert_allclose(batch.keypoints_input[:, 0][inside][:, :2], points[inside], rtol=1e-5)
    right = np.minimum(2 * (whole.boxes_input[:, 0, 0] + whole.boxes_input[:, 0, 2]), 128)
    np.testing.assert_allclose(batch.boxes_input[:, 0, 0] + batch.boxes_input[:, 0, 2], right, rtol=1e-5)
    np.testing.assert_allclose(
        batch.areas_input[:, 0], batch.boxes_input[:, 0, 2] * batch.boxes_input[:, 0, 3], rtol=1e-4
    )


@pytest.mark.parametrize("labels", ["largest", "all"])
def test_a_mosaic_shows_two_and_labels_one_or_both(samples, labels):
    entry = {"random_mosaic": {"labels": labels, "change_rate": 1, **BLACK}}
    (batch,) = pipeline_of(samples, entry, batch_size=12).epoch(0)
    assert batch.keypoints_input.shape[1] == (1 if labels == "largest" else 2)
    for image in batch.images:
        red = [(image[:, part, 0] > 100).any() for part in (slice(0, 60), slice(68, 128))]
        assert red == [True, True]
    if labels == "all":
        assert (batch.areas_input > 0).all()
        (largest,) = pipeline_of(
            samples, {"random_mosaic": {**entry["random_mosaic"], "labels": "largest"}}, batch_size=12
        ).epoch(0)
        np.testing.assert_array_equal(largest.areas_input[:, 0], batch.areas_input.max(axis=1))
        np.testing.assert_array_equal(largest.images, batch.images)


def test_a_mosaic_of_a_set_of_one_is_of_it_twice(samples):
    (batch,) = pipeline_of(samples[:1], {"random_mosaic": {"labels": "all", "change_rate": 1}}).epoch(0)
    assert batch.keypoints_input.shape == (1, 2, 3, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_everything_at_once_is_the_same_on_any_number_of_threads(samples, channels):
    # The order of the catalogue has every kind in it; noise and the like come before the mosaic.
    names = [name for name, operation in OPERATIONS.items() if channels == 3 or not getattr(operation, "rgb", False)]
    augmentation = {name: {**ARGUMENTS.get(name, {}), "change_rate": 0.5} for name in reversed(names)}
    augmentation[RESIZING] = {"image_sizes": [[128, 96], [64, 64]], "period": 2}

    def run(workers, cache=None, batch_size=5):
        options = {"workers": workers, "cache": cache, "shuffle": True, "seed": 4}
        return list(pipeline_of(samples, augmentation, (96, 128, channels), batch_size=batch_size, **options).epoch(2))

    expected = run(1)
    with open_cache(samples, side=cache_side((96, 128))) as cache:
        for other in (run(3), run(2, cache), run(4, cache)):
            for one, two in zip(expected, other, strict=True):
                for field in ("images", "keypoints_input", "boxes_input", "areas_input", "matrices", "indices"):
                    np.testing.assert_array_equal(getattr(one, field), getattr(two, field))
    assert (expected[0].images[:, 0, 0] != expected[0].images[0, 0, 0]).any()


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "random_flip"])
def test_a_change_rate_of_nothing_changes_nothing(samples, name):
    if name == "random_half_body":
        given = {"min_total_keypoints": 2, "min_lower_keypoints": 1}
    else:
        given = ARGUMENTS.get(name, {})
    (plain,) = pipeline_of(samples, {}).epoch(0)
    (still,) = pipeline_of(samples, {name: {**given, "change_rate": 0}}).epoch(0)
    np.testing.assert_array_equal(still.keypoints_input, plain.keypoints_input)
    np.testing.assert_array_equal(still.matrices, plain.matrices)
    (changed,) = pipeline_of(samples, {name: {**given, "change_rate": 1}}).epoch(0)
    assert (changed.images != plain.images).any()

"""The pictures of a training, for every kind of output: light where the joints are, nothing lost on the way."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import training_dots as dots

from stm32pose.codecs.heatmap import HeatmapCodec
from stm32pose.codecs.keypoints import KeypointsCodec
from stm32pose.codecs.movenet import MovenetCodec
from stm32pose.codecs.simcc import SimccCodec
from stm32pose.errors import UserError
from stm32pose.training.pictures import (
    LATEST,
    PICTURED_EPOCHS,
    Pictures,
    overlay,
    pictured,
    place_maps,
    pose_picture,
)

SIZE = (48, 64)  # (H, W): not square, so that an axis taken for the other one is seen
TRUTH = np.array([[[[10.0, 40.0, 2.0], [50.0, 8.0, 2.0], [0.0, 0.0, 0.0]]]], np.float32)


def codecs() -> list[Any]:
    return [
        HeatmapCodec(SIZE, (12, 16), 3),
        HeatmapCodec(SIZE, (12, 16), 3, activation="empty"),
        SimccCodec(SIZE, 3),
        MovenetCodec(SIZE, (12, 16), 3),
    ]


def perfect(codec: Any, targets: Any) -> list[np.ndarray]:
    """Outputs of a network that gives the targets."""
    if isinstance(codec, MovenetCodec):
        centre, heatmaps, _, _ = targets
        fields = np.zeros((*heatmaps.shape[:3], 6), np.float32)
        return [centre, heatmaps, fields, fields]
    return [np.log(targets + 1e-9)] if codec.activation == "empty" else [targets]


@pytest.mark.parametrize("codec", codecs(), ids=["heatmaps", "logits", "simcc", "movenet"])
@pytest.mark.parametrize("what", ["targets", "outputs"])
def test_the_map_is_bright_at_the_joints_and_dark_elsewhere(codec: Any, what: str) -> None:
    targets, _ = codec.encode(TRUTH)
    if what == "targets":
        places = place_maps(codec, targets if isinstance(targets, tuple) else (targets,), targets=True)
    else:
        places = place_maps(codec, perfect(codec, targets))
    assert places is not None
    heat = places[0].heat
    rows, columns = heat.shape
    assert columns / rows == pytest.approx(SIZE[1] / SIZE[0])
    scale = np.array([columns / SIZE[1], rows / SIZE[0]])
    peaks = [heat[int(y), int(x)] for x, y in TRUTH[0, 0, :2, :2] * scale]
    assert min(peaks) > 0.6 * heat.max()
    assert np.median(heat) < 0.15 * heat.max()  # a joint that is nowhere is a little light everywhere


def test_movenets_outputs_are_taken_in_their_own_order() -> None:
    codec = MovenetCodec(SIZE, (12, 16), 3, order=(1, 0, 2, 3))
    targets, _ = codec.encode(TRUTH)
    centre, heatmaps, fields, _ = perfect(codec, targets)
    places = place_maps(codec, [heatmaps, centre, fields, fields])
    assert places is not None
    np.testing.assert_array_equal(places[0].heat, heatmaps[0].max(axis=2))


def test_simcc_shows_a_joint_that_is_spread_beside_one_that_is_sharp() -> None:
    """Ten times as wide along both axes is a hundredth of the brightness in a plain product."""
    codec = SimccCodec(SIZE, 2, split=2, sigma=2.0)
    sharp, _ = codec.encode(np.array([[[[10.0, 40.0, 2.0], [50.0, 8.0, 2.0]]]]))
    wide, _ = SimccCodec(SIZE, 2, split=2, sigma=10.0).encode(np.array([[[[10.0, 40.0, 2.0], [50.0, 8.0, 2.0]]]]))
    values = np.stack([sharp[0, 0], wide[0, 1]])[None]
    places = place_maps(codec, [values], targets=True)
    assert places is not None
    assert places[0].heat[16, 100] > 0.1 * places[0].heat.max()


def test_simccs_distributions_are_drawn_along_the_edges() -> None:
    codec = SimccCodec(SIZE, 3)
    targets, _ = codec.encode(TRUTH)
    images = np.zeros((1, *SIZE, 3), np.uint8)
    picture = pose_picture(images, TRUTH[:, 0], targets, dots.dots_skeleton(), codec)
    tile = picture[4:-4, 4 + 192 + 4 : 4 + 192 + 4 + 192].astype(int).sum(axis=2)
    # The tile is 144 + 18 pixels high and 192 wide: three times the input.
    assert tile[2, 30] > 300
    assert tile[2, 150] > 300
    assert tile[2, 90] < 60
    assert tile[120, 2] > 300
    assert tile[60, 2] < 60


def test_regression_shows_label_and_pose_alone() -> None:
    codec = KeypointsCodec(SIZE, 3)
    targets, _ = codec.encode(TRUTH)
    images = np.zeros((1, *SIZE, 3), np.uint8)
    assert place_maps(codec, [targets]) is None
    picture = pose_picture(
        images,
        TRUTH[:, 0],
        targets,
        dots.dots_skeleton(),
        codec,
        outputs=[targets],
        poses=codec.decode([targets])[:, 0],
    )
    assert picture.shape[1] == 2 * (192 + 4) + 4
    left, right = picture[:, :200].astype(int), picture[:, 200:].astype(int)
    assert left.sum() > 1e5
    assert right.sum() > 1e5


@pytest.mark.parametrize(("kind", "pictures"), [("spe", 1), ("heatmaps", 2)])
def test_targets_are_drawn_where_they_are_more_than_the_labels(tmp_path: Path, kind: str, pictures: int) -> None:
    codec = KeypointsCodec(SIZE, 3) if kind == "spe" else HeatmapCodec(SIZE, (12, 16), 3)
    batch: Any = SimpleNamespace(images=np.zeros((1, *SIZE, 3), np.uint8), keypoints_input=TRUTH)
    curves: Any = SimpleNamespace(picture=lambda *_arguments, **_options: None)
    Pictures(dots.dots_skeleton(), curves, tmp_path).before(batch, codec, 0)
    names = sorted(path.name for path in tmp_path.glob("*.jpg"))
    assert names == ["augmented.jpg", "targets.jpg"][:pictures]


def test_a_pose_that_the_network_is_unsure_of_is_still_drawn() -> None:
    codec = KeypointsCodec(SIZE, 3)
    targets, _ = codec.encode(TRUTH)
    images = np.zeros((1, *SIZE, 3), np.uint8)

    def decoded(score: float) -> np.ndarray:
        poses = np.array([[[20.0, 20.0, score], [40.0, 20.0, score], [30.0, 40.0, score]]], np.float32)
        picture = pose_picture(
            images, TRUTH[:, 0], targets, dots.dots_skeleton(), codec, outputs=[targets], poses=poses
        )
        return picture[4:148, 200:-4]

    assert (decoded(0.02).max(axis=2) > 150).sum() > 50
    assert (decoded(0.0).max(axis=2) > 150).sum() == 0


def test_outputs_that_are_no_numbers_are_drawn_all_the_same() -> None:
    for codec in codecs():
        targets, _ = codec.encode(TRUTH)
        outputs = [np.full_like(output, np.nan) for output in perfect(codec, targets)]
        pose_picture(
            np.zeros((1, *SIZE, 3), np.uint8),
            TRUTH[:, 0],
            targets,
            dots.dots_skeleton(),
            codec,
            outputs=outputs,
            poses=np.full((1, 3, 3), np.nan, np.float32),
        )


def test_overlay_is_white_where_it_is_hottest() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[3, 0] = 2.0
    drawn = overlay(np.zeros((40, 40, 3), np.uint8), heat)
    assert np.unravel_index(drawn.sum(axis=2).argmax(), (40, 40))[0] > 30
    assert drawn[2, 37].max() < 10


def test_first_last_and_some_epochs_between_are_pictured() -> None:
    for epochs in (1, 2, 5, 10, 11, 100, 137):
        chosen = [epoch for epoch in range(1, epochs + 1) if pictured(epoch, epochs)]
        assert chosen[0] == 1
        assert chosen[-1] == epochs
        assert min(epochs, PICTURED_EPOCHS - 3) <= len(chosen) <= PICTURED_EPOCHS + 4


class Recorded:
    """In place of TensorBoard."""

    def __init__(self) -> None:
        self.tags: list[tuple[str, int, str]] = []

    def picture(self, tag: str, image: np.ndarray, step: int, *, where: str = "validation") -> None:
        assert image.dtype == np.uint8
        self.tags.append((tag, step, where))


class Repeated:
    """A pipeline of one batch that counts how often it is opened."""

    def __init__(self, images: np.ndarray, keypoints: np.ndarray) -> None:
        self.batch: Any = SimpleNamespace(images=images, keypoints_input=keypoints)
        self.opened = 0

    def epoch(self, _n: int) -> Any:
        self.opened += 1
        yield self.batch


def blue(bgr: bool) -> Any:
    """A batch of images that are blue as the network takes them."""
    images = np.zeros((2, *SIZE, 3), np.uint8)
    images[..., 0 if bgr else 2] = 200
    return Repeated(images, np.repeat(TRUTH, 2, axis=0))


@pytest.mark.parametrize("bgr", [False, True])
def test_files_and_tags_of_a_training(tmp_path: Path, bgr: bool) -> None:
    curves, source, codec = Recorded(), blue(bgr), HeatmapCodec(SIZE, (12, 16), 3)
    pictures = Pictures(dots.dots_skeleton(), curves, tmp_path, bgr)  # type: ignore[arg-type]

    def forward(images: np.ndarray, targets: Any) -> Any:
        return [targets], None

    pictures.before(source.batch, codec, 0)
    pictures.epoch(1, source, codec, forward)  # type: ignore[arg-type]
    pictures.epoch(12, source, codec, forward)  # type: ignore[arg-type]
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {
        "augmented.jpg",
        "targets.jpg",
        "training/epoch_001.jpg",
        "training/epoch_012.jpg",
        f"training/{LATEST}",
    }
    assert (tmp_path / "training" / LATEST).read_bytes() == (tmp_path / "training" / "epoch_012.jpg").read_bytes()
    assert curves.tags == [
        ("training_inputs_and_targets", 0, "train"),
        ("inputs_targets_predictions", 1, "validation"),
        ("inputs_targets_predictions", 12, "validation"),
    ]
    assert source.opened == 1  # the images that are followed are read once
    drawn = np.asarray(cv2.imread(str(tmp_path / "augmented.jpg")))  # BGR
    assert np.median(drawn[..., 0][drawn.min(axis=2) < 100]) > 150


def test_grey_images_are_drawn(tmp_path: Path) -> None:
    source = Repeated(np.full((1, *SIZE, 1), 90, np.uint8), TRUTH)
    Pictures(dots.dots_skeleton(), Recorded(), tmp_path).before(source.batch, HeatmapCodec(SIZE, (12, 16), 3), 0)  # type: ignore[arg-type]
    assert cv2.imread(str(tmp_path / "augmented.jpg")) is not None


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("in the way")
    pictures = Pictures(dots.dots_skeleton(), Recorded(), tmp_path / "figures")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="cannot be written") as caught:
        pictures.before(blue(False).batch, HeatmapCodec(SIZE, (12, 16), 3), 0)
    assert "\n" not in str(caught.value)

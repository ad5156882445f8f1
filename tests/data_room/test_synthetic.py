"""Procedural people: exact labels, the same images for the same seed, folders that can be interrupted."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stm32pose.data import synthetic
from stm32pose.data.coco import read_coco
from stm32pose.data.images import read_image
from stm32pose.data.synthetic import make_poses, render_pose
from stm32pose.data.synthetic_background import Ground
from stm32pose.data.synthetic_body import SIDES, Arm, Body, Figure, Pose, build_figure, sample_body
from stm32pose.data.synthetic_clothes import sample_outfit
from stm32pose.data.synthetic_figure import _arm, _leg, figure_parts
from stm32pose.data.synthetic_image import composite, label, person_mask, point_names, render_image
from stm32pose.data.synthetic_poses import sample_pose
from stm32pose.data.synthetic_render import Camera, cast
from stm32pose.data.synthetic_scene import Stage
from stm32pose.data.synthetic_shading import Light
from stm32pose.data.yolo import read_yolo
from stm32pose.errors import ConfigError, UserError
from stm32pose.skeletons.skeleton import Skeleton, load_skeleton

SMALL = (96, 72)
LIMBS = [f"{side}_{name}" for side, _ in SIDES for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")]


def rng_of(*numbers: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(numbers))


def in_front(figure: Figure, distance: float = 4.0, focal: float = 260.0, size: tuple[int, int] = (240, 320)) -> Stage:
    """A level camera straight before the figure, the lamp behind the camera."""
    seen = figure.moved(np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, distance]))
    up = np.array([0.0, -1.0, 0.0])
    light = Light(np.array([0.0, 0.0, -1.0]), up, 0.5, 0.6)
    return Stage(seen, Camera(focal, (size[0] / 2, size[1] / 2), size), Ground(up, -1.0, distance), light)


def labels_of(figure: Figure, skeleton: Skeleton, *, outfit_seed: int = 3) -> np.ndarray:
    stage = in_front(figure)
    outfit = replace(sample_outfit(rng_of(outfit_seed), figure.body), held="none", backpack=None, hair_style="short")
    buffers = cast(figure_parts(stage.figure, outfit), stage.camera.scaled(2))
    return label(stage.figure, skeleton, stage.camera, buffers, np.zeros((320, 240), np.float32))


@pytest.fixture(scope="module")
def coco17() -> Skeleton:
    return load_skeleton("coco17")


@pytest.fixture(scope="module")
def person13() -> Skeleton:
    return load_skeleton("person13")


@pytest.fixture(scope="module")
def many(person13: Skeleton) -> list:
    return [render_image(rng_of(11, index), person13, SMALL) for index in range(70)]


# labels


@pytest.mark.parametrize("seed", range(6))
def test_joints_lie_within_the_limbs_they_bend(seed: int):
    """Each arm and leg is drawn alone: its joints must be inside its outline, whatever the pose and the clothes."""
    rng = rng_of(21, seed)
    body = sample_body(rng)
    stage = in_front(build_figure(body, sample_pose(rng, body), float(rng.uniform(-180, 180))))
    outfit = sample_outfit(rng, body)
    for side, sign in SIDES:
        for limb, names in ((_arm, ("shoulder", "elbow", "wrist")), (_leg, ("hip", "knee", "ankle"))):
            mask = cast(limb(stage.figure, outfit, side, sign), stage.camera).part >= 0
            for name in names:
                x, y = stage.camera.project(stage.figure.points[f"{side}_{name}"])
                if 1 <= x < 239 and 1 <= y < 319:
                    assert mask[int(y), int(x)], (side, name)


def test_left_is_the_persons_own(coco17: Skeleton):
    for yaw, sign in ((0.0, 1), (180.0, -1)):  # facing the viewer, its left is on the right of the image
        keypoints = labels_of(build_figure(Body(), Pose(), yaw), coco17)
        assert len(coco17.pairs) == 8
        for left, right in coco17.pairs:
            assert (keypoints[left, 0] - keypoints[right, 0]) * sign > 3, (yaw, coco17.keypoints[left])


def test_front_back_and_side_views_hide_the_right_points(coco17: Skeleton):
    def flags(yaw: float, arm: Arm) -> dict[str, int]:
        pose = Pose(arms=(arm, arm))
        keypoints = labels_of(build_figure(Body(), pose, yaw), coco17)
        return dict(zip(coco17.keypoints, keypoints[:, 2].astype(int), strict=True))

    # no hand before a hip
    spread, ahead = Arm(abduct=50), Arm(flex=60)
    front, back, side = flags(0.0, spread), flags(180.0, spread), flags(90.0, ahead)
    assert set(front.values()) == {2}
    assert [back[name] for name in ("nose", "left_eye", "right_eye")] == [1, 1, 1]
    assert {back[name] for name in LIMBS} == {2}
    # yaw 90 shows its right side
    assert [side[name] for name in ("right_shoulder", "right_elbow", "right_hip", "right_knee", "nose")] == [2] * 5
    assert [side[name] for name in ("left_shoulder", "left_elbow", "left_hip", "left_eye", "left_ear")] == [1] * 5


@pytest.mark.parametrize("family", ["walking", "sitting", "jumping"])
def test_a_mirrored_person_is_the_mirrored_image(family: str, coco17: Skeleton):
    rng = rng_of(8)
    body = sample_body(rng)
    pose, outfit = sample_pose(rng, body, family), replace(sample_outfit(rng, body), held="none", backpack=None)
    pictures, masks, labels = [], [], []
    for figure in (build_figure(body, pose, 35.0), build_figure(body, pose.mirrored(), -35.0)):
        stage = in_front(figure)
        parts = figure_parts(stage.figure, outfit)
        empty = np.zeros((320, 240, 3), np.float32)
        picture, buffers = composite(empty, parts, stage, np.zeros((8, 8), np.float32))
        pictures.append(picture)
        masks.append(person_mask(parts, buffers))
        labels.append(label(stage.figure, coco17, stage.camera, buffers, np.zeros((320, 240), np.float32)))
    assert (masks[0] != masks[1][:, ::-1]).mean() < 1e-4
    flipped = labels[1][coco17.flip] * (-1, 1, 1) + (240, 0, 0)
    assert flipped == pytest.approx(labels[0], abs=1e-3)
    assert np.abs(pictures[0] - pictures[1][:, ::-1]).mean() < 3  # stripes and prints are not symmetric


def test_labels_are_within_bounds(many: list):
    for drawn in many:
        width, height = SMALL
        points = drawn.keypoints[drawn.keypoints[:, 2] > 0]
        assert set(drawn.keypoints[:, 2]) <= {0, 1, 2}
        assert (drawn.keypoints[drawn.keypoints[:, 2] == 0] == 0).all()
        assert len(points) >= 3
        assert ((points[:, :2] >= 0) & (points[:, :2] <= SMALL)).all()
        left, top, wide, tall = drawn.box
        assert left >= 0 and top >= 0 and left + wide <= width and top + tall <= height  # noqa: PT018
        assert ((points[:, :2] >= (left, top)) & (points[:, :2] <= (left + wide + 1e-3, top + tall + 1e-3))).all()
        assert 0 < drawn.area <= wide * tall
        assert drawn.image.shape == (72, 96, 3)
        assert drawn.image.dtype == np.uint8


def test_some_joints_are_hidden_and_some_outside(many: list):
    flags = np.array([drawn.keypoints[:, 2] for drawn in many])
    assert 0.05 < (flags == 1).sum() / (flags > 0).sum() < 0.45
    assert 0.002 < (flags == 0).mean() < 0.12
    assert len({drawn.family for drawn in many}) > 8


def test_the_person_differs_from_what_is_behind(many: list):
    """The box holds a person: its pixels are not those of the same image's border."""
    differs = 0
    for drawn in many:
        x, y = drawn.keypoints[drawn.keypoints[:, 2] == 2][:, :2].mean(axis=0).astype(int)
        inside = drawn.image[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].reshape(-1, 3).mean(axis=0)
        differs += np.abs(inside - np.median(drawn.image.reshape(-1, 3), axis=0)).max() > 12
    assert differs > 0.8 * len(many)


# skeletons


@pytest.mark.parametrize("name", ["coco17", "person13", "lsp14", "mpii16"])
def test_every_skeleton_of_people_is_drawn(name: str):
    skeleton = load_skeleton(name)
    image, keypoints, box = render_pose(rng_of(2), skeleton, SMALL)
    assert image.shape == (72, 96, 3)
    assert keypoints.shape == (skeleton.count, 3)
    assert keypoints.dtype == box.dtype == np.float32
    assert (keypoints[:, 2] > 0).any()


def test_labels_do_not_depend_on_the_skeleton():
    """The same stream gives the same image and the same joints in any skeleton."""
    drawn = {name: render_image(rng_of(4), load_skeleton(name), SMALL) for name in ("coco17", "lsp14", "mpii16")}
    reference = dict(zip(load_skeleton("coco17").keypoints, drawn["coco17"].keypoints, strict=True))
    for name in ("lsp14", "mpii16"):
        assert np.array_equal(drawn[name].image, drawn["coco17"].image)
        for joint, keypoint in zip(load_skeleton(name).keypoints, drawn[name].keypoints, strict=True):
            if joint in reference:
                assert keypoint == pytest.approx(reference[joint])


def test_the_head_of_13_is_the_mean_of_the_face(coco17: Skeleton, person13: Skeleton):
    figure = build_figure(Body(), Pose(head_yaw=20), 30.0)
    face = labels_of(figure, coco17)[:5]
    head = labels_of(figure, person13)[0]
    assert head[:2] == pytest.approx(face[:, :2].mean(axis=0), abs=1e-4)
    assert head[2] == face[:, 2].max()


def test_a_users_skeleton_takes_points_by_name_and_by_derivation(coco17: Skeleton):
    own = replace(
        coco17, name="own", keypoints=("left_big_toe", "waist", "chin"), edges=(), pairs=(), flip=np.arange(3),
        sigmas=np.full(3, 0.05), colours=(), derive={"waist": ("left_hip", "right_hip")},
        derive_all=frozenset({"waist"}),
    )  # fmt: skip
    keypoints = labels_of(build_figure(Body(), Pose(), 0.0), own)
    hips = labels_of(build_figure(Body(), Pose(), 0.0), coco17)[[11, 12]]
    assert keypoints[1, :2] == pytest.approx(hips[:, :2].mean(axis=0), abs=1e-4)


def test_an_unknown_point_is_named_with_its_nearest_spelling(coco17: Skeleton):
    wrong = replace(coco17, name="wrong", keypoints=("left_sholder", *coco17.keypoints[1:]))
    with pytest.raises(ConfigError, match=r"no point 'left_sholder'.*did you mean 'left_shoulder'") as error:
        render_pose(rng_of(1), wrong, SMALL)
    assert "\n" not in str(error.value)
    assert all(name in str(error.value) for name in point_names())
    with pytest.raises(ConfigError, match="hand21"):
        render_pose(rng_of(1), load_skeleton("hand21"), SMALL)


# data sets


def digest(folder: Path, pattern: str = "*.[jt]*") -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob(pattern))}


def test_the_same_seed_gives_the_same_files_whatever_the_workers(tmp_path: Path, person13: Skeleton):
    for name, workers in (("one", 1), ("two", 2)):
        make_poses(tmp_path / name, images=10, skeleton=person13, size=SMALL, seed=5, workers=workers)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    assert len(digest(tmp_path / "one")) == 20


def test_seeds_share_no_image_and_more_images_keep_the_first(tmp_path: Path, person13: Skeleton):
    make_poses(tmp_path / "a", images=6, skeleton=person13, size=SMALL, seed=1, workers=1)
    make_poses(tmp_path / "b", images=9, skeleton=person13, size=SMALL, seed=1, workers=1)
    make_poses(tmp_path / "c", images=9, skeleton=person13, size=SMALL, seed=2, workers=1)
    first, longer, other = (digest(tmp_path / name, "*.jpg") for name in "abc")
    assert first.items() <= longer.items()
    assert not set(longer.values()) & set(other.values())
    assert len(set(longer.values())) == 9


def test_both_formats_read_back_as_they_were_rendered(tmp_path: Path, coco17: Skeleton):
    size = (100, 64)
    for format in ("yolo", "coco"):
        make_poses(tmp_path / format, images=5, skeleton=coco17, size=size, seed=3, format=format, workers=1)
    yolo, problems = read_yolo(tmp_path / "yolo", coco17)
    coco, others = read_coco(tmp_path / "coco", coco17)
    assert not problems
    assert not others
    assert len(yolo) == len(coco) == 5
    for index, (one, two) in enumerate(zip(yolo, coco, strict=True)):
        drawn = render_image(np.random.default_rng(np.random.SeedSequence([3, index])), coco17, size)
        for sample in (one, two):
            assert sample.size == (64, 100)
            assert sample.keypoints[0] == pytest.approx(drawn.keypoints, abs=2e-3)
            assert sample.boxes[0] == pytest.approx(drawn.box, abs=2e-3)
        assert two.areas[0] == pytest.approx(drawn.area, abs=0.01)
        picture = read_image(two.image).astype(float)
        assert np.abs(picture - drawn.image).mean() < 12  # JPEG


def test_an_interrupted_folder_is_completed(tmp_path: Path, person13: Skeleton):
    arguments = {"images": 20, "skeleton": person13, "size": SMALL, "seed": 9, "workers": 1}

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_poses(tmp_path / "cut", progress=stop, **arguments)
    assert not (tmp_path / "cut" / synthetic.MANIFEST).exists()
    made = sorted((tmp_path / "cut").glob("*.jpg"))
    assert 0 < len(made) < 20
    with (tmp_path / "cut" / synthetic.PARTIAL).open("a") as journal:
        journal.write('{"index": 11, "keyp')  # cut off while it was written
    before = made[0].stat().st_mtime_ns
    counts: list[int] = []
    make_poses(tmp_path / "cut", progress=counts.append, **arguments)
    assert sum(counts) == 20
    assert made[0].stat().st_mtime_ns == before
    make_poses(tmp_path / "whole", **arguments)
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")
    assert not (tmp_path / "cut" / synthetic.PARTIAL).exists()


def test_a_complete_folder_is_left_alone_and_a_damaged_one_mended(tmp_path: Path, person13: Skeleton):
    arguments = {"images": 4, "skeleton": person13, "size": SMALL, "seed": 1, "workers": 1}
    make_poses(tmp_path / "set", **arguments)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "set").iterdir()}
    make_poses(tmp_path / "set", **arguments)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "set").iterdir()} == before
    content = digest(tmp_path / "set")
    (tmp_path / "set" / "pose_00002.txt").unlink()
    make_poses(tmp_path / "set", **arguments)
    assert digest(tmp_path / "set") == content
    assert json.loads((tmp_path / "set" / synthetic.MANIFEST).read_text())["seed"] == 1


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path, person13: Skeleton):
    make_poses(tmp_path / "set", images=2, skeleton=person13, size=SMALL, seed=1, workers=1)
    with pytest.raises(UserError, match="made with seed 1, asked for seed 2"):
        make_poses(tmp_path / "set", images=2, skeleton=person13, size=SMALL, seed=2, workers=1)
    with pytest.raises(UserError, match="made with images 2, asked for images 3"):
        make_poses(tmp_path / "set", images=3, skeleton=person13, size=SMALL, seed=1, workers=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        make_poses(tmp_path / "mine", images=2, skeleton=person13, size=SMALL, seed=1, workers=1)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        make_poses(tmp_path / "file", images=2, skeleton=person13, size=SMALL, seed=1, workers=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 0}, "images: 0"),
        ({"seed": -1}, "seed: -1"),
        ({"size": (8, 240)}, "size: 8x240"),
        ({"format": "yoloo"}, "did you mean 'yolo'"),
    ],
)
def test_arguments_out_of_range_are_named(tmp_path: Path, person13: Skeleton, change: dict, message: str):
    arguments = {"images": 2, "skeleton": person13, "size": SMALL, "seed": 1} | change
    with pytest.raises(ConfigError, match=message):
        make_poses(tmp_path / "set", **arguments)
    assert not (tmp_path / "set").exists()


def test_a_script_from_a_pipe_works_too(tmp_path: Path):
    """Its processes could not read it again, so it makes the images itself."""
    script = (
        "from pathlib import Path\n"
        "from stm32pose.data.synthetic import make_poses\n"
        "from stm32pose.skeletons.skeleton import load_skeleton\n"
        f"make_poses(Path({str(tmp_path / 'set')!r}), images=10, skeleton=load_skeleton('person13'), size=(64, 48), "
        "seed=1, workers=2)\n"
    )
    subprocess.run([sys.executable, "-"], input=script, text=True, check=True, timeout=60)
    assert len(list((tmp_path / "set").glob("pose_*.jpg"))) == 10


def test_yaw_bounds_the_turn_from_the_front(tmp_path):
    skeleton = load_skeleton("person13")
    left, right = (skeleton.keypoints.index(f"{side}_shoulder") for side in ("left", "right"))
    facing = 0
    for index in range(20):
        drawn = render_image(np.random.default_rng(index), skeleton, (96, 96), yaw=20)
        facing += drawn.keypoints[left, 0] > drawn.keypoints[right, 0]
    assert facing >= 16  # somebody who lies on the side may differ
    with pytest.raises(ConfigError, match="yaw: 200; allowed: 0 to 180 degrees"):
        make_poses(tmp_path, images=1, skeleton=skeleton, seed=1, yaw=200)

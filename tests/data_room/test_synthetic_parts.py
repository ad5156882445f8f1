"""The parts of the synthetic people: ray caster, body, poses, clothes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.data.synthetic_body import SIDES, build_figure, sample_body
from stm32pose.data.synthetic_clothes import cloth
from stm32pose.data.synthetic_poses import FAMILIES, entangled, sample_pose
from stm32pose.data.synthetic_render import Camera, Material, ball, barrel, cast

PLAIN = Material((200.0, 100.0, 50.0))


def rng_of(*numbers: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(numbers))


# the ray caster


def test_a_ball_is_seen_where_its_centre_projects():
    camera = Camera(300.0, (50.3, 41.7), (120, 90))
    centre = np.array([0.11, -0.07, 5.0])
    mask = cast([ball(centre, 0.2, PLAIN)], camera).part >= 0
    rows, columns = np.nonzero(mask)
    middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    assert middle == pytest.approx(camera.project(centre), abs=0.25)
    assert mask.sum() == pytest.approx(np.pi * (0.2 * 300 / 5) ** 2, rel=0.03)


def test_depth_is_that_of_the_nearest_surface():
    camera = Camera(300.0, (40.5, 40.5), (80, 80))
    near, far = ball(np.array([0, 0, 4.0]), 0.1, PLAIN), ball(np.array([0, 0, 6.0]), 0.4, PLAIN)
    for parts, wanted in (([near, far], 0), ([far, near], 1)):
        buffers = cast(parts, camera)
        assert buffers.part[40, 40] == wanted
        assert buffers.depth[40, 40] == pytest.approx(3.9, abs=1e-6)
        assert buffers.depth[40, 55] == pytest.approx(5.6, abs=0.15)


def test_a_barrel_has_its_radii_and_its_length():
    camera = Camera(20000.0, (100.0, 100.0), (200, 200))  # so far away that perspective vanishes: 200 pixels a metre
    start, end = np.array([0, -0.4, 100.0]), np.array([0, 0.4, 100.0])
    mask = cast([barrel(start, end, (0.2, 0.3, 0.1), PLAIN, side=np.array([1.0, 0, 0]), aspect=1.5)], camera).part >= 0
    widths = mask.sum(axis=1)
    assert np.flatnonzero(widths)[[0, -1]] == pytest.approx([20, 179], abs=1)
    rows = np.arange(22, 178)
    squares = np.polyval(np.polyfit([0, 0.5, 1], [0.04, 0.09, 0.01], 2), (rows + 0.5 - 20) / 160)
    assert widths[rows] == pytest.approx(2 * 200 * 1.5 * np.sqrt(squares), abs=2.5)


def test_an_open_barrel_shows_its_inside():
    """Looking into a sleeve, the far wall is hit; without a far wall the hole would show what is behind."""
    camera = Camera(200.0, (50.0, 50.0), (100, 100))
    sleeve = barrel(np.array([0, 0, 2.0]), np.array([0, 0.1, 3.0]), (0.3, 0.3, 0.3), PLAIN, side=np.array([1.0, 0, 0]))
    assert cast([sleeve], camera).part[78, 50] == 0
    assert cast([sleeve], camera).part[60, 50] == -1  # right through


# the body


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_bones_keep_their_length_in_any_pose(seed: int):
    rng = rng_of(seed)
    body = sample_body(rng)
    points = build_figure(body, sample_pose(rng, body), float(rng.uniform(-180, 180))).points
    for side, _ in SIDES:
        for start, end, length in (
            ("shoulder", "elbow", body.upper_arm),
            ("elbow", "wrist", body.forearm),
            ("hip", "knee", body.thigh),
            ("knee", "ankle", body.shank),
        ):
            assert np.linalg.norm(points[f"{side}_{start}"] - points[f"{side}_{end}"]) == pytest.approx(length)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_a_mirrored_pose_gives_mirrored_points(seed: int):
    rng = rng_of(seed)
    body, yaw = sample_body(rng), float(rng.uniform(-180, 180))
    pose = sample_pose(rng, body)
    points, mirrored = build_figure(body, pose, yaw).points, build_figure(body, pose.mirrored(), -yaw).points
    for name, point in points.items():
        swapped = name.replace("left", "x").replace("right", "left").replace("x", "right") if "_" in name else name
        assert mirrored[swapped] == pytest.approx(point * (-1, 1, 1), abs=1e-9), name


@pytest.mark.parametrize("family", FAMILIES)
def test_limbs_seldom_pass_through_the_body(family: str):
    rng = rng_of(5)
    bodies = [sample_body(rng) for _ in range(20)]
    assert sum(entangled(build_figure(body, sample_pose(rng, body, family))) for body in bodies) <= 6


def test_bodies_differ():
    rng = rng_of(1)
    legs = [body.thigh + body.shank for body in (sample_body(rng) for _ in range(200))]
    assert min(legs) < 0.55
    assert max(legs) > 0.9


def test_cloth_comes_in_every_pattern():
    assert len({cloth(rng_of(index)).pattern for index in range(120)}) == 8

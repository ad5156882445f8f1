"""Which poses people take: tables of joint-angle ranges, and how a pose is drawn from them.

A new pose is a row in one of these tables. Angles are those of `synthetic_body.Arm`, `Leg` and `Pose`, in degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stm32pose.data.synthetic_body import SIDES, Arm, Body, Figure, Leg, Pose, build_figure

Range = tuple[float, float]
ATTEMPTS = 12
"""Poses tried before one is taken in which a limb still touches the body."""

#            flex        abduct     twist      elbow
ARMS: dict[str, tuple[Range, Range, Range, Range]] = {
    "hang": ((-12, 18), (4, 20), (-25, 20), (2, 35)),
    "bent": ((-15, 30), (5, 28), (-50, 10), (55, 120)),
    "on_hip": ((-28, -5), (28, 50), (-70, -45), (75, 110)),
    "overhead": ((145, 185), (0, 28), (-30, 30), (0, 55)),
    "up_side": ((-10, 15), (105, 165), (20, 100), (0, 65)),
    "goalpost": ((-10, 20), (70, 110), (55, 100), (55, 115)),
    "side": ((-18, 18), (60, 108), (-20, 45), (0, 45)),
    "forward": ((55, 115), (-12, 30), (-30, 30), (0, 40)),
    "folded": ((25, 50), (2, 18), (-80, -50), (85, 112)),
    "to_face": ((35, 85), (0, 35), (-40, 5), (108, 142)),
    "behind": ((-55, -20), (5, 28), (-30, 20), (0, 60)),
    "swing_front": ((15, 55), (0, 18), (-30, 5), (15, 100)),
    "swing_back": ((-55, -15), (2, 20), (-20, 10), (15, 95)),
    "on_lap": ((12, 48), (2, 24), (-45, -5), (30, 85)),
    "down_front": ((35, 85), (-5, 22), (-25, 20), (0, 45)),
    "free": ((-45, 155), (0, 112), (-60, 80), (0, 130)),
}

#            flex        abduct     twist      knee       ankle (None: flat on the floor)
LEGS: dict[str, tuple[Range, Range, Range, Range, Range | None]] = {
    "straight": ((-6, 9), (0, 12), (-2, 25), (0, 9), None),
    "relaxed": ((0, 24), (0, 14), (0, 32), (5, 36), None),
    "wide": ((-6, 18), (18, 42), (5, 35), (0, 30), None),
    "step_front": ((15, 38), (-3, 7), (-4, 14), (0, 18), (-10, 12)),
    "step_back": ((-26, -5), (-3, 7), (-4, 18), (8, 48), (5, 35)),
    "run_front": ((42, 88), (-3, 10), (-4, 14), (55, 112), (-10, 20)),
    "run_back": ((-26, 0), (-3, 10), (-4, 14), (25, 95), (10, 40)),
    "seated": ((72, 100), (0, 24), (-10, 28), (60, 112), None),
    "seated_out": ((70, 96), (2, 32), (-5, 30), (0, 48), (-10, 30)),
    "cross_legged": ((88, 108), (30, 48), (42, 66), (108, 132), (10, 30)),
    "squat": ((80, 122), (5, 36), (5, 30), (98, 142), None),
    "half_squat": ((35, 75), (5, 30), (5, 25), (50, 98), None),
    "lunge_front": ((55, 95), (-4, 12), (-4, 14), (65, 105), None),
    "lunge_back": ((-20, 10), (-2, 12), (-4, 14), (45, 100), (0, 30)),
    "kneel": ((-8, 14), (0, 16), (-4, 14), (78, 108), (30, 52)),
    "tucked": ((35, 105), (0, 28), (-4, 22), (55, 132), (5, 40)),
    "spread": ((0, 45), (12, 48), (0, 30), (0, 70), (5, 40)),
    "kick": ((48, 105), (-4, 28), (-4, 22), (0, 42), (-5, 35)),
    "raised": ((50, 105), (0, 22), (-4, 28), (65, 122), (-5, 30)),
    "side_raise": ((-8, 22), (30, 72), (0, 30), (0, 30), (-5, 30)),
    "back_raise": ((-38, -12), (-2, 15), (-4, 18), (5, 80), (5, 40)),
    "flat": ((-8, 14), (-2, 18), (0, 35), (0, 22), (10, 45)),
    "drawn_up": ((30, 85), (-2, 24), (-4, 28), (45, 118), (0, 35)),
}


@dataclass(frozen=True)
class Family:
    """One kind of pose: how often, which legs go together, which arms (name -> weight), and the trunk's ranges."""

    weight: float
    legs: tuple[tuple[str, str], ...]
    arms: dict[str, float]
    pitch: Range = (-4, 5)
    roll: Range = (-3, 3)
    flex: Range = (-6, 12)
    side: Range = (-8, 8)
    twist: Range = (-15, 15)
    head_pitch: Range = (-22, 26)
    lift: Range = (0, 0)
    tumbled: tuple[tuple[float, float], ...] = field(default=((0, 0),))
    """(pitch, roll) of a body that does not stand upright; one is chosen."""


_ANY: dict[str, float] = dict.fromkeys(
    ("hang", "bent", "on_hip", "overhead", "up_side", "goalpost", "side", "forward", "free"), 1.0
)
_CALM = {"hang": 4.0, "bent": 2.0, "on_hip": 1.5, "folded": 1.0, "to_face": 1.0, "forward": 0.7, "behind": 0.4}
_RAISED = {"overhead": 2.0, "up_side": 2.0, "goalpost": 1.5, "side": 1.5, "forward": 1.0}
_SWING = {"swing_front": 1.0}

FAMILIES: dict[str, Family] = {
    "standing": Family(
        4.0, (("straight", "straight"), ("straight", "relaxed"), ("relaxed", "relaxed"), ("wide", "wide")), _CALM
    ),
    "arms_up": Family(3.0, (("straight", "relaxed"), ("wide", "wide"), ("relaxed", "step_front")), _RAISED),
    "walking": Family(3.0, (("step_front", "step_back"),), _SWING, flex=(-4, 12)),
    "running": Family(1.6, (("run_front", "run_back"),), _SWING, pitch=(0, 18), lift=(0, 0.12)),
    "reaching": Family(
        1.8, (("straight", "relaxed"), ("step_front", "step_back"), ("wide", "relaxed")),
        {"forward": 2.0, "overhead": 1.0, "down_front": 1.0, "free": 2.0, "side": 1.0},
        flex=(-5, 45), side=(-22, 22), twist=(-32, 32),
    ),
    "bending": Family(
        1.2, (("straight", "relaxed"), ("half_squat", "relaxed"), ("wide", "wide")),
        {"down_front": 3.0, "forward": 1.0, "bent": 1.0, "hang": 1.0}, pitch=(10, 45), flex=(25, 70),
    ),
    "sitting": Family(
        2.6,
        (
            ("seated", "seated"), ("seated", "seated_out"), ("seated_out", "seated_out"),
            ("cross_legged", "cross_legged"),
        ),
        {"on_lap": 4.0, "bent": 1.5, "hang": 1.0, "to_face": 1.0, "folded": 0.7, "forward": 1.0, "overhead": 0.4},
        pitch=(-18, 14), flex=(-5, 32),
    ),
    "crouching": Family(
        2.0, (("squat", "squat"), ("squat", "half_squat"), ("half_squat", "half_squat")),
        {"forward": 2.0, "bent": 2.0, "on_lap": 1.0, "hang": 1.0, "down_front": 1.0}, pitch=(8, 38), flex=(5, 42),
    ),
    "lunging": Family(1.4, (("lunge_front", "lunge_back"), ("lunge_front", "kneel")), _ANY, pitch=(-3, 20)),
    "kneeling": Family(0.8, (("kneel", "kneel"), ("kneel", "lunge_front")), _CALM | {"forward": 1.5}, pitch=(-5, 15)),
    "jumping": Family(
        1.8, (("tucked", "tucked"), ("spread", "spread"), ("run_front", "run_back"), ("straight", "raised")),
        _ANY | _RAISED, pitch=(-15, 22), flex=(-15, 28), lift=(0.1, 0.5),
    ),
    "one_leg": Family(
        1.6, (("straight", "kick"), ("relaxed", "raised"), ("straight", "side_raise"), ("relaxed", "back_raise")),
        _ANY, pitch=(-10, 25), flex=(-10, 25), side=(-16, 16),
    ),
    "lying": Family(
        1.2, (("flat", "flat"), ("flat", "drawn_up"), ("drawn_up", "drawn_up")),
        {"hang": 2.0, "overhead": 1.0, "side": 1.0, "up_side": 1.0, "bent": 1.0, "to_face": 1.0, "free": 1.0},
        pitch=(-10, 10), roll=(-15, 15), tumbled=((-90, 0), (90, 0), (0, 90), (0, -90)),
    ),
    "tumbling": Family(
        0.4, (("spread", "spread"), ("tucked", "spread"), ("straight", "kick")), _ANY | {"overhead": 3.0},
        pitch=(-40, 40), roll=(-40, 40), flex=(-20, 40), lift=(0.0, 0.5),
        tumbled=((180, 0), (60, 0), (-60, 0), (0, 60), (0, -60)),
    ),
}  # fmt: skip


def sample_pose(rng: np.random.Generator, body: Body, family: str | None = None) -> Pose:
    """A pose for `body` from the tables, of the named family or of any, in which no limb passes through the body."""
    names = list(FAMILIES)
    weights = np.array([FAMILIES[name].weight for name in names])
    name = family or names[int(rng.choice(len(names), p=weights / weights.sum()))]
    pose = _draw(rng, name)
    for _ in range(ATTEMPTS):
        if not entangled(build_figure(body, pose)):
            break
        pose = _draw(rng, name)
    return pose


def entangled(figure: Figure) -> bool:
    """Whether a hand, wrist, elbow, knee or ankle lies within the trunk, the head or another limb."""
    body, points = figure.body, figure.points
    thick = body.scale * (0.5 + 0.5 * body.girth)
    tips = np.array([points[f"{side}_{name}"] for side, _ in SIDES for name in ("elbow", "wrist", "hand", "fingertip")])
    legs = np.array([points[f"{side}_{name}"] for side, _ in SIDES for name in ("knee", "ankle")])
    trunk = np.linspace(points["pelvis"], points["neck"], 7)[1:]
    # the trunk is wider than deep: measure in its own frame with the width shrunk
    squash = np.array([0.68, 0.5, 1.0])
    near = np.linalg.norm((tips[:, None] - trunk) @ figure.frames["chest"] * squash, axis=2).min()
    if near < 0.118 * thick or np.linalg.norm((legs[:, None] - trunk[2:]), axis=2).min() < 0.13 * thick:
        return True
    if np.linalg.norm(tips - points["head_centre"], axis=1).min() < 0.12 * body.head:
        return True
    for (own, _), (other, _) in ((SIDES[0], SIDES[1]), (SIDES[1], SIDES[0])):
        for bone, width in ((("hip", "knee"), 0.1), (("knee", "ankle"), 0.075)):
            line = np.linspace(points[f"{other}_{bone[0]}"], points[f"{other}_{bone[1]}"], 8)[1:]
            ends = np.array([points[f"{own}_knee"], points[f"{own}_ankle"], points[f"{own}_toe"]])
            if np.linalg.norm(ends[:, None] - line, axis=2).min() < width * thick:
                return True
            if np.linalg.norm(tips[:, None] - line, axis=2).min() < 0.085 * thick * (width / 0.1):
                return True
    crossing = np.linspace(points["left_elbow"], points["left_fingertip"], 6)
    other = np.linspace(points["right_elbow"], points["right_fingertip"], 6)
    return bool(np.linalg.norm(crossing[:, None] - other, axis=2).min() < 0.06 * thick)


def _draw(rng: np.random.Generator, name: str) -> Pose:
    family = FAMILIES[name]
    legs = list(family.legs[int(rng.integers(len(family.legs)))])
    arms = _arm_names(rng, family.arms)
    flipped = rng.random() < 0.5
    if flipped:
        legs.reverse()
    if family.arms is _SWING:  # the arm opposite to the leg in front swings forward
        arms = ["swing_front", "swing_back"] if flipped else ["swing_back", "swing_front"]
    pitch, roll = family.tumbled[int(rng.integers(len(family.tumbled)))]
    flex = rng.uniform(*family.flex)
    return Pose(
        arms=(_arm(rng, arms[0]), _arm(rng, arms[1])),
        legs=(_leg(rng, legs[0]), _leg(rng, legs[1])),
        root_pitch=pitch + rng.uniform(*family.pitch),
        root_roll=roll + rng.uniform(*family.roll),
        spine_flex=flex,
        spine_side=rng.uniform(*family.side),
        spine_twist=rng.uniform(*family.twist),
        head_pitch=rng.uniform(*family.head_pitch) - 0.4 * max(0.0, flex),  # who bends looks ahead
        head_yaw=float(np.clip(rng.normal(0, 22), -62, 62)),
        head_roll=float(np.clip(rng.normal(0, 7), -22, 22)),
        lift=rng.uniform(*family.lift),
        family=name,
    )


def _arm_names(rng: np.random.Generator, weights: dict[str, float]) -> list[str]:
    names, values = list(weights), np.array(list(weights.values()))
    both = [names[int(index)] for index in rng.choice(len(names), size=2, p=values / values.sum())]
    return [both[0], both[0]] if rng.random() < 0.4 else both


def _arm(rng: np.random.Generator, name: str) -> Arm:
    flex, abduct, twist, elbow = (float(rng.uniform(*limits)) for limits in ARMS[name])
    return Arm(flex, abduct, twist, elbow, wrist=float(rng.normal(0, 10)))


def _leg(rng: np.random.Generator, name: str) -> Leg:
    *angles, ankle = LEGS[name]
    flex, abduct, twist, knee = (float(rng.uniform(*limits)) for limits in angles)
    return Leg(flex, abduct, twist, knee, None if ankle is None else float(rng.uniform(*ankle)))

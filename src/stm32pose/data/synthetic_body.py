"""A jointed body for synthetic images: proportions, pose angles, and where that puts every anatomical point in 3D.

World axes, in metres: x to the right of a viewer, y up, z towards the viewer. A body of yaw 0 faces the viewer, so that
its own left is +x. A frame is a rotation matrix whose columns are (left, up, front) of a body segment.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

SIDES = (("left", 1.0), ("right", -1.0))
HEAD_SEMI = np.array([0.077, 0.114, 0.098])
"""Half width, height and depth of an adult's head."""
FACE = {
    "nose": (0.0, -0.024, 0.116),
    "left_eye": (0.032, 0.012, 0.088),
    "right_eye": (-0.032, 0.012, 0.088),
    "left_ear": (0.081, -0.008, -0.008),
    "right_ear": (-0.081, -0.008, -0.008),
    "mouth": (0.0, -0.062, 0.094),
    "chin": (0.0, -0.116, 0.066),
    "head_top": (0.0, 0.114, -0.004),
    "forehead": (0.0, 0.062, 0.083),
}
"""Points of an adult's head in its frame, from the middle of the head."""


@dataclass(frozen=True)
class Body:
    """Lengths in metres between joint centres, and how heavy the body is built."""

    hip_half: float = 0.09
    thigh: float = 0.43
    shank: float = 0.42
    ankle: float = 0.075
    foot: float = 0.25
    lumbar: float = 0.23
    chest: float = 0.26
    shoulder_half: float = 0.172
    shoulder_drop: float = 0.05
    upper_arm: float = 0.295
    forearm: float = 0.255
    hand: float = 0.18
    neck: float = 0.09
    head: float = 1.0
    girth: float = 1.0
    muscle: float = 1.0
    waist: float = 0.85
    bust: float = 0.0

    @property
    def scale(self) -> float:
        """Thickness of limbs relative to an adult of 1.75 m, from the length of the leg and the trunk."""
        return (self.thigh + self.shank + self.lumbar + self.chest) / 1.34


@dataclass(frozen=True)
class Arm:
    """Degrees: forward flexion, abduction, outward twist of the upper arm, flexion of the elbow, bend of the wrist."""

    flex: float = 0.0
    abduct: float = 8.0
    twist: float = 0.0
    elbow: float = 10.0
    wrist: float = 0.0


@dataclass(frozen=True)
class Leg:
    """Degrees: forward flexion, abduction, outward twist of the thigh, flexion of the knee, the foot pointed down.

    `ankle` None sets the foot flat on the floor as far as the ankle allows.
    """

    flex: float = 0.0
    abduct: float = 3.0
    twist: float = 8.0
    knee: float = 3.0
    ankle: float | None = None


@dataclass(frozen=True)
class Pose:
    """All angles of a body, in degrees. Root: pitch 90 lies on the front, -90 on the back; roll 90 on one side."""

    arms: tuple[Arm, Arm] = (Arm(), Arm())
    legs: tuple[Leg, Leg] = (Leg(), Leg())
    root_pitch: float = 0.0
    root_roll: float = 0.0
    spine_flex: float = 0.0
    spine_side: float = 0.0
    spine_twist: float = 0.0
    head_pitch: float = 0.0
    head_yaw: float = 0.0
    head_roll: float = 0.0
    lift: float = 0.0
    family: str = "standing"

    def mirrored(self) -> Pose:
        """The same pose with left and right exchanged."""
        return replace(
            self,
            arms=self.arms[::-1],
            legs=self.legs[::-1],
            root_roll=-self.root_roll,
            spine_side=-self.spine_side,
            spine_twist=-self.spine_twist,
            head_yaw=-self.head_yaw,
            head_roll=-self.head_roll,
        )


@dataclass(frozen=True, eq=False)
class Figure:
    """A posed body.

    Attributes:
        body: its proportions.
        points: anatomical name -> position [3].
        frames: segment name -> rotation [3, 3]; `pelvis`, `waist`, `chest`, `neck`, `head`, and of either side
            `left_upper_arm`, `left_forearm`, `left_hand`, `left_thigh`, `left_shank`, `left_foot`.
        reach: anatomical name -> distance from the point to the body's own surface, in metres.
    """

    body: Body
    points: dict[str, np.ndarray]
    frames: dict[str, np.ndarray]
    reach: dict[str, float] = field(default_factory=dict)

    def moved(self, rotation: np.ndarray, shift: np.ndarray) -> Figure:
        """The figure after p -> rotation @ p + shift."""
        points = {name: rotation @ point + shift for name, point in self.points.items()}
        return replace(self, points=points, frames={name: rotation @ frame for name, frame in self.frames.items()})


def turn(axis: str, degrees: float) -> np.ndarray:
    """Rotation matrix [3, 3] about the axis `x`, `y` or `z`, right-handed."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    if axis == "x":
        return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    if axis == "y":
        return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def sample_body(rng: np.random.Generator) -> Body:
    """Proportions of somebody between a small child and a tall adult."""
    child = rng.random() < 0.22
    growth = float(rng.uniform(0.52, 0.85)) if child else float(np.clip(rng.normal(0.98, 0.055), 0.84, 1.14))
    maturity = float(np.clip((growth - 0.5) / 0.42, 0.0, 1.0))
    vary = rng.normal(1.0, 0.05, size=12).clip(0.87, 1.13)
    feminine = float(rng.random())
    leg = growth * (0.88 + 0.12 * maturity) * vary[0]
    girth = float(np.clip(rng.lognormal(0.0, 0.16), 0.75, 1.5))
    trunk = growth * (1.06 - 0.06 * maturity)
    return Body(
        hip_half=growth * 0.09 * (0.96 + 0.10 * feminine) * vary[1] * (0.8 + 0.2 * girth),
        thigh=leg * 0.43 * vary[2],
        shank=leg * 0.42 * vary[3],
        ankle=growth * 0.075,
        foot=growth * 0.25 * vary[4],
        lumbar=trunk * 0.23 * vary[5],
        chest=trunk * 0.26 * vary[6],
        shoulder_half=growth * (0.182 - 0.026 * feminine) * (0.9 + 0.1 * maturity) * vary[7] * (0.88 + 0.12 * girth),
        shoulder_drop=growth * 0.05 * vary[8],
        upper_arm=growth * 0.295 * (0.93 + 0.07 * maturity) * vary[9],
        forearm=growth * 0.255 * (0.93 + 0.07 * maturity) * vary[10],
        hand=growth * 0.18,
        neck=growth * 0.09 * (0.8 + 0.2 * maturity) * vary[11],
        head=0.86 + 0.16 * maturity + float(rng.normal(0, 0.025)),
        girth=girth,
        muscle=float(rng.uniform(0.85, 1.2)),
        waist=float(np.clip(0.92 - 0.2 * feminine + 0.25 * (girth - 1.0), 0.7, 1.15)),
        bust=max(0.0, feminine - 0.55) * maturity * 2.0,
    )


def build_figure(body: Body, pose: Pose, yaw: float = 0.0) -> Figure:
    """Forward kinematics: `body` in `pose`, turned by `yaw` degrees (90: its left side is away from the viewer).

    The middle between the hips is the origin.
    """
    points: dict[str, np.ndarray] = {}
    frames: dict[str, np.ndarray] = {}
    pelvis = turn("y", yaw) @ turn("z", pose.root_roll) @ turn("x", pose.root_pitch)
    half = turn("x", pose.spine_flex / 2) @ turn("z", -pose.spine_side / 2) @ turn("y", pose.spine_twist / 2)
    waist = pelvis @ half
    chest = waist @ half
    head = chest @ turn("y", pose.head_yaw) @ turn("z", -pose.head_roll) @ turn("x", pose.head_pitch)
    neck = chest @ turn("y", pose.head_yaw / 2) @ turn("z", -pose.head_roll / 2) @ turn("x", pose.head_pitch / 2 + 8)
    frames.update(pelvis=pelvis, waist=waist, chest=chest, neck=neck, head=head)

    points["pelvis"] = np.zeros(3)
    lumbar = pelvis @ np.array([0, 0.4 * body.lumbar, 0])
    points["spine"] = lumbar + waist @ np.array([0, 0.6 * body.lumbar, 0])
    points["neck"] = points["spine"] + chest @ np.array([0, body.chest, 0])
    points["upper_neck"] = points["neck"] + neck @ np.array([0, body.neck, 0])
    points["head_centre"] = points["upper_neck"] + head @ np.array([0, 0.088, 0.018]) * body.head
    for name, offset in FACE.items():
        points[name] = points["head_centre"] + head @ np.array(offset) * body.head

    for (side, sign), arm, leg in zip(SIDES, pose.arms, pose.legs, strict=True):
        _add_arm(points, frames, body, side, sign, arm)
        _add_leg(points, frames, body, side, sign, leg)
    points["thorax"] = (points["left_shoulder"] + points["right_shoulder"]) / 2
    return Figure(body, points, frames, _reach(body))


def lowest(figure: Figure) -> float:
    """Height of the lowest part of the body, counting the thickness of shoes, hands and trunk."""
    return min(float(figure.points[name][1]) - 0.8 * figure.reach[name] for name in figure.points)


def _limb(parent: np.ndarray, sign: float, flex: float, abduct: float, twist: float) -> np.ndarray:
    """Frame of an upper arm or thigh; angles are those of a left limb, a right one is its mirror image."""
    mirror = np.diag([sign, 1.0, 1.0])
    return parent @ mirror @ turn("x", -flex) @ turn("z", abduct) @ turn("y", twist) @ mirror


def _add_arm(points: dict, frames: dict, body: Body, side: str, sign: float, arm: Arm) -> None:
    upper = _limb(frames["chest"], sign, arm.flex, arm.abduct, arm.twist)
    direction = (frames["chest"].T @ upper)[:, 1]
    shrug = 0.055 * body.scale * max(0.0, float(-direction[1]))  # a raised arm lifts the collar bone
    offset = np.array([sign * (body.shoulder_half - 0.4 * shrug), body.chest - body.shoulder_drop + shrug, 0.0])
    fore = upper @ turn("x", -arm.elbow)
    hand = fore @ turn("z", sign * arm.wrist)
    points[f"{side}_shoulder"] = points["spine"] + frames["chest"] @ offset
    points[f"{side}_elbow"] = points[f"{side}_shoulder"] - upper[:, 1] * body.upper_arm
    points[f"{side}_wrist"] = points[f"{side}_elbow"] - fore[:, 1] * body.forearm
    points[f"{side}_hand"] = points[f"{side}_wrist"] - hand[:, 1] * body.hand * 0.5
    points[f"{side}_fingertip"] = points[f"{side}_wrist"] - hand[:, 1] * body.hand
    frames.update({f"{side}_upper_arm": upper, f"{side}_forearm": fore, f"{side}_hand": hand})


def _add_leg(points: dict, frames: dict, body: Body, side: str, sign: float, leg: Leg) -> None:
    thigh = _limb(frames["pelvis"], sign, leg.flex, leg.abduct, leg.twist)
    shank = thigh @ turn("x", leg.knee)
    if leg.ankle is None:
        # turn about the shank's own left axis until the foot's front is level
        level = np.degrees(np.arctan2(shank[1, 2], shank[1, 1]))
        foot = shank @ turn("x", float(np.clip(level, -30.0, 45.0)))
    else:
        foot = shank @ turn("x", leg.ankle)
    points[f"{side}_hip"] = frames["pelvis"] @ np.array([sign * body.hip_half, 0.0, 0.0])
    points[f"{side}_knee"] = points[f"{side}_hip"] - thigh[:, 1] * body.thigh
    ankle = points[f"{side}_knee"] - shank[:, 1] * body.shank
    points[f"{side}_ankle"] = ankle
    for name, (x, y, z) in {
        "heel": (0.0, -0.72, -0.22),
        "big_toe": (-0.12, -0.75, 0.74),
        "small_toe": (0.15, -0.78, 0.60),
        "toe": (0.0, -0.75, 0.78),
    }.items():
        offset = np.array([sign * x * body.foot, y * body.ankle, z * body.foot])
        points[f"{side}_{name}"] = ankle + foot @ offset
    frames.update({f"{side}_thigh": thigh, f"{side}_shank": shank, f"{side}_foot": foot})


def _reach(body: Body) -> dict[str, float]:
    """Distance from each point to the surface of the body around it."""
    thick = body.scale * (0.5 + 0.5 * body.girth)
    trunk = {"pelvis": 0.13, "spine": 0.13, "thorax": 0.12, "neck": 0.075, "upper_neck": 0.07, "head_centre": 0.11}
    limbs = {
        **{"shoulder": 0.075, "elbow": 0.045, "wrist": 0.035, "hand": 0.03, "fingertip": 0.02},
        **{
            "hip": 0.115,
            "knee": 0.062,
            "ankle": 0.048,
            "heel": 0.035,
            "toe": 0.025,
            "big_toe": 0.025,
            "small_toe": 0.025,
        },
    }
    reach = {name: value * thick for name, value in trunk.items()}
    reach.update({f"{side}_{name}": value * thick for side, _ in SIDES for name, value in limbs.items()})
    reach.update(dict.fromkeys(FACE, 0.012 * body.head))
    reach["head_centre"], reach["head_top"] = 0.1 * body.head, 0.045 * body.head  # the latter lies under hair and hats
    return reach

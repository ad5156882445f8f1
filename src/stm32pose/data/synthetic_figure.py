"""From a posed body and an outfit to the surfaces that the ray caster draws."""

from __future__ import annotations

import numpy as np

from stm32pose.data.synthetic_body import HEAD_SEMI, SIDES, Figure
from stm32pose.data.synthetic_clothes import Outfit
from stm32pose.data.synthetic_render import Material, Part, ball, barrel, box, ellipsoid

JOINT_SLACK = 0.012
"""Cloth stands off the body by no more than this at shoulders and hips, in metres, so that no gap opens there."""


def figure_parts(figure: Figure, outfit: Outfit) -> list[Part]:
    """All surfaces of a dressed figure; give the figure in camera axes."""
    parts = _trunk(figure, outfit)
    for side, sign in SIDES:
        parts += _arm(figure, outfit, side, sign)
        parts += _leg(figure, outfit, side, sign)
    parts += _skirt(figure, outfit)
    parts += _head(figure, outfit)
    parts += _hair(figure, outfit)
    parts += _hat(figure, outfit)
    parts += _carried(figure, outfit)
    return parts


def thickness(figure: Figure) -> float:
    """Metres of limb radius per metre of an ordinary adult's."""
    return figure.body.scale * (0.6 + 0.4 * figure.body.girth)


def _local(origin: np.ndarray, axes: np.ndarray, unit: float = 1.0) -> np.ndarray:
    return np.hstack([axes.T, -(axes.T @ origin)[:, None]]) / unit


def _at(origin: np.ndarray, axes: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
    return origin + axes @ np.array([x, y, z])


def _trunk(figure: Figure, outfit: Outfit) -> list[Part]:
    body, points, frames = figure.body, figure.points, figure.frames
    pelvis, waist, chest = frames["pelvis"], frames["waist"], frames["chest"]
    scale, thick = body.scale, thickness(figure)
    slack = outfit.sleeve_slack * 0.6 + 0.003
    rib = body.shoulder_half * 0.9 * (0.85 + 0.15 * body.girth) + slack
    rib_depth = rib / 1.42 * (0.9 + 0.1 * body.girth)
    hips = body.hip_half + 0.072 * thick + slack
    narrow = rib_depth * body.waist
    low = _local(_at(points["pelvis"], pelvis, 0, body.lumbar, 0), pelvis)
    high = _local(points["spine"], chest)
    skirted = outfit.bottom == "dress"
    over = {"other": outfit.shirt, "split": (0.0, 1.0, 0.0, body.lumbar - outfit.hem * scale)}
    neck = {"other": outfit.skin, "split": (0.0, 1.0, 1.1, -body.chest - outfit.neckline * scale)}
    trousers, shirt = outfit.shirt if skirted else outfit.trousers, outfit.shirt
    shoulder_line = _at(points["spine"], chest, 0, body.chest - body.shoulder_drop, 0)
    hip_middle = _at(points["pelvis"], pelvis, 0, 0.03 * scale, 0)
    parts = [
        ellipsoid(hip_middle, pelvis, (hips, 0.125 * scale, 0.108 * thick + slack), trousers, frame=low, **over),
        barrel(
            _at(points["pelvis"], pelvis, 0, 0.035 * scale, 0), points["spine"],
            (0.106 * thick + slack, narrow, rib_depth * 0.94), trousers,
            side=waist[:, 0], aspect=1.38, frame=low, **over,
        ),
        ellipsoid(points["spine"], chest, (rib * 0.95, 0.085 * scale, rib_depth * 0.94), shirt, frame=high),
        barrel(
            points["spine"], shoulder_line, (rib_depth * 0.94, rib_depth * 1.04, rib_depth * 0.78), shirt,
            side=chest[:, 0], aspect=1.4, frame=high, **neck,
        ),
        ellipsoid(shoulder_line, chest, (rib * 0.98, 0.062 * scale, rib_depth * 0.78), shirt, frame=high, **neck),
    ]  # fmt: skip
    for side, sign in SIDES:
        start = _at(points["neck"], chest, sign * 0.025 * scale, -0.004 * scale, -0.012 * scale)
        radii = (0.05 * thick, 0.052 * thick + slack, 0.05 * thick + slack)
        parts.append(barrel(start, points[f"{side}_shoulder"], radii, shirt, side=chest[:, 2], frame=high, **neck))
        buttock = _at(points[f"{side}_hip"], pelvis, 0, 0.0, -0.034 * scale)
        semi = (0.082 * thick + slack, 0.098 * scale, 0.078 * thick + slack)
        parts.append(ellipsoid(buttock, pelvis, semi, trousers, frame=low, **over))
        if body.bust > 0.05:
            place = _at(points["spine"], chest, sign * rib * 0.45, body.chest * 0.46, rib_depth * 0.72)
            semi = (rib * 0.46, 0.075 * scale, 0.034 * scale * (0.6 + body.bust * 0.5) + slack)
            parts.append(ellipsoid(place, chest, semi, shirt, frame=high))
    if body.girth > 1.12:
        belly = _at(points["pelvis"], waist, 0, body.lumbar * 0.52, narrow * 0.3)
        size = min(0.6, body.girth - 1.0)
        semi = (narrow * 1.28, body.lumbar * 0.62, narrow * (0.85 + size * 0.7))
        parts.append(ellipsoid(belly, waist, semi, trousers, frame=low, **over))
    return parts


def _limb(
    start: np.ndarray, end: np.ndarray, radii: tuple[float, float, float], side: np.ndarray, skin: Material,
    cover: Material, reach: float, slack: float,
) -> list[Part]:  # fmt: skip
    """A bone's skin beyond `reach` (a fraction of the bone) and the cloth before it."""
    parts = []
    if reach < 1:
        parts.append(barrel(start, end, radii, skin, side=side, span=(max(0.0, reach - 0.1), 1.0)))
    if reach > 0.03:
        wide = (radii[0] + min(slack, JOINT_SLACK), radii[1] + slack, radii[2] + slack)
        parts.append(barrel(start, end, wide, cover, side=side, span=(0.0, min(reach, 1.0))))
    return parts


def _arm(figure: Figure, outfit: Outfit, side: str, sign: float) -> list[Part]:
    points, frames, thick = figure.points, figure.frames, thickness(figure)
    strong = thick * figure.body.muscle
    shoulder, elbow, wrist = (points[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
    upper, fore, hand = (frames[f"{side}_{name}"] for name in ("upper_arm", "forearm", "hand"))
    sleeves, slack = outfit.sleeves, outfit.sleeve_slack
    skin, sleeve, palm = outfit.skin, outfit.sleeve, outfit.gloves or outfit.skin
    bare = sleeves < 0.03
    parts = [ball(shoulder, 0.058 * strong + (0.0 if bare else slack), outfit.skin if bare else sleeve)]
    radii = (0.054 * strong, 0.048 * strong, 0.039 * thick)
    parts += _limb(shoulder, elbow, radii, upper[:, 0], skin, sleeve, sleeves, slack)
    parts.append(ball(elbow, 0.039 * thick + slack * (sleeves > 1), sleeve if sleeves > 1 else skin))
    radii = (0.039 * thick, 0.041 * strong, 0.027 * thick)
    parts += _limb(elbow, wrist, radii, fore[:, 0], skin, sleeve, sleeves - 1, slack)
    parts.append(ball(wrist, 0.0275 * thick, palm))
    long = figure.body.hand
    parts.append(
        ellipsoid(_at(wrist, hand, 0, -0.27 * long, 0), hand, (0.017 * thick, 0.3 * long, 0.042 * thick), palm)
    )
    parts.append(
        ellipsoid(
            points[f"{side}_fingertip"] + hand[:, 1] * 0.3 * long,
            hand,
            (0.013 * thick, 0.3 * long, 0.034 * thick),
            palm,
        )
    )
    thumb = _at(wrist, hand, 0, -0.32 * long, 0.045 * thick)
    parts.append(ellipsoid(thumb, hand @ _tilt(28), (0.012 * thick, 0.18 * long, 0.014 * thick), palm))
    return parts


def _leg(figure: Figure, outfit: Outfit, side: str, sign: float) -> list[Part]:
    points, frames, thick = figure.points, figure.frames, thickness(figure)
    body, strong = figure.body, thickness(figure) * (0.5 + 0.5 * figure.body.muscle)
    hip, knee, ankle = (points[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
    thigh, shank, foot = (frames[f"{side}_{name}"] for name in ("thigh", "shank", "foot"))
    skirted = outfit.bottom in ("skirt", "dress")
    legs = 0.12 if skirted and skirt_hangs(figure) else min(outfit.legs, 0.95) if skirted else outfit.legs
    slack = outfit.leg_slack
    cover, skin = outfit.trousers, outfit.skin
    radii = (0.09 * strong, 0.081 * strong, 0.057 * thick)
    low = _local(_at(points["pelvis"], frames["pelvis"], 0, body.lumbar, 0), frames["pelvis"])
    over = {"other": outfit.shirt, "split": (0.0, 1.0, 0.0, body.lumbar - outfit.hem * body.scale)}
    parts = [ball(hip, 0.09 * strong + min(slack, JOINT_SLACK), cover, frame=low, **over)]
    parts += _limb(hip, knee, radii, thigh[:, 0], skin, cover, legs, slack)
    parts.append(ball(knee, 0.057 * thick + slack * 0.8 * (legs > 1), cover if legs > 1 else skin))
    radii = (0.055 * thick, 0.058 * strong, 0.036 * thick)
    parts += _limb(knee, ankle, radii, shank[:, 0], skin, cover, legs - 1, slack)
    if outfit.sock_height > 0:
        sock = (radii[0] + 0.004, radii[1] + 0.004, radii[2] + 0.004)
        parts.append(barrel(knee, ankle, sock, outfit.socks, side=shank[:, 0], span=(1 - outfit.sock_height, 1.0)))
    wide = outfit.shoe_size
    parts.append(ball(ankle, 0.038 * thick * wide, outfit.socks if outfit.sock_height > 0 else outfit.shoes))
    heel, toe = points[f"{side}_heel"], points[f"{side}_toe"]
    back = heel + foot @ np.array([0, 0.028, 0.03]) * thick
    front = toe + foot @ np.array([0, 0.018, -0.02]) * thick
    size = thick * wide
    parts.append(
        barrel(back, front, (0.037 * size, 0.036 * size, 0.023 * size), outfit.shoes, side=foot[:, 0], aspect=1.1)
    )
    parts.append(ellipsoid(back, foot, (0.038 * size, 0.036 * size, 0.04 * size), outfit.shoes))
    parts.append(ellipsoid(front, foot, (0.039 * size, 0.025 * size, 0.05 * size), outfit.shoes))
    instep = (ankle + front) / 2 + foot @ np.array([0, -0.006, -0.02]) * size
    parts.append(ellipsoid(instep, foot @ _tilt(-18), (0.034 * size, 0.032 * size, 0.085 * size), outfit.shoes))
    return parts


def skirt_hangs(figure: Figure) -> bool:
    """Whether both thighs hang close enough to the trunk's line for a skirt to be one surface round them."""
    down = -figure.frames["pelvis"][:, 1]
    thighs = [-figure.frames[f"{side}_thigh"][:, 1] for side, _ in SIDES]
    return min(float(thigh @ down) for thigh in thighs) > 0.8 and float(thighs[0] @ thighs[1]) > 0.72


def _skirt(figure: Figure, outfit: Outfit) -> list[Part]:
    if outfit.bottom not in ("skirt", "dress") or not skirt_hangs(figure):
        return []
    points, pelvis, thick = figure.points, figure.frames["pelvis"], thickness(figure)
    body = figure.body
    knees = (points["left_knee"] + points["right_knee"]) / 2
    start = _at(points["pelvis"], pelvis, 0, 0.09 * body.scale, 0)
    bone = knees - start
    bone /= np.linalg.norm(bone)
    length = 0.09 * body.scale + outfit.legs * body.thigh
    apart = points["left_knee"] - points["right_knee"]
    lateral, sagittal = abs(float(apart @ pelvis[:, 0])) / 2, abs(float(apart @ pelvis[:, 2])) / 2
    hem = max(0.1 * thick + sagittal * min(outfit.legs, 1.0), (0.08 * thick + lateral * min(outfit.legs, 1.0)) / 1.25)
    radii = (0.095 * thick * body.waist + 0.01, 0.13 * thick + 0.2 * sagittal, hem + 0.03)
    aspect = 1.32
    return [barrel(start, start + bone * length, radii, outfit.trousers, side=pelvis[:, 0], aspect=aspect)]


def _head(figure: Figure, outfit: Outfit) -> list[Part]:
    points, frames, size = figure.points, figure.frames, figure.body.head
    centre, head, skin = points["head_centre"], frames["head"], outfit.head
    frame = _local(centre, head, size)
    thick = thickness(figure)
    parts = [
        barrel(
            points["neck"] - frames["neck"][:, 1] * 0.05, _at(centre, head, 0, -0.03 * size, -0.014 * size),
            (0.062 * thick, 0.052 * (thick + size) / 2, 0.052 * size), outfit.skin, side=frames["neck"][:, 0],
        ),
        ellipsoid(centre, head, HEAD_SEMI * size, skin, frame=frame),
        ellipsoid(
            _at(centre, head, 0, -0.056 * size, 0.024 * size), head, np.array([0.058, 0.062, 0.066]) * size, skin,
            frame=frame,
        ),
        ellipsoid(
            _at(centre, head, 0, -0.018 * size, 0.096 * size), head @ _tilt(-20), np.array([0.013, 0.026, 0.02]) * size,
            outfit.skin,
        ),
    ]  # fmt: skip
    for side, _sign in SIDES:
        ear = points[f"{side}_ear"] + (centre - points[f"{side}_ear"]) * 0.06
        parts.append(ellipsoid(ear, head, np.array([0.011, 0.032, 0.02]) * size, outfit.skin))
    return parts


def _hair(figure: Figure, outfit: Outfit) -> list[Part]:
    style, hair = outfit.hair_style, outfit.hair
    if style in ("bald", "buzz") or outfit.hat in ("helmet", "scarf"):
        return []
    centre, head, size = figure.points["head_centre"], figure.frames["head"], figure.body.head

    def place(x: float, y: float, z: float) -> np.ndarray:
        return _at(centre, head, x * size, y * size, z * size)

    grow, drop = {"curly": (1.32, 0.02), "long": (1.1, 0.0), "bob": (1.13, 0.05)}.get(style, (1.08, -0.16))
    shell = HEAD_SEMI * np.array([grow, (1 + grow) / 2, grow]) * size
    parts = [ellipsoid(place(0, 0.01, -0.01), head, shell, hair, keep=(0.0, 0.72, -0.69, drop))]
    if style == "long":
        parts.append(ellipsoid(place(0, -0.11, -0.062), head, np.array([0.083, 0.17, 0.045]) * size, hair))
    if style in ("long", "bob"):
        for sign in (-1.0, 1.0):
            parts.append(
                ellipsoid(place(sign * 0.07, -0.045, -0.014), head, np.array([0.022, 0.095, 0.05]) * size, hair)
            )
    if style == "bob":
        parts.append(ellipsoid(place(0, -0.05, -0.05), head, np.array([0.085, 0.085, 0.06]) * size, hair))
    if style == "ponytail":
        radii = (0.02 * size, 0.036 * size, 0.008 * size)
        parts.append(barrel(place(0, 0.05, -0.095), place(0, -0.17, -0.14), radii, hair, side=head[:, 0]))
    if style == "bun":
        parts.append(ball(place(0, 0.07, -0.105), 0.045 * size, hair))
    return parts


def _hat(figure: Figure, outfit: Outfit) -> list[Part]:
    if outfit.hat == "none":
        return []
    centre, head, size = figure.points["head_centre"], figure.frames["head"], figure.body.head
    look = outfit.hat_material
    grow, keep = {
        "cap": (1.13, (0.0, 1.0, -0.1, -0.3)),
        "sunhat": (1.14, (0.0, 1.0, 0.0, -0.3)),
        "beanie": (1.13, (0.0, 0.92, -0.4, -0.08)),
        "helmet": (1.26, (0.0, 0.9, -0.45, 0.0)),
        "scarf": (1.13, (0.0, 0.6, -0.8, 0.12)),
    }[outfit.hat]
    parts = [ellipsoid(centre, head, HEAD_SEMI * grow * size, look, keep=keep)]
    if outfit.hat == "cap":
        parts.append(
            ellipsoid(
                _at(centre, head, 0, 0.04 * size, 0.115 * size), head, np.array([0.068, 0.008, 0.075]) * size, look
            )
        )
    if outfit.hat == "sunhat":
        parts.append(ellipsoid(_at(centre, head, 0, 0.04 * size, 0), head, np.array([0.17, 0.01, 0.18]) * size, look))
    if outfit.hat == "scarf":
        parts.append(
            ellipsoid(_at(centre, head, 0, -0.1 * size, -0.03 * size), head, np.array([0.09, 0.1, 0.075]) * size, look)
        )
    return parts


def _carried(figure: Figure, outfit: Outfit) -> list[Part]:
    """A backpack and what a hand holds; they hide the body but are not the person's pixels."""
    points, frames, scale = figure.points, figure.frames, figure.body.scale
    parts: list[Part] = []
    if outfit.backpack is not None:
        middle = _at(points["spine"], frames["chest"], 0, 0.09 * scale, -0.2 * scale)
        semi = (0.15 * scale, 0.21 * scale, 0.11 * scale)
        parts.append(ellipsoid(middle, frames["chest"], semi, outfit.backpack, person=False))
    look = outfit.held_material
    if outfit.held == "none" or look is None:
        return parts
    hand, axes = points[f"{outfit.held_in}_hand"], frames[f"{outfit.held_in}_hand"]
    inward = -0.08 * scale if outfit.held_in == "left" else 0.08 * scale
    if outfit.held == "ball":
        parts.append(ball(_at(hand, axes, inward, -0.03, 0), 0.085 * scale, look, person=False))
    elif outfit.held == "stick":
        start, end = _at(hand, axes, 0, -0.02, -0.35), _at(hand, axes, 0, -0.02, 0.55)
        parts.append(barrel(start, end, (0.012, 0.014, 0.02), look, side=axes[:, 0], person=False))
    elif outfit.held == "bag":
        middle = _at(hand, axes, 0, -0.27 * scale, 0)
        parts += box(middle, axes, (0.06 * scale, 0.16 * scale, 0.14 * scale), look, person=False)
    else:
        parts += box(_at(hand, axes, inward * 0.4, -0.05, 0.03), axes, (0.015, 0.12, 0.085), look, person=False)
    return parts


def _tilt(degrees: float) -> np.ndarray:
    """Rotation about the left axis."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])

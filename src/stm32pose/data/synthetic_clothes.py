"""What people look like: tables of skin, hair, hats and clothes, and the draw of one outfit from them.

A new colour, cut or hair style is a row in a table; `synthetic_figure` turns an outfit into surfaces.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stm32pose.data.synthetic_body import Body
from stm32pose.data.synthetic_render import Material

Colour = tuple[float, float, float]

SKIN: tuple[Colour, ...] = (
    (252, 222, 200), (243, 205, 176), (230, 188, 154), (214, 166, 128), (192, 140, 100),
    (164, 112, 76), (132, 86, 58), (102, 66, 46), (78, 52, 40),
)  # fmt: skip
HAIR: tuple[Colour, ...] = (
    (24, 20, 20), (40, 30, 24), (70, 46, 30), (104, 68, 40), (146, 100, 56), (196, 154, 92), (226, 196, 140),
    (150, 62, 34), (130, 128, 128), (214, 212, 208), (180, 60, 120),
)  # fmt: skip
IRIS: tuple[Colour, ...] = ((40, 28, 20), (30, 24, 24), (70, 50, 28), (60, 90, 120), (70, 96, 64))
HAIR_STYLES: dict[str, float] = {
    "short": 5.0, "buzz": 1.5, "bald": 1.0, "long": 3.0, "bob": 2.0, "ponytail": 1.5, "bun": 1.0, "curly": 1.0,
}  # fmt: skip
HATS: dict[str, float] = {"none": 9.0, "cap": 1.2, "beanie": 1.0, "sunhat": 0.5, "helmet": 0.5, "scarf": 0.4}
PATTERNS_ALL_OVER: dict[str, float] = {
    "plain": 5.0, "hoops": 1.5, "stripes": 1.0, "diagonal": 0.5, "checks": 1.0, "tartan": 1.0, "dots": 0.7,
    "blotches": 0.8,
}  # fmt: skip
PATTERNS_SHIRT: dict[str, float] = PATTERNS_ALL_OVER | {"print": 2.0, "open": 1.8, "halves": 0.7, "gradient": 0.5}
TOPS: dict[str, tuple[float, tuple[float, float]]] = {
    "sleeveless": (1.5, (0.0, 0.0)), "t-shirt": (4.0, (0.4, 0.8)), "half": (1.0, (0.9, 1.3)),
    "long": (5.0, (1.75, 1.96)), "bare": (0.6, (0.0, 0.0)),
}  # fmt: skip
"""name -> (weight, how far the sleeve reaches: 1 is the elbow, 2 the wrist)."""
BOTTOMS: dict[str, tuple[float, tuple[float, float]]] = {
    "trousers": (6.0, (1.8, 1.97)), "leggings": (1.2, (1.6, 1.95)), "shorts": (2.5, (0.45, 0.9)),
    "briefs": (0.4, (0.05, 0.2)), "capri": (0.8, (1.2, 1.6)), "skirt": (1.6, (0.5, 1.25)), "dress": (1.4, (0.5, 1.5)),
}  # fmt: skip
"""name -> (weight, how far it reaches: 1 is the knee, 2 the ankle)."""


@dataclass(frozen=True)
class Outfit:
    """One person's looks. Lengths in metres; `sleeves` and `legs` as in the tables above."""

    skin: Material
    head: Material
    hair: Material
    hair_style: str
    hat: str
    hat_material: Material
    shirt: Material
    sleeve: Material
    sleeves: float
    sleeve_slack: float
    bottom: str
    trousers: Material
    legs: float
    leg_slack: float
    hem: float
    neckline: float
    socks: Material
    sock_height: float
    shoes: Material
    shoe_size: float
    gloves: Material | None = None
    backpack: Material | None = None
    held: str = "none"
    held_in: str = "right"
    held_material: Material | None = None


def pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """One name, with probability proportional to its weight."""
    values = np.array(list(weights.values()))
    return list(weights)[int(rng.choice(len(values), p=values / values.sum()))]


def any_colour(rng: np.random.Generator) -> Colour:
    """A colour of cloth or paint: greys, browns, blues and everything else, from dark to bright."""
    if rng.random() < 0.35:
        grey = rng.uniform(18, 248)
        return _clip(np.full(3, grey) + rng.normal(0, 7, 3))
    hsv = np.array([[[rng.uniform(0, 180), rng.uniform(50, 255), rng.uniform(45, 250)]]], np.uint8)
    return _clip(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].astype(float))


def cloth(rng: np.random.Generator, patterns: dict[str, float] | None = None) -> Material:
    """A random textile with one of `patterns` (name -> weight)."""
    pattern = pick(rng, patterns or PATTERNS_ALL_OVER)
    first, second = any_colour(rng), any_colour(rng)
    small = pattern in PATTERNS_ALL_OVER
    period = float(np.exp(rng.uniform(np.log(0.025), np.log(0.13)))) if small else float(rng.uniform(0.07, 0.12))
    gloss, rough = float(rng.uniform(0, 0.2)), float(rng.uniform(0.02, 0.14))
    return Material(first, second, pattern, period, float(rng.random()), gloss=gloss, rough=rough)


def sample_outfit(rng: np.random.Generator, body: Body) -> Outfit:
    """Everything a person wears, and what the person looks like. Only grown men go without a shirt."""
    tone = _between(rng, SKIN)
    skin = Material(tone, gloss=float(rng.uniform(0.02, 0.18)), rough=0.03)
    hair_colour = _between(rng, HAIR) if rng.random() < 0.4 else HAIR[int(rng.integers(len(HAIR)))]
    hair_style = pick(rng, HAIR_STYLES)
    hair = Material(hair_colour, gloss=float(rng.uniform(0, 0.25)), rough=float(rng.uniform(0.1, 0.3)))
    grown = body.scale > 0.85
    top = pick(rng, {name: row[0] for name, row in TOPS.items() if name != "bare" or (grown and body.bust < 0.05)})
    bottom = pick(rng, {name: row[0] for name, row in BOTTOMS.items() if name != "briefs" or grown})
    shirt = skin if top == "bare" and bottom != "dress" else cloth(rng, PATTERNS_SHIRT)
    trousers = shirt if bottom == "dress" or (bottom == "trousers" and rng.random() < 0.08) else cloth(rng)
    plain_sleeve = shirt if shirt.pattern in PATTERNS_ALL_OVER else Material(shirt.colour, rough=shirt.rough)
    shoes = cloth(rng, {"plain": 1.0})
    socks = Material((235, 235, 232)) if rng.random() < 0.5 else cloth(rng, {"plain": 2.0, "hoops": 1.0})
    return Outfit(
        skin=skin,
        head=Material(tone, gloss=skin.gloss, rough=0.03, face=_face(rng, tone, hair_colour, hair_style)),
        hair=hair,
        hair_style=hair_style,
        hat=pick(rng, HATS),
        hat_material=cloth(rng),
        shirt=shirt,
        sleeve=cloth(rng) if rng.random() < 0.12 and shirt is not skin else plain_sleeve,
        sleeves=float(rng.uniform(*TOPS[top][1])),
        sleeve_slack=float(rng.uniform(0.005, 0.018)) * (1.8 if rng.random() < 0.15 else 1.0),
        bottom=bottom,
        trousers=trousers,
        legs=float(rng.uniform(*BOTTOMS[bottom][1])),
        leg_slack=0.004 if bottom in ("leggings", "briefs") else float(rng.uniform(0.006, 0.03)),
        hem=float(rng.uniform(-0.09, 0.08)),
        neckline=float(rng.uniform(0.03, 0.12)),
        socks=socks,
        sock_height=float(rng.choice([0.0, 0.08, 0.3, 0.85], p=[0.4, 0.3, 0.2, 0.1])),
        shoes=skin if rng.random() < 0.12 else shoes,
        shoe_size=float(rng.uniform(1.0, 1.2)),
        gloves=cloth(rng, {"plain": 1.0}) if rng.random() < 0.07 else None,
        backpack=cloth(rng) if rng.random() < 0.07 else None,
        held=pick(rng, {"none": 8.0, "ball": 0.7, "stick": 0.7, "bag": 0.6, "book": 0.5}),
        held_in="left" if rng.random() < 0.5 else "right",
        held_material=cloth(rng),
    )


def _face(rng: np.random.Generator, tone: Colour, hair: Colour, style: str) -> dict:
    dark = np.asarray(tone)
    return {
        "hair": hair if style != "buzz" else _clip(0.55 * np.asarray(hair) + 0.45 * dark),
        "bald": style == "bald",
        "hairline": float(rng.uniform(0.38, 0.72)),
        "nape": float(rng.uniform(-0.75, -0.35)),
        "beard": bool(rng.random() < 0.18),
        "brows": bool(rng.random() < 0.9),
        "lips": _clip(dark * (0.72, 0.5, 0.5) + (18, 0, 4) if rng.random() < 0.7 else np.array([176, 40, 56])),
        "mouth": float(rng.uniform(0.005, 0.015)),
        "iris": IRIS[int(rng.integers(len(IRIS)))],
        "white": (238, 236, 232),
        "glasses": any_colour(rng) if rng.random() < 0.14 else None,
    }


def _between(rng: np.random.Generator, tones: tuple[Colour, ...]) -> Colour:
    place = rng.uniform(0, len(tones) - 1)
    low = min(int(place), len(tones) - 2)
    mix = (1 - (place - low)) * np.asarray(tones[low]) + (place - low) * np.asarray(tones[low + 1])
    return _clip(mix * rng.uniform(0.92, 1.08) + rng.normal(0, 4, 3))


def _clip(values: np.ndarray) -> Colour:
    red, green, blue = np.clip(values, 6, 252)
    return (float(red), float(green), float(blue))

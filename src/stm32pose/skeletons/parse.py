"""The content of a skeleton's YAML to a `Skeleton`; every fault is one line: where, what was got, what is allowed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from stm32pose.errors import ConfigError, did_you_mean
from stm32pose.skeletons.skeleton import DEFAULT_SIGMA, Skeleton

KEYS = (
    "name",
    "category",
    "about",
    "keypoints",
    "edges",
    "pairs",
    "sigmas",
    "sigmas_source",
    "sigmas_published",
    "weights",
    "colours",
    "head_segment",
    "head_factor",
    "torso_segment",
    "upper_body",
    "derive",
)

# Blue and orange are told apart by nearly everybody; green for what is neither left nor right.
SIDE_COLOURS = {"left": (40, 130, 255), "right": (255, 135, 20), "centre": (60, 200, 100)}

_NAME_OF = {"left": "right", "l": "r", "Left": "Right", "L": "R", "LEFT": "RIGHT"}


def parse_skeleton(content: Any, *, where: str) -> Skeleton:
    """A `Skeleton` from what the YAML held.

    Raises:
        ConfigError: one line, beginning with `where` and the key.
    """
    if not isinstance(content, dict):
        raise ConfigError(
            f"{where}: got {_kind(content)}; wanted a mapping with the keys name, keypoints, edges, pairs"
        )
    for key in content:
        if key not in KEYS:
            raise ConfigError(f"{where}: unknown key '{key}'; allowed: {', '.join(KEYS)}{did_you_mean(key, KEYS)}")
    name = _text(content, "name", where)
    names = _keypoints(content.get("keypoints"), f"{where}: keypoints")
    index = {keypoint: number for number, keypoint in enumerate(names)}
    pairs = _pairs(content.get("pairs"), names, f"{where}: pairs")
    edges, groups = _edges(content.get("edges"), index, f"{where}: edges")
    sigmas, given = _sigmas(content.get("sigmas"), names, f"{where}: sigmas")
    weights = _numbers(content["weights"], names, f"{where}: weights") if content.get("weights") is not None else None
    published = content.get("sigmas_published", given)
    if not isinstance(published, bool):
        raise ConfigError(f"{where}: sigmas_published: got {published!r}; allowed: true, false")
    derive, derive_all = _derive(content.get("derive"), index, f"{where}: derive")
    flip = np.arange(len(names), dtype=np.int64)
    for left, right in pairs:
        flip[left], flip[right] = right, left
    flip.flags.writeable = sigmas.flags.writeable = False
    return Skeleton(
        name=name,
        category=_text(content, "category", where),
        keypoints=names,
        edges=edges,
        pairs=pairs,
        flip=flip,
        sigmas=sigmas,
        sigmas_published=published and given,
        sigmas_source=str(content.get("sigmas_source") or (f"given in {where}" if given else _default_source())),
        colours=_colours(content.get("colours"), edges, groups, pairs, f"{where}: colours"),
        head_segment=_segment(content.get("head_segment"), index, f"{where}: head_segment"),
        head_factor=_positive(content.get("head_factor", 1.0), f"{where}: head_factor"),
        torso_segment=_segment(content.get("torso_segment"), index, f"{where}: torso_segment"),
        upper_body=_upper_body(content.get("upper_body"), index, pairs, f"{where}: upper_body"),
        derive=derive,
        derive_all=derive_all,
        weights=weights,
    )


def _default_source() -> str:
    return f"not measured; the default {DEFAULT_SIGMA} for every keypoint"


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"


def _text(content: dict, key: str, where: str) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where}: {key}: got {_kind(value)}; wanted a word")
    return value.strip()


def _positive(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        raise ConfigError(f"{where}: got {_kind(value)}; wanted a number above 0")
    return float(value)


def _keypoints(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{where}: got {_kind(value)}; wanted a list of names")
    for item in value:
        if not isinstance(item, str) or not item.strip():
            raise ConfigError(f"{where}: got {_kind(item)}; wanted a list of names (put quotes around numbers)")
    for position, item in enumerate(value):
        if item in value[:position]:
            raise ConfigError(f"{where}: '{item}' is listed twice (numbers {value.index(item)} and {position})")
    return tuple(value)


def _find(name: Any, index: dict[str, int], where: str) -> int:
    if not isinstance(name, str) or name not in index:
        raise ConfigError(f"{where}: no keypoint named '{name}'{did_you_mean(name, index)}")
    return index[name]


def _segment(value: Any, index: dict[str, int], where: str) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise ConfigError(f"{where}: got {_kind(value)}; wanted two keypoint names")
    first, second = (_find(name, index, where) for name in value)
    if first == second:
        raise ConfigError(f"{where}: joins '{value[0]}' to itself")
    return first, second


def _upper_body(value: Any, index: dict[str, int], pairs: tuple[tuple[int, int], ...], where: str) -> tuple[int, ...]:
    """Indices of the named keypoints; a pair of left and right lies on one side of the waist."""
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{where}: got {_kind(value)}; wanted a list of keypoint names")
    upper = tuple(sorted({_find(name, index, where) for name in value}))
    names = list(index)
    for pair in pairs:
        if len({joint in upper for joint in pair}) == 2:
            raise ConfigError(f"{where}: has one of [{names[pair[0]]}, {names[pair[1]]}]; name both or neither")
    if len(upper) == len(index):
        raise ConfigError(f"{where}: names all keypoints, which leaves no lower body")
    return upper


def _pairs(value: Any, names: tuple[str, ...], where: str) -> tuple[tuple[int, int], ...]:
    """Given pairs, checked; where the key is absent, every left/right couple that the names show."""
    index = {name: number for number, name in enumerate(names)}
    if value is None:
        return tuple((index[name], index[other]) for name in names if (other := _other_side(name)) in index)
    if not isinstance(value, list):
        raise ConfigError(f"{where}: got {_kind(value)}; wanted a list of [left, right] names, or []")
    pairs: list[tuple[int, int]] = []
    taken: dict[int, str] = {}
    for item in value:
        pair = _segment(item, index, where)
        if pair is None:
            raise ConfigError(f"{where}: got nothing; wanted [left, right] names")
        left, right = names[pair[0]], names[pair[1]]
        if _other_side(right) is not None:
            raise ConfigError(f"{where}: [{left}, {right}] has the left one second; wanted [left, right]")
        expected = _other_side(left)
        if expected in index and expected != right:
            raise ConfigError(f"{where}: '{left}' is paired with '{right}'; its other side is '{expected}'")
        for joint in pair:
            if joint in taken:
                raise ConfigError(f"{where}: '{names[joint]}' is in two pairs: {taken[joint]} and [{left}, {right}]")
            taken[joint] = f"[{left}, {right}]"
        pairs.append(pair)
    for name in names:
        other = _other_side(name)
        if value and other in index and index[name] not in taken:
            raise ConfigError(f"{where}: [{name}, {other}] is missing, so a mirror would not swap the two")
    return tuple(pairs)


def _other_side(name: str) -> str | None:
    """right_hip for left_hip, paw_r for paw_l; None for a name that says nothing of being left."""
    for left, right in _NAME_OF.items():
        if len(left) > 1 and name.startswith(left):
            return right + name[len(left) :]
        if name.startswith((f"{left}_", f"{left}-", f"{left} ")):
            return right + name[len(left) :]
        if name.endswith((f"_{left}", f"-{left}", f" {left}")):
            return name[: -len(left)] + right
        for separator in "_- ":
            middle = f"{separator}{left}{separator}"
            if middle in name:
                return name.replace(middle, f"{separator}{right}{separator}", 1)
    return None


def _edges(value: Any, index: dict[str, int], where: str) -> tuple[tuple[tuple[int, int], ...], tuple[str | None, ...]]:
    """Edges and the group of each. An entry of more than two names is a path through them."""
    if value is None:
        return (), ()
    grouped = value if isinstance(value, dict) else {None: value}
    edges: list[tuple[int, int]] = []
    groups: list[str | None] = []
    for group, paths in grouped.items():
        place = where if group is None else f"{where}.{group}"
        if not isinstance(paths, list):
            raise ConfigError(f"{place}: got {_kind(paths)}; wanted a list of paths such as [neck, head]")
        for path in paths:
            if not isinstance(path, list) or len(path) < 2:
                raise ConfigError(f"{place}: got {_kind(path)}; wanted two or more keypoint names")
            joints = [_find(name, index, place) for name in path]
            for start, end in pairwise(joints):
                if start == end:
                    raise ConfigError(f"{place}: joins '{path[joints.index(start)]}' to itself")
                if (start, end) in edges or (end, start) in edges:
                    both = [name for name, number in index.items() if number in (start, end)]
                    raise ConfigError(f"{place}: [{', '.join(both)}] is listed twice")
                edges.append((start, end))
                groups.append(group)
    return tuple(edges), tuple(groups)


def _sigmas(value: Any, names: tuple[str, ...], where: str) -> tuple[np.ndarray, bool]:
    if value is None:
        return np.full(len(names), DEFAULT_SIGMA), False
    return _numbers(value, names, where), True


def _numbers(value: Any, names: tuple[str, ...], where: str) -> np.ndarray:
    """float64 [K], a number above 0 for each keypoint, from a list or a mapping by name."""
    if isinstance(value, dict):
        for name in value:
            if name not in names:
                raise ConfigError(f"{where}: no keypoint named '{name}'{did_you_mean(name, names)}")
        missing = [name for name in names if name not in value]
        if missing:
            raise ConfigError(f"{where}: none for {', '.join(missing)}; wanted one for each of {len(names)} keypoints")
        value = [value[name] for name in names]
    if not isinstance(value, list):
        raise ConfigError(f"{where}: got {_kind(value)}; wanted a list of {len(names)} numbers")
    if len(value) != len(names):
        raise ConfigError(f"{where}: got {len(value)} numbers; wanted {len(names)}, one for each keypoint")
    numbers = [_positive(item, f"{where}: {name}") for item, name in zip(value, names, strict=True)]
    return np.array(numbers, dtype=np.float64)


def _colours(
    value: Any,
    edges: tuple[tuple[int, int], ...],
    groups: tuple[str | None, ...],
    pairs: tuple[tuple[int, int], ...],
    where: str,
) -> tuple[tuple[int, int, int], ...]:
    """One colour an edge: a list in the order of the edges, or by group, or by side of the body."""
    if isinstance(value, list):
        if len(value) != len(edges):
            raise ConfigError(f"{where}: got {len(value)} colours; wanted {len(edges)}, one an edge, or a mapping")
        return tuple(_rgb(item, where) for item in value)
    if value is not None and not isinstance(value, dict):
        raise ConfigError(f"{where}: got {_kind(value)}; wanted a mapping of groups to [red, green, blue], or a list")
    named = {str(group) for group in groups if group is not None}
    palette = dict(SIDE_COLOURS)
    for group, colour in (value or {}).items():
        if group not in named and group not in SIDE_COLOURS:
            allowed = sorted(named | set(SIDE_COLOURS))
            raise ConfigError(
                f"{where}: no group '{group}'; allowed: {', '.join(allowed)}{did_you_mean(group, allowed)}"
            )
        palette[group] = _rgb(colour, f"{where}.{group}")
    left, right = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    return tuple(
        palette[group] if group in palette else palette[_side(edge, left, right)]
        for edge, group in zip(edges, groups, strict=True)
    )


def _side(edge: Iterable[int], left: set[int], right: set[int]) -> str:
    """The side an edge belongs to: shoulder to shoulder is centre, neck to left shoulder is left."""
    touches_left, touches_right = any(joint in left for joint in edge), any(joint in right for joint in edge)
    if touches_left == touches_right:
        return "centre"
    return "left" if touches_left else "right"


def _rgb(value: Any, where: str) -> tuple[int, int, int]:
    good = isinstance(value, list) and len(value) == 3
    if not good or not all(isinstance(part, int) and not isinstance(part, bool) and 0 <= part <= 255 for part in value):
        raise ConfigError(f"{where}: got {_kind(value)}; wanted [red, green, blue], each 0 to 255")
    return tuple(value)


def _derive(value: Any, index: dict[str, int], where: str) -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
    if value is None:
        return {}, frozenset()
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: got {_kind(value)}; wanted keypoint names, each with the names it is the mean of")
    derive: dict[str, tuple[str, ...]] = {}
    demanding = set()
    for name, sources in value.items():
        _find(name, index, where)
        if isinstance(sources, dict) and len(sources) == 1 and next(iter(sources)) in ("any", "all"):
            rule, sources = next(iter(sources.items()))
            if rule == "all":
                demanding.add(name)
        if not isinstance(sources, list) or not sources or not all(isinstance(item, str) for item in sources):
            raise ConfigError(f"{where}.{name}: got {_kind(sources)}; wanted a list of names, or any: or all: with one")
        derive[name] = tuple(sources)
    return derive, frozenset(demanding)

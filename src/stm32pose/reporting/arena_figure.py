"""The memory of generated code over time, as a picture: where every tensor lies, and from which layer to which."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.reporting.figures import BAD, GREY, _figure

if TYPE_CHECKING:
    from stm32pose.codegen.plan import ArenaPlan
    from stm32pose.codegen.program import Program

KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "convolution": ("#3465a4", ("CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")),
    "depthwise convolution": ("#8fb3dc", ("DEPTHWISE_CONV_2D",)),
    "addition, product": ("#2e9e5b", ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM")),
    "pooling, resizing": (
        "#c58fd6",
        (
            "MAX_POOL_2D",
            "AVERAGE_POOL_2D",
            "MEAN",
            "SUM",
            "REDUCE_MAX",
            "REDUCE_MIN",
            "RESIZE_BILINEAR",
            "RESIZE_NEAREST_NEIGHBOR",
        ),
    ),
    "moved bytes": (
        "#b9a23c",
        ("CONCATENATION", "PAD", "PADV2", "MIRROR_PAD", "SPLIT", "STRIDED_SLICE", "TRANSPOSE", "RESHAPE", "PACK"),
    ),
}
"""Legend -> colour, and the operators that make a tensor of it."""
INPUT, OTHER = ("input of the network", "#d9822b"), ("activation, quantization, other", "#b4b9c1")
DARK = ("#3465a4", "#2e9e5b")
MOST_NAMES = 100
"""Layers up to which each is named below the axis."""


def arena_figure(program: Program, plan: ArenaPlan, path: Path) -> Path | None:
    """Draw a plan: layers from left to right, addresses upwards, a block a tensor, scratch hatched.

    A tensor that is written over the input it is made from is a wedge: as the layer goes on, it takes over the bytes
    that the input no longer needs. None (no file): nothing lies in the arena.
    """
    used = [pool for pool, size in enumerate(plan.pool_bytes) if size]
    if not used or not program.calls:
        return None
    layers = len(program.calls)
    width = min(22.0, max(9.0, 0.2 * layers + 3))
    named = layers <= MOST_NAMES
    height = (4.6 if len(used) == 1 else 3.2 * len(used)) + (1.6 if named else 0.6)
    with _figure(path, width, height, nrows=len(used), ncols=1, sharex=True, squeeze=False) as axes:
        legend: dict[str, Any] = {}
        for axis, pool in zip(axes[:, 0], used, strict=True):
            axis.grid(axis="x", visible=False)
            _tensors(axis, program, plan, pool, legend, width / (layers + 1))
            _scratch(axis, program, plan, pool, legend)
            _frame(axis, plan, pool, legend)
        _layers(axes[-1, 0], program, named)
        title = f"Memory of {layers} layers: {_kib(plan.peak_bytes)}"
        if len(used) > 1:
            title += f" in {len(used)} memories"
        if plan.plain_bytes > plan.peak_bytes:
            title += f" ({_kib(plan.plain_bytes)} if nothing were written over its input)"
        axes[0, 0].set_title(title, loc="left")
        axes[0, 0].figure.legend(
            legend.values(), legend.keys(), loc="outside lower center", ncols=min(5, len(legend)), fontsize=8
        )
    return path


def _tensors(axis, program: Program, plan: ArenaPlan, pool: int, legend: dict[str, Any], inches: float) -> None:
    """`inches`: of one layer on paper."""
    from matplotlib.patches import Polygon

    makers = {program.root(index): call.kind for call in reversed(program.calls) for index in call.outputs}
    kept = {program.root(index) for index in program.network.outputs}
    layers, size_of = len(program.calls), program.network.tensors
    for root, (first, last) in sorted(plan.lives.items(), key=lambda item: item[1]):
        if plan.pool[root] != pool or not size_of[root].bytes:
            continue
        low, high = plan.offsets[root] / 1024, (plan.offsets[root] + size_of[root].bytes) / 1024
        begin, end = first, min(last + 1, layers)
        wedge = first >= 0 and _over_input(program, plan, root, first)
        corners = [(begin, low), (begin + wedge, high), (end, high), (end, low)]
        label, colour = INPUT if first < 0 else _kind(makers.get(root, ""))
        patch = Polygon(
            corners,
            closed=True,
            facecolor=colour,
            edgecolor="#20242a" if root in kept else "white",
            linewidth=1.2 if root in kept else 0.5,
            zorder=2,
        )
        legend.setdefault(label, patch)
        axis.add_patch(patch)
        if root in kept and "output of the network (outlined)" not in legend:
            legend["output of the network (outlined)"] = Polygon(corners, facecolor="white", edgecolor="#20242a")
        covered = last < layers and any(
            _over_input(program, plan, made, last, root)
            for index in program.calls[last].outputs
            if (made := program.root(index)) in plan.offsets
        )
        left, right = begin + wedge / 2, end - covered / 2  # of what is to be seen at half its height
        text = _short(size_of[root].bytes / 1024)
        if high - low > 0.06 * plan.pool_bytes[pool] / 1024 and (right - left) * inches > 0.13:
            turned = (right - left) * inches < 0.065 * len(text) + 0.04
            axis.text(
                (left + right) / 2,
                (low + high) / 2,
                text,
                ha="center",
                va="center",
                rotation=90 if turned else 0,
                fontsize=6.5,
                color="white" if colour in DARK else "#20242a",
                zorder=5,
            )


def _over_input(program: Program, plan: ArenaPlan, root: int, step: int, only: int | None = None) -> bool:
    """Whether a tensor lies over an input, or over that one, of the layer that makes it."""
    size_of = program.network.tensors
    start, end = plan.offsets[root], plan.offsets[root] + size_of[root].bytes
    for index in program.calls[step].inputs:
        other = program.root(index)
        if other == root or only not in (None, other):
            continue
        if other not in plan.offsets or plan.pool[other] != plan.pool[root]:
            continue
        if max(start, plan.offsets[other]) < min(end, plan.offsets[other] + size_of[other].bytes):
            return True
    return False


def _scratch(axis, program: Program, plan: ArenaPlan, pool: int, legend: dict[str, Any]) -> None:
    from matplotlib.patches import Rectangle

    for step, call in enumerate(program.calls):
        if call.scratch_bytes and plan.scratch_pool[step] == pool:
            patch = Rectangle(
                (step, plan.scratch[step] / 1024),
                1,
                call.scratch_bytes / 1024,
                facecolor="#fff6d8",
                edgecolor="#7a5b00",
                hatch="//////",
                linewidth=0.5,
                zorder=3,
            )
            legend.setdefault("scratch", patch)
            axis.add_patch(patch)


def _frame(axis, plan: ArenaPlan, pool: int, legend: dict[str, Any]) -> None:
    """Limits, the size of the arena, and the layer with the most live bytes."""
    layers, top = len(plan.live_bytes), plan.pool_bytes[pool] / 1024
    axis.set(xlim=(-1, layers), ylim=(0, top * 1.1), ylabel=f"{plan.pools[pool]} KiB".strip())
    axis.axhline(top, color=BAD, linewidth=1.2, zorder=6)
    axis.text(layers, top * 1.015, f"{_kib(plan.pool_bytes[pool])} ", color=BAD, ha="right", va="bottom", fontsize=8)
    band = axis.axvspan(plan.peak_call, plan.peak_call + 1, color=BAD, alpha=0.16, linewidth=0, zorder=1)
    for edge in (plan.peak_call, plan.peak_call + 1):
        axis.axvline(edge, color=BAD, linewidth=0.8, linestyle=":", zorder=6)
    legend.setdefault("most bytes live", band)
    if len([size for size in plan.pool_bytes if size]) == 1:
        live = np.array([*plan.live_bytes, plan.live_bytes[-1]]) / 1024
        style = {"color": "#20242a", "linewidth": 0.9, "linestyle": (0, (2, 1)), "zorder": 4}
        (line,) = axis.step(range(layers + 1), live, where="post", **style)
        legend.setdefault("bytes live, at least", line)
    axis.axvline(0, color=GREY, linewidth=0.6, zorder=1)


def _layers(axis, program: Program, named: bool) -> None:
    layers = len(program.calls)
    if not named:
        axis.set_xlabel("layer")
        return
    names = [f"{call.function}  {step}" for step, call in enumerate(program.calls)]
    axis.set_xticks(np.arange(-1, layers) + 0.5, ["input", *names], rotation=90, fontsize=6.5)
    axis.tick_params(axis="x", length=0)


def _kind(kind: str) -> tuple[str, str]:
    return next(((label, colour) for label, (colour, kinds) in KINDS.items() if kind in kinds), OTHER)


def _short(kib: float) -> str:
    return f"{kib:.0f}" if kib >= 10 else f"{kib:.1f}"


def _kib(size: int) -> str:
    return f"{size / 1024:.1f} KiB"

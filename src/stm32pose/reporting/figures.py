"""Charts of a run, as PNG files. matplotlib is imported when the first one is drawn."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from stm32pose.benchmark.memory import MemoryPlan

MOST_NAMES = 80
"""Keypoints up to which a chart names each."""
LOSSES = ("loss", "val_loss", "distillation")
FLOAT, INT8, GOOD, BAD, GREY = "#3465a4", "#d9822b", "#2e9e5b", "#c0392b", "#8a8f98"


@contextmanager
def _figure(path: Path, width: float, height: float, **options) -> Iterator[Any]:
    """Axes of a figure that is written to `path` when the block ends; no window, no global state left behind."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(**options)
    for axis in np.atleast_1d(axes).flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    yield axes
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in another script is drawn as boxes
        figure.savefig(path)


def training_curves(history: Sequence[dict[str, Any]], best_epoch: int, path: Path) -> Path:
    """Loss, accuracy and learning rate over epochs; `history` holds one dict an epoch, counted from 1.

    Where a teacher was learnt from, its part (`distillation`) has a line of its own: the training loss has it mixed in,
    the loss of validation has not.
    """
    taught = any(entry.get("distillation") is not None for entry in history)
    named = ("training, labels and teacher", "validation, labels", "training, teacher")
    losses_as = tuple(zip(named if taught else ("training", "validation", ""), (FLOAT, INT8, GOOD), strict=True))
    epochs = [entry.get("epoch", index + 1) for index, entry in enumerate(history)]
    with _figure(path, 11, 3.2, nrows=1, ncols=3) as (loss, accuracy, rate):
        _lines(loss, epochs, history, dict(zip(LOSSES, losses_as, strict=True)))
        loss.set(title="Loss", xlabel="epoch")
        known = [entry.get(name) for entry in history for name in LOSSES]
        losses = [value for value in known if value is not None and np.isfinite(value)]
        if losses and 0 < 20 * min(losses) < max(losses):  # some losses go below 0, where no logarithm is
            loss.set_yscale("log")
        _lines(
            accuracy,
            epochs,
            history,
            {"oks": ("OKS training", FLOAT), "val_oks": ("OKS validation", INT8), "val_pck": ("PCK@0.2 val.", GOOD)},
        )
        accuracy.set(title="Accuracy", xlabel="epoch", ylim=(0, 1))
        accuracy.axvline(best_epoch, color=GREY, linestyle=":", linewidth=1.2)
        first, last = min(epochs), max(epochs)
        left = best_epoch > (first + last) / 2  # towards the middle: outside are the labels of the axis
        accuracy.annotate(
            f"best {best_epoch}",
            (best_epoch, 0.02),
            xytext=(-3 if left else 3, 0),
            textcoords="offset points",
            color=GREY,
            fontsize=8,
            ha="right" if left else "left",
        )
        _lines(rate, epochs, history, {"learning_rate": ("learning rate", GREY)})
        rate.set(title="Learning rate", xlabel="epoch")
        if any((entry.get("learning_rate") or 0) > 0 for entry in history):
            rate.set_yscale("log")
        for axis in (loss, accuracy, rate):
            axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        for axis in (loss, accuracy):
            if axis.get_legend_handles_labels()[0]:
                axis.legend(fontsize=8, frameon=False)
    return path


def _lines(axis, epochs, history, names: dict[str, tuple[str, str]]) -> None:
    for name, (label, colour) in names.items():
        points = [(e, h.get(name)) for e, h in zip(epochs, history, strict=True)]
        points = [(epoch, value) for epoch, value in points if value is not None and np.isfinite(value)]
        if points:
            axis.plot(*zip(*points, strict=True), label=label, color=colour, marker="." if len(points) < 25 else "")


def joint_curves(names: Sequence[str], joints: Sequence[dict[str, Any]], best_epoch: int, path: Path) -> Path:
    """OKS of each joint over epochs, a row a joint, grey where it is labelled nowhere.

    Args:
        names: of the K joints.
        joints: at least one: {"epoch": from 1, "oks": K values in 0..1 or None}, in order.
        best_epoch: a line is drawn there, and its figures stand at the right.
        path: of the PNG.
    """
    epochs = [row["epoch"] for row in joints]
    values = np.array([row["oks"] for row in joints], np.float64).T
    at = values[:, epochs.index(best_epoch) if best_epoch in epochs else -1]
    named = len(names) <= MOST_NAMES
    size = float(np.clip(260 / max(len(names), 1), 5.5, 9))
    inches = 1.3 + max(1.6, (size + 3.2) / 72 * len(names) if named else 6.0)
    with _figure(path, 9, inches, nrows=1, ncols=1) as axis:
        colours = axis.imshow(
            np.ma.masked_invalid(values),
            aspect="auto",
            interpolation="nearest",
            cmap="viridis",
            vmin=0,
            vmax=1,
            extent=(epochs[0] - 0.5, epochs[-1] + 0.5, len(names) - 0.5, -0.5),
        )
        axis.set_facecolor("#d5d8dc")
        axis.grid(False)
        axis.set(title="OKS of each joint over epochs", xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axis.axvline(best_epoch, color="white", linestyle=":", linewidth=1.4)
        axis.figure.colorbar(colours, ax=axis, fraction=0.03, pad=0.02, label="OKS")
        if named:
            axis.set_yticks(range(len(names)), names, fontsize=size)
            right = axis.secondary_yaxis("right")
            right.spines["right"].set_visible(False)
            texts = ["-" if np.isnan(value) else f"{value:.2f}" for value in at]
            right.set_yticks(range(len(names)), texts, fontsize=size)
            right.tick_params(length=0)
            right.set_ylabel(f"epoch {best_epoch}, the best", fontsize=8)
        else:
            axis.set_ylabel("joint")
    return path


def health_chart(epochs: Sequence[dict[str, Any]], path: Path) -> Path:
    """Gradient, step and dead channels of every layer, from the input to the output, early and late in a training.

    Args:
        epochs: at least one: {"epoch", "layers": rows of `stm32pose.training.health.LayerHealth`}, in order.
        path: of the PNG.
    """
    chosen = [epochs[index] for index in sorted({0, len(epochs) // 2, len(epochs) - 1})]
    shades = dict(zip((one["epoch"] for one in chosen), ("#b8c4d6", FLOAT, BAD)[-len(chosen) :], strict=True))
    kept = [row["layer"] for row in epochs[-1]["layers"] if "Normalization" not in row["kind"]]
    kept = kept or [row["layer"] for row in epochs[-1]["layers"]]
    every = -(-len(kept) // 60)
    panels = (("gradient", "gradient (norm)"), ("update", "change a step / weights"), ("silent", "dead channels"))
    with _figure(path, 11, 7.6, nrows=3, ncols=1, sharex=True) as axes:
        for axis, (figure, label) in zip(axes, panels, strict=True):
            for one in chosen:
                rows = {row["layer"]: row[figure] for row in one["layers"]}
                line = [np.nan if rows.get(name) is None else rows[name] for name in kept]
                colour = shades[one["epoch"]]
                axis.plot(line, color=colour, marker=".", linewidth=1, label=f"epoch {one['epoch']}")
            axis.set_ylabel(label, fontsize=9)
            if figure == "silent":
                axis.set_ylim(-0.02, 1.02)
            elif any((row[figure] or 0) > 0 for one in chosen for row in one["layers"]):
                axis.set_yscale("log")
        axes[1].axhspan(1e-4, 1e-2, color=GOOD, alpha=0.08, linewidth=0)
        axes[0].set_title("Health of the layers that learn, from the input to the output, on one batch")
        axes[0].legend(fontsize=8, frameon=False)
        axes[2].set_xticks(range(0, len(kept), every), kept[::every], rotation=90, fontsize=6)
    return path


def keypoint_chart(evaluations: Sequence[dict[str, Any]], path: Path) -> Path:
    """OKS of each joint, one bar a model: where int8 loses, it loses somewhere."""
    joints = [entry["keypoint"] for entry in evaluations[0]["per_keypoint"]]
    shown = [entry for entry in evaluations if len(entry["per_keypoint"]) == len(joints)]
    inches = min(18.0, max(7.0, 0.5 * len(joints) + 2))
    with _figure(path, inches, 3.6 + 0.18 * len(shown), nrows=1, ncols=1) as axis:
        width = 0.8 / len(shown)
        places = np.arange(len(joints))
        colours = _model_colours([entry.get("precision", entry["label"]) for entry in shown])
        for index, entry in enumerate(shown):
            heights = [joint.get("oks") or 0.0 for joint in entry["per_keypoint"]]
            label = f"{entry['label']} ({entry['set']})"
            offset = (index - (len(shown) - 1) / 2) * width
            axis.bar(places + offset, heights, width, label=label, color=colours[index])
        if len(joints) <= MOST_NAMES:
            axis.set_xticks(places, joints, rotation=40, ha="right", fontsize=8)
        axis.set(title="OKS of each keypoint", ylim=(0, 1))
        # Above the axes: bars reach everywhere inside.
        names = [entry["label"] for entry in shown]
        columns = len(names) if sum(map(len, names)) < 10 * inches else 1
        axis.figure.legend(fontsize=8, frameon=False, loc="outside upper left", ncols=columns)
    return path


def precision_recall_chart(curves: Sequence[tuple[str, dict[str, Any] | None]], path: Path) -> Path | None:
    """Precision over recall of every model, at OKS 0.50 and 0.75 and as the mean of COCO's ten thresholds.

    Args:
        curves: (label, "precision_recall" of `evaluate_poses`) of each model.
        path: of the PNG.

    Returns:
        The path; None (no file) where no model has a curve.
    """
    known = [(label, curve) for label, curve in curves if curve is not None]
    if not known:
        return None
    with _figure(path, 11, 3.6, nrows=1, ncols=3, sharey=True) as panels:
        colours = _model_colours([label for label, _ in known])
        for (label, curve), colour in zip(known, colours, strict=True):
            rows = curve["precision"]
            lines = (rows["0.50"], rows["0.75"], np.mean(list(rows.values()), axis=0))
            for axis, line in zip(panels, lines, strict=True):
                axis.plot(curve["recall"], line, color=colour, label=f"{label}: {np.mean(line):.3f}")
        for axis, name in zip(panels, ("OKS 0.50 (AP50)", "OKS 0.75 (AP75)", "mean of 0.50 to 0.95 (AP)"), strict=True):
            axis.set(title=name, xlabel="recall", xlim=(0, 1), ylim=(0, 1.02))
            axis.legend(fontsize=7, frameon=False, loc="best")
        panels[0].set_ylabel("precision")
    return path


def _model_colours(precisions: Sequence[str]) -> list[str]:
    """A colour a model: blue for the first float one, orange for the first int8 one, others of their own."""
    left = [f"C{number}" for number in (2, 4, 6, 8, 9, 5, 7)]
    first, colours = {"float": FLOAT, "int8": INT8}, []
    for index, precision in enumerate(precisions):
        colours.append(first.pop(precision.split(" ")[0], None) or left[index % len(left)])
    return colours


BARS = 20
"""Boards that a chart shows at most."""


def board_chart(rows: Sequence[dict[str, Any]], path: Path) -> Path | None:
    """Latency on the board that was asked for, first in `rows`, and on the fastest that run the model (where none does,
    on the fastest); green where it fits. None (no file) where no latency is known.
    """
    known = sorted((row for row in rows if row["latency_ms"] is not None), key=lambda row: row["latency_ms"])
    if not known:
        return None
    others = [row for row in known if row is not rows[0]]
    others = ([row for row in others if row["fits"]] or others)[: BARS - 1]
    known = [row for row in known if row is rows[0] or any(row is other for other in others)]
    with _figure(path, 8, 0.32 * len(known) + 1.2, nrows=1, ncols=1) as axis:
        values = [row["latency_ms"] for row in known]
        errors = [(row.get("latency_error") or 0.0) * row["latency_ms"] for row in known]
        colours = [GOOD if row["fits"] else BAD for row in known]
        axis.barh(range(len(known)), values, color=colours, xerr=errors, error_kw={"ecolor": "#555", "capsize": 2})
        axis.set_yticks(range(len(known)), [row["board"] for row in known], fontsize=8)
        axis.invert_yaxis()
        axis.set(xscale="log", xlabel="estimated ms an image (green: fits, red: does not)", title="Boards")
    return path


def memory_chart(plan: MemoryPlan, path: Path) -> Path | None:
    """The activation arena over time, a box a tensor; None (no file) for a network without activations."""
    if not plan.allocations:
        return None
    from matplotlib.patches import Rectangle

    with _figure(path, 9, 3.6, nrows=1, ncols=1) as axis:
        for index, box in enumerate(plan.allocations):
            corner, width, height = (box.first, box.offset / 1024), box.last - box.first + 1, box.size / 1024
            colour = f"C{index % 10}"
            axis.add_patch(
                Rectangle(corner, width, height, facecolor=colour, edgecolor="white", linewidth=0.4, alpha=0.8)
            )
        peak = plan.peak_bytes / 1024
        axis.set_xlim(0, max(box.last for box in plan.allocations) + 1)
        axis.set_ylim(0, peak * 1.05)
        axis.axhline(peak, color=BAD, linewidth=1)
        axis.set(title=f"Activation memory, peak {peak:.0f} KiB (estimated)", xlabel="operator", ylabel="KiB")
    return path

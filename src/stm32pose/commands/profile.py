"""`stm32pose profile`: what a model costs on a board."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from stm32pose.commands.tables import show_table
from stm32pose.config.suffixes import KERAS, MODEL_FILES, suffix_of
from stm32pose.errors import ConfigError
from stm32pose.reporting.console import say

if TYPE_CHECKING:
    import keras

    from stm32pose.benchmark.estimate import Estimate
    from stm32pose.benchmark.graph import Graph

KIB = 1024
MOST_NAMED = 6
"""Models of a folder that a message names."""


def profile(model: Path, boards: Sequence[str] | None, *, overrides: Sequence[str] = (), as_json: bool = False) -> int:
    """Estimate `model` on `boards`, or on every board; returns 0 whatever the verdict.

    `overrides`, `key=value`, take the place of values of a configuration.
    """
    from stm32pose.benchmark.estimate import estimate
    from stm32pose.boards.board import board_names, load_board
    from stm32pose.reporting.boards import COLUMNS, LEGEND, by_rate, cells

    chosen = [load_board(name) for name in (boards or board_names())]
    graph, parameters = graph_of(model, overrides)
    found = [estimate(graph, board) for board in chosen]
    if as_json:
        entries = [{**asdict(item), "parameters": parameters} for item in found]
        sys.stdout.write(json.dumps(entries, indent=1) + "\n")
        return 0
    first = found[0]
    say(
        f"{model}: {parameters:,} parameters, {first.macs / 1e6:,.1f} M MACs, "
        f"activations {first.activations_bytes / KIB:,.1f} KiB, "
        f"weights {first.weights_bytes / KIB:,.1f} KiB"
    )
    entries = [asdict(item) for item in found]
    ordered = entries if boards else by_rate(entries, asked=0)
    numbers = COLUMNS[2:]
    rows = [(*cells(row), ", ".join(row["off_accelerator"])) for row in ordered]
    columns = (*COLUMNS, "leave the accelerator")
    show_table(columns, rows, right=numbers, title="Which boards run it (estimated)")
    if len(found) == 1:
        for line in (*first.limits, *([first.note] if first.note else []), *_of_st(first)):
            say(line)
    else:
        say(LEGEND)
    return 0


def _of_st(item: Estimate) -> list[str]:
    """What ST's own runtime may need, and how the time was found."""
    lines = []
    if item.st_ram_bytes:
        low, high = (round(value / KIB) for value in item.st_ram_bytes)
        lines.append(f"with ST's own runtime expect {low:,} to {high:,} KiB of RAM: its planner cannot be reproduced")
    if item.latency_how:
        count = f" ({item.instructions / 1e6:,.1f} M)" if item.instructions else ""
        lines.append(f"time: {item.latency_how}{count}")
    return lines


def graph_of(model: Path, overrides: Sequence[str] = ()) -> tuple[Graph, int]:
    """Graph and number of parameters of a model file, or of the model that a configuration names: built, untrained,
    or its file.

    Of a Keras model all parameters are counted; of other files those that are left of them, weights and biases with the
    batch normalisations folded in.

    Raises:
        ConfigError: no such file, an unknown suffix, a configuration without a model, or overrides without one.
        UserError: a model that cannot be read.
    """
    if model.is_dir():
        raise ConfigError(f"{model}: is a folder; {_models_inside(model)}")
    if overrides and suffix_of(model) not in (".yaml", ".yml"):
        raise ConfigError(f"{overrides[0]}: key=value goes with a configuration (.yaml), and {model} is a model file")
    if suffix_of(model) in (".yaml", ".yml", *KERAS) and model.is_file():
        from stm32pose.inference.quiet import quiet_streams

        # TensorFlow greets with a dozen lines, some of them before it reads any setting.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with quiet_streams():
            import tensorflow  # noqa: F401
    if suffix_of(model) not in (".yaml", ".yml"):
        return _of_file(model)
    from stm32pose.config.load import load_file

    config = load_file(model, overrides, check_paths=False)
    if not (config.model.model_name or config.model.backbone):
        if config.model.model_path is None:
            raise ConfigError(
                f"{model}: names no model; model.model_name, model.backbone or model.model_path is needed"
            )
        return _of_file(Path(config.model.model_path))
    from stm32pose.models.build import build_model
    from stm32pose.skeletons.skeleton import resolve_skeleton

    # Weights cost the same whatever they are: none need be loaded.
    section = config.model.model_copy(update={"pretrained": None})
    return _of_keras(build_model(section, keypoints=resolve_skeleton(config.dataset).count), model)


def _models_inside(folder: Path) -> str:
    """The models of a run folder, or of any other, for a message."""
    found = sorted(
        path
        for depth in ("*", "*/*")
        for path in folder.glob(depth)
        if suffix_of(path) in MODEL_FILES and path.is_file()
    )
    if not found:
        return f"give a model file ({', '.join(MODEL_FILES)}) or a configuration; none is in it"
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f"give one of its models: {', '.join(str(path) for path in found[:MOST_NAMED])}{more}"


def _of_file(path: Path) -> tuple[Graph, int]:
    from stm32pose.benchmark.graph import read_graph

    if suffix_of(path) in KERAS and path.is_file():
        from stm32pose.models.load import load_model

        return _of_keras(load_model(path), path)
    graph = read_graph(path)
    return graph, sum(op.weights + op.biases for op in graph.ops)


def _of_keras(model: keras.Model, path: Path) -> tuple[Graph, int]:
    from stm32pose.benchmark.graph_keras import graph_of_model

    return graph_of_model(model, path), model.count_params()

"""The application around generated C: decoder, `pose_run`, a program for Linux, a template for STM32Cube."""

from __future__ import annotations

from pathlib import Path

from stm32pose.boards.board import Board
from stm32pose.codegen.export import Built
from stm32pose.deployment.mcu_header import DECODERS, IN_C, model_header
from stm32pose.deployment.model import Deployable
from stm32pose.errors import ConfigError

SOURCES = Path(__file__).parent / "c"
POSE = ("pose_decode.h", "pose_tensor.h", "pose_input.c", "pose_run.h", "pose_run.c")
HOST = ("main.c", "picture.c", "picture.h")
CACHED = ("Cortex-M7",)
"""Cores whose caches are off after a reset."""


def application_files(built: Built, model: Deployable, board: Board | None = None) -> dict[str, str]:
    """Path -> text: pose/ (decoder and `pose_run`), host/ (`pose_run IMAGE`) and, for a board, cube/.

    Raises:
        ConfigError: the model's type has no decoder in C, or a tensor of a type that it does not read.
    """
    if model.kind not in DECODERS:
        raise ConfigError(
            f"model.model_type: got {model.codec.get('model_type')}, which has no decoder in C yet; available: "
            f"{', '.join(IN_C)}"
        )
    files = {f"pose/{name}": _stored(name) for name in POSE}
    files["pose/ai_model_config.h"] = model_header(model)
    files["pose/pose_decode.c"] = _stored(f"{model.kind}.c")
    files |= {f"host/{name}": _stored(f"host/{name}") for name in HOST}
    if board is not None and board.kind == "mcu":
        files |= _cube(built, board)
    return files


def _cube(built: Built, board: Board) -> dict[str, str]:
    plan = built.plan
    sections = ""
    if len(plan.pool_bytes) > 1:
        placed = ", ".join(
            f"{size} in {name} (`NETWORK_ARENA_{pool}` of network_config.h)"
            for pool, (name, size) in enumerate(zip(plan.pools, plan.pool_bytes, strict=True))
            if size
        )
        sections = f": {placed}; give each a section of your linker script"
    flash = built.flash
    if flash is not None and sum(map(bool, flash.pool_bytes)) > 1:
        placed = ", ".join(
            f"{size} in {name} (`NETWORK_TABLE{f'_{memory}' if memory else ''}`)"
            for memory, (name, size) in enumerate(zip(flash.pools, flash.pool_bytes, strict=True))
            if size
        )
        sections += f". Constants: {placed}; the same"
    caches = (
        ", caches on (`SCB_EnableICache(); SCB_EnableDCache();`: without them it is several times slower)"
        if board.core in CACHED
        else ""
    )
    cpu = built.cpu
    values = {
        "@BOARD@": board.name,
        "@DEVICE@": board.device,
        "@MHZ@": f"{board.mhz:g}",
        "@CACHES@": caches,
        "@CPU@": f" {' '.join(cpu)}" if cpu else "",
        "@RAM@": f"{plan.peak_bytes:,}",
        "@SECTIONS@": sections,
    }
    readme = _stored("cube/README.md")
    for mark, value in values.items():
        readme = readme.replace(mark, value)
    return {
        "cube/README.md": readme,
        "cube/pose_app.c": _stored("cube/pose_app.c"),
        "cube/pose_app.h": _stored("cube/pose_app.h"),
    }


def _stored(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")

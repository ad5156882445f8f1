"""What each step can refuse before the first one begins: a training of hours must not end at a missing program."""

from __future__ import annotations

from collections.abc import Callable

from stm32pose.config.schema import Config
from stm32pose.config.suffixes import ModelKind, model_kind
from stm32pose.errors import ConfigError

ON_N6 = ("heatmaps_spe", "yolo_mpe")
HOST_ONLY = ("simcc_spe", "movenet_spe")
"""Model types that are decoded in Python and not yet in C."""


def check_steps(config: Config, *, here: bool = True) -> None:
    """Ask every step of a configuration what it will need. Nothing is started, and nothing heavy imported.

    Args:
        here: also look at this machine: programs, images to predict, a window where one is wanted.

    Raises:
        ConfigError, UserError: the first thing that is missing or cannot be, by its key.
    """
    for step in dict.fromkeys(config.steps):
        if step in CHECKS:
            CHECKS[step](config, here)


def _quantize(config: Config, _here: bool) -> None:
    from stm32pose.quantization.onnx_recipe import check_quantization

    if config.quantization is not None:
        trains = "train" in config.steps
        path = "best_model.keras" if trains else config.model.model_path or ""
        check_quantization(config.quantization, model_kind(path) or "keras", name=path)


def _evaluate(config: Config, here: bool) -> None:
    from stm32pose.operations.on_target import check_programs

    if here:
        check_programs(config, config.evaluation)


def _predict(config: Config, here: bool) -> None:
    from stm32pose.operations.on_target import check_programs
    from stm32pose.operations.predict import check

    if here:
        check(config)
        check_programs(config, config.prediction)


def _benchmark(config: Config, here: bool) -> None:
    from stm32pose.benchmark.routes import choose
    from stm32pose.benchmark.stedgeai import check_profile, check_route, find_stedgeai
    from stm32pose.boards.board import load_board

    section, tool = config.benchmarking, config.tools.stedgeai
    if section is not None and here:
        board = load_board(section.board)
        routes = [choice.route for choice in choose(section, tool, board, lambda: find_stedgeai(None))]
        if "stedgeai" in routes:
            check_route(tool, board)
        if "cloud" in routes and board.series.lower() == "stm32n6":
            check_profile(tool.neural_art)
        if "emulate" in routes:
            from stm32pose.benchmark.emulate.route import check_emulation

            check_emulation(board, _newest(config, "benchmark"))


def _deploy(config: Config, here: bool) -> None:
    from stm32pose.deployment.mcu_header import IN_C
    from stm32pose.deployment.service import board_of, check_deployment

    if config.deployment is not None:
        if config.deployment.hardware_setup.serie.upper() == "STM32N6" and config.model.model_type not in ON_N6:
            raise ConfigError(
                f"model.model_type: got {config.model.model_type}; ST's application for the STM32N6 decodes "
                f"{' and '.join(ON_N6)}"
            )
        if board_of(config.deployment.hardware_setup).kind == "mcu" and config.model.model_type in HOST_ONLY:
            raise ConfigError(
                f"model.model_type: got {config.model.model_type}, which has no decoder in C yet; available: "
                f"{', '.join(IN_C)}"
            )
        check_deployment(config.deployment, config.tools, _newest(config, "deploy"), paths=here, programs=here)


def _export(config: Config, _here: bool) -> None:
    from stm32pose.codegen.plan_limit import bytes_of
    from stm32pose.deployment.mcu_header import IN_C
    from stm32pose.operations.export import where

    where(config)
    if config.export.ram_limit:
        bytes_of(config.export.ram_limit, "export.ram_limit")
    if config.model.model_type in HOST_ONLY:
        raise ConfigError(
            f"model.model_type: got {config.model.model_type}, which has no decoder in C yet; available: "
            f"{', '.join(IN_C)}"
        )
    if _newest(config, "export") == "keras":
        raise ConfigError(
            "model.model_path: got a Keras model; C code is made of int8 .tflite and .onnx files: quantize it first "
            "(operation_mode: chain_qx)"
        )


def _newest(config: Config, step: str) -> ModelKind | None:
    """What kind of file a step will work on: the newest one by then."""
    before = config.steps[: config.steps.index(step)]
    if "quantize" in before:
        onnx = config.quantization is not None and config.quantization.quantizer == "onnx_quantizer"
        return "onnx" if onnx else "tflite"
    if "train" in before:
        return "keras"
    return model_kind(config.model.model_path or "")


CHECKS: dict[str, Callable[[Config, bool], None]] = {
    "quantize": _quantize,
    "evaluate": _evaluate,
    "predict": _predict,
    "benchmark": _benchmark,
    "deploy": _deploy,
    "export": _export,
}

"""`stm32pose export`: an int8 model file as C."""

from __future__ import annotations

import argparse

from stm32pose.errors import ConfigError
from stm32pose.reporting.console import say


def export(given: argparse.Namespace) -> int:
    """Write the C code, print what it takes; returns 0."""
    from stm32pose.boards.board import load_board
    from stm32pose.codegen.emit import constants
    from stm32pose.codegen.network import read_network
    from stm32pose.codegen.plan_limit import bytes_of
    from stm32pose.codegen.plan_table import layer_rows, layer_table
    from stm32pose.codegen.targets import TARGETS, target_of, target_of_core
    from stm32pose.operations.export import export_code

    board = load_board(given.board) if given.board else None
    target = target_of(given.target) if given.target else target_of_core(board.core) if board else TARGETS["generic"]
    limit = bytes_of(given.ram_limit, "--ram-limit") if given.ram_limit else None
    read_network(given.model)  # refuses damaged files before LiteRT opens them
    model, note = _described(given)
    exported = export_code(given.model, given.out, target=target, board=board, ram_limit=limit, model=model)
    program, plan = exported.built.program, exported.built.plan
    if given.layers:
        say(layer_table(layer_rows(program, plan)))
    macs = sum(call.macs for call in program.calls)
    say(
        f"{given.out}: C99 for {target.name}; RAM {plan.peak_bytes / 1024:.1f} KiB, tables "
        f"{sum(constants(program).values()) / 1024:.1f} KiB, {macs / 1e6:.2f} M MACs in {len(program.calls)} layers"
    )
    flash = exported.built.flash
    memories = [*zip(plan.pools, plan.pool_bytes, strict=True)]
    memories += [*zip(flash.pools, flash.pool_bytes, strict=True)] if flash else []
    for name, size in memories:
        if name and size:
            say(f"  {name}: {size / 1024:.1f} KiB")
    if model is not None:
        say(f"decoder: {model.codec.get('model_type')}, {model.skeleton.count} keypoints")
    if note:
        say(note)
    if exported.tested:
        say(f"self-test on this computer: {exported.tested}")
    elif board is not None and board.kind == "mpu":
        say(f"next: make -C {given.out} host HOST_CC=COMPILER (for a Linux board, such as arm-linux-gnueabihf-gcc)")
    else:
        say(f"next: make -C {given.out}" + (" test" if target.simd != "mve" else ""))
    return 0


def _described(given: argparse.Namespace):
    """(how the outputs are to be read, or None; a line that says why there is none)."""
    from stm32pose.config.load import load_config, load_file
    from stm32pose.operations.deploy import describe_model

    if given.config:
        config = load_file(given.config, given.overrides, check_paths=False)
        return describe_model(config, given.model, None), ""
    kind, rescaling = _kind_of(given)
    if not kind:
        return None, (
            "no decoder: the outputs tell no model type; the network alone is written "
            "(--config FILE or --model-type says how they are to be read)"
        )
    mapping = {
        "operation_mode": "export",
        "model": {"model_type": kind, "model_path": str(given.model)},
        "preprocessing": {
            "rescaling": {"scale": rescaling[0], "offset": rescaling[1]},
            "resizing": {"interpolation": "bilinear", "aspect_ratio": "fit"},
        },
    }
    if given.skeleton:
        mapping["dataset"] = {"skeleton": given.skeleton}
    try:
        return describe_model(load_config(mapping, check_paths=False), given.model, None), ""
    except ConfigError as error:
        if given.model_type or given.skeleton:
            raise
        return None, f"no decoder: {error}; the network alone is written"


def _kind_of(given: argparse.Namespace) -> tuple[str, tuple[float, float]]:
    """(model type, or an empty string; rescaling): as asked for, as the sidecar says, or as the file shows."""
    from stm32pose.codecs.select import recognise
    from stm32pose.deployment.mcu_header import IN_C
    from stm32pose.inference.input_range import own_rescaling
    from stm32pose.inference.runner import load_runner
    from stm32pose.inference.sidecar import read_sidecar, told_rescaling

    rescaling = told_rescaling(given.model) or own_rescaling(given.model) or (1 / 255, 0.0)
    described = (read_sidecar(given.model) or {}).get("codec") or {}
    kind = given.model_type or described.get("model_type")
    if not kind:
        try:
            runner = load_runner(given.model, rescaling=rescaling)
        except ConfigError:
            return "", rescaling
        kind, _ = recognise([tuple(output.shape) for output in runner.outputs], input_shape=runner.input_shape)
    return (kind if given.model_type or kind in IN_C else ""), rescaling

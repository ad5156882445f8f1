"""`stm32pose emulate`: an int8 model's C code on an emulated processor."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from stm32pose.commands.tables import show_table
from stm32pose.errors import ConfigError
from stm32pose.reporting.console import say


def emulate(given: argparse.Namespace) -> int:
    """Run one model and print the instructions of each layer; 0 where every output byte is right, 1 where not.

    Raises:
        ConfigError: no such file or processor, or no tools.
        UserError: not exportable, too large for the machine, or the run failed.
    """
    from stm32pose.benchmark.emulate.model import emulate_model
    from stm32pose.benchmark.emulate.toolchains import DEBIAN, PIP, all_tools, check_core, find_tools
    from stm32pose.codegen.targets import target_of

    target = target_of(given.target)
    tools = find_tools(target) if given.tools is None else all_tools(target).get(given.tools)
    if tools is None:
        check_core(target, target.core or target.name, where="--target")
        needs = f"it needs: {DEBIAN if given.tools == 'qemu' else PIP}"
        if given.tools == "unicorn" and target.name == "cortex-m55":
            needs = "Unicorn has no such processor"
        raise ConfigError(f"--tools: {given.tools} for the {target.core or target.name} is not here; {needs}")
    with tempfile.TemporaryDirectory(prefix="stm32pose-emulate-") as temporary:
        done = emulate_model(
            given.model, target, given.folder or Path(temporary), inferences=given.inferences, tools=tools
        )
    run, calls = done.emulation, done.built.program.calls
    rows = [
        (str(number), layer.name, f"{call.macs:,}", f"{layer.instructions:,}", _ratio(layer.instructions, call.macs))
        for number, (layer, call) in enumerate(zip(run.layers, calls, strict=True))
    ]
    macs = sum(call.macs for call in calls)
    rows.append(("", "all", f"{macs:,}", f"{run.instructions:,}", _ratio(run.instructions, macs)))
    show_table(("", "layer", "MACs", "instructions", "a MAC"), rows)
    say(f"{run.chip} ({run.machine}), {run.compiler}, {run.emulator}")
    say(
        f"arena {run.arena_bytes:,} B, weights {run.weights_bytes:,} B, code {run.code_bytes:,} B, "
        f"stack {run.stack_bytes:,} B"
    )
    verdict = "EXACT" if run.exact else f"WRONG in {run.mismatches:,}"
    say(f"{verdict} of {run.compared:,} output elements")
    return 0 if run.exact else 1


def _ratio(instructions: int, macs: int) -> str:
    return f"{instructions / macs:.2f}" if macs else "-"

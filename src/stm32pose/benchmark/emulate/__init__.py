"""The emulated run: generated C on an emulated Cortex-M, bit for bit, with its instructions counted."""

from stm32pose.benchmark.emulate.run import Emulation, Layer, emulate

__all__ = ["Emulation", "Layer", "emulate"]

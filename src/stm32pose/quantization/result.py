"""What every quantizer hands back, and the sidecar it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stm32pose.inference.sidecar import write_sidecar
from stm32pose.quantization.calibration import Calibration


@dataclass(frozen=True)
class QuantizedModel:
    """A quantized file, its sidecar, its size in bytes, its parity with the float model, and what else is known.

    Attributes:
        parity: as `parity.compare` gives it.
        details: for results.json: types, operator set, calibration method, mixed precision.
        images: what parity was measured on, uint8 [H, W, C] each.
    """

    path: Path
    sidecar: Path
    size_bytes: int
    parity: dict[str, Any]
    details: dict[str, Any] = field(default_factory=dict)
    images: tuple[np.ndarray, ...] = field(default=(), repr=False, compare=False)


def describe(
    path: Path,
    *,
    tensors: Mapping[str, Any],
    calibration: Calibration,
    parity: Mapping[str, Any],
    metadata: Mapping[str, Any],
    **entries: Any,
) -> Path:
    """Write the sidecar of a quantized file; `metadata` is what the caller knows. UserError: the disk refuses."""
    images = {
        "images": calibration.count,
        "sha256": calibration.digest,
        "set": str(metadata.get("calibration_set", "")),
    }
    if metadata.get("fake"):
        images["fake"] = True
    rest = {name: value for name, value in metadata.items() if name not in ("calibration_set", "fake")}
    content = {**entries, **tensors, "calibration": images, "parity": dict(parity), **rest}
    return write_sidecar(path, content)

"""When a run logs in to the Developer Cloud, and what it asks there before the first step."""

from __future__ import annotations

from typing import Any

import pytest

from stm32pose.config.load import load_config
from stm32pose.operations.cloud import benchmarks_on_cloud, needs_cloud

H7 = {"serie": "STM32H7", "board": "STM32H747I-DISCO"}


def loaded(mode: str, *, on_cloud: bool = False, backend: Any = "auto", **deployment: Any):
    return load_config(
        {
            "operation_mode": mode,
            "model": {"model_path": "m.keras"},
            "dataset": {"quantization_path": "x"},
            "tools": {"stedgeai": {"on_cloud": on_cloud}},
            "benchmarking": {"board": "NUCLEO-G0B1RE", "backend": backend},
            "deployment": {"hardware_setup": H7, **deployment},
        },
        check_paths=False,
    )


@pytest.mark.parametrize(
    ("mode", "given", "needs", "benchmarks"),
    [
        ("benchmarking", {}, False, False),
        ("benchmarking", {"on_cloud": True}, True, True),
        ("benchmarking", {"on_cloud": True, "backend": "estimate"}, False, False),
        ("benchmarking", {"backend": ["estimate", "cloud"]}, True, True),
        ("quantization", {"on_cloud": True, "backend": "cloud"}, False, False),
        ("chain_qd", {"on_cloud": True}, True, False),
        ("chain_qd", {"on_cloud": True, "dry_run": True}, False, False),
        ("chain_qd", {"backend": "cloud"}, False, False),
        # An estimate of a board that the farm lacks, and code from the cloud for another one.
        ("chain_qbd", {"on_cloud": True, "backend": "estimate"}, True, False),
    ],
)
def test_who_goes_to_the_cloud(mode, given, needs, benchmarks):
    config = loaded(mode, **given)
    assert needs_cloud(config) is needs
    assert benchmarks_on_cloud(config) is benchmarks

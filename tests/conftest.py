"""Shared fixtures: real images and models where they are at hand."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and models; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("STM32POSE_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"real images and models are not here ({folder}); set STM32POSE_SHARED to their folder")
    return folder


@pytest.fixture(autouse=True)
def _own_log_handlers() -> Iterator[None]:
    """A test that sets up logging in this process (Hydra, the run folder) leaves no handler behind."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    for handler in [handler for handler in root.handlers if handler not in before]:
        root.removeHandler(handler)
    root.setLevel(level)

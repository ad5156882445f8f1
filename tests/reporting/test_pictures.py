"""Examples and worst images are those of the model that the run is judged by."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stm32pose.config.schema import Config
from stm32pose.reporting import pictures


@pytest.mark.parametrize(("ranked_by", "worst"), [("own", [0, 1]), ("other", [2, 1]), (None, [2, 1])])
def test_the_worst_images_are_those_of_the_model_that_is_named(tmp_path: Path, monkeypatch, ranked_by, worst):
    seen: list[int] = []

    def compared(sample: Any, index: int, *_rest: Any) -> np.ndarray:
        seen.append(index)
        return np.zeros((240, 480, 3), np.uint8)

    def model(label: str, scores: list[float]) -> Any:
        rows = [{"index": index, "oks": oks} for index, oks in enumerate(scores)]
        return SimpleNamespace(label=label, results={"per_image": rows})

    monkeypatch.setattr(pictures, "_compared", compared)
    config = Config.model_validate({"operation_mode": "evaluation", "evaluation": {"worst_images": 2}})
    models = [model("own", [0.1, 0.2, 0.3]), model("other", [0.9, 0.8, 0.7])]
    samples: Any = ["a", "b", "c"]
    pictures.example_pictures(samples, models, None, tmp_path, config, ranked_by=ranked_by)  # type: ignore[arg-type]
    assert seen[-2:] == worst
    assert (tmp_path / "worst.jpg").is_file()

"""The YAML at the top of a service's page runs as it stands, in a folder that has the files it names.

Those of evaluation, quantization and prediction are run by the tests of their rooms.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_stedgeai import make_installation

DOCS = Path(__file__).resolve().parents[2] / "docs"


def block(page: str) -> dict[str, Any]:
    """The first YAML of a page."""
    (found, *_) = re.findall(r"```yaml\n(.*?)```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    return yaml.safe_load(found)


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    from stm32pose.config.load import load_file
    from stm32pose.operations.chain import run_chain

    Path("page.yaml").write_text(yaml.safe_dump(config))
    run_chain(load_file("page.yaml", overrides), Path("run"))
    return json.loads(Path("run/results.json").read_text())


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def quantized(shared: Path) -> Path:
    path = Path("pretrained_models/quantized_model.tflite")
    path.parent.mkdir()
    path.write_bytes((shared / "models/pose/st_movenet_lightning_heatmaps_192_int8_pc.tflite").read_bytes())
    return path


def test_training():
    from stm32pose.data.synthetic import make_poses
    from stm32pose.skeletons.skeleton import load_skeleton

    for name, images, seed in (("train", 12, 1), ("test", 4, 2)):
        folder = Path("datasets/synthetic_poses", name)
        make_poses(folder, images=images, skeleton=load_skeleton("person13"), size=(96, 96), seed=seed)
    # As it stands it takes hours: a smaller network and one epoch.
    results = run(
        block("training"), ["++model.input_shape=[64,64,3]", "++training.epochs=1", "++training.batch_size=4"]
    )
    assert results["training"]["epochs"] == 1
    assert [entry["set"] for entry in results["evaluation"]] == ["test"]


def test_benchmark(quantized: Path, here: Path, monkeypatch: pytest.MonkeyPatch):
    program = make_installation(here / "st", "4.0")
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    results = run(block("benchmark"), [])
    routes = {route["route"]: route for route in results["benchmark"][0]["routes"]}
    assert list(routes) == ["stedgeai", "estimate"]
    assert routes["stedgeai"]["activations_bytes"] > 0
    assert routes["estimate"]["latency_ms"] > 0


def test_emulation(quantized: Path):
    from stm32pose.benchmark.emulate.toolchains import missing_programs

    if missing := missing_programs():
        pytest.skip(f"no emulated boards here: {', '.join(missing)} not found")
    results = run(block("emulation"), [])
    routes = {route["route"]: route for route in results["benchmark"][0]["routes"]}
    assert list(routes) == ["emulate", "estimate"]
    assert routes["emulate"]["exact"] is True
    assert routes["emulate"]["instructions"] < 2.6 * routes["emulate"]["macs"]


def test_deployment(quantized: Path):
    (entry,) = run(block("deployment"), [])["deployment"]
    assert entry["status"] == "dry run"
    assert Path("run/deployment/application/Inc/ai_model_config.h").is_file()
    assert {record["status"] for record in entry["commands"]} == {"dry run"}

"""The tables of docs/models.md are what benchmarks/model_table.py writes, and `profile` agrees with the networks."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stm32pose.benchmark.estimate import Estimate
from stm32pose.cli import main
from stm32pose.models.backbones import BACKBONES
from stm32pose.models.build import MODELS
from stm32pose.models.family import pose_network
from stm32pose.models.heads import HEADS
from stm32pose.models.necks import NECKS, UPSAMPLING

SCRIPT = Path(__file__).parent.parent.parent / "benchmarks/model_table.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("model_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def lines_of_page(script, name):
    begin, end = script.markers(name)
    return script.PAGE.read_text(encoding="utf-8").split(begin)[1].split(end)[0].strip().splitlines()


def test_the_page_has_every_network(script):
    sections = [row.section for _, rows in script.TABLES.values() for row in rows]
    assert {section.get("backbone") for section in sections} - {None} == set(BACKBONES)
    assert {section.get("model_name") for section in sections} - {None} == set(MODELS)
    assert {section.get("model_type", "heatmaps_spe") for section in sections} == set(HEADS)
    # `auto` stands for the two that are not named.
    assert {section.get("neck", "pyramid") for section in sections} == set(NECKS)
    assert {section.get("upsampling", "bilinear") for section in sections} == set(UPSAMPLING)
    for name, (_, rows) in script.TABLES.items():
        labels = [line.split("|")[1].strip() for line in lines_of_page(script, name)[2:]]
        assert labels == [row.label for row in rows]


@pytest.mark.parametrize(("table", "label"), [("backbones", "`fdmobilenet` 0.25"), ("parts", "SimCC, none")])
def test_a_row_is_what_the_script_writes_today(script, table, label):
    from stm32pose.boards.board import load_board

    row = next(row for row in script.TABLES[table][1] if row.label == label)
    assert script.line(row, [load_board(name) for name in script.BOARDS]) in lines_of_page(script, table)


def test_a_cell_says_what_does_not_fit(script):
    item = Estimate("B", "M7", 400, 1, 1, 1, 1, 2, 2, 9, 9, 5, latency_ms=123.4, latency_error=0.2, latency_rows=3)
    assert script.cell(item) == "123"
    assert script.cell(replace(item, latency_ms=4.26)) == "4.3"
    assert script.cell(replace(item, external_ram=True, external_flash=True)) == "123 RF"
    limits = ["RAM: needs 5 KiB, B has 1 KiB", "flash: needs 7 KiB"]
    assert script.cell(replace(item, fits=False, limits=limits)) == "no: RAM, flash"


def test_a_table_is_written_between_its_markers(script):
    begin, end = script.markers("parts")
    head = ["| a | b |", "|---|---:|"]
    old = "\n".join((begin, *head, "| gone | 1 |", "| kept | 2 |", end))
    written = script.with_table(f"before\n{old}\nafter\n", "parts", [*head, r"| new | \1 |"], ["new", "kept"])
    assert written == "\n".join(("before", begin, *head, r"| new | \1 |", "| kept | 2 |", end, "after\n"))
    with pytest.raises(SystemExit, match="markers"):
        script.with_table("nothing", "parts", head, [])


def test_profile_of_a_network_of_the_family(capsys, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(
        "operation_mode: training\n"
        "model: {backbone: MobileNet_V3_Small, neck: none, model_type: simcc_spe, alpha: 0.25, "
        "input_shape: [64, 64, 3]}\n"
        "dataset: {skeleton: person13, training_path: x}\n"
    )
    assert main(["profile", str(file), "--board", "STM32N6570-DK", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    model = pose_network((64, 64, 3), 13, backbone="mobilenet_v3_small", model_type="simcc_spe", alpha=0.25)
    assert entry["parameters"] == model.count_params()
    # Weights stay, batch normalisations fold: one value of four a channel is left, as a bias of four bytes.
    assert 0.9 * model.count_params() < entry["weights_bytes"] < 1.4 * model.count_params()
    assert "HARD_SWISH" not in " ".join(entry["off_accelerator"])
    assert main(["profile", str(file), "--board", "STM32N6570-DK"]) == 0
    assert f"{model.count_params():,} parameters" in capsys.readouterr().out
    file.write_text(
        "operation_mode: training\n"
        "model: {backbone: vgg_tiny, neck: deconv, upsampling: nearest, input_shape: [64, 64, 3]}\n"
        "dataset: {skeleton: person13, training_path: x}\n"
    )
    assert main(["profile", str(file)]) == 2
    assert "model.upsampling: got nearest, but neck deconv always learns" in capsys.readouterr().err

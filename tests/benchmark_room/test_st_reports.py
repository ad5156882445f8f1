"""Rules of ST's reports that both routes share: the program here and the Developer Cloud."""

from __future__ import annotations

import json

import cloud_replies as replies
import pytest

from stm32pose.benchmark.developer_cloud.results import benchmark_figures
from stm32pose.benchmark.st_reports import address_of, holds_data, is_external, is_flash
from stm32pose.benchmark.stedgeai_reports import read_figures


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("0x24000000", 0x24000000), ("1000", 1000), (5, 5), ("0", 0), (" 0xD0000000 ", 0xD0000000), ("NULL", None),
        ("g_network_weights_array", None), ("", None), (None, None), (True, None), ("0800", None), ([], None),
    ],
)  # fmt: skip
def test_addresses(value, address):
    assert address_of(value) == address


def test_pools():
    assert not holds_data({"virtual": True})
    assert not holds_data({"subpools": [1]})
    assert holds_data({"subpools": [], "virtual": False})
    assert is_flash({"name": "octoFlash", "rights": "ACC_WRITE"})
    assert is_flash({"name": "weights", "rights": "ACC_READ"})
    assert not is_flash({"name": "AXISRAM", "rights": "ACC_READ|ACC_WRITE"})
    assert is_external({"name": "EXTERNAL_RAM"}) is True
    assert is_external({"name": "AXISRAM"}) is False
    assert is_external({"address": "0x90000000"}) is True
    assert is_external({"address": "NULL"}) is None


@pytest.mark.parametrize("placed", [True, False])
def test_both_routes_read_one_report_alike(tmp_path, placed):
    """The same document: written by the program into a folder, sent by the service."""
    answer = replies.mcu_benchmark(9000, "STM32H747I-DISCO", "3.0.0", "new")
    pools = [
        {"name": "AXISRAM", "address": "0x24000000", "used_size_bytes": 700, "rights": "ACC_WRITE"},
        {"name": "SDRAM", "address": "0xD0000000", "used_size_bytes": 60},
        {"name": "unused", "address": "NULL", "used_size_bytes": 0},
        {"name": "octoFlash", "address": "0x90000000", "used_size_bytes": 8000},
        {"name": "weights", "address": "0x08000000", "used_size_bytes": 1000, "rights": "ACC_READ"},
    ]
    if not placed:
        pools[0]["address"] = "NULL"  # as the tool writes where nothing is placed
    answer["benchmark"]["info"]["memory_pools"] = pools
    cloud = benchmark_figures(answer, "STM32H747I-DISCO")
    (tmp_path / "network_c_info.json").write_text(json.dumps(answer["benchmark"]["info"]))
    local = read_figures(tmp_path, board="STM32H747I-DISCO", tool="ST Edge AI Core 3.0.0")
    for figures in (cloud, local):
        found = (figures.internal_ram_bytes, figures.external_ram_bytes)
        assert found == ((700, 60) if placed else (None, None))
    assert local.internal_flash_bytes == (1000 if placed else None)
    for name in ("activations_bytes", "weights_bytes", "runtime_ram_bytes", "code_bytes", "macs", "total_ram_bytes"):
        assert getattr(cloud, name) == getattr(local, name), name

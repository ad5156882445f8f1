"""What the in-suite Developer Cloud answers: made from the size of the uploaded file, so that models differ."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

VERSIONS = [
    {"version": "2.2.0", "isLatest": False, "platform": {"stm32": "10.2.0", "stm32mpu": "10.2.0"}},
    {"version": "3.0.0", "isLatest": True, "platform": {"stm32": "11.0.0", "stm32mpu": "11.0.0"}},
    {"version": "1.0.0", "isLatest": False, "platform": {"stm32": "9.1.0"}},
]
BOARDS = {
    "STM32H747I-DISCO": {"boardCount": 4, "flashSize": "2 MB", "deviceCpu": "Cortex-M7", "deviceId": "0x450"},
    "STM32N6570-DK": {"boardCount": 2, "flashSize": "128 MB", "deviceCpu": "Cortex-M55", "deviceId": "0x486"},
    "NUCLEO-U3C5ZI-Q": {"boardCount": 1, "flashSize": "2 MB", "deviceCpu": "Cortex-M33", "deviceId": "0x42A"},
    "STM32MP257F-EV1": {"boardCount": 1, "flashSize": "", "deviceCpu": "Cortex-A35", "deviceId": ""},
    "STM32MP135F-DK": {"boardCount": 1, "flashSize": "", "deviceCpu": "Cortex-A7", "deviceId": ""},
    "B-U585I-IOT02A": {"boardCount": 0, "flashSize": "2 MB", "deviceCpu": "Cortex-M33", "deviceId": "0x482"},
}
METRIC = {
    "acc": None, "desc": "X-cross #1", "l2r": 0.0123, "mae": 0.002, "mean": 0.0001, "rmse": 0.003, "std": 0.003,
    "ts_name": "heatmaps", "cos": 0.9998,
}  # fmt: skip


def expected(size: int) -> dict[str, int]:
    """What a model of `size` bytes costs here."""
    return {
        "weights": size,
        "activations": size // 3 + 1024,
        "io": 512,
        "library_flash": 20_000 + 300 + 5,
        "library_ram": 3_000 + 40 + 2,
        "macc": 100 * size,
        "cycles": 1000 * size,
        "external_flash": size // 4,
    }


def footprint(size: int) -> dict[str, Any]:
    costs = expected(size)
    return {
        "weights": costs["weights"], "activations": costs["activations"], "io": [500, 12],
        "kernel_flash": 20_000, "extra_flash": 300, "toolchain_flash": 5,
        "kernel_ram": 3_000, "extra_ram": 40, "toolchain_ram": 2,
    }  # fmt: skip


def info(size: int, device: str, version: str) -> dict[str, Any]:
    costs = expected(size)
    half = costs["activations"] // 2
    inside = costs["activations"] - half
    return {
        "graphs": [
            {
                "nodes": [{"macc": costs["macc"] - 7}, {"macc": 7}],
                "exec_time": {"cycles": costs["cycles"], "duration_ms": size / 1000, "cycles_by_macc": 10.0},
            }
        ],
        "memory_footprint": footprint(size),
        "memory_pools": [
            {"name": "AXISRAM", "address": "0x24000000", "size_bytes": 1, "used_size_bytes": inside,
             "virtual": False, "subpools": [], "rights": "ACC_WRITE"},
            {"name": "SDRAM", "address": "0xD0000000", "size_bytes": 1, "used_size_bytes": half - 10, "virtual": False},
            {"name": "POOL_EXTERNAL", "address": "1000", "size_bytes": 1, "used_size_bytes": 10, "virtual": False},
            {"name": "flash", "address": "0x08000000", "size_bytes": 1, "used_size_bytes": 99, "rights": "ACC_READ"},
            {"name": "whole", "address": "0x24000000", "size_bytes": 1, "used_size_bytes": 77, "subpools": [1]},
            {"name": "virtual", "address": "0x24000000", "size_bytes": 1, "used_size_bytes": 55, "virtual": True},
        ],
        "buffers": [
            {"name": "conv_1_array", "is_param": True, "size_bytes": size - costs["external_flash"]},
            {"name": "conv_2_array", "is_param": True, "size_bytes": costs["external_flash"]},
            {"name": "input_array", "is_param": False, "size_bytes": 12345},
        ],
        "validation": {"val_metrics": [METRIC], "val_error": 0.0123, "val_error_desc": "L2r"},
        "environment": {
            "generated_model": {"generated_time": "2026-11-22T08:00:00Z"},
            "tools": [{"name": "ST Edge AI Core", "version": f"v{version}-20500 adf9c2b", "arguments": "generate"}],
            "device": device,
        },
    }  # fmt: skip


def mapping(size: int) -> dict[str, Any]:
    return {
        "memoryFootprint": footprint(size),
        "layersInInternalFlash": ["conv_1"],
        "layersInExternalFlash": ["conv_2"],
        "useExternalRam": True,
        "useExternalFlash": True,
    }


def report(size: int, version: str) -> dict[str, Any]:
    costs = expected(size)
    return {
        "rom_size": size, "rom_n_macc": costs["macc"], "ram_size": [costs["activations"], 1], "ram_io_size": [500, 12],
        "val_metrics": [METRIC], "val_error": 0.0123, "val_error_desc": "L2r", "date_time": "2026-11-22",
        "cli_version_str": f"v{version}", "cli_parameters": "generate",
    }  # fmt: skip


def old_graph(size: int, device: str) -> dict[str, Any]:
    costs = expected(size)
    return {
        "exec_time": {"cycles": costs["cycles"], "duration_ms": size / 1000, "device": device},
        "c_arrays": [
            {"name": "conv_1_array", "c_size_in_byte": size - costs["external_flash"]},
            {"name": "conv_2_array", "c_size_in_byte": costs["external_flash"]},
        ],
        "memory_pools": [
            {"name": "AXISRAM", "size_bytes": 1, "used_size": costs["activations"] - 10},
            {"name": "EXTERNAL_RAM", "size_bytes": 1, "used_size": 10},
        ],
        "memory_footprint": footprint(size),
    }


def mcu_benchmark(size: int, device: str, version: str, form: str) -> dict[str, Any]:
    if form == "old":
        content: dict[str, Any] = {"report": report(size, version), "graph": old_graph(size, device)}
    else:
        content = {"info": info(size, device, version), "report": {}, "graph": {}}
    return {"state": "done", "board": device, "message": "", "benchmark": content, "memoryMapping": mapping(size)}


def mpu_benchmark(size: int, device: str, name: str) -> dict[str, Any]:
    return {
        "state": "done",
        "board": device,
        "benchmark": {
            "exec_time": {"duration_ms": size / 500, "npu_percent": 0.75, "gpu_percent": 0.05, "cpu_percent": 0.2},
            "tool_version": {"name": "stai_mpu", "major": "6", "minor": "0", "micro": "1"},
            "board": device,
            "model_size": size,
            "ram_peak": 5 * size,
            "date": "2026-11-22",
            "model_name": name,
        },
    }


def core_result(action: str, size: int, version: str, form: str) -> dict[str, Any]:
    if action == "generate":
        return {
            "url": "https://elsewhere.example/files/generated/network.zip",
            "report": report(size, version),
            "graph": {},
        }
    if form == "old":
        return {"report": report(size, version), "graph": old_graph(size, "")}
    return {"report": {}, "graph": None, "info": info(size, "", version)}


def archive(names: Iterable[str] | Mapping[str, str] = ("network.c", "network.h", "Lib/GCC/libnetwork.a")) -> bytes:
    """A zip of generated code; of a mapping the contents too."""
    contents = names if isinstance(names, Mapping) else {}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as content:
        for name in names:
            content.writestr(name, contents.get(name, f"/* {name} */\n"))
    return buffer.getvalue()


def code(series: str, **contents: str) -> dict[str, str]:
    """Files of an archive with the runtime library, as ST's client unpacks them; `contents` are added to headers.

    Args:
        series: STM32N6, or another one.
        contents: of `network_h` and `stai_h`.
    """
    core = "CM55" if series == "STM32N6" else "CM7"
    files = {
        "network.c": '#include "network.h"\n',
        "network.h": contents.get("network_h", ""),
        "network_c_info.json": "{}",
        "Inc/stai.h": contents.get("stai_h", ""),
        f"Lib/NetworkRuntime1100_{core}_GCC.a": "library",
    }
    if series == "STM32N6":
        files |= {name: f"/* {name} */" for name in ("stai_network.c", "stai_network.h", "network_ecblobs.h")}
        files |= {"network_atonbuf.xSPI2.raw": "weights", "Npu/ll_aton/ll_aton.c": "/* runtime */"}
    return files


def read_multipart(kind: str, body: bytes) -> dict[str, tuple[str, bytes]] | None:
    """Fields of a form: name -> (file name, content); None where it is not whole."""
    found = re.fullmatch(r"multipart/form-data; boundary=(\S+)", kind)
    if not found or not body.endswith(f"--{found[1]}--\r\n".encode()):
        return None
    fields = {}
    for part in body.split(f"--{found[1]}".encode())[1:-1]:
        head, _, content = part[2:].partition(b"\r\n\r\n")
        name = re.search(rb'[; ]name="([^"]*)"', head)
        filename = re.search(rb'filename="([^"]*)"', head)
        if name is None:
            return None
        fields[name[1].decode()] = (filename[1].decode() if filename else "", content[:-2])
    return fields

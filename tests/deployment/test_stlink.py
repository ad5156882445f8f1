"""ST-LINKs: what STM32CubeProgrammer lists, which one is taken, and how it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from stm32pose.deployment.stlink import Probe, aligned, connected, programmer_version, read_probes

LISTED = """
      -------------------------------------------------------------------
                       STM32CubeProgrammer v2.21.0
      -------------------------------------------------------------------
=====  DFU Interface   =====
No STM32 device in DFU mode connected
===== J-Link Interface =====
Error: No J-link probe detected.
-------- Connected ST-LINK Probes List --------

ST-Link Probe 0 :
   ST-LINK SN  : 0041003B3532510231333430
   ST-LINK FW  : V3J15M6
   Access Port Number  : 2
   Board Name  : STM32N6570-DK
ST-Link Probe 1 :
   ST-LINK SN  : 5&1E237D3C&0&3
   ST-LINK FW  :
   Access Port Number  : 0
   Board Name  :
ST-Link Probe 2 :
   ST-LINK SN  : 56FF6F066682495259282187
   Board Name  :
===== UART interface #1 :
ST-LINK SN: 0041003B3532510231333430
Port: ttyACM0
"""


def test_listed():
    assert read_probes(LISTED) == [
        Probe("0041003B3532510231333430", "STM32N6570-DK"),
        Probe("56FF6F066682495259282187"),
    ]
    assert read_probes("Error: No ST-LINK detected") == []


@pytest.mark.parametrize(
    ("text", "version"),
    [(LISTED, (2, 21, 0)), ("STM32CubeProgrammer version: 2.9.1", (2, 9, 1)), ("nothing", ())],
)
def test_version(text, version):
    assert programmer_version(text) == version


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("-c port=swd mode=HOTPLUG -hardRst -w a 1", "-c port=swd mode=HOTPLUG sn=S -el L -hardRst -w a 1"),
        ("-c port=SWD -w a", "-c port=SWD mode=HOTPLUG sn=S -el L -w a"),
        ("--connect port=swd sn=OLD index=2 -el X -w a", "--connect port=swd mode=HOTPLUG sn=S -el X -w a"),
        ("-w a", "-c port=swd mode=HOTPLUG sn=S -el L -w a"),
        ("-w a=b -c port=swd", "-w a=b -c port=swd mode=HOTPLUG sn=S -el L"),
    ],
)
def test_the_probe_and_loader_are_put_in(before, after):
    assert connected(before.split(), serial="S", loader=Path("L")) == after.split()


def test_in_a_dry_run_no_serial_is_known():
    assert connected(["-c", "port=swd", "-w", "a"], serial=None, loader=None) == [
        "-c",
        "port=swd",
        "mode=HOTPLUG",
        "-w",
        "a",
    ]


@pytest.mark.parametrize(
    ("words", "version", "after"),
    [
        ("-bin a -o b", (2, 20, 9), "-bin a -o b"),
        ("-bin a -o b", (2, 21), "-bin a --align -o b"),
        ("-bin a --align -o b", (2, 22, 0), "-bin a --align -o b"),
        ("-bin a", (3, 0), "-bin a --align"),
        ("-bin a", (), "-bin a"),
    ],
)
def test_alignment(words, version, after):
    assert aligned(words.split(), version) == after.split()

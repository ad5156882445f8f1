"""Stand-ins for ST's programs, ssh and scp: they check what they are given, do the little that others wait for, and
write a journal. `Tools.say` makes one of them fail or talk."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NAMES = (
    "stedgeai",
    "stm32cubeide",
    "STM32_Programmer_CLI",
    "STM32_SigningTool_CLI",
    "arm-none-eabi-gcc",
    "arm-none-eabi-objcopy",
    "make",
    "ssh",
    "scp",
)
LOADERS = ("MX66UW1G45G_STM32N6570-DK.stldr", "MX25UM51245G_STM32N6570-NUCLEO.stldr")

SCRIPT = r"""
import json, pathlib, sys

here = pathlib.Path(__file__).parent
name, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
with open(here / "journal.jsonl", "a") as journal:
    journal.write(json.dumps({"program": name, "words": words, "cwd": str(pathlib.Path.cwd())}) + "\n")
sayings = json.loads((here / "sayings.json").read_text())


def after(*options):
    for option in options:
        if option in words:
            return words[words.index(option) + 1]
    fail("no " + " or ".join(options))


def need(path):
    if not pathlib.Path(path).exists():
        fail(f"Error: {path} does not exist")
    return path


def fail(text):
    print(text)
    sys.exit(3)


def make(path, content="made"):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


for saying in sayings.get(name, []):
    if saying["when"] in " ".join(words):
        print(saying["text"])
        if saying["status"] >= 0:
            sys.exit(saying["status"])

if name == "stedgeai":
    if words == ["--version"]:
        print("ST Edge AI Core v4.0.0-20500 abcdef")
    else:
        need(after("--model"))
        out = pathlib.Path(after("--output"))
        stai = "stai_" if "st-ai" in words and "stm32n6" in words else ""
        for file in ("network.c", "network_ecblobs.h", f"{stai}network.h", f"{stai}network.c"):
            make(out / file, f"/* {file} */\n" + sayings.get("code", {}).get(file, ""))
        if "stm32n6" in words:
            make(out / "network_atonbuf.xSPI2.raw", "weights")
            option = words[words.index("--st-neural-art") + 1]
            if "@" in option:
                need(option.split("@", 1)[1])
        print("done")
elif name == "stm32cubeide":
    project, build = after("-cleanBuild").split("/")
    if "Arduino" in project:
        fail("no")
    folder = pathlib.Path(need(after("-import")))
    need(pathlib.Path(after("-data")).parent)
    make(folder / build / f"{project}.elf")
    print("Build Finished. 0 errors, 12 warnings.")
elif name == "STM32_Programmer_CLI":
    print("      STM32CubeProgrammer v" + sayings.get("version", "2.18.0"))
    if "--list" in words:
        for serial, board in sayings.get("probes", [["0041003B3532510231333430", "STM32N6570-DK"]]):
            print(f"ST-Link Probe 0 :\n   ST-LINK SN  : {serial}\n   ST-LINK FW  : V3J15M6\n   Board Name  : {board}")
    elif "-w" in words:
        need(after("-w"))
        need(after("-el"))
        if "mode=HOTPLUG" not in words:
            fail("Error: Unable to get core ID")
        print("File download complete")
elif name == "STM32_SigningTool_CLI":
    need(after("-bin"))
    make(after("-o"), "signed")
elif name == "arm-none-eabi-objcopy":
    if "--dump-section" in words:
        need(words[-1])
        make(after("--dump-section").split("=", 1)[1], "blob")
    else:
        need(words[-2])
        make(words[-1], "binary")
elif name in ("ssh", "scp"):
    for option in ("BatchMode=yes", "StrictHostKeyChecking=yes"):
        if option not in words:
            fail(f"without {option}")
    if name == "scp":
        for path in words[words.index("-r") + 1 : -1]:
            need(path)
            if ":" in path.split("/")[0]:
                fail(f"{path} would be taken for a host")
"""


class Tools:
    """A folder of stand-ins, to be put on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "ExternalLoader").mkdir(parents=True)
        for loader in LOADERS:
            (folder / "ExternalLoader" / loader).write_text("loader")
        for name in NAMES:
            path = folder / name
            path.write_text(f"#!{sys.executable} -IS\n{SCRIPT}")
            path.chmod(0o755)
        self._sayings: dict[str, Any] = {}
        self._save()

    def say(self, program: str, text: str, *, when: str = "", status: int = 1) -> None:
        """Have a program print `text` and end with `status` (-1: go on) where its arguments contain `when`."""
        self._sayings.setdefault(program, []).append({"when": when, "text": text, "status": status})
        self._save()

    def set(self, key: str, value: Any) -> None:
        """`probes`: ST-LINKs that are listed; `version`: of STM32CubeProgrammer; `code`: content of generated files."""
        self._sayings[key] = value
        self._save()

    def remove(self, *names: str) -> None:
        for name in names:
            (self.folder / name).unlink()

    @property
    def journal(self) -> list[dict[str, Any]]:
        """What was started, in order: program, words, cwd."""
        path = self.folder / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def words(self, program: str) -> list[list[str]]:
        """The arguments of each start of a program."""
        return [entry["words"] for entry in self.journal if entry["program"] == program]

    def _save(self) -> None:
        (self.folder / "sayings.json").write_text(json.dumps(self._sayings))

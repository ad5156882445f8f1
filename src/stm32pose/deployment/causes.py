"""What a failed build, flash or connection says, and what most likely lies behind it."""

from __future__ import annotations

import re

LONGEST = 240

# The first pattern that is found gives the cause; the order is from the particular to the general.
CAUSES: tuple[tuple[str, str], ...] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the board at this address shows another key than before (a new image, or not your board); where it is yours, "
        "run `ssh-keygen -R ADDRESS`, then `ssh USER@ADDRESS` once",
    ),
    (
        r"Host key verification failed|authenticity of host|No \S+ host key is known",
        "the board's key is not known yet; run `ssh USER@ADDRESS` once and compare the key it shows, or "
        "`ssh-keyscan ADDRESS >> ~/.ssh/known_hosts` in a network you trust",
    ),
    (
        r"Permission denied \(|Too many authentication failures|Load key|invalid format|no such identity",
        "the board refuses the key; name yours in deployment.ssh_key, or bring it there by `ssh-copy-id USER@ADDRESS`",
    ),
    (
        r"Connection timed out|No route to host|Connection refused|Could not resolve hostname|Network is unreachable"
        r"|Name or service not known|Connection closed by",
        "the board does not answer: is it on, in this network, and deployment.hardware_setup.ip_address its address?",
    ),
    (r"No space left on device", "the disk is full"),
    (r"Read-only file system", "the board's disk is mounted read-only; choose another deployment.board_deploy_path"),
    (
        r"No ST-?LINK|No (?:debug )?probe|ST-LINK not found|STLink USB communication",
        "no ST-LINK is found: connect the board's ST-LINK socket by a data cable (Linux: are ST's udev rules there?)",
    ),
    (
        r"DEV_(?:USB_COMM|CONNECT)_ERR|ST-?LINK error|ST-LINK (?:is )?(?:already )?in use",
        "the ST-LINK is taken by another program (a debugger, STM32CubeProgrammer) or its firmware is too old",
    ),
    (
        r"locked|read[- ]?out protection|RDP|[Dd]ebug authentication|secured device|DEV_TARGET_.*LOCK",
        "the chip is locked (read-out protection or a closed life cycle); unlock it with STM32CubeProgrammer, which "
        "erases it",
    ),
    (
        r"[Uu]nable to get core ID|No STM32 target|target (?:is )?held under reset|Failed to connect|not halted"
        r"|Cannot connect to (?:access port|target)|TARGET_CMD_ERR|DEV_TARGET",
        "the chip does not answer: are the boot switches in development mode, and was the board powered off since?",
    ),
    (
        r"external loader|\.stldr|[Ll]oader (?:not found|failed)|failed to (?:initialize|init) (?:memory|loader)",
        "the external memory cannot be programmed: STM32CubeProgrammer older than 2.18, or boot switches not in "
        "development mode",
    ),
    (r"licen[cs]e", "the program waits for its licence to be accepted: start it once by hand"),
    (
        r"(?i)no config matched|no matching (?:build )?configurations?",
        "the project has no build configuration of that name: set deployment.build_conf",
    ),
    (
        r"workspace.*(?:in use|lock)|\.metadata/\.lock",
        "STM32CubeIDE is running on this workspace: close it",
    ),
    (
        r"Possible mismatch in ll_aton",
        "the project was made for another ST Edge AI Core than the one that generated the network: use its version, or "
        "update the project's AI middleware",
    ),
    (
        r"region .* overflowed|will not fit in region",
        "the application does not fit the memory that the linker script gives it",
    ),
    (
        r"arm-none-eabi-\w+: (?:command )?not found|arm-none-eabi-\w+.*No such file|toolchain .*not (?:be )?found"
        r"|cannot find (?:the )?compiler",
        "the Arm compiler is missing: install STM32CubeIDE, or put arm-none-eabi-gcc on PATH",
    ),
    (r"No such file or directory", "a file of the project is missing: is deployment.c_project_path a whole copy?"),
)

_TELLING = (
    re.compile(r"(?:fatal )?error: |undefined reference|overflowed|multiple definition|\*\*\* \[?.*Stop"),
    re.compile(
        r"(?i)\berror\b|\bfail(?:ed|ure)\b|denied|refused|cannot|not found|no config|timed out|verification|licen[cs]e"
    ),
)
_HARMLESS = re.compile(r"(?i)\b0 errors|no error|without error|-Werror|No J-link probe")


def telling_line(output: str) -> str:
    """The last line that says what went wrong; a compiler's error before make's, the last line where none does."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for pattern in _TELLING:
        for line in reversed(lines):
            if pattern.search(line) and not _HARMLESS.search(line):
                return line[:LONGEST]
    return lines[-1][:LONGEST] if lines else "it said nothing"


def likely_cause(output: str) -> str:
    """One line on what to look at; empty where the output says nothing that is known."""
    for pattern, cause in CAUSES:
        if re.search(pattern, output):
            return cause
    return ""

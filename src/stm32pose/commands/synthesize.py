"""`stm32pose data synthesize`: a data set of drawn people."""

from __future__ import annotations

import argparse

from stm32pose.commands.run import INTERRUPTED, complain
from stm32pose.errors import ConfigError
from stm32pose.reporting.console import counting, say


def synthesize(given: argparse.Namespace) -> int:
    """Make the images that the command line asks for; returns the exit code.

    Raises:
        ConfigError: an argument out of range.
        UserError: the folder holds something else, or cannot be written.
    """
    size = parse_size(given.size)
    from stm32pose.data.synthetic import make_poses
    from stm32pose.skeletons.skeleton import load_skeleton

    skeleton = load_skeleton(given.skeleton)
    try:
        with counting("drawn people", given.images) as advance:
            make_poses(
                given.out,
                images=given.images,
                skeleton=skeleton,
                size=size,
                seed=given.seed,
                format=given.format,
                yaw=given.yaw,
                progress=advance,
                workers=given.workers,
            )
    except KeyboardInterrupt:
        complain(f"{given.out}: interrupted; run the same command again to go on")
        return INTERRUPTED
    say(f"{given.out}: complete, {given.images} images")
    return 0


def parse_size(text: str) -> tuple[int, int]:
    """(W, H) of `320x240`. ConfigError: it is something else."""
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise ConfigError(f"--size: '{text}'; wanted WIDTHxHEIGHT, such as 320x240")
    return int(width), int(height)

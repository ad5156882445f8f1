"""`stm32pose data convert`: labels of any format to COCO's or YOLO's."""

from __future__ import annotations

import argparse
import logging
from typing import Any

from stm32pose.commands.data import named_sets, set_arguments, source_config, words_of
from stm32pose.commands.run import INTERRUPTED
from stm32pose.errors import ConfigError
from stm32pose.reporting.console import complain, counting, say, setup_logging

log = logging.getLogger(__name__)


def convert_data(given: argparse.Namespace) -> int:
    """Convert every set of the source; 1 where faulty labels were left out, which are named.

    Raises:
        ConfigError: the source or its skeleton cannot be told.
        UserError: nothing to convert, or the folder holds something else or cannot be written.
    """
    from stm32pose.data.convert import check_sizes, claim_folder, convert_samples, files_of, release_folder
    from stm32pose.data.problems import errors_of, first_few
    from stm32pose.data.readers import scan_samples
    from stm32pose.data.splits import PARTS
    from stm32pose.skeletons.skeleton import resolve_skeleton

    setup_logging(None)
    faults = 0
    with words_of(given):
        dataset = source_config(given).dataset
        if dataset.instance == "crop":
            raise ConfigError("dataset.instance: crop; whole images are converted: write image")
        skeleton = resolve_skeleton(dataset)
        names = named_sets(dataset)
        arguments = {name: set_arguments(given, dataset, name, skeleton) for name in names}
        sets = {name: scan_samples(**arguments[name]) for name in names}
    for name, (samples, problems) in sets.items():
        samples[:], wrong = check_sizes(samples)
        problems += wrong
        errors = errors_of(problems)
        if not samples:
            reason = f": {first_few(problems)}" if problems else ""
            raise ConfigError(f"{given.source}: {name}: nothing to convert{reason}")
        if errors:
            faults += len(errors)
            complain(f"{name}: {len(errors)} faults, left out: {first_few(errors)}; `stm32pose data check` lists all")
        for problem in problems:
            if problem.code == "left_out":
                say(f"{name}: {problem.message.replace('dataset.pose is single', 'without --multi')}")
    record = {
        "source": str(given.source.resolve()),
        "to": given.to,
        "sets": sorted(sets),
        "skeleton": skeleton.name,
        "keypoints": list(skeleton.keypoints),
        "pose": dataset.pose,
    }
    choices = {name: _choices(arguments[name]) for name in sorted(sets)}
    record |= {key: {name: choice[key] for name, choice in choices.items()} for key in next(iter(choices.values()))}
    parts = {name: PARTS.get(name, name) if len(sets) > 1 else None for name in sets}
    files = [file for name in sets for file in files_of(sets[name][0], to=given.to, part=parts[name])]
    stale = claim_folder(given.out, record, files)
    told = set()
    try:
        for name, (samples, _) in sets.items():
            part = parts[name]
            with counting(name, len(samples)) as advance:
                done = convert_samples(
                    samples, given.out, skeleton, to=given.to, part=part, link=given.link, progress=lambda _: advance(1)
                )
            say(
                f"{done.folder}: {done.images} images ({done.new} new), {done.instances} {skeleton.category}s, "
                f"{skeleton.count} keypoints"
            )
            if done.lost and done.lost not in told:
                say(done.lost)
            told.add(done.lost)
        release_folder(given.out, record, files, stale)
        if stale:
            say(f"{given.out}: {len(stale)} files of the earlier conversion removed, e.g. {stale[0]}")
    except KeyboardInterrupt:
        complain(f"{given.out}: interrupted; run the same command again to go on")
        return INTERRUPTED
    return 1 if faults else 0


def _choices(arguments: dict[str, Any]) -> dict[str, Any]:
    """What says which labels a set has, JSON-able: another choice is another conversion."""
    choices = {name: arguments[name] for name in ("format", "filter")}
    paths = {name: str(arguments[name].resolve()) if arguments[name] else None for name in ("images", "annotations")}
    return paths | choices | {"keypoint_map": dict(arguments["keypoint_map"] or {})}

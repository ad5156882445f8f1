"""COCO keypoints to the label files ST's training uses: a .txt beside each image, 13 or 17 points, one or more people.

    python datasets/dataset_converter/converter.py --path COCO_FOLDER --pose single --keypoints 13 --outputdir OUT

The flags are those of ST's converter. Training here reads COCO's own JSON too (`dataset.format: coco`), without a copy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stm32pose.data.convert import KEYPOINTS, SETS, find_set, select_people
from stm32pose.data.problems import errors_of, first_few
from stm32pose.data.yolo import write_yolo
from stm32pose.errors import UserError
from stm32pose.reporting.console import complain, counting, say
from stm32pose.skeletons.skeleton import load_skeleton


def main(argv: Sequence[str] | None = None) -> int:
    """Convert both sets; 0 when at least one was converted, 1 when none was or a file could not be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", type=Path, default=Path("./"), help="folder with train2017, val2017, annotations")
    parser.add_argument("--pose", choices=("single", "multi"), default="single", help="images with one person, or all")
    parser.add_argument("--keypoints", type=int, choices=tuple(KEYPOINTS), default=17, help="points a person")
    parser.add_argument("--outputdir", type=Path, default=Path("./output"), help="gets POSE/Nkpts/{val,train}")
    parser.add_argument("--link", action="store_true", help="hard-link the images where the disk can, not copy them")
    arguments = parser.parse_args(argv)
    target = arguments.outputdir / arguments.pose / f"{arguments.keypoints}kpts"
    try:
        done = [convert(arguments, name, target / name) for name in SETS]
    except UserError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        complain("interrupted; the same command goes on where it stopped")
        return 130
    return 0 if any(done) else 1


def convert(arguments: argparse.Namespace, name: str, target: Path) -> bool:
    """Convert one set into `target`; False, with a line that says so, where it is not there."""
    try:
        images, annotations = find_set(arguments.path, name)
    except UserError as error:
        complain(f"{error}; this set is left out")
        return False
    skeleton = load_skeleton(KEYPOINTS[arguments.keypoints])
    samples, problems = select_people(images, annotations, skeleton, arguments.pose)
    faults = errors_of(problems)
    if faults:
        complain(f"{name}: {len(faults)} faults, left out: {first_few(faults)}")
    with counting(name, len(samples)) as advance:
        new = write_yolo(samples, target, skeleton, flags="st", link=arguments.link, progress=lambda _: advance(1))
    older = {path.stem for path in target.glob("*.txt")} - {sample.image.stem for sample in samples}
    if older:
        complain(
            f"{name}: {len(older)} older label files in {target} are not of this conversion, e.g. {min(older)}.txt"
        )
    people = sum(sample.instances for sample in samples)
    say(f"{name}: {len(samples)} images ({new} new), {people} people, {skeleton.count} keypoints: {target}")
    return True


if __name__ == "__main__":
    sys.exit(main())

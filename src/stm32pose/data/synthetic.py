"""Data sets of procedural people: images made by the program, with exact labels, the same ones for the same seed.

Each image has its own random stream, `SeedSequence([seed, index])`: it depends neither on how many images are made nor
on how many processes make them, and two seeds never share one.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stm32pose.data.sample import Sample
from stm32pose.data.synthetic_image import check_skeleton, render_image, render_pose
from stm32pose.data.yolo import write_yolo
from stm32pose.errors import ConfigError, UserError, did_you_mean
from stm32pose.files import write_whole
from stm32pose.skeletons.skeleton import Skeleton

__all__ = ["make_poses", "render_pose"]

log = logging.getLogger(__name__)

VERSION = 2
"""Of the generator; raised whenever the same seed gives other images: an old folder is not taken for a new one."""
MANIFEST = "synthetic.manifest"
"""Written last into a finished folder: the arguments it was made with (JSON, but not `.json`: that is for labels)."""
PARTIAL = "synthetic.partial"
"""Of an unfinished folder: the arguments, then a line an image that is done."""
ANNOTATIONS = "annotations.json"
FORMATS = ("yolo", "coco")
CHUNK = 8
"""Images a process makes before it reports; fewer in all than eight of these are made without other processes."""
SMALLEST, LARGEST = 32, 4096


def make_poses(
    folder: Path,
    *,
    images: int,
    skeleton: Skeleton,
    size: tuple[int, int] = (320, 240),
    seed: int,
    format: str = "yolo",
    yaw: float = 180.0,
    progress: Callable[[int], None] | None = None,
    workers: int | None = None,
) -> None:
    """Write a data set of images of one person each into `folder`.

    The images are `pose_00000.jpg` and so on. `yolo` writes a text file beside each; `coco` one `annotations.json`,
    which also holds the area of each person's pixels. A folder that is complete is left as it is; one that was
    interrupted is completed.

    Args:
        folder: made where it is missing; else empty, or made by this function with the same arguments.
        images: how many, at least 1.
        skeleton: of people; its keypoints must be points of the body (`synthetic_image.point_names`).
        size: (W, H) in pixels.
        seed: 0 or more.
        format: `yolo` or `coco`.
        yaw: people are turned at most this many degrees from facing the camera, 0 to 180; seen from the front, left
            and right are easier to tell apart.
        progress: told how many more images are done, again and again.
        workers: processes; None: one a core. The images do not depend on it.

    Raises:
        ConfigError: an argument out of range, or a keypoint that the body does not have.
        UserError: the folder holds something else, or cannot be written.
    """
    folder = Path(folder)
    arguments = _checked(images, skeleton, size, seed, format, yaw)
    if _finished(folder, arguments):
        log.info("%s: complete already, %d images", folder, images)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done = _resume(folder, arguments)
        with (folder / PARTIAL).open("a", encoding="utf-8") as journal:
            if not done:
                journal.write(json.dumps(arguments) + "\n")
            todo = [index for index in range(images) if index not in done]
            if progress and done:
                progress(len(done))
            for records in _render(folder, todo, skeleton, size, seed, yaw, workers):
                done.update({record["index"]: record for record in records})
                journal.writelines(json.dumps(record) + "\n" for record in records)
                journal.flush()
                if progress:
                    progress(len(records))
        samples = [_sample(folder, done[index], size) for index in range(images)]
        if format == "yolo":
            write_yolo(samples, folder, skeleton)
        else:
            _write_coco(samples, folder / ANNOTATIONS, skeleton)
        write_whole(folder / MANIFEST, json.dumps(arguments, indent=1) + "\n")
        (folder / PARTIAL).unlink()
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror or error}") from error


def _checked(
    images: int, skeleton: Skeleton, size: tuple[int, int], seed: int, format: str, yaw: float
) -> dict[str, Any]:
    """The arguments as the manifest holds them."""
    if format not in FORMATS:
        raise ConfigError(f"format: '{format}'; allowed: {', '.join(FORMATS)}{did_you_mean(format, FORMATS)}")
    if not 1 <= images <= 1_000_000:
        raise ConfigError(f"images: {images}; allowed: 1 to 1000000")
    if not 0 <= seed < 2**63:
        raise ConfigError(f"seed: {seed}; allowed: 0 to 2^63 - 1")
    if not all(SMALLEST <= side <= LARGEST for side in size):
        raise ConfigError(f"size: {size[0]}x{size[1]}; allowed: {SMALLEST} to {LARGEST} pixels a side")
    if not 0 <= yaw <= 180:
        raise ConfigError(f"yaw: {yaw:g}; allowed: 0 to 180 degrees")
    check_skeleton(skeleton)
    return {
        "generator": VERSION, "images": images, "skeleton": skeleton.name, "keypoints": list(skeleton.keypoints),
        "size": list(size), "seed": seed, "format": format, "yaw": yaw,
    }  # fmt: skip


def _finished(folder: Path, arguments: dict[str, Any]) -> bool:
    """Whether a data set with these arguments stands here whole."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return False
    _same_arguments(folder, manifest.read_text(encoding="utf-8"), arguments)
    names = {entry.name for entry in os.scandir(folder)}
    wanted = {f"pose_{index:05d}.jpg" for index in range(arguments["images"])}
    if arguments["format"] == "yolo":
        wanted |= {f"pose_{index:05d}.txt" for index in range(arguments["images"])}
    else:
        wanted.add(ANNOTATIONS)
    return wanted <= names


def _resume(folder: Path, arguments: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Labels of the images that an interrupted run has made here; index -> record."""
    journal = folder / PARTIAL
    if not journal.is_file():
        if not (folder / MANIFEST).is_file() and any(folder.iterdir()):
            raise UserError(f"{folder}: not empty, and not made by this generator; name another folder")
        return {}  # new, or files of a finished set are gone: make them again
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    if not lines or not lines[0].endswith("\n"):
        journal.unlink()
        return {}
    _same_arguments(folder, lines[0], arguments)
    whole = [line for line in lines[1:] if line.endswith("\n")]
    if len(whole) != len(lines) - 1:  # cut off in the middle of a line
        write_whole(journal, "".join([lines[0], *whole]))
    records = [json.loads(line) for line in whole]
    return {record["index"]: record for record in records if (folder / _name(record["index"])).is_file()}


def _same_arguments(folder: Path, text: str, arguments: dict[str, Any]) -> None:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{folder / MANIFEST}: not a manifest ({error.msg}); remove the folder or name another"
        ) from error
    differences = [f"{key} {found.get(key)}" for key in arguments if found.get(key) != arguments[key]]
    if differences:
        wanted = [f"{key} {value}" for key, value in arguments.items() if found.get(key) != value]
        raise UserError(
            f"{folder}: made with {', '.join(differences)}, asked for {', '.join(wanted)}; "
            "remove the folder or name another"
        )


def _render(
    folder: Path,
    todo: Sequence[int],
    skeleton: Skeleton,
    size: tuple[int, int],
    seed: int,
    yaw: float,
    workers: int | None,
) -> Iterator[list[dict[str, Any]]]:
    """Make the images `todo`; yields the labels of a few at a time, in any order."""
    chunks = [list(todo[start : start + CHUNK]) for start in range(0, len(todo), CHUNK)]
    count = min(workers or _cores(), len(chunks)) if _can_start_processes() else 1
    if count > 1 and (workers or len(chunks) >= 8):
        # a fresh interpreter each: forking a process in which TensorFlow runs threads may hang
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker)
        try:
            tasks = [pool.submit(_make_images, folder, chunk, skeleton, size, seed, yaw) for chunk in chunks]
            for task in as_completed(tasks):
                yield task.result()
        except BrokenProcessPool as error:
            raise UserError(
                f"{folder}: a process that made images died; run it again to go on, with workers=1 if it dies again "
                '(a script that calls make_poses needs `if __name__ == "__main__":`)'
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    else:
        for chunk in chunks:
            yield _make_images(folder, chunk, skeleton, size, seed, yaw)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _can_start_processes() -> bool:
    """A new process reads the main script again: not possible where that came through a pipe (`python < script`)."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    return script is None or Path(script).is_file()


def _start_worker() -> None:
    """Ctrl-C is for the parent; one thread a process is enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _make_images(
    folder: Path, indices: Sequence[int], skeleton: Skeleton, size: tuple[int, int], seed: int, yaw: float
) -> list[dict[str, Any]]:
    records = []
    for index in indices:
        rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
        drawn = render_image(rng, skeleton, size, yaw)
        quality = int(rng.integers(60, 97))
        _, data = cv2.imencode(".jpg", drawn.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        (folder / _name(index)).write_bytes(data.tobytes())
        records.append(
            {"index": index, "keypoints": drawn.keypoints.tolist(), "box": drawn.box.tolist(), "area": drawn.area}
        )
    return records


def _name(index: int) -> str:
    return f"pose_{index:05d}.jpg"


def _sample(folder: Path, record: dict[str, Any], size: tuple[int, int]) -> Sample:
    return Sample(
        image=folder / _name(record["index"]),
        size=(size[1], size[0]),
        keypoints=np.array([record["keypoints"]], np.float32),
        boxes=np.array([record["box"]], np.float32),
        areas=np.array([record["area"]], np.float32),
        crowd=np.zeros(1, bool),
        image_id=record["index"],
        source="synthetic",
    )


def _write_coco(samples: Sequence[Sample], path: Path, skeleton: Skeleton) -> None:
    """COCO keypoints JSON; coordinates are continuous image coordinates, as `data.coco` reads them."""
    images, annotations = [], []
    for sample in samples:
        height, width = sample.size
        images.append({"id": sample.image_id, "file_name": sample.image.name, "width": width, "height": height})
        points = sample.keypoints[0].astype(float)
        annotations.append(
            {
                "id": sample.image_id + 1,
                "image_id": sample.image_id,
                "category_id": 1,
                "iscrowd": 0,
                "area": round(float(sample.areas[0]), 2),
                "bbox": np.round(sample.boxes[0].astype(float), 3).tolist(),
                "num_keypoints": int((points[:, 2] > 0).sum()),
                "keypoints": [value for x, y, flag in points for value in (round(x, 4), round(y, 4), int(flag))],
            }
        )
    category = {
        "id": 1,
        "name": skeleton.category,
        "supercategory": skeleton.category,
        "keypoints": list(skeleton.keypoints),
        "skeleton": [[start + 1, end + 1] for start, end in skeleton.edges],
    }
    document = {"info": {"description": "synthetic people"}, "images": images, "annotations": annotations}
    write_whole(path, json.dumps(document | {"categories": [category]}))

"""What a prediction leaves for programs: predictions.json (COCO results), images.json, predictions.csv; its timing."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from stm32pose.files import replacing
from stm32pose.reporting import console

if TYPE_CHECKING:
    from stm32pose.codecs.poses import Poses

RESULTS, IMAGES, TABLE = "predictions.json", "images.json", "predictions.csv"
CATEGORY = 1
"""COCO's number of what is looked for; a network finds one kind of thing."""
PARTS = {
    "pre": "read, decode, fit into the input",
    "run": "the library's own inference call",
    "post": "conversion of numbers, decoding of poses",
}
"""Of the time that an image takes."""
BOX = ("box_left", "box_top", "box_width", "box_height")


class PredictionFiles:
    """The three files, written image by image. `open_files` makes one.

    Coordinates are continuous image pixels, the centre of the first pixel at 0.5: what the COCO reader of this project
    takes a file's numbers for, and what its evaluation computes with.
    """

    def __init__(self, results: IO[str], images: IO[str], table: IO[str], joints: Sequence[str]):
        self._results, self._images = _JsonList(results), _JsonList(images)
        self._table = csv.writer(table, lineterminator="\n")
        columns = [f"{joint}_{part}" for joint in joints for part in ("x", "y", "score")]
        self._table.writerow(["image", "image_id", "frame", "time_s", "pose", "name", "score", *BOX, *columns])

    def add(self, image: dict[str, Any], poses: Poses) -> None:
        """Add what was found in one image.

        Args:
            image: of images.json: `id` and `file_name` at least, as COCO names them; `frame` and `time_s` of a video.
            poses: in image pixels.
        """
        self._images.add({**image, "poses": len(poses)})
        for index, entry in enumerate(coco_entries(image["id"], image["file_name"], poses)):
            self._results.add(entry)
            head = [image["file_name"], image["id"], image.get("frame"), image.get("time_s"), index]
            box = entry.get("bbox") or [None] * 4
            self._table.writerow([*head, entry.get("name"), entry["score"], *box, *entry["keypoints"]])

    def close(self) -> None:
        self._results.close()
        self._images.close()


@contextmanager
def open_files(folder: Path, joints: Sequence[str]) -> Iterator[PredictionFiles]:
    """Files of `folder` that take their places, whole, when the block ends well. UserError: the disk refuses."""
    with ExitStack() as stack:

        def opened(name: str) -> IO[str]:
            temporary = stack.enter_context(replacing(folder / name, sync=False))
            return stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))

        files = PredictionFiles(opened(RESULTS), opened(IMAGES), opened(TABLE), joints)
        yield files
        files.close()


def coco_entries(image_id: int, file_name: str, poses: Poses) -> list[dict[str, Any]]:
    """COCO's results of one image, a dict a pose: places to 1/1000 pixel, scores to 1/100000.

    A joint with a value that is not finite is (0, 0, 0), COCO's joint without a place.
    `file_name` and `name` (the class, where the network tells one) are additions that COCO's tools leave alone.
    """
    entries = []
    for index in range(len(poses)):
        pose = poses.keypoints[index].astype(np.float64)
        pose = np.where(np.isfinite(pose).all(axis=-1, keepdims=True), pose, 0.0)
        keypoints = np.concatenate([np.round(pose[:, :2], 3), np.round(pose[:, 2:], 5)], axis=-1)
        entry: dict[str, Any] = {
            "image_id": image_id,
            "category_id": CATEGORY,
            "keypoints": keypoints.ravel().tolist(),
            "score": round(float(poses.scores[index]), 5),
        }
        if poses.boxes is not None:
            entry["bbox"] = np.round(poses.boxes[index].astype(np.float64), 3).tolist()
        if poses.names:
            entry["name"] = poses.names[index]
        entries.append({**entry, "file_name": file_name})
    return entries


class Timing:
    """Milliseconds an image of the three parts of a prediction."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {part: [] for part in PARTS}

    def add(self, *, pre: float, run: float, post: float) -> None:
        """Seconds that one image took."""
        for part, seconds in (("pre", pre), ("run", run), ("post", post)):
            self._seconds[part].append(seconds)

    def figures(self) -> dict[str, dict[str, float]]:
        """`{"pre": {"mean": .., "p50": .., "p95": ..}, "run": .., "post": .., "total": ..}` in ms; {} of no image."""
        if not self._seconds["run"]:
            return {}
        arrays = {part: np.array(seconds) for part, seconds in self._seconds.items()}
        arrays["total"] = np.sum(list(arrays.values()), axis=0)
        return {part: _spread(1000 * seconds) for part, seconds in arrays.items()}


def timing_rows(timing: dict[str, Any]) -> list[tuple[str, ...]]:
    """(part, what it is, mean, p50, p95), milliseconds as text, of the `timing` of results.json's `prediction`."""
    texts = {**PARTS, "total": "pre + run + post"}
    return [
        (part, text, *(f"{timing[part][name]:.2f}" for name in ("mean", "p50", "p95")))
        for part, text in texts.items()
        if part in timing
    ]


def print_prediction(entry: dict[str, Any]) -> None:
    """The timing of results.json's `prediction` as a table, and its counts in a line."""
    timing = entry["timing"]
    rows = [(f"{part}: {text}", *numbers) for part, text, *numbers in timing_rows(timing)]
    if rows:
        console.table(f"Time an image, ms ({timing['how']})", ["part", "mean", "p50", "p95"], rows)
    console.say(
        f"{entry['label']}: {entry['poses']} poses in {entry['images']} images, "
        f"{timing['images_per_second']:.1f} images a second with drawing and writing; {timing['warm_up']}"
    )


class _JsonList:
    """A JSON list, an entry a line, of which only the newest is in memory."""

    def __init__(self, file: IO[str]):
        self._file, self._before = file, "\n"
        file.write("[")

    def add(self, entry: dict[str, Any]) -> None:
        # One call writes separator and entry: Ctrl-C between two lines leaves a list that can be closed.
        self._file.write(self._before + json.dumps(entry, allow_nan=False))
        self._before = ",\n"

    def close(self) -> None:
        self._file.write("\n]\n")


def _spread(values: np.ndarray) -> dict[str, float]:
    p50, p95 = np.percentile(values, [50, 95])
    return {"mean": round(float(values.mean()), 4), "p50": round(float(p50), 4), "p95": round(float(p95), 4)}

"""Small data sets written by the tests of the data room."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from stm32pose.data.sample import Sample
from stm32pose.skeletons.skeleton import Skeleton


def write_picture(path: Path, size: tuple[int, int] = (40, 60), seed: int = 0) -> Path:
    """An image of (H, W) of its own content; the suffix chooses the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    data = cv2.imencode(path.suffix.lower(), cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_CUBIC))[1]
    path.write_bytes(data.tobytes())
    return path


def random_sample(skeleton: Skeleton, image: Path, size: tuple[int, int] = (40, 60), people: int = 1, seed: int = 0):
    """A sample with `people` random people inside the image; about a quarter of the points is not labelled."""
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(0, 1, (people, skeleton.count, 3)) * (size[1], size[0], 1)
    keypoints[..., 2] = rng.integers(0, 3, keypoints.shape[:2])
    keypoints[:, 0, 2] = 2
    keypoints[keypoints[..., 2] == 0] = 0
    corner = rng.uniform(0, 0.4, (people, 2)) * size[::-1]
    boxes = np.concatenate([corner, rng.uniform(0.1, 0.5, (people, 2)) * size[::-1]], axis=1).astype(np.float32)
    return Sample(
        image=image,
        size=size,
        keypoints=keypoints.astype(np.float32),
        boxes=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        crowd=np.zeros(people, bool),
        image_id=seed,
    )


def yolo_line(skeleton: Skeleton, x: float = 0.5, y: float = 0.5, flag: float = 1) -> str:
    """A good line with every point at (x, y)."""
    return " ".join(map(str, [0, 0.5, 0.5, 0.6, 0.8] + [x, y, flag] * skeleton.count))


def coco_document(samples: list[Sample], names: list[str] | tuple[str, ...], category: str = "person") -> dict:
    """COCO's mapping of `samples`, whose keypoints are in the order of `names`."""
    images, annotations = [], []
    for number, sample in enumerate(samples):
        images.append({"id": number, "file_name": sample.image.name, "height": sample.size[0], "width": sample.size[1]})
        for keypoints, box, area, crowd in zip(sample.keypoints, sample.boxes, sample.areas, sample.crowd, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "keypoints": keypoints.ravel().tolist(),
                    "num_keypoints": int((keypoints[:, 2] > 0).sum()),
                    "bbox": box.tolist(),
                    "area": float(area),
                    "iscrowd": int(crowd),
                }
            )
    categories = [{"id": 1, "name": category, "keypoints": list(names)}]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_coco(path: Path, document: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path

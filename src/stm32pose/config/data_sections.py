"""Sections `dataset` and `preprocessing`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from stm32pose.config.base import Fraction, OpenFraction, Path, Positive, PositiveInt, Section

Format = Literal[
    "auto", "yolo", "coco", "mpii", "ultralytics", "freihand", "onehand10k",
    "youtube_faces", "deeplabcut", "cvat", "label_studio",
]  # fmt: skip


def _name_or_index(value: Any) -> Any:
    """One message for all; pydantic has one for each type of a union."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    whole = whole or (isinstance(value, float) and value.is_integer())
    if value is not None and not isinstance(value, str) and not whole:
        raise ValueError("expected a name, an index from 0, or null")
    return value


KeypointMap = dict[str, Annotated[int | str | None, BeforeValidator(_name_or_index)]]


class Mixed(Section):
    """A further set of training images, with labels of its own. Nothing of `dataset` holds here but what says so."""

    path: Path
    """Its folder of images, or what its format has in that place."""
    annotations: Path | None = None
    """Its labels; absent: found as those of `training_path` are."""
    format: Format = "auto"
    """Its label format."""
    keypoint_map: KeypointMap | None = None
    """How its labels call the keypoints of the skeleton."""
    repeat: float = Field(default=1.0, gt=0, le=1000)
    """How often each image comes in an epoch; of a fraction, as many images as it says, chosen by `dataset.seed`."""
    filter: str | None = None
    """Which of its people are used."""


class Dataset(Section):
    """Images and labels: where they are, how they are read, how they are split."""

    dataset_name: str = "unnamed"
    """A name for reports; any name serves (ST's 4.x wanted `coco`)."""
    format: Format = "auto"
    """Label format: `yolo` (a Darknet .txt beside each image), `coco` (keypoints JSON), `auto` looks; all of them:
    docs/data.md."""
    keypoints: PositiveInt | None = None
    """Number of keypoints K. Checked against skeleton, labels and model; derived from `skeleton` where absent."""
    skeleton: str | None = None
    """Name of a shipped skeleton (`stm32pose skeletons`) or path of a YAML; absent: the shipped one with K points."""
    class_names: list[str] = Field(default_factory=lambda: ["person"])
    """Category names; the first one tells apart skeletons of equal K (person, hand, head)."""
    keypoints_file_path: Path | None = None
    """Text file with one keypoint name a line, for deployment on an MPU."""
    keypoint_map: KeypointMap | None = None
    """How the labels call keypoints of the skeleton: {skeleton's: theirs}, theirs a name, an index from 0, or null
    (never taken). Keypoints left out go by their own name."""
    filter: str | None = None
    """Which labelled people are used, in every set: `visible >= 5 and box_height > 64` (docs/data_sets.md)."""
    mix: list[Mixed] = Field(default_factory=list)
    """Further sets of images to train on, besides `training_path`; validation and test never see them."""
    training_path: Path | None = None
    """Folder of training images (labels beside them), or of COCO images with `training_annotations`."""
    validation_path: Path | None = None
    """Folder of validation images; absent: `validation_split` of the training set."""
    test_path: Path | None = None
    """Folder of test images; evaluation prefers it to the validation set."""
    quantization_path: Path | None = None
    """Folder of calibration images; absent: the training set."""
    prediction_path: list[Path] | None = None
    """What to predict: an image, a folder, a pattern (`shots/*.jpg`), a video file, a camera (`camera:0`), or a list of
    such."""
    training_annotations: Path | None = None
    """COCO keypoints JSON of the training images; absent: found beside or inside the folder."""
    validation_annotations: Path | None = None
    """COCO keypoints JSON of the validation images."""
    test_annotations: Path | None = None
    """COCO keypoints JSON of the test images."""
    quantization_annotations: Path | None = None
    """COCO keypoints JSON of the calibration images (only its list of images is used)."""
    validation_split: OpenFraction = 0.2
    """Share of the training set held out for validation when `validation_path` is absent."""
    test_split: Fraction = 0.0
    """Share of the training set held out for the final test when `test_path` is absent."""
    quantization_split: Fraction | None = None
    """Share of the calibration images to use, counted in images, at least one; null or 0: all, up to
    `quantization_images`."""
    quantization_images: PositiveInt = 200
    """Most calibration images used when `quantization_split` is absent."""
    pose: Literal["single", "multi"] = "single"
    """`single`: images with exactly one person who is not a crowd; `multi`: every labelled image."""
    instance: Literal["image", "crop"] = "image"
    """`image`: the whole image is the input; `crop`: every labelled person becomes an input of its own."""
    crop_margin: float = Field(default=0.25, ge=0, le=2)
    """With `instance: crop`: how much larger than its box a person's crop is, as a share of the box."""
    seed: int | None = 123
    """Seed of the split and of the order of images; null: a new one each run (written to the manifest)."""
    cache: Literal["auto", "memory", "disk", "none"] = "auto"
    """Decoded images are kept as uint8: in memory within `cache_memory_gb`, else in a memory-mapped file."""
    cache_memory_gb: Positive = 2.0
    """Most memory that decoded images may take before `auto` uses the disk, in GB."""
    cache_path: Path | None = None
    """Folder of the memory-mapped cache; absent: `.stm32pose_cache` beside the data set."""


class Rescaling(Section):
    """Network input = scale * pixel + offset, pixel in 0..255."""

    scale: float = 1 / 127.5
    """Factor; ST writes `1/127.5` or `1/255`."""
    offset: float = -1.0
    """Added after the factor: -1 with 1/127.5 gives inputs in [-1, 1]."""


class Resizing(Section):
    """How an image of any size becomes the network's input."""

    interpolation: Literal[
        "bilinear", "nearest", "area", "lanczos3", "lanczos5", "bicubic", "gaussian", "mitchellcubic"
    ] = "bilinear"
    """ST's names. OpenCV lacks lanczos3 and lanczos5 (lanczos4), gaussian (area) and mitchellcubic (bicubic): the
    nearest serves and the log says so."""
    aspect_ratio: Literal["fit", "padding", "crop", "full_screen"] = "fit"
    """`fit` and `full_screen` stretch; `padding` letterboxes, centred; `crop` fills and cuts, centred."""


class Preprocessing(Section):
    """From a decoded image to the network's input."""

    rescaling: Rescaling = Rescaling()
    """Pixel value to network input."""
    resizing: Resizing = Resizing()
    """Image size to network size."""
    color_mode: Literal["rgb", "bgr", "grayscale", "rgba"] = "rgb"
    """Channel order of the input. `rgba` is read as rgb, as ST did: cameras deliver no alpha."""

"""The chain of augmentations that a configuration lists, in its order: read, checked, and ready to draw a batch."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.config.data_sections import Rescaling
from stm32pose.errors import ConfigError, did_you_mean
from stm32pose.own_code import is_own_function
from stm32pose.transforms.affine import GEOMETRIC, faults
from stm32pose.transforms.arguments import Choice, Number, Sizes, read_arguments
from stm32pose.transforms.custom import own_augmentation
from stm32pose.transforms.draft import Draft, Layer, Link, Pick
from stm32pose.transforms.erasing import COVERING
from stm32pose.transforms.filters import FILTERS
from stm32pose.transforms.geometry import INTERPOLATIONS, Size
from stm32pose.transforms.hsv import COLOURS
from stm32pose.transforms.labels import MovingLabels
from stm32pose.transforms.mosaic import JOINING
from stm32pose.transforms.noise import NOISES
from stm32pose.transforms.operations import Colouring, Geometric, Joining, Operation, PersonGeometric, catalogue
from stm32pose.transforms.person import PERSONAL
from stm32pose.transforms.tables import TABLES

if TYPE_CHECKING:
    from stm32pose.skeletons.skeleton import Skeleton

SECTION = "data_augmentation"
OPERATIONS = catalogue(GEOMETRIC, PERSONAL, TABLES, COLOURS, FILTERS, NOISES, COVERING, JOINING)
RESIZING = "random_periodic_resizing"
_RESIZING = {
    "image_sizes": Sizes(),
    "period": Number(1, 1e6, 10, whole=True),
    "interpolation": Choice(tuple(INTERPOLATIONS), "bilinear"),
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chain:
    """Augmentations ready to draw.

    Attributes:
        links: in the order of the configuration.
        size: (H, W) of the input.
        sizes, period: inputs of `random_periodic_resizing`, and for how many batches each stays.
        fill_mode, fill: what is seen outside the image, `fill` is a pixel value 0..255; None where nothing in the
            chain can show the outside.
        fill_written: whether the configuration says one of the two itself.
        interpolation: asked for by an augmentation, None for that of `preprocessing.resizing`.
    """

    links: tuple[Link, ...]
    size: Size
    sizes: tuple[Size, ...] = ()
    period: int = 1
    fill_mode: str | None = None
    fill: float = 0.0
    fill_written: bool = False
    interpolation: str | None = None

    @property
    def draws(self) -> int:
        """How many numbers from [0, 1) each image needs."""
        return sum(link.draws for link in self.links)

    @property
    def mirrors(self) -> bool:
        """Whether an image can come out mirrored, so that left and right have to change places."""
        return any(
            link.name == "random_flip" or (isinstance(link.operation, Geometric) and link.name not in OPERATIONS)
            for link in self.links
        )

    @property
    def joins(self) -> bool:
        """Whether an image can come out beside another one of the set."""
        return any(isinstance(link.operation, Joining) for link in self.links)

    def input_size(self, batch_number: int) -> Size | None:
        """(H, W) of a batch, counted from the start of training; None: the network's own size.

        Each size stays for `period` batches, then the next follows, round and round.
        """
        return self.sizes[batch_number // self.period % len(self.sizes)] if self.sizes else None

    def draw(
        self, uniform: np.ndarray, labels: MovingLabels, size: Size | None = None, pick: Pick | None = None
    ) -> tuple[list[list[Layer]], np.ndarray]:
        """What each image of a batch goes through.

        Args:
            uniform: [B, draws], from [0, 1).
            labels: of the batch, fitted to the input; settled on return.
            size: (H, W) of the input; None for the network's own.
            pick: where other samples come from, for a chain that joins.

        Returns:
            The layers of each image, and float64 [B, 3, 3], original image to input. An image is mirrored where the
            determinant is negative.
        """
        draft = Draft(labels, size or self.size, pick)
        for link in self.links:
            draft.take(link, uniform)
        return draft.finish()


def build_chain(
    augmentation: Mapping[str, Mapping[str, Any] | None],
    *,
    input_shape: Sequence[int],
    rescaling: Rescaling | None = None,
    skeleton: Skeleton | None = None,
    run_code: bool = True,
) -> Chain:
    """The chain that section `data_augmentation` describes; an empty section gives one that changes nothing.

    Args:
        augmentation: ST's names, or FILE.py:FUNCTION, each with its arguments, in the order to apply.
        input_shape: (H, W, C) of the network's input.
        rescaling: scale and offset, in whose units `fill_value` is given.
        skeleton: tells the upper body, for `random_half_body`.
        run_code: False checks a configuration: files of the user's own are looked for but not run, and missing from
            the chain.

    Raises:
        ConfigError: a line for each name or argument that is wrong.
        UserError: a file of the user's own fails when it is run.
    """
    lines: list[str] = []
    read: dict[str, dict[str, Any]] = {}
    operations: dict[str, Operation | None] = {}
    for name, given in augmentation.items():
        try:
            operations[name], read[name] = _read(name, given, input_shape, skeleton, run_code)
        except ConfigError as error:
            lines.append(str(error))
        except ValueError as error:
            lines += error.args
    outside, outside_lines = _outside(augmentation, read, rescaling or Rescaling())
    if lines or outside_lines:
        raise ConfigError("\n".join(lines + outside_lines))
    links, column = [], 0
    for name, arguments in read.items():
        operation = operations[name]
        if operation is not None:
            links.append(Link(name, operation, arguments, column))
            column += links[-1].draws
    resizing = read.get(RESIZING, {"image_sizes": (), "period": 1})
    return Chain(
        tuple(links), (int(input_shape[0]), int(input_shape[1])), resizing["image_sizes"], resizing["period"], **outside
    )


def _read(
    name: str, given: Mapping[str, Any] | None, input_shape: Sequence[int], skeleton: Skeleton | None, run_code: bool
) -> tuple[Operation | None, dict[str, Any]]:
    """Operation and checked arguments of one entry; no operation for what is not drawn image by image.

    Raises ValueError with a line for each fault, or ConfigError.
    """
    where = f"{SECTION}.{name}"
    if name == RESIZING:
        return None, read_arguments(where, given, _RESIZING)
    if is_own_function(name):
        return own_augmentation(name, given, where=where, run_code=run_code)
    operation = OPERATIONS.get(name)
    if operation is None:
        known = [*OPERATIONS, RESIZING]
        raise ValueError(
            f"{where}: no such augmentation; allowed {', '.join(known)}, or FILE.py:FUNCTION{did_you_mean(name, known)}"
        )
    arguments = read_arguments(where, given, operation.arguments)
    fault = faults(name, arguments)
    if fault:
        raise ValueError(f"{where}.{fault}")
    if isinstance(operation, Colouring) and operation.rgb and len(input_shape) > 2 and input_shape[2] == 1:
        raise ValueError(f"{where}: needs colour, but preprocessing.color_mode is grayscale; leave it out")
    if isinstance(operation, PersonGeometric) and operation.skeleton:
        arguments["upper_body"] = _upper_body(where, skeleton)
    return operation, arguments


def _upper_body(where: str, skeleton: Skeleton | None) -> np.ndarray:
    """bool [K], the keypoints above the waist."""
    if skeleton is None or not skeleton.upper_body:
        named = f"skeleton {skeleton.name}" if skeleton else "data set without a skeleton"
        raise ValueError(
            f"{where}: the {named} names no upper body; list its keypoints as upper_body in the skeleton's YAML "
            "(docs/skeletons.md)"
        )
    upper = np.zeros(skeleton.count, dtype=bool)
    upper[list(skeleton.upper_body)] = True
    return upper


def _outside(
    augmentation: Mapping[str, Any], read: Mapping[str, Mapping[str, Any]], rescaling: Rescaling
) -> tuple[dict[str, Any], list[str]]:
    """What is seen outside the image and how it is resampled, for all augmentations alike, and lines of faults.

    The image is resampled once, so one answer serves: each argument comes from the last augmentation that gives it, or
    else from the defaults of the last one that can show the outside.
    """
    found: dict[str, Any] = {}
    faults: list[str] = []
    moving = [name for name in read if "fill_mode" in read[name]]
    for argument in ("fill_mode", "fill_value", "interpolation"):
        takers = [name for name in read if argument in read[name] and name != RESIZING]
        given = [name for name in takers if (augmentation[name] or {}).get(argument) is not None]
        if len({read[name][argument] for name in given}) > 1:
            _log.info(
                "%s: the image is resampled once; %s %s of %s serves all",
                SECTION,
                argument,
                read[given[-1]][argument],
                given[-1],
            )
        if given or (moving and argument != "interpolation"):
            found[argument] = read[(given or moving)[-1]][argument]
        if given and argument != "interpolation":
            found["fill_written"] = True
        if argument == "fill_value" and found:
            level = (found.pop(argument) - rescaling.offset) / rescaling.scale
            found["fill"] = float(min(max(level, 0.0), 255.0))
            if given and not -0.5 <= level <= 255.5:
                low, high = sorted((rescaling.offset, 255 * rescaling.scale + rescaling.offset))
                faults.append(
                    f"{SECTION}.{given[-1]}.fill_value: got {read[given[-1]][argument]}; "
                    f"allowed {low:g} to {high:g}, the range of rescaled pixels"
                )
    return found, faults

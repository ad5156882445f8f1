"""Image files to arrays: decoded by OpenCV, EXIF orientation applied, RGB; a file that cannot be read is named."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from stm32pose.errors import UserError

MAX_PIXELS = 150_000_000
"""Larger images are refused before they are decoded: a few kilobytes can claim to be gigapixels."""

_ORIENTATION = 274
_READ_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def read_image(path: Path, *, reduce: int = 1) -> np.ndarray:
    """Decode an image file: uint8 [H, W, 3] RGB, EXIF orientation applied, alpha dropped, 16 bits cut to 8.

    Args:
        path: a JPEG, PNG or any other format that OpenCV and Pillow both know.
        reduce: 1, 2, 4 or 8: decode at that fraction of the size, rounded up. A JPEG then costs less, since its
            decoder transforms fewer coefficients.

    Raises:
        UserError: the file is missing, cut off, larger than `MAX_PIXELS`, or no image. (A JPEG damaged in its middle
            is decoded as far as its decoder can; nothing tells such a picture from a sound one.)
    """
    data = _read_bytes(path)
    if data[:2] == b"\xff\xd8":
        size = _scan_jpeg(data, path)
    else:
        size = _open(path, data).size[::-1]
    if size[0] * size[1] > MAX_PIXELS:
        raise UserError(f"{path}: image of {size[1]} x {size[0]} pixels; allowed: up to {MAX_PIXELS:,} pixels")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _READ_FLAGS[reduce])
    except cv2.error as error:
        raise UserError(f"{path}: image cannot be decoded: {error.err or error}") from error
    if image is None:
        raise UserError(f"{path}: image cannot be decoded (damaged or cut off)")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def image_size(path: Path) -> tuple[int, int]:
    """(H, W) of the array `read_image` would give; only the header is read.

    Raises:
        UserError: the file is missing or no image.
    """
    (width, height), orientation = _read_header(path)
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)


def image_upright(path: Path) -> bool:
    """Whether the file stores its pixels in the order in which they are seen (no EXIF turn or mirror).

    Raises:
        UserError: the file is missing or no image.
    """
    return _read_header(path)[1] in (0, 1)


def _read_header(path: Path) -> tuple[tuple[int, int], int]:
    """(W, H) as stored, and the EXIF orientation, 1 where there is none."""
    with _open(path) as image:
        try:
            orientation = image.getexif().get(_ORIENTATION, 1)
        except (OSError, ValueError, SyntaxError, KeyError, TypeError, IndexError):
            orientation = 1  # a damaged EXIF block: OpenCV ignores it as well
        return image.size, orientation


def _read_bytes(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such image") from error
    except OSError as error:
        raise UserError(f"{path}: image cannot be read: {error.strerror or error}") from error


def _open(path: Path, data: bytes | None = None) -> Image.Image:
    try:
        return Image.open(Path(path) if data is None else BytesIO(data))
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such image") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{path}: not an image, or of an unknown format") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: image too large; allowed: up to {MAX_PIXELS:,} pixels") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{path}: image cannot be read: {error}") from error


def _scan_jpeg(data: bytes, path: Path) -> tuple[int, int]:
    """(H, W) from the frame header; raises where no end marker follows the picture (some decoders fill in grey).

    Inside the coded picture 0xFF is always followed by 0x00 or a restart marker, so an end marker behind the first
    scan header is the picture's, whatever thumbnails before it hold.
    """
    position, size = 2, None
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = data[position + 5 : position + 9]
            size = int.from_bytes(frame[:2], "big"), int.from_bytes(frame[2:], "big")
        elif marker == 0xDA:
            if size is None or data.rfind(b"\xff\xd9", position) < 0:
                break
            return size
        position += 2 + length
    raise UserError(f"{path}: image is cut off or damaged (a JPEG without its end)")

"""Image files of all kinds, sound and broken."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stm32pose.data.images import image_size, image_upright, read_image
from stm32pose.errors import UserError


def picture(width: int = 64, height: int = 48) -> Image.Image:
    columns, rows = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([columns, rows, 255 - columns], axis=-1).astype(np.uint8))


def write(path: Path, image: Image.Image, orientation: int = 1) -> Path:
    exif = Image.Exif()
    exif[274] = orientation
    image.save(path, exif=exif)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, suffix, orientation):
    path = write(tmp_path / f"image.{suffix}", picture(), orientation)
    image = read_image(path)
    assert image.shape[:2] == image_size(path) == ((64, 48) if orientation > 4 else (48, 64))
    assert image_upright(path) == (orientation == 1)
    with Image.open(path) as stored:
        expected = np.asarray(stored.convert("RGB"), dtype=float)
    turned = {
        1: expected,
        2: expected[:, ::-1],
        3: expected[::-1, ::-1],
        4: expected[::-1],
        5: expected.transpose(1, 0, 2),
        6: expected[::-1].transpose(1, 0, 2),
        7: expected[::-1, ::-1].transpose(1, 0, 2),
        8: expected[:, ::-1].transpose(1, 0, 2),
    }[orientation]
    assert np.abs(image - turned).mean() < 3


def test_channels_are_rgb_and_alpha_is_dropped(tmp_path):
    red = Image.new("RGBA", (8, 6), (250, 10, 20, 100))
    red.save(tmp_path / "red.png")
    Image.new("L", (8, 6), 77).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "red.png")[3, 3].tolist() == [250, 10, 20]
    assert read_image(tmp_path / "grey.png")[3, 3].tolist() == [77, 77, 77]


@pytest.mark.parametrize("reduce", [2, 4, 8])
def test_reduced_decoding_rounds_up(tmp_path, reduce):
    path = write(tmp_path / "image.jpg", picture(101, 75))
    assert read_image(path, reduce=reduce).shape == (-(-75 // reduce), -(-101 // reduce), 3)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.2, 0.7, 0.98])
def test_a_cut_off_file_is_named(tmp_path, suffix, share):
    whole = write(tmp_path / f"whole.{suffix}", picture(300, 200)).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=f"cut.{suffix}") as raised:
        read_image(path)
    assert "\n" not in str(raised.value)


def test_a_thumbnail_does_not_hide_that_the_picture_is_cut_off(tmp_path):
    buffer = io.BytesIO()
    picture(32, 24).save(buffer, "JPEG")
    whole = io.BytesIO()
    picture(300, 200).save(whole, "JPEG", exif=b"Exif\0\0" + buffer.getvalue())
    path = tmp_path / "thumb.jpg"
    path.write_bytes(whole.getvalue())
    assert read_image(path).shape == (200, 300, 3)
    path.write_bytes(whole.getvalue()[:-200])
    with pytest.raises(UserError, match="cut off"):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"GIF89a nonsense", b"\xff\xd8\xff\xff\xff\xff", b"\xff\xd8" + b"\0" * 100])
def test_no_image_is_named(tmp_path, content):
    path = tmp_path / "noimage.jpg"
    path.write_bytes(content)
    for function in (read_image, image_size):
        with pytest.raises(UserError, match=r"noimage\.jpg"):
            function(path)


def test_missing_file_and_folder_are_named(tmp_path):
    for function in (read_image, image_size):
        with pytest.raises(UserError, match=r"absent\.png: there is no such image"):
            function(tmp_path / "absent.png")
        with pytest.raises(UserError, match="cannot be read"):
            function(tmp_path)


def test_a_decompression_bomb_is_refused_before_decoding(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(UserError, match=r"bomb\.png.*allowed: up to"):
        read_image(path)


def test_real_images_have_the_size_of_their_header(shared):
    paths = sorted((shared / "data" / "coco_mini").rglob("*.jpg"))[:20]
    assert paths
    for path in paths:
        assert read_image(path).shape[:2] == image_size(path)

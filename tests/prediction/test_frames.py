"""Sources of images: files, folders, patterns, videos, cameras; and what is said where there is none."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from prediction_dots import save_image, save_video

from stm32pose.data.ahead import read_ahead
from stm32pose.data.frames import Frame, Unreadable, find_sources, read_frames
from stm32pose.errors import ConfigError, UserError


def grey(value: int) -> np.ndarray:
    return np.full((24, 32, 3), value, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, value in (("b.png", 1), ("a.JPG", 2), ("c.bmp", 3), ("inner/d.png", 4)):
        save_image(tmp_path / name.lower(), grey(value))
    (tmp_path / "a.jpg").rename(tmp_path / "a.JPG")
    (tmp_path / "a.txt").write_text("0 0.5")
    return tmp_path


def names(given, **options) -> list[str]:
    return [source.name for source in find_sources(given, **options)]


def test_folder_is_read_by_name_and_only_directly(folder: Path):
    assert names(str(folder)) == ["a.JPG", "b.png", "c.bmp"]


def test_relative_folder(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder.parent)
    sources = find_sources(folder.name)
    assert [type(frame) for frame in read_frames(sources)] == [Frame] * 3
    monkeypatch.chdir(folder / "inner")
    assert names("..") == ["a.JPG", "b.png", "c.bmp"]


def test_patterns(folder: Path, caplog: pytest.LogCaptureFixture):
    assert names(str(folder / "*.png")) == ["b.png"]
    assert names(str(folder / "**" / "*.png")) == ["b.png", "d.png"]
    caplog.set_level("INFO", "stm32pose")
    assert names(str(folder / "[ab].*")) == ["a.JPG", "b.png"]
    assert "files that are no images are left out: 1" in caplog.text  # a.txt


def test_list_keeps_its_order_and_takes_a_file_once(folder: Path):
    given = [str(folder / "c.bmp"), str(folder / "*.png"), str(folder), "camera:1"]
    assert names(given) == ["c.bmp", "b.png", "a.JPG", "camera:1"]


def test_folder_with_brackets_in_its_name(tmp_path: Path):
    save_image(tmp_path / "set[1]" / "a.png", grey(1))
    assert names(str(tmp_path / "set[1]")) == ["a.png"]


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ("empty", UserError, "no image in"),
        ("empty/*.jpg", ConfigError, "no file fits it"),
        ("notes.txt", ConfigError, "neither image nor video; images are .jpg"),
        ("*.txt", ConfigError, "none of them an image or a video"),
        ("nowhere.png", ConfigError, "does not exist"),
        ("camera:front", ConfigError, "camera:0"),
        ([], ConfigError, "names nothing"),
    ],
)
def test_what_is_no_source_is_named(tmp_path: Path, monkeypatch, given, kind, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(kind, match=r"dataset.prediction_path") as told:
        find_sources(given)
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_unreadable_files_are_told_and_the_others_read(folder: Path):
    (folder / "b.png").write_bytes(b"no image")
    (folder / "x.mp4").write_bytes(b"no video" * 50)
    found = list(read_frames(find_sources([str(folder), str(folder / "x.mp4")])))
    assert [type(item) for item in found] == [Frame, Unreadable, Frame, Unreadable]
    assert "not an image" in found[1].reason
    assert "cannot be opened" in found[3].reason


def test_video_gives_frames_times_and_rate(tmp_path: Path):
    images = [grey(10 * index) for index in range(12)]
    path = save_video(tmp_path / "clip.mp4", images, rate=8)
    frames = list(read_frames(find_sources(str(path)), every=5))
    assert [frame.index for frame in frames] == [0, 5, 10]
    assert [frame.time_s for frame in frames] == pytest.approx([0, 5 / 8, 10 / 8])
    assert frames[0].rate == pytest.approx(8 / 5)
    assert [frame.image.mean() for frame in frames] == pytest.approx([0, 50, 100], abs=5)


def test_limit_counts_images_of_all_sources(folder: Path):
    clip = save_video(folder / "z.mp4", [grey(9)] * 6)
    (folder / "b.png").write_bytes(b"no image")
    found = list(read_frames(find_sources([str(folder), str(clip)]), limit=4))
    assert [getattr(item, "index", None) for item in found] == [0, None, 0, 0, 1]


def test_camera_that_is_not_there():
    with pytest.raises(UserError, match=r"camera:97: the camera cannot be opened"):
        list(read_frames(find_sources("camera:97")))


def test_exif_orientation_is_applied(tmp_path: Path):
    from PIL import Image

    picture = Image.fromarray(np.zeros((20, 60, 3), np.uint8))
    exif = Image.Exif()
    exif[274] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    (frame,) = read_frames(find_sources(str(tmp_path / "turned.jpg")))
    assert frame.image.shape == (60, 20, 3)


def test_libraries_write_nothing_about_what_cannot_be_opened(tmp_path: Path):
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(5000))
    program = (
        "from stm32pose.data.frames import find_sources, read_frames\n"
        "from stm32pose.errors import UserError\n"
        "print([item.reason for item in read_frames(find_sources('broken.mp4'))])\n"
        "try:\n    list(read_frames(find_sources('camera:63')))\n"
        "except UserError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert "cannot be opened" in first
    assert second.startswith("camera:63: the camera cannot be opened")


def test_reading_ahead_keeps_order_and_is_bounded():
    made: list[int] = []

    def items():
        for number in range(50):
            made.append(number)
            yield number

    ahead = read_ahead(items(), depth=2)
    assert next(ahead) == 0
    time.sleep(0.2)
    assert len(made) <= 5
    assert list(ahead) == list(range(1, 50))


def test_reading_ahead_hands_on_errors_and_stops_when_closed():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    ahead = read_ahead(endless())
    assert next(ahead) == 1
    ahead.close()
    assert closed.is_set()

    def failing():
        yield 1
        raise UserError("torn")

    ahead = read_ahead(failing())
    assert next(ahead) == 1
    with pytest.raises(UserError, match="torn"):
        next(ahead)

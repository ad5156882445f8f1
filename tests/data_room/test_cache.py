"""The cache of decoded images: the same pixels however they come, and no harm from whatever happens to its file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stm32pose.data import cache as cache_module
from stm32pose.data.cache import FOLDER, cache_side, load_reduced, open_cache, plan_image
from stm32pose.data.images import image_size
from stm32pose.data.sample import Sample
from stm32pose.errors import ConfigError, UserError
from stm32pose.transforms.geometry import transform_points


def sample_of(path: Path, region=None) -> Sample:
    none = np.zeros((0,), np.float32)
    return Sample(path, image_size(path), none.reshape(0, 5, 3), none.reshape(0, 4), none, none.astype(bool), 0, region)


@pytest.fixture
def samples(tmp_path) -> list[Sample]:
    rng = np.random.default_rng(0)
    folder = tmp_path / "set" / "images"
    folder.mkdir(parents=True)
    made = []
    for index, (height, width) in enumerate([(120, 160), (90, 200), (33, 40), (201, 77), (64, 64), (150, 101)]):
        cells = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        path = folder / f"{index}.{'png' if index % 2 else 'jpg'}"
        Image.fromarray(cells).resize((width, height)).save(path)
        made.append(sample_of(path))
    return made


def pixels(cache) -> list[np.ndarray]:
    return [cache.get(index)[0].copy() for index in range(len(cache))]


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_images_are_reduced_to_the_side_and_never_enlarged(samples):
    with open_cache(samples, side=70) as cache:
        for index, sample in enumerate(samples):
            height, width = cache.get(index)[0].shape[:2]
            original = sample.size[0] * sample.size[1]
            side = (height * width) ** 0.5
            assert side == pytest.approx(min(70, original**0.5), rel=0.12)
            assert height <= sample.size[0]
            assert height / width == pytest.approx(sample.size[0] / sample.size[1], rel=0.03)
        assert cache.bytes == sum(image.nbytes for image in pixels(cache))


def test_cache_side_follows_the_area_of_the_input():
    assert cache_side((192, 192)) == 288
    assert cache_side((100, 400)) == 300


def test_every_mode_gives_the_same_pixels_in_every_epoch(samples, tmp_path):
    with open_cache(samples, side=70, mode="none") as cache:
        expected = pixels(cache)
        assert cache.kind == "none"
        assert_same(expected, pixels(cache))
    for mode, kind in (("auto", "memory"), ("memory", "memory"), ("disk", "disk"), ("disk", "disk")):
        with open_cache(samples, side=70, mode=mode, path=tmp_path / "cache") as cache:
            assert cache.kind == kind
            assert_same(expected, pixels(cache))
            assert_same(expected, pixels(cache))


def test_auto_goes_to_disk_beside_the_data_set_beyond_the_budget(samples, tmp_path):
    with open_cache(samples, side=70, memory_gb=1e-5) as cache:
        assert cache.kind == "disk"
        pixels(cache)
    assert sorted(path.suffix for path in (tmp_path / "set" / FOLDER).iterdir()) == [".bin", ".json"]
    with pytest.raises(ConfigError, match=r"dataset\.cache: got memory, but the images take"):
        open_cache(samples, side=70, mode="memory", memory_gb=1e-5)


def test_a_complete_file_serves_the_next_run_without_decoding(samples, tmp_path, monkeypatch):
    with open_cache(samples, side=70, mode="disk", path=tmp_path) as cache:
        expected = pixels(cache)
    monkeypatch.setattr(cache_module, "load_reduced", lambda *_: pytest.fail("decoded again"))
    with open_cache(samples, side=70, mode="disk", path=tmp_path) as cache:
        assert_same(expected, pixels(cache))


def test_a_changed_image_or_side_makes_a_new_file(samples, tmp_path):
    def run(side: int = 70):
        with open_cache(samples, side=side, mode="disk", path=tmp_path / "cache") as cache:
            return pixels(cache)

    run()
    run()
    assert len(list((tmp_path / "cache").glob("*.bin"))) == 1
    run(60)
    assert len(list((tmp_path / "cache").glob("*.bin"))) == 2
    Image.new("RGB", samples[0].size[::-1], (9, 99, 199)).save(samples[0].image)
    os.utime(samples[0].image, (time.time(), time.time() + 5))
    assert run()[0][5, 5].tolist() == pytest.approx([9, 99, 199], abs=2)
    assert len(list((tmp_path / "cache").glob("*.bin"))) == 3


@pytest.mark.parametrize("damage", ["cut", "longer", "index", "index_types", "no_index"])
def test_a_cut_off_or_damaged_file_is_made_anew(samples, tmp_path, caplog, damage):
    with open_cache(samples, side=70, mode="disk", path=tmp_path / "cache") as cache:
        expected = pixels(cache)
    (file,) = (tmp_path / "cache").glob("*.bin")
    index = file.with_suffix(".json")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "longer":
        file.write_bytes(file.read_bytes() + b"x")
    elif damage == "index":
        index.write_text('{"bytes": 12')
    elif damage == "index_types":
        index.write_text(json.dumps({"bytes": file.stat().st_size, "crc32": 5}))
    else:
        index.unlink()
    for _ in range(2):
        with open_cache(samples, side=70, mode="disk", path=tmp_path / "cache") as cache:
            assert_same(expected, pixels(cache))
    assert ("made anew" in caplog.text) == (damage != "no_index")
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_flipped_bits_are_noticed_and_the_image_is_decoded(samples, tmp_path, caplog):
    with open_cache(samples, side=70, mode="disk", path=tmp_path / "cache") as cache:
        expected = pixels(cache)
    (file,) = (tmp_path / "cache").glob("*.bin")
    data = bytearray(file.read_bytes())
    data[expected[0].nbytes + 50] ^= 255
    file.write_bytes(data)
    with open_cache(samples, side=70, mode="disk", path=tmp_path / "cache") as cache:
        assert_same(expected, pixels(cache))
    assert caplog.text.count("is damaged") == 1


FILL = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_cache import sample_of
from stm32pose.data.cache import open_cache
samples = [sample_of(path) for path in sorted(Path({images!r}).iterdir())]
cache = open_cache(samples, side=70, mode="disk", path=Path({folder!r}))
print("ready", flush=True)
sys.stdin.readline()
for index in range({count}):
    cache.get(index)
print(cache.kind, sum(int(cache.get(index)[0].sum()) for index in range({count})), flush=True)
{after}
"""


def start(samples, folder: Path, count: int = 6, after: str = "cache.close()") -> subprocess.Popen[str]:
    script = FILL.format(
        tests=str(Path(__file__).parent),
        images=str(samples[0].image.parent),
        folder=str(folder),
        count=count,
        after=after,
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_runs_at_once_do_not_harm_each_other(samples, tmp_path):
    folder = tmp_path / "cache"
    expected = sum(int(image.sum()) for image in pixels(open_cache(samples, side=70, mode="none")))
    runs = [start(samples, folder) for _ in range(2)]
    assert len(list(folder.glob("*.tmp"))) == 2
    outputs = [run.communicate("\n", timeout=60)[0] for run in runs]
    assert outputs == [f"disk {expected}\n"] * 2
    assert sorted(path.suffix for path in folder.iterdir()) == [".bin", ".json"]
    with open_cache(samples, side=70, mode="disk", path=folder) as cache:
        assert sum(int(image.sum()) for image in pixels(cache)) == expected


@pytest.mark.skipif(sys.platform == "win32", reason="a killed process holds its file for a while on Windows")
def test_what_a_killed_run_leaves_is_removed_and_a_living_one_is_not_disturbed(samples, tmp_path):
    folder = tmp_path / "cache"
    killed = start(samples, folder, count=3, after="sys.stdin.readline()")
    living = start(samples, folder)
    assert killed.stdin is not None
    assert killed.stdout is not None
    killed.stdin.write("\n")
    killed.stdin.flush()
    assert killed.stdout.readline().startswith("disk")
    killed.kill()
    killed.communicate()
    assert len(list(folder.glob("*.tmp"))) == 2
    with open_cache(samples, side=70, mode="disk", path=folder):
        assert len(list(folder.glob("*.tmp"))) == 2  # the living one's, and ours
    living.communicate("\n", timeout=60)
    assert sorted(path.suffix for path in folder.iterdir()) == [".bin", ".json"]


def test_a_run_that_saw_only_some_images_leaves_nothing(samples, tmp_path):
    with open_cache(samples, side=70, mode="disk", path=tmp_path / "cache") as cache:
        cache.get(2)
    assert not list((tmp_path / "cache").iterdir())


def test_where_nothing_can_be_written_a_temporary_folder_serves_and_the_log_says_so(samples, tmp_path, caplog):
    (tmp_path / "set" / FOLDER).write_text("a file in the way")
    with open_cache(samples, side=70, mode="disk") as cache:
        first = pixels(cache)
        assert cache.kind == "disk"
        assert_same(first, pixels(cache))
    assert "a temporary folder serves for this run" in caplog.text
    with pytest.raises(UserError, match=r"dataset\.cache_path: .* cannot be written"):
        open_cache(samples, side=70, mode="disk", path=tmp_path / "set" / FOLDER)


def test_a_disk_without_room_is_said_and_images_are_decoded(samples, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with open_cache(samples, side=70, mode="disk", path=tmp_path / "cache") as cache:
        assert cache.kind == "none"
        pixels(cache)
    assert "Images will be decoded anew in every epoch" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are of POSIX")
def test_a_disk_that_fills_up_ends_the_caching_and_not_the_run(samples, tmp_path, caplog):
    import resource

    expected = pixels(open_cache(samples, side=70, mode="none"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_cache(samples, side=70, mode="disk", path=tmp_path / "cache") as cache:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        try:
            assert_same(expected, pixels(cache))
            assert_same(expected, pixels(cache))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caplog.text.count("cannot be written on") == 1
    assert not list((tmp_path / "cache").iterdir())


def test_unused_caches_are_removed_after_a_month(samples, tmp_path):
    with open_cache(samples, side=70, mode="disk", path=tmp_path / "cache") as cache:
        pixels(cache)
    (index,) = (tmp_path / "cache").glob("*.json")
    other = tmp_path / "cache" / "notes.json"
    other.write_text("{}")
    for path in (index, other):
        os.utime(path, (0, time.time() - 40 * 86400))
    with open_cache(samples, side=60, mode="disk", path=tmp_path / "cache") as cache:
        pixels(cache)
    assert not index.exists()
    assert other.exists()
    assert len(list((tmp_path / "cache").glob("*.bin"))) == 1


def test_cached_images_cannot_be_written_to(samples, tmp_path):
    for mode in ("memory", "disk", "none"):
        with open_cache(samples, side=70, mode=mode, path=tmp_path / "cache") as cache:
            for _ in range(2):
                with pytest.raises(ValueError, match="read-only"):
                    cache.get(0)[0][0, 0] = 0


def test_an_image_replaced_by_one_of_another_size_is_named(samples):
    for reduce_side in (30, 500):
        wrong = replace(samples[0], size=(77, 99))
        with pytest.raises(UserError, match=r"0\.jpg: image of 160 x 120 pixels, its labels were read for 99 x 77"):
            open_cache([wrong], side=reduce_side).get(0)


def test_a_missing_image_is_named(samples, tmp_path):
    samples[1].image.unlink()
    with pytest.raises(UserError, match=r"1\.png"):
        open_cache(samples, side=70, mode="disk", path=tmp_path)
    with pytest.raises(UserError, match=r"1\.png"):
        open_cache(samples, side=70).get(1)


def test_no_samples_and_unknown_modes(samples):
    assert len(open_cache([], side=70)) == 0
    assert len(open_cache([], side=70, mode="disk")) == 0
    with pytest.raises(ConfigError, match=r"dataset\.cache: got 'ram'"):
        open_cache(samples, side=70, mode="ram")


def blob_file(path: Path, size: tuple[int, int], centre: tuple[float, float], orientation: int) -> None:
    """A file that shows, once turned upright, an image of `size` with a blob at `centre`."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    spread = min(size) / 14
    shown = 250 * np.exp(-((columns - centre[0]) ** 2 + (rows - centre[1]) ** 2) / (2 * spread**2))
    turns = {1: lambda a: a, 3: lambda a: a[::-1, ::-1], 6: lambda a: a.T[::-1], 8: lambda a: a.T[:, ::-1]}
    stored = turns[orientation](np.rint(shown).astype(np.uint8))
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).convert("RGB").save(path, quality=95, exif=exif)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize(("suffix", "side"), [("jpg", 240), ("jpg", 120), ("jpg", 60), ("jpg", 30), ("png", 60)])
@pytest.mark.parametrize("region", [None, (60.0, 40.0, 140.0, 160.0)])
def test_the_matrix_says_where_things_are(tmp_path, orientation, suffix, side, region):
    size, centre = (233, 251), (118.3, 109.6)
    path = tmp_path / f"blob.{suffix}"
    blob_file(path, size, centre, orientation)
    sample = sample_of(path, region)
    assert sample.size == size
    plan = plan_image(sample, side)
    image = load_reduced(sample, plan)
    assert image.shape == (*plan.size, 3)
    weights = np.maximum(image[..., 0].astype(float) - 12, 0)  # JPEG noise around the blob is of no account
    rows, columns = np.mgrid[: plan.size[0], : plan.size[1]] + 0.5
    found = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()
    np.testing.assert_allclose(found, transform_points(plan.matrix, np.array(centre)), atol=0.04)


def test_jpegs_much_larger_than_needed_are_decoded_reduced(tmp_path):
    path = tmp_path / "large.jpg"
    Image.new("RGB", (640, 480)).save(path)
    assert [plan_image(sample_of(path), side).reduce for side in (500, 288, 130, 60, 20)] == [1, 2, 4, 8, 8]
    assert plan_image(sample_of(path), 288).size == (240, 320)


def test_a_region_keeps_a_margin_for_turning_and_its_own_resolution(tmp_path):
    path = tmp_path / "large.png"
    Image.new("RGB", (640, 480)).save(path)
    plan = plan_image(sample_of(path, (100.0, 100.0, 200.0, 100.0)), 1000)
    assert plan.cut == (50, 50, 350, 250)  # a quarter of the width at both sides, and the square around the region
    assert plan.size == (200, 300)
    outside = plan_image(sample_of(path, (700.0, -50.0, 100.0, 30.0)), 100)
    assert outside.size[0] >= 1
    assert outside.size[1] >= 1


def test_a_png_that_calls_itself_jpg_is_read_in_the_right_place(tmp_path):
    path = tmp_path / "liar.jpg"
    blob_file(tmp_path / "blob.png", (233, 251), (118.3, 109.6), 1)
    path.write_bytes((tmp_path / "blob.png").read_bytes())
    sample = sample_of(path)
    plan = plan_image(sample, 60)
    assert plan.reduce == 4
    image = load_reduced(sample, plan)
    assert image.shape == (*plan.size, 3)
    row, column = np.unravel_index(image[..., 0].argmax(), image.shape[:2])
    expected = transform_points(plan.matrix, np.array([118.3, 109.6]))
    np.testing.assert_allclose([column + 0.5, row + 0.5], expected, atol=1)

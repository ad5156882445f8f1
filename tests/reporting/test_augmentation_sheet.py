"""training_augmentations.jpg: a row for each entry, with the image as it is beside it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import yaml

from stm32pose.cli import main


@pytest.fixture
def configuration(shared, tmp_path):
    def write(augmentation, mode="rgb", shape=(96, 128, 3)):
        path = tmp_path / "show.yaml"
        content = {
            "operation_mode": "training",
            "model": {"model_name": "custom", "input_shape": list(shape)},
            "dataset": {"training_path": str(shared / "data" / "coco_mini" / "val2017"), "skeleton": "coco17"},
            "preprocessing": {"color_mode": mode},
            "data_augmentation": augmentation,
            "training": {"batch_size": 4, "epochs": 1, "optimizer": "Adam"},
        }
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    return write


def rows_of(folder) -> list[list[np.ndarray]]:
    sheet = cv2.imread(str(folder / "training_augmentations.jpg"))
    assert sheet is not None
    assert sheet.shape[1] == 4 * 244 + 4
    return [
        [sheet[4 + row * 244 : 226 + row * 244, 4 + column * 244 : 244 + column * 244] for column in range(4)]
        for row in range(sheet.shape[0] // 244)
    ]


def test_each_entry_is_drawn_alone_and_always(configuration, tmp_path):
    entries = {
        "random_invert": {"change_rate": 0.0},
        "random_half_body": {},
        "random_mosaic": {},
        "random_periodic_resizing": {"image_sizes": [[96, 96], [128, 64]], "period": 50},
        "random_grid_cell_erasing": {"erasing_prob": 0.5},
    }
    assert main(["data", "show", str(configuration(entries)), "--out", str(tmp_path / "out")]) == 0
    rows = rows_of(tmp_path / "out")
    assert len(rows) == len(entries)
    plain = rows[0][0].astype(int)
    for row in rows:
        assert np.abs(row[0].astype(int) - plain).mean() < 12  # the same image, another name below
        for changed in row[1:]:
            assert np.abs(changed.astype(int) - row[0]).mean() > 5
    middle = slice(60, 160), slice(60, 180)
    negative = 255 - plain[middle].mean()
    assert rows[0][1][middle].mean() == pytest.approx(negative, abs=25)


@pytest.mark.parametrize(("mode", "channels"), [("bgr", 3), ("grayscale", 1)])
def test_other_colour_modes(configuration, tmp_path, mode, channels):
    path = configuration({"random_gaussian_noise": {"stddev": 0.2}}, mode, (96, 128, channels))
    assert main(["data", "show", str(path), "--out", str(tmp_path / "out")]) == 0
    ((plain, *noisy),) = rows_of(tmp_path / "out")
    assert all(np.abs(image.astype(int) - plain).mean() > 5 for image in noisy)

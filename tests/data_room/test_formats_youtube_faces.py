"""YouTube Faces: the CSV as it comes, and what is said of one that is broken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from label_files import write_picture

from stm32pose.data.problems import errors_of
from stm32pose.data.readers import detect_format, read_samples, scan_samples
from stm32pose.errors import UserError
from stm32pose.skeletons.skeleton import load_skeleton

FACE = load_skeleton("face68")


def write_faces(folder, rows, *, header=True, name="training"):
    """`rows`: file name -> 68 points as text cells, or numbers."""
    lines = ["," + ",".join(map(str, range(136)))] if header else []
    for file, cells in rows:
        lines.append(f"{file}," + ",".join(map(str, cells)))
        if not (folder / name / file).exists():
            write_picture(folder / name / file, seed=len(lines))
    (folder / f"{name}_frames_keypoints.csv").write_text("\n".join(lines) + "\n")
    return folder / name


def cells(start=5):
    return [float(start + number % 40) for number in range(136)]


def test_numbers_are_pixel_indices(tmp_path):
    folder = write_faces(tmp_path, [("b.jpg", cells(3)), ("a.jpg", cells(7))])
    assert detect_format(folder) == "youtube_faces"
    first, second = read_samples(folder, FACE)
    assert (first.image.name, second.image.name) == ("a.jpg", "b.jpg")
    assert first.keypoints.shape == (1, 68, 3)
    expected = np.array(cells(7)).reshape(68, 2) + 0.5
    assert np.array_equal(first.keypoints[0, :, :2], expected)
    assert (first.keypoints[..., 2] == 2).all()
    assert first.boxes[0] == pytest.approx([*expected.min(0), *np.ptp(expected, axis=0)])
    assert first.areas[0] == pytest.approx(np.ptp(expected, axis=0).prod())
    assert first.size == (40, 60)
    assert second.source.endswith("training_frames_keypoints.csv:2")


def test_a_file_without_a_header_loses_no_row(tmp_path):
    folder = write_faces(tmp_path, [("a.jpg", cells()), ("b.jpg", cells())], header=False)
    assert len(read_samples(folder, FACE)) == 2


def test_two_rows_are_two_faces_and_empty_cells_are_not_labelled(tmp_path):
    half = cells()
    half[10:12] = ["", ""]
    folder = write_faces(tmp_path, [("a.jpg", half), ("a.jpg", cells(9))])
    (sample,) = read_samples(folder, FACE, pose="multi")
    assert sample.instances == 2
    assert sample.keypoints[0, 5].tolist() == [0, 0, 0]
    assert (sample.keypoints[0, :, 2] == 2).sum() == 67


def test_a_few_of_the_68_go_by_name(tmp_path):
    few = replace(FACE, name="few", keypoints=("nose_tip", "mouth_left_corner"))
    folder = write_faces(tmp_path, [("a.jpg", cells())])
    (sample,) = read_samples(folder, few)
    points = np.array(cells()).reshape(68, 2) + 0.5
    assert np.array_equal(sample.keypoints[0, :, :2], points[[30, 54]])  # of iBUG 300-W, counted from 0


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ([*cells()[:-1]], "wrong_count"),
        ([*cells()[:-1], "x"], "not_a_number"),
        ([*cells()[:-1], ""], "not_finite"),
        ([*cells()[:-1], "1e30"], "not_finite"),
    ],
)
def test_a_broken_row_is_left_out_and_named(tmp_path, row, code):
    folder = write_faces(tmp_path, [("a.jpg", cells()), ("b.jpg", row)])
    samples, problems = scan_samples(folder, FACE)
    assert [sample.image.name for sample in samples] == ["a.jpg"]
    (problem,) = errors_of(problems)
    assert problem.code == code
    assert problem.where.endswith("training_frames_keypoints.csv:3")
    with pytest.raises(UserError, match="a fault in the labels"):
        read_samples(folder, FACE)


def test_images_and_rows_that_miss_each_other(tmp_path):
    folder = write_faces(tmp_path, [("a.jpg", cells()), ("../b.jpg", cells())])
    (folder.parent / "b.jpg").unlink(missing_ok=True)
    write_picture(folder / "c.jpg")
    _, problems = scan_samples(folder, FACE)
    assert {problem.code: problem.severity for problem in problems} == {
        "outside_folder": "error",
        "missing_label": "warning",
    }


def test_other_files(tmp_path):
    folder = write_faces(tmp_path, [("a.jpg", cells())])
    csv = tmp_path / "training_frames_keypoints.csv"
    for content, code in (("", "bad_csv"), ("a,b\n", "wrong_count"), (",0,1\n", "bad_csv"), ("\0\xff", "wrong_count")):
        csv.write_text(content, encoding="latin-1")
        samples, problems = scan_samples(folder, FACE, format="youtube_faces")
        assert not samples
        assert problems[0].code in (code, "bad_csv")
    csv.unlink()
    with pytest.raises(
        UserError, match=r"no CSV of faces .*training_frames_keypoints.csv.*dataset.training_annotations"
    ):
        read_samples(folder, FACE, format="youtube_faces")
    with pytest.raises(UserError, match="has 68 keypoints and none is called"):
        read_samples(write_faces(tmp_path, [("a.jpg", cells())]), load_skeleton("coco17"))


def test_the_real_folder(shared):
    folder = shared / "data" / "youtube_faces_150" / "test"
    assert detect_format(folder) == "youtube_faces"
    samples, problems = scan_samples(folder, FACE)
    assert (len(samples), problems) == (150, [])
    table = np.loadtxt(
        folder.parent / "test_frames_keypoints.csv", delimiter=",", skiprows=1, usecols=range(1, 137), dtype=float
    )
    assert np.stack([sample.keypoints for sample in samples])[..., :2].sum() == pytest.approx(
        (table + 0.5).sum(), rel=1e-6
    )
    chin, nose = FACE.keypoints.index("chin"), FACE.keypoints.index("nose_bridge_1")
    for sample in samples:
        height, width = sample.size
        assert ((sample.keypoints[..., :2] >= 0) & (sample.keypoints[..., :2] <= (width, height))).all()
        assert sample.keypoints[0, chin, 1] > sample.keypoints[0, nose, 1]


def test_names_of_two_pictures_on_one_file(tmp_path):
    folder = write_faces(tmp_path, [("1.jpg", cells())])
    csv = tmp_path / "training_frames_keypoints.csv"
    row = csv.read_text().splitlines()[1]
    csv.write_text(csv.read_text() + f"a/{row}\n" + f"{'x' * 300}/{row}\n")
    samples, problems = scan_samples(folder, FACE, pose="multi")
    assert [sample.instances for sample in samples] == [1]
    assert [problem.code for problem in errors_of(problems)] == ["duplicate_image"]

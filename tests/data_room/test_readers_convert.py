"""`stm32pose data convert`: what any reader reads, either writer writes, and it is read back as it was."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from label_files import coco_document, random_sample, write_coco, write_picture

from stm32pose.cli import main
from stm32pose.data import convert, yolo
from stm32pose.data.convert import MARKER, convert_samples
from stm32pose.data.readers import read_samples, scan_samples
from stm32pose.errors import UserError
from stm32pose.skeletons.skeleton import load_skeleton

COCO = load_skeleton("coco17")
MPII = load_skeleton("mpii16")

FIVE = """
name: reaching
category: object
keypoints: [Hand, Finger1, Tongue, Joystick1, Joystick2]
pairs: []
edges: [[Hand, Finger1]]
"""


def by_name(samples):
    return {sample.image.name: sample for sample in samples}


def same(first, second, *, whole):
    """Equal to a thousandth of a pixel; `whole`: areas, crowds, numbers and head sizes too."""
    ours, theirs = by_name(first), by_name(second)
    assert list(ours) == list(theirs)
    for name, one in ours.items():
        two = theirs[name]
        assert one.size == two.size
        kept = slice(None) if whole else ~two.crowd
        assert np.abs(one.keypoints - two.keypoints[kept]).max(initial=0) < 1e-3
        assert np.abs(one.boxes - two.boxes[kept]).max(initial=0) < 1e-3
        if whole:
            assert np.abs(one.areas - two.areas).max(initial=0) < 1e-3 * max(1, two.areas.max(initial=0) * 1e-3)
            assert one.crowd.tolist() == two.crowd.tolist()
            assert one.image_id == two.image_id
            assert (one.head_sizes is None) == (two.head_sizes is None)
            if one.head_sizes is not None:
                assert np.allclose(one.head_sizes, two.head_sizes, atol=1e-3)


SETS = {
    "coco_mini": ("coco_mini/train2017", None, "coco17"),
    "lspet": ("lspet_1200/images", "lspet_1200/keypoints_coco.json", "lsp14"),
    "hands": ("hands_120/images", "hands_120/keypoints_coco.json", "hand21"),
    "reaching": ("reaching_5kpts", "reaching_5kpts/keypoints_coco.json", "five"),
    "mpii": ("mmpose_samples/mpii", "mmpose_samples/mpii/test_mpii.json", "mpii16"),
    "mmpose_coco": ("mmpose_samples/coco", "mmpose_samples/coco/test_coco.json", "coco17"),
    "faces": ("youtube_faces_150/test", None, "face68"),
}


@pytest.mark.parametrize(
    ("name", "to"), [(name, to) for name in SETS for to in ("coco", "yolo") if (name, to) != ("lspet", "yolo")]
)
def test_real_labels_come_back(shared, tmp_path, name, to):
    place, annotations, skeleton = SETS[name]
    if skeleton == "five":
        (tmp_path / "five.yaml").write_text(FIVE)
        skeleton = str(tmp_path / "five.yaml")
    images = shared / "data" / place
    labels = shared / "data" / annotations if annotations else None
    command = ["data", "convert", str(images), "--to", to, "--out", str(tmp_path / "out"), "--skeleton", skeleton]
    command += ["--multi", "--link", *(["--annotations", str(labels)] if labels else [])]
    assert main(command) == 0
    loaded = load_skeleton(skeleton)
    truth = read_samples(images, loaded, annotations=labels, pose="multi")
    folder = tmp_path / "out" / "images" if to == "coco" else tmp_path / "out"
    written, problems = scan_samples(folder, loaded, pose="multi")
    assert [problem for problem in problems if problem.severity == "error"] == []
    same(written, truth, whole=to == "coco")
    if to == "coco":
        (category,) = json.loads((tmp_path / "out" / "annotations.json").read_text())["categories"]
        assert category["name"] == loaded.category
        assert category["keypoints"] == list(loaded.keypoints)
        assert category["skeleton"] == [[first + 1, second + 1] for first, second in loaded.edges]


def test_there_and_back_again(shared, tmp_path):
    """COCO to YOLO to COCO: what YOLO holds is what it was."""
    source = shared / "data" / "coco_mini"
    assert main(["data", "convert", str(source), "--to", "yolo", "--out", str(tmp_path / "y"), "--multi"]) == 0
    back = ["data", "convert", str(tmp_path / "y" / "val"), "--to", "coco", "--out", str(tmp_path / "c"), "--multi"]
    assert main([*back, "--skeleton", "coco17"]) == 0
    truth = read_samples(source / "val2017", COCO, pose="multi")
    same(read_samples(tmp_path / "c" / "images", COCO, pose="multi"), truth, whole=False)


def test_a_source_of_several_sets(shared, tmp_path, capsys):
    source, out = shared / "data" / "coco_mini", tmp_path / "out"
    assert main(["data", "convert", str(source), "--to", "coco", "--out", str(out), "--multi"]) == 0
    assert sorted(item.name for item in (out / "annotations").iterdir()) == [
        "person_keypoints_train.json",
        "person_keypoints_val.json",
    ]
    for part in ("train", "val"):
        same(
            read_samples(out, COCO, pose="multi", part=part),
            read_samples(source, COCO, pose="multi", part=part),
            whole=True,
        )
    assert "cannot hold" not in capsys.readouterr().out


def test_what_yolo_cannot_hold_is_said_once(shared, tmp_path, capsys):
    source = shared / "data" / "coco_mini" / "train2017"
    assert main(["data", "convert", str(source), "--to", "yolo", "--out", str(tmp_path / "y"), "--multi"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "cannot hold" in line]
    truth = read_samples(source, COCO, pose="multi")
    crowds = sum(int(sample.crowd.sum()) for sample in truth)
    assert crowds > 0
    assert len(said) == 1
    assert f"{crowds} crowds, left out" in said[0]
    assert "areas of segments" in said[0]


def small(tmp_path, count=4):
    samples = [random_sample(COCO, write_picture(tmp_path / "in" / f"{n}.jpg", seed=n), seed=n) for n in range(count)]
    write_coco(tmp_path / "labels.json", coco_document(samples, COCO.keypoints))
    return ["data", "convert", str(tmp_path / "in"), "--annotations", str(tmp_path / "labels.json")]


def test_a_folder_of_something_else_is_refused(tmp_path, capsys):
    command = small(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    assert main([*command, "--to", "yolo", "--out", str(out)]) == 1
    assert "not empty, and not made by this command" in capsys.readouterr().err
    assert [item.name for item in out.iterdir()] == ["thesis.txt"]
    (out / "thesis.txt").unlink()
    assert main([*command, "--to", "yolo", "--out", str(out)]) == 0
    assert main([*command, "--to", "yolo", "--out", str(out)]) == 0  # the same again goes on
    assert main([*command, "--to", "coco", "--out", str(out)]) == 1  # another one does not
    assert "holds another conversion" in capsys.readouterr().err
    assert not (out / "annotations.json").exists()
    # Into its own images: they are not this command's.
    assert main([*command, "--to", "yolo", "--out", str(tmp_path / "in")]) == 1
    assert not list((tmp_path / "in").glob("*.txt"))


@pytest.mark.parametrize("to", ["coco", "yolo"])
def test_an_interrupted_conversion_goes_on(tmp_path, monkeypatch, to):
    command, out = [*small(tmp_path), "--to", to, "--out", str(tmp_path / "out")], tmp_path / "out"
    room = yolo if to == "yolo" else convert
    place, calls = room.place_image, []

    def interrupted(*arguments, **named):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return place(*arguments, **named)

    monkeypatch.setattr(room, "place_image", interrupted)
    assert main(command) == 130
    written = [item for item in out.rglob("*") if item.is_file() and item.name != MARKER]
    assert all(not item.name.endswith(".json") for item in written)  # no annotations without their images
    monkeypatch.setattr(room, "place_image", place)
    assert main(command) == 0
    folder = out / "images" if to == "coco" else out
    assert len(read_samples(folder, COCO)) == 4
    assert not list(out.rglob(".partial-*"))


def test_images_are_copied_or_linked(tmp_path):
    command = small(tmp_path)
    assert main([*command, "--to", "yolo", "--out", str(tmp_path / "copied"), "--copy"]) == 0
    assert main([*command, "--to", "yolo", "--out", str(tmp_path / "linked"), "--link"]) == 0
    source = tmp_path / "in" / "0.jpg"
    assert not source.samefile(tmp_path / "copied" / "0.jpg")
    assert source.samefile(tmp_path / "linked" / "0.jpg")
    assert (tmp_path / "copied" / "0.jpg").read_bytes() == source.read_bytes()


def test_faulty_labels_are_left_out_and_end_in_1(tmp_path, capsys):
    command = small(tmp_path)
    document = json.loads((tmp_path / "labels.json").read_text())
    document["annotations"][1]["keypoints"] = [1, 2]
    write_coco(tmp_path / "labels.json", document)
    assert main([*command, "--to", "yolo", "--out", str(tmp_path / "out"), "--multi"]) == 1
    assert "1 faults, left out" in capsys.readouterr().err
    assert (tmp_path / "out" / "1.txt").read_text() == ""


def test_equal_names_in_several_folders(tmp_path):
    samples = [
        random_sample(COCO, write_picture(tmp_path / camera / "1.jpg", seed=number), seed=number)
        for number, camera in enumerate(("left", "right"))
    ]
    for to in ("coco", "yolo"):
        done = convert_samples(samples, tmp_path / to, COCO, to=to)
        assert sorted(item.name for item in done.folder.glob("*.jpg")) == ["left_1.jpg", "right_1.jpg"]
        written = read_samples(done.folder, COCO)
        assert np.abs(written[1].keypoints - samples[1].keypoints).max() < 1e-3
    # Stems count for YOLO: a.jpg and a.png want the same a.txt.
    twins = [samples[0], replace(samples[1], image=write_picture(tmp_path / "left" / "1.png"))]
    done = convert_samples(twins, tmp_path / "twins", COCO, to="yolo")
    assert len(read_samples(done.folder, COCO)) == 2


def test_head_sizes_stay_in_coco(tmp_path):
    sample = random_sample(MPII, write_picture(tmp_path / "1.jpg"), people=2)
    sample = replace(sample, head_sizes=np.array([12.3456, 0], np.float32))
    convert_samples([sample], tmp_path / "c", MPII, to="coco")
    (back,) = read_samples(tmp_path / "c" / "images", MPII, pose="multi")
    assert back.head_sizes.tolist() == [pytest.approx(12.3456, abs=1e-4), 0]
    assert "1 head sizes" in convert_samples([sample], tmp_path / "y", MPII, to="yolo").lost


def test_a_target_that_is_a_file(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert main([*small(tmp_path), "--to", "coco", "--out", str(tmp_path / "file")]) == 1
    assert "is a file" in capsys.readouterr().err
    with pytest.raises(UserError, match="is a file"):
        convert.claim_folder(tmp_path / "file", {})


@pytest.mark.parametrize("to", ["coco", "yolo"])
def test_what_an_earlier_conversion_wrote_goes(tmp_path, capsys, to):
    command, out = [*small(tmp_path), "--to", to, "--out", str(tmp_path / "out")], tmp_path / "out"
    assert main(command) == 0
    (out / "mine.md").write_text("a note")
    (tmp_path / "in" / "3.jpg").unlink()
    assert main(command) == 0
    assert "of the earlier conversion removed" in capsys.readouterr().out
    found = {item.relative_to(out).as_posix() for item in out.rglob("*") if item.is_file()}
    expected = {f"{n}.{kind}" for n in range(3) for kind in ("jpg", "txt")}
    if to == "coco":
        expected = {"annotations.json", *(f"images/{n}.jpg" for n in range(3))}
    assert found == expected | {MARKER, "mine.md"}
    assert set(json.loads((out / MARKER).read_text())["files"]) == expected


def test_what_an_interrupted_conversion_wrote_goes_too(tmp_path, monkeypatch):
    command, out = [*small(tmp_path), "--to", "yolo", "--out", str(tmp_path / "out")], tmp_path / "out"

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(yolo, "label_text", lambda sample, **_: interrupted() if sample.image.stem == "2" else "")
        assert main(command) == 130
    (tmp_path / "in" / "0.jpg").unlink()
    assert main(command) == 0
    assert sorted(item.stem for item in out.glob("*.jpg")) == ["1", "2", "3"]
    assert sorted(item.stem for item in out.glob("*.txt")) == ["1", "2", "3"]


def test_nothing_outside_the_folder_is_removed(tmp_path):
    command, out = [*small(tmp_path), "--to", "yolo", "--out", str(tmp_path / "out")], tmp_path / "out"
    assert main(command) == 0
    precious = tmp_path / "precious.txt"
    precious.write_text("years of work")
    marker = json.loads((out / MARKER).read_text())
    marker["files"] += ["../precious.txt", str(precious), 7]
    (out / MARKER).write_text(json.dumps(marker))
    assert main(command) == 0
    assert precious.exists()


def test_another_filter_or_file_is_another_conversion(tmp_path, capsys):
    small(tmp_path)
    out = tmp_path / "out"

    def converted(**keys):
        dataset = {
            "training_path": str(tmp_path / "in"),
            "training_annotations": str(tmp_path / "labels.json"),
            "skeleton": "coco17",
        }
        model = {"model_name": "custom", "input_shape": [64, 64, 3]}
        mapping = {"operation_mode": "training", "dataset": dataset | keys, "model": model}
        (tmp_path / "c.yaml").write_text(json.dumps(mapping))
        return main(["data", "convert", str(tmp_path / "c.yaml"), "--to", "yolo", "--out", str(out)])

    assert converted() == converted() == 0
    write_coco(tmp_path / "others.json", json.loads((tmp_path / "labels.json").read_text()))
    for keys in (
        {"filter": "visible > 0"},
        {"format": "coco"},
        {"training_annotations": str(tmp_path / "others.json")},
    ):
        assert converted(**keys) == 1
        said = capsys.readouterr().err
        assert "holds another conversion" in said
        assert f"another '{next(iter(keys)).removeprefix('training_')}'" in said


def test_sizes_of_the_file_are_not_believed(tmp_path, capsys):
    command = small(tmp_path)
    document = json.loads((tmp_path / "labels.json").read_text())
    document["images"][1]["width"] = 120
    write_coco(tmp_path / "labels.json", document)
    assert main([*command, "--to", "yolo", "--out", str(tmp_path / "out")]) == 1
    assert "the image is 60 x 40 pixels, its labels say 120 x 40" in capsys.readouterr().err
    assert sorted(item.stem for item in (tmp_path / "out").glob("*.txt")) == ["0", "2", "3"]
    assert not (tmp_path / "out" / "1.jpg").exists()


@pytest.mark.parametrize("link", ["--copy", "--link"])
def test_a_changed_picture_as_large_is_written_anew(tmp_path, link):
    sample = random_sample(COCO, write_picture(tmp_path / "in" / "0.bmp"))
    write_coco(tmp_path / "labels.json", coco_document([sample], COCO.keypoints))
    out = tmp_path / "out"
    command = ["data", "convert", str(tmp_path / "in"), "--annotations", str(tmp_path / "labels.json"), "--to", "yolo"]
    assert main([*command, "--out", str(out), link]) == 0
    before = (out / "0.bmp").read_bytes()
    (tmp_path / "in" / "0.bmp").unlink()
    changed = write_picture(tmp_path / "in" / "0.bmp", seed=5).read_bytes()
    assert len(changed) == len(before)
    assert changed != before
    assert main([*command, "--out", str(out), link]) == 0
    assert (out / "0.bmp").read_bytes() == changed


@pytest.mark.parametrize("name", ["readme", "classes", "README"])
def test_images_called_like_files_that_are_no_labels(tmp_path, name):
    samples = [random_sample(COCO, write_picture(tmp_path / "in" / f"{n}.jpg", seed=2)) for n in (name, "z")]
    done = convert_samples(samples, tmp_path / "out", COCO, to="yolo")
    (done.folder / "obj.names.txt").write_text("person")
    assert [sample.image.stem for sample in read_samples(done.folder, COCO)] == [name, "z"]
    for kind, pattern in (("images", "*.jpg"), ("labels", "*.txt")):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for item in done.folder.glob(pattern):
            item.rename(tmp_path / "set" / kind / item.name)
    assert [sample.image.stem for sample in read_samples(tmp_path / "set" / "images", COCO)] == [name, "z"]
    (tmp_path / "set" / "images" / f"{name}.txt").write_text(
        "about these images"
    )  # labels are in `labels` all the same
    assert [sample.image.stem for sample in read_samples(tmp_path / "set" / "images", COCO)] == [name, "z"]

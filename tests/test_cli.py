"""The command line `stm32pose`: each subcommand, its exit code, and nothing heavy imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stm32pose.cli import main

ROOT = Path(__file__).parent.parent
HEAVY = (
    *("tensorflow", "keras", "mlflow", "clearml", "onnx", "onnxruntime", "matplotlib", "ai_edge_litert"),
    *("faster_coco_eval", "requests", "keyring", "tenacity"),
)


def test_help_and_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for command in ("run", "check", "schema", "doctor", "boards", "skeletons", "profile", "data"):
        assert f"\n    {command}" in text
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("stm32pose ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chek"], "no command 'chek'; there are run, check, schema"),
        (["data", "chek"], "no command 'chek'; there are check, show, convert, synthesize; did you mean 'check'?"),
        (["check", "x.yaml", "--nopaths"], "did you mean '--no-paths'?"),
        (["data", "convert", "x", "--out", "y", "--to", "yolov8"], "--to: got 'yolov8'; allowed: coco, yolo; did you"),
        (["boards", "a", "b=1"], "unrecognized arguments: b=1"),
        ([], "required"),
    ],
)
def test_a_wrong_command_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_check(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(
        "operation_mode: evaluation\nmodel: {model_path: m.keras}\ndataset: {test_path: x, keypoints: 17}\n"
    )
    (tmp_path / "later.yaml").write_text(
        "operation_mode: quantization\ngeneral: {model_path: m.keras}\nquantization: {quantization_type: QAT}\n"
    )
    (tmp_path / "bad.yaml").write_text("operation_mode: evaluation\nmodel: {model_type: x}\n")
    assert main(["check", "--no-paths", "good.yaml"]) == 0
    assert capsys.readouterr().out == "good.yaml: ok (evaluation: evaluate)\n"
    assert main(["check", "good.yaml"]) == 2
    assert (
        capsys.readouterr()
        .out.splitlines()[0]
        .startswith("good.yaml:2: error: model.model_path: m.keras does not exist")
    )
    assert main(["check", "--no-paths", "good.yaml", "later.yaml", "bad.yaml", "none.yaml"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "good.yaml: ok (evaluation: evaluate)"
    assert lines[1].startswith("later.yaml: not built yet: quantization.quantization_type: QAT; available: PTQ")
    assert lines[2].startswith("bad.yaml:2: error: model.model_type: got 'x'; expected heatmaps_spe")
    assert lines[-1].startswith("none.yaml: error: does not exist")
    with (tmp_path / "good.yaml").open("a") as file:
        file.write("evaluation: {profile: profile_O1}\n")
    assert main(["check", "--no-paths", "good.yaml"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "good.yaml: ok (evaluation: evaluate)",
        "good.yaml: note: evaluation.profile: no effect on the host",
    ]
    assert main(["check", "--no-paths", "later.yaml"]) == 2


def test_check_takes_values_on_the_command_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(
            "operation_mode: training\nmodel: {model_name: custom, input_shape: [64, 64, 3]}\n"
            "dataset: {training_path: x, skeleton: hand21}\n"
        )
    assert main(["check", "a.yaml", "b.yaml", "training.epochs=3", "--no-paths", "training.batch_size=2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["check", "--no-paths", "a.yaml", "b.yaml", "training.epochs=x"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["a.yaml", "b.yaml"]
    assert all("command line: training.epochs: got 'x'" in line for line in lines)
    assert main(["check", "training.epochs=3"]) == 2
    assert "which configuration?" in capsys.readouterr().err


def test_check_says_what_the_joints_of_a_skeleton_refuse(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a.yaml"
    file.write_text(
        "operation_mode: training\nmodel: {model_name: custom, input_shape: [64, 64, 3]}\n"
        "dataset: {training_path: x, skeleton: hand21}\n"
    )
    for given, said in (
        ("training.joint_weights=true", "the skeleton hand21 has no weights"),
        ("training.joint_weights=[1,2,3]", "got 3 numbers; expected 21"),
        ("training.loss={ohkm:{topk:99}}", "got 99; expected 21 at most, the keypoints of hand21"),
        # One line of it, though several checks need the skeleton.
        ("dataset.skeleton=hand22", "no skeleton named 'hand22'"),
    ):
        assert main(["check", "--no-paths", "a.yaml", given]) == 2
        (line,) = capsys.readouterr().out.splitlines()
        assert said in line
    assert main(["check", "--no-paths", "a.yaml", "model.model_type=yolo_mpe"]) == 2
    assert capsys.readouterr().out.startswith("a.yaml: error: command line: model.model_type: got 'yolo_mpe'")


def test_schema(capsys):
    assert main(["schema"]) == 0
    assert list(yaml.safe_load(capsys.readouterr().out))[:3] == ["operation_mode", "general", "model"]


def test_doctor(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for word in ("Python", "cores", "GPU:", "tensorflow", "stedgeai", "STM32CubeIDE", "STM32_Programmer_CLI"):
        assert word in text
    assert "arm-none-eabi-gcc" in text
    assert "not asked (--cloud)" in text


def test_boards(capsys):
    assert main(["boards"]) == 0
    text = capsys.readouterr().out
    assert "STM32N6570-DK" in text
    assert "Neural-ART" in text
    assert main(["boards", "stm32h747i-disco"]) == 0
    assert "Cortex-M7" in capsys.readouterr().out
    assert main(["boards", "STM32H747"]) == 2
    assert capsys.readouterr().err.startswith("benchmarking.board: got 'STM32H747'")


def test_skeletons(capsys):
    assert main(["skeletons"]) == 0
    text = capsys.readouterr().out
    for name in ("coco17", "person13", "hand21", "mpii16", "lsp14", "face68"):
        assert name in text
    assert main(["skeletons", "person13"]) == 0
    assert "left_shoulder" in capsys.readouterr().out
    assert main(["skeletons", "person12"]) == 2
    assert "did you mean 'person13'?" in capsys.readouterr().err
    assert main(["skeletons", "--estimate-sigmas", "a.json"]) == 2
    assert "which skeleton?" in capsys.readouterr().err


def test_sigmas_from_repeated_annotations(capsys, tmp_path):
    def annotate(name: str, shift: float) -> str:
        document = {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 100}],
            "categories": [{"id": 1, "name": "gripper", "keypoints": ["a", "b"]}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 50, 50], "area": 2500, "iscrowd": 0,
                 "keypoints": [10 + shift, 10, 2, 40, 40 + shift, 2], "num_keypoints": 2}
            ],
        }  # fmt: skip
        (tmp_path / name).write_text(json.dumps(document))
        return str(tmp_path / name)

    skeleton = tmp_path / "two.yaml"
    skeleton.write_text("name: two\ncategory: gripper\nkeypoints: [a, b]\nedges: [[a, b]]\npairs: []\n")
    files = [annotate("one.json", 0), annotate("other.json", 2)]
    assert main(["skeletons", str(skeleton), "--estimate-sigmas", *files]) == 0
    lines = yaml.safe_load(capsys.readouterr().out)
    # Two annotators 2 pixels apart: half of the squared distance, over an object of 50 pixels.
    assert lines["sigmas"]["a"] == pytest.approx((2 / 2500) ** 0.5, abs=1e-4)


def test_profile(capsys, shared):
    model = str(shared / "models" / "pose" / "st_movenet_lightning_heatmaps_192_int8_pc.tflite")
    assert main(["profile", model, "--board", "STM32H747I-DISCO", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["board"] == "STM32H747I-DISCO"
    assert entry["how"] == "estimated"
    assert main(["profile", model]) == 0
    text = capsys.readouterr().out
    assert "estimated" in text
    assert "no: RAM and flash" in text
    assert main(["profile", model, "--board", "nothing"]) == 2
    assert main(["profile", "nowhere.tflite"]) == 2
    assert "nowhere.tflite" in capsys.readouterr().err


def test_profile_of_a_configuration(capsys, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(
        "operation_mode: training\nmodel: {model_name: custom, input_shape: [64, 64, 3]}\n"
        "dataset: {skeleton: person13, training_path: x}\n"
    )
    assert main(["profile", str(file), "--board", "STM32N6570-DK", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["macs"] > 0
    file.write_text("operation_mode: benchmarking\nmodel: {model_path: gone.tflite}\nbenchmarking: {board: x}\n")
    assert main(["profile", str(file)]) == 2
    assert "no such file: gone.tflite" in capsys.readouterr().err


def test_synthesize_as_the_readme_has_it(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = "data synthesize --out datasets/synthetic_poses/train --images 3 --skeleton person13 --seed 1"
    assert main([*command.split(), "--size", "256x256"]) == 0
    assert len(list((tmp_path / "datasets" / "synthetic_poses" / "train").glob("*.jpg"))) == 3


def test_a_folder_whose_images_lie_below_and_whose_labels_name_a_skeleton(capsys, tmp_path, monkeypatch):
    from stm32pose.skeletons.skeleton import load_skeleton

    monkeypatch.chdir(tmp_path)
    command = "data synthesize --out set/images --images 3 --skeleton person13 --format coco --size 96x96"
    assert main(command.split()) == 0
    (tmp_path / "set" / "images" / "annotations.json").rename(tmp_path / "set" / "labels.json")
    capsys.readouterr()
    assert main(["data", "check", "set", "--json"]) == 0
    said = capsys.readouterr()
    joints = json.loads(said.out)["training"]["statistics"]["keypoints"]
    assert tuple(joints) == load_skeleton("person13").keypoints
    assert "those of set/images are taken" in said.err
    assert "the labels name the 13 joints of the skeleton person13" in said.err
    assert main(["data", "show", "set"]) == 0
    assert "data_show/training_labels.jpg: 3 images" in capsys.readouterr().out
    assert (tmp_path / "data_show" / "training_labels.jpg").is_file()

    document = json.loads((tmp_path / "set" / "labels.json").read_text())
    document["categories"][0]["keypoints"][0] = "hat"
    (tmp_path / "set" / "labels.json").write_text(json.dumps(document))
    assert main(["data", "check", "set"]) == 2
    assert "set: which keypoints? (the labels name hat, " in capsys.readouterr().err


def test_messages_of_a_folder_speak_of_its_flags(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for flags in ([], ["--keypoints", "17"]):
        assert main(["data", "check", "empty", *flags]) == 1
        assert capsys.readouterr().err.splitlines()[-1].startswith("empty: no image in empty")
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "a.jpg").write_bytes(b"")
    assert main(["data", "check", "some"]) == 2
    message = (
        "some: which keypoints? Give --keypoints K, their number, or --skeleton NAME, one of `stm32pose skeletons`"
    )
    assert message in capsys.readouterr().err
    assert main(["data", "check", "empty", "--keypoints", "12"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("--keypoints: no shipped skeleton has 12 keypoints")
    assert "dataset." not in error


def test_data(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "synthesize", "--out", "poses", "--images", "6", "--size", "96x96", "--seed", "3"]) == 0
    capsys.readouterr()
    assert main(["data", "check", "poses", "--keypoints", "13", "--json"]) in (0, 1)
    found = json.loads(capsys.readouterr().out)
    assert found["training"]["statistics"]["images"] == 6
    assert main(["data", "show", "poses", "--skeleton", "person13", "--out", "pictures"]) == 0
    assert (tmp_path / "pictures" / "training_labels.jpg").stat().st_size > 1000

    (tmp_path / "c.yaml").write_text(
        "operation_mode: training\n"
        "model: {model_name: custom, input_shape: [64, 64, 3]}\n"
        "dataset: {training_path: poses, skeleton: person13}\n"
        "data_augmentation: {random_flip: {mode: horizontal}}\n"
    )
    assert main(["data", "show", "c.yaml", "--out", "pictures"]) == 0
    assert (tmp_path / "pictures" / "training_augmented.jpg").is_file()
    assert (tmp_path / "pictures" / "training_augmentations.jpg").is_file()
    capsys.readouterr()

    (tmp_path / "poses" / "pose_00000.txt").write_text("0 0.5 0.5 what\n")
    assert main(["data", "check", "c.yaml"]) == 1
    assert "pose_00000.txt:1" in capsys.readouterr().out


def test_a_wrong_augmentation_is_said_before_anything_is_drawn(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "synthesize", "--out", "poses", "--images", "6", "--size", "96x96"]) == 0
    (tmp_path / "c.yaml").write_text(
        "operation_mode: training\nmodel: {model_name: custom, input_shape: [64, 64, 3]}\n"
        "dataset: {training_path: poses, skeleton: person13}\ndata_augmentation: {random_flop: {}}\n"
    )
    assert main(["data", "show", "c.yaml", "--out", "pictures"]) == 2
    assert "random_flop" in capsys.readouterr().err
    assert not (tmp_path / "pictures").exists()


def test_many_faults_of_a_kind(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "synthesize", "--out", "poses", "--images", "9", "--size", "96x96"]) == 0
    for number in range(8):
        (tmp_path / "poses" / f"pose_0000{number}.txt").write_text("0 0.5 0.5 what\n")
    capsys.readouterr()
    assert main(["data", "check", "poses", "--keypoints", "13"]) == 1
    text = capsys.readouterr().out
    assert text.count("error: ") == 5
    assert ": 3 more: --json lists all" in text
    assert "1 labelled person\n" in text


def test_plurals():
    from stm32pose.commands.data import counted

    words = {"hand": "hands", "mouse": "mice", "person": "people", "body": "bodies", "toy": "toys", "box": "boxes"}
    for one, many in words.items():
        assert counted(1, one) == f"1 {one}"
        assert counted(24, one, "labelled ") == f"24 labelled {many}"


def test_profile_of_a_folder(capsys, tmp_path):
    (tmp_path / "saved_models").mkdir()
    assert main(["profile", str(tmp_path)]) == 2
    assert "none is in it" in capsys.readouterr().err
    (tmp_path / "saved_models" / "best_model.keras").write_bytes(b"")
    assert main(["profile", str(tmp_path)]) == 2
    assert f"give one of its models: {tmp_path / 'saved_models' / 'best_model.keras'}" in capsys.readouterr().err
    assert main(["profile", "m.tflite", "model.alpha=0.35"]) == 2
    assert "key=value goes with a configuration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "check", ".", "--format", "cocoo"], "--format: got 'cocoo'; allowed: auto, "),
        (["data", "check", ".", "--annotations", "nothere.json"], "--annotations: nothere.json does not exist"),
        (["data", "check", "nowhere", "--keypoints", "17"], "nowhere does not exist"),
        (["data", "check", "nowhere.yaml"], "nowhere.yaml: does not exist"),
        (["data", "show", ".", "--keypoints", "12", "--out", "x"], "no shipped skeleton has 12 keypoints"),
        (["data", "synthesize", "--out", "x", "--size", "big"], "wanted WIDTHxHEIGHT"),
    ],
)
def test_wrong_data(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_run_delegates_to_hydra(tmp_path, shared):
    model = shared / "models" / "pose" / "st_movenet_lightning_heatmaps_192_int8_pc.tflite"
    file = tmp_path / "c.yaml"
    file.write_text(f"operation_mode: benchmarking\nmodel: {{model_path: {model}}}\nbenchmarking: {{board: x}}\n")
    command = [sys.executable, "-m", "stm32pose.cli", "run", "c.yaml"]
    options = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 120, "check": False}
    done = subprocess.run(command, **options)
    assert done.returncode == 2
    assert "benchmarking.board: got 'x'" in done.stderr
    assert not (tmp_path / "experiments_outputs").exists()
    done = subprocess.run([*command, "benchmarking.board=STM32N6570-DK", "hydra.run.dir=out"], **options)
    assert done.returncode == 0, done.stderr
    assert {"report.html", "stm32ai_main.log", ".hydra"} <= {item.name for item in (tmp_path / "out").iterdir()}
    done = subprocess.run([*command, "--cfg", "job"], **options)
    assert "operation_mode: benchmarking" in done.stdout


def test_run_without_a_file(capsys):
    assert main(["run"]) == 2
    assert "which configuration?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["check", "--no-paths", "user_config.yaml"], ["schema"], ["doctor"], ["boards"], ["run", "nope.yaml"]],
)
def test_nothing_heavy_is_imported(arguments):
    program = (
        "import sys\nfrom stm32pose.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_synthesize_and_its_errors(tmp_path: Path, capsys: pytest.CaptureFixture):
    out = tmp_path / "set"
    command = ["data", "synthesize", "--out", str(out), "--images", "3"]
    small = ["--skeleton", "lsp14", "--size", "96x72", "--workers", "1"]
    assert main([*command, "--seed", "4", *small]) == 0
    assert len(list(out.glob("pose_*.jpg"))) == len(list(out.glob("pose_*.txt"))) == 3
    assert main([*command, "--seed", "5", *small]) == 1
    assert main([*command, "--size", "96"]) == 2
    assert main([*command, "--skeleton", "persn13"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert "WIDTHxHEIGHT" in errors[1]


def test_run_of_a_file_that_is_no_configuration(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("a: b\n")
    assert main(["run", str(tmp_path / "notes.txt")]) == 2
    assert capsys.readouterr().err.strip().endswith("notes.txt: a configuration file ends in .yaml")

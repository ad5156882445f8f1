"""`stm32pose`: the command line. Every subcommand imports what it needs when it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import stm32pose
from stm32pose.errors import UserError

DESCRIPTION = "Keypoint models from labelled images to STM32 microcontrollers."
EPILOG = """\
examples:
  stm32pose run config_file_examples/demo.yaml training.epochs=3
  stm32pose check config_file_examples/*.yaml
  stm32pose profile model.tflite --board STM32H747I-DISCO
  stm32pose export model.tflite --out c_code --board STM32H747I-DISCO
  stm32pose data show datasets/mine --keypoints 17

environment: STM32POSE_TRACE=1 shows the stack trace of an error
exit codes: 0 done, 1 failed, 2 wrong configuration or command line, 130 stopped by Ctrl-C
"""

Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    from stm32pose.commands.run import INTERRUPTED, complain, report_error

    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["run"] and not {"-h", "--help"} & set(arguments):
        # What follows the file belongs to Hydra.
        from stm32pose.commands.run_file import run_file

        return run_file(arguments[1:])
    given = _parsed(build_parser(), arguments)
    try:
        return given.command(given)
    except UserError as error:
        return report_error(error)
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone.
        sys.stderr.close()
        return 0


def _parsed(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """As `parse_args`, but `key=value` may also stand behind a flag, where argparse no longer looks for any."""
    given, rest = parser.parse_known_args(arguments)
    if rest and hasattr(given, "overrides") and all("=" in part and not part.startswith("-") for part in rest):
        given.overrides = [*given.overrides, *rest]
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return given


def build_parser() -> argparse.ArgumentParser:
    """The parser of every subcommand."""
    from stm32pose.commands.parser import Parser

    parser = Parser(prog="stm32pose", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"stm32pose {stm32pose.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run", help="run a configuration", description="Run a configuration, as stm32ai_main.py does."
    )
    run.add_argument("config", type=Path, help="the YAML file")
    run.add_argument("overrides", nargs="*", metavar="key=value", help="values that take the place of the file's")
    run.add_argument(
        "--json",
        action="store_true",
        help="for scripts: stdout is the path of results.json alone, also of a failed run; the rest goes to stderr",
    )
    run.set_defaults(command=lambda _: 0)

    check = commands.add_parser(
        "check",
        help="validate configurations without running them",
        description="Validate configurations without running them; one line a file, more where something is wrong. "
        "Exit code 0 only where every file can be run; what is valid but not built yet counts as 2.",
    )
    check.add_argument("files", nargs="+", metavar="FILE", help="YAML files of any release, 3.x or 4.x")
    # For the help alone: `nargs="+"` takes all of them, and `check_files` tells them apart.
    check.add_argument("overrides", nargs="*", metavar="key=value", help="values that take the place of the files'")
    check.add_argument("--no-paths", action="store_true", help="files and folders that are named need not exist")
    check.set_defaults(command=_check)

    schema = commands.add_parser("schema", help="every key of a configuration, with default and meaning")
    schema.add_argument("--markdown", action="store_true", help="as the page docs/reference.md")
    schema.set_defaults(command=_schema)

    doctor = commands.add_parser("doctor", help="versions, processor, GPU, and ST's tools: what is there, what is not")
    doctor.add_argument("--cloud", action="store_true", help="also ask whether ST's Developer Cloud can be reached")
    doctor.set_defaults(command=_doctor)

    login = commands.add_parser(
        "login",
        help="log in to ST's Developer Cloud, once",
        description="Log in to ST Edge AI Developer Cloud and keep the token in the system's keyring.",
    )
    login.set_defaults(command=_login)
    logout = commands.add_parser("logout", help="forget the token of ST's Developer Cloud")
    logout.set_defaults(command=_logout)

    boards = commands.add_parser("boards", help="the boards that can be named in benchmarking.board")
    boards.add_argument("name", nargs="?", help="one board, with its memories")
    boards.set_defaults(command=_boards)

    skeletons = commands.add_parser("skeletons", help="the skeletons that can be named in dataset.skeleton")
    skeletons.add_argument("name", nargs="?", help="one skeleton, a shipped one or a YAML, with its keypoints")
    skeletons.add_argument(
        "--estimate-sigmas",
        nargs="+",
        type=Path,
        metavar="JSON",
        help="sigmas of NAME from COCO JSON files in which different people annotated the same images",
    )
    skeletons.set_defaults(command=_skeletons)

    profile = commands.add_parser("profile", help="what a model costs on a board, and whether it fits")
    profile.add_argument(
        "model",
        type=Path,
        help=".tflite, .keras, .h5 or .onnx file; a float model is priced as int8; "
        "of a configuration's YAML the model it names, untrained",
    )
    profile.add_argument(
        "overrides", nargs="*", metavar="key=value", help="values that take the place of the configuration's"
    )
    profile.add_argument("--board", action="append", metavar="B", help="a board's name or YAML; absent: all boards")
    profile.add_argument("--json", action="store_true", help="figures for programs, in bytes and milliseconds")
    profile.set_defaults(command=_profile)

    export = commands.add_parser(
        "export",
        help="an int8 model as C99, without any library",
        description="Write an int8 .tflite or QDQ .onnx file as C99: network, kernels, decoder, self-test, build "
        "files. The folder is written whole or not at all.",
    )
    export.add_argument("model", type=Path, help=".tflite or .onnx file, int8")
    export.add_argument("overrides", nargs="*", metavar="key=value", help="values that take the place of --config's")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder, or an earlier export")
    export.add_argument(
        "--target",
        metavar="T",
        help="generic, host (built and tested here), cortex-m4, cortex-m7, cortex-m33, cortex-m55; absent: the board's",
    )
    export.add_argument("--board", metavar="B", help="a board's name or YAML: its processor and memories")
    export.add_argument("--ram-limit", metavar="SIZE", help="most RAM, such as 256K: refused at once above it")
    export.add_argument("--config", type=Path, metavar="YAML", help="a configuration that says how outputs are read")
    export.add_argument("--model-type", metavar="TYPE", help="heatmaps_spe, spe, yolo_mpe, hand_spe, head_spe")
    export.add_argument("--skeleton", metavar="S", help="name or YAML of the skeleton")
    export.add_argument("--layers", action="store_true", help="print what each layer takes")
    export.set_defaults(command=_export)

    emulate = commands.add_parser(
        "emulate",
        help="an int8 model's C code on an emulated Cortex-M: exact? how many instructions?",
        description="Compile the C code of an int8 .tflite or .onnx file, run it on an emulated processor, compare "
        "every output byte with the reference, and count the instructions of each layer. "
        "Exit code 1 where it is not exact.",
    )
    emulate.add_argument("model", type=Path, help="an int8 .tflite or .onnx file")
    emulate.add_argument("--target", default="cortex-m7", help="cortex-m4, cortex-m7 (default), cortex-m33, cortex-m55")
    emulate.add_argument("--folder", type=Path, help="keep code, program and logs here; absent: a temporary folder")
    emulate.add_argument("--inferences", type=int, metavar="N", help="on as many random inputs")
    emulate.add_argument("--tools", choices=("qemu", "unicorn"), help="absent: those found")
    emulate.set_defaults(command=_emulate)

    plot = commands.add_parser(
        "plot-lr",
        help="the learning rate of a configuration, drawn without training",
        description="Draw the learning rate of a configuration's training over epochs (and steps) and print where it "
        "changes. Nothing is trained; TensorFlow is imported for schedules of Keras only.",
    )
    plot.add_argument("config", type=Path, help="the YAML file")
    plot.add_argument("overrides", nargs="*", metavar="key=value", help="values that take the place of the file's")
    plot.add_argument("--out", type=Path, metavar="PNG", help="the picture (./lr.png; with --json none)")
    plot.add_argument("--json", action="store_true", help="for programs: the rate of every epoch")
    plot.add_argument(
        "--steps-per-epoch",
        type=int,
        metavar="N",
        help="batches an epoch, for schedules in steps; absent: counted from the labels",
    )
    plot.set_defaults(command=_plot_lr)

    _add_data(commands)
    return parser


def _add_data(commands) -> None:
    data = commands.add_parser("data", help="labelled images: check, show, convert, synthesize")
    actions = data.add_subparsers(title="commands", metavar="COMMAND", required=True)
    source = argparse.ArgumentParser(add_help=False)
    source.add_argument("source", type=Path, help="folder of labelled images, or a configuration's YAML file")
    source.add_argument("--skeleton", help="name or YAML of the skeleton, for a folder")
    source.add_argument(
        "--keypoints", type=int, metavar="K", help="the shipped skeleton with K keypoints, for a folder"
    )
    source.add_argument("--format", default=None, help="label format (docs/data.md), for a folder (auto)")
    source.add_argument("--annotations", type=Path, metavar="FILE", help="the labels, where auto does not find them")
    source.add_argument("--multi", action="store_true", help="keep images with several people, for a folder")

    check = actions.add_parser("check", parents=[source], help="find faults in labels and images")
    check.add_argument("--fast", action="store_true", help="do not read the pixels")
    check.add_argument("--json", action="store_true", help="for programs")
    check.set_defaults(command=_data_check)

    show = actions.add_parser(
        "show",
        parents=[source],
        help="mosaics of labelled images, and of augmented ones",
        description="Draw labels into images: DIR/training_labels.jpg and so on, one mosaic a set. Of a "
        "configuration with data_augmentation also DIR/training_augmented.jpg, training images as the network sees "
        "them, and DIR/training_augmentations.jpg, each augmentation alone; a folder says nothing of augmentation.",
    )
    show.add_argument(
        "--out", type=Path, default=Path("data_show"), metavar="DIR", help="folder for the pictures (./data_show)"
    )
    show.set_defaults(command=_data_show)

    convert = actions.add_parser(
        "convert",
        parents=[source],
        help="write labels of any format as COCO's or YOLO's",
        description="Write images and labels of any format as COCO keypoints JSON (DIR/images, DIR/annotations.json) "
        "or as YOLO Darknet files (a .txt beside each image). A source of several sets gives DIR/train, DIR/val, ... "
        "An interrupted conversion goes on where it stopped; a folder that holds something else is refused.",
    )
    convert.add_argument("--to", choices=("coco", "yolo"), required=True, help="format to write")
    convert.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder")
    placed = convert.add_mutually_exclusive_group()
    placed.add_argument("--link", action="store_true", help="hard-link the images where the disk can")
    placed.add_argument("--copy", dest="link", action="store_false", help="copy the images (default)")
    convert.set_defaults(command=_data_convert, link=False)

    made = actions.add_parser("synthesize", help="make images of drawn people with exact labels")
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the new data set")
    made.add_argument("--images", type=int, default=800, metavar="N", help="how many (800)")
    made.add_argument("--skeleton", default="person13", help="name or YAML (person13)")
    made.add_argument("--seed", type=int, default=1, help="another seed, other images (1)")
    made.add_argument("--size", default="320x240", metavar="WxH", help="in pixels (320x240)")
    made.add_argument("--format", default="yolo", help="yolo or coco (yolo)")
    made.add_argument("--yaw", type=float, default=180.0, metavar="DEG", help="most turn from facing the camera (180)")
    made.add_argument("--workers", type=int, metavar="N", help="processes; the images do not depend on it (one a core)")
    made.set_defaults(command=_data_synthesize)


def _check(given: argparse.Namespace) -> int:
    from stm32pose.commands.check import check_files

    return check_files([*given.files, *given.overrides], check_paths=not given.no_paths)


def _schema(given: argparse.Namespace) -> int:
    from stm32pose.config.reference import reference, reference_markdown

    sys.stdout.write(reference_markdown() if given.markdown else reference())
    return 0


def _doctor(given: argparse.Namespace) -> int:
    from stm32pose.commands.doctor import doctor

    return doctor(cloud=given.cloud)


def _login(given: argparse.Namespace) -> int:
    from stm32pose.commands.account import login

    return login(given)


def _logout(_given: argparse.Namespace) -> int:
    from stm32pose.commands.account import logout

    return logout()


def _boards(given: argparse.Namespace) -> int:
    from stm32pose.commands.catalog import show_board, show_boards

    return show_board(given.name) if given.name else show_boards()


def _skeletons(given: argparse.Namespace) -> int:
    from stm32pose.commands.catalog import estimate_sigmas, show_skeleton, show_skeletons

    if given.estimate_sigmas:
        return estimate_sigmas(given.name, given.estimate_sigmas)
    return show_skeleton(given.name) if given.name else show_skeletons()


def _profile(given: argparse.Namespace) -> int:
    from stm32pose.commands.profile import profile

    return profile(given.model, given.board, overrides=given.overrides, as_json=given.json)


def _export(given: argparse.Namespace) -> int:
    from stm32pose.commands.export import export

    return export(given)


def _emulate(given: argparse.Namespace) -> int:
    from stm32pose.commands.emulate import emulate

    return emulate(given)


def _plot_lr(given: argparse.Namespace) -> int:
    from stm32pose.commands.plot_lr import plot_lr

    return plot_lr(given.config, given.overrides, out=given.out, as_json=given.json, steps=given.steps_per_epoch)


def _data_check(given: argparse.Namespace) -> int:
    from stm32pose.commands.data import check_data

    return check_data(given)


def _data_show(given: argparse.Namespace) -> int:
    from stm32pose.commands.data import show_data

    return show_data(given)


def _data_convert(given: argparse.Namespace) -> int:
    from stm32pose.commands.data_convert import convert_data

    return convert_data(given)


def _data_synthesize(given: argparse.Namespace) -> int:
    from stm32pose.commands.synthesize import synthesize

    return synthesize(given)


if __name__ == "__main__":
    sys.exit(main())

"""STM32MP (Linux): ST's Python application, the network and the names of the keypoints, copied over ssh."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from stm32pose.config.target_sections import Deployment
from stm32pose.deployment.job import Job
from stm32pose.deployment.remote import (
    Remote,
    checked_folder,
    checked_host,
    checked_key,
    checked_user,
    is_address_placeholder,
    plain_name,
)
from stm32pose.errors import ConfigError, UserError
from stm32pose.programs import need_program

FRAMEWORKS = {".nb": "nbg", ".tflite": "tflite", ".onnx": "onnx"}
LABELS = "class_names.txt"
"""Where ST's application looks for the names."""
MODEL_LINE = re.compile(r"^(\s*POSE_ESTIMATION_MODEL=).*$", re.MULTILINE)


def deploy_mpu(job: Job) -> None:
    """Stage everything in the run folder, copy it to the board, make its scripts executable, show (or run) the launch.

    Raises:
        ConfigError: address, paths, key, names or the application's folder are not right.
        UserError: the network is not converted, or ssh fails: with the likely cause.
    """
    setup = job.section.hardware_setup
    folder = checked_folder(job.section.board_deploy_path)
    job.foretell(find_remote)
    remote = Remote(
        *((Path("ssh"), Path("scp")) if job.dry_run else find_remote()),
        checked_user(job.section.user),
        checked_host(setup.ip_address),
        checked_key(job.section.ssh_key),
    )
    project = job.project
    stage = job.folder / "board"
    shutil.rmtree(stage, ignore_errors=True)
    network = _network(job, stage)
    _stage_application(job, project, stage, network.name)
    _names(job, stage)
    _remarks(job, network)
    scripts = _scripts(stage, folder)
    launch = _launch(job, stage, folder, network)
    job.commands.run("make folders", remote.run("mkdir", "-p", folder), timeout_s=60)
    job.commands.run("copy", remote.copy(sorted({*stage.iterdir(), network}), folder), timeout_s=1800)
    if scripts:
        job.commands.run("make executable", remote.run("chmod", "+x", *scripts), timeout_s=60)
    if launch and job.section.launch:
        # In the background, or ssh would stay until the application ends.
        line = f"nohup {shlex.join(launch)} > {shlex.quote(folder + '/launch.log')} 2>&1 < /dev/null & echo started"
        job.commands.run("launch", remote.shell(line), timeout_s=60)
        job.next_step = f"the application is started; what it says is in {folder}/launch.log on the board"
    elif launch:
        job.next_step = f"on the board: {shlex.join(launch)}   (or deployment.launch: True)"
    if job.dry_run:
        job.next_step = (
            f"set deployment.dry_run: False to copy; then on the board: {shlex.join(launch)}"
            if launch
            else ("copy ST's application, set deployment.c_project_path and deployment.dry_run: False")
        )


def check_mpu(section: Deployment, *, paths: bool = True) -> None:
    """ConfigError: address, account or folder of the board is not right; with `paths` also: no such private key."""
    checked_folder(section.board_deploy_path)
    checked_user(section.user)
    address = section.hardware_setup.ip_address
    if paths or not is_address_placeholder(address):
        checked_host(address)
    if paths:
        checked_key(section.ssh_key)


def find_remote() -> tuple[Path, Path]:
    """(ssh, scp). ConfigError: one is missing."""
    where = "deployment.hardware_setup.ip_address"
    return need_program("ssh", where=where), need_program("scp", where=where)


def _network(job: Job, stage: Path) -> Path:
    """The network as the board runs it: converted for the NPU of the STM32MP2 by the Developer Cloud, else as it is."""
    model = job.model.path
    if job.board.series.upper() == "STM32MP2" and job.tools.stedgeai.on_cloud:
        converted = stage / plain_name(f"{model.stem}.nb")
        if job.dry_run:
            job.commands.note("convert for the NPU", ["developer-cloud", "to_nbg", model, converted], status="dry run")
            return converted
        record = job.commands.note("convert for the NPU", ["developer-cloud", "to_nbg", model], status="running")
        stage.mkdir(parents=True, exist_ok=True)
        try:
            with job.open_cloud() as cloud:
                cloud.to_nbg(model, converted)
        except UserError:
            record["status"] = "failed"
            raise
        if not converted.is_file():
            record["status"] = "failed"
            raise UserError(f"{model.name}: the Developer Cloud gave no converted network ({converted} is missing)")
        record["status"] = "done"
        job.files.append(converted)
        return converted
    return job.copy(model, "board", plain_name(model.name))


def _stage_application(job: Job, project: Path | None, stage: Path, network: str) -> None:
    """Application/ and Resources/ of the project, and the scripts of the series; a fixed model's name is replaced."""
    if project is None:
        job.note("deployment.c_project_path is not set: the application's own files are left out")
        return
    series = f"STM32MP{'2' if job.board.series.upper() == 'STM32MP2' else '1'}"
    if not (project / "Application").is_dir():
        if job.dry_run:
            job.note(f"{project} has no Application folder: the application's own files are left out")
            return
        raise ConfigError(
            f"deployment.c_project_path: {project} has no folder Application; expected ST's STM32MP-LINUX application"
        )
    for name in ("Application", "Resources"):
        for path in sorted((project / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                job.copy(path, "board", name, *path.relative_to(project / name).parts)
    for path in sorted((project / series).glob("*.sh")):
        job.copy(path, "board", "Resources", path.name)
    for path in sorted((stage / "Resources").glob("config_board*.sh")):
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        changed = MODEL_LINE.sub(rf'\g<1>"{network}"', text)
        if changed != text:
            path.write_text(changed, encoding="utf-8", errors="surrogateescape")
            job.note(f"{path.name}: the network that is started is {network} (the project's own file is as it was)")


def _names(job: Job, stage: Path) -> None:
    """The names of the keypoints, one a line, where the application looks for them."""
    skeleton = job.model.skeleton
    names = list(skeleton.keypoints)
    if job.keypoints_file is not None:
        key = "dataset.keypoints_file_path"
        try:
            text = job.keypoints_file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{key}: {job.keypoints_file} cannot be read ({error})") from error
        names = [line.strip() for line in text.splitlines() if line.strip()]
        if len(names) != skeleton.count:
            raise ConfigError(
                f"{key}: {job.keypoints_file} has {len(names)} names, {job.model.path.name} gives {skeleton.count} "
                "keypoints"
            )
    job.write("".join(f"{name}\n" for name in names), "board", "Resources", LABELS)


def _remarks(job: Job, network: Path) -> None:
    if network.suffix != ".nb" and job.board.accelerator is not None:
        job.note(
            f"{network.name} runs on the CPU or GPU of {job.board.name}, not on its NPU; "
            "tools.stedgeai.on_cloud: True converts it"
        )
    if job.model.kind != "yolo":
        job.note(
            f"ST's application for Linux boards decodes YOLO poses (yolo_mpe); for {job.model.codec.get('model_type')} "
            "put your own decoding into the application"
        )


def _scripts(stage: Path, folder: str) -> list[str]:
    """Scripts of the staged application, as paths of the board."""
    found = [path for path in sorted(stage.rglob("*")) if path.is_file() and path.suffix in (".sh", ".py")]
    return [f"{folder}/{path.relative_to(stage).as_posix()}" for path in found]


def _launch(job: Job, stage: Path, folder: str, network: Path) -> list[str]:
    """The command that starts the application: 4.x `SCRIPT nbg FOLDER`, 3.0 `SCRIPT FOLDER MODEL NAMES`."""
    scripts = sorted((stage / "Application").glob("launch_*.sh"))
    if not scripts:
        problem = "deployment.c_project_path: no Application/launch_*.sh to start the application with"
        if (stage / "Application").is_dir() and not job.dry_run:
            raise ConfigError(problem)
        if (stage / "Application").is_dir():
            job.note(f"{problem}; without deployment.dry_run this would stop")
        return []
    script = next((path for path in scripts if "python" in path.name), scripts[0])
    configs = [path.read_text(errors="replace") for path in (stage / "Resources").glob("config_board*.sh")]
    start = f"{folder}/Application/{script.name}"
    if any(MODEL_LINE.search(text) for text in configs):
        return [start, FRAMEWORKS.get(network.suffix, "tflite"), folder]
    return [start, folder, network.name, LABELS]

"""`Job`: one deployment: what goes where, and what has been written and run so far."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stm32pose.boards.board import Board
from stm32pose.config.target_sections import Deployment, Tools
from stm32pose.deployment.commands import Commands
from stm32pose.deployment.model import Deployable
from stm32pose.errors import ConfigError, UserError
from stm32pose.files import replacing, write_whole

if TYPE_CHECKING:
    from stm32pose.benchmark.developer_cloud.client import CloudClient
    from stm32pose.benchmark.stedgeai import Generated
    from stm32pose.deployment.generate import Request

log = logging.getLogger(__name__)


def project_of(section: Deployment) -> Path | None:
    """`deployment.c_project_path`. ConfigError: it is no folder (a dry run does not look)."""
    if section.c_project_path is None:
        return None
    path = Path(section.c_project_path).expanduser()
    if not section.dry_run and not path.is_dir():
        raise ConfigError(f"deployment.c_project_path: {path} is no folder (looked in {Path.cwd()})")
    return path.absolute()


@dataclass
class Job:
    """One deployment of one model on one board.

    Attributes:
        model, board: what, where to.
        section, tools: of the configuration.
        folder: of the run folder; everything is written here first.
        commands: programs run.
        keypoints_file: names of the keypoints, one a line, as the user gives it.
        cloud: a client of the Developer Cloud that is logged in; None: made when it is needed.
        files: what was written, in the run folder and in the user's project.
        overwritten: files of the user's project that were there before; their old content is in `folder`/replaced.
        notes: what the user should know.
        next_step: what the user does now.
    """

    model: Deployable
    board: Board
    section: Deployment
    tools: Tools
    folder: Path
    commands: Commands
    keypoints_file: Path | None = None
    cloud: Any = None
    files: list[Path] = field(default_factory=list)
    overwritten: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    next_step: str = ""

    @property
    def dry_run(self) -> bool:
        """Write, but run nothing and touch neither board nor project."""
        return self.section.dry_run

    @property
    def project(self) -> Path | None:
        """`deployment.c_project_path`. ConfigError: it is no folder (a dry run does not look)."""
        return project_of(self.section)

    def note(self, text: str) -> None:
        """Something for the report and the log."""
        self.notes.append(text)
        log.info("%s", text)

    def foretell(self, check: Callable[[], object]) -> None:
        """In a dry run: what `check` refuses is a note, since the real run would stop there."""
        if not self.dry_run:
            return
        try:
            check()
        except UserError as error:
            self.note(f"without deployment.dry_run this would stop: {error}")

    def write(self, text: str, *parts: str) -> Path:
        """A text file of the run folder."""
        path = write_whole(self.folder.joinpath(*parts), text, sync=False)
        self.files.append(path)
        return path

    def copy(self, source: Path, *parts: str) -> Path:
        """A copy of a file in the run folder."""
        path = _copy(source, self.folder.joinpath(*parts))
        self.files.append(path)
        return path

    def place(self, source: Path, destination: Path) -> None:
        """A file into the user's project. What lay there is kept in the run folder; nothing is done in a dry run."""
        if self.dry_run:
            return
        if destination.is_file() and destination.read_bytes() == source.read_bytes():
            return
        if destination.is_file():
            project = self.project or destination.parent
            inside = destination.relative_to(project) if destination.is_relative_to(project) else Path(destination.name)
            _copy(destination, self.folder / "replaced" / inside)
            self.overwritten.append(destination)
            log.info("overwritten: %s (its old content is in %s)", destination, self.folder / "replaced" / inside)
        _copy(source, destination)
        self.files.append(destination)

    def place_folder(self, source: Path, destination: Path) -> None:
        """Every file below a folder, as `place`; what else lies in the destination stays."""
        for path in sorted(source.rglob("*")):
            if path.is_file():
                self.place(path, destination / path.relative_to(source))

    def generate(self, request: Request, folder: Path) -> Generated | None:
        """ST's C code of the model in `folder`, from this machine or from the Developer Cloud; None in a dry run.

        It is recorded among the commands. Errors as `generate.generate_code`.
        """
        from stm32pose.deployment.generate import generate_code

        return generate_code(self, request, folder)

    @contextmanager
    def open_cloud(self) -> Iterator[CloudClient]:
        """The client that is logged in already, or one for this deployment. UserError: no token, no service."""
        if self.cloud is not None:
            yield self.cloud
            return
        from stm32pose.benchmark.developer_cloud.client import connect

        with connect(progress=log.info) as client:
            yield client


def _copy(source: Path, destination: Path) -> Path:
    with replacing(destination, sync=False) as temporary:
        shutil.copyfile(source, temporary)
        shutil.copymode(source, temporary)
    return destination

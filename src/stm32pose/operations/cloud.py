"""ST's Developer Cloud for one run: asked for before the long steps, once, and left at the end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stm32pose.config.schema import Config

if TYPE_CHECKING:
    from stm32pose.benchmark.developer_cloud.client import CloudClient

log = logging.getLogger(__name__)


def needs_cloud(config: Config) -> bool:
    """Whether a step of the run goes to the Developer Cloud. ConfigError: the board of the deployment is not known."""
    return benchmarks_on_cloud(config) or _deploys_by_cloud(config)


def benchmarks_on_cloud(config: Config) -> bool:
    """Whether the cloud is among the routes of a benchmark."""
    if "benchmark" not in config.steps or config.benchmarking is None:
        return False
    routes = config.benchmarking.backends
    return "cloud" in routes or ("auto" in routes and config.tools.stedgeai.on_cloud)


def _deploys_by_cloud(config: Config) -> bool:
    section = config.deployment
    if "deploy" not in config.steps or section is None or section.dry_run or section.network == "c":
        return False
    if not config.tools.stedgeai.on_cloud:
        return False
    from stm32pose.deployment.service import board_of, uses_cloud

    return uses_cloud(board_of(section.hardware_setup))


@contextmanager
def cloud_session(config: Config) -> Iterator[CloudClient | None]:
    """A client that is logged in, or None where no step needs one. What can be refused at once is asked at once:
    credentials, the version of the tool, the board.

    Raises:
        UserError: no credentials, wrong ones, a service that cannot be reached, an unknown board or version.
    """
    if not needs_cloud(config):
        yield None
        return
    from stm32pose.benchmark.developer_cloud.benchmark import find_board
    from stm32pose.benchmark.developer_cloud.client import connect, interactive_credentials
    from stm32pose.boards.board import load_board

    with connect(ask=interactive_credentials, progress=log.info) as client:
        client.version(config.tools.stedgeai.version)
        if benchmarks_on_cloud(config) and config.benchmarking is not None:
            find_board(client.boards(), load_board(config.benchmarking.board))
        yield client

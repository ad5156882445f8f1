"""Which route is taken, and why: a route that was named stays, nothing is uploaded that nobody asked to upload."""

from __future__ import annotations

from pathlib import Path

import pytest

from stm32pose.benchmark.figures import Figures
from stm32pose.benchmark.routes import choose, estimate_figures, fits
from stm32pose.boards.board import load_board
from stm32pose.config.target_sections import Benchmarking, Tool


def routes(backend, found=None, board="STM32N6570-DK", **tool):
    section = Benchmarking(board=board, backend=backend)
    return choose(section, Tool(**tool), load_board(board), lambda: (found, ["PATH", "$STEDGEAI_CORE_DIR"]))


@pytest.mark.parametrize(
    ("tool", "found", "route", "why"),
    [
        ({}, None, "estimate", "stedgeai was not found (looked at PATH, $STEDGEAI_CORE_DIR)"),
        ({}, Path("/opt/stedgeai"), "stedgeai", "/opt/stedgeai is on this machine"),
        ({"on_cloud": True}, Path("/opt/stedgeai"), "cloud", "on_cloud is True"),
        ({"on_cloud": True, "path_to_stedgeai": "x"}, None, "cloud", "on_cloud is True"),
        ({"path_to_stedgeai": "x"}, None, "stedgeai", "path_to_stedgeai names x"),
        ({"path_to_stedgeai": "C:/Users/<XXXXX>/stedgeai.exe"}, None, "estimate", "stedgeai was not found"),
    ],
)
def test_auto_says_why(tool, found, route, why):
    chosen = routes(["auto"], found, **tool)
    assert chosen[0].route == route
    assert why in chosen[0].why
    assert [choice.route for choice in chosen[1:]] == ([] if route == "estimate" else ["estimate"])


def test_a_program_that_is_there_never_makes_a_cloud_run():
    for tool in ({}, {"path_to_stedgeai": "x"}):
        assert "cloud" not in [choice.route for choice in routes(["auto"], Path("x"), **tool)]


@pytest.mark.parametrize("tool", [{}, {"path_to_stedgeai": "x"}])
def test_auto_does_not_ask_st_s_program_about_linux(tool):
    (choice,) = routes(["auto"], Path("/opt/stedgeai"), board="STM32MP257F-EV1", **tool)
    assert choice.route == "estimate"
    assert "Linux" in choice.why
    assert routes(["auto"], board="STM32MP257F-EV1", on_cloud=True)[0].route == "cloud"


def test_what_is_named_is_taken_whatever_is_there():
    def find():
        raise AssertionError("nobody asked for auto")

    section, board = Benchmarking(board="B", backend=["stedgeai", "cloud"]), load_board("STM32N6570-DK")
    assert [choice.route for choice in choose(section, Tool(), board, find)] == ["stedgeai", "cloud", "estimate"]
    assert [
        choice.route for choice in choose(section.model_copy(update={"backend": ["estimate"]}), Tool(), board, find)
    ] == ["estimate"]


def test_an_estimate_in_the_common_form():
    from stm32pose.benchmark.estimate import Estimate

    names = ("activations_bytes", "weights_bytes", "runtime_ram_bytes", "code_bytes", "total_ram_bytes")
    sizes = {name: index + 1 for index, name in enumerate(names)}
    estimate = Estimate(
        board="B",
        core="Cortex-M7",
        mhz=400,
        **sizes,
        total_flash_bytes=6,
        ram_available_bytes=10,
        flash_available_bytes=10,
        macs=7,
        latency_ms=8.0,
        latency_error=0.25,
        latency_rows=3,
    )
    figures = estimate_figures(estimate)
    assert {name: getattr(figures, name) for name in names} == sizes
    assert (figures.total_flash_bytes, figures.macs, figures.latency_ms) == (6, 7, 8.0)
    assert figures.how == "estimated here, without a board, latency within 25 %"


def test_fits_by_what_the_route_tells():
    board = load_board("STM32H747I-DISCO")
    ram = int(1024 * (board.internal_ram_kib + board.external_ram_kib))

    def with_ram(size, route="stedgeai", **more):
        return Figures(route=route, how="", board=board.name, total_ram_bytes=size, total_flash_bytes=1000, **more)

    assert fits(with_ram(ram), board) is True
    assert fits(with_ram(ram + 1), board) is False
    assert fits(with_ram(None), board) is None
    assert fits(with_ram(ram + 1, route="cloud", latency_ms=3.0), board) is True

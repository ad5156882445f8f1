"""Blueoil's and HyperPose's schedules: the curves that their sources describe, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from stm32pose.errors import ConfigError
from stm32pose.training.schedules_steps import STEP_SCHEDULES, Pieces, step_schedule, step_schedule_problems

WHERE = "training.optimizer.Adam.learning_rate"


def pieces(name: str, steps: int, epochs: int, **arguments: Any) -> Pieces:
    return step_schedule(
        name, {"initial_learning_rate": 0.1, **arguments}, f"{WHERE}.{name}", steps=steps, epochs=epochs
    )


def test_constant() -> None:
    assert {pieces("Constant", 100, 10).rate(step) for step in (0, 50, 99, 1000)} == {0.1}


def test_two_steps() -> None:
    """Blueoil, n = 10 steps an epoch, E = 9: /10 at n (E - 1) / 2 = 40, /100 at n (E - 1) = 80."""
    found = pieces("TwoStepDecay", 90, 9)
    assert found.boundaries == (40, 80)
    assert [found.rate(step) for step in (0, 39, 40, 79, 80, 89)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_three_steps() -> None:
    """Blueoil, n = 10, E = 10: /10 at 30, /100 at 60, /1000 at 90."""
    found = pieces("ThreeStepDecay", 100, 10)
    assert found.boundaries == (30, 60, 90)
    assert [found.rate(step) for step in (29, 30, 60, 90)] == pytest.approx([0.1, 0.01, 0.001, 0.0001])


def test_three_steps_with_warm_up() -> None:
    """Blueoil: a thousandth of the rate for the first epoch, then as above."""
    found = pieces("WarmupThreeStepDecay", 100, 10)
    assert [found.rate(step) for step in (0, 9, 10, 29, 30, 60, 90)] == pytest.approx(
        [0.0001, 0.0001, 0.1, 0.1, 0.01, 0.001, 0.0001]
    )
    found = pieces("WarmupThreeStepDecay", 100, 10, warmup_steps=3, warmup_factor=0.5, boundaries=[20, 40, 60])
    assert [found.rate(step) for step in (0, 2, 3, 20, 60)] == pytest.approx([0.05, 0.05, 0.1, 0.01, 0.0001])
    assert pieces("WarmupThreeStepDecay", 100, 10, warmup_steps=0).rate(0) == pytest.approx(0.1)


def test_hyperposes_list() -> None:
    """A million steps: 0.666 at 200k, 300k, 360k, 420k, 480k, 540k, 600k, 700k, 800k and 900k."""
    found = pieces("StepListDecay", 1_000_000, 100)
    assert found.boundaries == tuple(k * 1000 for k in (200, 300, 360, 420, 480, 540, 600, 700, 800, 900))
    assert found.rate(199_999) == 0.1
    assert found.rate(200_000) == pytest.approx(0.0666)
    assert found.rate(999_999) == pytest.approx(0.1 * 0.666**10)
    # The same shape for a training of a hundred steps, and a list of one's own.
    assert pieces("StepListDecay", 100, 10).boundaries == (20, 30, 36, 42, 48, 54, 60, 70, 80, 90)
    own = pieces("StepListDecay", 100, 10, boundaries=[5, 7], decay_rate=0.5)
    assert [own.rate(step) for step in (4, 5, 7)] == [0.1, 0.05, 0.025]


@pytest.mark.parametrize("name", list(STEP_SCHEDULES))
def test_a_dry_run_of_a_few_steps_has_a_rate(name: str) -> None:
    found = pieces(name, 5, 5)
    assert len(found.values) == len(found.boundaries) + 1
    assert all(found.rate(step) > 0 for step in range(5))
    assert list(found.boundaries) == sorted(found.boundaries)


@pytest.mark.parametrize(
    ("name", "arguments", "epochs", "line"),
    [
        (
            "TwoStepDecay",
            {},
            1,
            "training.epochs is 1; without boundaries (a list of steps) 2 epochs or more are needed",
        ),
        ("WarmupThreeStepDecay", {}, 4, "training.epochs is 4; without boundaries (a list of steps) 5 epochs or more"),
        ("ThreeStepDecay", {"boundaries": [4, 8]}, 9, "boundaries: got 2 steps; 3 are needed"),
        (
            "ThreeStepDecay",
            {"boundaries": [4, 8, 8]},
            9,
            "got [4, 8, 8]; a list of whole numbers from 1 up, each above",
        ),
        ("WarmupThreeStepDecay", {"boundaries": [4, 8, 9], "warmup_steps": 4}, 9, "below boundaries[0], 4, needed"),
        ("StepListDecay", {"decay_rate": 0}, 9, "decay_rate: got 0; a number above 0 to 1 is needed"),
        (
            "StepListDecay",
            {"decay": 0.5},
            9,
            "decay: unknown argument; allowed: initial_learning_rate, decay_rate, bound",
        ),
    ],
)
def test_mistakes(name: str, arguments: dict[str, Any], epochs: int, line: str) -> None:
    given = {"initial_learning_rate": 0.1, **arguments}
    (found,) = step_schedule_problems(name, given, f"{WHERE}.{name}", epochs=epochs)
    assert line in found
    with pytest.raises(ConfigError):
        step_schedule(name, given, f"{WHERE}.{name}", steps=100, epochs=epochs)


@pytest.mark.parametrize(("warmup", "refused"), [(1000, True), (15, True), (4, True), (3, False), (0, False)])
def test_a_warm_up_ends_before_the_first_drop(warmup: int, refused: bool) -> None:
    """15 steps in 5 epochs: the first drop is at step 4."""
    if not refused:
        assert 0.1 in {pieces("WarmupThreeStepDecay", 15, 5, warmup_steps=warmup).rate(step) for step in range(15)}
        return
    with pytest.raises(ConfigError) as caught:
        pieces("WarmupThreeStepDecay", 15, 5, warmup_steps=warmup)
    assert str(caught.value) == (
        f"{WHERE}.WarmupThreeStepDecay.warmup_steps: got {warmup}; the training has 15 steps and its rate first drops "
        "at step 4: fewer are needed, or boundaries"
    )


def test_without_a_length_names_and_arguments_are_looked_at() -> None:
    assert step_schedule_problems("WarmupThreeStepDecay", {"initial_learning_rate": 1}, WHERE) == []
    assert (
        step_schedule_problems("TwoStepDecay", {"boundaries": [1, 2], "initial_learning_rate": 1}, WHERE, epochs=1)
        == []
    )

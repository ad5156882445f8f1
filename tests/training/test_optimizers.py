"""Optimizers and schedules by name: what is built, and the line a mistake gets."""

from __future__ import annotations

import math
from typing import Any

import pytest

from stm32pose.errors import ConfigError
from stm32pose.training.optimizers import build_optimizer, has_schedule, used_learning_rate
from stm32pose.training.schedules_steps import STEP_SCHEDULES, step_schedule

WHERE = "training.optimizer"


def build(section: dict[str, Any], steps: int = 100) -> Any:
    return build_optimizer(section, steps=steps)


def test_plain_name_gives_keras_defaults() -> None:
    assert float(build({"Adam": {}}).learning_rate) == pytest.approx(1e-3)
    assert float(build({"SGD": {}}).learning_rate) == pytest.approx(1e-2)


def test_arguments_arrive() -> None:
    optimizer = build({"SGD": {"learning_rate": 1, "momentum": 0.9, "nesterov": True, "clipnorm": 2}})
    assert float(optimizer.learning_rate) == 1.0
    assert (optimizer.momentum, optimizer.nesterov, optimizer.clipnorm) == (0.9, True, 2.0)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "RMSprop", "Nadam", "Lion", "Adafactor", "Lamb", "Muon"])
def test_every_common_optimizer_can_be_built(name: str) -> None:
    assert type(build({name: {"learning_rate": 1e-3}})).__name__ == name


def test_schedule_decays_over_the_training() -> None:
    section = {"Adam": {"learning_rate": {"CosineDecay": {"initial_learning_rate": 0.1}}}}
    optimizer = build(section, steps=50)
    assert has_schedule(section)
    assert not has_schedule({"Adam": {}})
    schedule = optimizer._learning_rate
    assert float(schedule(0)) == pytest.approx(0.1)
    assert float(schedule(50)) == pytest.approx(0.0, abs=1e-7)


def test_warm_up_steps_count_in_the_training() -> None:
    arguments = {"initial_learning_rate": 0.0, "warmup_target": 0.1, "warmup_steps": 10}
    schedule = build({"Adam": {"learning_rate": {"CosineDecay": arguments}}}, steps=60)._learning_rate
    assert float(schedule(10)) == pytest.approx(0.1)
    assert float(schedule(60)) == pytest.approx(0.0, abs=1e-7)


def test_every_schedule_of_keras_spans_the_training_where_no_length_is_given() -> None:
    for name, more in (
        ("ExponentialDecay", {"decay_rate": 0.5}),
        ("InverseTimeDecay", {"decay_rate": 1.0}),
        ("PolynomialDecay", {"end_learning_rate": 0.05}),
    ):
        section = {"Adam": {"learning_rate": {name: {"initial_learning_rate": 0.1, **more}}}}
        schedule = build(section, steps=40)._learning_rate
        assert [float(schedule(0)), float(schedule(40))] == pytest.approx([0.1, 0.05])


@pytest.mark.parametrize("name", list(STEP_SCHEDULES))
def test_schedules_in_steps_are_the_same_in_a_graph(name: str) -> None:
    import tensorflow as tf

    arguments = {"initial_learning_rate": 0.1}
    optimizer = build_optimizer({"Adam": {"learning_rate": {name: arguments}}}, steps=60, epochs=6)
    schedule = optimizer._learning_rate
    graph = tf.function(lambda step: schedule(step))
    pieces = step_schedule(name, arguments, WHERE, steps=60, epochs=6)
    wanted = [pieces.rate(step) for step in range(70)]
    assert [float(schedule(step)) for step in range(70)] == pytest.approx(wanted)
    assert [float(graph(tf.constant(step))) for step in range(70)] == pytest.approx(wanted)
    copy = type(schedule).from_config(schedule.get_config())
    assert float(copy(59)) == pytest.approx(wanted[59])


STEPPED = {"boundaries": [2, 5], "values": [1.0, 0.5, 0.25]}


@pytest.mark.parametrize(
    ("schedule", "end"),
    [
        (
            {"PiecewiseConstantDecay": {**STEPPED, "boundaries": [5, 2]}},
            ".boundaries: got [5, 2]; a list of whole numbers from 0 up, each above the one before is needed",
        ),
        (
            {"PiecewiseConstantDecay": {**STEPPED, "boundaries": []}},
            ".boundaries: got []; it is empty; a list of whole numbers from 0 up, each above the one before is needed",
        ),
        (
            {"PiecewiseConstantDecay": {**STEPPED, "values": [1.0, 0.5]}},
            ".values: got 2 values and 2 boundaries; 2 boundaries part the training into 3 pieces, each with its value",
        ),
        (
            {"PiecewiseConstantDecay": {**STEPPED, "values": [1.0, -0.5, 0.1]}},
            ".values: got [1.0, -0.5, 0.1]; a list of numbers above 0 is needed",
        ),
        (
            {"PiecewiseConstantDecay": {**STEPPED, "boundaries": ["a", 5]}},
            ".boundaries[0]: got 'a'; a number is needed",
        ),
        ({"PiecewiseConstantDecay": {**STEPPED, "values": [1.0, 0.5, "b"]}}, ".values[2]: got 'b'; a number is needed"),
        ({"PiecewiseConstantDecay": {**STEPPED, "values": None}}, ".values: got None; a list is needed"),
        (
            {"CosineDecay": {"initial_learning_rate": -1}},
            ".initial_learning_rate: got -1; a number above 0 is needed",
        ),
        ({"CosineDecay": {"initial_learning_rate": 0}}, ".initial_learning_rate: got 0; a number above 0 is needed"),
        ({"CosineDecay": {"initial_learning_rate": None}}, ".initial_learning_rate: got None; a number is needed"),
        (
            {"CosineDecay": {"initial_learning_rate": 0, "warmup_target": -0.1, "warmup_steps": 2}},
            ".warmup_target: got -0.1; a number above 0 is needed",
        ),
        (
            {"CosineDecay": {"initial_learning_rate": math.inf}},
            ".initial_learning_rate: got inf; a number above 0 is needed",
        ),
        (
            {"PolynomialDecay": {"initial_learning_rate": 0.1, "end_learning_rate": -1}},
            ".end_learning_rate: got -1; a number from 0 up is needed",
        ),
        (
            {"CosineDecay": {"initial_learning_rate": 0.1, "decay_steps": 0}},
            ".decay_steps: got 0; a whole number from 1 up is needed",
        ),
        (
            {"CosineDecayRestarts": {"initial_learning_rate": 0.1, "first_decay_steps": None}},
            ".first_decay_steps: got None; a whole number, 0 or more, is needed",
        ),
        (
            {"StepListDecay": {"initial_learning_rate": 0.1, "boundaries": []}},
            ".boundaries: got []; it is empty; a list of whole numbers from 1 up, each above the one before is needed",
        ),
    ],
)
def test_a_schedule_that_nobody_means_is_refused_by_run_and_check(schedule: dict[str, Any], end: str) -> None:
    from stm32pose.commands.keras_names import check_classes
    from stm32pose.config.load import load_config

    (name,) = schedule
    lines = {f"{WHERE}.Adam.learning_rate.{name}{end}"}
    optimizer = {"Adam": {"learning_rate": schedule}}
    with pytest.raises(ConfigError) as caught:
        build(optimizer)
    found = {str(caught.value)}
    config = {
        "operation_mode": "training",
        "model": {"model_name": "custom", "input_shape": [64, 64, 3]},
        "dataset": {"training_path": "x", "keypoints": 17},
        "training": {"optimizer": optimizer},
    }
    with pytest.raises(ConfigError) as caught:
        check_classes(load_config(config, check_paths=False))
    assert {*found, str(caught.value)} == lines


def test_a_length_that_is_null_is_that_of_the_training() -> None:
    from stm32pose.commands.keras_names import check_classes
    from stm32pose.config.load import load_config

    section = {"Adam": {"learning_rate": {"CosineDecay": {"initial_learning_rate": 0.1, "decay_steps": None}}}}
    config = {
        "operation_mode": "training",
        "model": {"model_name": "custom", "input_shape": [64, 64, 3]},
        "dataset": {"training_path": "x", "keypoints": 17},
        "training": {"optimizer": section},
    }
    check_classes(load_config(config, check_paths=False))
    schedule = build(section, steps=50)._learning_rate
    assert [float(schedule(25)), float(schedule(50))] == pytest.approx([0.05, 0.0], abs=1e-7)


def test_a_warm_up_as_long_as_the_training_is_refused() -> None:
    cosine = {"CosineDecay": {"initial_learning_rate": 0.0, "warmup_target": 0.1, "warmup_steps": 15}}
    section = {"Adam": {"learning_rate": cosine}}
    with pytest.raises(ConfigError) as caught:
        build_optimizer(section, steps=15, epochs=3)
    assert str(caught.value) == (
        f"{WHERE}.Adam.learning_rate.CosineDecay.warmup_steps: got 15; the training has 15 steps, fewer are needed"
    )
    assert float(build_optimizer(section, steps=16, epochs=3)._learning_rate(15)) == pytest.approx(0.1)
    # A dry run tries a longer training, and before the images are counted the length is not known.
    build_optimizer(section, steps=15, epochs=3, dry=True)
    build_optimizer(section, steps=1)


def test_the_rate_that_was_used_is_that_of_the_last_step() -> None:
    import keras

    variable = keras.Variable([1.0, 2.0])
    step = {"StepListDecay": {"initial_learning_rate": 0.5, "decay_rate": 0.1, "boundaries": [2]}}
    optimizer = build({"SGD": {"learning_rate": step}})
    assert used_learning_rate(optimizer) == pytest.approx(0.5)
    seen = []
    for _ in range(4):
        before = variable.numpy()
        optimizer.apply([keras.ops.ones(2)], [variable])
        seen.append(used_learning_rate(optimizer))
        # What SGD took off with a gradient of 1 is the rate.
        assert before - variable.numpy() == pytest.approx(seen[-1], rel=1e-4)
    assert seen == pytest.approx([0.5, 0.5, 0.05, 0.05])
    assert used_learning_rate(build({"SGD": {"learning_rate": 0.2}})) == pytest.approx(0.2)


def test_the_rate_that_was_used_with_accumulated_gradients_and_scaled_losses() -> None:
    import keras

    variable = keras.Variable([1.0, 2.0])
    step = {"StepListDecay": {"initial_learning_rate": 0.5, "decay_rate": 0.1, "boundaries": [2]}}
    optimizer = build({"SGD": {"learning_rate": step, "gradient_accumulation_steps": 2}})
    scaled = keras.optimizers.LossScaleOptimizer(optimizer)
    for wanted in (0.5, 0.5, 0.05):
        scaled.apply([keras.ops.ones(2) * 2.0**15], [variable])
        assert used_learning_rate(scaled) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"Adma": {}}, f"{WHERE}: unknown optimizer 'Adma'; allowed: Adadelta.*; did you mean 'Adam'?"),
        ({"Optimizer": {}}, f"{WHERE}: unknown optimizer 'Optimizer'"),
        ({"LossScaleOptimizer": {}}, f"{WHERE}: unknown optimizer"),
        ({"__import__": {}}, f"{WHERE}: unknown optimizer"),
        ({"Adam": {"learning_rat": 1e-3}}, rf"{WHERE}.Adam.learning_rat: unknown argument; .*mean 'learning_rate'\?"),
        ({"Adam": {"lr": 1e-3}}, f"{WHERE}.Adam.lr: no longer an argument in Keras 3; write learning_rate"),
        ({"Adam": {"learning_rate": "fast"}}, f"{WHERE}.Adam.learning_rate: got 'fast'; a number is needed"),
        ({"Adam": {"learning_rate": True}}, f"{WHERE}.Adam.learning_rate: got True; a number is needed"),
        ({"Adam": {"learning_rate": -1}}, f"{WHERE}.Adam.learning_rate: got -1; it must be above 0"),
        ({"Adam": {"amsgrad": "yes"}}, f"{WHERE}.Adam.amsgrad: got 'yes'; True or False is needed"),
        ({"Adam": {"beta_1": "0.9"}}, f"{WHERE}.Adam.beta_1: got '0.9'; a number is needed"),
        ({"SGD": {"gradient_accumulation_steps": 1.5}}, "a whole number, 0 or more, is needed"),
        ({"SGD": {"momentum": 3.0}}, f"{WHERE}.SGD: .*momentum"),
        ({"Adam": {}, "SGD": {}}, "exactly one optimizer"),
        ({"Adam": {"learning_rate": {"CosineDecai": {}}}}, "unknown schedule 'CosineDecai'.*'CosineDecay'"),
        ({"Adam": {"learning_rate": {"CosineDecay": {}}}}, "CosineDecay: argument 'initial_learning_rate' is missing"),
        ({"Adam": {"learning_rate": {"CosineDecay": None}}}, "its arguments are needed"),
        ({"Adam": {"learning_rate": {"ThreeStepDecai": {}}}}, "unknown schedule.*did you mean 'ThreeStepDecay'"),
        ({"Adam": {"learning_rate": {"Constant": {}}}}, "Constant: argument 'initial_learning_rate' is missing"),
        ({"Adam": {"learning_rate": math.nan}}, "got nan; it must be above 0"),
        ({"SGD": {"gradient_accumulation_steps": math.inf}}, "got inf; a whole number, 0 or more, is needed"),
    ],
)
def test_mistakes_get_one_line(section: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line) as caught:
        build(section)
    assert "\n" not in str(caught.value)

"""Names and arguments of losses: what `auto` takes, what goes with which output, and one line where it does not."""

from __future__ import annotations

import pytest

from stm32pose.config.load import load_config
from stm32pose.config.losses import LOSSES, OUTPUTS, arguments_of
from stm32pose.errors import ConfigError
from stm32pose.losses import make_loss, resolve_loss

AUTO = (
    ("heatmaps", "sigmoid", "mse"),
    ("heatmaps", "softmax", "cross_entropy"),
    ("heatmaps", "empty", "cross_entropy"),
    ("simcc", "empty", "kl"),
    ("keypoints", "sigmoid", "rle"),
    ("movenet", "sigmoid", "movenet"),
)
CONFIG = {
    "operation_mode": "training",
    "dataset": {"training_path": "data", "keypoints": 13},
    "model": {"backbone": "mobilenet_v2", "input_shape": (64, 64, 3)},
}


def problem(**sections) -> str:
    mapping = {name: {**CONFIG.get(name, {}), **section} for name, section in sections.items()}  # type: ignore[dict-item]
    with pytest.raises(ConfigError) as caught:
        load_config({**CONFIG, **mapping}, check_paths=False)
    (line,) = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize(("kind", "activation", "expected"), AUTO)
def test_auto(kind, activation, expected):
    assert resolve_loss("auto", kind=kind, activation=activation) == expected
    loss = make_loss("auto", kind=kind, activation=activation, input_shape=(64, 64))
    assert loss.name == expected


def test_every_loss_is_allowed_somewhere_and_made_with_its_defaults():
    assert {name for names in OUTPUTS.values() for name in names} == set(LOSSES)
    made = 0
    for kind, activation, _ in AUTO:
        for name in LOSSES:
            try:
                loss = make_loss(name, kind=kind, activation=activation, keypoints=17, input_shape=(64, 64))
            except ConfigError as error:
                assert f"got '{name}', which does not go with" in str(error)  # noqa: PT017
            else:
                assert loss.name == name
                made += 1
    assert made == sum(len(names) for names in OUTPUTS.values())


def test_other_spellings():
    assert resolve_loss("mae", kind="keypoints") == "l1"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            {"name": "crossentropy"},
            "training.loss: got 'crossentropy'; allowed: auto, mse.*did you mean 'cross_entropy'",
        ),
        ({"name": "mse", "activation": "empty"}, "got 'mse', which does not go with heat maps of logits; allowed"),
        ({"name": "wing"}, "does not go with sigmoid heat maps; allowed with them: auto, mse, ohkm, cross_entropy, kl"),
        ({"name": "mse", "kind": "simcc"}, "does not go with SimCC; allowed with them: auto, kl, cross_entropy"),
        ({"name": "auto", "kind": "yolo"}, "model.model_type: outputs of kind 'yolo' cannot be trained"),
        ({"name": "mse", "arguments": {"topk": 3}}, r"training.loss.mse.topk: unknown argument of mse; it takes none"),
        ({"name": "ohkm", "arguments": {"topK": 3}}, r"loss.ohkm.topK: .*takes topk, whole; did you mean 'topk'"),
        ({"name": "ohkm", "arguments": {"topk": 0}}, "loss.ohkm.topk: got 0; allowed: a whole number >= 1"),
        ({"name": "ohkm", "arguments": {"topk": 2.5}}, "loss.ohkm.topk: got 2.5; allowed: a whole number"),
        ({"name": "ohkm", "arguments": {"topk": 18}, "keypoints": 17}, "topk: got 18; the skeleton has 17 keypoints"),
        ({"name": "wing", "kind": "keypoints", "arguments": {"omega": 0}}, "omega: got 0; allowed: a number above 0"),
        ({"name": "wing", "kind": "keypoints", "arguments": {"omega": True}}, "omega: got True; allowed: a number"),
        (
            {"name": "auto", "kind": "keypoints", "arguments": {"distribution": "normal"}},
            "training.loss.rle.distribution: got 'normal'; allowed: laplace or gaussian",
        ),
    ],
)
def test_one_line(call, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make_loss(**call)
    assert "\n" not in str(caught.value)


def test_only_squared_errors_of_keypoints_have_a_score():
    assert "score" in arguments_of("mse", "keypoints")
    assert "score" not in arguments_of("mse", "sigmoid heat maps")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ohkm", {"ohkm": {}}),
        ({"ohkm": {"topk": 4}}, {"ohkm": {"topk": 4}}),
        ({"ohkm": None}, {"ohkm": {}}),
        (None, {"auto": {}}),
    ],
)
def test_spellings_in_a_configuration(given, expected):
    training = load_config({**CONFIG, "training": {"loss": given}}, check_paths=False).training
    assert training is not None
    assert training.loss == expected


def test_configurations_that_cannot_be():
    assert problem(training={"loss": "wings"}).startswith("training.loss: got 'wings'; allowed: auto")
    assert problem(training={"loss": {"mse": {}, "kl": {}}}).startswith("training.loss: got mse, kl; expected one loss")
    assert problem(training={"loss": {"ohkm": {"top": 3}}}).startswith("training.loss.ohkm.top: unknown argument")
    line = problem(training={"loss": "wing"}, model={"final_activation": "softmax"})
    assert line == (
        "training.loss: got 'wing', which does not go with softmax heat maps; "
        "allowed with them: auto, cross_entropy, kl, mse, ohkm"
    )
    assert "does not go with SimCC" in problem(training={"loss": "rle"}, model={"model_type": "simcc_spe"})


def test_the_activation_of_a_file_is_looked_at_when_it_is_read():
    model = {"model_path": "m.keras", "final_activation": "softmax"}
    training = {"loss": {"mse": {}}}
    mapping = {**CONFIG, "model": model, "training": training}
    assert load_config(mapping, check_paths=False).training is not None


def test_weights_and_teachers_that_cannot_be():
    zero = {"occluded": 0, "visible": 0}
    assert problem(training={"visibility_weights": zero}).startswith("training.visibility_weights: got 0 for both")
    assert problem(training={"visibility_weights": {"hidden": 1}}).startswith("training.visibility_weights.hidden")
    assert problem(training={"joint_weights": [1, 2]}).startswith("training.joint_weights: got 2 numbers; expected 13")
    assert problem(training={"joint_weights": [0] * 13}).startswith("training.joint_weights: got 0 for every joint")
    assert problem(training={"joint_weights": [-1] + [1] * 12}).startswith("training.joint_weights: got [-1, 1, 1")
    teacher = {"teacher": "t.tflite"}
    assert problem(training={"distillation": teacher}).startswith("training.distillation.teacher: got 't.tflite'; a")
    assert problem(training={"distillation": {}}).startswith("training.distillation.teacher")
    assert problem(training={"distillation": {"teacher": "t.h5", "weight": 2}}).startswith("training.distillation.weig")


@pytest.mark.parametrize("given", [True, False, [1, 1.5] + [1] * 11])
def test_joint_weights_in_a_configuration(given):
    training = load_config({**CONFIG, "training": {"joint_weights": given}}, check_paths=False).training
    assert training is not None
    assert training.joint_weights == given

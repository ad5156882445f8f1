"""Functions of the user's own, by file path: rules declared, results checked, draws decided by the seed."""

from __future__ import annotations

import numpy as np
import pytest

from stm32pose.errors import ConfigError, UserError
from stm32pose.transforms.chain import build_chain
from stm32pose.transforms.colour import recolour
from stm32pose.transforms.labels import MovingLabels

CODE = """
import numpy as np
def fog(image, rng, depth=0.5):
    return np.clip(image * (1 - depth) + 255 * depth * rng.random(), 0, 255).astype(np.uint8)
fog.kind = "colour"
def plain(image, rng):
    return image
def shift(size, rng, most=0.5):
    return [[1, 0, most * size[1]], [0, 1, most * size[0] * rng.random()], [0, 0, 1]]
def smaller(image, rng):
    return image[::2]
def flat(size, rng):
    return np.zeros((3, 3))
def breaks(image, rng):
    raise KeyError("depth")
def odd(image, rng):
    return image
odd.kind = "shape"
"""


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(CODE)
    return lambda function: f"{file}:{function}"


def nobody(count):
    none = np.zeros((0, 3, 3)), np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64)
    return MovingLabels(*none, np.broadcast_to(np.eye(3), (count, 3, 3)), None)


def chain_of(name, **arguments):
    return build_chain({name: arguments}, input_shape=(40, 60, 3), skeleton=None)


def test_a_colour_function_changes_the_pixels_and_draws_anew_for_each_image(own, caplog):
    chain = chain_of(own("fog"), depth=0.4, change_rate=0.5)
    assert "code of yours that is trusted" in caplog.text
    uniform = np.random.default_rng(0).random((200, chain.draws))
    layers, matrices = chain.draw(uniform, nobody(200))
    np.testing.assert_array_equal(matrices, np.broadcast_to(np.eye(3), (200, 3, 3)))
    image = np.full((40, 60, 3), 100, np.uint8)
    seen = [int(recolour(image.copy(), drawn[0].steps)[0, 0, 0]) for drawn in layers]
    assert np.mean([value != 100 for value in seen]) == pytest.approx(0.5, abs=0.1)
    assert len(set(seen)) > 40
    assert max(seen) <= 60 + 102
    again = [int(recolour(image.copy(), drawn[0].steps)[0, 0, 0]) for drawn in chain.draw(uniform, nobody(200))[0]]
    assert seen == again


def test_a_geometric_function_moves_the_labels_too(own):
    chain = chain_of(own("shift"), kind="geometry", most=0.25)
    assert chain.mirrors  # who knows; the skeleton's pairs are at hand
    _, matrices = chain.draw(np.random.default_rng(0).random((30, chain.draws)), nobody(30))
    assert (matrices[:, 0, 2] == 15).all()
    assert 5 < np.ptp(matrices[:, 1, 2]) <= 10


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("plain", {}, "has no keypoint rule: say kind: colour"),
        ("plain", {"kind": "color"}, "kind: got 'color'; allowed colour, geometry; did you mean 'colour'"),
        ("fog", {"kind": "geometry"}, "kind: got 'geometry', but .*fog.kind is 'colour'; keep one"),
        ("odd", {}, "odd.kind is 'shape'; allowed colour, geometry"),
        ("fogg", {"kind": "colour"}, "has no function 'fogg', it has .*did you mean 'fog'"),
        ("", {}, "the function is missing: write"),
        ("fog", {"change_rate": 3}, "change_rate: got 3; allowed a number from 0 to 1"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_drawn(own, function, arguments, message):
    with pytest.raises(ConfigError, match=message) as raised:
        chain_of(own(function), **arguments)
    assert len(str(raised.value).splitlines()) == 1
    assert str(raised.value).startswith("data_augmentation.")


def test_a_missing_file_and_one_that_fails_are_named(own, tmp_path):
    with pytest.raises(ConfigError, match=r"no file 'nowhere\.py'"):
        chain_of("nowhere.py:fog")
    (tmp_path / "own.py").write_text("import nothing_of_the_kind")
    with pytest.raises(UserError, match="fails when it is run: ModuleNotFoundError"):
        chain_of(own("fog"))


def test_a_check_runs_no_code(own, tmp_path):
    (tmp_path / "own.py").write_text("raise SystemExit(3)")
    chain = build_chain({own("fog"): {}}, input_shape=(8, 8, 3), run_code=False)
    assert chain.links == ()
    with pytest.raises(ConfigError, match="no file"):
        build_chain({"nowhere.py:fog": {}}, input_shape=(8, 8, 3), run_code=False)


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        ("smaller", "colour", r"returned uint8 \(20, 60, 3\); kind colour returns uint8 \(40, 60, 3\)"),
        ("flat", "geometry", "kind geometry returns a 3x3 matrix whose last row is 0 0 1"),
        ("plain", "geometry", "kind geometry returns a 3x3 matrix"),
        ("breaks", "colour", "breaks fails in line "),
    ],
)
def test_a_wrong_result_is_an_error_that_names_the_function(own, function, kind, message):
    chain = chain_of(own(function), kind=kind)

    def run():
        ((layer,),), _ = chain.draw(np.full((1, chain.draws), 0.5), nobody(1))
        recolour(np.zeros((40, 60, 3), np.uint8), layer.steps)

    with pytest.raises(UserError, match=message):
        run()

"""The chain: what a configuration may say, and what is drawn from it."""

from __future__ import annotations

import numpy as np
import pytest

from stm32pose.config.data_sections import Rescaling
from stm32pose.errors import ConfigError
from stm32pose.skeletons.skeleton import load_skeleton
from stm32pose.transforms import geometry as g
from stm32pose.transforms.chain import OPERATIONS, build_chain
from stm32pose.transforms.colour import recolour
from stm32pose.transforms.labels import MovingLabels

SHAPE = (128, 192, 3)
CENTRE = np.array([96.0, 64.0])


def chain_of(**augmentation):
    return build_chain(augmentation, input_shape=SHAPE)


def nobody(count):
    """Labels of `count` images in which nobody is, fitted already."""
    none = np.zeros((0, 17, 3)), np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64)
    return MovingLabels(*none, np.broadcast_to(np.eye(3), (count, 3, 3)), None)


def matrices_of(chain, uniform):
    return chain.draw(uniform, nobody(len(uniform)))[1]


def steps_of(chain, uniform):
    return [
        [step for layer in layers for step in layer.steps] for layers in chain.draw(uniform, nobody(len(uniform)))[0]
    ]


def drawn(chain, count=400, seed=0):
    uniform = np.random.default_rng(seed).random((count, chain.draws))
    return matrices_of(chain, uniform), uniform


@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        ({"random_rotaton": {}}, "data_augmentation.random_rotaton: no such augmentation; .*did you mean 'random_rot"),
        ({"random_rotation": {"factr": 0.1, "factor": 0.1}}, r"random_rotation.factr: no such argument; .*'factor'"),
        ({"random_rotation": {}}, "random_rotation.factor: missing; allowed a share of a turn from 0 to 1"),
        ({"random_rotation": {"factor": "x"}}, "random_rotation.factor: got 'x'; allowed a share of a turn"),
        ({"random_rotation": {"factor": True}}, "random_rotation.factor: got True"),
        ({"random_rotation": {"factor": (0.2, 0.1)}}, r"random_rotation.factor: got \(0.2, 0.1\)"),
        ({"random_rotation": {"factor": 0.3, "rotation_type": "3D"}}, "with rotation_type 3D; allowed -0.2 to 0.2"),
        ({"random_rotation": {"factor": 0.1, "rotation_type": "4D"}}, "rotation_type: got '4D'; allowed 2D, 3D"),
        ({"random_flip": {}}, "random_flip.mode: missing; allowed horizontal, vertical, horizontal_and_vertical"),
        ({"random_flip": {"mode": "horizontl"}}, "random_flip.mode: got 'horizontl'.*did you mean 'horizontal'"),
        ({"random_flip": {"mode": "vertical", "change_rate": 2}}, "change_rate: got 2; allowed a number from 0 to 1"),
        ({"random_flip": 3}, "random_flip: got 3; allowed mode, change_rate"),
        ({"random_zoom": {"width_factor": -1.0}}, "random_zoom.width_factor: got -1.0; allowed a share of the size"),
        ({"random_zoom": {}}, "random_zoom.width_factor: missing; give it, height_factor, or both"),
        ({"random_translation": {"width_factor": 0.1}}, "random_translation.height_factor: missing"),
        ({"random_shear": {"factor": 0.4}}, "random_shear.factor: got 0.4; allowed a share of a turn from 0 to 0.2"),
        ({"random_contrast": {"factor": 2}}, "random_contrast.factor: got 2; allowed a share of the contrast"),
        ({"random_brightness": {"factor": None}}, "random_brightness.factor: missing"),
        ({"random_blur": {"filter_size": 2.5}}, "random_blur.filter_size: got 2.5; allowed a whole number"),
        ({"random_blur": {"filter_size": (5, 3)}}, r"random_blur.filter_size: got \(5, 3\)"),
        ({"random_periodic_resizing": {"image_sizes": [[100, 96]]}}, "multiple of 32"),
        ({"random_periodic_resizing": {"image_sizes": []}}, "image_sizes: got \\[\\]"),
        ({"random_periodic_resizing": {"image_sizes": [[96, 96]], "period": 0}}, "period: got 0; allowed a whole"),
        ({"random_zoom": {"width_factor": 0.1, "fill_mode": "mirror"}}, "fill_mode: got 'mirror'; allowed constant"),
        ({"random_zoom": {"width_factor": 0.1, "fill_value": 5}}, "fill_value: got 5.*; allowed -1 to 1"),
        ({"random_brightness": {"factor": 0.1, "pixels_range": (0, 1)}}, "pixels_range: no such argument"),
        ({"random_gamma": {}}, "random_gamma.gamma: missing; allowed an exponent from 0 to 10"),
        ({"random_gamma": {"gamma": -1}}, "random_gamma.gamma: got -1; allowed an exponent"),
        ({"random_hue": {"delta": 2}}, "random_hue.delta: got 2; allowed a share of the whole range"),
        (
            {"random_hsv": {"delta_hue": 0.1}},
            "random_hsv.delta_hue: no such argument; allowed hue_delta, saturation_delta",
        ),
        ({"random_posterize": {"bits": 9}}, "random_posterize.bits: got 9; allowed a whole number from 1 to 8"),
        ({"random_autocontrast": {"cutoff": 50}}, "random_autocontrast.cutoff: got 50; allowed a whole number from 0"),
        ({"random_sharpness": {"factor": -0.1}}, "random_sharpness.factor: got -0.1; allowed a factor from 0"),
        ({"random_jpeg_quality": {"jpeg_quality": 101}}, "jpeg_quality: got 101; allowed a whole number from 0 to 100"),
        ({"random_gaussian_noise": {"stddev": (0.2, 0.1)}}, r"stddev: got \(0.2, 0.1\); allowed a share"),
        ({"random_gaussian_noise": {"stddev": 0.1, "mode": "imge"}}, "mode: got 'imge'.*did you mean 'image'"),
        (
            {"random_rectangle_erasing": {"area": 2}},
            "random_rectangle_erasing.area: got 2; allowed a share of the input",
        ),
        ({"random_rectangle_erasing": {"fill_method": "blue"}}, "fill_method: got 'blue'; allowed uniform, random"),
        ({"random_rectangle_erasing": {"color": [1, 2]}}, r"color: got \[1, 2\]; allowed a whole number from 0 to 255"),
        ({"random_grid_cell_erasing": {"ncells_x": 0}}, "ncells_x: got 0; allowed a whole number from 1 to 100"),
        ({"random_crop": {"crop_width": 1.5}}, "random_crop.crop_width: got 1.5; allowed a share of the size"),
        ({"random_photometric": {"channel_swap": "often"}}, "channel_swap: got 'often'; allowed True, False"),
        ({"random_mosaic": {"labels": "both"}}, "random_mosaic.labels: got 'both'; allowed largest, all"),
        ({"random_half_body": {}}, "random_half_body: the data set without a skeleton names no upper body"),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_allowed(augmentation, message):
    with pytest.raises(ConfigError, match=message) as raised:
        build_chain(augmentation, input_shape=SHAPE)
    assert str(raised.value).startswith("data_augmentation.")


def test_all_faults_are_told_at_once():
    with pytest.raises(ConfigError) as raised:
        chain_of(random_flip={"mode": "up"}, random_zoom={"width_factor": "a", "x": 1}, random_spin={})
    assert len(str(raised.value).splitlines()) == 4


def test_an_empty_chain_changes_nothing():
    chain = chain_of()
    assert chain.draws == 0
    assert chain.input_size(7) is None
    ((layer,),), matrices = chain.draw(np.zeros((1, 0)), nobody(1))
    np.testing.assert_array_equal(matrices, [np.eye(3)])
    np.testing.assert_array_equal(layer.matrix, np.eye(3))
    assert not layer.steps


def test_horizontal_and_vertical_picks_three_kinds_and_two_mirror():
    matrices, _ = drawn(chain_of(random_flip={"mode": "horizontal_and_vertical", "change_rate": 1.0}), 3000)
    kinds = {(bool(m[0, 0] < 0), bool(m[1, 1] < 0)) for m in matrices}
    assert kinds == {(True, False), (False, True), (True, True)}
    assert (g.determinant(matrices) < 0).mean() == pytest.approx(2 / 3, abs=0.03)


def test_change_rate_is_the_share_of_images_changed():
    for rate in (0.0, 0.3, 1.0):
        matrices, _ = drawn(chain_of(random_rotation={"factor": 0.2, "change_rate": rate}), 4000)
        changed = (np.abs(matrices - np.eye(3)) > 1e-9).any(axis=(1, 2)).mean()
        assert changed == pytest.approx(rate, abs=0.03)
    default, _ = drawn(chain_of(random_flip={"mode": "vertical"}), 4000)
    assert (default[:, 1, 1] < 0).mean() == pytest.approx(0.5, abs=0.03)


def test_rotation_factor_is_a_share_of_a_turn_about_the_centre():
    matrices, _ = drawn(chain_of(random_rotation={"factor": (0.1, 0.15)}))
    angles = np.arctan2(matrices[:, 0, 1], matrices[:, 0, 0]) / (2 * np.pi)
    assert 0.1 <= angles.min() < 0.105
    assert 0.145 < angles.max() <= 0.15
    moved = g.transform_points(matrices, np.broadcast_to(CENTRE, (len(matrices), 2)))
    np.testing.assert_allclose(moved, np.broadcast_to(CENTRE, moved.shape), atol=1e-9)


def test_a_positive_zoom_factor_zooms_out():
    matrices, _ = drawn(chain_of(random_zoom={"width_factor": (0.2, 0.5), "height_factor": (-0.3, -0.2)}))
    assert matrices[:, 0, 0].max() <= 1 / 1.2
    assert matrices[:, 0, 0].min() >= 1 / 1.5
    assert matrices[:, 1, 1].min() >= 1 / 0.8


@pytest.mark.parametrize("argument", ["width_factor", "height_factor"])
def test_one_zoom_factor_alone_does_not_distort(argument):
    matrices, _ = drawn(chain_of(random_zoom={argument: 0.3}))
    np.testing.assert_array_equal(matrices[:, 0, 0], matrices[:, 1, 1])
    assert np.ptp(matrices[:, 0, 0]) > 0.3
    matrices, _ = drawn(chain_of(random_zoom={"width_factor": 0.3, "height_factor": 0.3}))
    assert (matrices[:, 0, 0] != matrices[:, 1, 1]).any()


def test_translation_is_a_share_of_width_and_height():
    matrices, _ = drawn(chain_of(random_translation={"width_factor": (0.1, 0.2), "height_factor": 0.25}))
    assert 0.1 * 192 <= matrices[:, 0, 2].min() < matrices[:, 0, 2].max() <= 0.2 * 192
    assert -32 <= matrices[:, 1, 2].min() < 0 < matrices[:, 1, 2].max() <= 32


def test_shears_lean_along_their_axis():
    for name, free in (("random_shear_x", (0, 1)), ("random_shear_y", (1, 0))):
        matrices, _ = drawn(chain_of(**{name: {"factor": (0.02, 0.05)}}))
        leans = np.arctan(matrices[:, free[0], free[1]]) / (2 * np.pi)
        assert 0.02 <= leans.min() < leans.max() <= 0.05
        np.testing.assert_array_equal(matrices[:, free[1], free[0]], 0)
    both, _ = drawn(chain_of(random_shear={"factor": 0.05}))
    assert np.corrcoef(both[:, 0, 1], both[:, 1, 0])[0, 1] == pytest.approx(0, abs=0.2)


def test_three_dimensional_rotation_never_mirrors_within_its_bounds():
    matrices, _ = drawn(chain_of(random_rotation={"factor": 0.2, "rotation_type": "3D"}))
    assert g.determinant(matrices).min() > 0.05
    assert g.determinant(matrices).max() <= 1


def test_geometry_is_composed_in_the_order_of_the_configuration():
    shift = {"width_factor": 0.3, "height_factor": 0.3}
    turn_first = build_chain({"random_rotation": {"factor": 0.2}, "random_translation": shift}, input_shape=SHAPE)
    matrices, uniform = drawn(turn_first, 5)
    alone = build_chain({"random_rotation": {"factor": 0.2}}, input_shape=SHAPE)
    turns = matrices_of(alone, uniform[:, : alone.draws])
    then = g.translation((uniform[:, alone.draws] - 0.5) * 0.6 * 192, (uniform[:, alone.draws + 1] - 0.5) * 0.6 * 128)
    np.testing.assert_allclose(matrices, then @ turns)


def test_colour_steps_keep_their_order_and_ranges():
    chain = chain_of(
        random_brightness={"factor": 0.1}, random_contrast={"factor": (0.5, 0.6)}, random_blur={"filter_size": (2, 4)}
    )
    steps = steps_of(chain, np.random.default_rng(0).random((500, chain.draws)))
    assert all([name for name, _ in row][:2] == ["brightness", "contrast"] for row in steps)
    assert max(abs(row[0][1]) for row in steps) <= 25.5
    assert 0.5 <= min(row[1][1] for row in steps) <= max(row[1][1] for row in steps) <= 0.6
    blurred = [row[2][1][0] for row in steps if len(row) == 3]
    assert set(blurred) == {2, 3, 4}
    assert len(blurred) / 500 == pytest.approx(0.5, abs=0.1)


def test_fill_value_is_given_in_rescaled_units():
    centred = Rescaling(scale=1 / 127.5, offset=-1)
    unit = Rescaling(scale=1 / 255, offset=0)
    zoom = {"random_zoom": {"width_factor": 0.1, "fill_mode": "constant"}}
    assert build_chain(zoom, input_shape=SHAPE, rescaling=centred).fill == pytest.approx(127.5)
    assert build_chain(zoom, input_shape=SHAPE, rescaling=unit).fill == 0
    zoom["random_zoom"]["fill_value"] = -1.0
    assert build_chain(zoom, input_shape=SHAPE, rescaling=centred).fill == 0


def test_one_outside_serves_all_and_explicit_arguments_win(caplog):
    chain = chain_of(random_rotation={"factor": 0.1, "fill_mode": "nearest"}, random_zoom={"width_factor": 0.1})
    assert chain.fill_mode == "nearest"
    with caplog.at_level("INFO"):
        chain = chain_of(
            random_rotation={"factor": 0.1, "fill_mode": "nearest"},
            random_zoom={"width_factor": 0.1, "fill_mode": "wrap", "interpolation": "nearest"},
        )
    assert (chain.fill_mode, chain.interpolation) == ("wrap", "nearest")
    assert "fill_mode wrap of random_zoom serves all" in caplog.text
    assert chain_of(random_flip={"mode": "vertical"}).fill_mode is None
    assert chain_of(random_rotation={"factor": 0.1}).fill_mode == "constant"
    assert chain_of(random_rotation={"factor": 0.1}).interpolation is None


def test_periodic_resizing_keeps_one_size_a_period_and_goes_round():
    chain = chain_of(random_periodic_resizing={"image_sizes": [[96, 64], [128, 160], [32, 32]], "period": 2})
    sizes = [chain.input_size(batch) for batch in range(8)]
    assert sizes == [(64, 96)] * 2 + [(160, 128)] * 2 + [(32, 32)] * 2 + [(64, 96)] * 2
    assert chain_of(random_periodic_resizing={"image_sizes": [[96, 64]]}).period == 10


def test_half_body_needs_a_skeleton_that_says_what_is_above_the_waist():
    with pytest.raises(ConfigError, match="random_half_body: the skeleton hand21 names no upper body; list"):
        build_chain({"random_half_body": {}}, input_shape=SHAPE, skeleton=load_skeleton("hand21"))
    (link,) = build_chain({"random_half_body": {}}, input_shape=SHAPE, skeleton=load_skeleton("coco17")).links
    assert link.arguments["upper_body"].tolist() == [True] * 11 + [False] * 6


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if getattr(operation, "rgb", False)])
def test_colour_alone_is_refused_for_grey_inputs(name):
    given = {"delta": 0.1} if name in ("random_hue", "random_saturation", "random_value") else {}
    given = {f"{part}_delta": 0.1 for part in ("hue", "saturation", "value")} if name == "random_hsv" else given
    assert build_chain({name: given}, input_shape=(64, 64, 3)).links
    with pytest.raises(ConfigError, match=f"{name}: needs colour, but preprocessing.color_mode is grayscale"):
        build_chain({name: given}, input_shape=(64, 64, 1))


def test_crop_shows_a_part_of_the_input_and_no_outside():
    matrices, _ = drawn(chain_of(random_crop={"change_rate": 1.0}))
    widths, heights = 1 / matrices[:, 0, 0], 1 / matrices[:, 1, 1]
    for sides in (widths, heights):
        assert 0.6 <= sides.min() < 0.62
        assert 0.88 < sides.max() <= 0.9
    corners = g.transform_points(g.invert(matrices)[:, None], np.array([[0.0, 0.0], [192.0, 128.0]]))
    assert corners.min() >= -1e-9
    assert (corners <= [192 + 1e-9, 128 + 1e-9]).all()
    fixed = chain_of(random_crop={"crop_width": 0.5, "crop_height": 0.5, "crop_center_x": 0.9, "crop_center_y": 0.5})
    matrix = matrices_of(fixed, np.zeros((1, fixed.draws)))[0]
    np.testing.assert_allclose(
        g.transform_points(matrix, np.array([[96.0, 32.0], [192.0, 96.0]])), [[0, 0], [192, 128]]
    )


def test_levels_wait_and_what_is_bound_to_its_place_keeps_it():
    """One resampling as long as nothing looks at neighbours or places; another one for what is written after."""
    turn, blur = {"factor": 0.2}, {"filter_size": 3, "change_rate": 1}
    waits = chain_of(random_invert={"change_rate": 1}, random_rotation=turn, random_contrast={"factor": 0.3})
    layers, _ = waits.draw(np.full((1, waits.draws), 0.1), nobody(1))
    assert [len(drawn) for drawn in layers] == [1]
    assert [name for name, _ in layers[0][0].steps] == ["invert", "contrast"]
    bound = build_chain(
        {"random_invert": {"change_rate": 1}, "random_blur": blur, "random_rotation": turn}, input_shape=SHAPE
    )
    ((first, second),), total = bound.draw(np.full((1, bound.draws), 0.1), nobody(1))
    assert [name for name, _ in first.steps] == ["invert", "blur"]
    assert not second.steps
    np.testing.assert_allclose(second.matrix @ first.matrix, total[0])
    last = build_chain({"random_rotation": turn, "random_blur": blur}, input_shape=SHAPE)
    assert len(last.draw(np.full((1, last.draws), 0.1), nobody(1))[0][0]) == 1


@pytest.mark.parametrize(
    ("colour", "corner"), [({"random_invert": {"change_rate": 1}}, 255), ({"random_brightness": {"factor": 0.4}}, 102)]
)
def test_levels_written_before_geometry_recolour_the_fill(colour, corner):
    """As docs/augmentation.md says, with its figures."""
    black = Rescaling(scale=1 / 255, offset=0)  # what fill_value 0 is in these units
    chain = build_chain({**colour, "random_rotation": {"factor": (0.1, 0.101)}}, input_shape=SHAPE, rescaling=black)
    ((layer,),), _ = chain.draw(np.full((1, chain.draws), 0.999999), nobody(1))
    image = g.warp(np.full(SHAPE, 90, np.uint8), layer.matrix, SHAPE[:2], fill=chain.fill)
    assert recolour(image, layer.steps)[0, 0].tolist() == [corner] * 3


def test_an_image_that_the_bound_change_misses_is_resampled_once():
    blur = {"filter_size": 3, "change_rate": 0.5}
    chain = build_chain({"random_blur": blur, "random_rotation": {"factor": 0.2}}, input_shape=SHAPE)
    uniform = np.random.default_rng(0).random((400, chain.draws))
    counts = np.array([len(layers) for layers in chain.draw(uniform, nobody(400))[0]])
    np.testing.assert_array_equal(counts == 2, uniform[:, 1] < 0.5)


def test_batch_mode_draws_one_strength_for_all():
    for mode, kinds in (("image", 40), ("batch", 1)):
        chain = chain_of(random_gaussian_noise={"stddev": (0.1, 0.2), "mode": mode, "change_rate": 1})
        steps = steps_of(chain, np.random.default_rng(0).random((40, chain.draws)))
        assert len({strength[0] for ((_, strength),) in steps}) == kinds
        assert len({strength[1] for ((_, strength),) in steps}) == 40
        chain = chain_of(random_rectangle_erasing={"mode": mode})
        steps = steps_of(chain, np.random.default_rng(0).random((40, chain.draws)))
        assert len({tuple(strength[0].ravel().tolist()) for ((_, strength),) in steps}) == kinds

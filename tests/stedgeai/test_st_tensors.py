"""Shapes of ST's runtime against those of the model file."""

from __future__ import annotations

import numpy as np
import pytest

from stm32pose.inference.st_tensors import fit_outputs, input_layout


@pytest.mark.parametrize(
    ("got", "layout"), [((96, 64, 3), "NHWC"), ((3, 96, 64), "NCHW"), ((64, 96, 3), None), ((96, 64), None)]
)
def test_input_layout(got, layout):
    assert input_layout(got, (96, 64, 3)) == layout


@pytest.mark.parametrize(
    ("got", "axes"),
    [
        ((24, 16, 13), (0, 1, 2, 3)),
        ((13, 24, 16), (0, 3, 1, 2)),
        ((16, 13, 24), (0, 2, 3, 1)),  # as ST would hand on an output whose file has channels first but is no map
    ],
)
def test_maps_come_back_in_the_order_of_the_file(got, axes):
    values = np.random.default_rng(1).random((2, 24, 16, 13))
    (fit,) = fit_outputs([got], [(24, 16, 13)]) or []
    assert np.array_equal(fit.apply(values.transpose(axes)), values)


def test_padding_and_flat_outputs():
    values = np.arange(2 * 56 * 84).reshape(2, 56, 84)
    for given in (values[:, :, None, :], values.transpose(0, 2, 1)[:, :, None, :], values.transpose(0, 2, 1)):
        (fit,) = fit_outputs([given.shape[1:]], [(56, 84)]) or []
        assert np.array_equal(fit.apply(given), values)
    (fit,) = fit_outputs([(1, 1, 1)], [(1,)]) or []
    assert fit.apply(np.ones((3, 1, 1, 1))).shape == (3, 1)


def test_outputs_in_another_order():
    fits = fit_outputs([(1, 1, 63), (1,), (24, 24, 13)], [(24, 24, 13), (63,), (1,)]) or []
    assert [fit.index for fit in fits] == [2, 0, 1]
    kept = fit_outputs([(1,), (63,), (1,), (63,)], [(1,), (63,), (1,), (63,)]) or []
    assert [fit.index for fit in kept] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("got", "wanted"),
    [
        ([(24, 16, 13)], [(24, 16, 17)]),
        ([(63,)], [(63,), (1,)]),
        ([(63,), (1,), (63,)], [(1,), (63,), (63,)]),  # which 63 is which?
        ([(64,)], [(63,)]),
    ],
)
def test_another_network(got, wanted):
    assert fit_outputs(got, wanted) is None

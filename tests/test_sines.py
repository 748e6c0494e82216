"""Sine transforms against the dense matrices that they diagonalise."""

import numpy as np
import pytest

from assay.solvers.discretisations import five_point
from assay.solvers.linear_algebra.sines import SineTransform


@pytest.mark.parametrize("n", [4, 9])
def test_second_differences_are_diagonal(n):
    weights, line, plane = [2.0, 0.7], SineTransform(n, 1), SineTransform(n)
    x = np.random.default_rng(0).standard_normal((n - 1, n - 1))
    np.testing.assert_allclose(line(line(x[0])), x[0], atol=1e-14)
    np.testing.assert_allclose(plane(plane(x)), x, atol=1e-14)
    matrix = sum(w * five_point.second_matrix(n, axis) for axis, w in enumerate(weights))
    image = plane(plane(x) * plane.eigenvalues(weights))
    np.testing.assert_allclose(np.ravel(image), matrix @ x.ravel(), atol=1e-13)
    along = 2 * np.eye(n - 1) - np.eye(n - 1, k=1) - np.eye(n - 1, k=-1)
    np.testing.assert_allclose(line(line(x[0]) * line.eigenvalues(weights[:1])), 2 * along @ x[0], atol=1e-13)


@pytest.mark.parametrize("dimension", [1, 2])
def test_the_lowest_mode_is_positive_and_of_length_one(dimension):
    sines = SineTransform(8, dimension)
    assert (sines.lowest > 0).all() and np.vdot(sines.lowest, sines.lowest) == pytest.approx(1, rel=1e-14)
    coefficients = np.asarray(sines(sines.lowest))
    assert coefficients.ravel()[0] == pytest.approx(1, rel=1e-14) and np.abs(coefficients.ravel()[1:]).max() < 1e-14

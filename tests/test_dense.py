"""Gauss-Jordan elimination against exact arithmetic."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

from assay.solvers.linear_algebra.dense import gauss_jordan, inverse, solve_spd

M = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.0]])  # of determinant 18
INVERSE = np.array([[5, -2, -1], [-2, 8, 4], [-1, 4, 11]]) / 18


def test_inverses_and_solutions_are_those_of_exact_arithmetic():
    b = np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 0.0]])
    np.testing.assert_allclose(inverse(jnp.asarray(M)), INVERSE, rtol=0, atol=4e-16)
    np.testing.assert_allclose(gauss_jordan(jnp.asarray(np.hstack([M, b]))), INVERSE @ b, rtol=0, atol=8e-16)
    np.testing.assert_allclose(solve_spd(jnp.asarray(M), jnp.asarray(b[:, 0])), INVERSE @ b[:, 0], rtol=0, atol=8e-16)


def test_units_do_not_matter_to_a_scaled_solve():
    """The Hilbert matrix of order 5 in units from 2^-200 to 2^200: as exact as in its own."""
    n, units = 5, 2.0 ** np.array([-200, 0, 100, -100, 200])
    hilbert = np.array([[1 / (i + j + 1) for j in range(n)] for i in range(n)])
    ones = np.ones(n)
    plain = np.asarray(solve_spd(jnp.asarray(hilbert), jnp.asarray(ones)))
    scaled = np.asarray(solve_spd(jnp.asarray(hilbert * units[:, None] * units), jnp.asarray(ones * units)))
    np.testing.assert_array_equal(scaled * units, plain)
    # 1 over the row sums of the exact inverse are whole numbers: 5, -120, 630, -1120, 630
    assert [Fraction(round(x)) for x in plain] == [5, -120, 630, -1120, 630]


def test_many_systems_are_solved_at_once_as_one_by_one():
    scales = jnp.asarray([1.0, 2.0, 5.0])
    many = jax.jit(jax.vmap(lambda s: solve_spd(s * jnp.asarray(M), jnp.ones(3))))(scales)
    one = jax.jit(lambda s: solve_spd(s * jnp.asarray(M), jnp.ones(3)))
    for s, x in zip(scales, many, strict=True):
        np.testing.assert_allclose(x, one(s), rtol=1e-15)


def test_what_is_singular_is_no_number():
    singular = jnp.asarray([[1.0, 1.0], [1.0, 1.0]])
    assert not np.isfinite(np.asarray(inverse(singular))).all()
    assert not np.isfinite(np.asarray(solve_spd(singular, jnp.ones(2)))).all()

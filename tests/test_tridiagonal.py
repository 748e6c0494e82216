"""Tridiagonal solves, plain and cyclic, against dense linear algebra."""

import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.linear_algebra.tridiagonal import Bands, apply, solve, transpose


def dense(a: Bands, cyclic: bool) -> np.ndarray:
    n = len(a.diagonal)
    m = np.diag(np.asarray(a.diagonal))
    for i in range(n):
        if cyclic or i > 0:
            m[i, i - 1] += a.lower[i]
        if cyclic or i < n - 1:
            m[i, (i + 1) % n] += a.upper[i]
    return m


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("n", [3, 7, 32])
def test_solves_are_those_of_the_dense_matrix(n: int, cyclic: bool) -> None:
    rng = np.random.default_rng(n)
    lower, diagonal, upper, b = (jnp.asarray(x) for x in rng.standard_normal((4, n)))
    for shift in (0.0, 3.0):  # without dominance, where pivoting is needed, and with it
        a = Bands(lower, diagonal + shift, upper)
        m = dense(a, cyclic)
        tolerance = 1e-13 * np.linalg.cond(m)
        assert np.allclose(apply(a, b, cyclic), m @ b, rtol=0, atol=1e-13)
        exact = np.linalg.solve(m, b)
        assert np.allclose(solve(a, b, cyclic), exact, rtol=0, atol=tolerance * np.abs(exact).max())
        exact = np.linalg.solve(m.T, b)
        assert np.allclose(solve(transpose(a), b, cyclic), exact, rtol=0, atol=tolerance * np.abs(exact).max())


def test_a_singular_system_is_not_finite() -> None:
    ones = jnp.ones(4)
    assert not np.isfinite(solve(Bands(-ones, 2 * ones, -ones), jnp.arange(4.0), cyclic=True)).all() or (
        np.abs(solve(Bands(-ones, 2 * ones, -ones), jnp.arange(4.0), cyclic=True)).max() > 1e12
    )

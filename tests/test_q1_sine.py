"""The sine transform diagonalises the Q1 Laplacian: against the assembled matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.discretisations import q1
from assay.solvers.discretisations import q1_sine as sine


@pytest.mark.parametrize(("nx", "ny"), [(2, 2), (3, 2), (4, 4), (5, 8), (9, 7)])
def test_eigenvalues_are_those_of_the_matrix(nx, ny):
    exact = np.linalg.eigvalsh(q1.CsrMap(nx, ny)(np.ones((nx, ny))).toarray())
    np.testing.assert_allclose(np.sort(sine.eigenvalues(nx, ny).ravel()), exact, rtol=0, atol=1e-14 * exact[-1])
    assert exact[0] * (1 - 1e-12) <= sine.smallest_eigenvalue(nx, ny) < exact[0] * (1 + 1e-14)


def test_the_smallest_eigenvalue_tends_to_that_of_the_square():
    # lambda_min / h^2 -> 2 pi^2 at order two, from below: h^2 stands for the mass matrix, whose lowest mode weighs less
    gaps = np.array([1 - sine.smallest_eigenvalue(n, n) * n**2 / (2 * np.pi**2) for n in (8, 16, 32, 64)])
    assert (gaps > 0).all()
    np.testing.assert_allclose(np.log2(gaps[:-1] / gaps[1:]), 2, atol=0.03)


@pytest.mark.parametrize(("nx", "ny"), [(2, 2), (3, 5), (8, 8), (9, 9), (16, 10), (33, 12)])
def test_a_reference_solve_inverts_the_matrix_to_rounding(nx, ny):
    matrix = q1.CsrMap(nx, ny)(np.ones((nx, ny)))
    rng = np.random.default_rng(nx)
    for r in (rng.standard_normal((nx - 1, ny - 1)), np.ones((nx - 1, ny - 1)), np.eye(nx - 1, ny - 1)):
        z = np.asarray(jax.jit(sine.poisson_solve)(r))
        back = (matrix @ z.ravel()).reshape(r.shape)
        # backward stable: the residual is a few ulp of |A||z|
        assert np.abs(back - r).max() <= 2e-14 * np.abs(z).max() * 6


def test_one_mode_is_divided_by_its_eigenvalue():
    nx, ny, i, j = 12, 10, 3, 4
    x, y = np.arange(1, nx) / nx, np.arange(1, ny) / ny
    mode = np.outer(np.sin(i * np.pi * x), np.sin(j * np.pi * y))
    z = sine.poisson_solve(jnp.asarray(mode))
    np.testing.assert_allclose(z, mode / sine.eigenvalues(nx, ny)[i - 1, j - 1], rtol=0, atol=1e-14)

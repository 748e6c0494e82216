"""Operator-dependent multigrid against dense linear algebra, and where it must take over from the cheaper one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.discretisations import q1
from assay.solvers.discretisations import q1_multigrid as multigrid
from assay.solvers.linear_algebra import stencil_multigrid
from assay.solvers.linear_algebra.direct import factorise


def rough(n, contrast=1e3, seed=0):
    """Every cell drawn by itself."""
    return np.exp(np.log(contrast) * np.random.default_rng(seed).random((n, n)))


def dense(linear, m):
    return np.asarray(jax.jit(jax.vmap(lambda e: linear(e.reshape(m, m)).ravel()))(jnp.eye(m * m))).T


@functools.cache
def two_grids():
    S = stencil_multigrid.diffusion_stencil(jnp.asarray(rough(12)))
    return S, stencil_multigrid.interpolation(S)


def test_the_stencil_is_the_assembled_matrix():
    S, _ = two_grids()
    np.testing.assert_allclose(
        dense(lambda u: stencil_multigrid.apply(S, u), 11),
        q1.CsrMap(12, 12)(rough(12)).toarray(),
        rtol=1e-12,
        atol=1e-9,
    )


def test_the_coarse_operator_is_the_galerkin_product():
    S, P = two_grids()
    A = dense(lambda u: stencil_multigrid.apply(S, u), 11)
    prolongation = dense(lambda c: stencil_multigrid.prolong(P, c), 5)
    coarse = dense(lambda c: stencil_multigrid.apply(stencil_multigrid.galerkin(S, P), c), 5)
    product = prolongation.T @ A @ prolongation
    np.testing.assert_allclose(coarse, product, rtol=0, atol=1e-13 * np.abs(product).max())
    np.testing.assert_allclose(
        dense(lambda r: stencil_multigrid.restrict(P, r), 11), prolongation.T, rtol=0, atol=1e-15
    )


def test_interpolation_leaves_no_residual_in_the_middle_nodes_and_keeps_constants():
    S, P = two_grids()
    u = stencil_multigrid.prolong(P, jnp.ones((5, 5)))
    np.testing.assert_allclose(u[1:-1, 1:-1], 1.0, atol=1e-14)  # rows of an element sum to zero, whatever its weight
    residual = stencil_multigrid.apply(S, stencil_multigrid.prolong(P, jnp.asarray(rough(5, seed=1))))
    assert np.abs(residual[0::2, 0::2]).max() < 1e-12 * np.abs(residual).max()


def test_the_cycle_is_symmetric_and_a_good_inverse_of_a_rough_operator():
    w = jnp.asarray(rough(32))
    h = jax.jit(stencil_multigrid.hierarchy)(w)
    cycle = dense(lambda r: stencil_multigrid.v_cycle(h, r), 31)
    np.testing.assert_allclose(cycle, cycle.T, rtol=0, atol=1e-12 * np.abs(cycle).max())
    root = np.linalg.cholesky(q1.CsrMap(32, 32)(np.asarray(w)).toarray())
    spectrum = np.linalg.eigvalsh(root.T @ cycle @ root)
    # a Galerkin cycle never overshoots; averaged coarse operators begin at 0.13 here
    assert spectrum[0] > 0.4 and spectrum[-1] < 1 + 1e-9


@pytest.mark.parametrize("contrast", [1e3, 1e6])
def test_rough_coefficients_are_solved_in_few_iterations_and_right(contrast):
    n = 64
    w, b = rough(n, contrast), np.full((n - 1, n - 1), 1 / n**2)
    result = jax.jit(lambda w, b: multigrid.solve(w, b, 1e-10, rough=True))(w, b)
    assert result.converged and int(result.iterations) <= 60
    exact = factorise(q1.CsrMap(n, n)(w))(b.ravel()).reshape(n - 1, n - 1)
    assert np.abs(result.u - exact).max() <= 1e-8 * np.abs(exact).max()


def test_a_grid_that_halving_cannot_bring_down_is_named():
    assert not stencil_multigrid.fits(100) and stencil_multigrid.fits(96) and stencil_multigrid.fits(128)
    with pytest.raises(ValueError, match="cannot be halved"):
        stencil_multigrid.hierarchy(jnp.ones((100, 100)))

"""The element and the multigrid cycle: algebraic identities, mesh-independent convergence, honest stopping."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.discretisations import q1
from assay.solvers.discretisations import q1_multigrid as multigrid
from assay.solvers.discretisations import q1_sine as sine
from assay.solvers.linear_algebra.direct import factorise

SIZES = [(2, 2), (3, 3), (6, 4), (9, 9), (5, 8)]


def weights(nx, ny, seed=0, contrast=100.0):
    return np.exp(np.random.default_rng(seed).uniform(0, np.log(contrast), (nx, ny)))


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# ---- the element -----------------------------------------------------------------------------------------------------


def test_the_element_matrix_is_the_exact_integral():
    gauss, share = (np.array([-1, 1]) / np.sqrt(3) + 1) / 2, 0.25
    total = np.zeros((4, 4))
    for x in gauss:
        for y in gauss:  # 2 x 2 points integrate products of bilinear functions' gradients exactly
            gradient = np.array([[y - 1, 1 - y, -y, y], [x - 1, -x, 1 - x, x]])
            total += share * gradient.T @ gradient
    np.testing.assert_allclose(q1.ELEMENT, total, atol=1e-15)
    np.testing.assert_allclose(q1.FACTOR.T @ q1.FACTOR, q1.ELEMENT, atol=1e-15)


@pytest.mark.parametrize(("nx", "ny"), SIZES)
def test_readers_of_the_operator_agree(nx, ny):
    w, u, v = weights(nx, ny), noise(nx + 1, ny + 1, seed=1), noise(nx - 1, ny - 1, seed=2)
    matrix = q1.CsrMap(nx, ny)(w)
    applied = matrix @ v.ravel()
    np.testing.assert_allclose(multigrid.stiffness(w, v).ravel(), applied, rtol=0, atol=1e-14 * np.abs(applied).max())
    np.testing.assert_allclose(q1.diagonal(w).ravel(), matrix.diagonal(), rtol=1e-14)
    # values on the boundary take part: against the sum of element matrices
    corners = np.stack([u[:-1, :-1], u[1:, :-1], u[:-1, 1:], u[1:, 1:]], axis=-1)
    parts = w[..., None] * (corners @ q1.ELEMENT)
    full = np.zeros((nx + 1, ny + 1))
    for k, (i, j) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
        full[i : i + nx, j : j + ny] += parts[..., k]
    np.testing.assert_allclose(q1.apply(w, u), full[1:-1, 1:-1], rtol=0, atol=1e-13 * np.abs(full).max())
    energy = np.einsum("xy,kxy->", w, np.asarray(q1.flux(u)) ** 2)
    np.testing.assert_allclose(energy, np.vdot(u, full), rtol=1e-13)


def test_the_matrix_is_an_m_matrix_with_zero_row_sums_inside():
    matrix = q1.CsrMap(6, 6)(weights(6, 6)).toarray()
    assert (matrix - np.diag(np.diag(matrix)) <= 0).all() and (matrix == matrix.T).all()
    assert (np.linalg.inv(matrix) > 0).all()
    np.testing.assert_allclose(q1.apply(weights(6, 6), np.ones((7, 7))), 0, atol=1e-12)
    np.testing.assert_array_equal(q1.apply_absolute(weights(4, 4), -np.ones((5, 5))) > 0, True)


# ---- transfers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("nx", "ny"), [(8, 8), (6, 10), (9, 9), (5, 8), (7, 12), (15, 15)])
def test_restriction_is_the_transpose_of_interpolation(nx, ny):
    coarse = noise((nx + 1) // 2 - 1, (ny + 1) // 2 - 1)
    fine = noise(nx - 1, ny - 1, seed=1)
    np.testing.assert_allclose(
        np.vdot(multigrid.prolong(coarse, nx, ny), fine), np.vdot(coarse, multigrid.restrict(fine, nx, ny)), rtol=1e-12
    )


@pytest.mark.parametrize("n", [8, 9, 15])
def test_interpolation_reproduces_bilinear_functions_away_from_the_boundary(n):
    coarse = (n + 1) // 2
    x, X = np.arange(1, n) / n, np.arange(1, coarse) / coarse
    fine = multigrid.prolong(np.outer(1 + X, 2 - X), n, n)
    inside = (x >= X[0]) & (x <= X[-1])
    np.testing.assert_allclose(fine[np.ix_(inside, inside)], np.outer(1 + x, 2 - x)[np.ix_(inside, inside)], rtol=1e-13)


@pytest.mark.parametrize(("nx", "ny"), [(8, 8), (9, 9), (5, 8)])
def test_coarse_weights_are_averages(nx, ny):
    w = weights(nx, ny)
    coarse = multigrid.coarsen(jnp.asarray(w))
    assert coarse.shape == ((nx + 1) // 2, (ny + 1) // 2)
    np.testing.assert_allclose(coarse.mean(), w.mean(), rtol=1e-14)
    assert w.min() <= coarse.min() and coarse.max() <= w.max()


# ---- the cycle -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [9, 12])
def test_one_cycle_is_a_symmetric_positive_definite_approximate_inverse(n):
    w = jnp.asarray(weights(n, n))
    h = jax.jit(multigrid.hierarchy)(w)
    unit = jnp.eye((n - 1) ** 2).reshape(-1, n - 1, n - 1)
    cycle = np.asarray(jax.jit(jax.vmap(functools.partial(multigrid.v_cycle, h)))(unit)).reshape(len(unit), -1)
    np.testing.assert_allclose(cycle, cycle.T, rtol=0, atol=1e-14 * np.abs(cycle).max())
    matrix = q1.CsrMap(n, n)(np.asarray(w)).toarray()
    root = np.linalg.cholesky(matrix)
    spectrum = np.linalg.eigvalsh(root.T @ cycle @ root)  # of the preconditioned operator; 1 were a direct solve
    assert spectrum[0] > 0.2 and spectrum[-1] < 1.5


def test_the_convergence_factor_for_the_laplacian_does_not_depend_on_the_grid():
    factors = []
    for n in (16, 32):
        w = jnp.ones((n, n))
        h = jax.jit(multigrid.hierarchy)(w)
        step = jax.jit(lambda h, w, e: e - multigrid.v_cycle(h, multigrid.stiffness(w, e)))
        e = noise(n - 1, n - 1)
        for _ in range(15):
            e = step(h, w, e / np.linalg.norm(e))
        factors.append(float(np.linalg.norm(e)))
    # two grids: two sweeps with smoothing factor 1/3, so 1/9; more levels add what each coarse solve leaves
    assert max(factors) < 0.2 and factors[1] < 1.5 * factors[0], factors


@functools.cache
def solver(tolerance=1e-12, **settings):
    return jax.jit(functools.partial(multigrid.solve, tolerance=tolerance, **settings))


@pytest.mark.parametrize("contrast", [1.0, 1e2, 1e4])
def test_the_solution_is_that_of_a_direct_solve(contrast):
    n = 16
    w, b = weights(n, n, contrast=contrast), noise(n - 1, n - 1)
    result = solver()(w, b)
    matrix = q1.CsrMap(n, n)(w)
    assert result.converged
    np.testing.assert_allclose(
        result.u.ravel(), factorise(matrix)(b.ravel()), rtol=0, atol=1e-10 * np.abs(result.u).max()
    )
    true = np.linalg.norm(b.ravel() - matrix @ np.asarray(result.u).ravel())
    assert abs(float(result.residual) - true) <= 1e-13 * np.linalg.norm(b)


def test_a_checkerboard_of_contrast_a_million_takes_few_iterations():
    w = 10.0 ** (3.0 * (-1) ** np.add.outer(np.arange(16) // 4, np.arange(16) // 4))
    result = solver()(w, np.ones((15, 15)))
    assert result.converged and int(result.iterations) <= 30


def test_a_tolerance_below_rounding_stops_at_the_floor():
    w, b = weights(16, 16), np.ones((15, 15))
    result = solver(1e-18)(w, b)
    assert result.converged and int(result.iterations) < 200
    absolute = np.asarray(q1.apply_absolute(w, np.pad(result.u, 1)))
    assert float(result.residual) <= multigrid.FLOOR * np.linalg.norm(absolute) <= 1e-12 * np.linalg.norm(b)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_senseless_weights_never_count_as_converged(bad):
    w = np.ones((16, 16))
    w[3, 4] = bad
    assert not solver()(w, np.ones((15, 15))).converged


def test_the_zero_load_has_the_zero_solution():
    result = solver()(weights(16, 16), np.zeros((15, 15)))
    assert result.converged and int(result.iterations) == 0 and (np.asarray(result.u) == 0).all()


# ---- full multigrid --------------------------------------------------------------------------------------------------


def relative_error(w, u, b):
    matrix = q1.CsrMap(*w.shape)(w)
    exact = factorise(matrix)(b.ravel())
    e = np.asarray(u).ravel() - exact
    return np.sqrt(e @ (matrix @ e) / (exact @ (matrix @ exact)))


@functools.cache
def full(cycles=1):
    return jax.jit(functools.partial(multigrid.full_multigrid, cycles=cycles))


@pytest.mark.parametrize(("jump_at", "one", "two"), [(8, 1.6e-2, 2e-3), (9, 8e-2, 3e-2)])
def test_full_multigrid_is_accurate_at_a_fixed_price(jump_at, one, two):
    """Where coarse cells resolve the jumps, well below the grid's own distance from the equation (about 10 % here)."""
    n = 16
    side = np.arange(n) >= jump_at
    w = np.array([[0.3, 3.0], [1.0, 0.5]])[np.ix_(side.astype(int), side.astype(int))]
    b = np.full((n - 1, n - 1), 1 / n**2)
    errors = [relative_error(w, full(cycles)(w, b), b) for cycles in (1, 2)]
    assert errors[0] <= one and errors[1] <= two, errors


def test_full_multigrid_solves_the_smallest_grids_exactly():
    for n in (2, 3, 4):
        w, b = weights(n, n), noise(n - 1, n - 1)
        assert relative_error(w, full()(w, b), b) <= 1e-13


def test_full_multigrid_gives_nan_for_weights_that_are_not_positive():
    w = np.ones((8, 8))
    w[0, 0] = -1.0  # its average with the neighbours is positive
    assert np.isnan(full()(w, np.ones((7, 7)))).all()


def test_for_the_laplacian_all_solvers_agree():
    b = noise(15, 15)
    np.testing.assert_allclose(solver()(np.ones((16, 16)), b).u, sine.poisson_solve(jnp.asarray(b)), rtol=0, atol=1e-11)

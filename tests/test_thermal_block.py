"""The thermal block against exact values, an independent code, rational arithmetic and its own invariants."""

import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skfem
from skfem.helpers import dot, grad
from small_matrices import rational

from assay.solvers import SolveError, ThermalBlock
from assay.solvers.classes import coercive_solve
from assay.solvers.discretisations import q1_multigrid as multigrid
from assay.solvers.linear_algebra.direct import solve_refined
from assay.solvers.linear_algebra.krylov import CgResult

CENTRE = 0.0736713532815138  # of u for k = 1: the double sine series


@functools.cache
def block(blocks=(2, 2), cells=8, low=0.1, high=10.0):
    """One instance each, so that what it compiles is compiled once."""
    return ThermalBlock(blocks, cells, low, high)


@functools.cache
def pullback():
    """(p, weight) -> the gradient of weight . u(p)."""
    return jax.jit(lambda p, weight: jax.vjp(block().solve, p)[1](weight)[0])


def inputs(problem, n, seed=0):
    return problem.inputs.sample(n, seed)


def grid(problem, u):
    return np.asarray(u).reshape(problem.cells + 1, problem.cells + 1)


def fields(problem, n, seed=0):
    """Random fields, rough and smooth, zero on the boundary."""
    rng = np.random.default_rng(seed)
    rough = rng.standard_normal((n, problem.size)) * 10.0 ** rng.uniform(-3, 3, (n, 1))
    x, y = problem.coordinates.T
    smooth = np.sin(np.pi * x) * np.sin(2 * np.pi * y) * rng.standard_normal((n, 1))
    return np.concatenate([rough, smooth]) * problem.free


def scikit_fem(problem, p):
    """The Q1 solution by an independent code, in our order of nodes."""
    n, (bx, by) = problem.cells, problem.blocks
    mesh = skfem.MeshQuad.init_tensor(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1))
    basis = skfem.Basis(mesh, skfem.ElementQuad1())

    @skfem.BilinearForm
    def stiffness(u, v, w):
        x, y = w.x
        k = np.asarray(p).reshape(bx, by)[np.floor(x * bx).astype(int), np.floor(y * by).astype(int)]
        return k * dot(grad(u), grad(v))

    @skfem.LinearForm
    def load(v, _):
        return 1.0 * v

    u = skfem.solve(*skfem.condense(stiffness.assemble(basis), load.assemble(basis), D=mesh.boundary_nodes()))
    i, j = np.rint(mesh.p * n).astype(int)
    ours = np.empty(problem.size)
    ours[i * (n + 1) + j] = u
    return ours


def test_unit_conductivity_at_the_centre_converges_with_order_two():
    errors = []
    for cells in (16, 32, 64, 128):
        problem = ThermalBlock((1, 1), cells)
        errors.append(grid(problem, problem.solve([1.0]))[cells // 2, cells // 2] - CENTRE)
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.abs(orders - 2).max() <= 0.05, orders
    assert abs(errors[-1]) < 2e-5


@pytest.mark.parametrize(("blocks", "cells"), [((3, 2), 12), ((3, 3), 9)])
def test_scikit_fem_solves_the_same_equations(blocks, cells):
    problem = block(blocks, cells)
    for p in inputs(problem, 3, seed=1):
        reference = scikit_fem(problem, p)
        error = np.abs(problem.solve(p) - reference).max() / np.abs(reference).max()
        assert error <= 1e-9
        # the order of inputs matters: with x and y exchanged the answer is another one
        exchanged = p.reshape(blocks).T.ravel()
        assert np.abs(scikit_fem(block(blocks[::-1], cells), exchanged) - reference).max() > 1e-3 * reference.max()


def test_the_second_block_along_y_is_the_second_input():
    problem = block()
    u = grid(problem, problem.solve([1.0, 0.1, 1.0, 1.0]))  # poor conductor: k01, so x < 1/2 < y is hottest
    i, j = np.unravel_index(u.argmax(), u.shape)
    assert i < 4 < j and problem.inputs.names == ("k00", "k01", "k10", "k11")


@pytest.mark.parametrize("blocks", [(2, 2), (3, 1)])
def test_jax_and_csr_residuals_agree(blocks):
    problem = block(blocks, 12)
    free = problem.free
    for p in inputs(problem, 5):
        matrix, f = problem.matrix(p), np.asarray(problem.load(p))
        for u in fields(problem, 3):
            ours = np.asarray(problem.residual(p, u))
            theirs = matrix @ u[free] - f[free]
            assert np.abs(ours[free] - theirs).max() <= 1e-13 * np.abs(theirs).max()
            assert (ours[~free] == 0).all()


def test_the_residual_shows_values_on_the_boundary():
    problem = block()
    u = np.where(problem.free, 0.0, 7.0)
    assert (np.asarray(problem.residual(np.ones(4), u))[~problem.free] == 7).all()
    assert (np.asarray(problem.prescribe(jnp.ones(4), jnp.asarray(u))) == 0).all()


def test_the_truth_has_the_residual_it_claims():
    problem = block()
    for p in inputs(problem, 5):
        solution = problem.solve_report(p)
        f = np.asarray(problem.load(p))
        true = np.linalg.norm(problem.residual(p, solution.u)) / np.linalg.norm(f)
        assert solution.residual <= 1e-12 and solution.method == "multigrid-cg" and 5 <= solution.iterations <= 20
        assert abs(true - solution.residual) <= 1e-13  # two evaluations of a number near rounding
        # compliance: f'u = ||u||^2
        np.testing.assert_allclose(problem.norm(p, solution.u) ** 2, f @ solution.u, rtol=1e-11)


def test_a_looser_tolerance_is_kept_and_cheaper():
    problem = block()
    p = inputs(problem, 1)[0]
    loose, tight = problem.solve_report(p, 1e-3), problem.solve_report(p)
    assert 1e-12 < loose.residual <= 1e-3 and loose.iterations < tight.iterations


@pytest.mark.parametrize(("cells", "blocks"), [(9, 3), (21, 3), (33, 3), (2, 1), (3, 1)])
def test_odd_and_tiny_grids_need_no_fallback(cells, blocks):
    problem = block((blocks, blocks), cells)
    p = np.resize([0.1, 10.0, 1.0, 3.0], blocks**2)
    solution = problem.solve_report(p)
    direct = solve_refined(problem.matrix(p), np.asarray(problem.load(p))[problem.free])
    assert solution.method == "multigrid-cg" and solution.iterations <= 25
    np.testing.assert_allclose(solution.u[problem.free], direct, rtol=0, atol=1e-10 * direct.max())


def test_scaling_the_conductivity_scales_the_field():
    problem = block()
    for p, c in zip(inputs(problem, 4) ** 0.25, (0.2, 0.3, 3.0, 5.5), strict=True):  # c p is in the box as well
        np.testing.assert_allclose(problem.solve(c * p), problem.solve(p) / c, rtol=0, atol=1e-11 / c)


def test_features_hold_everything_but_the_amplitude():
    problem = block()
    p = inputs(problem, 1)[0] ** 0.25
    (x, s), (y, t) = problem.features(jnp.asarray(p)), problem.features(jnp.asarray(5 * p))
    np.testing.assert_allclose(x, y, atol=1e-14)
    np.testing.assert_allclose(s / t, 5)
    np.testing.assert_allclose(problem.solve(p) / s, problem.solve(5 * p) / t, rtol=0, atol=1e-11)


def test_mirrored_and_turned_inputs_give_mirrored_and_turned_fields():
    problem = block((3, 3), 9)
    p = inputs(problem, 1)[0].reshape(3, 3)
    u = grid(problem, problem.solve(p.ravel()))
    for moved in (lambda a: a.T, lambda a: a[::-1], lambda a: a[:, ::-1], np.rot90):
        np.testing.assert_allclose(grid(problem, problem.solve(moved(p).ravel())), moved(u), rtol=0, atol=1e-12)


def test_a_batch_is_its_rows_under_every_transformation():
    problem = block()
    P = inputs(problem, 35)  # more than one compiled chunk
    U = np.asarray(problem.solve_batch(P))
    close = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-11)
    close(U[[0, 31, 32, 34]], [problem.solve(P[i]) for i in (0, 31, 32, 34)])
    close(U[:3], jax.jit(jax.vmap(problem.solve))(P[:3]))
    close(U[:3], jax.jit(problem.solve_batch)(P[:3]))
    assert problem.solve_batch(P[:0]).shape == (0, problem.size)
    norms = jax.vmap(problem.norm)(P[:3], U[:3])
    np.testing.assert_allclose(norms, [problem.norm(p, u) for p, u in zip(P[:3], U[:3], strict=True)], rtol=1e-13)


def test_adjoint_and_tangent_agree():
    problem = block()
    rng = np.random.default_rng(0)
    push = jax.jit(lambda p, dp: jax.jvp(problem.solve, (p,), (dp,))[1])
    for p in inputs(problem, 5):
        dp, weight = jnp.asarray(rng.standard_normal(4)), jnp.asarray(rng.standard_normal(problem.size))
        du, gradient = push(p, dp), pullback()(p, weight)
        # relative to what the two sums are made of: both may cancel
        assert abs(weight @ du - gradient @ dp) <= 1e-8 * np.linalg.norm(weight) * np.linalg.norm(du)


def test_gradients_match_central_differences():
    problem = block()
    p, h = jnp.asarray([0.4, 2.0, 1.1, 0.7]), 1e-4
    weight = jnp.asarray(np.random.default_rng(1).standard_normal(problem.size))
    central = [weight @ (problem.solve(p + h * e) - problem.solve(p - h * e)) / (2 * h) for e in np.eye(4)]
    # the differences' own error: third derivatives times h^2/6, about 1e-8 here, and rounding, 1e-12 / h
    np.testing.assert_allclose(pullback()(p, weight), central, rtol=1e-6, atol=1e-7)
    # u(c p) = u(p)/c: along p the compliance f'u falls by its own value
    f = problem.load(p)
    np.testing.assert_allclose(pullback()(p, f) @ p, -f @ problem.solve(p), rtol=1e-10)


def test_the_norms_gradient_matches_central_differences():
    problem = block()
    p, u, h = jnp.asarray([0.4, 2.0, 1.1, 0.7]), jnp.asarray(fields(block(), 1)[1]), 1e-5
    norm = jax.jit(problem.norm)
    central = [(norm(p + h * e, u) - norm(p - h * e, u)) / (2 * h) for e in np.eye(4)]
    np.testing.assert_allclose(jax.grad(norm)(p, u), central, rtol=1e-7)


def test_hessian_vector_products_match_differences_of_gradients():
    problem = block()
    p, v, h = jnp.asarray([0.4, 2.0, 1.1, 0.7]), jnp.asarray([1.0, -0.5, 0.25, 0.0]), 1e-4
    f = problem.load(p)
    product = jax.jit(lambda p, v: jax.jvp(lambda p: pullback()(p, f), (p,), (v,))[1])(p, v)
    central = (pullback()(p + h * v, f) - pullback()(p - h * v, f)) / (2 * h)
    np.testing.assert_allclose(product, central, rtol=1e-5, atol=1e-8)


def test_the_residual_is_differentiable_in_both_arguments():
    problem = block()
    p, u = jnp.asarray([0.4, 2.0, 1.1, 0.7]), jnp.asarray(fields(problem, 1)[1])
    dp, du = jnp.asarray([1.0, 2.0, -1.0, 0.5]), jnp.asarray(fields(problem, 1, seed=5)[1])
    _, derivative = jax.jvp(problem.residual, (p, u), (dp, du))
    # the residual is bilinear plus a constant: its derivative is known exactly
    zero = problem.residual(p, 0 * u)
    expected = (problem.residual(p, du) - zero) + (problem.residual(dp, u) - zero)
    np.testing.assert_allclose(derivative, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


def test_every_term_is_one_block():
    problem = block((3, 2), 12)
    u = fields(problem, 1)[0]
    p = inputs(problem, 1)[0]
    np.testing.assert_allclose(p @ problem.operator_terms(u), problem.apply(p, u), rtol=0, atol=1e-12 * np.abs(u).max())


def test_the_eigenvalue_bound_is_below_and_tight_for_equal_blocks():
    problem = block()
    for p in [np.ones(4), *inputs(problem, 3)]:
        smallest = np.linalg.eigvalsh(problem.matrix(p).toarray())[0]
        bound = float(problem.coercivity(jnp.asarray(p)))
        # eigvalsh itself is good to a few ulp of the largest eigenvalue
        assert 0 < bound <= smallest + 1e-14 * p.max()
    assert float(problem.coercivity(jnp.ones(4))) == pytest.approx(
        np.linalg.eigvalsh(problem.matrix(np.ones(4)).toarray())[0], rel=1e-12
    )


# ---- rounding: the same quantities in rational arithmetic ------------------------------------------------------------


def cell_sums(problem, u):
    """Three combinations of the corners of every cell; their squares over 4, 4 and 6 are the cell's energy."""
    v = rational(u).reshape(problem.cells + 1, problem.cells + 1)
    a, b, c, d = v[:-1, :-1], v[1:, :-1], v[:-1, 1:], v[1:, 1:]
    return np.stack([b - a + d - c, c - a + d - b, a - b - c + d])


def spread(problem, theta):
    (bx, by), n = problem.blocks, problem.cells
    return np.repeat(np.repeat(rational(theta).reshape(bx, by), n // bx, 0), n // by, 1)


def test_the_bound_of_a_flux_energys_rounding_holds():
    problem = block((2, 3), 6)
    rng = np.random.default_rng(0)
    for k in (1, 2, 4):
        for _ in range(10):
            U = fields(problem, k, seed=rng.integers(1000))[:k]
            scales = rng.standard_normal((k, 6)) * 10.0 ** rng.uniform(-2, 2, (k, 6))
            if k == 2:  # nearly cancelling: the energy is far smaller than its terms
                U[1] = -U[0] * (1 + 1e-9)
                scales[1] = scales[0]
            total = sum(spread(problem, s) * cell_sums(problem, u) for s, u in zip(scales, U, strict=True))
            exact = ((total[:2] ** 2).sum() / 4) + (total[2] ** 2).sum() / 6
            energy, bound = problem.flux_energy(jnp.asarray(scales), jnp.asarray(U))
            error = abs(Fraction(float(energy)) - exact)
            assert error <= Fraction(float(bound))
            if k != 2:
                assert float(bound) <= 1e-11 * float(energy)  # and is not just large


def test_the_bound_of_a_residuals_rounding_holds():
    problem = block((2, 3), 6)
    n = problem.cells
    rows = [[-1, 1, -1, 1], [-1, -1, 1, 1], [1, -1, -1, 1]]
    weights = (Fraction(1, 4), Fraction(1, 4), Fraction(1, 6))
    worst = 0.0
    for p in inputs(problem, 6):
        truth = np.asarray(problem.solve(p))
        for u in [*fields(problem, 2), truth, truth + 1e-12 * fields(problem, 1)[0]]:
            sums, w = cell_sums(problem, u), spread(problem, p)
            exact = np.full((n + 1, n + 1), Fraction(0), dtype=object)
            for s, row, share in zip(sums, rows, weights, strict=True):
                for (i, j), sign in zip(((0, 0), (1, 0), (0, 1), (1, 1)), row, strict=True):
                    exact[i : i + n, j : j + n] += w * s * share * sign
            exact = exact - Fraction(1, n**2)
            error = exact - rational(problem.residual(p, u)).reshape(n + 1, n + 1)
            error = np.sqrt(float((error[1:-1, 1:-1] ** 2).sum()))
            bound = float(problem.residual_rounding(p, problem.load(p), jnp.asarray(u)))
            assert error <= bound
            worst = max(worst, error / bound)
    assert worst > 1e-3  # a bound a thousand times too large would be no use


# ---- failures --------------------------------------------------------------------------------------------------------


class Alone(ThermalBlock):
    """Shares nothing that was compiled of another object: what is planted into the solver takes effect."""


def not_converged(w, b, tolerance, **_):
    return CgResult(jnp.full_like(b, 1e9), jnp.asarray(1e9), jnp.asarray(200), jnp.asarray(False))


def test_where_multigrid_fails_a_direct_solve_takes_over(monkeypatch):
    p = jnp.asarray([1.0, 2.0, 3.0, 4.0])
    good, slope = block().solve_report(p), pullback()(p, jnp.ones(block().size))
    monkeypatch.setattr(multigrid, "solve", not_converged)
    problem = Alone(cells=8)
    solution = problem.solve_report(p)
    assert solution.method == "direct" and solution.residual <= 1e-12
    np.testing.assert_allclose(solution.u, good.u, rtol=0, atol=1e-11)
    np.testing.assert_allclose(jax.grad(lambda p: problem.solve(p).sum())(p), slope, rtol=1e-9)


def test_too_few_iterations_are_not_called_converged():
    problem = block()
    w = problem.cell_weights(jnp.asarray([0.1, 10.0, 10.0, 0.1]))
    b = jnp.full((7, 7), 1 / 64)
    result = jax.jit(functools.partial(multigrid.solve, tolerance=1e-12, max_iterations=2))(w, b)
    assert not result.converged
    true = np.linalg.norm(b - multigrid.stiffness(w, result.u))
    assert float(result.residual) == pytest.approx(true) and true > 1e-12 * np.linalg.norm(b)


def test_a_solve_that_fails_is_a_row_of_nan_and_raises_alone(monkeypatch):
    def breaks_down(matrix, b):
        return np.full_like(b, np.nan) if matrix[0, 0] > 10 else solve_refined(matrix, b)

    monkeypatch.setattr(multigrid, "solve", not_converged)
    monkeypatch.setattr(coercive_solve, "solve_refined", breaks_down)
    problem = Alone(cells=8)
    P = np.ones((5, 4))
    P[[1, 3], 0] = 9.0
    U = np.asarray(problem.solve_batch(P))
    assert np.isnan(U[[1, 3]]).all() and np.isfinite(U[[0, 2, 4]]).all()
    with pytest.raises(SolveError, match=r"thermal-block was not solved at k00=9, k01=1.*direct stopped"):
        problem.solve(P[1])


def test_a_wrong_answer_is_not_believed(monkeypatch):
    """The residual is recomputed from the answer, whatever the solver says about itself."""

    def lies(w, b, tolerance, **_):
        return CgResult(1.001 * honest(w, b, tolerance).u, jnp.asarray(0.0), jnp.asarray(1), jnp.asarray(True))

    honest = multigrid.solve
    monkeypatch.setattr(multigrid, "solve", lies)
    with pytest.raises(SolveError, match="relative residual 1.0e-03"):
        Alone(cells=8).solve(np.ones(4))


def test_weights_that_are_not_positive_give_nan_not_an_answer():
    solve = jax.jit(block().solve)
    for bad in (0.0, -1.0, np.nan):
        assert np.isnan(solve(jnp.asarray([1.0, bad, 1.0, 1.0]))).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": (0, 2)}, "at least one block"),
        ({"blocks": (2, -1)}, "at least one block"),
        ({"blocks": (2.5, 2)}, "two whole numbers"),
        ({"blocks": 3}, "two whole numbers"),
        ({"blocks": (2, 2, 2)}, "two whole numbers"),
        ({"blocks": ("a", "b")}, "two whole numbers"),
        ({"cells": 63}, "cells=63 is not a multiple of the blocks 2 x 2: take a multiple of 2"),
        ({"blocks": (2, 3), "cells": 64}, "take a multiple of 6"),
        ({"cells": 0}, "whole number of at least 2, not 0"),
        ({"cells": 6.5}, "whole number of at least 2, not 6.5"),
        ({"cells": None}, "whole number of at least 2, not None"),
        ({"cells": float("nan")}, "whole number of at least 2, not nan"),
        ({"low": 1.0, "high": 1.0}, "0 < low < high"),
        ({"low": 2.0, "high": 1.0}, "0 < low < high"),
        ({"low": 0.0}, "0 < low < high"),
        ({"low": float("nan")}, "0 < low < high"),
        ({"high": float("inf")}, "0 < low < high"),
        ({"high": "hot"}, "0 < low < high"),
    ],
)
def test_senseless_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ThermalBlock(**{"cells": 12, **settings})


def test_settings_build_the_same_problem_again():
    problem = ThermalBlock((3, 2), 12, 0.5, 2.0)
    again = ThermalBlock(**problem.settings)
    assert again.settings == problem.settings == {"blocks": [3, 2], "cells": 12, "low": 0.5, "high": 2.0}
    assert again.inputs.to_json() == problem.inputs.to_json()


def test_coordinates_are_the_nodes():
    problem = block((1, 1), 4)
    np.testing.assert_array_equal(problem.coordinates[1 * 5 + 3], [0.25, 0.75])
    assert problem.coordinates.shape == (25, 2) and problem.shape == (1, 25, 1) and problem.size == 25
    on_boundary = (problem.coordinates == 0).any(axis=1) | (problem.coordinates == 1).any(axis=1)
    np.testing.assert_array_equal(problem.free, ~on_boundary)

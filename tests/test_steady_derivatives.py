"""What several steady problems share: derivatives of every kind, batches, and matrices that are the operator's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.problems.advection_diffusion import AdvectionDiffusion
from assay.solvers.problems.bratu import Bratu
from assay.solvers.problems.cavity import Cavity
from assay.solvers.problems.helmholtz import Helmholtz
from assay.solvers.problems.hyperelastic import Hyperelastic

CASES = {
    "helmholtz": (Helmholtz(cells=16), [22.0, 0.05, 0.4, 0.55], 1e-10),
    "advection-diffusion, fitted": (AdvectionDiffusion(cells=12), [0.7, 1.1, 0.05], 1e-11),
    "advection-diffusion, central": (
        AdvectionDiffusion(cells=12, scheme="central", data="step"),
        [0.7, 1.1, 0.05],
        1e-11,
    ),
    "bratu in 1D": (Bratu(dimension=1, cells=32), [2.0], 1e-11),
    "bratu in 2D": (Bratu(cells=12), [5.0, 1.3], 1e-11),
    "bratu, upper branch": (Bratu(cells=12, branch="upper"), [3.0, 1.3], 1e-10),
    "cavity": (Cavity(cells=12), [150.0, 0.4], 1e-10),
    "hyperelastic": (Hyperelastic(cells=4), [2.0, 5.0, 8.0, 3.0, 1.3], 1e-11),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request):
    problem, p, tolerance = request.param
    return problem, np.array(p), tolerance


def test_the_residual_of_the_solution_is_at_the_tolerance(case):
    problem, p, tolerance = case
    solution = problem.solve_report(p)
    evaluate = jax.jit(problem.residual)
    residual = np.asarray(evaluate(p, solution.u))
    at_zero = np.asarray(evaluate(p, problem.prescribe(p, jnp.zeros(problem.size))))
    assert np.linalg.norm(residual) <= tolerance * np.linalg.norm(at_zero)
    assert solution.residual <= tolerance
    assert not residual[~problem.free].any()
    moved = np.asarray(evaluate(p, solution.u + 1.0))
    np.testing.assert_allclose(moved[~problem.free], 1.0, rtol=1e-12)  # u minus the prescribed value


def test_derivatives_agree(case):
    problem, p, _ = case
    rng = np.random.default_rng(1)
    weights = rng.standard_normal(problem.size)
    direction = rng.standard_normal(len(p)) * np.abs(p)

    def read(p):
        u = problem.solve(p)
        return jnp.vdot(weights, u) + jnp.vdot(u, u)

    @jax.jit
    def derivatives(p):
        value, tangent = jax.jvp(read, (p,), (direction,))
        gradient, second = jax.jvp(jax.grad(read), (p,), (direction,))
        return value, tangent, gradient, second

    _, tangent, gradient, second = (np.asarray(x) for x in derivatives(p))
    scale = np.linalg.norm(gradient) * np.linalg.norm(direction)
    assert abs(tangent - gradient @ direction) <= 1e-7 * scale
    step = 1e-4  # truncation is of its square, rounding of 1e-11 / step: below 1e-5 both
    ahead, behind = derivatives(p + step * direction), derivatives(p - step * direction)
    assert (ahead[0] - behind[0]) / (2 * step) == pytest.approx(float(tangent), abs=1e-5 * scale)
    differences = np.asarray(ahead[2] - behind[2]) / (2 * step)
    np.testing.assert_allclose(second, differences, atol=1e-5 * np.linalg.norm(second))


@pytest.mark.parametrize("scheme", ["central", "upwind", "fitted"])
def test_the_weights_of_every_scheme_are_differentiable(scheme):
    """The schemes of advection-diffusion differ in these alone: one solve, with one derivative, serves them all."""
    problem = AdvectionDiffusion(cells=12, scheme=scheme)
    p, direction, step = np.array([0.7, 1.1, 0.05]), np.array([0.3, -0.4, 0.02]), 1e-5
    slope = jax.jvp(problem.theta, (p,), (direction,))[1]
    difference = (problem.theta(p + step * direction) - problem.theta(p - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["helmholtz", "advection-diffusion, fitted", "bratu in 2D", "cavity"])
def test_vmap_gives_the_rows_of_a_batch(name):
    problem, p, _ = CASES[name]
    p = np.array(p)
    P = np.stack([p, p * 1.01])
    mapped = jax.jit(jax.vmap(problem.solve))(P)
    np.testing.assert_allclose(mapped, problem.solve_batch(P), rtol=0, atol=1e-9 * float(jnp.abs(mapped).max()))


@pytest.mark.parametrize("name", ["bratu in 2D", "cavity"])
def test_a_looser_tolerance_is_kept_and_reported(name):
    problem, p, _ = CASES[name]
    loose = problem.solve_report(p, 1e-3)
    assert 1e-8 < loose.residual <= 1e-3 and loose.iterations < problem.solve_report(p).iterations


@pytest.mark.parametrize("name", ["helmholtz", "advection-diffusion, fitted"])
def test_matrices_are_those_of_the_operator_and_the_norm(name):
    problem, p, _ = CASES[name]
    rng = np.random.default_rng(0)
    v = rng.standard_normal(problem.size) * problem.free
    theta = rng.standard_normal(len(problem.theta(np.array(p))))
    inner = v[problem.free]
    applied = np.asarray(problem.apply(theta, v))
    np.testing.assert_allclose(problem.matrix(theta) @ inner, applied[problem.free], atol=1e-13)
    np.testing.assert_allclose(problem.operator_terms(v).T @ theta, applied, atol=1e-13)
    assert inner @ problem.norm_matrix() @ inner == pytest.approx(float(problem.norm(np.array(p), v)) ** 2, rel=1e-13)
    absolute = abs(problem.matrix(theta)) @ abs(inner)
    assert (np.asarray(problem.apply_absolute(theta, v))[problem.free] >= absolute * (1 - 1e-14)).all()
